"""Precision, recall, density and coverage: fidelity and variety apart, by balls around images in feature space.

Kynkäänniemi et al., Improved Precision and Recall Metric, NeurIPS 2019: around each image of a set, a ball that reaches to
its third-nearest other one; precision is the share of generated images in a ball of the real ones, recall the share of real
images in a ball of the generated ones. Naeem et al., Reliable Fidelity and Diversity Metrics, ICML 2020, with balls that
reach to the fifth-nearest: density is the number of real balls that a generated image lies in, a fifth of it, on average;
coverage is the share of real balls that hold a generated image. The packages torch-fidelity and prdc agree but for ties:
balls hold their boundary here, as in the first paper, so that images without any spread lie in each other's balls.

All are shares from 0 to 1, but density, which is 1 on average where the distributions agree and has no upper end. Precision
is blind to how often, recall to how seldom, and both take one outlier's large ball for a region of the data; density and
coverage do less. A perfect generator does not reach 1 in the others: coverage is 1 − ½⁵ ≈ 0.97 for as many generated as real
images. Values depend on both numbers of images, and on the extractor.

The real images are the yardstick: intervals are for other images of the same generator. Those of recall and coverage are too
wide where the value is near its upper end (they held the mean 150 times in 150, and were twice as wide as need be).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evaluator.arrays import Features, Floats, Integers
from evaluator.features import COLUMNS, check_dimension, check_features, squared_distances
from evaluator.images import chunks
from evaluator.interval import BLOCKS, LEVEL, block_bounds, jackknife, wilson
from evaluator.measurement import Measurement

NEAREST_PR = 3
NEAREST_DC = 5
_KNOWN = 6
"""Neighbours known of a generated image: where some fall into the block left out, the next ones take their places."""
_ROUNDING = 1e-10
"""Squared distances that differ by this part of the largest squared length are equal."""

_GROUPS = 100
_FEW = 50

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Neighbourhoods:
    """Which of n generated images lie in balls of m real ones, and the reverse; all four metrics are counts of it."""

    precise: Bools
    """(n,): generated images in a real ball (third-nearest)."""
    balls: Integers
    """(n,): real balls (fifth-nearest) that the generated image lies in."""
    recalled: Bools
    """(m,): real images in a generated ball (third-nearest)."""
    recalled_without: Bools
    """(m, 20): the same with each block of generated images left out, all balls drawn anew."""
    visitors: Integers
    """(m, 20): generated images of each block in the real image's ball (fifth-nearest)."""

    @classmethod
    def of(cls, features: Features, real: Features, radii_of_real: Floats | None = None) -> Neighbourhoods:
        """Compare features (n, D), n ≥ 40, with real ones (m, D), m ≥ 6; FeaturesError for fewer, NaN, another dimension.

        `radii_of_real` are `radii` of the real ones, where they are known already.
        """
        check_features(features, least=2 * BLOCKS)
        check_features(real, least=NEAREST_DC + 1)
        check_dimension(features.shape[1], real.shape[1])
        n, m = len(features), len(real)
        block = np.repeat(np.arange(BLOCKS), [stop - start for start, stop in block_bounds(n)])
        slack = _ROUNDING * max(_largest(features, real), _largest(real, real))
        real_radii = (radii(real) if radii_of_real is None else radii_of_real) + slack
        own, index = _nearest_others(features, _KNOWN)
        own += slack
        without = _radii_without(own, block[index])
        found = cls(
            precise=np.zeros(n, dtype=np.bool_),
            balls=np.zeros(n, dtype=np.int64),
            recalled=np.zeros(m, dtype=np.bool_),
            recalled_without=np.zeros((m, BLOCKS), dtype=np.bool_),
            visitors=np.zeros((m, BLOCKS), dtype=np.int64),
        )
        for rows, columns, squared in squared_distances(features, real):
            found._enter_real_balls(rows, columns, squared, real_radii[columns], block[rows])
            found._enter_generated_balls(columns, squared, own[rows], without[rows], block[rows])
        return found

    def _enter_real_balls(self, rows: slice, columns: slice, squared: Floats, radii: Floats, block: Integers) -> None:
        """Count the pairs of a tile of squared distances that lie within the real images' radii, (columns, 5)."""
        image, ball = _where(squared <= radii[:, NEAREST_DC - 1])
        self.balls[rows] += np.bincount(image, minlength=len(squared))
        np.add.at(self.visitors[columns], (ball, block[image]), 1)
        within = squared[image, ball] <= radii[ball, NEAREST_PR - 1]
        self.precise[rows][image[within]] = True

    def _enter_generated_balls(self, columns: slice, squared: Floats, radii: Floats, without: Floats, block: Integers) -> None:
        """Mark the real images of a tile within the generated images' radii, (rows, 6), or those without a block, (rows, 20)."""
        settled = self.recalled[columns] & self.recalled_without[columns].all(axis=1)
        ball, image = _where((squared <= radii[:, -1:]) & ~settled)
        reach = squared[ball, image]
        self.recalled[columns][image[reach <= radii[ball, NEAREST_PR - 1]]] = True
        for k in range(BLOCKS):
            within = (block[ball] != k) & (reach <= without[ball, k])
            self.recalled_without[columns][image[within], k] = True


def radii(real: Features) -> Floats:
    """Squared distances of real features (m, D), m ≥ 6, to their five nearest others, nearest first; (m, 5).

    Raises FeaturesError for fewer, or values that are not finite.
    """
    check_features(real, least=NEAREST_DC + 1)
    return _nearest_others(real, NEAREST_DC)[0]


def precision(of: Neighbourhoods, name: str) -> Measurement:
    """Share of generated images in a ball of the real ones; they are independent of each other: Wilson interval."""
    inside, n = int(of.precise.sum()), len(of.precise)
    low, high = wilson(inside, n)
    return Measurement(name, inside / n, low, high, n)


def recall(of: Neighbourhoods, name: str) -> Measurement:
    """Share of real images in a ball of the generated ones; jackknife interval."""
    return _share(of, float(of.recalled.mean()), of.recalled_without.mean(axis=0), name)


def density(of: Neighbourhoods, name: str) -> Measurement:
    """Mean number of real balls that a generated image lies in, divided by 5; Student's t interval of that mean."""
    n = len(of.balls)
    value = float(of.balls.mean()) / NEAREST_DC
    half = float(special.stdtrit(n - 1, 0.5 + LEVEL / 2) * of.balls.std(ddof=1) / np.sqrt(n)) / NEAREST_DC
    return Measurement(name, value, max(value - half, 0.0), value + half, n)


def coverage(of: Neighbourhoods, name: str) -> Measurement:
    """Share of real images whose ball holds a generated one; jackknife interval."""
    every = of.visitors.sum(axis=1)
    without = (every[:, None] > of.visitors).mean(axis=0)
    return _share(of, float((every > 0).mean()), without, name)


def _share(of: Neighbourhoods, value: float, without: Floats, name: str) -> Measurement:
    n = len(of.precise)
    bounds = block_bounds(n)
    low, high = jackknife(value, lambda start, stop: float(without[bounds.index((start, stop))]), n)
    return Measurement(name, value, max(low, 0.0), min(high, 1.0), n)


def _nearest_others(x: Features, k: int) -> tuple[Floats, Integers]:
    """Squared distances to the k nearest other images of a set, nearest first, and which they are; (n, k) each."""
    squared, index = np.full((len(x), k), np.inf), np.zeros((len(x), k), dtype=np.int64)
    for rows, columns, tile in squared_distances(x, x):
        own = np.arange(max(rows.start, columns.start), min(rows.stop, columns.stop))
        tile[own - rows.start, own - columns.start] = np.inf
        near, at = _smallest(tile, min(k, tile.shape[1]))
        both = np.concatenate([squared[rows], near], axis=1)
        order = np.argsort(both, axis=1, kind="stable")[:, :k]
        squared[rows] = np.take_along_axis(both, order, axis=1)
        index[rows] = np.take_along_axis(np.concatenate([index[rows], at + columns.start], axis=1), order, axis=1)
    return squared, index


def _smallest(tile: Floats, k: int) -> tuple[Floats, Integers]:
    """The k smallest of each row and their columns, in any order.

    The k-th smallest of the minima of 100 groups of columns is no less than the k-th smallest of all, and few are below it: to
    sort those is twice as fast as to partition all, unless very many are equal.
    """
    rows, columns = tile.shape
    grouped = tile[:, : columns // _GROUPS * _GROUPS].reshape(rows, -1, _GROUPS)
    if grouped.shape[1] > 1:
        bound = np.partition(grouped.min(axis=1), k - 1, axis=1)[:, k - 1 : k]
        row, column = _where(tile <= bound)
        if len(row) < _FEW * rows:
            values = tile[row, column]
            first = np.searchsorted(row, np.arange(rows))
            chosen = np.lexsort((values, row))[first[:, None] + np.arange(k)]
            return values[chosen], column[chosen]
    at = np.argpartition(tile, k - 1, axis=1)[:, :k]
    return np.take_along_axis(tile, at, axis=1), at


def _where(inside: Bools) -> tuple[Integers, Integers]:
    """Rows and columns of what is true, row by row; of few in many, numpy finds those of one dimension ten times as fast."""
    row, column = np.divmod(np.flatnonzero(inside), inside.shape[1])
    return row, column


def _radii_without(squared: Floats, blocks: Integers) -> Floats:
    """Squared radius of each generated image's ball with each block left out, (n, 20), from its nearest ones' blocks (n, 6).

    Where more than three of the six are left out at once, the sixth stands for one farther away.
    """
    radii = np.empty((len(squared), BLOCKS))
    for k in range(BLOCKS):
        rank = np.cumsum(blocks != k, axis=1)
        place = np.minimum((rank < NEAREST_PR).sum(axis=1), squared.shape[1] - 1)
        radii[:, k] = squared[np.arange(len(squared)), place]
    return radii


def _largest(x: Features, real: Features) -> float:
    """Largest squared length about the mean of the real features."""
    origin = real.mean(axis=0, dtype=np.float64)
    return max(float(np.square(x[rows] - origin).sum(axis=1).max()) for rows in chunks(len(x), COLUMNS))
