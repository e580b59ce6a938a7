import numpy as np
import pytest
import torch
from scipy import stats
from torch_fidelity.metric_isc import isc_features_to_metric

from evaluator.errors import FeaturesError
from evaluator.metrics.inception_score import inception_score


def softmax(logits):
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True)


def test_sure_and_equally_frequent_classes_score_their_number():
    found = inception_score(np.eye(10)[np.arange(200) % 10], "is")
    assert (found.value, found.low, found.high) == pytest.approx((10, 10, 10))


def test_the_same_probabilities_everywhere_score_one():
    found = inception_score(np.tile([0.2, 0.5, 0.3], (100, 1)), "is")
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_two_images_a_split_show_two_classes_at_most():
    assert inception_score(np.eye(10)[np.arange(20) % 10], "is").value == pytest.approx(2)


@pytest.mark.parametrize("n", [500, 503])
def test_agrees_with_torch_fidelity(n):
    logits = np.random.default_rng(0).normal(0, 2, (n, 10))
    expected = isc_features_to_metric(torch.from_numpy(logits), splits=10, shuffle=False)
    found = inception_score(softmax(logits), "is")
    half = stats.t.ppf(0.975, 9) * expected["inception_score_std"] / 3  # its deviation divides by 10, the error by 9 · 10
    assert found.value == pytest.approx(expected["inception_score_mean"], rel=1e-9)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), rel=1e-9)
    assert (found.name, found.n) == ("is", n)


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (np.full((19, 2), 0.5), "19 images, expected at least 20"),
        (np.full((20, 2), 0.6), "add up to 1"),
        (np.tile([1.5, -0.5], (20, 1)), "negative"),
        (np.full((20, 2), np.nan), "NaN"),
    ],
)
def test_what_is_no_probability_is_refused(probabilities, message):
    with pytest.raises(FeaturesError, match=message):
        inception_score(probabilities, "is")
