"""Real images compressed to a few bytes each, to find the one nearest to a generated image.

An image is shifted so that its centre of mass is the centre of the frame (a copy moved by a pixel or two is still a
copy), projected on the leading principal components of the real images, scaled to the same variance in each, and
rounded to int8. Distances between codes are sums of squares of small integers, exact in float32, hence the same on
every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluator.arrays import Bytes, Floats, Integers
from evaluator.images import chunks

COMPONENTS = 24
LEVELS_PER_DEVIATION = 32
"""127 / 32: codes hold four standard deviations either way."""
_CHUNK = 50

Codes = NDArray[np.int8]


@dataclass(frozen=True)
class Projection:
    """From centred images to codes."""

    mean: Floats
    """(pixels,)."""
    axes: Floats
    """(pixels, components), scaled to give a standard deviation of 32 levels each."""

    def encode(self, images: Bytes) -> Codes:
        """Codes, int8 (n, components), of images, uint8 (n, side, side)."""
        codes = np.empty((len(images), self.axes.shape[1]), dtype=np.int8)
        for rows in chunks(len(images), 2000):
            flat = centred(images[rows]).reshape(rows.stop - rows.start, -1)
            codes[rows] = np.clip(np.rint((flat - self.mean) @ self.axes), -127, 127)
        return codes

    def decode(self, codes: Codes) -> Bytes:
        """Pictures, uint8 (n, side, side), of codes, int8 (n, components): blurred, as encoding saw them, the brightest pixel white."""
        side = math.isqrt(len(self.mean))
        # the axes are orthogonal: dividing by their squared lengths turns the projection around
        flat = np.maximum(self.mean + codes @ (self.axes / np.square(self.axes).sum(axis=0)).T, 0)
        white = np.maximum(flat.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        images: Bytes = np.rint(flat / white * 255).astype(np.uint8).reshape(-1, side, side)
        return images


def fit(images: Bytes) -> Projection:
    """Principal components of centred images, uint8 (n, side, side), n > 24."""
    flat = centred(images).reshape(len(images), -1)
    mean = flat.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(flat, rowvar=False))
    leading = slice(-1, -COMPONENTS - 1, -1)
    return Projection(mean, vectors[:, leading] * LEVELS_PER_DEVIATION / np.sqrt(values[leading]))


def centred(images: Bytes) -> Floats:
    """Move each image's centre of mass to the centre of the frame, by linear interpolation; float64 (n, side, side)."""
    grey = images.astype(np.float64)
    side = images.shape[1]
    place = np.arange(side) - (side - 1) / 2
    mass = np.maximum(grey.sum(axis=(1, 2)), 1)  # a black image stays where it is
    down = _shift(grey.sum(axis=2) @ place / mass, side)
    right = _shift(grey.sum(axis=1) @ place / mass, side)
    moved: Floats = down @ grey @ right.transpose(0, 2, 1)
    return moved


def _shift(by: Floats, side: int) -> Floats:
    """Matrices (n, side, side) that read a column of pixels `by` places further on."""
    place = np.arange(side)
    offset = place[None, :, None] + by[:, None, None] - place[None, None, :]
    tent: Floats = np.maximum(1 - np.abs(offset), 0)
    return tent


def nearest(queries: Codes, real: Codes) -> tuple[Integers, Integers]:
    """Squared distance to, and index of, the nearest real code for each query; the first where several are."""
    # |q − r|² = |q|² + (−2q, 1) · (r, |r|²): one matrix product leaves only the smallest to find
    codes = real.astype(np.float32)
    candidates = np.column_stack([codes, np.square(codes).sum(axis=1)]).T
    squared = np.empty(len(queries), dtype=np.int64)
    index = np.empty(len(queries), dtype=np.int64)
    for rows in chunks(len(queries), _CHUNK):
        asked = queries[rows].astype(np.float32)
        partial = np.column_stack([-2 * asked, np.ones(len(asked), dtype=np.float32)]) @ candidates
        index[rows] = partial.argmin(axis=1)
        squared[rows] = partial.min(axis=1) + np.square(asked).sum(axis=1)
    return squared, index
