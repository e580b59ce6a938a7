"""The sample class of lab 9, graded by the command that instructors use: what each way to draw photographs by class must get."""

import re
from pathlib import Path

import pytest
from sample_classes import Results, codes, graded, lost, make_lab, points, task, value
from students.lab9 import CLASS

from grader.models import Status

pytestmark = pytest.mark.slow

CDCGAN, SNGAN = 0, 1
AGREEMENT, FID = "class_agreement2k_indomain", "fid2k_test_indomain"
OF_UNITS = {CDCGAN: 15, SNGAN: 20}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lab(tmp_path_factory.mktemp("course"), "lab9")


@pytest.fixture(scope="module")
def results(lab: Path) -> Results:
    return graded(lab)


def test_everybody_is_graded(results: Results) -> None:
    assert results.keys() == {student.name for student in CLASS}
    assert all(result.status != Status.UNGRADED for result in results.values())


@pytest.mark.parametrize("index", [CDCGAN, SNGAN])
def test_the_reference_follows_its_classes_and_gets_all_points_of_units(results: Results, index: int) -> None:
    reference = task(results, "01", index)
    assert "look-alike" in codes(reference) and reference.status == Status.HELD
    assert (
        value(reference, AGREEMENT) > (0.2, 0.12)[index]
    )  # smoke-trained both, the second network for minutes alone; chance: 0.1
    assert points(reference, "unit") == OF_UNITS[index]
    assert "a trial of two steps" in " ".join(reference.advice).lower()
    assert not {"memorisation", "repeats"} & codes(reference)


@pytest.mark.parametrize("index", [CDCGAN, SNGAN])
def test_the_plain_student_gets_all_points_of_units_and_some_of_images(results: Results, index: int) -> None:
    typical = task(results, "02", index)
    assert typical.status == Status.GRADED
    assert points(typical, "unit") == OF_UNITS[index]
    assert 0 < points(typical, "metric") < 70
    assert codes(typical) == set()


def test_pictures_of_no_or_the_next_class_do_not_follow_what_was_asked_for(results: Results) -> None:
    for student, index in (("03", CDCGAN), ("03", SNGAN)):
        other, typical = task(results, student, index), task(results, "02", index)
        assert value(other, AGREEMENT) < 0.15 < value(typical, AGREEMENT)
        assert value(other, FID) < 1.3 * value(typical, FID)


def test_one_image_a_class_is_a_zero_for_the_images(results: Results) -> None:
    for index in (CDCGAN, SNGAN):
        fixed = task(results, "04", index)
        assert fixed.problems[0].code == "seed-ignored"
        assert points(fixed, "metric") == 0
        assert points(fixed, "unit") == OF_UNITS[index]


def test_stored_photographs_are_held_beside_what_they_copy(results: Results, lab: Path) -> None:
    stored = task(results, "05")
    assert stored.status == Status.HELD
    assert "memorisation" in codes(stored)
    assert value(stored, AGREEMENT) > 0.8
    page = (lab / "results" / "05-stored-photographs" / "report.html").read_text()
    assert "nearest images of the data set" in page
    assert value(stored, "duplicates2k_pixels") > 0.9
    assert points(task(results, "05", SNGAN), "metric") == 0


def test_failures_are_told_in_the_words_of_the_call(results: Results) -> None:
    crash, shape = task(results, "06").problems[0], task(results, "06", SNGAN).problems[0]
    assert re.match(r"generate\(1, \d\) raised TypeError", crash.message)
    assert crash.todo == "generator_forward"  # the innermost of the student's lines
    assert re.fullmatch(r"generate\(1, \d\) returned shape \(1, 32, 32, 3\); expected \(1, 3, 32, 32\)", shape.message)
    assert shape.advice == "put the channels second with .permute(0, 3, 1, 2)"


def test_each_slip_loses_its_own_points_and_no_others(results: Results) -> None:
    assert lost(task(results, "07")) == {"r1_penalty", "horizontal_flip"}
    assert lost(task(results, "07", SNGAN)) == {"projection", "truncated_noise", "moving_average"}
    for index in (CDCGAN, SNGAN):
        assert points(task(results, "07", index), "metric") == pytest.approx(
            points(task(results, "02", index), "metric"), abs=2.5
        )


def test_what_nobody_touched_earns_nothing(results: Results) -> None:
    for index in (CDCGAN, SNGAN):
        assert task(results, "08", index).score == 0


def test_the_report_shows_photographs_by_class(results: Results, lab: Path) -> None:
    page = (lab / "results" / "02-typical" / "report.html").read_text()
    assert "automobile" in page and "truck" in page
    assert len(page) < 3_000_000
    assert task(results, "02").score is not None
