"""The metrics that are a few lines each: class histogram, confidence, duplicates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evaluator.frechet import distance_of_features, factored, moments
from evaluator.interval import wilson
from evaluator.metrics.agreement import class_agreement, confusion
from evaluator.metrics.class_fid import by_class, class_fid
from evaluator.metrics.confidence import confident
from evaluator.metrics.duplicates import closest_other, duplicates, near_others
from evaluator.metrics.histogram import class_counts, class_kl, kl_from_uniform


def one_hot(classes, of=10):
    return np.eye(of)[classes]


def test_equal_shares_have_no_divergence():
    assert kl_from_uniform(np.full(10, 7)) == pytest.approx(0, abs=1e-15)


def test_a_single_class_diverges_by_log_ten():
    assert kl_from_uniform(np.array([50] + [0] * 9)) == pytest.approx(np.log(10))


def test_half_of_the_classes_diverges_by_log_two():
    assert kl_from_uniform(np.array([3] * 5 + [0] * 5)) == pytest.approx(np.log(2))


@given(st.lists(st.integers(0, 50), min_size=10, max_size=10).filter(any))
def test_divergence_is_scipys_entropy(counts):
    assert kl_from_uniform(np.array(counts)) == pytest.approx(stats.entropy(counts, [1] * 10), abs=1e-12)


def test_counts_are_of_the_most_likely_class():
    assert class_counts(np.array([[0.2, 0.5, 0.3], [0.6, 0.4, 0], [0.1, 0.8, 0.1]])).tolist() == [1, 2, 0]


def test_class_kl_has_the_brute_force_jackknife_interval():
    classes = np.random.default_rng(0).choice(10, 400, p=[0.3] + [0.7 / 9] * 9)
    found = class_kl(one_hot(classes), "kl")
    left_out = [
        stats.entropy(np.bincount(np.delete(classes, slice(20 * k, 20 * k + 20)), minlength=10), [1] * 10) for k in range(20)
    ]
    half = stats.t.ppf(0.975, 19) * np.sqrt(19 / 20 * np.square(left_out - np.mean(left_out)).sum())
    assert found.value == pytest.approx(stats.entropy(np.bincount(classes), [1] * 10))
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))
    assert (found.name, found.n) == ("kl", 400)


def test_class_kl_interval_stays_in_its_range():
    collapsed = class_kl(one_hot(np.zeros(100, int)), "kl")
    even = class_kl(one_hot(np.tile(np.arange(10), 10)), "kl")
    assert collapsed.high <= np.log(10)
    assert even.low >= 0


def test_confident_counts_images_with_a_class_of_nine_tenths():
    sure = np.array([[0.9, 0.1], [0.89, 0.11], [0.01, 0.99], [0.5, 0.5]])
    found = confident(sure, "confident")
    expected = stats.binomtest(2, 4).proportion_ci(method="wilson")
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_closest_other_is_the_brute_force_distance():
    images = np.random.default_rng(0).integers(0, 256, (30, 28, 28)).astype(np.uint8)
    flat = images.reshape(30, -1).astype(float)
    every = np.linalg.norm(flat[:, None] - flat[None], axis=2) + np.diag([np.inf] * 30)
    assert closest_other(images) == pytest.approx(every.min(axis=1))


def in_integers(images):
    """Squared distances between all images, (n, n), worked out in int64."""
    flat = images.reshape(len(images), -1).astype(np.int64)
    lengths = np.square(flat).sum(axis=1)
    return lengths[:, None] + lengths - 2 * flat @ flat.T


@pytest.mark.parametrize("shape", [(28, 28), (3, 32, 32), (1, 1024), (1025,)])
@pytest.mark.parametrize(("levels", "step"), [(256, 1), (2, 255), (3, 1)])
def test_closest_other_is_exact_to_the_last_digit(shape, levels, step):
    random = np.random.default_rng(2)
    images = (step * random.integers(0, levels, (60, *shape))).astype(np.uint8)
    images[7], images[8] = 0, 255
    squared = in_integers(images) + np.diag([10**12] * 60)
    assert np.array_equal(closest_other(images), np.sqrt(squared.min(axis=1)))


@pytest.mark.parametrize("near", [1_900.0, 2_000.0])
def test_near_others_are_those_of_brute_force(near, monkeypatch):
    images = np.random.default_rng(3).integers(60, 196, (130, 40, 30)).astype(np.uint8)
    expected = int((np.sqrt(in_integers(images))[np.triu_indices(130, 1)] <= near).sum())
    assert 0 < expected < 130 * 129 / 2
    assert near_others(images, near).sum() == 2 * expected
    monkeypatch.setattr("evaluator.metrics.duplicates._ROWS", 30)
    monkeypatch.setattr("evaluator.metrics.duplicates._COLUMNS", 50)
    assert near_others(images, near).sum() == 2 * expected


def test_equal_images_are_all_pairs():
    images = np.random.default_rng(4).integers(0, 256, (10, 28, 28)).astype(np.uint8)
    images[[3, 5, 9]] = images[0]
    assert near_others(images, 0.0).sum() == 2 * 6
    assert near_others(images[:1], 0.0).sum() == 2 * 0


def test_duplicates_counts_both_of_a_pair():
    images = np.random.default_rng(0).integers(0, 256, (10, 28, 28)).astype(np.uint8)
    images[7] = images[2]
    assert duplicates(near_others(images, 100.0), "d").value == 0.2


def test_interval_counts_pairs_once_and_larger_groups_by_image():
    images = np.random.default_rng(0).integers(0, 256, (100, 28, 28)).astype(np.uint8)
    images[1], images[3], images[5], images[6] = images[0], images[2], images[4], images[4]
    found = duplicates(near_others(images, 100.0), "d")
    assert found.value == 0.07
    assert (found.low, found.high) == pytest.approx(wilson(7 / (1 + 4 / 7), 100 / (1 + 4 / 7)))


def test_interval_without_duplicates_is_that_of_pairs():
    found = duplicates(near_others(np.random.default_rng(0).integers(0, 256, (100, 28, 28)).astype(np.uint8), 100.0), "d")
    assert (found.value, found.low, found.high) == (0, *wilson(0, 50))


def test_duplicates_sees_through_one_level_of_noise():
    random = np.random.default_rng(1)
    images = random.integers(2, 250, (1100, 28, 28)).astype(np.uint8)
    images[1050:] = images[0] + random.integers(-1, 2, (50, 28, 28)).astype(np.int8).view(np.uint8)
    assert duplicates(near_others(images, 100.0), "d").value == pytest.approx(51 / 1100)
    assert duplicates(near_others(images, 0.0), "d").value == 0


def test_one_image_has_no_duplicate():
    assert duplicates(near_others(np.zeros((1, 28, 28), np.uint8), 100.0), "d").value == 0


def test_agreement_is_the_share_on_the_diagonal():
    seen = one_hot(np.array([0, 1, 2, 2]), of=3)
    counts = confusion(seen, np.array([0, 1, 1, 2]))
    found = class_agreement(counts, "agreement")
    expected = stats.binomtest(3, 4).proportion_ci(method="wilson")
    assert counts.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert (found.value, found.n) == (0.75, 4)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("dimension", [3, 60])
def test_class_fid_has_the_brute_force_jackknife_interval(dimension):
    random = np.random.default_rng(0)
    asked = np.arange(120) % 2
    features = random.normal(size=(120, dimension)) + asked[:, None]
    to = [factored(moments(random.normal(size=(300, dimension)) + k)) for k in range(2)]
    found = class_fid(by_class(features, asked, 2), to, "fid")

    def mean_distance(keep):
        return np.mean([distance_of_features(features[keep][asked[keep] == k], to[k]) for k in range(2)])

    left_out = [mean_distance(np.delete(np.arange(120), slice(6 * k, 6 * k + 6))) for k in range(20)]
    half = stats.t.ppf(0.975, 19) * np.sqrt(19 / 20 * np.square(left_out - np.mean(left_out)).sum())
    assert found.value == pytest.approx(mean_distance(np.arange(120)))
    assert (found.low, found.high) == pytest.approx((max(found.value - half, 0), found.value + half))
