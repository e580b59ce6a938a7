"""Real images compressed to a few bytes each, to find the one nearest to a generated image.

An image is first brought to a form in which copies agree: its background is taken away, whichever grey that is, and with it
what is fainter than compression makes; it is moved so that its centre of mass is the centre of the frame, mirrored if most
of it reaches to the left, and divided by its length. A copy that was inverted, moved by a pixel or two, mirrored, brightened or
compressed is still a copy. The result is projected on the leading principal components of the real images, scaled to the
same variance in each, and rounded to int8. Distances between codes are sums of squares of small integers, exact in float32,
hence the same on every machine. Pictures in colour have forms of their own: scenes of things before a backdrop (`evaluator.scenes`),
and photographs, which have one class each (`evaluator.photographs`).

What it does not recognise: a copy that is rotated, stretched or blurred by a pixel or more, or that lost what lay at the
frame when it was moved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluator import photographs, scenes
from evaluator.arrays import Bytes, Floats, Integers
from evaluator.images import chunks

COMPONENTS = 24
LEVELS_PER_DEVIATION = 32
"""127 / 32: codes hold four standard deviations either way."""
FAINT = 32
"""Grey levels above the background that do not count: JPEG leaves such traces all over the frame, and they move its centre."""
_CHUNK = 200

Codes = NDArray[np.int8]


@dataclass(frozen=True)
class Projection:
    """From images to codes."""

    mean: Floats
    """(pixels,)."""
    axes: Floats
    """(pixels, components), scaled to give a standard deviation of 32 levels each."""

    @property
    def of_photographs(self) -> bool:
        """Whether it is that of photographs in colour: their form has a size of its own."""
        return len(self.mean) == 3 * photographs.SIDE**2

    def encode(self, images: Bytes) -> Codes:
        """Codes, int8 (n, components), of images, uint8 (n, side, side) or (n, 3, side, side)."""
        codes = np.empty((len(images), self.axes.shape[1]), dtype=np.int8)
        for rows in chunks(len(images), 2000):
            flat = canonical(images[rows], of_photographs=self.of_photographs).reshape(rows.stop - rows.start, -1)
            codes[rows] = np.clip(np.rint((flat - self.mean) @ self.axes), -127, 127)
        return codes

    def decode(self, codes: Codes, shape: tuple[int, ...]) -> Bytes:
        """Images of that shape, uint8 (n, …), of codes, int8 (n, components): in canonical form, blurred to what so few numbers hold.

        The brightest pixel of each is white.
        """
        # the axes are orthogonal: dividing by their squared lengths turns the projection around
        flat = self.mean + codes @ (self.axes / np.square(self.axes).sum(axis=0)).T
        if len(shape) == 3:
            form = math.isqrt(len(self.mean) // 3)
            return scenes.enlarged(flat.reshape(-1, 3, form, form), shape[-1])
        side = math.isqrt(len(self.mean))
        flat = np.maximum(flat, 0)
        white = np.maximum(flat.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        images: Bytes = np.rint(255 * flat / white).astype(np.uint8).reshape(-1, side, side)
        return images


def fit(images: Bytes, *, of_photographs: bool = False) -> Projection:
    """Principal components of the canonical form of images, uint8 (n, side, side) or (n, 3, side, side), n > 24."""
    flat = canonical(images, of_photographs=of_photographs).reshape(len(images), -1)
    mean = flat.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(flat, rowvar=False))
    leading = slice(-1, -COMPONENTS - 1, -1)
    return Projection(mean, vectors[:, leading] * LEVELS_PER_DEVIATION / np.sqrt(values[leading]))


def canonical(images: Bytes, *, of_photographs: bool = False) -> Floats:
    """The form of images in which copies agree, float64: of grey ones, uint8 (n, side, side), the same shape, of length 1, or 0 if
    blank; of pictures in colour that of `evaluator.photographs` or of `evaluator.scenes`."""
    if images.ndim == 4:
        return photographs.canonical(images) if of_photographs else scenes.canonical(images)
    moved = _one_way(centred(foreground(images)))
    length = np.sqrt(np.square(moved).sum(axis=(1, 2), keepdims=True))
    unit: Floats = moved / np.maximum(length, 1)  # in grey levels: what is shorter than 1 is blank
    return unit


def foreground(images: Bytes) -> Floats:
    """How far each pixel of uint8 (n, side, side) is from the median grey of the frame's edge, less 32 levels, at least 0."""
    grey = images.astype(np.float64)
    edge = np.concatenate([grey[:, 0], grey[:, -1], grey[:, 1:-1, 0], grey[:, 1:-1, -1]], axis=1)
    differing: Floats = np.maximum(np.abs(grey - np.median(edge, axis=1)[:, None, None]) - FAINT, 0)
    return differing


def centred(grey: Floats) -> Floats:
    """Move each image's centre of mass to the centre of the frame, by linear interpolation; (n, side, side)."""
    side = grey.shape[1]
    place = _places(side)
    mass = np.maximum(grey.sum(axis=(1, 2)), 1)  # a black image stays where it is
    down = _shift(grey.sum(axis=2) @ place / mass, side)
    right = _shift(grey.sum(axis=1) @ place / mass, side)
    moved: Floats = down @ grey @ right.transpose(0, 2, 1)
    return moved


def _one_way(grey: Floats) -> Floats:
    """Mirror the images whose columns' third moment is negative: an image and its mirror image become the same."""
    leftward = grey.sum(axis=1) @ _places(grey.shape[2]) ** 3 < 0
    return np.where(leftward[:, None, None], grey[:, :, ::-1], grey)


def _places(side: int) -> Floats:
    """Coordinates of the pixels of a row, 0 in the middle."""
    return np.arange(side, dtype=np.float64) - (side - 1) / 2


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
    candidates = np.ascontiguousarray(np.column_stack([codes, np.square(codes).sum(axis=1)]).T)
    squared = np.empty(len(queries), dtype=np.int64)
    index = np.empty(len(queries), dtype=np.int64)
    space = np.empty((min(_CHUNK, len(queries)), len(real)), dtype=np.float32)  # once: pages of fresh memory cost time
    for rows in chunks(len(queries), _CHUNK):
        asked = queries[rows].astype(np.float32)
        partial = space[: len(asked)]
        np.matmul(np.column_stack([-2 * asked, np.ones(len(asked), dtype=np.float32)]), candidates, out=partial)
        index[rows] = partial.argmin(axis=1)
        squared[rows] = np.take_along_axis(partial, index[rows, None], axis=1)[:, 0] + np.square(asked).sum(axis=1)
    return squared, index
