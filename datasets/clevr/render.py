"""Pictures of a scene: one for each body that appears, rendered together since they share rays, ground and shadows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.clevr import backdrop, film, materials, mirror, solids
from datasets.clevr.film import Pixels
from datasets.clevr.lights import Light, lights
from datasets.clevr.materials import Lit, Standing
from datasets.clevr.scene import Body, Scene, scenes
from datasets.clevr.vectors import Floats, Triple, direction, frame, vector

SIZE = (64, 64)
"""Pixels, height and width, that the labs resize CLEVR's images to. The field of view is 4:3 whatever the pixels."""
_HALF_WIDTH, _HALF_HEIGHT = 16 / 35, 12 / 35
"""Of the view at distance one: a lens of 35 mm before a sensor of 32 mm."""
_LEAST_SHOWN = 200 / (320 * 240)
"""Part of the picture that each body must cover: CLEVR's 200 pixels."""


@dataclass(frozen=True)
class Pictures:
    """A rendered scene."""

    pixels: Pixels
    """(k, height, width, 3), sRGB: image j shows the first j + 1 bodies."""
    shown: tuple[float, ...]
    """Part of the last image, 0–1, that shows each body."""


def render_clearly(seed: int, index: int, *, size: tuple[int, int] = SIZE, metal: bool = False) -> tuple[Scene, Pixels]:
    """Draw scenes for a place of a set until one shows each of its bodies well; returns it and its images (3, h, w, 3)."""
    for scene in scenes(seed, index, metal=metal):
        pictures = render(scene, size)
        if min(pictures.shown) >= _LEAST_SHOWN:
            return scene, pictures.pixels
    raise AssertionError("scenes() never ends")


def render(scene: Scene, size: tuple[int, int] = SIZE) -> Pictures:
    """Render a scene's images, `size` pixels high and wide."""
    rays = _rays(scene.camera, film.SAMPLES * size[0], film.SAMPLES * size[1])
    eye, lamps = vector(scene.camera), lights(scene)
    distance, level = backdrop.hit(eye, rays)
    nearest = np.zeros(distance.shape, np.int8)
    surfaces = [_Surface(None, np.arange(nearest.size), eye + rays * distance, level, -rays, lamps)]
    canvas = np.zeros_like(rays)
    pixels, standing = [], []
    for number, body in enumerate(scene.bodies, 1):
        enter, leave = solids.interval(body.shape, solids.place(body, eye), solids.turn(body, rays))
        hit = (enter < leave) & (enter < distance)
        distance, nearest[hit] = np.where(hit, enter, distance), number
        for surface in surfaces:
            surface.shade(body)
        standing.append(materials.stand(body, lamps))
        where = np.nonzero(hit)[0]
        points = eye + rays[:, where] * distance[where]
        surfaces.append(_Surface(number - 1, where, points, solids.normals(body, points), -rays[:, where], lamps))
        for earlier in scene.bodies[: number - 1]:
            surfaces[-1].shade(earlier)
        for surface in surfaces:  # a later body hides earlier ones where it shows, so painting in order is enough
            canvas[:, surface.where] = surface.radiance(standing, lamps)
        pixels.append(film.reduce(film.encode(canvas.reshape(3, film.SAMPLES * size[0], -1)).transpose(1, 2, 0)))
    shown = tuple(int(np.count_nonzero(nearest == number)) / nearest.size for number in range(1, len(scene.bodies) + 1))
    return Pictures(np.stack(pixels), shown)


class _Surface:
    """What the eye sees of the ground or of one body, and the shadows on it of the bodies that came so far."""

    def __init__(
        self, own: int | None, where: NDArray[np.intp], points: Floats, normals: Floats, view: Floats, lamps: Sequence[Light]
    ):
        self.where = where
        self._own = own
        self._view = view
        self._open = Lit.openly(points, normals, lamps)
        self._hidden = [np.zeros(where.size, np.uint16) for _ in lamps]

    def shade(self, body: Body) -> None:
        """Let another body throw its shadows."""
        for (light, _, _), bits in zip(self._open.arriving, self._hidden, strict=True):
            bits |= light.hidden(self._open.points, body)

    def radiance(self, standing: Sequence[Standing], lamps: Sequence[Light]) -> Floats:
        """Light towards the eye, (3, n), when these bodies stand."""
        lit = self._lit()
        if self._own is None:
            return materials.ground(lit, standing)
        own = standing[self._own]
        if own.body.metal:
            others = [*standing[: self._own], *standing[self._own + 1 :]]
            return mirror.metal(lit, own, self._view, others, lamps)
        return materials.rubber(lit, own, self._view)

    def _lit(self) -> Lit:
        pairs = zip(self._open.arriving, self._hidden, strict=True)
        arriving = tuple((light, irradiance * light.seen(bits), way) for (light, irradiance, way), bits in pairs)
        return Lit(self._open.points, self._open.normals, arriving)


def _rays(camera: Triple, rows: int, columns: int) -> Floats:
    """Unit vectors from the camera, which looks at the origin, through a grid of samples, (3, rows · columns)."""
    x, y, z = direction(camera)
    ahead = (-x, -y, -z)
    right, up = frame(ahead)
    across = ((np.arange(columns) + 0.5) / columns * 2 - 1) * _HALF_WIDTH
    upwards = (1 - (np.arange(rows) + 0.5) / rows * 2) * _HALF_HEIGHT
    grid = [(ahead[k] + upwards[:, None] * up[k] + across * right[k]).ravel() for k in range(3)]
    length = np.sqrt(grid[0] * grid[0] + grid[1] * grid[1] + grid[2] * grid[2])
    return np.stack([axis / length for axis in grid]).astype(np.float32)
