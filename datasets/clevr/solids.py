"""Where rays meet the solids, and how their surfaces lie there. In local coordinates a body fills [−1, 1] along each axis."""

from __future__ import annotations

import numpy as np

from datasets.clevr.scene import RADIUS, Body
from datasets.clevr.vectors import Floats, dot, unit, vector

BOUND = {"sphere": RADIUS, "cube": 1.7320508 * RADIUS, "cylinder": 1.4142136 * RADIUS}
"""Radius of the ball around each shape."""
_BEVEL = 0.075
"""Part of a half edge over which shading turns round, as the rounded edges of CLEVR's meshes do."""
_PARALLEL = 1e-7


def turn(body: Body, vectors: Floats) -> Floats:
    """Vectors of the world, (3, ...), in a body's local coordinates."""
    cosine, sine = body.heading
    x, y, z = vectors
    turned: Floats = np.stack([cosine * x + sine * y, cosine * y - sine * x, z])
    return turned / RADIUS


def place(body: Body, points: Floats) -> Floats:
    """Points of the world, (3, ...), in a body's local coordinates."""
    return turn(body, points - vector(body.centre).reshape(3, *[1] * (points.ndim - 1)))


def interval(shape: str, origins: Floats, directions: Floats) -> tuple[Floats, Floats]:
    """Parameters at which rays enter and leave a solid, in its local coordinates; where one misses it, enter > leave.

    `origins` and `directions` are (3, ...) and broadcast; directions need not be of length one.
    """
    if shape == "sphere":
        return _round(dot(directions, directions), dot(origins, directions), dot(origins, origins))
    low, high = _slab(origins[2], directions[2])
    if shape == "cylinder":
        across, at = directions[:2], origins[:2]
        squared = np.maximum(_flat(across, across), 1e-12)
        enter, leave = _round(squared, _flat(at, across), _flat(at, at))
        return np.maximum(enter, low), np.minimum(leave, high)
    for axis in (0, 1):
        enter, leave = _slab(origins[axis], directions[axis])
        low, high = np.maximum(low, enter), np.minimum(high, leave)
    return low, high


def normals(body: Body, points: Floats) -> Floats:
    """Outward unit normals in the world, (3, n), at points on a body's surface."""
    x, y, z = place(body, points)
    if body.shape == "cube":
        local = np.stack([_bevelled(x), _bevelled(y), _bevelled(z)])
    elif body.shape == "cylinder":
        radius = np.maximum(np.sqrt(x * x + y * y), 1e-6)
        side = _bevelled(radius) / radius
        local = np.stack([x * side, y * side, _bevelled(z)])
    else:
        local = np.stack([x, y, z])
    x, y, z = unit(local)
    cosine, sine = body.heading
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, z])


def _round(a: Floats, b: Floats, c: Floats) -> tuple[Floats, Floats]:
    """Roots of a t² + 2 b t + c = 1."""
    square = b * b - a * (c - 1)
    root = np.sqrt(np.maximum(square, 0))
    hit = square > 0
    return np.where(hit, (-b - root) / a, np.float32(1)), np.where(hit, (-b + root) / a, np.float32(0))


def _slab(at: Floats, along: Floats) -> tuple[Floats, Floats]:
    inverse = 1 / np.where(np.abs(along) < _PARALLEL, np.float32(_PARALLEL), along)
    one, other = (-1 - at) * inverse, (1 - at) * inverse
    return np.minimum(one, other), np.maximum(one, other)


def _flat(a: Floats, b: Floats) -> Floats:
    product: Floats = a[0] * b[0] + a[1] * b[1]
    return product


def _bevelled(coordinate: Floats) -> Floats:
    """How far a coordinate is into the bevel: 0 on the face's inside, ±1 at its edge."""
    past = np.maximum(np.abs(coordinate) - (1 - _BEVEL), 0) / _BEVEL
    return np.where(coordinate < 0, -past, past)
