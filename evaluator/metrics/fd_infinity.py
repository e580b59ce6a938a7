"""FD∞: the Fréchet distance that infinitely many images would have.

Chong and Forsyth, Effectively Unbiased FID and Inception Score, CVPR 2020. The distance of N images is too large by a / N, a
depending on the generator; a line in 1 / N, fitted by least squares to the distances of several N, meets the axis at the
distance without bias. 0 is best, on either side; there is no upper end.

Counts are evenly spaced in 1 / N: n, n / 2, …, n / 8. Of each count, the distance is the mean over all runs of so many
consecutive images, steadier than the paper's one random subset, and without a seed. The line is one only
where N is well above the dimension D: fewer than D + 1 images in the smallest run are refused.

The line removes the mean error, not the chance error of the images: each of the distances uses all of them, so that it is, to
first order, that of the distance of all n, and its jackknife gives half the interval's width. What the line leaves of the
bias, some per cent with the opposite sign where the smallest run is but a few times D, is bounded by the step from the line's
intercept to a parabola's, which is added.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.polynomial import Polynomial

from evaluator.arrays import Features, Floats
from evaluator.errors import FeaturesError
from evaluator.features import check_features, checked_features
from evaluator.frechet import Gaussian, distance_interval, distance_of_features
from evaluator.interval import BLOCKS
from evaluator.measurement import Measurement

POINTS = 8


def curve(features: Features, to: Gaussian, counts: Sequence[int]) -> Floats:
    """Fréchet distance at each number of images, (counts,): the mean over all runs of so many of the features (n, D).

    Raises FeaturesError for a count below 2 or above n.
    """
    check_features(features, least=2)
    n = len(features)
    if not all(2 <= count <= n for count in counts):
        raise FeaturesError(
            f"distances of {min(counts):,} to {max(counts):,} images were asked for, expected 2 to {n:,}, as there are"
        )
    return np.array([np.mean([distance_of_features(run, to) for run in _runs(features, count)]) for count in counts])


def fd_infinity(features: Features, to: Gaussian, name: str) -> Measurement:
    """Distance extrapolated to infinitely many images, features (n, D), with its interval; n ≥ 40 and n ≥ 8 (D + 1).

    Images must be in random order, or in one in which classes take turns.
    """
    x = checked_features(features, least=max(2 * BLOCKS, POINTS * (len(to.mean) + 1)))
    counts = [len(x) // part for part in range(1, POINTS + 1)]
    rates, distances = 1 / np.array(counts), curve(x, to, counts)
    line, parabola = (float(Polynomial.fit(rates, distances, degree)(0.0)) for degree in (1, 2))
    all_images, _, high = distance_interval(x, to)
    half = high - all_images + abs(parabola - line)
    return Measurement(name, line, line - half, line + half, len(x))


def _runs(features: Features, count: int) -> list[Features]:
    return [features[start : start + count] for start in range(0, len(features) - count + 1, count)]
