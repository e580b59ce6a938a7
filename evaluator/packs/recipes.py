"""How the classifier of each data set is made and trained: what helps with digits does not help with clothes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from evaluator.errors import PackError

Distortion = Callable[[Tensor, torch.Generator], Tensor]
"""From images, float (n, 1, 28, 28) in [0, 1], to others of the same classes, at random."""


@dataclass(frozen=True)
class Recipe:
    """A classifier's network and training."""

    fine: bool
    """Whether the first layer looks at every pixel, for textures, instead of every second."""
    epochs: int
    distorted: Distortion


def wobbled(images: Tensor, random: torch.Generator) -> Tensor:
    """Rotate by up to 12°, scale by up to 12 % and shift by up to 2 pixels."""
    n = len(images)

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n, generator=random) * 2 - 1) * limit

    angle, scale = uniform(math.radians(12)), 1 + uniform(0.12)
    shift_x, shift_y = uniform(2 / 14), uniform(2 / 14)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [torch.stack([cosine, -sine, shift_x], 1), torch.stack([sine, cosine, shift_y], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def mirrored(images: Tensor, random: torch.Generator) -> Tensor:
    """Mirror every second image, and shift by up to 2 whole pixels, which leaves textures as they are."""
    n, reach, side = len(images), 2, images.shape[2]
    turned = torch.rand(n, generator=random) < 0.5
    wide = functional.pad(torch.where(turned[:, None, None, None], images.flip(3), images), [reach] * 4)
    down, right = torch.randint(0, 2 * reach + 1, (2, n, 1), generator=random) + torch.arange(side)
    return wide[torch.arange(n)[:, None, None], 0, down[:, :, None], right[:, None, :]].unsqueeze(1)


RECIPES = {
    "mnist": Recipe(fine=False, epochs=10, distorted=wobbled),
    "fashion_mnist": Recipe(fine=True, epochs=20, distorted=mirrored),
}


def recipe_of(dataset: str) -> Recipe:
    """The recipe for a data set; raises PackError where there is none."""
    if dataset not in RECIPES:
        raise PackError(f"there is no recipe for the data set {dataset!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[dataset]
