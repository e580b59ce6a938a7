import numpy as np
import pytest
from scipy import stats

from evaluator.metrics.authenticity import authenticity, own_nearest
from evaluator.neighbours import nearest


def codes(seed, n, components=24, deviation=32):
    return np.clip(np.rint(np.random.default_rng(seed).normal(0, deviation, (n, components))), -127, 127).astype(np.int8)


def squared_distances(a, b):
    return np.square(a[:, None].astype(int) - b[None].astype(int)).sum(axis=2)


def measured(x, real):
    return authenticity(*nearest(x, real), own_nearest(real), "auth")


@pytest.mark.parametrize("n", [2, 100, 520])
def test_own_nearest_is_the_brute_force_distance(n):
    x = codes(0, n)
    expected = squared_distances(x, x) + np.diag([10**9] * n)
    found = own_nearest(x)
    assert np.array_equal(found, expected.min(axis=1))
    assert found.dtype == np.int64


def test_own_nearest_is_exact_at_the_ends_of_the_range():
    x = np.full((3, 250), 127, np.int8)
    x[1:] = -127
    x[2, 0] = -126
    assert own_nearest(x).tolist() == [250 * 254**2 - 254**2 + 253**2, 1, 1]


def test_tiles_of_any_size_give_the_same(monkeypatch):
    x = codes(1, 333)
    whole = own_nearest(x)
    monkeypatch.setattr("evaluator.metrics.authenticity._ROWS", 40)
    monkeypatch.setattr("evaluator.metrics.authenticity._COLUMNS", 50)
    assert np.array_equal(own_nearest(x), whole)


def test_a_repeated_code_is_at_no_distance():
    x = codes(2, 100)
    x[60] = x[3]
    assert np.flatnonzero(own_nearest(x) == 0).tolist() == [3, 60]


def test_by_hand():
    # Training images 0, 10, 13: own distances² 100, 9, 9. Generated 6 (16 from 10), 12 (1 from 13), 10 (a copy)
    real = np.array([[0], [10], [13]], np.int8)
    found = measured(np.array([[6], [12], [10]], np.int8), real)
    expected = stats.binomtest(1, 3).proportion_ci(method="wilson")
    assert found.value == pytest.approx(1 / 3)
    assert (found.low, found.high, found.n) == pytest.approx((expected.low, expected.high, 3))


def test_agrees_with_the_definition():
    x, real = codes(3, 200, components=6, deviation=28), codes(4, 300, components=6)
    among, between = squared_distances(real, real) + np.diag([10**9] * 300), squared_distances(x, real)
    at = between.argmin(axis=1)
    expected = np.mean(between[np.arange(200), at] > among[at].min(axis=1))
    assert 0.2 < expected < 0.8
    assert measured(x, real).value == pytest.approx(expected)


def test_copies_are_not_authentic_even_of_repeated_images():
    real = np.repeat(codes(5, 50), 2, axis=0)
    assert measured(real[:40], real).value == 0


def test_images_as_new_as_real_ones_are_authentic_half_the_time_and_far_ones_always():
    real = codes(6, 3_000, components=8)
    assert measured(codes(7, 2_000, components=8), real).value == pytest.approx(0.5, abs=0.08)
    assert measured(np.full((50, 8), 127, np.int8), real).value == 1
