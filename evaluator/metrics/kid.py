"""Kernel distance: the squared maximum mean discrepancy between features of generated and of real images.

Bińkowski, Sutherland, Arbel and Gretton, Demystifying MMD GANs, ICLR 2018, whose code torch-fidelity follows. The kernel is
(x·y / D + 1)³, D the dimension of the features. The estimate is unbiased (images are not paired with themselves), whatever
their number: 0 on average for a perfect generator, and for single sets of images below 0 as often as above. No upper end.

Published values are means over 100 random subsets of 1,000 images or so, for want of memory. The mean of all subsets is the
value of all pairs, which is worked out here: same expectation, less noise, no seed. The ± that is published with them is the
spread of the subsets, not the error of the mean.

It compares the first three moments only, and says little of a few bad images among many. The interval is that of the
generated images; the real ones are the yardstick, and the same in all comparisons.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from evaluator.arrays import Features, Floats
from evaluator.features import check_dimension, check_features
from evaluator.images import chunks
from evaluator.interval import BLOCKS, block_bounds, jackknife
from evaluator.measurement import Measurement

_TILE = 500
_MOMENTS_UP_TO = 256
"""Dimensions up to which third moments, D³ / 3 multiplications an image, may be the faster way and fit into memory."""


def mmd(x: Features, y: Features) -> float:
    """Unbiased estimate of the squared discrepancy between features, (n, D) and (m, D), n and m ≥ 2.

    Raises FeaturesError for fewer, values that are not finite, or dimensions that differ.
    """
    _check(x, y, least=2)
    sums = _kernel_sums([x, y])
    return _unbiased(sums[0, 0] - _own(x), sums[1, 1] - _own(y), sums[0, 1], len(x), len(y))


def kid(features: Features, real: Features, name: str) -> Measurement:
    """Kernel distance of generated features (n, D), n ≥ 40, to real ones (m, D), m ≥ 2, with its jackknife interval.

    Images must be in random order, or in one in which classes take turns: the jackknife's blocks are runs of them.
    """
    _check(features, real, least=2 * BLOCKS)
    n, m, bounds = len(features), len(real), block_bounds(len(features))
    blocks = [features[start:stop] for start, stop in bounds]
    sums = _kernel_sums([*blocks, real])
    among, across, reals = sums[:-1, :-1], sums[:-1, -1], float(sums[-1, -1]) - _own(real)
    own = np.array([_own(block) for block in blocks])

    def without(start: int, stop: int) -> float:
        k = bounds.index((start, stop))
        left = np.delete(np.delete(among, k, axis=0), k, axis=1).sum() - np.delete(own, k).sum()
        return _unbiased(left, reals, np.delete(across, k).sum(), n - (stop - start), m)

    value = _unbiased(among.sum() - own.sum(), reals, across.sum(), n, m)
    low, high = jackknife(value, without, n)
    return Measurement(name, value, low, high, n)


def _check(x: Features, y: Features, least: int) -> None:
    check_features(x, least)
    check_features(y, least=2)
    check_dimension(x.shape[1], y.shape[1])


def _unbiased(among_x: float, among_y: float, across: float, n: int, m: int) -> float:
    return float(among_x / (n * (n - 1)) + among_y / (m * (m - 1)) - 2 * across / (n * m))


def _own(x: Features) -> float:
    """Sum of the kernel of each image with itself."""
    squared = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    return float(np.power(squared / x.shape[1] + 1, 3).sum())


def _lifted(x: Features) -> Floats:
    """z(x), (n, D + 1), with z(x) · z(y) = x·y / D + 1, the kernel's cube root."""
    return np.column_stack([x.astype(np.float64) / math.sqrt(x.shape[1]), np.ones(len(x))])


def _kernel_sums(blocks: Sequence[Features]) -> Floats:
    """Sums of the kernel over all pairs of two blocks' images, (blocks, blocks), by the way that multiplies less."""
    images, dimension = sum(map(len, blocks)), blocks[0].shape[1]
    if dimension <= _MOMENTS_UP_TO and 2 * dimension**2 < 3 * images:
        return _sums_by_moments(blocks)
    return _sums_by_pairs(blocks)


def _sums_by_pairs(blocks: Sequence[Features]) -> Floats:
    sums = np.zeros((len(blocks), len(blocks)))
    for i, j in itertools.combinations_with_replacement(range(len(blocks)), 2):
        sums[i, j] = sums[j, i] = _sum_of_cubes(blocks[i], blocks[j])
    return sums


def _sum_of_cubes(x: Features, y: Features) -> float:
    total = 0.0
    for rows in chunks(len(x), _TILE):
        for columns in chunks(len(y), _TILE):
            roots = _lifted(x[rows]) @ _lifted(y[columns]).T
            total += float(np.vdot(roots * roots, roots))
    return total


def _sums_by_moments(blocks: Sequence[Features]) -> Floats:
    """Sums of (z·z')³ as inner products of the blocks' third moments M = Σ z ⊗ z ⊗ z, which are symmetric.

    For each first index only the entries with no smaller one among the other two are worked out. They stand for all three
    places where that index may be; entries that have it two or three times would be counted twice, or three times, too often.
    """
    rows = [np.ascontiguousarray(_lifted(block).T) for block in blocks]
    sums = np.zeros((len(blocks), len(blocks)))
    for first in range(len(rows[0])):
        entries = np.stack([(z[first:] * z[first]) @ z[first:].T for z in rows])
        entries[:, 0, 1:] *= math.sqrt(1 / 2)
        entries[:, 1:, 0] *= math.sqrt(1 / 2)
        entries[:, 0, 0] *= math.sqrt(1 / 3)
        flat = entries.reshape(len(blocks), -1)
        sums += 3 * (flat @ flat.T)
    return sums
