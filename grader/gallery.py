"""The pictures of a task's report, made when it is graded and kept in the store."""

from pathlib import Path

import numpy as np

from evaluator.pack import Pack
from grader.models import Artifact
from grader.reports.pictures import admissible_png, grid
from grader.task import TaskGrading

SHOWN = 64
COLUMNS = 8
THUMBNAIL = 16


def pictures(grading: TaskGrading, pack: Pack, reference: Path) -> tuple[Artifact, ...]:
    """Sample grids of the student, the reference model and the data set, the images nearest to real ones, the student's own curves."""
    found = []
    if grading.images is not None:
        found += [
            Artifact(
                name="samples.png", data=grid(grading.images[:SHOWN], COLUMNS, 2), caption="your generator, first 64 samples"
            ),
            Artifact(name="thumbnail.png", data=grid(_coarse(grading.images[:THUMBNAIL]), COLUMNS), caption="samples"),
        ]
        if reference.exists():
            found.append(Artifact(name="reference.png", data=reference.read_bytes(), caption="the reference model"))
        found.append(Artifact(name="real.png", data=grid(_real(pack), COLUMNS, 2), caption="real digits of the test set"))
        found += _neighbours(grading)
    for number, curve in enumerate(grading.curves, start=1):
        if admissible_png(curve):
            found.append(Artifact(name=f"curves-{number}.png", data=curve, caption="from your submitted notebook, not verified"))
    return tuple(found)


def _coarse(images: np.ndarray) -> np.ndarray:
    """Six grey levels, so that the thumbnail of even pure noise stays small."""
    return images // 51 * 51


def _real(pack: Pack) -> np.ndarray:
    """An even choice over the classes, in an order that looks like samples."""
    order = np.random.default_rng(0).permutation(len(pack.samples))
    return pack.samples[order[:SHOWN]]


def _neighbours(grading: TaskGrading) -> list[Artifact]:
    """The samples that count as copies of real images, nearest first, where there are enough to hold the score."""
    if grading.scorer is None or grading.images is None or not any(f.code == "memorisation" for f in grading.result.flags):
        return []
    closest = grading.scorer.sample(grading.images).describe(2 * COLUMNS).closest
    copies = [n for n in closest if n.memorised]
    where = ", ".join(f"{n.split} image {n.index}" for n in copies[:COLUMNS])
    images = grading.images[[n.image for n in copies]]
    return [Artifact(name="neighbours.png", data=grid(images, COLUMNS, 2), caption=f"samples nearest to real images: {where}")]
