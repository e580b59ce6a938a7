"""Measure a set of images against a pack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluator.arrays import Bytes, Features, Floats, Integers
from evaluator.errors import CountError, LabelsError, UnknownMetricError
from evaluator.images import checked
from evaluator.labels import checked_labels
from evaluator.measurement import Measurement
from evaluator.metrics.agreement import class_agreement, confusion
from evaluator.metrics.class_fid import by_class, class_fid, class_fids
from evaluator.metrics.confidence import confident
from evaluator.metrics.duplicates import duplicates
from evaluator.metrics.fid import fid
from evaluator.metrics.histogram import class_counts, class_kl
from evaluator.metrics.memorisation import memorised
from evaluator.neighbours import nearest
from evaluator.pack import Pack, Split


@dataclass(frozen=True)
class Neighbour:
    """A generated image and the real one nearest to it."""

    image: int
    """Index of the generated image."""
    split: Split
    index: int
    """Index of the real image in its split."""
    label: int
    """Class of the real image."""
    distance: float
    """In the pack's code space; 0 for a copy."""
    memorised: bool
    """Closer than the pack's threshold."""


@dataclass(frozen=True)
class Description:
    """What a report shows of a set of images besides its measurements."""

    classes: Integers
    """(n,), the most likely class of each image."""
    confidences: Floats
    """(n,), that class's probability."""
    shares: Floats
    """(classes,), share of the images in each class."""
    closest: tuple[Neighbour, ...]
    """The images nearest to a real one, nearest first."""
    confusion: Integers | None
    """(classes, classes), images asked for as the row's class that are most likely of the column's; None without labels."""
    class_fids: Floats | None
    """(classes,), distance of each class's images to real ones of the class; None without labels."""


@dataclass(frozen=True)
class Sample:
    """Images with what is worked out about them, each thing once and only if a metric asks for it."""

    images: Bytes
    pack: Pack
    labels: Integers | None = None
    """(n,), the class that each image was asked for as; None where the images were not asked for by class."""

    @classmethod
    def of(cls, images: NDArray[np.generic], pack: Pack, labels: NDArray[np.generic] | None = None) -> Sample:
        """Take images, uint8 (n, 28, 28), and the classes asked for, integers (n,), if they were.

        The order must be random, or one in which the classes asked for take turns: intervals come from leaving out runs of
        consecutive images, which should not differ in kind. Raises ImagesError or LabelsError for anything else.
        """
        images = checked(images)
        return cls(images, pack, None if labels is None else checked_labels(labels, len(images), len(pack.test_by_class)))

    @cached_property
    def extraction(self) -> tuple[Features, Floats]:
        """Features and class probabilities."""
        from evaluator.extractors.classifier import extract  # torch, which takes a second to import

        return extract(self.pack.classifier, self.images)

    @property
    def features(self) -> Features:
        """(n, D)."""
        return self.extraction[0]

    @property
    def probabilities(self) -> Floats:
        """(n, classes)."""
        return self.extraction[1]

    @cached_property
    def nearest(self) -> tuple[Integers, Integers]:
        """Squared code distance to, and row in the pack of, the nearest real image of each."""
        return nearest(self.pack.projection.encode(self.images), self.pack.codes)

    @cached_property
    def asked(self) -> Integers:
        """The classes asked for (n,); raises LabelsError where there are none."""
        if self.labels is None:
            raise LabelsError(
                f"metrics by class need the class that each image was asked for as: pass {len(self.images):,} labels"
            )
        return self.labels

    @cached_property
    def confusion(self) -> Integers:
        """(classes, classes), images asked for as the row's class that are most likely of the column's."""
        asked = self.asked
        return confusion(self.probabilities, asked)

    @cached_property
    def by_class(self) -> Features:
        """Features (classes, n / classes, D) by the classes asked for; raises LabelsError where some came more often."""
        asked = self.asked
        return by_class(self.features, asked, len(self.pack.test_by_class))

    def measure(self, metrics: Sequence[str]) -> dict[str, Measurement]:
        """Measure by the metrics named.

        Raises UnknownMetricError, CountError where a name states another n, or LabelsError where a metric needs the classes
        asked for and they were not given or did not come equally often.
        """
        return {name: self._measure(name) for name in metrics}

    def _measure(self, name: str) -> Measurement:
        variant = METRICS.get(name)
        if variant is None:
            raise UnknownMetricError(f"no metric is called {name!r}; there are {', '.join(METRICS)}")
        if len(self.images) != variant.n:
            raise CountError(f"{name} takes {variant.n:,} images, but there are {len(self.images):,}")
        return variant.measure(self, name)

    def describe(self, closest: int = 10) -> Description:
        """Classes, and the `closest` nearest pairs of a generated and a real image.

        Raises LabelsError where there are labels and some class was asked for more often than another.
        """
        probabilities = self.probabilities
        squared, _ = self.nearest
        order = np.argsort(squared, kind="stable")[:closest]
        return Description(
            classes=probabilities.argmax(axis=1).astype(np.int64),
            confidences=probabilities.max(axis=1),
            shares=class_counts(probabilities) / len(self.images),
            closest=tuple(self._neighbour(int(image)) for image in order),
            confusion=None if self.labels is None else self.confusion,
            class_fids=None if self.labels is None else class_fids(self.by_class, self.pack.test_by_class),
        )

    def _neighbour(self, image: int) -> Neighbour:
        squared, rows = (int(array[image]) for array in self.nearest)
        split, index = self.pack.origin(rows)
        near = squared < self.pack.card.thresholds.memorised
        return Neighbour(image, split, index, int(self.pack.labels[rows]), float(np.sqrt(squared)), near)


@dataclass(frozen=True)
class Variant:
    """A metric at a fixed number of images."""

    n: int
    measure: Callable[[Sample, str], Measurement]
    needs_labels: bool = False
    """Whether it compares with the classes asked for."""


def _fid_test(sample: Sample, name: str) -> Measurement:
    return fid(sample.features, sample.pack.test, name)


def _fid_train(sample: Sample, name: str) -> Measurement:
    return fid(sample.features, sample.pack.train, name)


def _class_kl(sample: Sample, name: str) -> Measurement:
    return class_kl(sample.probabilities, name)


def _confident(sample: Sample, name: str) -> Measurement:
    return confident(sample.probabilities, name)


def _duplicates(sample: Sample, name: str) -> Measurement:
    return duplicates(sample.images, sample.pack.card.thresholds.near_duplicate, name)


def _memorised(sample: Sample, name: str) -> Measurement:
    return memorised(sample.nearest[0], sample.pack.card.thresholds.memorised, name)


def _class_agreement(sample: Sample, name: str) -> Measurement:
    return class_agreement(sample.confusion, name)


def _class_fid(sample: Sample, name: str) -> Measurement:
    return class_fid(sample.by_class, sample.pack.test_by_class, name)


METRICS = {
    "fid2k_test_indomain": Variant(2_000, _fid_test),
    "fid2k_train_indomain": Variant(2_000, _fid_train),
    "fid10k_test_indomain": Variant(10_000, _fid_test),
    "class_kl2k_uniform_indomain": Variant(2_000, _class_kl),
    "confident2k_indomain": Variant(2_000, _confident),
    "duplicates2k_pixels": Variant(2_000, _duplicates),
    "memorised2k_traintest_pixels": Variant(2_000, _memorised),
    "class_agreement2k_indomain": Variant(2_000, _class_agreement, needs_labels=True),
    "class_agreement10k_indomain": Variant(10_000, _class_agreement, needs_labels=True),
    "class_fid2k_test_indomain": Variant(2_000, _class_fid, needs_labels=True),
}
"""Metric, sample count, reference and extractor, all in the name: never one name for two things."""


def evaluate(
    images: NDArray[np.generic], pack: Pack, metrics: Sequence[str], labels: NDArray[np.generic] | None = None
) -> dict[str, Measurement]:
    """Measure images, uint8 (n, 28, 28), by the metrics named, in their order.

    `labels`, integers (n,), are the classes asked for. For the images' order and for what is raised see `Sample`. Identical
    images give identical numbers.
    """
    return Sample.of(images, pack, labels).measure(metrics)


def describe(images: NDArray[np.generic], pack: Pack, labels: NDArray[np.generic] | None = None) -> Description:
    """Describe images, uint8 (n, 28, 28), for a report; `Sample` does this and `evaluate` on one set of features."""
    return Sample.of(images, pack, labels).describe()
