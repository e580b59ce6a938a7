"""What a report shows of a task with prompts."""

import re

import numpy as np
import pytest

from evaluator.pictures.grids import strips
from grader.models import Artifact, LabelResult, Metric, PromptResult, Status, TaskResult
from grader.reports import prompts, student

from .examples import metric_row, noise, submission
from .pages import Page, assert_accessible, assert_self_contained

PROMPTS = (
    PromptResult(set="test", found={"red cube": 1.0}, unasked={"red sphere": 0.25}),
    PromptResult(set="test", found={"gray sphere": 0.5, "blue cube": 0.031}),
    PromptResult(set="new-test", found={"red cube": 0.75, "gray <b>sphere</b>": 0.0}),
)
LABELS = (
    LabelResult(label="red cube", asked=128, found=0.875, unasked=0.01),
    LabelResult(label="gray sphere", asked=64, found=0.5, unasked=None),
    LabelResult(label="blue cube", asked=0, found=None, unasked=0.2),
)


def picture(rows: int) -> bytes:
    images = np.random.default_rng(0).integers(0, 256, (rows * prompts.IMAGES, 3, 16, 16)).astype(np.uint8)
    return strips(images, prompts.IMAGES)


ARTIFACTS = {
    "cdcgan": [
        Artifact(name="samples.png", data=noise()),
        Artifact(name="prompts-test.jpg", media_type="image/jpeg", data=picture(2)),
        Artifact(name="prompts-new-test.jpg", media_type="image/jpeg", data=picture(1)),
    ]
}


@pytest.fixture
def result() -> TaskResult:
    row = metric_row("topk_accuracy2048_test_indomain", "Objects asked for", 30, 0.42, 0.09, 0.6, 0.1, 0.99)
    return TaskResult(
        task="cdcgan",
        title="Conditional DCGAN on i-CLEVR",
        status=Status.GRADED,
        score=row.score,
        max_score=30,
        criteria=(row,),
        prompts=PROMPTS,
        labels=LABELS,
        measured=(Metric(name="exact_match2048_test_indomain", value=0.1234, low=0.1, high=0.15, n=2048),),
    )


def page(result: TaskResult) -> Page:
    return Page(student.render(submission("ada", result), ARTIFACTS))


def test_the_page_is_sound(result: TaskResult) -> None:
    assert_self_contained(page(result))
    assert_accessible(page(result))


def test_each_prompt_has_its_labels_with_shares_and_what_was_seen_besides(result: TaskResult) -> None:
    text = page(result).text
    for said in (
        "red cube 100 %",
        "gray sphere 50 % , blue cube 3 %",
        "red sphere 25 %",
        "red cube 75 % , gray <b>sphere</b> 0 %",
    ):
        assert said in text.replace("\xa0", " "), said


def test_only_labels_asked_for_are_coloured_by_how_often_they_were_found(result: TaskResult) -> None:
    extra = PromptResult(set="test", found={"red cube": 1.0}, unasked={"gray cube": 1.0})
    html = student.render(submission("ada", result.model_copy(update={"prompts": (extra,)})), {})
    assert re.findall(r'<span class="seen">([a-z ]+) <b( class="[a-z]+")?>100', html) == [
        ("red cube", ' class="all"'),
        ("gray cube", ""),
    ]


def test_each_prompt_shows_its_row_of_the_sets_one_picture(result: TaskResult) -> None:
    html = student.render(submission("ada", result), ARTIFACTS)
    assert re.findall(r'viewBox="(0 \d+ 4 1)"', html) == ["0 0 4 1", "0 1 4 1", "0 0 4 1"]
    pictures = re.findall(r'<image id="(prompts-1-\d)" href="data:image/jpeg;base64,[^"]+" width="4" height="(\d+)"', html)
    assert pictures == [("prompts-1-1", "2"), ("prompts-1-2", "1")]
    assert re.findall(r'<use href="#(prompts-1-\d)"', html) == ["prompts-1-1", "prompts-1-1", "prompts-1-2"]


def test_labels_asked_for_stand_least_found_first(result: TaskResult) -> None:
    view = prompts.view(result, {})
    assert view is not None
    assert [label.label for label in view.labels] == ["gray sphere", "red cube"]
    text = page(result).text.replace("\xa0", " ")
    assert "gray sphere 50 % of 64 –" in text
    assert "red cube 88 % of 128 1.0 %" in text


def test_metrics_without_points_are_named_in_full_with_their_intervals(result: TaskResult) -> None:
    text = page(result).text
    assert "worth no points" in text
    assert "exact_match2048_test_indomain 0.123 0.1–0.15" in text


def test_without_a_picture_the_prompts_are_still_there(result: TaskResult) -> None:
    view = prompts.view(result, {})
    assert view is not None
    assert [row.top for row in view.sets[0].rows] == [None, None]
    assert "red cube 100 %" in Page(student.render(submission("ada", result), {})).text.replace("\xa0", " ")


def test_prompts_beyond_the_picture_have_no_images(result: TaskResult) -> None:
    many = result.model_copy(update={"prompts": PROMPTS[:1] * (prompts.ROWS + 2)})
    view = prompts.view(many, {artifact.name: artifact for artifact in ARTIFACTS["cdcgan"]})
    assert view is not None
    assert [row.top for row in view.sets[0].rows] == [*range(prompts.ROWS), None, None]


def test_a_task_without_prompts_has_no_such_part(result: TaskResult) -> None:
    assert prompts.view(result.model_copy(update={"prompts": ()}), {}) is None
