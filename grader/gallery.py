"""The pictures of a task's report, made when it is graded and kept in the store."""

from pathlib import Path

import numpy as np

from evaluator.pack import Pack
from grader.interview import Images
from grader.models import Artifact
from grader.reports.pictures import admissible_png, grid
from grader.spec import Task
from grader.task import TaskGrading

SHOWN = 64
COLUMNS = 8
SHOWN_BY_CLASS = 4
"""Rows of a grid with a column for each class."""


def pictures(grading: TaskGrading, pack: Pack, reference: Path) -> tuple[Artifact, ...]:
    """Sample grids of the student, the reference model and the data set, the images nearest to real ones, the student's own curves."""
    found = []
    if grading.images is not None and grading.scorer is not None:
        task = grading.scorer.task
        found += [
            Artifact(name="samples.png", data=sample_grid(grading.images, task), caption=_caption(task)),
            Artifact(name="thumbnail.png", data=_thumbnail(grading.images, task), caption="samples"),
        ]
        if reference.exists():
            found.append(Artifact(name="reference.png", data=reference.read_bytes(), caption="the reference model"))
        found.append(Artifact(name="real.png", data=sample_grid(_real(pack, task), task), caption="real images of the test set"))
        found += _neighbours(grading)
    for number, curve in enumerate(grading.curves, start=1):
        if admissible_png(curve):
            found.append(Artifact(name=f"curves-{number}.png", data=curve, caption="from your submitted notebook, not verified"))
    return tuple(found)


def shown(task: Task) -> int:
    """How many images `sample_grid` shows."""
    return SHOWN_BY_CLASS * len(task.classes) if task.conditional else SHOWN


def sample_grid(images: Images, task: Task) -> bytes:
    """The grid of a task's first images, PNG: the student's, the reference model's and real ones are laid out alike.

    Args:
        images: uint8 (n, *shape). Those of a conditional task take turns through the classes: the grid has a column for each.
        task: the task that they are of.
    """
    return grid(images[: shown(task)], _columns(task), 2)


def _columns(task: Task) -> int:
    return len(task.classes) if task.conditional else COLUMNS


def _caption(task: Task) -> str:
    if task.conditional:
        return f"your generator, the first {SHOWN_BY_CLASS} samples of each class"
    return f"your generator, first {SHOWN} samples"


def _thumbnail(images: Images, task: Task) -> bytes:
    """Two rows, or one image of each class, in six grey levels: the thumbnail of even pure noise stays small."""
    count = len(task.classes) if task.conditional else 2 * COLUMNS
    return grid(images[:count] // 51 * 51, _columns(task))


def _real(pack: Pack, task: Task) -> Images:
    """Real images: as many of each class, which take turns, for a conditional task; else in an order that looks like samples."""
    if not task.conditional:
        return pack.samples[np.random.default_rng(0).permutation(len(pack.samples))]
    labels = pack.sample_labels
    rank = np.array([np.count_nonzero(labels[:i] == label) for i, label in enumerate(labels)])
    return pack.samples[np.lexsort((labels, rank))]


def _neighbours(grading: TaskGrading) -> list[Artifact]:
    """The samples that count as copies of real images, nearest first, where there are enough to hold the score."""
    if grading.scorer is None or grading.images is None or not any(f.code == "memorisation" for f in grading.result.flags):
        return []
    closest = grading.scorer.sample(grading.images).describe(2 * COLUMNS).closest
    copies = [n for n in closest if n.memorised]
    where = ", ".join(f"{n.split} image {n.index}" for n in copies[:COLUMNS])
    images = grading.images[[n.image for n in copies]]
    return [Artifact(name="neighbours.png", data=grid(images, COLUMNS, 2), caption=f"samples nearest to real images: {where}")]
