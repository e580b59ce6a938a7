"""The Fréchet distance between two Gaussians fitted to features, with a jackknife interval.

Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017; Dowson and Landau, J. Multivar. Anal. 12
(1982) 450, for the closed form |μ₁ − μ₂|² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½).

The trace of the square root comes from a triangular factor of the reference's covariance, Σ_ref = L Lᵀ: the eigenvalues
of Σ Σ_ref are those of the symmetric LᵀΣL, so Tr (ΣΣ_ref)^½ = Σ √eigvalsh(LᵀΣL). With fewer images than dimensions the
same eigenvalues, but for zeros, are those of the n×n Gram matrix of the centred features times L. Everything is
float64; covariances divide by n − 1, and are summed over blocks of rows, so that features in single precision are never copied whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas

from evaluator.arrays import Features, Floats
from evaluator.errors import FeaturesError
from evaluator.features import check_dimension, check_features, checked_features
from evaluator.images import chunks
from evaluator.interval import BLOCKS, jackknife
from evaluator.threads import SMALL, alone_if_small

_ROWS = 2048
"""Features that are held in double precision at a time."""


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of the features of a set of images."""

    mean: Floats
    """(D,)."""
    covariance: Floats
    """(D, D), divided by the number of images less one."""


@dataclass(frozen=True)
class Gaussian:
    """A distribution to compare with, the factor of its covariance worked out once."""

    mean: Floats
    factor: Floats
    """L with L Lᵀ = the covariance; lower triangular."""

    @property
    def trace(self) -> float:
        """Trace of the covariance: the features' total variance."""
        return float(np.square(self.factor).sum())


@dataclass(frozen=True)
class _Scatter:
    """Count and mean of some rows, and the sum of the outer products of what they differ from the mean by."""

    n: int
    mean: Floats
    products: Floats

    def __sub__(self, part: _Scatter) -> _Scatter:
        n = self.n - part.n
        mean = self.mean + (self.mean - part.mean) * (part.n / n)
        apart = part.mean - mean
        return _Scatter(n, mean, self.products - part.products - np.outer(apart, apart * (n * part.n / self.n)))

    @property
    def moments(self) -> Moments:
        return Moments(self.mean, self.products / (self.n - 1))


def moments(features: Features) -> Moments:
    """Mean and covariance of features, float (n, D); raises FeaturesError for n < 2 or values that are not finite."""
    return accumulate([features])


def accumulate(batches: Iterable[Features]) -> Moments:
    """Mean and covariance of features that come in batches of any sizes, each float (n, D).

    The same to the last digit however the rows are cut into batches. Raises FeaturesError for fewer than two rows, values
    that are not finite, and batches that differ in D.
    """
    return _scatter(batches, least=2).moments


def _scatter(batches: Iterable[Features], least: int) -> _Scatter:
    n = 0
    origin = total = products = np.empty(0)
    for block in _blocks(batches):
        if n == 0:
            origin = block.mean(axis=0)  # near the mean, so that nothing is lost to rounding
            total, products = np.zeros_like(origin), np.zeros((len(origin), len(origin)), order="F")
        block -= origin
        n += len(block)
        total += block.sum(axis=0)
        with alone_if_small(len(origin)):
            products = blas.dsyrk(1.0, block.T, beta=1.0, c=products, overwrite_c=1)  # the upper triangle, at half the cost
    if n < least:
        raise FeaturesError(f"features of {n} images, expected at least {least}")
    whole = np.triu(products) + np.triu(products, 1).T
    return _Scatter(n, origin + total / n, whole - np.outer(total, total / n))


def _blocks(batches: Iterable[Features]) -> Iterator[Floats]:
    """The rows of all batches, checked, in blocks of 2,048 and a last one of what is left; a block is overwritten by the next."""
    block, filled = np.empty((0, 0)), 0
    for batch in batches:
        for rows in chunks(len(batch), _ROWS):
            piece = batch[rows]
            check_features(piece, least=1)
            if not block.size:
                block = np.empty((_ROWS, piece.shape[1]))
            if piece.shape[1] != block.shape[1]:
                raise FeaturesError(f"a batch of features has {piece.shape[1]} dimensions, those before it {block.shape[1]}")
            first = piece[: _ROWS - filled]
            block[filled : filled + len(first)] = first
            filled += len(first)
            if filled == _ROWS:
                yield block
                rest = piece[len(first) :]
                block[: len(rest)] = rest
                filled = len(rest)
    if filled:
        yield block[:filled]


def factored(of: Moments) -> Gaussian:
    """Factor the covariance: Cholesky, or eigenvectors where a feature is constant or depends on the others."""
    try:
        return Gaussian(of.mean, np.linalg.cholesky(of.covariance).astype(np.float64, copy=False))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(of.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))
        return Gaussian(of.mean, np.linalg.qr(root.T).R.T)  # root = RᵀQᵀ, so root rootᵀ = RᵀR


def distance(of: Moments, to: Gaussian) -> float:
    """Fréchet distance between moments and a reference of the same dimension; never below 0."""
    check_dimension(len(of.mean), len(to.mean))
    # Products with a triangle cost half of what general ones do; BLAS wants columns, which the transposes of our rows are.
    upper = to.factor.T
    with alone_if_small(len(upper)):
        inner = blas.dtrmm(1.0, upper, blas.dtrmm(1.0, upper, of.covariance.T), side=1, trans_a=1, overwrite_b=1)
    return _assemble(of.mean, float(np.trace(of.covariance)), _sum_of_roots(inner), to)


def distance_of_features(features: Features, to: Gaussian) -> float:
    """Fréchet distance of features, float (n, D), n ≥ 2; by the n×n Gram matrix where n < D."""
    if features.ndim != 2 or len(features) >= features.shape[1]:
        return distance(moments(features), to)
    x = checked_features(features, least=2)
    check_dimension(x.shape[1], len(to.mean))
    centred = x - x.mean(axis=0)
    projected = centred @ to.factor
    root = _sum_of_roots(projected @ projected.T / (len(x) - 1))
    return _assemble(x.mean(axis=0), float(np.square(centred).sum()) / (len(x) - 1), root, to)


def distance_interval(features: Features, to: Gaussian) -> tuple[float, float, float]:
    """Fréchet distance with the ends of its 95 % interval: value, low, high. Needs at least 40 images.

    Images must be in random order, or in one in which classes take turns: the jackknife's blocks are runs of them.
    """
    without = leaving_out(features, to)
    value = distance_of_features(features, to)
    low, high = jackknife(value, without, len(features))
    return value, max(low, 0.0), high


def leaving_out(features: Features, to: Gaussian) -> Callable[[int, int], float]:
    """The Fréchet distance of all features, float (n, D), but those from `start` to `stop`, as a function of these two.

    It comes from the sums over all images less those over the ones left out, each about its own mean so that nothing is
    lost to rounding. Needs at least 40 images, and a twentieth of them or fewer left out.
    """
    n, dimension = len(features), checked_features(features[: 2 * BLOCKS], least=2 * BLOCKS).shape[1]
    if n - n // BLOCKS <= dimension:
        return lambda start, stop: distance_of_features(np.concatenate([features[:start], features[stop:]]), to)
    everything = _scatter([features], least=2)
    return lambda start, stop: distance((everything - _scatter([features[start:stop]], least=1)).moments, to)


def _sum_of_roots(symmetric: Floats) -> float:
    """Sum of the square roots of a matrix's eigenvalues; those that rounding made negative count as 0.

    Large ones by torch, whose library's threads share the work where numpy's and scipy's mostly wait for each other: on a busy
    machine, a tenth of the time. It may answer with another last digit when it is asked again; what is graded by is small, and
    numpy answers the same.
    """
    if len(symmetric) > SMALL:
        import torch  # takes a second

        values = torch.linalg.eigvalsh(torch.from_numpy(symmetric)).numpy()
    else:
        with alone_if_small(len(symmetric)):
            values = np.linalg.eigvalsh(symmetric)
    return float(np.sqrt(np.maximum(values, 0)).sum())


def _assemble(mean: Floats, trace: float, root: float, to: Gaussian) -> float:
    return max(float(np.square(mean - to.mean).sum()) + trace + to.trace - 2 * root, 0.0)
