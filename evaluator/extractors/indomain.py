"""The extractor of a pack: its classifier of the data set's own classes, the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evaluator.extractors.extractor import Extraction
from evaluator.images import Images
from evaluator.pack import Pack


@dataclass(frozen=True)
class InDomain:
    """A pack's classifier as an `Extractor`."""

    pack: Pack
    name: ClassVar[str] = "indomain"

    @property
    def identity(self) -> str:
        """The sha256 of the pack."""
        return self.pack.sha256

    @property
    def dimension(self) -> int:
        """Width of the classifier's penultimate layer."""
        return len(self.pack.test.mean)

    def extract(self, images: Images) -> Extraction:
        """Features, float32 (n, D), and class probabilities of images, uint8 and of the shape that the pack's have."""
        from evaluator.extractors.network import extract, probabilities  # torch, which takes a second to import

        features, scores = extract(self.pack.classifier, images)
        return Extraction(features, probabilities(scores, multi_label=self.pack.multi_label))
