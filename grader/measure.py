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


def looked_at(task: Task) -> tuple[str, str]:
    """Names of the metrics that decide whether a person must look at the images: copies of real ones, and of each other."""
    return (
        str(MetricName("memorised", task.samples, "traintest", "pixels")),
        str(MetricName("repeats", task.samples, None, "pixels")),
    )


def expect_measurable(task: Task) -> None:
    """Check that there are all metrics that the task is scored by, and that they take as many images as it asks for.

    Raises:
        SpecError: not so; lab.toml must be changed.
    """
    for text in [*(c.metric for c in task.metrics), *looked_at(task)]:
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
        names = [*(c.metric for c in self.task.metrics), *looked_at(self.task)]
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

    def flags(self, metrics: Mapping[str, Metric], rows: Sequence[CriterionResult]) -> tuple[Flag, ...]:
        """Flags that hold the score where more images than chance allows are copies of real ones, or of each other.

        Images that earn nothing need not be looked at for repeats: broken generators repeat themselves too.
        """
        memorised, repeated = (metrics[name] for name in looked_at(self.task))
        flags = []
        if _flagged(memorised):
            message = (
                f"{memorised.value:.1%} of the images are as close to images of the data set as copies are; "
                "of new images 0.1 % are expected to be"
            )
            flags.append(Flag(code="memorisation", message=message, holds=True))
        if _flagged(repeated) and earned(rows):
            message = (
                f"{repeated.value:.1%} of the images are as close to another one as copies are; of a generator's images next to "
                "none are: they may come out of a table, or of a generator that collapsed"
            )
            flags.append(Flag(code="repeats", message=message, holds=True))
        return tuple(flags)

    def describe(self, images: Images) -> Description:
        """Classes of the images, and for a conditional task how they agree with what was asked for."""
        return self.sample(images).describe()


def earned(rows: Sequence[CriterionResult]) -> bool:
    """Whether the images brought any points."""
    return any(row.kind == "metric" and row.score for row in rows)


def _flagged(metric: Metric) -> bool:
    return flagged(Measurement(metric.name, metric.value, metric.low, metric.high, metric.n))


def _metric(measured: Measurement) -> Metric:
    return Metric(name=measured.name, value=measured.value, low=measured.low, high=measured.high, n=measured.n)
