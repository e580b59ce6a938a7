import numpy as np
import pytest
from scipy import stats

from evaluator.errors import FeaturesError
from evaluator.metrics.vendi import vendi


def by_kernel(x):
    """exp of the entropy of the eigenvalues of the n × n matrix of cosines, divided by n."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.exp(stats.entropy(np.maximum(np.linalg.eigvalsh(unit @ unit.T / len(x)), 0)))


def some(n, dimension):
    return np.maximum(np.random.default_rng(n).normal(0.3, 1, (n, dimension)), 0.01)


@pytest.mark.parametrize("dimension", [40, 50])
def test_orthogonal_features_count_each(dimension):
    assert vendi(np.eye(dimension)[:40] * 7, "vendi").value == pytest.approx(40)


@pytest.mark.parametrize("dimension", [4, 70])
def test_identical_features_count_once(dimension):
    found = vendi(np.tile(some(1, dimension), (60, 1)), "vendi")
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_groups_in_unequal_shares_count_by_their_entropy():
    # Orthogonal groups of 30, 20 and 10: exp of the entropy of (1/2, 1/3, 1/6)
    x = np.repeat(np.eye(3), [30, 20, 10], axis=0)
    assert vendi(x, "vendi").value == pytest.approx(np.exp(stats.entropy([3, 2, 1])))


@pytest.mark.parametrize(("n", "dimension"), [(103, 8), (60, 61), (60, 60), (61, 60)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_ways_agree_with_the_kernel_and_its_jackknife(n, dimension, dtype):
    x = some(n, dimension).astype(dtype)
    expected = by_kernel(x.astype(float))
    edges = [n * k // 20 for k in range(21)]
    left_out = [by_kernel(np.delete(x.astype(float), slice(edges[k], edges[k + 1]), axis=0)) for k in range(20)]
    half = stats.t.ppf(0.975, 19) * np.sqrt(19 / 20 * np.square(left_out - np.mean(left_out)).sum())
    found = vendi(x, "vendi")
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((max(expected - half, 1), min(expected + half, n, dimension)), rel=1e-7)
    assert (found.name, found.n) == ("vendi", n)


def test_order_and_length_do_not_matter():
    x = some(200, 9)
    other = np.random.default_rng(0).permutation(x) * np.random.default_rng(1).uniform(0.1, 10, (200, 1))
    assert vendi(other, "vendi").value == pytest.approx(vendi(x, "vendi").value, rel=1e-9)


def test_features_without_direction_are_refused():
    x = some(50, 3)
    x[7] = 0
    with pytest.raises(FeaturesError, match="all 0"):
        vendi(x, "vendi")


def test_too_few_images_are_refused():
    with pytest.raises(FeaturesError, match="39 images, expected at least 40"):
        vendi(some(39, 3), "vendi")
