import numpy as np
import pytest
import torch
from prdc import compute_prdc
from scipy import stats
from torch_fidelity.metric_prc import calculate_precision_recall_full

from evaluator.errors import FeaturesError
from evaluator.metrics.prdc import Neighbourhoods, coverage, density, precision, recall


def cloud(seed, n, shift=0.0, scale=1.0, dimension=6):
    return np.random.default_rng(seed).normal(shift, scale, (n, dimension))


def distances(a, b):
    return np.linalg.norm(a[:, None] - b[None], axis=2)


def radii(x, k):
    """Distance of each point to the k-th nearest other one."""
    return np.sort(distances(x, x), axis=1)[:, k]


def brute_force(x, real):
    """Precision, recall, density, coverage by their definitions."""
    between = distances(x, real)
    return (
        (between <= radii(real, 3)).any(axis=1).mean(),
        (between <= radii(x, 3)[:, None]).any(axis=0).mean(),
        (between <= radii(real, 5)).sum(axis=1).mean() / 5,
        (between <= radii(real, 5)).any(axis=0).mean(),
    )


def measured(x, real):
    found = Neighbourhoods.of(x, real)
    return [metric(found, metric.__name__) for metric in (precision, recall, density, coverage)]


def values(x, real):
    return [measurement.value for measurement in measured(x, real)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_agrees_with_brute_force(dtype):
    x, real = cloud(0, 130, 0.4, 0.8).astype(dtype), cloud(1, 170).astype(dtype)
    assert values(x, real) == pytest.approx(brute_force(x.astype(float), real.astype(float)), abs=1e-12)


def test_agrees_with_the_packages():
    x, real = cloud(2, 200, 0.3, 0.9), cloud(3, 220)
    three, five = (compute_prdc(real_features=real, fake_features=x, nearest_k=k) for k in (3, 5))
    assert values(x, real) == pytest.approx([three["precision"], three["recall"], five["density"], five["coverage"]])
    expected = calculate_precision_recall_full(torch.from_numpy(x), torch.from_numpy(real), neighborhood=3)
    assert values(x, real)[:2] == pytest.approx(expected, abs=1e-6)  # its means are float32


def test_tiles_of_any_size_give_the_same(monkeypatch):
    x, real = cloud(4, 130, 0.2), cloud(5, 140)
    whole = measured(x, real)
    monkeypatch.setattr("evaluator.features.ROWS", 40)
    monkeypatch.setattr("evaluator.features.COLUMNS", 33)
    assert measured(x, real) == whole


def test_wide_tiles_agree_with_brute_force():
    # More than 200 columns: the shortcut for the nearest ones; the repeated images are too many for it
    x, real = cloud(16, 420, 0.2), cloud(17, 450)
    assert values(x, real) == pytest.approx(brute_force(x, real), abs=1e-12)
    real[:200] = real[0]
    expected = brute_force(x, real)
    assert values(x, real) == pytest.approx(expected, abs=1e-12)


def test_order_does_not_matter():
    x, real = cloud(6, 150), cloud(7, 140)
    random = np.random.default_rng(0)
    assert values(random.permutation(x), random.permutation(real)) == values(x, real)


def test_sets_far_apart_share_nothing():
    assert values(cloud(8, 60), cloud(9, 60, shift=100)) == [0, 0, 0, 0]


def test_copies_of_the_real_images_are_all_in_place():
    real = cloud(10, 80)
    found = values(real.copy(), real)
    assert (found[0], found[1], found[3]) == (1, 1, 1)
    assert found[2] == pytest.approx(6 / 5)  # each lies in its own ball, and in five others on average


def test_one_image_repeated_is_precise_and_covers_little():
    real = cloud(11, 100)
    found = values(np.repeat(real[:1], 100, axis=0), real)
    assert found[0] == 1
    assert found[1] == 0.01  # balls without extent hold their centre's original only
    assert found[3] <= 0.2


def test_constant_features_lie_in_each_others_balls():
    # 100/3 is no binary fraction: means and distances round
    same = np.full((60, 6), 100 / 3)
    assert values(same, same) == [1, 1, 60 / 5, 1]


def test_intervals_of_precision_and_density_are_those_of_independent_images():
    x, real = cloud(12, 110, 0.5), cloud(13, 120)
    inside = distances(x, real) <= radii(real, 5)
    found = measured(x, real)
    wilson = stats.binomtest(round(found[0].value * 110), 110).proportion_ci(method="wilson")
    t = stats.t.interval(0.95, 109, inside.sum(axis=1).mean() / 5, stats.sem(inside.sum(axis=1)) / 5)
    assert (found[0].low, found[0].high) == pytest.approx((wilson.low, wilson.high))
    assert (found[2].low, found[2].high) == pytest.approx(t)


@pytest.mark.parametrize("which", [1, 3])
def test_intervals_of_recall_and_coverage_are_the_brute_force_jackknife(which):
    x, real = cloud(14, 103, 0.6, 0.7), cloud(15, 90)
    edges = [103 * k // 20 for k in range(21)]
    left_out = [brute_force(np.delete(x, slice(edges[k], edges[k + 1]), axis=0), real)[which] for k in range(20)]
    half = stats.t.ppf(0.975, 19) * np.sqrt(19 / 20 * np.square(left_out - np.mean(left_out)).sum())
    found = measured(x, real)[which]
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))
    assert found.n == 103


def test_unfit_features_are_refused():
    with pytest.raises(FeaturesError, match="39 images, expected at least 40"):
        Neighbourhoods.of(cloud(0, 39), cloud(1, 50))
    with pytest.raises(FeaturesError, match="5 images, expected at least 6"):
        Neighbourhoods.of(cloud(0, 40), cloud(1, 5))
    with pytest.raises(FeaturesError, match="6 dimensions, the reference 7"):
        Neighbourhoods.of(cloud(0, 40), cloud(1, 50, dimension=7))
