"""The form of pictures of things before a backdrop, in colour, in which copies agree: moved, mirrored, brighter or noisy ones.

The backdrop is what a smooth surface fits, so what stands before it is known, whatever its colour. A picture is moved so that the
centre of mass of those things is the centre of the frame, mirrored so that the backdrop is brighter on the right, freed from
its brightness and contrast, cropped, and made small. Where mirroring or moving is ill-defined, as with a backdrop that is as bright
on either side, a copy may get another form; the pack's builder measures how many do.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from evaluator.arrays import Bytes, Floats
from evaluator.images import chunks

SIDE = 12
"""Pixels along each side of a form."""
_CROP = 8
"""One in this many pixels is cut off at each side of the frame: what moving brought in."""
_DEGREE = 4
_ROUNDS = 4
_STANDS_OUT = 12
"""Grey levels from the backdrop beyond which a pixel is no part of it."""
_FAINT = 24
"""Grey levels from the backdrop that do not count as things: shadows' edges, noise, traces of compression."""
_TOGETHER = 500


def canonical(images: Bytes) -> Floats:
    """The form of pictures, uint8 (n, 3, side, side) with side a multiple of 16: float64 (n, 3, SIDE, SIDE)."""
    forms = np.empty((len(images), 3, SIDE, SIDE))
    for rows in chunks(len(images), _TOGETHER):
        forms[rows] = _forms(images[rows].astype(np.float32))
    return forms


def enlarged(forms: Floats, side: int) -> Bytes:
    """Forms (n, 3, k, k) as pictures to look at, uint8 (n, 3, side, side): their darkest pixel is black, the brightest white."""
    low, high = forms.min(axis=(1, 2, 3), keepdims=True), forms.max(axis=(1, 2, 3), keepdims=True)
    grey = np.rint(255 * (forms - low) / np.maximum(high - low, np.finfo(np.float64).tiny)).astype(np.uint8)
    block = (side - 2 * (side // _CROP)) // forms.shape[-1]
    return np.pad(grey.repeat(block, axis=2).repeat(block, axis=3), ((0, 0), (0, 0), *[(side // _CROP,) * 2] * 2), mode="edge")


def _forms(pictures: Floats) -> Floats:
    side = pictures.shape[-1]
    behind = backdrop(pictures)
    things = np.maximum(np.abs(pictures - behind).max(axis=1) - _FAINT, 0)
    place = np.arange(side) - (side - 1) / 2
    mass = np.maximum(things.sum(axis=(1, 2)), 1)
    down, right = things.sum(axis=2) @ place / mass, things.sum(axis=1) @ place / mass
    plain = pictures - pictures.mean(axis=(1, 2, 3), keepdims=True)
    plain = plain / np.maximum(np.sqrt(np.square(plain).mean(axis=(1, 2, 3), keepdims=True)), 1)
    moved = _reader(down, side)[:, None] @ plain @ _reader(right, side)[:, None].transpose(0, 1, 3, 2)
    brighter_left = behind.mean(axis=(1, 2)) @ place < 0
    return small(np.where(brighter_left[:, None, None, None], moved[..., ::-1], moved), SIDE)


def backdrop(pictures: Floats) -> Floats:
    """The smooth surface behind pictures (n, 3, side, side): the polynomial of their places that fits what does not stand out."""
    surfaces = _surfaces(pictures.shape[-1])
    pixels = pictures.reshape(*pictures.shape[:2], -1)
    kept = pixels
    for _ in range(_ROUNDS):
        fitted = kept @ surfaces @ surfaces.T
        kept = np.where(np.abs(pixels - fitted) > _STANDS_OUT, fitted, pixels)
    return np.asarray(kept @ surfaces @ surfaces.T).reshape(pictures.shape)


@cache
def _surfaces(side: int) -> Floats:
    """Orthonormal polynomials of the place in the frame, float32 (side · side, 15)."""
    u = (np.arange(side) - (side - 1) / 2) / (side / 2)
    powers = [np.outer(u**i, u**j).ravel() for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i)]
    orthonormal: Floats = np.linalg.qr(np.stack(powers, axis=1))[0].astype(np.float32)
    return orthonormal


def _reader(by: Floats, side: int) -> Floats:
    """Matrices (n, side, side) that read a row of pixels `by` places further on; beyond its end, its last pixel."""
    at = np.clip(np.arange(side) + by[:, None], 0, side - 1)
    tent: Floats = np.maximum(1 - np.abs(at[:, :, None] - np.arange(side)), 0).astype(np.float32)
    return tent


def small(pictures: Floats, to: int) -> Floats:
    """Pictures (n, channels, side, side) without a border of an eighth, made small by means of blocks: (n, channels, to, to)."""
    n, channels, side = pictures.shape[:3]
    border = side // _CROP
    block = (side - 2 * border) // to
    inner = pictures[:, :, border : side - border, border : side - border]
    return np.asarray(inner.reshape(n, channels, to, block, to, block).mean(axis=(3, 5)))
