"""What metal reflects: the ground, the other bodies and the lamps, sharp and blurred in equal parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets.clevr import backdrop, materials, solids
from datasets.clevr.lights import Light
from datasets.clevr.materials import Lit, Standing
from datasets.clevr.vectors import Floats, dot, unit, vector

_CLOSE = 1e-3
_BLUR = 0.22
_WOBBLES = ((_BLUR, 0, 0), (-_BLUR, 0, 0), (0, _BLUR, 0), (0, -_BLUR, 0), (0, 0, _BLUR), (0, 0, -_BLUR))


def metal(lit: Lit, standing: Standing, view: Floats, others: Sequence[Standing], lights: Sequence[Light]) -> Floats:
    """Radiance of a metal body, (3, n), towards `view`, (3, n)."""
    mirrored: Floats = dot(lit.normals, view) * lit.normals * 2 - view
    sharp = _lamps(lit.points, mirrored, lights, _seen(lit.points, mirrored, others, lights, shadows=True))
    blurred = np.zeros_like(sharp)
    for wobble in _WOBBLES:
        blurred = blurred + _seen(lit.points, unit(mirrored + vector(wobble)), others, lights, shadows=False)[0]
    blurred = np.divide(blurred, len(_WOBBLES))
    mixed = sharp + blurred + materials.metal_shine(lit, view)
    radiance: Floats = standing.albedo * (mixed * 0.5)
    return radiance


def _seen(
    origins: Floats, directions: Floats, bodies: Sequence[Standing], lights: Sequence[Light], *, shadows: bool
) -> tuple[Floats, Floats]:
    """Radiance, (3, n), that comes to points from directions, and the distance, (n,), that it comes from."""
    t, normals = backdrop.hit(origins, directions)
    nearest = np.where(t < np.inf, -1, -2)
    for k, standing in enumerate(bodies):
        body = standing.body
        enter, leave = solids.interval(body.shape, solids.place(body, origins), solids.turn(body, directions))
        hit = (enter < leave) & (enter > _CLOSE) & (enter < t)
        t, nearest = np.where(hit, enter, t), np.where(hit, k, nearest)
    light = np.zeros_like(directions)
    on = np.nonzero(nearest == -1)[0]
    points = origins[:, on] + directions[:, on] * t[on]
    light[:, on] = materials.ground(_lit(points, normals[:, on], bodies if shadows else (), lights), bodies)
    for k, standing in enumerate(bodies):
        on = np.nonzero(nearest == k)[0]
        points = origins[:, on] + directions[:, on] * t[on]
        lit = Lit.openly(points, solids.normals(standing.body, points), lights)
        material = materials.dull_metal if standing.body.metal else materials.rubber
        light[:, on] = material(lit, standing, -directions[:, on])
    return light, t


def _lit(points: Floats, normals: Floats, bodies: Sequence[Standing], lights: Sequence[Light]) -> Lit:
    arriving = []
    for light, irradiance, to_light in Lit.openly(points, normals, lights).arriving:
        hidden = np.zeros(points.shape[1], np.uint16)
        for standing in bodies:
            hidden |= light.hidden(points, standing.body)
        arriving.append((light, irradiance * light.seen(hidden), to_light))
    return Lit(points, normals, tuple(arriving))


def _lamps(origins: Floats, directions: Floats, lights: Sequence[Light], behind: tuple[Floats, Floats]) -> Floats:
    """The same radiance with the lamps' bright squares before it."""
    radiance, distance = behind
    for light in lights:
        if light.distant:
            continue
        along = dot(directions, light.axis)
        falling: Floats = np.where(along < -1e-6, along, np.float32(-1e-6))
        t: Floats = dot(light.centre - origins, light.axis) / falling
        offset = origins + directions * t - light.centre
        inside = np.maximum(np.abs(dot(offset, light.side)), np.abs(dot(offset, light.across))) < light.size / 2
        struck = inside & (along < 0) & (t > 0) & (t < distance)
        radiance = np.where(struck, light.radiance, radiance)
    return radiance
