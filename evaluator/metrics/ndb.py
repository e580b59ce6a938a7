"""NDB and JS: whether images fall into the cells of feature space as often as real ones do.

Richardson and Weiss, On GANs and GMMs, NeurIPS 2018. k-means of the real features gives 100 bins; NDB / K is the share of bins
in which the shares of generated and real images differ by a two-proportion z-test at 5 %, JS the Jensen-Shannon divergence of
the two histograms in nats. The authors' code does the same, with bins of pixels.

A perfect generator scores not 0 but about 0.05 in NDB / K, for one test in twenty errs, and in JS about
(K − 1) / 8 · (1 / n + 1 / m) for n and m images; and more in many dimensions without clusters, where bins fit the real images
that made them better than any others (0.13 and 0.0055 in place of 0.05 and 0.0025, measured for 10,000 images of 128 independent
features). 1, and ln 2 = 0.69, are the upper ends. NDB grows with the number of images, whose tests find ever smaller
differences: it is a number for one n only. Neither sees what happens within a bin.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.cluster.vq import kmeans2

from evaluator.arrays import Features, Floats, Integers
from evaluator.features import check_dimension, check_features, checked_features, squared_distances
from evaluator.interval import BLOCKS, LEVEL, jackknife, wilson
from evaluator.measurement import Measurement

BINS = 100
_ROUNDS = 50


@dataclass(frozen=True)
class Bins:
    """Cells of feature space, and how many real images lie in each."""

    centres: Floats
    """(K, D); an image lies in the bin whose centre is nearest."""
    counts: Integers
    """(K,)."""


def fit_bins(real: Features, bins: int = BINS, seed: int = 0) -> Bins:
    """k-means of real features (m, D), m ≥ 2 · bins, from k-means++ centres; FeaturesError for fewer, NaN or infinity.

    The same for the same seed. Holds all features in float64 at once. Where real images are equal, bins may be empty.
    """
    x = checked_features(real, least=2 * bins)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        centres, _ = kmeans2(x, bins, iter=_ROUNDS, minit="++", seed=np.random.default_rng(seed))
    return Bins(centres, _counts(_assigned(x, centres), bins))


def ndb(features: Features, bins: Bins, name: str) -> Measurement:
    """Share of bins that hold too many or too few of the generated features (n, D), n ≥ 1.

    The interval takes the bins' tests for independent and equally likely to err: both make it wider than it need be.
    """
    check_features(features, least=1)
    check_dimension(features.shape[1], bins.centres.shape[1])
    n, m, counts = len(features), int(bins.counts.sum()), _counts(_assigned(features, bins.centres), len(bins.centres))
    pooled = (counts + bins.counts) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    different = int((np.abs(counts / n - bins.counts / m) > special.ndtri(0.5 + LEVEL / 2) * error).sum())
    low, high = wilson(different, len(counts))
    return Measurement(name, different / len(counts), low, high, n)


def js(features: Features, bins: Bins, name: str) -> Measurement:
    """Jensen-Shannon divergence of the bins' shares among generated features (n, D), n ≥ 40, from those among real ones.

    Jackknife interval; images must be in random order, or in one in which classes take turns.
    """
    check_features(features, least=2 * BLOCKS)
    check_dimension(features.shape[1], bins.centres.shape[1])
    assigned, k = _assigned(features, bins.centres), len(bins.centres)
    counts = _counts(assigned, k)

    def without(start: int, stop: int) -> float:
        return _divergence(counts - _counts(assigned[start:stop], k), bins.counts)

    value = _divergence(counts, bins.counts)
    low, high = jackknife(value, without, len(features))
    return Measurement(name, value, max(low, 0.0), min(high, float(np.log(2))), len(features))


def _divergence(counts: Integers, real: Integers) -> float:
    p, q = counts / counts.sum(), real / real.sum()
    middle = (p + q) / 2
    return max(float(special.rel_entr(p, middle).sum() + special.rel_entr(q, middle).sum()) / 2, 0.0)


def _assigned(features: Features, centres: Floats) -> Integers:
    assigned = np.empty(len(features), dtype=np.int64)
    for rows, _, squared in squared_distances(features, centres):
        assigned[rows] = squared.argmin(axis=1)
    return assigned


def _counts(assigned: Integers, bins: int) -> Integers:
    return np.bincount(assigned, minlength=bins).astype(np.int64)
