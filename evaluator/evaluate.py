"""Measure a set of images: `evaluate(images, public_pack("mnist"), ["fid", "duplicates"])`.

`METRICS` is the table of all metrics. A measurement's full name says what was measured (`evaluator.names`); in a request, what
goes without saying may be left out: `fid` of 2,000 images means `fid2k_test_indomain`, `fid_train` the training images.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product

import numpy as np
from numpy.typing import NDArray

from evaluator.errors import CountError, UnknownMetricError
from evaluator.images import Images
from evaluator.measurement import Measurement
from evaluator.metrics.agreement import class_agreement
from evaluator.metrics.class_fid import class_fid
from evaluator.metrics.confidence import confident
from evaluator.metrics.duplicates import duplicates
from evaluator.metrics.fid import fid
from evaluator.metrics.histogram import class_kl
from evaluator.metrics.memorisation import memorised
from evaluator.names import MetricName, count
from evaluator.pack import Pack
from evaluator.reference import Reference
from evaluator.sample import Sample

PIXELS = "pixels"
"""The extractor's part of a name where images are compared as they are."""


class Against(Enum):
    """What a metric compares images with."""

    NOTHING = "nothing"
    UNIFORM = "an equal share of each class"
    MOMENTS = "moments of the features of a split's real images"
    FEATURES = "features of a split's real images, which packs do not hold"
    CODES = "the compressed training and test images of a pack"


class Asked(Enum):
    """What must be known of how the images were asked for."""

    NOTHING = "nothing"
    CLASS = "each image's class"
    LABELS = "each image's labels, several at a time"


@dataclass(frozen=True)
class Metric:
    """A line of the table."""

    measure: Callable[[Sample, MetricName], Measurement]
    against: Against
    lower_is_better: bool | None
    """None where neither end is good."""
    pixels: bool = False
    """Whether it looks at pixels; else at what an extractor makes of them."""
    asked: Asked = Asked.NOTHING
    needs_pack: bool = False
    """Whether it takes what only a pack holds: thresholds found on real images, or their codes."""

    def references(self, splits: Sequence[str]) -> Sequence[str | None]:
        """What may stand in a name as the reference, the first where the request leaves it out."""
        fixed: dict[Against, str | None] = {
            Against.NOTHING: None,
            Against.UNIFORM: "uniform",
            Against.CODES: "traintest",
        }
        return [fixed[self.against]] if self.against in fixed else splits

    def extractor(self, network: str) -> str:
        """What stands in a name as the extractor, where the network is this one."""
        return PIXELS if self.pixels else network


def _fid(sample: Sample, name: MetricName) -> Measurement:
    return fid(sample.seen_by(name.extractor).features, sample.reference.gaussian(_split(name), name.extractor), str(name))


def _class_fid(sample: Sample, name: MetricName) -> Measurement:
    to = sample.reference.gaussians_by_class(_split(name), name.extractor)
    return class_fid(sample.seen_by(name.extractor).by_class(len(to)), to, str(name))


def _class_kl(sample: Sample, name: MetricName) -> Measurement:
    return class_kl(sample.seen_by(name.extractor).probabilities, str(name))


def _confident(sample: Sample, name: MetricName) -> Measurement:
    return confident(sample.seen_by(name.extractor).probabilities, str(name))


def _class_agreement(sample: Sample, name: MetricName) -> Measurement:
    return class_agreement(sample.seen_by(name.extractor).confusion, str(name))


def _duplicates(sample: Sample, name: MetricName) -> Measurement:
    return duplicates(sample.pixels, sample.pack.card.thresholds.near_duplicate, str(name))


def _memorised(sample: Sample, name: MetricName) -> Measurement:
    return memorised(sample.nearest[0], sample.pack.card.thresholds.memorised, str(name))


def _split(name: MetricName) -> str:
    assert name.reference is not None  # the table gives one to every metric that compares with a split
    return name.reference


METRICS = {
    "fid": Metric(_fid, Against.MOMENTS, lower_is_better=True),
    "class_fid": Metric(_class_fid, Against.MOMENTS, lower_is_better=True, asked=Asked.CLASS),
    "class_agreement": Metric(_class_agreement, Against.NOTHING, lower_is_better=False, asked=Asked.CLASS),
    "class_kl": Metric(_class_kl, Against.UNIFORM, lower_is_better=True),
    "confident": Metric(_confident, Against.NOTHING, lower_is_better=False),
    "duplicates": Metric(_duplicates, Against.NOTHING, lower_is_better=True, pixels=True, needs_pack=True),
    "memorised": Metric(_memorised, Against.CODES, lower_is_better=True, pixels=True, needs_pack=True),
}
"""All metrics, by the first part of their names."""


def evaluate(
    images: Images | NDArray[np.generic],
    reference: Reference | Pack,
    metrics: Sequence[str],
    labels: NDArray[np.generic] | None = None,
) -> dict[str, Measurement]:
    """Measure images, uint8 (n, height, width) or (n, 3, height, width), by the metrics asked for, in their order.

    `labels` are the classes asked for, integers (n,), or for several labels an image 0 and 1, (n, classes). For the images'
    order and for what is raised see `Sample.of` and `measure`. Identical images give identical numbers.
    """
    return measure(Sample.of(images, reference, labels), metrics)


def measure(sample: Sample, metrics: Sequence[str]) -> dict[str, Measurement]:
    """Measure a sample by the metrics asked for; the keys are full names.

    Raises UnknownMetricError, CountError where a name states another n, LabelsError where a metric needs the classes asked
    for and they were not given or did not come equally often, RealImagesError or ExtractorError where what a metric
    compares with is not at hand.
    """
    names = [named(request, len(sample.images), sample.reference) for request in metrics]
    return {str(name): METRICS[name.metric].measure(sample, name) for name in names}


def named(request: str, n: int, reference: Reference) -> MetricName:
    """The full name that a request for a measurement of n images means.

    Raises UnknownMetricError, or CountError where it is a full name for another number of images.
    """
    splits, extractors = list(reference.splits), list(reference.extractors)
    for metric, line in METRICS.items():
        if request.startswith(metric):
            for split, extractor in product(line.references(splits), map(line.extractor, extractors)):
                name = MetricName(metric, n, split, extractor)
                if request in _ways_of_saying(name):
                    return name
    raise _refusal(request, n, reference)


def _ways_of_saying(name: MetricName) -> Iterator[str]:
    """The name with and without its count, reference and extractor."""
    for number, reference, extractor in product((count(name.n), ""), {name.reference, None}, (name.extractor, None)):
        yield "_".join(part for part in (name.metric + number, reference, extractor) if part)


def _refusal(request: str, n: int, reference: Reference) -> CountError | UnknownMetricError:
    with contextlib.suppress(UnknownMetricError):
        known = MetricName.parse(request)
        if known.metric in METRICS and known.n != n:
            return CountError(f"{request} takes {known.n:,} images, but there are {n:,}")
    return UnknownMetricError(
        f"no metric is called {request!r}; there are {', '.join(METRICS)}, compared with {' or '.join(reference.splits)}, "
        f"seen by {' or '.join(reference.extractors)}"
    )
