"""How much light surfaces send to the eye: the ground, rubber, and metal without its mirror images.

Constants were fitted to renderings of CLEVR's scenes by Blender's Cycles. What bodies and the ground throw on each other is
approximated: a body by a ball, the ground by the spot under the body.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from datasets.clevr.lights import Light
from datasets.clevr.scene import RADIUS, Body
from datasets.clevr.vectors import Floats, dot, unit, vector

_GROUND = 0.8
_AMBIENT = 0.026 * math.pi
_BLEED, _BOUNCE = 1.49, 1.32
_RUBBER_ROUGHNESS, _METAL_ROUGHNESS = 0.35, 0.2
_RUBBER_SHINE = 0.04


@dataclass(frozen=True)
class Lit:
    """Points, the surface there, and what each light sends to them."""

    points: Floats
    """(3, n)."""
    normals: Floats
    """(3, n)."""
    arriving: tuple[tuple[Light, Floats, Floats], ...]
    """Each light, its irradiance (n,) before its power, and the unit vectors to it."""

    @classmethod
    def openly(cls, points: Floats, normals: Floats, lights: Iterable[Light]) -> Lit:
        """Light without shadows."""
        return cls(points, normals, tuple((light, *light.irradiance(points, normals)) for light in lights))


@dataclass(frozen=True)
class Standing:
    """A body in the light of its scene."""

    body: Body
    albedo: Floats
    """(3, 1)."""
    foot: Floats
    """(3, 1), irradiance of the floor under it."""
    glow: Floats
    """(3, 1), what it throws back on average."""


def stand(body: Body, lights: Iterable[Light]) -> Standing:
    """Put a body into the light."""
    foot = _received(Lit.openly(vector((body.x, body.y, 0.0)), vector((0.0, 0.0, 1.0)), lights))
    albedo = vector(body.albedo)
    return Standing(body, albedo, foot, foot * albedo * (0.25 if body.metal else 0.5))


def ground(lit: Lit, bodies: Iterable[Standing]) -> Floats:
    """Radiance of the ground, (3, n): diffuse, darker and coloured next to bodies."""
    irradiance = _received(lit) + _AMBIENT
    for standing in bodies:
        way = vector(standing.body.centre) - lit.points
        square = np.reciprocal(dot(way, way))
        part = np.maximum(dot(way, lit.normals), 0) * np.sqrt(square) * square * (RADIUS * RADIUS)
        irradiance = irradiance + np.minimum(part, 1) * (_BLEED * standing.glow - _AMBIENT)
    radiance: Floats = irradiance * (_GROUND / math.pi)
    return radiance


def rubber(lit: Lit, standing: Standing, view: Floats) -> Floats:
    """Radiance of a rubber body, (3, n), towards `view`, (3, n): diffuse under a weak, wide shine."""
    facing = _facing(lit, view)
    grazing = 1 - facing
    squared = grazing * grazing
    reflected = 0.012 + 0.35 * (squared * squared * grazing)
    diffuse = _around(lit, standing) * standing.albedo * (1 - 0.5 * reflected) / math.pi
    radiance: Floats = diffuse + _RUBBER_SHINE * shine(lit, view, _RUBBER_ROUGHNESS)
    return radiance


def dull_metal(lit: Lit, standing: Standing, view: Floats) -> Floats:
    """Radiance, (3, n), of a metal body seen in another one, whose own mirror images are not followed."""
    radiance: Floats = standing.albedo * (_around(lit, standing) * (0.5 / math.pi) + metal_shine(lit, view))
    return radiance


def metal_shine(lit: Lit, view: Floats) -> Floats:
    """Highlights of the lamps on metal, (3, n)."""
    return shine(lit, view, _METAL_ROUGHNESS)


def shine(lit: Lit, view: Floats, roughness: float) -> Floats:
    """Light that microfacets reflect, (3, n): GGX with height-uncorrelated Smith masking (Walter et al. 2007)."""
    facing = _facing(lit, view)
    squared = roughness * roughness
    total = np.zeros_like(lit.points)
    for light, irradiance, to_light in lit.arriving:
        cosine: Floats = np.maximum(dot(lit.normals, to_light), 0)
        half: Floats = np.maximum(dot(lit.normals, unit(to_light + view)), 0)
        spread = half * half * (squared - 1) + 1
        density: Floats = np.divide(squared / math.pi, spread * spread)
        masking: Floats = (cosine + _masked(cosine, squared)) * (facing + _masked(facing, squared))
        reflected: Floats = np.divide(density, masking + 1e-6)
        total = total + irradiance * reflected * light.power
    return total


def _masked(cosine: Floats, squared: float) -> Floats:
    root: Floats = np.sqrt(squared + (1 - squared) * cosine * cosine)
    return root


def _facing(lit: Lit, view: Floats) -> Floats:
    facing: Floats = np.maximum(dot(lit.normals, view), 1e-3)
    return facing


def _received(lit: Lit) -> Floats:
    total = np.zeros_like(lit.points)
    for light, irradiance, _ in lit.arriving:
        total = total + irradiance * light.power
    return total


def _around(lit: Lit, standing: Standing) -> Floats:
    """Irradiance of a body: the lights', the ground's from below, the rest from above."""
    below = 0.5 * (1 - lit.normals[2])
    height = np.minimum(lit.points[2] / (2 * RADIUS), 1)
    bounced = standing.foot * (_GROUND * _BOUNCE) * (below * (0.35 + 0.65 * height))
    irradiance: Floats = _received(lit) + bounced + _AMBIENT * (1 - below)
    return irradiance
