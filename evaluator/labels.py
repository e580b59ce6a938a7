"""The classes asked for: integers (n,), 0 to classes − 1; or, with many labels an image, 0 and 1, (n, classes)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluator.arrays import Integers
from evaluator.errors import LabelsError


def checked_labels(labels: NDArray[np.generic], images: int, classes: int | None) -> Integers:
    """Return the labels as int64 if they say what each image was asked for as; raise LabelsError if not.

    `classes` is None where nobody knows how many there are.
    """
    if not isinstance(labels, np.ndarray) or not np.issubdtype(labels.dtype, np.integer):
        kind = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
        raise LabelsError(f"labels are {kind}, expected a numpy array of integers")
    if labels.ndim not in (1, 2) or len(labels) != images or (labels.ndim == 2 and classes not in (None, labels.shape[1])):
        raise LabelsError(f"labels have shape {labels.shape}, expected ({images},): one for each image")
    most = 1 if labels.ndim == 2 else None if classes is None else classes - 1
    if images and (labels.min() < 0 or (most is not None and labels.max() > most)):
        raise LabelsError(
            f"labels are from {labels.min()} to {labels.max()}, expected 0 {'or more' if most is None else f'to {most}'}"
        )
    return labels.astype(np.int64)
