"""The sample class of lab 9, graded by the command that instructors use: what each way to draw photographs by class must get."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sample_class import make_class
from students.lab9 import CLASS

from grader.models import Status, SubmissionResult, TaskResult
from grader.store import Store

pytestmark = pytest.mark.slow

CDCGAN, SNGAN = 0, 1
AGREEMENT, FID = "class_agreement2k_indomain", "fid2k_test_indomain"
OF_UNITS = {CDCGAN: 15, SNGAN: 20}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lab = tmp_path_factory.mktemp("course") / "lab9"
    make_class(lab)
    return lab


@pytest.fixture(scope="module")
def results(lab: Path) -> dict[str, SubmissionResult]:
    workers = str(os.cpu_count() or 1)
    finished = subprocess.run(
        [sys.executable, "-m", "grader", "run", str(lab), "--workers", workers], capture_output=True, text=True, timeout=1800
    )
    assert finished.returncode == 0, finished.stderr + finished.stdout
    store = Store(lab / "grades.db")  # report.json is for students: it says less of flags
    found = {result.student: result for result in store.newest("lab9")}
    store.close()
    return found


def task(results: dict[str, SubmissionResult], student: str, index: int = CDCGAN) -> TaskResult:
    (name,) = (student_.name for student_ in CLASS if student_.name.startswith(student))
    return results[name].tasks[index]


def value(result: TaskResult, metric: str) -> float:
    (found,) = (row.metric for row in result.criteria if row.name == metric)
    assert found is not None
    return found.value


def points(result: TaskResult, kind: str) -> float:
    return sum(row.score or 0 for row in result.criteria if row.kind == kind)


def lost(result: TaskResult) -> set[str]:
    """Unit checks without points."""
    return {row.name for row in result.criteria if row.kind == "unit" and not row.score}


def codes(result: TaskResult) -> set[str]:
    return {flag.code for flag in result.flags}


def test_everybody_is_graded(results: dict[str, SubmissionResult]) -> None:
    assert results.keys() == {student.name for student in CLASS}
    assert all(result.status != Status.UNGRADED for result in results.values())


@pytest.mark.parametrize("index", [CDCGAN, SNGAN])
def test_the_reference_follows_its_classes_and_gets_all_points_of_units(results: dict[str, SubmissionResult], index: int) -> None:
    reference = task(results, "01", index)
    assert "look-alike" in codes(reference) and reference.status == Status.HELD
    assert (
        value(reference, AGREEMENT) > (0.2, 0.12)[index]
    )  # smoke-trained both, the second network for minutes alone; chance: 0.1
    assert points(reference, "unit") == OF_UNITS[index]
    assert "a trial of two steps" in " ".join(reference.advice).lower()
    assert not {"memorisation", "repeats"} & codes(reference)


@pytest.mark.parametrize("index", [CDCGAN, SNGAN])
def test_the_plain_student_gets_all_points_of_units_and_some_of_images(results: dict[str, SubmissionResult], index: int) -> None:
    typical = task(results, "02", index)
    assert typical.status == Status.GRADED
    assert points(typical, "unit") == OF_UNITS[index]
    assert 0 < points(typical, "metric") < 70
    assert codes(typical) == set()


def test_pictures_of_no_or_the_next_class_do_not_follow_what_was_asked_for(results: dict[str, SubmissionResult]) -> None:
    for student, index in (("03", CDCGAN), ("03", SNGAN)):
        other, typical = task(results, student, index), task(results, "02", index)
        assert value(other, AGREEMENT) < 0.15 < value(typical, AGREEMENT)
        assert value(other, FID) < 1.3 * value(typical, FID)


def test_one_image_a_class_is_a_zero_for_the_images(results: dict[str, SubmissionResult]) -> None:
    for index in (CDCGAN, SNGAN):
        fixed = task(results, "04", index)
        assert fixed.problems[0].code == "seed-ignored"
        assert points(fixed, "metric") == 0
        assert points(fixed, "unit") == OF_UNITS[index]


def test_stored_photographs_are_held_beside_what_they_copy(results: dict[str, SubmissionResult], lab: Path) -> None:
    stored = task(results, "05")
    assert stored.status == Status.HELD
    assert "memorisation" in codes(stored)
    assert value(stored, AGREEMENT) > 0.8
    page = (lab / "results" / "05-stored-photographs" / "report.html").read_text()
    assert "nearest images of the data set" in page
    assert value(stored, "duplicates2k_pixels") > 0.9
    assert points(task(results, "05", SNGAN), "metric") == 0


def test_failures_are_told_in_the_words_of_the_call(results: dict[str, SubmissionResult]) -> None:
    crash, shape = task(results, "06").problems[0], task(results, "06", SNGAN).problems[0]
    assert re.match(r"generate\(1, \d\) raised TypeError", crash.message)
    assert crash.todo == "generator_forward"  # the innermost of the student's lines
    assert re.fullmatch(r"generate\(1, \d\) returned shape \(1, 32, 32, 3\); expected \(1, 3, 32, 32\)", shape.message)
    assert shape.advice == "put the channels second with .permute(0, 3, 1, 2)"


def test_each_slip_loses_its_own_points_and_no_others(results: dict[str, SubmissionResult]) -> None:
    assert lost(task(results, "07")) == {"r1_penalty", "horizontal_flip"}
    assert lost(task(results, "07", SNGAN)) == {"projection", "truncated_noise", "moving_average"}
    for index in (CDCGAN, SNGAN):
        assert points(task(results, "07", index), "metric") == pytest.approx(
            points(task(results, "02", index), "metric"), abs=2.5
        )


def test_what_nobody_touched_earns_nothing(results: dict[str, SubmissionResult]) -> None:
    for index in (CDCGAN, SNGAN):
        assert task(results, "08", index).score == 0


def test_the_report_shows_photographs_by_class(results: dict[str, SubmissionResult], lab: Path) -> None:
    page = (lab / "results" / "02-typical" / "report.html").read_text()
    assert "automobile" in page and "truck" in page
    assert len(page) < 3_000_000
    assert task(results, "02").score is not None
