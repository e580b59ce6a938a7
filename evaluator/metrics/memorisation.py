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
from numpy.typing import NDArray

from evaluator.arrays import Integers
from evaluator.interval import wilson
from evaluator.measurement import Measurement
from evaluator.neighbours import Codes, nearest

HOLD_OUT_QUANTILE = 0.001
FLAG_SHARE = 0.003
_FOLDS = 10


def held_out(codes: Codes, together: int = 1) -> tuple[Integers, Integers]:
    """Squared distance to, and index of, the nearest real image outside its tenth of them, for each, codes int8 (n, components).

    Every tenth image is of the same tenth, so that what lies side by side, as one writer's digits do, is told apart too; where
    some images in a row belong `together`, as a scene's do, every tenth of those groups.
    """
    tenth = np.arange(len(codes)) // together % _FOLDS
    apart, index = np.empty((2, len(codes)), dtype=np.int64)
    for k in range(_FOLDS):
        others = np.flatnonzero(tenth != k)
        apart[tenth == k], found = nearest(codes[tenth == k], codes[others])
        index[tenth == k] = others[found]
    return apart, index


def memorised(copies: NDArray[np.bool_], name: str) -> Measurement:
    """Share of images that are copies, (n,); Wilson interval."""
    n, found = len(copies), int(copies.sum())
    low, high = wilson(found, n)
    return Measurement(name, found / n, low, high, n)


def flagged(measurement: Measurement) -> bool:
    """Whether a person should look at a submission: the share is above 0.3 %, beyond the reach of chance.

    At 2,000 images that takes 11 copies, at 10,000 it takes 41. Images as new as real ones show 2, or 10: by the binomial
    distribution one submission in 120,000 of theirs is flagged at 2,000 images, and none in 10¹² at 10,000.
    """
    return measurement.low > FLAG_SHARE
