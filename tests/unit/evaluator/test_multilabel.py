import numpy as np
import pytest
from scipy import stats

from evaluator.errors import FeaturesError, LabelsError
from evaluator.metrics.multilabel import exact_match, extra_labels, topk_accuracy

ASKED = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1]])
SEEN = np.array([[0.9, 0.8, 0, 0], [0.9, 0.1, 0.2, 0], [0.3, 0.7, 0.6, 0.55]])
"""Top-k hits 1 of 1, 1 of 2 and 3 of 3; above 0.5 are one too many, one too few, and exactly those asked for."""


def random_case(seed, n, labels=24):
    random = np.random.default_rng(seed)
    asked = np.zeros((n, labels), int)
    for row in asked:
        row[random.choice(labels, random.integers(1, 4), replace=False)] = 1
    return np.clip(random.normal(0.2 + 0.4 * asked, 0.2), 0, 1), asked


def by_loop(probabilities, asked):
    hits = sum(len({*np.argsort(-p)[: a.sum()]} & {*np.flatnonzero(a)}) for p, a in zip(probabilities, asked, strict=True))
    return hits / asked.sum()


def test_by_hand():
    assert topk_accuracy(SEEN, ASKED, "m").value == pytest.approx(5 / 6)
    assert exact_match(SEEN, ASKED, "m").value == pytest.approx(1 / 3)
    assert extra_labels(SEEN, ASKED, "m").value == pytest.approx(1 / 3)


def test_labels_are_pooled_not_averaged_over_images():
    seen, asked = random_case(0, 200)
    found = topk_accuracy(seen, asked, "m")
    assert found.value == pytest.approx(by_loop(seen, asked))
    assert (found.name, found.n) == ("m", 200)


def test_booleans_do_as_well():
    assert topk_accuracy(SEEN, ASKED.astype(bool), "m") == topk_accuracy(SEEN, ASKED, "m")


def test_equal_outputs_go_to_the_lower_label():
    same = np.full((2, 4), 0.5)
    assert topk_accuracy(same, np.array([[1, 1, 0, 0]] * 2), "m").value == 1
    assert topk_accuracy(same, np.array([[0, 0, 1, 1]] * 2), "m").value == 0


def test_a_half_is_not_above_a_half():
    assert exact_match(np.full((2, 4), 0.5), np.ones((2, 4), int), "m").value == 0
    assert extra_labels(np.full((2, 4), 0.5), np.array([[1, 0, 0, 0]] * 2), "m").value == 0


def test_interval_by_hand():
    # R = 5/6; residuals of the images 1 − R, 1 − 2R, 3 − 3R = (1, −4, 3)/6; variance 3/2 · 26/36 / 36
    half = stats.t.ppf(0.975, 2) * np.sqrt(3 / 2 * 26 / 36) / 6
    found = topk_accuracy(SEEN, ASKED, "m")
    assert (found.low, found.high) == (pytest.approx(5 / 6 - half), 1)


def test_with_one_label_an_image_the_interval_is_that_of_a_mean():
    seen, asked = np.random.default_rng(1).random((50, 5)), np.eye(5, dtype=int)[np.arange(50) % 5]
    hit = (seen.argmax(axis=1) == np.arange(50) % 5).astype(float)
    found = topk_accuracy(seen, asked, "m")
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 49, hit.mean(), stats.sem(hit)))


@pytest.mark.parametrize("metric", [topk_accuracy, exact_match, extra_labels])
def test_repeating_every_image_makes_no_interval_narrower_when_prompts_are_known(metric):
    seen, asked = random_case(2, 30)
    once = metric(seen, asked, "m")
    again = metric(np.repeat(seen, 5, axis=0), np.repeat(asked, 5, axis=0), "m", clusters=np.repeat(np.arange(30) + 7, 5))
    assert (again.value, again.low, again.high) == pytest.approx((once.value, once.low, once.high))
    assert again.n == 150


def test_extra_labels_have_the_interval_of_a_mean():
    seen, asked = random_case(3, 60)
    extra = ((seen > 0.5) & (asked == 0)).sum(axis=1)
    found = extra_labels(seen, asked, "m")
    assert (found.value, found.low, found.high) == pytest.approx(
        (extra.mean(), *stats.t.interval(0.95, 59, extra.mean(), stats.sem(extra)))
    )


def test_perfect_and_hopeless_images_get_the_interval_of_as_many_trials_as_clusters():
    asked = np.eye(4, dtype=int)[np.arange(40) % 4]
    clusters = np.arange(40) % 8
    perfect = topk_accuracy(asked.astype(float), asked, "m", clusters)
    expected = stats.binomtest(8, 8).proportion_ci(method="wilson")
    assert (perfect.value, perfect.low, perfect.high) == pytest.approx((1, expected.low, 1))
    hopeless = exact_match(1.0 - asked, asked, "m", clusters)
    assert (hopeless.value, hopeless.low, hopeless.high) == pytest.approx((0, 0, 1 - expected.low))


def test_interval_covers_the_truth_when_images_of_a_prompt_are_alike():
    # Hits of prompt c: Beta(6, 2), its images all with that chance; 95 of 100 intervals should hold the mean, 3/4.
    random = np.random.default_rng(4)
    asked, clusters = np.tile([1, 0], (320, 1)), np.repeat(np.arange(32), 10)
    covered = 0
    for _ in range(300):
        hit = random.random(320) < np.repeat(random.beta(6, 2, 32), 10)
        found = topk_accuracy(np.column_stack([hit, ~hit]).astype(float), asked, "m", clusters)
        covered += found.low <= 0.75 <= found.high
    assert stats.binom.ppf(0.001, 300, 0.95) <= covered


@pytest.mark.parametrize(
    ("asked", "clusters", "message"),
    [
        (ASKED[:, :3], None, r"shape \(3, 3\), expected \(3, 4\)"),
        (ASKED * 2, None, "from 0 to 2, expected 1"),
        (np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]), None, "image 1 was asked for without any label"),
        (ASKED, np.zeros(3, int), "single image or prompt"),
        (ASKED, np.zeros(2, int), r"clusters have shape \(2,\), expected \(3,\)"),
    ],
)
def test_unfit_labels_are_refused(asked, clusters, message):
    with pytest.raises(LabelsError, match=message):
        topk_accuracy(SEEN, asked, "m", clusters)


def test_outputs_that_are_not_numbers_are_refused():
    with pytest.raises(FeaturesError, match="NaN"):
        topk_accuracy(SEEN * np.nan, ASKED, "m")
