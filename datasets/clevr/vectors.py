"""Arithmetic of many vectors at once: float32 arrays whose first axis holds x, y and z."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Triple = tuple[float, float, float]


def vector(of: Triple) -> Floats:
    """One vector, (3, 1), that broadcasts against many."""
    return np.array(of, np.float32).reshape(3, 1)


def dot(a: Floats, b: Floats) -> Floats:
    """Products of pairs of vectors, (3, ...) each: (...)."""
    product: Floats = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return product


def unit(a: Floats) -> Floats:
    """Vectors of length one in the directions of `a`; those next to nothing stay so."""
    length: Floats = np.sqrt(np.maximum(dot(a, a), 1e-12))
    return a / length


def direction(towards: Triple) -> Triple:
    """The unit vector towards a point seen from the origin."""
    x, y, z = towards
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


def frame(along: Triple) -> tuple[Triple, Triple]:
    """Two unit vectors at right angles to a unit vector that is not vertical, and to each other: one level, one across."""
    x, y, z = along
    level = math.sqrt(x * x + y * y)
    side = (y / level, -x / level, 0.0)
    return side, (side[1] * z, -side[0] * z, side[0] * y - side[1] * x)
