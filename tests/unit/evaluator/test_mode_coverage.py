import numpy as np
import pytest
from scipy import stats

from evaluator.errors import FeaturesError
from evaluator.metrics.mode_coverage import mode_coverage


def drawn(counts, sure=1.0):
    """Probabilities of so many images of each class, the rest of `sure` spread over the other classes."""
    k = len(counts)
    rows = np.full((k, k), (1 - sure) / (k - 1)) + np.eye(k) * (sure - (1 - sure) / (k - 1))
    return np.repeat(rows, counts, axis=0)


def test_all_classes_in_equal_shares_are_covered():
    found = mode_coverage(drawn([200] * 10), "modes")
    assert (found.value, found.low, found.high, found.n) == (1, 1, 1, 2_000)


def test_a_tenth_of_the_equal_share_is_enough_and_less_is_not():
    # 2,000 images, 10 classes: 20 images each
    assert mode_coverage(drawn([20, 19, 1_961] + [0] * 7), "modes").value == 0.2


def test_images_that_no_class_is_sure_of_cover_none():
    assert mode_coverage(drawn([10, 10], sure=0.89), "modes").value == 0
    assert mode_coverage(drawn([10, 10], sure=0.9), "modes").value == 1


def test_interval_counts_what_is_surely_and_what_may_be_covered():
    counts = [400, 30, 15, 5, 1_550] + [0] * 5
    ends = [stats.binomtest(c, 2_000).proportion_ci(1 - 0.05 / 10, method="wilson") for c in counts]
    found = mode_coverage(drawn(counts), "modes")
    assert found.value == 0.3
    assert found.low == sum(end.low >= 0.01 for end in ends) / 10 == 0.2
    assert found.high == sum(end.high >= 0.01 for end in ends) / 10 == 0.4


def test_no_images_are_refused():
    with pytest.raises(FeaturesError, match="0 images"):
        mode_coverage(np.zeros((0, 10)), "modes")
