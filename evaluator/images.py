"""The one form in which images are measured: uint8, (n, height, width) grey or (n, 3, height, width) colour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evaluator.arrays import Bytes
from evaluator.errors import ImagesError

SIDE = 28


class Images(Protocol):
    """A numpy array, or what is read piece by piece: a folder of files, a memory map."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[np.uint8]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice, /) -> Bytes: ...


def checked(images: Images | NDArray[np.generic], shape: tuple[int, ...] = (SIDE, SIDE)) -> Images:
    """Return the images if they can be measured, each of that shape; raise ImagesError if not."""
    if not hasattr(images, "shape") or not hasattr(images, "dtype"):
        raise ImagesError(f"images are a {type(images).__name__}, expected a numpy array of uint8")
    if images.dtype != np.uint8:
        raise ImagesError(
            f"images are {images.dtype}, expected uint8; for floats in [0, 1] use np.rint(images * 255).astype(np.uint8)"
        )
    if images.shape[1:] != shape:
        raise ImagesError(f"images have shape {images.shape}, expected ({', '.join(['n', *map(str, shape)])})")
    if len(images) == 0:
        raise ImagesError("there are no images")
    return np.ascontiguousarray(images) if isinstance(images, np.ndarray) else images


def chunks(n: int, size: int) -> Iterator[slice]:
    """Cut n items into runs of at most `size`."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
