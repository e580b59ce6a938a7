"""From linear light on a grid of samples to the bytes of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from functools import cache

import numpy as np
from numpy.typing import NDArray

from datasets.clevr.vectors import Floats

Pixels = NDArray[np.uint8]

SAMPLES = 2
"""Samples along each side of a pixel."""
_TENT = (1, 3, 3, 1)
"""A triangle as wide as two pixels, at the samples it covers: what Pillow's bilinear reduction weighs with."""


def encode(light: Floats) -> Pixels:
    """Linear light as sRGB bytes (IEC 61966-2-1), rounded to the nearest; light above one is white."""
    return np.searchsorted(_steps(), light, side="right").astype(np.uint8)


def reduce(samples: Pixels) -> Pixels:
    """Bytes at twice the resolution, (2 h, 2 w, 3), to a picture (h, w, 3), as an image file is made smaller."""
    wide = np.pad(samples.astype(np.int32), ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = samples.shape[0], samples.shape[1]
    rows = _weighed([wide[k : k + height : SAMPLES] for k in range(len(_TENT))])
    both = _weighed([rows[:, k : k + width : SAMPLES] for k in range(len(_TENT))])
    picture: Pixels = ((both + 32) >> 6).astype(np.uint8)
    return picture


def _weighed(parts: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    total = np.zeros_like(parts[0])
    for weight, part in zip(_TENT, parts, strict=True):
        total += weight * part
    return total


@cache
def _steps() -> Floats:
    """Linear light at which each byte but 0 begins, (255,)."""
    with localcontext() as context:
        context.prec = 40
        return np.array([float(_linear((Decimal(byte) - Decimal("0.5")) / 255)) for byte in range(1, 256)], np.float32)


def _linear(value: Decimal) -> Decimal:
    if value <= Decimal("0.04045"):
        return value / Decimal("12.92")
    return ((value + Decimal("0.055")) / Decimal("1.055")) ** Decimal("2.4")
