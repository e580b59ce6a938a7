"""Share of images that are, but for what `evaluator.neighbours` looks past, real ones.

An image counts where its nearest neighbour among the training and test images is closer than a threshold that one in a
thousand real images, compared with images it was held out from, passes. After Meehan, Chaudhuri and Dasgupta,
AISTATS 2020 (data copying), reduced to a calibrated count. No universal distance exists: the pack's builder calibrates it.

Range 0 … 1; about 0.001 for images as new as real ones, whose copies of each other the calibration takes in, and less for
generators, whose images are further from real ones than real ones are from each other. It does not see copies that were
blurred or rotated, nor that a generator learnt by heart what it redraws in another hand.
"""

from __future__ import annotations

import numpy as np

from evaluator.arrays import Integers
from evaluator.interval import wilson
from evaluator.measurement import Measurement
from evaluator.neighbours import Codes, nearest

HOLD_OUT_QUANTILE = 0.001
FLAG_SHARE = 0.003
_FOLDS = 10


def held_out(codes: Codes) -> Integers:
    """Squared distance (n,) of each real image, codes int8 (n, components), to the nearest one outside its tenth of them.

    Every tenth image is of the same tenth, so that what lies side by side, as one writer's digits do, is told apart too.
    """
    tenth = np.arange(len(codes)) % _FOLDS
    apart = np.empty(len(codes), dtype=np.int64)
    for k in range(_FOLDS):
        apart[tenth == k], _ = nearest(codes[tenth == k], codes[tenth != k])
    return apart


def memorised(squared_distances: Integers, threshold: float, name: str) -> Measurement:
    """Share of images whose squared distance (n,) to the nearest real image is below the threshold's; Wilson interval."""
    n = len(squared_distances)
    copies = int((squared_distances < threshold).sum())
    low, high = wilson(copies, n)
    return Measurement(name, copies / n, low, high, n)


def flagged(measurement: Measurement) -> bool:
    """Whether a person should look at a submission: the share is above 0.3 %, beyond the reach of chance.

    At 2,000 images that takes 11 copies, at 10,000 it takes 41. Images as new as real ones show 2, or 10: by the binomial
    distribution one submission in 120,000 of theirs is flagged at 2,000 images, and none in 10¹² at 10,000.
    """
    return measurement.low > FLAG_SHARE
