"""Share of images that the classifier puts in the class asked for: whether the condition decides what is drawn.

Shmelkov, Schmid and Alahari, How good is my GAN?, ECCV 2018 (GAN-test), with the pack's classifier. Between 0 and 1; a
generator that ignores the class scores 1 / classes, one that swaps classes less. Real images score the classifier's
accuracy, and a generator that draws only typical images of each class can score more. One image of each class, repeated,
scores 1: variety is not looked at here.
"""

from __future__ import annotations

import numpy as np

from evaluator.arrays import Floats, Integers
from evaluator.interval import wilson
from evaluator.measurement import Measurement


def confusion(probabilities: Floats, asked: Integers) -> Integers:
    """How many images asked for as the row's class are most likely of the column's, (classes, classes).

    Takes probabilities (n, classes) and the classes asked for (n,), each from 0 to classes − 1.
    """
    classes = probabilities.shape[1]
    pairs = asked * classes + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def class_agreement(counts: Integers, name: str) -> Measurement:
    """Share of images on the diagonal of a confusion matrix (classes, classes); Wilson interval."""
    agreeing, n = int(np.trace(counts)), int(counts.sum())
    low, high = wilson(agreeing, n)
    return Measurement(name, agreeing / n, low, high, n)
