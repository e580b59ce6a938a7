"""The Fréchet distance between two Gaussians fitted to features, with a jackknife interval.

Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017; Dowson and Landau, J. Multivar. Anal. 12
(1982) 450, for the closed form |μ₁ − μ₂|² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½).

The trace of the square root comes from a factor of the reference's covariance, Σ_ref = L Lᵀ: the eigenvalues of
Σ Σ_ref are those of the symmetric LᵀΣL, so Tr (ΣΣ_ref)^½ = Σ √eigvalsh(LᵀΣL). With fewer images than dimensions the
same eigenvalues, but for zeros, are those of the n×n Gram matrix of the centred features times L. Everything is
float64; covariances divide by n − 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evaluator.arrays import Features, Floats
from evaluator.features import check_dimension, checked_features
from evaluator.interval import BLOCKS, jackknife


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
    """L with L Lᵀ = the covariance."""

    @property
    def trace(self) -> float:
        """Trace of the covariance: the features' total variance."""
        return float(np.square(self.factor).sum())


def moments(features: Features) -> Moments:
    """Mean and covariance of features, float (n, D); raises FeaturesError for n < 2 or values that are not finite."""
    x = checked_features(features, least=2)
    centred = x - x.mean(axis=0)
    return Moments(x.mean(axis=0), centred.T @ centred / (len(x) - 1))


def factored(of: Moments) -> Gaussian:
    """Factor the covariance: Cholesky, or eigenvectors where a feature is constant or depends on the others."""
    try:
        return Gaussian(of.mean, np.linalg.cholesky(of.covariance).astype(np.float64, copy=False))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(of.covariance)
        factor: Floats = vectors * np.sqrt(np.maximum(values, 0))
        return Gaussian(of.mean, factor)


def distance(of: Moments, to: Gaussian) -> float:
    """Fréchet distance between moments and a reference of the same dimension; never below 0."""
    check_dimension(len(of.mean), len(to.mean))
    inner = to.factor.T @ of.covariance @ to.factor
    root = float(np.sqrt(np.maximum(np.linalg.eigvalsh(inner), 0)).sum())
    return _assemble(of.mean, float(np.trace(of.covariance)), root, to)


def distance_of_features(features: Features, to: Gaussian) -> float:
    """Fréchet distance of features, float (n, D), n ≥ 2; by the n×n Gram matrix where n < D."""
    x = checked_features(features, least=2)
    if len(x) >= x.shape[1]:
        return distance(moments(x), to)
    check_dimension(x.shape[1], len(to.mean))
    centred = x - x.mean(axis=0)
    projected = centred @ to.factor
    gram = projected @ projected.T / (len(x) - 1)
    root = float(np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0)).sum())
    return _assemble(x.mean(axis=0), float(np.square(centred).sum()) / (len(x) - 1), root, to)


def distance_interval(features: Features, to: Gaussian) -> tuple[float, float, float]:
    """Fréchet distance with the ends of its 95 % interval: value, low, high. Needs at least 40 images.

    Images must be in random order, or in one in which classes take turns: the jackknife's blocks are runs of them.
    """
    x = checked_features(features, least=2 * BLOCKS)
    value = distance_of_features(x, to)
    low, high = jackknife(value, leaving_out(x, to), len(x))
    return value, max(low, 0.0), high


def leaving_out(features: Features, to: Gaussian) -> Callable[[int, int], float]:
    """The Fréchet distance of all features, float (n, D), but those from `start` to `stop`, as a function of these two.

    It comes from sums over all images less the sums over those left out, about a common origin near the mean so that
    nothing is lost to rounding. Needs at least 40 images, and a twentieth of them or fewer left out.
    """
    x = checked_features(features, least=2 * BLOCKS)
    if len(x) - len(x) // BLOCKS <= x.shape[1]:
        return lambda start, stop: distance_of_features(np.concatenate([x[:start], x[stop:]]), to)
    origin = x.mean(axis=0)
    shifted = x - origin
    products = shifted.T @ shifted

    def without(start: int, stop: int) -> float:
        block, n = shifted[start:stop], len(x) - (stop - start)
        total = -block.sum(axis=0)
        scatter = products - block.T @ block - np.outer(total, total) / n
        return distance(Moments(origin + total / n, scatter / (n - 1)), to)

    return without


def _assemble(mean: Floats, trace: float, root: float, to: Gaussian) -> float:
    return max(float(np.square(mean - to.mean).sum()) + trace + to.trace - 2 * root, 0.0)
