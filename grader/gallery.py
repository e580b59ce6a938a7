"""The pictures of a task's report, made when it is graded and kept in the store."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluator.pack import Pack
from evaluator.pictures.grids import beside, class_grid, grid, strips
from evaluator.sample import Neighbour
from grader.interview import Images
from grader.models import Artifact
from grader.reports.pictures import MAX_SIDE, admissible_png
from grader.reports.prompts import IMAGES, ROWS
from grader.spec import Task
from grader.task import TaskGrading

SHOWN = 64
SMALL = 56
"""Pixels a side up to which images are enlarged; of larger ones fewer are shown, in few colours."""
SHOWN_LARGE = 32
COLOURS = 128
EMPTY = 64
"""Grey level of a place without an image."""
COLUMNS = 8
SHOWN_BY_CLASS = 4
"""Rows of a grid with a column for each class."""
NEIGHBOURS, NEIGHBOURS_A_ROW = 16, 4
"""Samples that are shown with their real neighbours."""


def pictures(grading: TaskGrading, pack: Pack, reference: Path) -> tuple[Artifact, ...]:
    """Sample grids of the student, the reference model and the data set, the images nearest to real ones, the student's own curves."""
    found = []
    if grading.images is not None and grading.scorer is not None:
        task = grading.scorer.task
        found += [
            Artifact(name="samples.png", data=sample_grid(grading.images, task), caption=_caption(task)),
            Artifact(name="thumbnail.png", data=_thumbnail(grading.images, task), caption="samples"),
            *_of_prompts(grading.images, task),
        ]
        if reference.exists():
            found.append(Artifact(name="reference.png", data=reference.read_bytes(), caption="the reference model"))
        found.append(Artifact(name="real.png", data=_real_grid(pack, task), caption="real images of the test set"))
        found += _neighbours(grading, pack)
    for number, curve in enumerate(grading.curves, start=1):
        if admissible_png(curve):
            found.append(Artifact(name=f"curves-{number}.png", data=curve, caption="from your submitted notebook, not verified"))
    return tuple(found)


def shown(task: Task) -> int:
    """How many images `sample_grid` shows."""
    if task.conditional:
        return SHOWN_BY_CLASS * len(task.classes)
    return SHOWN_LARGE if task.shape[-1] > SMALL else SHOWN


def sample_grid(images: Images, task: Task) -> bytes:
    """The grid of a task's first images, PNG: the student's, the reference model's and real ones are laid out alike.

    Args:
        images: uint8 (n, *shape). Those of a conditional task take turns through the classes: the grid has a column for each.
        task: the task that they are of.
    """
    if task.conditional:
        return _by_class(images, np.arange(len(images)) % len(task.classes), task)
    if task.shape[-1] > SMALL:
        return grid(images[:SHOWN_LARGE], COLUMNS, colours=COLOURS)
    return grid(images[:SHOWN], COLUMNS, scale=2)


def _by_class(images: Images, labels: NDArray[np.integer], task: Task) -> bytes:
    return class_grid(images, labels, len(task.classes), SHOWN_BY_CLASS, scale=2)


def _caption(task: Task) -> str:
    if task.conditional:
        return f"your generator, the first {SHOWN_BY_CLASS} samples of each class"
    if task.prompt_sets is not None:
        return f"your generator, one sample of each of the first {shown(task)} prompts"
    return f"your generator, first {shown(task)} samples"


def _thumbnail(images: Images, task: Task) -> bytes:
    """Two rows, or one image of each class, in six grey levels: the thumbnail of even pure noise stays small."""
    columns = len(task.classes) if task.conditional else COLUMNS
    images = images[..., :: _thinning(task), :: _thinning(task)]
    return grid(images[: columns if task.conditional else 2 * columns] // 51 * 51, columns)


def _thinning(task: Task) -> int:
    """Every how manieth pixel a thumbnail shows."""
    return max(1, task.shape[-1] // 28)


def _of_prompts(images: Images, task: Task) -> list[Artifact]:
    """For each set of prompts a row of images for each prompt."""
    if task.prompt_sets is None:
        return []
    found = []
    for name, prompts in task.prompt_sets.sets.items():
        seeds = min(IMAGES, len(images) // task.prompt_sets.count)
        first = task.prompt_sets.rows(name, len(prompts) * seeds, len(images)).reshape(seeds, -1).T[:ROWS]
        table = np.full((len(first), IMAGES, *images.shape[1:]), EMPTY, np.uint8)
        table[:, :seeds] = images[first]
        chosen = table.reshape(-1, *images.shape[1:])
        step = -(-task.shape[-1] * ROWS // MAX_SIDE)  # every how manieth pixel, so that the picture is admissible
        data = strips(chosen[..., ::step, ::step], IMAGES)
        caption = f"the first {seeds} samples of each prompt"
        found.append(Artifact(name=f"prompts-{name}.jpg", media_type="image/jpeg", data=data, caption=caption))
    return found


def _real_grid(pack: Pack, task: Task) -> bytes:
    """Real images: of each class as many, for a conditional task; else in an order that looks like samples."""
    if task.conditional:
        return _by_class(pack.samples, pack.sample_labels, task)
    return sample_grid(pack.samples[np.random.default_rng(0).permutation(len(pack.samples))], task)


def _neighbours(grading: TaskGrading, pack: Pack) -> list[Artifact]:
    """The samples that count as copies, nearest first, each beside its real image, where there are enough to hold the score."""
    if grading.scorer is None or grading.images is None or not any(f.code == "memorisation" for f in grading.result.flags):
        return []
    closest = grading.scorer.sample(grading.images).closest(NEIGHBOURS)
    copies = [n for n in closest if n.memorised]
    samples = grading.images[[n.image for n in copies]]
    real = pack.projection.decode(pack.codes[[_row(n, pack) for n in copies]], pack.samples.shape[1:])
    where = ", ".join(f"{n.split} image {n.index}" for n in copies[:NEIGHBOURS_A_ROW])
    caption = (
        f"samples nearest to real images, each with that image on its right, drawn from the {pack.codes.shape[1]} numbers that are kept "
        f"of it: in the form that copies share, blurred; first row: {where}"
    )
    return [Artifact(name="neighbours.png", data=beside(samples, real, columns=NEIGHBOURS_A_ROW, scale=2), caption=caption)]


def _row(neighbour: Neighbour, pack: Pack) -> int:
    """Where the pack keeps the real image's code."""
    return neighbour.index + (pack.card.train_images if neighbour.split == "test" else 0)
