import numpy as np
import pytest
import torch
from scipy import stats
from torch_fidelity.metric_kid import kid_features_to_metric

from evaluator.errors import FeaturesError
from evaluator.metrics.kid import kid, mmd


def features(seed, n, dimension, shift=0.0):
    return np.maximum(np.random.default_rng(seed).normal(shift, 1, (n, dimension)), 0)


def brute_force(x, y):
    kernel = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3  # noqa: E731
    n, m = len(x), len(y)
    among = lambda a: kernel(a, a).sum() - np.trace(kernel(a, a))  # noqa: E731
    return among(x) / (n * (n - 1)) + among(y) / (m * (m - 1)) - 2 * kernel(x, y).mean()


def test_by_hand_in_one_dimension():
    # k(0, 1) = 1, k(1, 1) = 8: pairs of x (0, 1): 1; pairs of y (1, 1): 8; across: (1 + 1 + 8 + 8) / 4
    assert mmd(np.array([[0.0], [1]]), np.array([[1.0], [1]])) == pytest.approx(1 + 8 - 2 * 4.5)


# By pairs where dimensions are many, by third moments where images are: (30, 20, 40), and (700, 650, 3)
@pytest.mark.parametrize(("n", "m", "dimension"), [(30, 20, 40), (700, 650, 3), (60, 550, 12)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_agrees_with_brute_force(n, m, dimension, dtype):
    x, y = features(0, n, dimension).astype(dtype), features(1, m, dimension, 0.2).astype(dtype)
    assert mmd(x, y) == pytest.approx(brute_force(x.astype(float), y.astype(float)), rel=1e-9)


def test_mean_over_torch_fidelitys_subsets_is_its_value():
    x, y, subsets, size = features(2, 300, 32), features(3, 250, 32, 0.1), 10, 100
    expected = kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=subsets, kid_subset_size=size, rng_seed=7, verbose=False
    )
    random = np.random.RandomState(7)
    found = []
    for _ in range(subsets):
        rows = random.choice(300, size, replace=False)
        found.append(mmd(x[rows], y[random.choice(250, size, replace=False)]))
    assert np.mean(found) == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-9)


@pytest.mark.parametrize(("n", "dimension"), [(103, 40), (103, 4)])
def test_kid_is_mmd_with_the_brute_force_jackknife_interval(n, dimension):
    x, y = features(4, n, dimension), features(5, 90, dimension, 0.3)
    found = kid(x, y, "kid")
    edges = [n * k // 20 for k in range(21)]
    left_out = [brute_force(np.delete(x, slice(edges[k], edges[k + 1]), axis=0), y) for k in range(20)]
    half = stats.t.ppf(0.975, 19) * np.sqrt(19 / 20 * np.square(left_out - np.mean(left_out)).sum())
    assert found.value == pytest.approx(brute_force(x, y), rel=1e-9)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), rel=1e-7)
    assert (found.name, found.n) == ("kid", n)


def test_order_does_not_matter_to_the_value():
    x, y = features(6, 120, 20), features(7, 110, 20)
    shuffled = np.random.default_rng(0).permutation(x)
    assert kid(shuffled, y, "kid").value == pytest.approx(kid(x, y, "kid").value, rel=1e-9)


def test_identical_distributions_are_at_zero_on_average():
    draws = [mmd(features(2 * k, 40, 8), features(2 * k + 1, 40, 8)) for k in range(200)]
    assert abs(np.mean(draws)) < 3 * stats.sem(draws)
    assert min(draws) < 0


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((39, 3)), np.zeros((50, 3)), "39 images, expected at least 40"),
        (np.zeros((50, 3)), np.zeros((1, 3)), "1 images, expected at least 2"),
        (np.zeros((50, 3)), np.zeros((50, 4)), "3 dimensions, the reference 4"),
        (np.zeros((50, 3)), np.full((50, 3), np.nan), "NaN"),
    ],
)
def test_unfit_features_are_refused(x, y, message):
    with pytest.raises(FeaturesError, match=message):
        kid(x, y, "kid")
