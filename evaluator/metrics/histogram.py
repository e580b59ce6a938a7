"""How the images spread over the classes, and the divergence of that from an equal share of each.

Kullback and Leibler, Ann. Math. Stat. 22 (1951) 79: Σ p ln(p / q) in nats, p the observed shares, q = 1 / classes.
0 where every class has the same share; ln 10 = 2.30 where all images are of one class.
"""

from __future__ import annotations

import numpy as np

from evaluator.arrays import Floats, Integers
from evaluator.interval import jackknife
from evaluator.measurement import Measurement


def class_counts(probabilities: Floats) -> Integers:
    """How many of the images, probabilities (n, classes), are most likely of each class."""
    return np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1]).astype(np.int64)


def kl_from_uniform(counts: Integers) -> float:
    """Divergence of the shares, counts (classes,), from uniform, in nats; an empty class adds nothing."""
    shares = counts[counts > 0] / counts.sum()
    return max(float((shares * np.log(shares * len(counts))).sum()), 0.0)


def class_kl(probabilities: Floats, name: str) -> Measurement:
    """KL of the predicted classes, probabilities (n, classes), from uniform, with a jackknife interval."""
    counts = class_counts(probabilities)

    def without(start: int, stop: int) -> float:
        return kl_from_uniform(counts - class_counts(probabilities[start:stop]))

    value = kl_from_uniform(counts)
    low, high = jackknife(value, without, len(probabilities))
    return Measurement(name, value, max(low, 0.0), min(high, float(np.log(len(counts)))), len(probabilities))
