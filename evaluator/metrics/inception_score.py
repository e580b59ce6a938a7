"""Inception Score: whether single images are of one class each, and all together of every class.

Salimans et al., Improved Techniques for Training GANs, NeurIPS 2016; torch-fidelity. exp E KL(p(y|x) ‖ p(y)), p(y) the mean of
p(y|x), of each tenth of the images in their order, and the mean of the ten values, as published. Between 1 (every image gets
the same probabilities) and the number of classes (each image is surely of one class, and the classes are equally frequent).

A tenth of n images can show n / 10 classes at the most: below 10 images a class, the score cannot reach its upper end, and
the value depends on n. It looks at no real images: one perfect image a class, repeated, gets the best score, and a data set
with classes other than the network's a meaningless one. The published ± is the spread of the ten values; the interval here
is that of their mean, Student's t with nine degrees of freedom.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from evaluator.arrays import Floats
from evaluator.errors import FeaturesError
from evaluator.features import check_features
from evaluator.interval import LEVEL, block_bounds
from evaluator.measurement import Measurement

SPLITS = 10
_ROUNDING = 1e-4


def inception_score(probabilities: Floats, name: str) -> Measurement:
    """Mean score of ten runs of images, class probabilities (n, classes), n ≥ 20, with its interval.

    Images must be in random order, or in one in which classes take turns. Raises FeaturesError for fewer, or for values that
    are no probabilities.
    """
    check_features(probabilities, least=2 * SPLITS)
    if probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1).max() > _ROUNDING:
        raise FeaturesError("class probabilities are negative or do not add up to 1; take the softmax of the network's outputs")
    n, classes = probabilities.shape
    scores = np.array([_score(probabilities[start:stop]) for start, stop in block_bounds(n, SPLITS)])
    half = float(special.stdtrit(SPLITS - 1, 0.5 + LEVEL / 2)) * float(scores.std(ddof=1)) / math.sqrt(SPLITS)
    value = float(scores.mean())
    return Measurement(name, value, max(value - half, 1.0), min(value + half, float(classes)), n)


def _score(probabilities: Floats) -> float:
    p = probabilities.astype(np.float64)
    return float(np.exp(special.rel_entr(p, p.mean(axis=0)).sum(axis=1).mean()))
