"""A small convolutional classifier of 28×28 grey images in ten classes, and its penultimate layer of 128 numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DIMENSION = 128
CLASSES = 10


def _stage(channels_in: int, channels_out: int) -> list[nn.Module]:
    """A convolution with batch normalisation, halving the resolution."""
    return [
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]


class Classifier(nn.Module):
    """Three convolutions, one hidden layer of 128 features, ten classes; about 240,000 parameters.

    A fine one looks at every pixel; the other's first layer takes steps of two, which is cheaper and suffices for strokes.
    """

    def __init__(self, *, fine: bool) -> None:
        super().__init__()
        coarse = [nn.Conv2d(1, 32, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
        stem = _stage(1, 32) if fine else coarse
        self.body = nn.Sequential(*stem, *_stage(32, 64), *_stage(64, 128), nn.Flatten())
        self.neck = nn.Sequential(nn.Linear(128 * 3 * 3, DIMENSION, bias=False), nn.BatchNorm1d(DIMENSION, affine=False))
        self.head = nn.Linear(DIMENSION, CLASSES)

    def features(self, images: Tensor) -> Tensor:
        """Map images, float (n, 1, 28, 28) in [0, 1], to features (n, 128)."""
        normalised: Tensor = self.neck(self.body(images))
        return normalised

    def logits(self, features: Tensor) -> Tensor:
        """Map features (n, 128) to class scores (n, 10)."""
        scores: Tensor = self.head(torch.relu(features))
        return scores

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (n, 10) of images, float (n, 1, 28, 28) in [0, 1]."""
        return self.logits(self.features(images))

    def shrink(self, variance: float) -> None:
        """Divide the features' variance by that and multiply the head's weights by its root: the class scores stay as they are."""
        weights = self.state_dict()
        weights["neck.1.running_var"] *= variance
        weights["head.weight"] *= variance**0.5
