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
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluator.arrays import Features, Floats, Integers
from evaluator.errors import CountError, UnknownMetricError
from evaluator.frechet import Gaussian
from evaluator.images import Images
from evaluator.measurement import Measurement
from evaluator.metrics.agreement import class_agreement
from evaluator.metrics.authenticity import authenticity, own_nearest
from evaluator.metrics.birthday import support
from evaluator.metrics.class_fid import class_fid
from evaluator.metrics.confidence import confident
from evaluator.metrics.duplicates import duplicates
from evaluator.metrics.fd_infinity import fd_infinity
from evaluator.metrics.fid import fid
from evaluator.metrics.histogram import class_kl
from evaluator.metrics.inception_score import inception_score
from evaluator.metrics.kid import kid
from evaluator.metrics.memorisation import memorised
from evaluator.metrics.mode_coverage import mode_coverage
from evaluator.metrics.multilabel import exact_match, extra_labels, topk_accuracy
from evaluator.metrics.ndb import Bins, fit_bins, js, ndb
from evaluator.metrics.prdc import Neighbourhoods, coverage, density, precision, recall
from evaluator.metrics.repeats import repeats
from evaluator.metrics.vendi import vendi
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


Measure: TypeAlias = Callable[[Sample, MetricName], Measurement]


@dataclass(frozen=True)
class Metric:
    """A line of the table."""

    measure: Measure
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


def _of_features(measured: Callable[[Features, str], Measurement]) -> Measure:
    return lambda sample, name: measured(sample.seen_by(name.extractor).features, str(name))


def _of_probabilities(measured: Callable[[Floats, str], Measurement]) -> Measure:
    return lambda sample, name: measured(sample.seen_by(name.extractor).class_probabilities, str(name))


def _to_moments(measured: Callable[[Features, Gaussian, str], Measurement]) -> Measure:
    def measure(sample: Sample, name: MetricName) -> Measurement:
        to = sample.reference.gaussian(_split(name), name.extractor)
        return measured(sample.seen_by(name.extractor).features, to, str(name))

    return measure


def _by_neighbourhoods(measured: Callable[[Neighbourhoods, str], Measurement]) -> Measure:
    return lambda sample, name: measured(sample.seen_by(name.extractor).neighbourhoods(_split(name)), str(name))


def _by_bins(measured: Callable[[Features, Bins, str], Measurement]) -> Measure:
    def measure(sample: Sample, name: MetricName) -> Measurement:
        bins = sample.reference.derived("bins", _split(name), name.extractor, fit_bins)
        return measured(sample.seen_by(name.extractor).features, bins, str(name))

    return measure


def _of_labels(measured: Callable[[Floats, Integers, str, Integers | None], Measurement]) -> Measure:
    def measure(sample: Sample, name: MetricName) -> Measurement:
        rows, seen = sample.rows(name.reference, name.n), sample.seen_by(name.extractor)
        return measured(seen.probabilities[rows], sample.asked_labels[rows], str(name), sample.clusters(rows))

    return measure


def _kid(sample: Sample, name: MetricName) -> Measurement:
    real = sample.reference.features(_split(name), name.extractor)
    return kid(sample.seen_by(name.extractor).features, real, str(name))


def _class_fid(sample: Sample, name: MetricName) -> Measurement:
    to = sample.reference.gaussians_by_class(_split(name), name.extractor)
    return class_fid(sample.seen_by(name.extractor).by_class(len(to)), to, str(name))


def _class_agreement(sample: Sample, name: MetricName) -> Measurement:
    return class_agreement(sample.seen_by(name.extractor).confusion, str(name))


def _duplicates(sample: Sample, name: MetricName) -> Measurement:
    return duplicates(sample.near_others, str(name))


def _birthday(sample: Sample, name: MetricName) -> Measurement:
    return support(int(sample.near_others.sum()) // 2, len(sample.images), str(name))


def _repeats(sample: Sample, name: MetricName) -> Measurement:
    return repeats(sample.codes, sample.pack.repeat_limit, str(name))


def _memorised(sample: Sample, name: MetricName) -> Measurement:
    return memorised(sample.copies, str(name))


def _authentic(sample: Sample, name: MetricName) -> Measurement:
    own = sample.reference.once("own nearest", lambda: own_nearest(sample.pack.codes))
    return authenticity(*sample.nearest, own, str(name))


def _split(name: MetricName) -> str:
    assert name.reference is not None  # the table gives one to every metric that compares with a split
    return name.reference


LOWER, HIGHER = True, False

METRICS = {
    "fid": Metric(_to_moments(fid), Against.MOMENTS, LOWER),
    "fd_infinity": Metric(_to_moments(fd_infinity), Against.MOMENTS, LOWER),
    "kid": Metric(_kid, Against.FEATURES, LOWER),
    "class_fid": Metric(_class_fid, Against.MOMENTS, LOWER, asked=Asked.CLASS),
    "is": Metric(_of_probabilities(inception_score), Against.NOTHING, HIGHER),
    "precision": Metric(_by_neighbourhoods(precision), Against.FEATURES, HIGHER),
    "recall": Metric(_by_neighbourhoods(recall), Against.FEATURES, HIGHER),
    "density": Metric(_by_neighbourhoods(density), Against.FEATURES, HIGHER),
    "coverage": Metric(_by_neighbourhoods(coverage), Against.FEATURES, HIGHER),
    "class_agreement": Metric(_class_agreement, Against.NOTHING, HIGHER, asked=Asked.CLASS),
    "topk_accuracy": Metric(_of_labels(topk_accuracy), Against.NOTHING, HIGHER, asked=Asked.LABELS),
    "exact_match": Metric(_of_labels(exact_match), Against.NOTHING, HIGHER, asked=Asked.LABELS),
    "extra_labels": Metric(_of_labels(extra_labels), Against.NOTHING, LOWER, asked=Asked.LABELS),
    "confident": Metric(_of_probabilities(confident), Against.NOTHING, HIGHER),
    "class_kl": Metric(_of_probabilities(class_kl), Against.UNIFORM, LOWER),
    "mode_coverage": Metric(_of_probabilities(mode_coverage), Against.NOTHING, HIGHER),
    "ndb": Metric(_by_bins(ndb), Against.FEATURES, LOWER),
    "js": Metric(_by_bins(js), Against.FEATURES, LOWER),
    "vendi": Metric(_of_features(vendi), Against.NOTHING, HIGHER),
    "duplicates": Metric(_duplicates, Against.NOTHING, LOWER, pixels=True, needs_pack=True),
    "repeats": Metric(_repeats, Against.NOTHING, LOWER, pixels=True, needs_pack=True),
    "birthday": Metric(_birthday, Against.NOTHING, HIGHER, pixels=True, needs_pack=True),
    "memorised": Metric(_memorised, Against.CODES, LOWER, pixels=True, needs_pack=True),
    "authentic": Metric(_authentic, Against.CODES, None, pixels=True, needs_pack=True),
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
    names = [_of_prompts(request, sample) or named(request, len(sample.images), sample.reference) for request in metrics]
    return {str(name): METRICS[name.metric].measure(sample, name) for name in names}


def _of_prompts(request: str, sample: Sample) -> MetricName | None:
    """The full name of a metric of labels in images of one set of prompts, where the request is one; it may take a part of them."""
    with contextlib.suppress(UnknownMetricError):
        name = MetricName.parse(request)
        line = METRICS.get(name.metric)
        named_set = sample.prompts is not None and name.reference in sample.prompts.sets
        if named_set and line is not None and line.asked is Asked.LABELS and name.extractor in sample.reference.extractors:
            return name
    return None


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
