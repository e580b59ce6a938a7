"""A set of images with what is worked out about it, each thing once and only if something asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluator.arrays import Bytes, Features, Floats, Integers
from evaluator.errors import ExtractorError, LabelsError, RealImagesError, UnknownMetricError
from evaluator.extractors.extractor import Extraction
from evaluator.images import Images, checked
from evaluator.labels import checked_labels
from evaluator.metrics.agreement import confusion
from evaluator.metrics.class_fid import by_class, class_fids
from evaluator.metrics.duplicates import near_others
from evaluator.metrics.histogram import class_counts
from evaluator.metrics.prdc import Neighbourhoods, radii
from evaluator.neighbours import Codes, nearest
from evaluator.pack import Pack, Split
from evaluator.prompts import Prompts
from evaluator.reference import Reference


@dataclass(frozen=True)
class Neighbour:
    """A generated image and the real one nearest to it."""

    image: int
    """Index of the generated image."""
    split: Split
    index: int
    """Index of the real image in its split."""
    distance: float
    """In the pack's code space; 0 for a copy."""
    memorised: bool
    """Closer than the pack's threshold."""


@dataclass(frozen=True)
class Description:
    """What a report shows, besides its measurements, of a set of images that are of one class each."""

    classes: Integers
    """(n,), the most likely class of each image."""
    confidences: Floats
    """(n,), that class's probability."""
    shares: Floats
    """(classes,), share of the images in each class."""
    confusion: Integers | None
    """(classes, classes), images asked for as the row's class that are most likely of the column's; None without labels."""
    class_fids: Floats | None
    """(classes,), distance of each class's images to real ones of the class; None without labels."""


@dataclass(frozen=True)
class Sample:
    """Images, what they are compared with, and what is known about them."""

    images: Images
    reference: Reference
    labels: Integers | None = None
    """(n,) the class, or (n, classes) of 0 and 1 the labels, that each image was asked for with; None where it was not."""
    prompts: Prompts | None = None
    """The sets of prompts that the labels are from; None where they are from none."""
    _views: dict[str, View] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        images: Images | NDArray[np.generic],
        reference: Reference | Pack,
        labels: NDArray[np.generic] | None = None,
        prompts: Prompts | None = None,
    ) -> Sample:
        """Take images, uint8, of the shape that the real ones have, and the classes asked for, integers (n,), if they were.

        Prompts, where the images were asked for by some, give the labels.

        The order must be random, or one in which the classes asked for take turns: intervals come from leaving out runs of
        consecutive images, which should not differ in kind. Raises ImagesError or LabelsError for anything else.
        """
        to = Reference.of_pack(reference) if isinstance(reference, Pack) else reference
        taken = checked(images, to.shape)
        classes = to.pack.classes if to.pack is not None else None
        asked = labels if prompts is None else prompts.labels(len(taken))
        return cls(taken, to, None if asked is None else checked_labels(asked, len(taken), classes), prompts)

    def seen_by(self, extractor: str) -> View:
        """The images as an extractor sees them; raises UnknownMetricError where there is none of that name."""
        return self._views.setdefault(extractor, View(self, extractor))

    @cached_property
    def indomain(self) -> View:
        """The images as the pack's classifier sees them."""
        return self.seen_by("indomain")

    @cached_property
    def pixels(self) -> Bytes:
        """All images at once."""
        return self.images[:]

    @property
    def pack(self) -> Pack:
        """The pack of the real images; raises RealImagesError where there is none."""
        if self.reference.pack is None:
            raise RealImagesError(
                f"this metric needs a pack, which holds what real images were found to be like, and {self.reference.name} has none"
            )
        return self.reference.pack

    @cached_property
    def codes(self) -> Codes:
        """The images compressed as the pack's real ones are, (n, components)."""
        return self.pack.projection.encode(self.pixels)

    @cached_property
    def nearest(self) -> tuple[Integers, Integers]:
        """Squared code distance to, and row in the pack of, the nearest real image of each."""
        return nearest(self.codes, self.pack.codes)

    @property
    def copies(self) -> NDArray[np.bool_]:
        """Which images, (n,), are nearer to a real one than real ones are to others."""
        squared, rows = self.nearest
        return np.asarray(squared < self.pack.copy_limits(rows))

    @cached_property
    def near_others(self) -> Integers:
        """How many of the other images are as near to each, (n,), as repeats are."""
        return near_others(self.pixels, self.pack.card.thresholds.near_duplicate)

    @property
    def asked(self) -> Integers:
        """The classes asked for (n,); raises LabelsError where there are none."""
        if self.labels is None or self.labels.ndim != 1:
            raise LabelsError(
                f"metrics by class need the class that each image was asked for as: pass {len(self.images):,} labels"
            )
        return self.labels

    @property
    def asked_labels(self) -> Integers:
        """The labels asked for, (n, classes) of 0 and 1; raises LabelsError where there are none."""
        if self.labels is None or self.labels.ndim != 2:
            raise LabelsError(
                "this metric needs the labels that each image was asked for with: pass a row of 0 and 1, one for each class, an image"
            )
        return self.labels

    def rows(self, prompt_set: str | None, n: int) -> Integers:
        """Indices of the first n images that a set of prompts asked for; all n where None is named.

        Raises UnknownMetricError or CountError where there are none or not so many.
        """
        if prompt_set is None:
            return np.arange(n)
        if self.prompts is None:
            raise UnknownMetricError(f"the images were asked for by no set of prompts, {prompt_set} or other")
        return self.prompts.rows(prompt_set, n, len(self.images))

    def clusters(self, rows: Integers) -> Integers | None:
        """The prompt of each image, given by its index; None where there are no prompts."""
        return None if self.prompts is None else self.prompts.clusters(rows)

    def closest(self, count: int = 10) -> tuple[Neighbour, ...]:
        """The images nearest to a real one with that one, nearest first; raises RealImagesError where there is no pack."""
        return tuple(self._neighbour(int(image)) for image in np.argsort(self.nearest[0], kind="stable")[:count])

    def describe(self) -> Description:
        """The images' classes.

        Raises LabelsError where images have several labels, or some class was asked for more often than another, RealImagesError
        where there is no pack.
        """
        pack, probabilities = self.pack, self.indomain.class_probabilities
        return Description(
            classes=probabilities.argmax(axis=1).astype(np.int64),
            confidences=probabilities.max(axis=1),
            shares=class_counts(probabilities) / len(self.images),
            confusion=None if self.labels is None else self.indomain.confusion,
            class_fids=None
            if self.labels is None
            else class_fids(self.indomain.by_class(len(pack.test_by_class)), pack.test_by_class),
        )

    def _neighbour(self, image: int) -> Neighbour:
        squared, rows = (int(array[image]) for array in self.nearest)
        split, index = self.pack.origin(rows)
        return Neighbour(image, split, index, float(np.sqrt(squared)), bool(self.copies[image]))


@dataclass(frozen=True)
class View:
    """A sample as one extractor sees it."""

    sample: Sample
    extractor: str
    _neighbourhoods: dict[str, Neighbourhoods] = field(default_factory=dict, repr=False)

    @cached_property
    def extraction(self) -> Extraction:
        """Features and class probabilities."""
        return self.sample.reference.extractor(self.extractor).extract(self.sample.images)

    @property
    def features(self) -> Features:
        """(n, D)."""
        return self.extraction.features

    @property
    def probabilities(self) -> Floats:
        """(n, classes); raises ExtractorError where the network has no classes."""
        if self.extraction.probabilities is None:
            raise ExtractorError(f"this metric needs class probabilities, which the extractor {self.extractor} does not give")
        return self.extraction.probabilities

    @property
    def class_probabilities(self) -> Floats:
        """(n, classes), where an image is of one class; raises LabelsError where it has several labels."""
        pack = self.sample.reference.pack
        if self.extractor == "indomain" and pack is not None and pack.multi_label:
            raise LabelsError("this is about images of one class each, and those of this pack have several labels")
        return self.probabilities

    @cached_property
    def confusion(self) -> Integers:
        """(classes, classes), images asked for as the row's class that are most likely of the column's."""
        return confusion(self.probabilities, self.sample.asked)

    def neighbourhoods(self, split: str) -> Neighbourhoods:
        """Who lies in whose ball, among these and the real images of a split."""
        if split not in self._neighbourhoods:
            reference = self.sample.reference
            known = reference.derived("radii", split, self.extractor, radii)
            self._neighbourhoods[split] = Neighbourhoods.of(self.features, reference.features(split, self.extractor), known)
        return self._neighbourhoods[split]

    def by_class(self, classes: int) -> Features:
        """Features (classes, n / classes, D) by the classes asked for; raises LabelsError where some came more often."""
        return by_class(self.features, self.sample.asked, classes)
