from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from grader import gallery
from grader.measure import Scorer
from grader.models import Status, TaskResult
from grader.reports.index import THUMBNAIL_BYTES
from grader.spec import Task
from grader.task import TaskGrading

if TYPE_CHECKING:
    from evaluator.pack import Pack
    from grader.interview import Images
    from grader.models import Artifact


def conditional(task: Task) -> Task:
    return task.model_copy(update={"conditional": True})


def drawn(task: Task, images: Images, pack: Pack, reference: Path) -> dict[str, Artifact]:
    """The pictures of a task that is graded with these images, by name."""
    result = TaskResult(task=task.id, title=task.title, status=Status.GRADED, max_score=1)
    grading = TaskGrading(result, scorer=Scorer(task, pack), images=images)
    return {artifact.name: artifact for artifact in gallery.pictures(grading, pack, reference)}


def tiles(png: bytes, scale: int) -> Images:
    """The images of a grid of 28 x 28 ones, (rows, columns, 28, 28)."""
    pixels = np.asarray(Image.open(io.BytesIO(png)))[::scale, ::scale]
    rows, columns = ((side + 1) // 29 for side in pixels.shape)
    padded = np.zeros((rows * 29, columns * 29), np.uint8)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    return padded.reshape(rows, 29, columns, 29).swapaxes(1, 2)[:, :, :28, :28]


def by_class(n: int) -> Images:
    """Images that take turns through ten classes, as grey as their class is high."""
    return np.repeat(np.arange(n) % 10 * 25, 28 * 28).reshape(n, 28, 28).astype(np.uint8)


def test_a_conditional_task_has_a_column_for_each_class(vanilla: Task, pack: Pack, tmp_path: Path) -> None:
    found = drawn(conditional(vanilla), by_class(2000), pack, tmp_path / "none.png")
    for name, scale, grey in (("samples.png", 2, 25), ("thumbnail.png", 1, 25)):
        shown = tiles(found[name].data, scale)
        assert shown.shape[1] == 10
        assert all((shown[:, c] // 51 == c * grey // 51).all() for c in range(10))
    assert len(tiles(found["samples.png"].data, 2)) * 10 == gallery.shown(conditional(vanilla))


def test_real_images_stand_in_the_column_of_their_class(vanilla: Task, pack: Pack, tmp_path: Path) -> None:
    found = drawn(conditional(vanilla), by_class(2000), pack, tmp_path / "none.png")
    shown = tiles(found["real.png"].data, 2)
    assert shown.shape[:2] == (gallery.SHOWN_BY_CLASS, 10)
    for column in range(10):
        of_class = pack.samples[pack.sample_labels == column]
        assert all(any(np.array_equal(tile, image) for image in of_class) for tile in shown[:, column])


def test_another_task_is_shown_as_it_comes(vanilla: Task, pack: Pack, noise: Images, tmp_path: Path) -> None:
    found = drawn(vanilla, noise, pack, tmp_path / "none.png")
    assert np.array_equal(tiles(found["samples.png"].data, 2).reshape(64, 28, 28), noise[:64])
    assert tiles(found["real.png"].data, 2).shape[:2] == (8, 8)


def test_pictures_carry_no_word_of_a_data_set_that_is_not_theirs(vanilla: Task, pack: Pack, tmp_path: Path) -> None:
    found = drawn(conditional(vanilla), by_class(2000), pack, tmp_path / "none.png")
    assert not any("digit" in artifact.caption for artifact in found.values())


def test_the_reference_models_picture_is_shown_as_it_is(vanilla: Task, pack: Pack, tmp_path: Path) -> None:
    reference = tmp_path / "cwgan.png"
    reference.write_bytes(gallery.sample_grid(by_class(100), conditional(vanilla)))
    assert drawn(vanilla, by_class(2000), pack, reference)["reference.png"].data == reference.read_bytes()


def test_thumbnails_of_noise_are_small_enough_for_the_class_index(
    vanilla: Task, pack: Pack, noise: Images, tmp_path: Path
) -> None:
    for task in (vanilla, conditional(vanilla)):
        assert len(drawn(task, noise, pack, tmp_path / "none.png")["thumbnail.png"].data) <= THUMBNAIL_BYTES


def test_copies_stand_beside_their_real_images(vanilla: Task, pack: Pack, copies: Images, scorer: Scorer, tmp_path: Path) -> None:
    metrics = scorer.measure(copies)
    flags = scorer.flags(metrics, scorer.score(metrics))
    result = TaskResult(task=vanilla.id, title=vanilla.title, status=Status.HELD, max_score=1, flags=flags)
    found = gallery.pictures(TaskGrading(result, scorer=scorer, images=copies), pack, tmp_path / "none.png")
    picture = next(artifact for artifact in found if artifact.name == "neighbours.png")
    pixels = np.asarray(Image.open(io.BytesIO(picture.data)))[::2, ::2]
    groups = [pixels[32 * (k // 4) :, 60 * (k % 4) :][:28, :56] for k in range(16)]
    samples, real = np.array([g[:, :28] for g in groups]), np.array([g[:, 28:] for g in groups])
    # a copy's nearest image has the copy's own code, so that the pack's numbers of one give the picture of the other
    assert np.array_equal(real, pack.projection.decode(pack.projection.encode(samples), (28, 28)))
    assert all((copies == sample).all(axis=(1, 2)).any() for sample in samples)
    assert "24 numbers" in picture.caption and "test image " in picture.caption


def test_without_a_flag_no_neighbours_are_shown(vanilla: Task, pack: Pack, noise: Images, tmp_path: Path) -> None:
    assert "neighbours.png" not in drawn(vanilla, noise, pack, tmp_path / "none.png")


def test_without_images_there_are_only_the_students_own_curves(vanilla: Task, pack: Pack, tmp_path: Path) -> None:
    curve = gallery.sample_grid(by_class(10), vanilla)
    result = TaskResult(task="vanilla", title="", status=Status.FAILED, max_score=1)
    found = gallery.pictures(TaskGrading(result, curves=(curve, b"no picture")), pack, tmp_path / "none.png")
    assert [artifact.name for artifact in found] == ["curves-1.png"]
