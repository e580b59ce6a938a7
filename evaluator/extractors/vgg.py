"""Seven plain convolutions for small photographs in colour, and the 128 numbers that the last of them finds.

The arrangement is that of Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024, narrower: the first layer has fixed weights
that whiten patches of 2×2 pixels, then come three blocks of two convolutions, each of which halves the resolution (Simonyan and
Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015). An image and its mirror image have the same
features: the mean of what the network finds in the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

PATCH = 2
"""Side of the patches that the first layer whitens."""
_WHITENED = 3 * PATCH**2
_FAINTEST = 5e-4
"""Added to the variances: directions in which patches hardly vary are not blown up to noise."""


def _block(channels_in: int, channels: int, channels_out: int) -> list[nn.Module]:
    """Two convolutions, the first of which is followed by pooling."""
    return [
        nn.Conv2d(channels_in, channels, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]


class Vgg(nn.Module):
    """Blocks of these widths; the features are as many as the last number, each the strongest response over the image."""

    scale: Tensor

    def __init__(self, widths: Sequence[int] = (64, 192, 192, 128), classes: int = 10) -> None:
        super().__init__()
        first, second, third, last = widths
        self.whitening = nn.Conv2d(3, 2 * _WHITENED, PATCH, bias=False).requires_grad_(False)
        body = [*_block(2 * _WHITENED, first, first), *_block(first, second, second), *_block(second, third, last)]
        self.body = nn.Sequential(nn.ReLU(), *body)
        self.head = nn.Linear(last, classes)
        self.register_buffer("scale", torch.ones(1))

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Vgg:
        """A network of the widths that these weights have; raises KeyError where they are none of its."""
        first, second, third, last = (len(weights[f"body.{layer}.weight"]) for layer in (1, 8, 15, 19))
        return cls((first, second, third, last), len(weights["head.bias"]))

    def whiten(self, images: Tensor) -> None:
        """Set the first layer from images, float (n, 3, side, side) in [0, 1]: it finds the principal components of their patches."""
        patches = nn.functional.unfold(2 * images - 1, PATCH).transpose(1, 2).reshape(-1, _WHITENED).double()
        variances, directions = torch.linalg.eigh(patches.T.cov())
        filters = (directions / (variances + _FAINTEST).sqrt()).T.reshape(_WHITENED, 3, PATCH, PATCH).float()
        with torch.no_grad():
            self.whitening.weight.copy_(
                torch.cat([filters, -filters])
            )  # what a rectifier takes of the one, it leaves of the other

    def features(self, images: Tensor) -> Tensor:
        """Map images, float (n, 3, side, side) in [0, 1] with side ≥ 9, to features (n, D) ≥ 0, D the last width."""
        found = self._strongest(images)
        if not self.training:
            found = (found + self._strongest(images.flip(3))) / 2
        return found * self.scale

    def _strongest(self, images: Tensor) -> Tensor:
        responses: Tensor = self.body(self.whitening(2 * images - 1))
        return responses.amax(dim=(2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """Map features (n, D) to class scores (n, classes)."""
        scores: Tensor = self.head(features)
        return scores

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (n, classes) of images, float (n, 3, side, side) in [0, 1]."""
        return self.logits(self.features(images))

    def shrink(self, variance: float) -> None:
        """Divide the features' variance by that and multiply the head's weights by its root: the class scores stay as they are."""
        with torch.no_grad():
            self.scale /= variance**0.5
            self.head.weight *= variance**0.5
