"""How the classifier of each data set is made and trained: what helps with digits does not help with clothes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from evaluator.errors import PackError
from evaluator.extractors.classifier import Classifier
from evaluator.extractors.resnet import Architecture, ResNet
from evaluator.extractors.vgg import Vgg

Distortion = Callable[[Tensor, torch.Generator], Tensor]
"""From images, float (n, channels, side, side) in [0, 1], to others of the same classes, at random."""

_HIDDEN = 8
"""Side of the square that a photograph loses."""
_SPOILT = 1 / 3
"""Share of photographs that are blurred, and of those with noise; the more, the fewer clean ones are named rightly."""


@dataclass(frozen=True)
class Recipe:
    """A classifier's network and training."""

    network: Callable[[], Classifier | ResNet | Vgg]
    epochs: int
    distorted: Distortion
    batch: int = 125
    lower_precision: bool = False
    """Whether to compute in bfloat16 where the processor can; weights and losses stay in single precision."""
    compact: bool = False
    """Whether the pack keeps convolutions in a byte a weight, instead of half precision."""
    smoothing: float = 0.0
    """How much of a class's target is shared among all classes (Szegedy et al., CVPR 2016)."""
    together: int = 1
    """Images in a row that belong together, as those of a scene."""


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
    return _mirrored(images, random, reach=2, beyond="constant")


def mirrored_scenes(images: Tensor, random: torch.Generator) -> Tensor:
    """Mirror every second image, and shift by up to 3 pixels; the backdrop goes on beyond the frame."""
    return _mirrored(images, random, reach=3, beyond="replicate")


def mirrored_photographs(images: Tensor, random: torch.Generator) -> Tensor:
    """Mirror every second image, shift by up to 2 pixels, hide a square of 8 (DeVries and Taylor 2017); blur a third, with noise.

    Generated photographs are softer than real ones, or rougher: a classifier that never saw such calls all of them by one name.
    """
    shown = _spoilt(_mirrored(images, random, reach=2, beyond="reflect"), random)
    n, _, side, _ = shown.shape
    corner = torch.randint(-_HIDDEN + 1, side, (2, n, 1), generator=random)
    inside = (torch.arange(side) >= corner) & (torch.arange(side) < corner + _HIDDEN)
    return shown.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0.5)


def _spoilt(images: Tensor, random: torch.Generator) -> Tensor:
    """A third of the images blurred, a fifth to all of the way to the mean of 3×3 or 5×5 pixels; a third with noise, σ up to .06."""
    n = len(images)
    side = 3 if torch.rand(1, generator=random) < 0.7 else 5
    soft = functional.avg_pool2d(functional.pad(images, [side // 2] * 4, mode="reflect"), side, stride=1)
    share, sigma, blurred, noisy = torch.rand(4, n, 1, 1, 1, generator=random)
    images = torch.where(blurred < _SPOILT, images.lerp(soft, 0.2 + 0.8 * share), images)
    noise = torch.randn(images.shape, generator=random) * (0.06 * sigma * (noisy < _SPOILT))
    spoilt: Tensor = (images + noise).clamp(0, 1)
    return spoilt


def _mirrored(images: Tensor, random: torch.Generator, *, reach: int, beyond: str) -> Tensor:
    n, channels, side = images.shape[:3]
    turned = torch.rand(n, generator=random) < 0.5
    wide = functional.pad(torch.where(turned[:, None, None, None], images.flip(3), images), [reach] * 4, mode=beyond)
    down, right = torch.randint(0, 2 * reach + 1, (2, n, 1), generator=random) + torch.arange(side)
    image, channel = torch.arange(n)[:, None, None, None], torch.arange(channels)[None, :, None, None]
    return wide[image, channel, down[:, None, :, None], right[:, None, None, :]]


RECIPES = {
    "mnist": Recipe(partial(Classifier, fine=False), epochs=10, distorted=wobbled),
    "fashion_mnist": Recipe(partial(Classifier, fine=True), epochs=20, distorted=mirrored),
    "iclevr": Recipe(
        partial(ResNet, Architecture((32, 64, 128, 128), classes=24, kernel=3, strongest=True)),
        epochs=16,
        distorted=mirrored_scenes,
        batch=50,
        lower_precision=True,
        compact=True,
        together=3,
    ),
    "cifar10": Recipe(Vgg, epochs=28, distorted=mirrored_photographs, lower_precision=True, compact=True, smoothing=0.1),
}


def recipe_of(dataset: str) -> Recipe:
    """The recipe for a data set; raises PackError where there is none."""
    if dataset not in RECIPES:
        raise PackError(f"there is no recipe for the data set {dataset!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[dataset]
