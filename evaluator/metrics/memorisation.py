"""Share of images that are, but for noise, real ones.

An image counts where its nearest neighbour among the training and test images is closer than a threshold that one in a
thousand real images, compared with a set it does not belong to, passes. After Meehan, Chaudhuri and Dasgupta,
AISTATS 2020 (data copying), reduced to a calibrated count. No universal distance exists: the pack's builder calibrates it.
"""

from __future__ import annotations

from evaluator.arrays import Integers
from evaluator.interval import wilson
from evaluator.measurement import Measurement

HOLD_OUT_QUANTILE = 0.001
FLAG_SHARE = 0.003


def memorised(squared_distances: Integers, threshold: float, name: str) -> Measurement:
    """Share of images whose squared distance (n,) to the nearest real image is below the threshold's; Wilson interval."""
    n = len(squared_distances)
    copies = int((squared_distances < threshold).sum())
    low, high = wilson(copies, n)
    return Measurement(name, copies / n, low, high, n)


def flagged(measurement: Measurement) -> bool:
    """Whether a person should look at a submission: the share is above 0.3 %, beyond the reach of chance.

    At 2,000 images that takes 11 copies. Images as new as real ones show 2, and 11 or more once in 10⁵ submissions.
    """
    return measurement.low > FLAG_SHARE
