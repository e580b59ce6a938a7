"""The one form of the classes asked for: integers (n,), 0 to classes − 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluator.arrays import Integers
from evaluator.errors import LabelsError


def checked_labels(labels: NDArray[np.generic], images: int, classes: int) -> Integers:
    """Return the labels as int64 if they say which class each image was asked for as; raise LabelsError if not."""
    if not isinstance(labels, np.ndarray) or not np.issubdtype(labels.dtype, np.integer):
        kind = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
        raise LabelsError(f"labels are {kind}, expected a numpy array of integers")
    if labels.shape != (images,):
        raise LabelsError(f"labels have shape {labels.shape}, expected ({images},): one for each image")
    if images and (labels.min() < 0 or labels.max() >= classes):
        raise LabelsError(f"labels are from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
    return labels.astype(np.int64)
