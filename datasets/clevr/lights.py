"""Three square lamps and a sun: how much of their light reaches a point, and which body keeps it away."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from datasets.clevr import solids
from datasets.clevr.scene import Body, Scene
from datasets.clevr.vectors import Floats, Triple, direction, dot, frame, vector

Bits = NDArray[np.uint16]
"""Samples of a light that a point does not see, a bit for each."""

_SIDE = 4
"""Samples along each side of a lamp."""
_EFFICIENCY = 0.93
_SUN_SIDE = 3
_SUN = (0.41449, -0.19497, 0.88892)
_SUN_POWER, _SUN_DISTANCE, _SUN_SPREAD = 0.45, 30.0, 0.19
_CLOSE = 1e-4


@dataclass(frozen=True)
class Light:
    """A lamp, or the sun where it is distant: then its positions are seen in the same direction from everywhere."""

    centre: Floats
    """(3, 1)."""
    axis: Floats
    """(3, 1), unit, where a lamp faces."""
    samples: Floats
    """(3, s, 1), points of it that shadows are cast from."""
    power: Floats
    """(3, 1), red, green, blue: radiant intensity along the axis, or the sun's irradiance."""
    side: Floats
    """(3, 1), unit: along a lamp's level edge."""
    across: Floats
    """(3, 1), unit: along its other edge."""
    size: float
    """Length of its edges."""
    distant: bool

    @property
    def radius(self) -> float:
        """Of the ball around the samples."""
        return self.size * math.sqrt(0.5)

    @property
    def radiance(self) -> Floats:
        """What a lamp's surface sends to an eye, (3, 1)."""
        surface: Floats = self.power / (_EFFICIENCY * self.size * self.size)
        return surface

    def towards(self, points: Floats) -> Floats:
        """From points (3, n) to the centre, (3, n) or (3, 1)."""
        return self.centre if self.distant else self.centre - points

    def irradiance(self, points: Floats, normals: Floats) -> tuple[Floats, Floats]:
        """What reaches surfaces, to be multiplied by the power, (n,), and the unit vectors to the light, (3, n) or (3, 1)."""
        way = self.towards(points)
        square = np.reciprocal(dot(way, way))
        to_light = way * np.sqrt(square)
        facing: Floats = np.maximum(dot(normals, to_light), 0)
        if not self.distant:
            leaving: Floats = np.maximum(-dot(to_light, self.axis), 0)
            facing = facing * leaving * square
        return facing, to_light

    def hidden(self, points: Floats, body: Body) -> Bits:
        """Which samples a body hides from points (3, n): bits, (n,)."""
        bits = np.zeros(points.shape[1], np.uint16)
        near = np.nonzero(self._may_hide(points, body))[0]
        if near.size:
            origins = solids.place(body, points[:, near])[:, None, :]
            rays = solids.turn(body, self.samples) if self.distant else solids.place(body, self.samples) - origins
            enter, leave = solids.interval(body.shape, origins, rays)
            blocked = np.maximum(enter, _CLOSE) < np.minimum(leave, 1)
            for sample, row in enumerate(blocked):
                bits[near] |= row.astype(np.uint16) << sample
        return bits

    def seen(self, bits: Bits) -> Floats:
        """The part of the light that is not hidden, 0–1."""
        count = self.samples.shape[1]
        part: Floats = (count - _ones()[bits]) / count
        return part

    def _may_hide(self, points: Floats, body: Body) -> NDArray[np.bool_]:
        """Whether the ball around a body touches the cone between each point and the ball around the light."""
        way = self.towards(points)
        offset = vector(body.centre) - points
        nearest = np.minimum(np.maximum(dot(offset, way) / dot(way, way), 0), 1)
        offset = offset - nearest * way
        reach = solids.BOUND[body.shape] + self.radius * nearest
        touched: NDArray[np.bool_] = dot(offset, offset) < reach * reach
        return touched


def lights(scene: Scene) -> tuple[Light, ...]:
    """The lights of a scene: CLEVR's key, fill and back lamps, which face the origin, and its sun."""
    key = _lamp(scene.lamps["key"], 0.5, 78.53982, (1.0, 0.93231, 0.81667))
    fill = _lamp(scene.lamps["fill"], 0.5, 23.56194, (0.76167, 0.81772, 1.0))
    back = _lamp(scene.lamps["back"], 1.0, 39.26991, (1.0, 1.0, 1.0))
    return key, fill, back, _sun()


def _lamp(at: Triple, size: float, watts: float, colour: Triple) -> Light:
    scale = _EFFICIENCY * watts / math.pi
    power = (scale * colour[0], scale * colour[1], scale * colour[2])
    return _square(at, power, size, _SIDE, distant=False)


@cache
def _sun() -> Light:
    far = (_SUN_DISTANCE * _SUN[0], _SUN_DISTANCE * _SUN[1], _SUN_DISTANCE * _SUN[2])
    return _square(far, (_SUN_POWER,) * 3, _SUN_DISTANCE * _SUN_SPREAD, _SUN_SIDE, distant=True)


def _square(at: Triple, power: Triple, size: float, steps: int, *, distant: bool) -> Light:
    """A square that faces the origin, sampled in the middle of each of its cells."""
    x, y, z = direction(at)
    axis = (-x, -y, -z)
    side, across = frame(axis)
    cells = [size * ((i + 0.5) / steps - 0.5) for i in range(steps)]
    samples = [[at[k] + a * side[k] + b * across[k] for a in cells for b in cells] for k in range(3)]
    points = np.array(samples, np.float32)[:, :, None]
    return Light(vector(at), vector(axis), points, vector(power), vector(side), vector(across), size, distant)


@cache
def _ones() -> Floats:
    """How many bits are set in each 16-bit number."""
    return np.array([bits.bit_count() for bits in range(1 << 16)], np.float32)
