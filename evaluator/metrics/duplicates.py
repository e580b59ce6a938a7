"""Share of images that another image of the set repeats, exactly or nearly.

Nearly: within half the pixel distance to the closest other image that one in a thousand of the pack's hold-out images goes
below. A repeat with a little noise on it is that close; of real images only the few are that are themselves repeats, which
is why it is not half the smallest distance (Fashion-MNIST holds some, MNIST none).

Distances are exact, though the products are of float32: less 128, two bytes multiply to 2¹⁴ at most, and of 1,024 such
products every partial sum is an integer of at most 2²⁴, which float32 holds. Longer images are multiplied 1,024 values at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluator.arrays import Bytes, Floats, Integers
from evaluator.images import chunks
from evaluator.interval import wilson
from evaluator.measurement import Measurement

_EXACT = 1024
_ROWS = 500
_COLUMNS = 2500


def closest_other(images: Bytes) -> Floats:
    """Pixel distance (Euclidean, in grey levels) of each image, uint8 (n, …), to the closest other one.

    Exact, but for the root. Infinite where there is one image only.
    """
    closest = np.full(len(images), np.inf)
    for rows, columns, squared in _pairs(images):
        np.minimum(closest[rows], squared.min(axis=1), out=closest[rows])
        np.minimum(closest[columns], squared.min(axis=0), out=closest[columns])
    distances: Floats = np.sqrt(closest)
    return distances


def near_others(images: Bytes, near: float) -> Integers:
    """How many other images are within the pixel distance `near` of each, uint8 (n, …); (n,)."""
    others = np.zeros(len(images), dtype=np.int64)
    for rows, columns, squared in _pairs(images):
        close = np.sqrt(squared) <= near
        others[rows] += close.sum(axis=1)
        others[columns] += close.sum(axis=0)
    return others


def duplicates(others: Integers, name: str) -> Measurement:
    """Share of images that have another one near, `near_others` (n,); two equal images count as two.

    Wilson's interval takes images for independent, but the two of a pair count together or not at all. One of a larger group
    does not hang on one other. The variance is that of independent images times 1 + the share, among repeated images, of those
    with a single near one (2 where all are pairs, and where none is found, for then the first would be one); by this the
    number of images is divided.
    """
    n, repeated, paired = len(others), int((others > 0).sum()), int((others == 1).sum())
    together = 1 + (paired / repeated if repeated else 1)
    low, high = wilson(repeated / together, n / together)
    return Measurement(name, repeated / n, low, high, n)


def _pairs(images: Bytes) -> Iterator[tuple[slice, slice, Floats]]:
    """Squared distances of each pair once, tile by tile: rows, columns, (rows, columns); infinite where not i < j."""
    centred = (images.reshape(len(images), -1) ^ 0x80).view(np.int8)  # the bytes less 128
    lengths = np.einsum("ij,ij->i", centred, centred, dtype=np.int64).astype(np.float64)
    for rows in chunks(len(images), _ROWS):
        for start in range(rows.start, len(images), _COLUMNS):
            columns = slice(start, min(start + _COLUMNS, len(images)))
            squared = lengths[rows, None] + lengths[columns]
            for part in chunks(centred.shape[1], _EXACT):
                x, y = (centred[run, part].astype(np.float32) for run in (rows, columns))
                squared -= 2 * x @ y.T
            if start == rows.start:
                squared[np.tri(*squared.shape, dtype=np.bool_)] = np.inf
            yield rows, columns, squared
