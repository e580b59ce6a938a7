import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evaluator.interval import block_bounds, jackknife, wilson


@given(st.integers(1, 5000), st.data())
def test_wilson_agrees_with_scipy(n, data):
    successes = data.draw(st.integers(0, n))
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_by_hand():
    # z² = 3.8415; 8 of 10: centre (0.8 + z²/20) / (1 + z²/10), half z √(0.016 + z²/400) / (1 + z²/10)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


@given(st.integers(40, 3000))
def test_blocks_cover_everything_once_and_evenly(n):
    bounds = block_bounds(n)
    assert [i for start, stop in bounds for i in range(start, stop)] == list(range(n))
    lengths = {stop - start for start, stop in bounds}
    assert max(lengths) - min(lengths) <= 1


def test_jackknife_of_a_mean_is_the_interval_of_the_block_means():
    # Of a mean, the delete-one-block jackknife is exactly the standard error of the 20 block means.
    x = np.random.default_rng(0).normal(size=400)
    low, high = jackknife(x.mean(), lambda start, stop: np.delete(x, slice(start, stop)).mean(), len(x))
    expected = stats.t.interval(0.95, 19, x.mean(), stats.sem(x.reshape(20, 20).mean(axis=1)))
    assert (low, high) == pytest.approx(expected)
