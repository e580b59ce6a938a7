"""What every statistic of features shares: the checks, and distances between them a tile at a time.

Features come as a network gives them, often float32 and larger than memory has room for twice; statistics are worked out
in float64, on one tile of rows and columns after the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluator.arrays import Features, Floats
from evaluator.errors import FeaturesError
from evaluator.images import chunks

ROWS = 500
COLUMNS = 5000
"""A tile of float64 of this size is 20 MB: few enough for memory, enough for matrix products at full speed."""


def check_features(features: Features, least: int) -> None:
    """Raise FeaturesError unless features are (n, D) with n ≥ `least` and finite."""
    if features.ndim != 2:
        raise FeaturesError(f"features have shape {features.shape}, expected (images, dimensions)")
    if len(features) < least:
        raise FeaturesError(f"features of {len(features)} images, expected at least {least}")
    if not all(np.isfinite(features[rows]).all() for rows in chunks(len(features), COLUMNS)):
        raise FeaturesError("features hold NaN or infinity, expected finite numbers")


def checked_features(features: Features, least: int) -> Floats:
    """Features (n, D) in float64; raises FeaturesError unless n ≥ `least` and all are finite."""
    check_features(features, least)
    return features.astype(np.float64, copy=False)


def check_dimension(dimension: int, reference: int) -> None:
    """Raise FeaturesError where features have another dimension than the reference."""
    if dimension != reference:
        raise FeaturesError(
            f"features have {dimension} dimensions, the reference {reference}: they come from different extractors"
        )


def squared_distances(of: Features, to: Features) -> Iterator[tuple[slice, slice, Floats]]:
    """Squared Euclidean distances between features (n, D) and (m, D), tile by tile: rows, columns, (rows, columns).

    Row tiles run slowest. |x|² + |y|² − 2 x·y about the mean of `to`: of the squared length of the longest of the vectors, it
    is wrong by some 10⁻¹⁵, and may be that little below 0. A tile is the caller's to change until the next one.
    """
    origin = to.mean(axis=0, dtype=np.float64)
    for rows in chunks(len(of), ROWS):
        x = of[rows] - origin
        left = np.column_stack([x, np.square(x).sum(axis=1), np.ones(len(x))])
        for columns in chunks(len(to), COLUMNS):
            y = to[columns] - origin
            yield rows, columns, left @ np.column_stack([-2 * y, np.ones(len(y)), np.square(y).sum(axis=1)]).T
