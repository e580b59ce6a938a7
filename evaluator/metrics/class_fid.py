"""Fréchet distance of each class's images to real images of that class, and the mean over the classes.

Miyato and Koyama, cGANs with Projection Discriminator, ICLR 2018 (intra-FID), with the pack's classifier for the Inception
network. 0 is best, there is no upper end. It sees what the distance of all images together does not: classes that are
swapped, ignored, or collapsed to few images each. An n-th of the images is compared at a time, so its bias is larger than
that of the distance of all images together, and the two cannot be compared; the number of images a class is fixed by the
metric's name.

The jackknife's blocks run over each class's images in their order and are left out of all classes at once. Where the classes
asked for take turns (0, 1, …, 9, 0, 1, …), as they do in grading, a block is a run of consecutive images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluator.arrays import Features, Floats, Integers
from evaluator.errors import LabelsError
from evaluator.frechet import Gaussian, distance_of_features, leaving_out
from evaluator.interval import jackknife
from evaluator.measurement import Measurement


def by_class(features: Features, asked: Integers, classes: int) -> Features:
    """Features (n, D) as (classes, n / classes, D), by the classes asked for (n,), each class's in their order.

    Raises LabelsError unless every class was asked for equally often.
    """
    counts = np.bincount(asked, minlength=classes)
    if counts.min() != counts.max():
        raise LabelsError(
            f"the classes were asked for {counts.tolist()} times, expected {len(asked) / classes:g} times each: "
            "distances of different numbers of images cannot be compared"
        )
    return features[np.argsort(asked, kind="stable")].reshape(classes, -1, features.shape[1])


def class_fids(grouped: Features, to: Sequence[Gaussian]) -> Floats:
    """Distance of each class's features (classes, n, D) to the reference of the class, (classes,)."""
    return np.array([distance_of_features(features, real) for features, real in zip(grouped, to, strict=True)])


def class_fid(grouped: Features, to: Sequence[Gaussian], name: str) -> Measurement:
    """Mean over the classes of the distances, with its jackknife interval; at least 40 images a class."""
    value = float(class_fids(grouped, to).mean())
    left_out = [leaving_out(features, real) for features, real in zip(grouped, to, strict=True)]

    def without(start: int, stop: int) -> float:
        return float(np.mean([distance(start, stop) for distance in left_out]))

    low, high = jackknife(value, without, grouped.shape[1])
    return Measurement(name, value, max(low, 0.0), high, grouped.shape[0] * grouped.shape[1])
