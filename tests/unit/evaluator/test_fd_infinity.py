import numpy as np
import pytest

from evaluator.errors import FeaturesError
from evaluator.frechet import Gaussian, distance_interval, distance_of_features
from evaluator.metrics.fd_infinity import curve, fd_infinity

STANDARD = Gaussian(np.zeros(8), np.eye(8))


def test_curve_is_the_mean_over_all_runs():
    x = np.random.default_rng(0).normal(size=(50, 8))
    expected = [
        distance_of_features(x, STANDARD),
        np.mean([distance_of_features(x[start : start + 20], STANDARD) for start in (0, 20)]),
    ]
    assert curve(x, STANDARD, [50, 20]) == pytest.approx(expected, rel=1e-12)


def test_agrees_with_brute_force():
    x = np.random.default_rng(1).normal(0.2, 1.1, size=(803, 8))
    found = fd_infinity(x, STANDARD, "fd")
    counts = [803, 401, 267, 200, 160, 133, 114, 100]
    rates = np.array([1 / count for count in counts])
    distances = np.array(
        [np.mean([distance_of_features(x[k * c : (k + 1) * c], STANDARD) for k in range(803 // c)]) for c in counts]
    )
    line = np.linalg.lstsq(np.vander(rates, 2), distances, rcond=None)[0][-1]
    parabola = np.linalg.lstsq(np.vander(rates, 3), distances, rcond=None)[0][-1]
    value, _, high = distance_interval(x, STANDARD)
    half = high - value + abs(line - parabola)
    assert found.value == pytest.approx(line, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((line - half, line + half), rel=1e-9)
    assert (found.name, found.n) == ("fd", 803)


def test_identical_gaussians_of_64_dimensions_are_near_zero_though_their_fid_is_not():
    standard = Gaussian(np.zeros(64), np.eye(64))
    x = np.random.default_rng(2).normal(size=(2_000, 64))
    found = fd_infinity(x, standard, "fd")
    assert distance_of_features(x, standard) > 0.5
    assert abs(found.value) < 0.1
    assert found.low < 0 < found.high


def test_a_known_distance_is_found():
    # (σ − 1)² a dimension and the squared shift: 8 · 0.25 + 8 · 0.09
    x = np.random.default_rng(3).normal(0.3, 1.5, size=(20_000, 8))
    found = fd_infinity(x, STANDARD, "fd")
    assert found.low < 8 * 0.25 + 8 * 0.09 < found.high
    assert found.value == pytest.approx(2.72, abs=0.1)


def test_counts_that_cannot_be_drawn_are_refused():
    with pytest.raises(FeaturesError, match="1 to 51 images were asked for, expected 2 to 50"):
        curve(np.zeros((50, 8)), STANDARD, [1, 51])


def test_too_few_images_for_a_line_are_refused():
    with pytest.raises(FeaturesError, match="71 images, expected at least 72"):
        fd_infinity(np.zeros((71, 8)), STANDARD, "fd")
