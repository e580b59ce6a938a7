"""The ground: a level floor that rises to a wall far behind the scene, along a curve fitted to CLEVR's base scene."""

from __future__ import annotations

from functools import cache

import numpy as np

from datasets.clevr.vectors import Floats

_UPHILL = (-0.9032156, 0.4291872)
_START = (-24.0628, -17.9967)
_FIRST, _LAST = -23.55569, 4.08
"""Stretch along the uphill direction, from _START on, over which the ground has a height other than nothing."""
_STEPS = 2048
_BISECTIONS = 50
_FAR = 60.0
_RAY_BISECTIONS = 16


def hit(origins: Floats, directions: Floats) -> tuple[Floats, Floats]:
    """Distances, (n,), at which rays (3, n) of unit length meet the ground, infinite where none does, and its normals, (3, n)."""
    down = directions[2] < -1e-4
    t = np.minimum(np.where(down, -origins[2] / np.where(down, directions[2], np.float32(-1)), np.float32(_FAR)), _FAR)
    height, slope = _surface(origins + directions * t)
    rising = np.nonzero((height > 0.004) | ~down)[0]
    if rising.size:
        origins = np.broadcast_to(origins, directions.shape)
        t[rising], slope[rising] = _climb(origins[:, rising], directions[:, rising], t[rising])
    level = 1 / np.sqrt(1 + slope * slope)
    return t, np.stack([-slope * _UPHILL[0] * level, -slope * _UPHILL[1] * level, level])


def _climb(origins: Floats, directions: Floats, end: Floats) -> tuple[Floats, Floats]:
    """Distance and slope where rays that end below the rising ground pierce it, by bisection."""
    low, high = np.zeros_like(end), end
    for _ in range(_RAY_BISECTIONS):
        middle = (low + high) * np.float32(0.5)
        points = origins + directions * middle
        below = points[2] < _surface(points)[0]
        low, high = np.where(below, low, middle), np.where(below, middle, high)
    points = origins + directions * high
    height, slope = _surface(points)
    return np.where(np.abs(points[2] - height) < 0.25, high, np.float32(np.inf)), slope


def _surface(points: Floats) -> tuple[Floats, Floats]:
    """Height of the ground under points, and its slope uphill."""
    heights, rises = _profile()
    step = (_LAST - _FIRST) / _STEPS
    along = (points[0] - _START[0]) * _UPHILL[0] + (points[1] - _START[1]) * _UPHILL[1]
    at = np.minimum(np.maximum((along - _FIRST) * (1 / step), 0), _STEPS - 0.001)
    index = at.astype(np.int32)
    rise = rises[index]
    return heights[index] + rise * (at - index.astype(np.float32)), rise * (1 / step)


@cache
def _profile() -> tuple[Floats, Floats]:
    """Heights at equal steps uphill, and what each adds: the curve is given by a parameter, so it is turned round by bisection."""
    heights = []
    for step in range(_STEPS + 2):
        target = _FIRST + (_LAST - _FIRST) * min(step, _STEPS) / _STEPS
        low, high = 0.0, 1.0
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if _along(middle) < target else (low, middle)
        heights.append(23.215 * (low * low) * (low * low))
    table = np.array(heights, np.float32)
    return table[:-1], table[1:] - table[:-1]


def _along(t: float) -> float:
    return (((-17.38342 * t + 79.46708) * t - 126.96113) * t + 92.51438) * t - 23.55569
