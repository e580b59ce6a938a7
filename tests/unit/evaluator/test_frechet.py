import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from evaluator.errors import FeaturesError
from evaluator.frechet import (
    Gaussian,
    Moments,
    accumulate,
    distance,
    distance_interval,
    distance_of_features,
    factored,
    leaving_out,
    moments,
)


def gaussian(random, n, d, rank=None):
    return random.normal(size=(n, rank or d)) @ random.normal(size=(rank or d, d)) + random.normal(size=d)


def by_definition(a, b):
    """|μ₁ − μ₂|² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) with the general matrix square root."""
    root = linalg.sqrtm(a.covariance @ b.covariance)
    return np.square(a.mean - b.mean).sum() + np.trace(a.covariance + b.covariance - 2 * np.real(root))


def test_moments_are_those_of_numpy_with_n_minus_one():
    x = np.random.default_rng(0).normal(size=(50, 4))
    found = moments(x)
    assert np.allclose(found.mean, x.mean(axis=0))
    assert np.allclose(found.covariance, np.cov(x, rowvar=False, ddof=1))


def test_one_dimension_in_closed_form():
    # d² = (μ₁ − μ₂)² + (σ₁ − σ₂)²
    a = Moments(np.array([1.0]), np.array([[4.0]]))
    b = Moments(np.array([4.0]), np.array([[25.0]]))
    assert distance(a, factored(b)) == pytest.approx(3**2 + 3**2)


def test_commuting_covariances_in_closed_form():
    # Diagonal covariances: d² = |μ₁ − μ₂|² + Σ (σ₁ᵢ − σ₂ᵢ)²
    a = Moments(np.zeros(3), np.diag([1.0, 4.0, 9.0]))
    b = Moments(np.array([1.0, 0, 2.0]), np.diag([4.0, 4.0, 1.0]))
    assert distance(a, factored(b)) == pytest.approx(5 + 1 + 0 + 4)


@pytest.mark.parametrize("seed", range(4))
def test_general_covariances_agree_with_sqrtm(seed):
    random = np.random.default_rng(seed)
    a, b = moments(gaussian(random, 100, 8)), moments(gaussian(random, 80, 8))
    assert distance(a, factored(b)) == pytest.approx(by_definition(a, b), rel=1e-9)


def test_identical_sets_are_at_distance_zero():
    x = gaussian(np.random.default_rng(1), 300, 16)
    assert distance_of_features(x, factored(moments(x))) == pytest.approx(0, abs=1e-9 * np.square(x).sum() / 300)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_distance_is_symmetric_and_not_negative(seed):
    random = np.random.default_rng(seed)
    a, b = moments(gaussian(random, 40, 5)), moments(gaussian(random, 30, 5))
    there, back = distance(a, factored(b)), distance(b, factored(a))
    assert there == pytest.approx(back, rel=1e-8)
    assert there >= 0


def test_moving_every_feature_adds_the_squared_shift():
    random = np.random.default_rng(3)
    x, to = gaussian(random, 200, 6), factored(moments(gaussian(random, 200, 6)))
    aligned = x - x.mean(axis=0) + to.mean
    shift = np.array([0.0, 3, 0, 0, 4, 0])
    assert distance_of_features(aligned + shift, to) - distance_of_features(aligned, to) == pytest.approx(25)


@pytest.mark.parametrize(("n", "d"), [(5, 12), (11, 12), (2, 3)])
def test_fewer_images_than_dimensions_agrees_with_the_full_matrix(n, d):
    random = np.random.default_rng(n)
    x, to = gaussian(random, n, d), factored(moments(gaussian(random, 100, d)))
    # the full-matrix route takes the root of rounding noise in d − n + 1 null directions: 1e-6 is what it can give
    assert distance_of_features(x, to) == pytest.approx(distance(moments(x), to), rel=1e-6)


def test_reference_of_constant_and_dependent_features_is_factored():
    random = np.random.default_rng(7)
    low = gaussian(random, 60, 6, rank=3)
    low[:, 0] = 1.0
    found = factored(moments(low))
    assert np.allclose(found.factor @ found.factor.T, np.cov(low, rowvar=False))
    x = gaussian(random, 60, 6)
    assert distance_of_features(x, found) == pytest.approx(by_definition(moments(x), moments(low)), rel=1e-5)


def test_trace_of_a_reference_is_the_total_variance():
    x = gaussian(np.random.default_rng(2), 50, 4)
    assert factored(moments(x)).trace == pytest.approx(x.var(axis=0, ddof=1).sum())


@pytest.mark.parametrize(("n", "d"), [(203, 5), (60, 70), (52, 50)])
def test_interval_is_the_brute_force_jackknife(n, d):
    random = np.random.default_rng(11)
    x, to = gaussian(random, n, d), factored(moments(gaussian(random, 200, d)))
    edges = [n * k // 20 for k in range(21)]
    left_out = [distance_of_features(np.delete(x, slice(edges[k], edges[k + 1]), axis=0), to) for k in range(20)]
    half = 2.093024054408263 * np.sqrt(19 / 20 * np.square(left_out - np.mean(left_out)).sum())  # t(19) at 97.5 %
    value, low, high = distance_interval(x, to)
    assert value == pytest.approx(distance_of_features(x, to))
    assert high == pytest.approx(value + half, rel=1e-7)
    assert low == pytest.approx(max(value - half, 0), rel=1e-7)


def test_interval_covers_the_long_run_mean():
    # The mean of FID_400 over many draws is what an interval of one draw should hold, 95 times in 100.
    random = np.random.default_rng(21)
    to = factored(moments(random.normal(size=(5_000, 4))))
    draws = [distance_interval(random.normal(0.3, 1.2, size=(400, 4)), to) for _ in range(200)]
    truth = np.mean([value for value, _, _ in draws])
    covered = sum(low <= truth <= high for _, low, high in draws)
    assert 180 <= covered <= 198


def test_interval_survives_a_large_common_offset():
    random = np.random.default_rng(4)
    x, y = random.normal(size=(400, 3)), random.normal(size=(400, 3))
    near = distance_interval(x, factored(moments(y)))
    far = distance_interval(x + 1e6, factored(moments(y + 1e6)))
    assert far == pytest.approx(near, abs=1e-5)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((0, 3)), "0 images"),
        (np.zeros((1, 3)), "1 images, expected at least 2"),
        (np.zeros(3), "shape"),
        (np.array([[np.nan, 1.0], [0, 1]]), "NaN"),
        (np.array([[np.inf, 1.0], [0, 1]]), "infinity"),
    ],
)
def test_unfit_features_are_refused(features, message):
    with pytest.raises(FeaturesError, match=message):
        moments(features)
    with pytest.raises(FeaturesError, match=message):
        distance_of_features(features, Gaussian(np.zeros(2), np.eye(2)))


def test_interval_of_too_few_images_is_refused():
    with pytest.raises(FeaturesError, match="39 images, expected at least 40"):
        distance_interval(np.zeros((39, 2)), Gaussian(np.zeros(2), np.eye(2)))


@pytest.mark.parametrize("n", [3, 100])
def test_another_extractor_is_refused(n):
    with pytest.raises(FeaturesError, match="4 dimensions, the reference 2"):
        distance_of_features(np.random.default_rng(0).normal(size=(n, 4)), Gaussian(np.zeros(2), np.eye(2)))


def correlated(n, d, seed):
    """Features of full rank with variances from 1 to 100, in single precision as networks give them."""
    random = np.random.default_rng(seed)
    mix = np.linalg.qr(np.random.default_rng(99).normal(size=(d, d))).Q * np.linspace(1, 10, d)
    return (random.normal(0.1 * seed, 1 + 0.1 * seed, (n, d)) @ mix).astype(np.float32)


def agrees_with_peers(n, d):
    """Against torch-fidelity's own functions and, as pytorch-fid does, scipy's square root of the product."""
    metric = pytest.importorskip("torch_fidelity.metric_fid")
    x, y = correlated(n, d, 1), correlated(n, d, 2)
    statistics = [metric.fid_features_to_statistics(torch.from_numpy(features)) for features in (x, y)]
    theirs = metric.fid_statistics_to_metric(*statistics, False)[metric.KEY_METRIC_FID]
    ours = distance_of_features(x, factored(moments(y)))
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert ours == pytest.approx(by_definition(moments(x), moments(y)), rel=1e-8)


def test_distance_agrees_with_torch_fidelity_and_pytorch_fid():
    agrees_with_peers(10_000, 128)


@pytest.mark.slow
def test_distance_agrees_with_torch_fidelity_and_pytorch_fid_in_2048_dimensions():
    agrees_with_peers(10_000, 2048)


def test_moments_of_a_stream_are_those_of_numpy_however_it_is_cut():
    x = correlated(5_000, 40, 3) + np.float32(1_000)
    whole = moments(x)
    assert np.allclose(whole.mean, x.astype(np.float64).mean(axis=0), rtol=1e-12)
    assert np.allclose(whole.covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-9)
    for size in (1, 25, 2048, 4096, 4999):
        cut = accumulate(x[k : k + size] for k in range(0, len(x), size))
        assert np.array_equal(cut.mean, whole.mean)
        assert np.array_equal(cut.covariance, whole.covariance)


def test_moments_do_not_depend_on_the_order_of_images():
    x, to = correlated(5_000, 40, 3), factored(moments(correlated(5_000, 40, 1)))
    mixed = x[np.random.default_rng(0).permutation(len(x))]
    assert np.allclose(moments(mixed).covariance, moments(x).covariance, rtol=1e-9, atol=1e-9)
    assert distance_of_features(mixed, to) == pytest.approx(distance_of_features(x, to), rel=1e-9)


def test_moments_of_single_precision_take_memory_for_some_rows_only():
    x = np.ones((400_000, 16), np.float32)
    tracemalloc.start()
    moments(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes / 10


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "0 images, expected at least 2"),
        ([np.zeros((0, 3)), np.zeros((1, 3))], "1 images, expected at least 2"),
        ([np.zeros((3, 3)), np.zeros((3, 2))], "2 dimensions, those before it 3"),
        ([np.zeros((3, 3)), np.full((1, 3), np.nan)], "NaN"),
        ([np.zeros(3)], "shape"),
    ],
)
def test_unfit_streams_are_refused(batches, message):
    with pytest.raises(FeaturesError, match=message):
        accumulate(batches)


@pytest.mark.parametrize("n", [2, 50])
def test_images_that_are_all_alike_are_as_far_as_a_point_is(n):
    # A point has no covariance: d² = |x − μ|² + Tr Σ.
    y = correlated(500, 6, 1)
    to = factored(moments(y))
    expected = np.square(3 - y.astype(np.float64).mean(axis=0)).sum() + np.cov(y, rowvar=False).trace()
    assert distance_of_features(np.full((n, 6), 3.0), to) == pytest.approx(expected, rel=1e-9)
    assert distance_of_features(np.full((n, 6), 3.0), factored(moments(np.full((9, 6), 1.0)))) == pytest.approx(6 * 2**2)


def test_factor_is_a_triangle_even_where_cholesky_fails():
    # The distance counts on it: products with a triangle never read what is above the diagonal.
    found = factored(moments(gaussian(np.random.default_rng(7), 60, 6, rank=3)))
    assert np.array_equal(found.factor, np.tril(found.factor))


def test_leaving_out_far_images_from_a_large_common_offset_agrees_with_brute_force():
    random = np.random.default_rng(8)
    x, to = random.normal(size=(4_500, 3)), factored(moments(random.normal(size=(400, 3)) + 1e6))
    x[100:200] += 50
    found = leaving_out(x + 1e6, to)(100, 200)
    assert found == pytest.approx(distance_of_features(np.delete(x, slice(100, 200), axis=0) + 1e6, to), abs=1e-8)
