"""A task with prompts: what was asked for, the images, and which labels the classifier saw in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grader.models import Artifact, LabelResult, PromptResult, TaskResult
from grader.reports.pictures import artifact_uri

ROWS = 62
"""Most prompts of a set whose images are shown."""
IMAGES = 4
"""Of each prompt: a row of the set's picture. All are square."""


@dataclass(frozen=True)
class Seen:
    """A label, and the share of images in which it was seen."""

    label: str
    share: float


@dataclass(frozen=True)
class PromptRow:
    """A prompt."""

    found: tuple[Seen, ...]
    """labels asked for, in the order of the classes"""
    unasked: tuple[Seen, ...]
    """labels not asked for, most often seen first"""
    top: int | None
    """its row of the picture of the set; None where it is not shown"""


@dataclass(frozen=True)
class PromptSet:
    """A set of prompts with the picture of their images, a row each."""

    name: str
    uri: str | None
    width: int
    height: int
    """of the picture, in images"""
    rows: tuple[PromptRow, ...]


@dataclass(frozen=True)
class PromptView:
    """All that the page of a task with prompts shows of them."""

    sets: tuple[PromptSet, ...]
    labels: tuple[LabelResult, ...]
    """those asked for least well seen first"""


def view(task: TaskResult, artifacts: Mapping[str, Artifact]) -> PromptView | None:
    """The prompts of a task; None where it has none, or there were no images."""
    if not task.prompts:
        return None
    names = dict.fromkeys(prompt.set for prompt in task.prompts)
    sets = tuple(_set(name, [p for p in task.prompts if p.set == name], artifacts.get(f"prompts-{name}.jpg")) for name in names)
    asked = sorted((label for label in task.labels if label.found is not None), key=lambda label: label.found or 0.0)
    return PromptView(sets, tuple(asked))


def _set(name: str, prompts: Sequence[PromptResult], picture: Artifact | None) -> PromptSet:
    uri = artifact_uri(picture) if picture is not None else None
    height = min(len(prompts), ROWS) if uri is not None else 0
    rows = tuple(_row(prompt, k if k < height else None) for k, prompt in enumerate(prompts))
    return PromptSet(name, uri, IMAGES, height, rows)


def _row(prompt: PromptResult, top: int | None) -> PromptRow:
    return PromptRow(_shares(prompt.found), _shares(prompt.unasked), top)


def _shares(of: Mapping[str, float]) -> tuple[Seen, ...]:
    return tuple(Seen(label, share) for label, share in of.items())
