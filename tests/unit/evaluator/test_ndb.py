import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist, jensenshannon

from evaluator.errors import FeaturesError
from evaluator.metrics.ndb import Bins, fit_bins, js, ndb

LINE = Bins(np.arange(4.0)[:, None], np.array([100, 200, 300, 400]))
"""Bins around 0, 1, 2 and 3."""


def at(counts):
    """Features with so many images in each bin of LINE, the bins taking turns as far as they can."""
    places = np.repeat(np.arange(4.0), counts) + 0.2
    return np.random.default_rng(0).permutation(places)[:, None]


def test_by_hand():
    # 10, 23, 27, 40 of 100 for 10, 20, 30, 40 %: nothing differs; 30, 20, 30, 20: the first and last do
    assert ndb(at([10, 23, 27, 40]), LINE, "ndb").value == 0
    assert ndb(at([30, 20, 30, 20]), LINE, "ndb").value == 0.5


@pytest.mark.parametrize("counts", [[30, 20, 30, 20], [0, 16, 40, 44], [9, 27, 22, 42], [100, 0, 0, 0], [120, 200, 300, 380]])
def test_bins_differ_where_the_pooled_z_test_rejects(counts):
    # The two-proportion z-test is the χ² test of the 2 × 2 table without Yates' correction.
    n = sum(counts)
    tables = [[[c, n - c], [r, 1_000 - r]] for c, r in zip(counts, LINE.counts, strict=True)]
    different = sum(stats.chi2_contingency(table, correction=False).pvalue < 0.05 for table in tables)
    found = ndb(at(counts), LINE, "ndb")
    expected = stats.binomtest(different, 4).proportion_ci(method="wilson")
    assert (found.value, found.n) == (different / 4, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_a_bin_that_neither_reaches_does_not_differ():
    bins = Bins(np.arange(4.0)[:, None], np.array([500, 500, 0, 0]))
    assert ndb(at([50, 50, 0, 0]), bins, "ndb").value == 0
    assert js(at([50, 50, 0, 0]), bins, "js").value == 0


def test_divergence_is_scipys_with_the_brute_force_jackknife_interval():
    x = at([31, 22, 30, 20])
    assigned = cdist(x, LINE.centres).argmin(axis=1)
    divergence = lambda keep: jensenshannon(np.bincount(keep, minlength=4), LINE.counts) ** 2  # noqa: E731
    edges = [103 * k // 20 for k in range(21)]
    left_out = [divergence(np.delete(assigned, slice(edges[k], edges[k + 1]))) for k in range(20)]
    half = stats.t.ppf(0.975, 19) * np.sqrt(19 / 20 * np.square(left_out - np.mean(left_out)).sum())
    found = js(x, LINE, "js")
    assert found.value == pytest.approx(divergence(assigned))
    assert (found.low, found.high) == pytest.approx((max(found.value - half, 0), found.value + half))


def test_distributions_that_share_no_bin_diverge_by_log_two():
    bins = Bins(np.arange(4.0)[:, None], np.array([0, 0, 500, 500]))
    found = js(at([50, 50, 0, 0]), bins, "js")
    assert (found.value, found.high) == pytest.approx((np.log(2), np.log(2)))


def test_fitted_bins_are_nearest_centres_of_all_real_images():
    real = np.random.default_rng(1).normal(size=(600, 3)).astype(np.float32)
    bins = fit_bins(real, bins=10)
    assert np.array_equal(bins.counts, np.bincount(cdist(real, bins.centres).argmin(axis=1), minlength=10))
    assert bins.counts.sum() == 600


def test_fitted_bins_find_clusters_and_follow_the_seed():
    random = np.random.default_rng(2)
    real = np.concatenate([random.normal(10 * k, 0.1, (40, 2)) for k in range(5)])
    assert fit_bins(real, bins=5).counts.tolist() == [40] * 5
    assert np.array_equal(fit_bins(real, bins=5, seed=3).centres, fit_bins(real, bins=5, seed=3).centres)


def test_real_images_that_are_all_equal_leave_bins_empty():
    bins = fit_bins(np.ones((40, 2)), bins=3)
    assert sorted(bins.counts) == [0, 0, 40]


def test_a_perfect_generator_differs_in_one_bin_of_twenty():
    random = np.random.default_rng(5)
    bins = fit_bins(random.normal(size=(4_000, 2)), bins=50)
    mean = np.mean([ndb(random.normal(size=(2_000, 2)), bins, "ndb").value for _ in range(20)])
    assert 0.02 < mean < 0.09


def test_unfit_features_are_refused():
    with pytest.raises(FeaturesError, match="199 images, expected at least 200"):
        fit_bins(np.zeros((199, 2)))
    for metric in (ndb, js):
        with pytest.raises(FeaturesError, match="2 dimensions, the reference 1"):
            metric(np.zeros((50, 2)), LINE, "m")
    with pytest.raises(FeaturesError, match="39 images, expected at least 40"):
        js(np.zeros((39, 1)), LINE, "js")
