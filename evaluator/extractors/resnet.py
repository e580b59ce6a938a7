"""ResNet-18 in colour, as wide as wanted (He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, CVPR 2016).

Its parts have torchvision's names, so that a state dict of torchvision's loads, but for the last layer. A pack's own network is
narrow: 32, 64, 128 and 128 channels, of which the last are the features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BLOCKS = 2
"""Residual blocks a stage: with two, of two convolutions each, the network has 18 layers."""


@dataclass(frozen=True)
class Architecture:
    """What a state dict tells about its network."""

    widths: tuple[int, int, int, int]
    """Channels of the four stages."""
    classes: int
    kernel: int
    """Side of the first convolution's kernel, in steps of two: 7, with pooling after it, for photographs; 3, without, for small ones."""
    strongest: bool
    """Whether a feature is its strongest response over the image, as finding things in it asks for, instead of the mean."""

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Architecture:
        """That of a network with these weights; raises KeyError where it is none of these."""
        first, second, third, fourth = (len(weights[f"layer{stage}.0.conv1.weight"]) for stage in (1, 2, 3, 4))
        strongest = "strongest" in weights and bool(weights["strongest"].item())
        return cls((first, second, third, fourth), len(weights["head.bias"]), weights["conv1.weight"].shape[-1], strongest)


class _Block(nn.Module):
    """Two convolutions, and around them the input, brought to the same shape."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or channels_in != channels_out:
            projection = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(inner)) + self.downsample(x))


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Module:
    rest = (_Block(channels_out, channels_out, 1) for _ in range(BLOCKS - 1))
    return nn.Sequential(_Block(channels_in, channels_out, stride), *rest)


class ResNet(nn.Module):
    """Four stages of residual blocks, each but the first halving the resolution; their mean or maximum over the image is the features."""

    scale: Tensor
    strongest: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        first, second, third, fourth = architecture.widths
        self.conv1 = nn.Conv2d(3, first, architecture.kernel, stride=2, padding=architecture.kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1) if architecture.kernel == 7 else nn.Identity()
        self.layer1 = _stage(first, first, 1)
        self.layer2 = _stage(first, second, 2)
        self.layer3 = _stage(second, third, 2)
        self.layer4 = _stage(third, fourth, 2)
        self.head = nn.Linear(fourth, architecture.classes)
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("strongest", torch.tensor(architecture.strongest, dtype=torch.uint8))

    def features(self, images: Tensor) -> Tensor:
        """Map images, float (n, 3, side, side) in [0, 1], to features (n, D) ≥ 0, D the width of the last stage."""
        x = self.pool(torch.relu(self.bn1(self.conv1(2 * images - 1))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        pooled: Tensor = x.amax(dim=(2, 3)) if self.strongest else x.mean(dim=(2, 3))
        return pooled * self.scale

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
