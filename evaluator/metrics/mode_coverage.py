"""Share of the classes that a generator draws at all.

A class is covered where at least a tenth of its equal share of the images, n / classes / 10, is surely of it: a probability of
0.9 or more. Between 0 and 1; a class that is drawn seldom counts as much as one that is drawn often, for how often see the
divergence of the class shares. With ten classes and 2,000 images it takes 20 images.

Stacked MNIST's number of modes (Srivastava et al., VEEGAN, NeurIPS 2017; Lin et al., PacGAN, NeurIPS 2018) counts each of 1,000
classes that one of 26,000 images is classified as. One is not enough here, for classifiers have errors: with an accuracy of
99 %, all classes would be hit by a generator that lacks several. Variety within a class is not looked at.
"""

from __future__ import annotations

import numpy as np

from evaluator.arrays import Floats
from evaluator.features import check_features
from evaluator.interval import LEVEL, wilson
from evaluator.measurement import Measurement
from evaluator.metrics.confidence import SURE

PART = 0.1
"""Of the equal share."""


def mode_coverage(probabilities: Floats, name: str) -> Measurement:
    """Share of the classes covered by the images, class probabilities (n, classes), n ≥ 1.

    The interval counts the classes that are surely covered, and those that may be: the Wilson interval of each class's share
    lies above the line, or reaches it. Each is that of 1 − 0.05 / classes, so that all hold at once 95 times in 100.
    """
    check_features(probabilities, least=1)
    n, classes = probabilities.shape
    line = PART / classes
    counts = np.bincount(probabilities.argmax(axis=1)[probabilities.max(axis=1) >= SURE], minlength=classes)
    ends = [wilson(int(count), n, 1 - (1 - LEVEL) / classes) for count in counts]
    covered = sum(int(count) / n >= line for count in counts)
    surely, perhaps = (sum(end >= line for end in side) for side in zip(*ends, strict=True))
    return Measurement(name, covered / classes, surely / classes, perhaps / classes, n)
