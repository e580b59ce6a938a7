"""Share of images that the classifier is sure of: how many look like a digit at all.

Sure means a highest class probability of at least 0.9. A share, not the mean probability, so that its Wilson interval
is exact and one hopeless image counts as one image.
"""

from __future__ import annotations

from evaluator.arrays import Floats
from evaluator.interval import wilson
from evaluator.measurement import Measurement

SURE = 0.9


def confident(probabilities: Floats, name: str) -> Measurement:
    """Share of images, probabilities (n, classes), with a class of probability ≥ 0.9; Wilson interval."""
    sure = int((probabilities.max(axis=1) >= SURE).sum())
    n = len(probabilities)
    low, high = wilson(sure, n)
    return Measurement(name, sure / n, low, high, n)
