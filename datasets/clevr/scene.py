"""Scenes: what stands where, drawn from a seed as CLEVR's generator draws them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from datasets.clevr.vectors import Triple

SHAPES = ("cube", "sphere", "cylinder")
COLOURS = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
}
"""CLEVR's colours, in bytes. Its materials take byte ÷ 255 for linear light, and so do ours."""
NAMES = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)
"""The 24 labels of i-CLEVR, in its order."""
RADIUS = 0.55
"""Half of what every body measures along each axis: i-CLEVR has one size."""
PER_SCENE = 3
"""Bodies of a scene, and its images: each shows one more."""

_CAMERA = (7.4811, -6.5076, 5.3437)
_LAMPS = {"key": (6.4467, -2.9052, 4.2584), "fill": (-4.6711, -4.0136, 3.0112), "back": (-1.1685, 2.646, 5.8157)}
_CAMERA_JITTER, _LAMP_JITTER = 0.5, 1.0
_FIELD = 3.0
_GAP, _MARGIN = 0.25, 0.4


@dataclass(frozen=True)
class Body:
    """A solid that stands on the floor, of radius RADIUS."""

    shape: str
    colour: str
    metal: bool
    x: float
    y: float
    heading: tuple[float, float]
    """Cosine and sine of the angle that it is turned by about the vertical."""

    @property
    def name(self) -> str:
        """Its label, such as "red cube"."""
        return f"{self.colour} {self.shape}"

    @property
    def centre(self) -> Triple:
        """Its middle."""
        return self.x, self.y, RADIUS

    @property
    def albedo(self) -> Triple:
        """Linear red, green and blue, 0–1."""
        red, green, blue = COLOURS[self.colour]
        return red / 255, green / 255, blue / 255


@dataclass(frozen=True)
class Scene:
    """Three bodies in the order in which they appear, and the camera and the lamps that all images of them share."""

    camera: Triple
    lamps: dict[str, Triple]
    """Positions of the lamps "key", "fill" and "back"."""
    bodies: tuple[Body, ...]


def scenes(seed: int, index: int, *, metal: bool = False) -> Iterator[Scene]:
    """Endless draws for place `index` of the set made from `seed`; the renderer takes the first in which all bodies show."""
    rng = random.Random(f"iclevr {seed} {index}")
    while True:
        yield _draw(rng, metal)


def _draw(rng: random.Random, metal: bool) -> Scene:
    camera = _jittered(rng, _CAMERA, _CAMERA_JITTER)
    lamps = {name: _jittered(rng, at, _LAMP_JITTER) for name, at in _LAMPS.items()}
    bodies: list[Body] = []
    while len(bodies) < PER_SCENE:
        x, y = (_uniform(rng, _FIELD), _uniform(rng, _FIELD)) if bodies else (0.0, 0.0)
        body = Body(_choice(rng, SHAPES), _choice(rng, tuple(COLOURS)), metal, x, y, _heading(rng))
        if all(_apart(body, other, camera) for other in bodies):
            bodies.append(body)
    return Scene(camera, lamps, tuple(bodies))


def _apart(a: Body, b: Body, camera: Triple) -> bool:
    """Whether two bodies differ in name, leave a gap, and are clearly left or right, before or behind, as CLEVR asks for."""
    dx, dy = a.x - b.x, a.y - b.y
    if a.name == b.name or math.sqrt(dx * dx + dy * dy) < 2 * RADIUS + _GAP:
        return False
    length = math.sqrt(camera[0] * camera[0] + camera[1] * camera[1])
    ahead, aside = (dx * camera[0] + dy * camera[1]) / length, (dx * camera[1] - dy * camera[0]) / length
    return abs(ahead) >= _MARGIN and abs(aside) >= _MARGIN


def _heading(rng: random.Random) -> tuple[float, float]:
    """A direction, all as likely: a point of the disc, without the sine that machines disagree on."""
    while True:
        x, y = _uniform(rng, 1), _uniform(rng, 1)
        square = x * x + y * y
        if 0.01 < square <= 1:
            return x / math.sqrt(square), y / math.sqrt(square)


def _jittered(rng: random.Random, at: Triple, by: float) -> Triple:
    x, y, z = at
    return x + _uniform(rng, by), y + _uniform(rng, by), z + _uniform(rng, by)


def _uniform(rng: random.Random, half: float) -> float:
    return half * (2 * rng.random() - 1)


def _choice(rng: random.Random, of: tuple[str, ...]) -> str:
    return of[int(rng.random() * len(of))]
