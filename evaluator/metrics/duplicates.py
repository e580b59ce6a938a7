"""Share of images that another image of the set repeats, exactly or nearly.

Nearly: within half the pixel distance to the closest other image that one in a thousand of the pack's hold-out images goes
below. A repeat with a little noise on it is that close; of real images only the few are that are themselves repeats, which
is why it is not half the smallest distance (Fashion-MNIST holds some, MNIST none).
"""

from __future__ import annotations

import numpy as np

from evaluator.arrays import Bytes, Floats
from evaluator.images import chunks
from evaluator.interval import wilson
from evaluator.measurement import Measurement

_CHUNK = 1000


def closest_other(images: Bytes) -> Floats:
    """Pixel distance (Euclidean, in grey levels) of each image, uint8 (n, side, side), to the closest other one.

    Exact: sums of squares of bytes are integers that float64 holds. Infinite where there is one image only.
    """
    flat = images.reshape(len(images), -1).astype(np.float64)
    lengths = np.square(flat).sum(axis=1)
    closest = np.empty(len(flat))
    for rows in chunks(len(flat), _CHUNK):
        squared = lengths[rows, None] + lengths - 2 * (flat[rows] @ flat.T)
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf
        closest[rows] = np.sqrt(squared.min(axis=1))
    return closest


def duplicates(images: Bytes, near: float, name: str) -> Measurement:
    """Share of images with another one within the pixel distance `near`; Wilson interval.

    Two equal images count as two. Repeats come in groups, so the interval is a little too narrow for few, large groups.
    """
    repeated = int((closest_other(images) <= near).sum())
    low, high = wilson(repeated, len(images))
    return Measurement(name, repeated / len(images), low, high, len(images))
