"""Images of prompts, measured with the public pack of i-CLEVR: real images in place of generated ones, two of each prompt."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from evaluator.pack import Pack, public_pack
from grader.errors import SpecError
from grader.gallery import EMPTY, pictures, shown
from grader.measure import Scorer, expect_fitting, expect_measurable, measured
from grader.models import Status, TaskResult
from grader.reports.prompts import IMAGES
from grader.spec import MetricCriterion, Task
from grader.task import TaskGrading

COLOURS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
NAMES = tuple(f"{colour} {shape}" for shape in ("cube", "sphere", "cylinder") for colour in COLOURS)
REAL = 40
"""Images of the pack's samples that stand for generated ones: whole scenes, with their own labels as prompts."""


@pytest.fixture(scope="module")
def iclevr() -> Pack:
    return public_pack("iclevr")


@pytest.fixture(scope="module")
def task(iclevr: Pack) -> Task:
    prompts = [tuple(NAMES[k] for k in np.flatnonzero(row)) for row in iclevr.sample_labels[:REAL]]
    criteria = tuple(
        MetricCriterion(metric=f"topk_accuracy40_{name}_indomain", points=30, full=0.6, zero=0.1) for name in ("test", "new-test")
    )
    return Task.model_construct(
        id="cdcgan",
        title="",
        notebook="n.ipynb",
        dataset="iclevr",
        samples=80,
        shape=(3, 64, 64),
        classes=NAMES,
        conditional=False,
        prompts=("test.json", "new_test.json"),
        asked={"test": tuple(prompts[:20]), "new-test": tuple(prompts[20:])},
        report=("exact_match20_test_indomain",),
        criterion=criteria,
        manual=(),
        advice=(),
    )


@pytest.fixture(scope="module")
def images(iclevr: Pack) -> NDArray[np.uint8]:
    return np.concatenate([iclevr.samples[:REAL]] * 2)


@pytest.fixture(scope="module")
def scorer(task: Task, iclevr: Pack) -> Scorer:
    return Scorer(task, iclevr)


def test_real_images_show_what_they_were_asked_for(scorer: Scorer, images: NDArray[np.uint8]) -> None:
    metrics = scorer.measure(images)
    assert list(metrics) == measured(scorer.task)
    assert metrics["topk_accuracy40_test_indomain"].value > 0.95
    assert metrics["exact_match20_test_indomain"].n == 20
    assert metrics["memorised80_traintest_pixels"].value == 1  # they are the pack's own
    rows = scorer.score(metrics)
    assert [row.score for row in rows] == [30, 30]
    assert rows[0].floor is None  # packs say what 2,048 real images score


def test_prompts_in_another_order_find_little(scorer: Scorer, images: NDArray[np.uint8]) -> None:
    wrong = np.roll(images, 7, axis=0)
    assert scorer.measure(wrong)["topk_accuracy40_test_indomain"].value < 0.35


def test_copies_and_repeats_are_flagged(scorer: Scorer, images: NDArray[np.uint8]) -> None:
    metrics = scorer.measure(images)
    flags = scorer.flags(metrics, scorer.score(metrics))
    assert [(flag.code, flag.holds) for flag in flags] == [("memorisation", True), ("repeats", False)]
    assert "whatever the noise" in flags[1].message


def test_the_result_says_what_was_seen_of_each_prompt_and_label(scorer: Scorer, images: NDArray[np.uint8]) -> None:
    prompts, labels = scorer.seen(images)
    assert [prompt.set for prompt in prompts] == ["test"] * 20 + ["new-test"] * 20
    assert list(prompts[2].found) == list(scorer.task.asked["test"][2])
    assert sum(share for prompt in prompts for share in prompt.found.values()) > 0.95 * sum(len(p.found) for p in prompts)
    assert [label.label for label in labels] == list(NAMES)
    asked = sum(len(prompt) for prompts_ in scorer.task.asked.values() for prompt in prompts_)
    assert sum(label.asked for label in labels) == 2 * asked
    assert scorer.describe(images) is None


def test_swapped_images_are_seen_as_what_they_show(scorer: Scorer, images: NDArray[np.uint8]) -> None:
    swapped = images.copy()
    swapped[[2, 42]], swapped[[5, 45]] = images[[5, 45]], images[[2, 42]]
    prompts, _ = scorer.seen(swapped)
    shown_now = set(scorer.task.asked["test"][5])
    assert set(prompts[2].unasked) == shown_now - set(prompts[2].found)


def test_the_pictures_have_a_row_for_each_prompt(scorer: Scorer, images: NDArray[np.uint8], iclevr: Pack, tmp_path: Path) -> None:
    four = np.concatenate([images, images])
    task = scorer.task.model_copy(update={"samples": 160})
    result = TaskResult(task=task.id, title="", status=Status.GRADED, max_score=1)
    grading = TaskGrading(result, scorer=Scorer(task, iclevr), images=four)
    found = {artifact.name: artifact for artifact in pictures(grading, iclevr, tmp_path / "none.png")}
    assert {"samples.png", "thumbnail.png", "real.png", "prompts-test.jpg", "prompts-new-test.jpg"} <= found.keys()
    pixels = np.asarray(Image.open(io.BytesIO(found["prompts-new-test.jpg"].data)).convert("RGB")).astype(int)
    assert pixels.shape == (20 * 64, IMAGES * 64, 3)
    for prompt in (0, 7, 19):
        expected = images[20 + prompt].transpose(1, 2, 0).astype(int)
        for k in range(IMAGES):
            tile = pixels[prompt * 64 : (prompt + 1) * 64, k * 64 : (k + 1) * 64]
            assert np.abs(tile - expected).mean() < 12  # a JPEG
    assert shown(task) == 32


def test_a_prompt_of_fewer_samples_leaves_places_empty(
    scorer: Scorer, images: NDArray[np.uint8], iclevr: Pack, tmp_path: Path
) -> None:
    result = TaskResult(task="cdcgan", title="", status=Status.GRADED, max_score=1)
    grading = TaskGrading(result, scorer=scorer, images=images)
    found = {artifact.name: artifact for artifact in pictures(grading, iclevr, tmp_path / "none.png")}
    pixels = np.asarray(Image.open(io.BytesIO(found["prompts-test.jpg"].data)).convert("RGB")).astype(int)
    assert pixels.shape == (20 * 64, IMAGES * 64, 3)
    assert np.abs(pixels[:64, 64:128] - images[40].transpose(1, 2, 0)).mean() < 12
    assert np.abs(pixels[:, 140:] - EMPTY).max() < 4


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("topk_accuracy40_old_indomain", "the third part of its name must be a set of prompts; there are test, new-test"),
        ("topk_accuracy30_test_indomain", "30 images of the prompts test: expected a multiple of their number, 20, up to 40"),
        ("topk_accuracy60_test_indomain", "60 images of the prompts test"),
        ("class_agreement80_indomain", "which needs conditional = true"),
        ("fid40_test_indomain", "takes 40 images, but samples = 80"),
    ],
)
def test_what_cannot_be_measured_is_refused(task: Task, metric: str, message: str) -> None:
    expect_measurable(task)
    with pytest.raises(SpecError, match=message):
        expect_measurable(task.model_copy(update={"report": (metric,)}))


def test_a_task_without_prompts_has_no_metrics_of_labels(task: Task) -> None:
    with pytest.raises(SpecError, match="there are none: `prompts` names no file"):
        expect_measurable(task.model_copy(update={"asked": {}}))


def test_a_task_must_fit_its_pack(task: Task, vanilla: Task, pack: Pack, iclevr: Pack) -> None:
    expect_fitting(task, iclevr)
    expect_fitting(vanilla, pack)
    with pytest.raises(SpecError, match="mnist-public, the pack of iclevr, knows images of one class each"):
        expect_fitting(task, pack)
    with pytest.raises(
        SpecError, match="classes names 10, and the classifier of iclevr-public, the pack of mnist, tells 24 apart"
    ):
        expect_fitting(vanilla, iclevr)
