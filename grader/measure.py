"""Metrics of a task's images on the trusted side, with the pack of its data set, in the grader's own records."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evaluator.errors import UnknownMetricError
from evaluator.evaluate import METRICS, Against, Asked, measure
from evaluator.measurement import Measurement
from evaluator.metrics.memorisation import flagged
from evaluator.names import MetricName
from evaluator.pack import SPLITS, Pack
from evaluator.sample import Description, Sample
from grader import score
from grader.errors import SpecError
from grader.interview import asked_classes
from grader.models import CriterionResult, Flag, Metric
from grader.spec import Task

Images = NDArray[np.uint8]


def memorised_name(task: Task) -> str:
    """Name of the metric that decides whether a person must look at the images."""
    return str(MetricName("memorised", task.samples, "traintest", "pixels"))


def expect_measurable(task: Task) -> None:
    """Check that there are all metrics that the task is scored by, and that they take as many images as it asks for.

    Raises:
        SpecError: not so; lab.toml must be changed.
    """
    for text in [c.metric for c in task.metrics] + [memorised_name(task)]:
        name = _known(text, task)
        if METRICS[name.metric].asked is not Asked.NOTHING and not task.conditional:
            raise SpecError(
                f"lab.toml: task {task.id}: {text} compares with the classes asked for, which needs conditional = true"
            )
        if name.n != task.samples:
            raise SpecError(f"lab.toml: task {task.id}: {text} takes {name.n} images, but samples = {task.samples}")


def _known(text: str, task: Task) -> MetricName:
    """The name, if a pack holds all that it takes to measure it."""
    with contextlib.suppress(UnknownMetricError):
        name = MetricName.parse(text)
        line = METRICS.get(name.metric)
        if line is not None and name.reference in line.references(SPLITS) and name.extractor == line.extractor("indomain"):
            if line.against is Against.FEATURES:
                raise SpecError(f"lab.toml: task {task.id}: {text} compares with {line.against.value}: nothing is graded by it")
            return name
    raise SpecError(
        f"lab.toml: task {task.id}: no metric is called {text!r}; expected metric, number of images, reference and extractor, "
        f"as in fid2k_test_indomain, with one of the metrics {', '.join(METRICS)}"
    )


@dataclass(frozen=True)
class Scorer:
    """Measures and scores the images of one task with one pack."""

    task: Task
    pack: Pack
    _samples: dict[bytes, Sample] = field(default_factory=dict)

    def sample(self, images: Images) -> Sample:
        """The images with their features, worked out once although they are asked about several times."""
        key = hashlib.sha256(images.tobytes()).digest()
        return self._samples.setdefault(key, Sample.of(images, self.pack, asked_classes(self.task)))

    def measure(self, images: Images) -> dict[str, Metric]:
        """All metrics of the rubric and the memorised share, of exactly `samples` images."""
        names = [c.metric for c in self.task.metrics] + [memorised_name(self.task)]
        return {name: _metric(m) for name, m in measure(self.sample(images), names).items()}

    def measure_all(self, repeats: Sequence[Images]) -> dict[str, Metric]:
        """Mean over independent measurements."""
        return score.combine([self.measure(images) for images in repeats])

    def score(self, metrics: Mapping[str, Metric]) -> tuple[CriterionResult, ...]:
        """Points of all metric criteria."""
        levels = self.pack.card.floor
        rows = [
            score.score_metric(c, metrics[c.metric], levels[c.metric].value if c.metric in levels else None)
            for c in self.task.metrics
        ]
        return score.apply_needs(self.task, rows)

    def flags(self, metrics: Mapping[str, Metric]) -> tuple[Flag, ...]:
        """A flag that holds the score where more images than chance allows are copies of real ones."""
        memorised = metrics[memorised_name(self.task)]
        if not flagged(Measurement(memorised.name, memorised.value, memorised.low, memorised.high, memorised.n)):
            return ()
        message = (
            f"{memorised.value:.1%} of the images are as close to images of the data set as copies are; "
            "of new images 0.1 % are expected to be"
        )
        return (Flag(code="memorisation", message=message, holds=True),)

    def describe(self, images: Images) -> Description:
        """Classes of the images, and for a conditional task how they agree with what was asked for."""
        return self.sample(images).describe(0)


def _metric(measured: Measurement) -> Metric:
    return Metric(name=measured.name, value=measured.value, low=measured.low, high=measured.high, n=measured.n)
