"""What every extractor has and returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from evaluator.arrays import Features, Floats
from evaluator.images import Images


@dataclass(frozen=True)
class Extraction:
    """What a network says of a set of images."""

    features: Features
    """(n, D)."""
    probabilities: Floats | None
    """(n, classes): each row sums to 1, or with many labels an image each is in [0, 1]. None where the network has no classes."""


class Extractor(Protocol):
    """A network that turns images into features.

    An image's features depend neither on the images around it nor on how many there are.
    """

    @property
    def name(self) -> str:
        """The last part of a metric's name: `indomain`, `inception`."""
        ...

    @property
    def identity(self) -> str:
        """Hexadecimal digits that differ between networks of the same name; statistics are cached under it."""
        ...

    @property
    def dimension(self) -> int:
        """D, the number of features."""
        ...

    def extract(self, images: Images) -> Extraction:
        """Features and class probabilities of images, uint8 (n, side, side) or (n, 3, side, side), read batch by batch."""
        ...
