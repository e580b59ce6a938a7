"""The sample class of lab 5, graded by the command that instructors use: what each answer to the prompts must get."""

from pathlib import Path

import pytest
from sample_classes import Results, codes, graded, make_lab, points, task, value
from students.lab5 import CLASS

from grader.models import Status, TaskResult

pytestmark = pytest.mark.slow

CDCGAN, ACGAN = 0, 1
ACCURACIES = tuple(f"topk_accuracy2048_{name}_indomain" for name in ("test", "new-test"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lab(tmp_path_factory.mktemp("course"), "lab5")


@pytest.fixture(scope="module")
def results(lab: Path) -> Results:
    return graded(lab)


def test_everybody_is_graded(results: Results) -> None:
    assert results.keys() == {student.name for student in CLASS}
    assert all(result.status != Status.UNGRADED for result in results.values())


@pytest.mark.parametrize("index", [CDCGAN, ACGAN])
def test_more_training_draws_more_of_what_was_asked_for(results: Results, index: int) -> None:
    reference, mid, early = (task(results, student, index) for student in ("01", "02", "03"))
    for metric in ACCURACIES:
        assert value(reference, metric) > value(mid, metric) + 0.05 > value(early, metric) + 0.1
    assert value(reference, "fid4096_test_indomain") < value(mid, "fid4096_test_indomain") < value(early, "fid4096_test_indomain")
    assert reference.score is not None and mid.score is not None and early.score is not None
    assert reference.score > mid.score > early.score
    assert points(mid, "unit") == 24


@pytest.mark.parametrize(("index", "target"), [(CDCGAN, 0.60), (ACGAN, 0.50)])
def test_the_reference_models_reach_their_targets(results: Results, index: int, target: float) -> None:
    reference = task(results, "01", index)
    assert all(value(reference, metric) >= target for metric in ACCURACIES)
    assert codes(reference) == {"look-alike"}


def test_honest_students_are_not_held(results: Results) -> None:
    for student in ("02", "03", "05"):
        for index in (CDCGAN, ACGAN):
            assert task(results, student, index).status == Status.GRADED
            assert codes(task(results, student, index)) <= {"repeats"}


@pytest.mark.parametrize("index", [CDCGAN, ACGAN])
def test_a_generator_that_ignores_the_labels_gets_what_chance_gives(results: Results, index: int) -> None:
    blind = task(results, "04", index)
    assert "class-ignored" in codes(blind)
    assert all(value(blind, metric) < 0.2 for metric in ACCURACIES)


def right_and_other_shapes(result: TaskResult) -> tuple[float, float]:
    """Of prompts for one object: mean share of images with it, and mean count of objects of its colour in another shape."""
    singles = [prompt for prompt in result.prompts if len(prompt.found) == 1]
    right = sum(sum(prompt.found.values()) for prompt in singles)
    colours = [next(iter(prompt.found)).split()[0] for prompt in singles]
    pairs = zip(singles, colours, strict=True)
    other = sum(share for prompt, colour in pairs for label, share in prompt.unasked.items() if label.split()[0] == colour)
    return right / len(singles), other / len(singles)


@pytest.mark.parametrize("index", [CDCGAN, ACGAN])
def test_right_colours_in_wrong_shapes_are_seen_for_what_they_are(results: Results, index: int) -> None:
    swapped, mid = task(results, "05", index), task(results, "02", index)
    assert value(swapped, ACCURACIES[0]) < value(mid, ACCURACIES[0]) * 0.6
    right, other = right_and_other_shapes(swapped)
    assert other > 1.5 * right
    right, other = right_and_other_shapes(mid)
    assert right > other


def test_one_image_a_prompt_is_a_zero_for_the_images(results: Results) -> None:
    for index in (CDCGAN, ACGAN):
        fixed = task(results, "06", index)
        assert fixed.problems[0].code == "seed-ignored"
        assert points(fixed, "metric") == 0
        assert points(fixed, "unit") == 24


def test_stored_renders_are_held_beside_what_they_copy(results: Results, lab: Path) -> None:
    stored = task(results, "07")
    assert stored.status == Status.HELD
    assert {"memorisation", "repeats"} <= codes(stored)
    assert value(stored, ACCURACIES[0]) > 0.7
    page = (lab / "results" / "07-stored-renders" / "report.html").read_text()
    assert "nearest images of the data set" in page
    missing = task(results, "07", ACGAN)
    assert points(missing, "metric") == 0 and points(missing, "unit") == 24


def test_failures_are_told_in_the_words_of_the_call(results: Results) -> None:
    crash, shape = task(results, "08").problems[0], task(results, "08", ACGAN).problems[0]
    assert crash.message.startswith("generate(labels of shape (1, 24)) raised IndexError")
    assert crash.todo == "generate"
    assert shape.message == "generate(labels of shape (1, 24)) returned shape (1, 64, 64, 3); expected (1, 3, 64, 64)"
    assert shape.advice == "put the channels second with .permute(0, 3, 1, 2)"


def test_what_nobody_touched_earns_nothing(results: Results) -> None:
    for index in (CDCGAN, ACGAN):
        assert task(results, "09", index).score == 0


def test_the_report_shows_each_prompt_and_what_was_seen_of_each_label(results: Results, lab: Path) -> None:
    mid = task(results, "02")
    assert len(mid.prompts) == 64
    assert [label.label for label in mid.labels][:2] == ["gray cube", "red cube"]
    assert {metric.name for metric in mid.measured} >= {"topk_accuracy32_test_indomain", "exact_match2048_new-test_indomain"}
    page = (lab / "results" / "02-mid-training" / "report.html").read_text()
    assert page.count("<use href=") == 2 * 64
    assert len(page) < 2_000_000


def test_the_written_report_waits_for_a_person(results: Results) -> None:
    (row,) = results["02-mid-training"].manual
    assert (row.status, row.points) == (Status.PENDING, 40)
    assert results["02-mid-training"].essays[0].text.startswith("# Report")
