"""AuthPct: the share of generated images that are not closer to a training image than training images are to each other.

Alaa, van Breugel, Saveliev and van der Schaar, How Faithful is your Synthetic Data?, ICML 2022. An image is authentic where its
distance to the nearest training image is larger than that training image's own distance to its nearest other training image.
Between 0 and 1. 0 where every image is a copy. Images as new as real ones score about ½, for of a training image, its
nearest other and a new one, either may be closer; blurred or noisy ones, far from all data, score towards 1, so that a high
value praises nobody. Training images that repeat each other hide copies of them but for exact ones: a distance of 0 is never
authentic.
"""

from __future__ import annotations

import numpy as np

from evaluator.arrays import Integers
from evaluator.interval import wilson
from evaluator.measurement import Measurement
from evaluator.neighbours import Codes

_ROWS = 250
_COLUMNS = 4000


def authenticity(squared: Integers, index: Integers, own: Integers, name: str) -> Measurement:
    """Share of authentic images, from the squared distance (n,) to and index (n,) of the nearest training image of each.

    `own` (m,) is `own_nearest` of the training images. Generated images are independent given those: Wilson interval.
    """
    n, authentic = len(squared), int((squared > own[index]).sum())
    low, high = wilson(authentic, n)
    return Measurement(name, authentic / n, low, high, n)


def own_nearest(codes: Codes) -> Integers:
    """Squared distance of each code, int8 (m, components), m ≥ 2, to the nearest other one of the set; 0 where it is repeated.

    Exact for up to 250 components: every partial sum of half squared lengths and products is a multiple of ½ below 2²³, which
    float32 holds.
    """
    x = codes.astype(np.float32)
    half = np.square(x).sum(axis=1) / 2
    left, right = np.column_stack([x, half, np.ones_like(half)]), np.column_stack([-x, np.ones_like(half), half])
    nearest = np.full(len(x), np.inf, dtype=np.float32)
    for top in range(0, len(x), _ROWS):
        rows = slice(top, top + _ROWS)
        for start in range(top, len(x), _COLUMNS):
            columns = slice(start, start + _COLUMNS)
            tile = left[rows] @ right[columns].T
            if start == top:
                tile[np.tri(*tile.shape, dtype=np.bool_)] = np.inf
            np.minimum(nearest[rows], tile.min(axis=1), out=nearest[rows])
            np.minimum(nearest[columns], tile.min(axis=0), out=nearest[columns])
    return (2 * nearest).astype(np.int64)
