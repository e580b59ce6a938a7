"""The form of small photographs in colour in which copies agree: mirrored, brighter, darker, noisy or compressed ones.

A photograph has no backdrop to tell things from, so it stays where it is: a copy that was moved by a pixel or more has another form.
It is freed from its brightness and contrast, mirrored so that it's brighter on the right of its middle, cropped, and made small.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from evaluator.arrays import Bytes, Floats
from evaluator.images import chunks
from evaluator.scenes import small

SIDE = 6
"""Pixels along each side of a form: few, so that noise and compression average out."""
_MIDDLE = 6
"""How far the middle reaches, in pixels, as a standard deviation: the frame's edge hardly decides which way a picture is turned."""
_TOGETHER = 500


def canonical(images: Bytes) -> Floats:
    """The form of pictures, uint8 (n, 3, side, side) with side a multiple of 8: float64 (n, 3, SIDE, SIDE)."""
    forms = np.empty((len(images), 3, SIDE, SIDE))
    for rows in chunks(len(images), _TOGETHER):
        forms[rows] = _forms(images[rows].astype(np.float32))
    return forms


def _forms(pictures: Floats) -> Floats:
    plain = pictures - pictures.mean(axis=(1, 2, 3), keepdims=True)
    plain = plain / np.maximum(np.sqrt(np.square(plain).mean(axis=(1, 2, 3), keepdims=True)), 1)
    brighter_left = (plain.mean(axis=1) * _lever(pictures.shape[-1])).sum(axis=(1, 2)) < 0
    return small(np.where(brighter_left[:, None, None, None], plain[..., ::-1], plain), SIDE)


@cache
def _lever(side: int) -> Floats:
    """Weights (side, side) by which a picture's brightness to the right of its middle outweighs that to the left."""
    place = (np.arange(side) - (side - 1) / 2).astype(np.float32)
    near = np.exp(-np.square(place) / (2 * _MIDDLE**2))
    return np.asarray(near[:, None] * (near * place)[None, :])
