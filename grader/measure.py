"""Metrics of a task's images on the trusted side, with the pack of its data set, in the grader's own records."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evaluator.errors import CountError, UnknownMetricError
from evaluator.evaluate import METRICS, Against, Asked, measure
from evaluator.measurement import Measurement
from evaluator.metrics.memorisation import flagged
from evaluator.names import MetricName
from evaluator.pack import SPLITS, Pack
from evaluator.prompted import PromptSeen, by_label, by_prompt
from evaluator.sample import Description, Sample
from grader import score
from grader.errors import SpecError
from grader.interview import asked_classes
from grader.models import CriterionResult, Flag, LabelResult, Metric, PromptResult
from grader.spec import Task

Images = NDArray[np.uint8]

SEEN_OFTEN = 0.05
"""Share of a prompt's images from which a label that was not asked for is worth a word."""


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
    for text in measured(task):
        name = _known(text, task)
        asked = METRICS[name.metric].asked
        if asked is Asked.CLASS and not task.conditional:
            raise SpecError(
                f"lab.toml: task {task.id}: {text} compares with the classes asked for, which needs conditional = true"
            )
        if asked is Asked.LABELS:
            _expect_prompts(name, task)
        elif name.n != task.samples:
            raise SpecError(f"lab.toml: task {task.id}: {text} takes {name.n} images, but samples = {task.samples}")


def expect_fitting(task: Task, pack: Pack) -> None:
    """Check that a pack knows the labels that the task asks for.

    Raises:
        SpecError: not so; lab.toml must be changed, or the pack.
    """
    if task.prompt_sets is not None and not pack.multi_label:
        raise SpecError(
            f"lab.toml: task {task.id}: prompts ask for several labels an image, and {pack.card.name}, the pack of {task.dataset}, "
            "knows images of one class each"
        )
    if task.classes and len(task.classes) != pack.classes:
        raise SpecError(
            f"lab.toml: task {task.id}: classes names {len(task.classes)}, and the classifier of {pack.card.name}, the pack of "
            f"{task.dataset}, tells {pack.classes} apart"
        )


def measured(task: Task) -> list[str]:
    """Names of all metrics of a task: those that bring points, those that are only shown, and those that are looked at for flags."""
    return list(dict.fromkeys([*(c.metric for c in task.metrics), *task.report, *looked_at(task)]))


def _expect_prompts(name: MetricName, task: Task) -> None:
    """Check that the metric is of one of the task's sets of prompts, and takes each of them equally often, not too often."""
    if task.prompt_sets is None or name.reference is None or name.reference not in task.prompt_sets.sets:
        known = ", ".join(task.prompt_sets.sets) if task.prompt_sets is not None else "none: `prompts` names no file"
        raise SpecError(
            f"lab.toml: task {task.id}: {name} is about labels asked for, and the third part of its name must be a set of prompts; "
            f"there are {known}"
        )
    try:
        task.prompt_sets.rows(name.reference, name.n, task.samples)
    except CountError as error:
        raise SpecError(f"lab.toml: task {task.id}: {name}: {error}") from error


def _known(text: str, task: Task) -> MetricName:
    """The name, if a pack holds all that it takes to measure it."""
    with contextlib.suppress(UnknownMetricError):
        name = MetricName.parse(text)
        line = METRICS.get(name.metric)
        references = line.references(SPLITS) if line is not None and line.asked is not Asked.LABELS else [name.reference]
        if line is not None and name.reference in references and name.extractor == line.extractor("indomain"):
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
        return self._samples.setdefault(key, Sample.of(images, self.pack, asked_classes(self.task), self.task.prompt_sets))

    def measure(self, images: Images) -> dict[str, Metric]:
        """All metrics of the rubric, those that are only shown, and those of flags, of exactly `samples` images."""
        return {name: _metric(m) for name, m in measure(self.sample(images), measured(self.task)).items()}

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
        """Flags where more images than chance allows are copies of real ones, which hold the score, or of each other.

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
            flags.append(_repeating(repeated.value, self.task))
        return tuple(flags)

    def describe(self, images: Images) -> Description | None:
        """Classes of the images, and for a conditional task how they agree with what was asked for; None where they have several."""
        return None if self.pack.multi_label else self.sample(images).describe()

    def seen(self, images: Images) -> tuple[tuple[PromptResult, ...], tuple[LabelResult, ...]]:
        """What the classifier saw in the images of each prompt, and of each label; nothing where there are no prompts."""
        prompts = self.task.prompt_sets
        if prompts is None:
            return (), ()
        sample, names = self.sample(images), self.task.classes
        probabilities, asked = sample.indomain.probabilities, sample.asked_labels
        sets = [name for name, rows in prompts.sets.items() for _ in rows]
        found = by_prompt(probabilities, asked, prompts.count)
        return (
            tuple(_prompt(of, seen, names) for of, seen in zip(sets, found, strict=True)),
            tuple(
                LabelResult(label=name, asked=seen.asked, found=seen.found, unasked=seen.unasked)
                for name, seen in zip(names, by_label(probabilities, asked), strict=True)
            ),
        )


def _repeating(share: float, task: Task) -> Flag:
    """Images of a prompt that are alike hold nothing: that a generator listens to the labels alone is how honest ones go wrong."""
    found = f"{share:.1%} of the images are as close to another one as copies are"
    if task.prompt_sets is not None:
        message = f"{found}: the generator draws nearly the same image for a prompt, whatever the noise (no points lost)"
        return Flag(code="repeats", message=message)
    message = f"{found}; of a generator's images next to none are: they may come out of a table, or of a generator that collapsed"
    return Flag(code="repeats", message=message, holds=True)


def _prompt(prompt_set: str, seen: PromptSeen, names: Sequence[str]) -> PromptResult:
    found = {names[label]: share for label, share in seen.found.items()}
    unasked = {names[label]: share for label, share in seen.unasked.items() if share >= SEEN_OFTEN}
    return PromptResult(set=prompt_set, found=found, unasked=unasked)


def earned(rows: Sequence[CriterionResult]) -> bool:
    """Whether the images brought any points."""
    return any(row.kind == "metric" and row.score for row in rows)


def _flagged(metric: Metric) -> bool:
    return flagged(Measurement(metric.name, metric.value, metric.low, metric.high, metric.n))


def _metric(measured: Measurement) -> Metric:
    return Metric(name=measured.name, value=measured.value, low=measured.low, high=measured.high, n=measured.n)
