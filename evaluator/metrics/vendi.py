"""Vendi score: the effective number of different images in a set.

Friedman and Dieng, The Vendi Score, TMLR 2023. exp of the entropy of the eigenvalues of K / n, K the cosine similarity of the
images' features: 1 where all point the same way, n where all are orthogonal, and never more than the dimension D. It needs no
real images, and so says nothing of quality: noise is varied. Compare with the score of as many real images.

The features are not centred: K must hold the similarity of each image to itself, 1, and of two images whether or not others
are there. Features behind a ReLU point into the same orthant, and have scores of few where D is 128; a collapse shows as a
still smaller one.

The eigenvalues of K / n are, but for zeros, those of XᵀX / n (D × D), X the features scaled to length 1, which is the smaller
matrix for n > D.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from evaluator.arrays import Features, Floats
from evaluator.errors import FeaturesError
from evaluator.features import COLUMNS, check_features
from evaluator.images import chunks
from evaluator.interval import BLOCKS, block_bounds, jackknife
from evaluator.measurement import Measurement
from evaluator.threads import alone_if_small


def vendi(features: Features, name: str) -> Measurement:
    """Effective number of different images, features (n, D), n ≥ 40, with its jackknife interval.

    Images must be in random order, or in one in which classes take turns. Raises FeaturesError for fewer, values that are not
    finite, and features that are all 0, which have no direction.
    """
    check_features(features, least=2 * BLOCKS)
    n, dimension = features.shape
    if n > dimension:
        bounds = block_bounds(n)
        products = [_product(features[start:stop]) for start, stop in bounds]
        every = sum(products, start=np.zeros((dimension, dimension)))

        def without(start: int, stop: int) -> float:
            return _effective((every - products[bounds.index((start, stop))]) / (n - (stop - start)))
    else:
        unit = _unit(features)
        every = unit @ unit.T

        def without(start: int, stop: int) -> float:
            out = slice(start, stop)
            return _effective(np.delete(np.delete(every, out, axis=0), out, axis=1) / (n - (stop - start)))

    value = _effective(every / n)
    low, high = jackknife(value, without, n)
    return Measurement(name, value, max(low, 1.0), min(high, float(min(n, dimension))), n)


def _effective(kernel: Floats) -> float:
    """exp of the entropy of a kernel's eigenvalues, which add up to 1."""
    with alone_if_small(len(kernel)):
        return float(np.exp(special.entr(np.maximum(np.linalg.eigvalsh(kernel), 0)).sum()))


def _product(features: Features) -> Floats:
    """Σ x xᵀ, (D, D), of features scaled to length 1."""
    product = np.zeros((features.shape[1], features.shape[1]))
    for rows in chunks(len(features), COLUMNS):
        unit = _unit(features[rows])
        product += unit.T @ unit
    return product


def _unit(features: Features) -> Floats:
    x = features.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    if not lengths.all():
        raise FeaturesError("features of an image are all 0 and have no direction; leave such images out, or take others")
    unit: Floats = x / lengths
    return unit
