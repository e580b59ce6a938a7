import json

import numpy as np
import pytest
from scipy import stats

from evaluator.metrics.birthday import support


def equal_pairs(drawn):
    counts = np.bincount(drawn)
    return int((counts * (counts - 1) // 2).sum())


def test_by_hand():
    # 100 images are 4,950 pairs; Jeffreys' interval of a count c: gamma of shape c + ½
    found = support(9, 100, "support")
    low, high = stats.gamma.ppf([0.025, 0.975], 9.5)
    assert (found.value, found.low, found.high) == pytest.approx((4_950 / 9.5, 4_950 / high, 4_950 / low))
    assert (found.name, found.n) == ("support", 100)


@pytest.mark.parametrize("true", [2_000, 20_000, 200_000])
def test_intervals_cover_a_known_support(true):
    random = np.random.default_rng(true)
    covered = 0
    for _ in range(400):
        found = support(equal_pairs(random.integers(0, true, 2_000)), 2_000, "support")
        covered += found.low <= true <= found.high
    assert stats.binom.ppf(0.001, 400, 0.95) <= covered <= stats.binom.ppf(0.9999, 400, 0.95)


def test_unequal_images_count_by_their_effective_number():
    # Half of the images are one of 10, half one of 100,000: 1 / Σ p² = 1 / (0.25 / 10 + 0.25 / 100,000)
    random = np.random.default_rng(0)
    drawn = np.where(random.random(3_000) < 0.5, random.integers(0, 10, 3_000), 10 + random.integers(0, 100_000, 3_000))
    assert support(equal_pairs(drawn), 3_000, "support").value == pytest.approx(40, rel=0.1)


def test_without_a_pair_everything_is_finite_and_larger_than_with_one():
    none, one = support(0, 1_000, "support"), support(1, 1_000, "support")
    assert json.loads(json.dumps([none.value, none.low, none.high], allow_nan=False)) == [none.value, none.low, none.high]
    assert none.low > one.low
    assert none.value > one.value
    assert none.low < none.value < none.high


def test_one_image_repeated_has_a_support_of_one():
    found = support(4_950, 100, "support")
    assert found.low < 1 < found.high
