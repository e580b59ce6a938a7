"""The sample class of lab 10, graded by the command that instructors use: what each way to paint photographs must get."""

import re
from pathlib import Path

import pytest
from sample_classes import Results, codes, graded, lost, make_lab, points, task, value
from students.lab10 import CLASS

from grader.models import Status

pytestmark = pytest.mark.slow

DCGAN, SAGAN, CSAGAN = 0, 1, 2
AGREEMENT, FID, REPEATS = "class_agreement2k_indomain", "fid2k_test_indomain", "duplicates2k_pixels"
OF_UNITS = {DCGAN: 18, SAGAN: 26, CSAGAN: 27}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lab(tmp_path_factory.mktemp("course"), "lab10")


@pytest.fixture(scope="module")
def results(lab: Path) -> Results:
    return graded(lab)


def test_everybody_is_graded(results: Results) -> None:
    assert results.keys() == {student.name for student in CLASS}
    assert all(result.status != Status.UNGRADED for result in results.values())


@pytest.mark.parametrize("index", [DCGAN, SAGAN, CSAGAN])
def test_the_reference_is_recognised_and_gets_all_points_of_units(results: Results, index: int) -> None:
    reference = task(results, "01", index)
    assert "look-alike" in codes(reference) and reference.status == Status.HELD
    assert points(reference, "unit") == OF_UNITS[index]
    assert not {"memorisation", "repeats"} & codes(reference)


@pytest.mark.parametrize("index", [DCGAN, SAGAN, CSAGAN])
def test_the_plain_student_gets_all_points_of_units_and_some_of_images(results: Results, index: int) -> None:
    typical = task(results, "02", index)
    assert typical.status == Status.GRADED
    assert points(typical, "unit") == OF_UNITS[index]
    assert 0 < points(typical, "metric") < points(task(results, "01", index), "metric") + 5
    assert codes(typical) == set()


def test_one_image_is_a_zero_for_the_images(results: Results) -> None:
    fixed = task(results, "03", DCGAN)
    assert fixed.problems[0].code == "seed-ignored"
    assert points(fixed, "metric") == 0
    assert points(fixed, "unit") == OF_UNITS[DCGAN]


def test_a_few_images_lose_the_points_of_repeats(results: Results) -> None:
    few, typical = task(results, "03", SAGAN), task(results, "02", SAGAN)
    assert value(few, REPEATS) > 0.9 > 0.01 > value(typical, REPEATS)
    assert value(few, FID) > value(typical, FID)


def test_pictures_of_no_or_the_next_class_do_not_follow_what_was_asked_for(results: Results) -> None:
    typical = value(task(results, "02", CSAGAN), AGREEMENT)
    for student in ("03", "04"):
        assert value(task(results, student, CSAGAN), AGREEMENT) < 0.15 < typical


def test_stored_photographs_are_held_beside_what_they_copy(results: Results, lab: Path) -> None:
    stored = task(results, "04", DCGAN)
    assert stored.status == Status.HELD
    assert "memorisation" in codes(stored)
    assert value(stored, REPEATS) > 0.9
    page = (lab / "results" / "04-stored-photographs" / "report.html").read_text()
    assert "nearest images of the data set" in page
    assert points(task(results, "04", SAGAN), "metric") == 0  # no checkpoint


def test_failures_are_told_in_the_words_of_the_call(results: Results) -> None:
    beyond, crash = task(results, "05", DCGAN).problems[0], task(results, "05", CSAGAN).problems[0]
    assert "this looks like tanh output in [−1, 1]" in beyond.message + beyond.advice
    assert re.match(r"generate\(1, \d\) raised ", crash.message)
    assert points(task(results, "05", SAGAN), "metric") == pytest.approx(points(task(results, "02", SAGAN), "metric"), abs=2.5)


def test_each_slip_loses_its_own_points_and_no_others(results: Results) -> None:
    assert lost(task(results, "06", DCGAN)) == {"image_discriminator", "bce_generator"}
    assert lost(task(results, "06", SAGAN)) == {"self_attention_start", "self_attention_weights", "hinge_discriminator"}
    assert lost(task(results, "06", CSAGAN)) == {"clip_weights", "wloss_discriminator"}
    for index in (DCGAN, CSAGAN):
        plain = points(task(results, "02", index), "metric")
        assert points(task(results, "06", index), "metric") == pytest.approx(plain, abs=2.5)


def test_what_nobody_touched_earns_nothing(results: Results) -> None:
    assert [task(results, "07", index).score for index in (DCGAN, SAGAN, CSAGAN)] == [0, 0, 0]


def test_the_report_shows_all_three_tasks(results: Results, lab: Path) -> None:
    page = (lab / "results" / "02-typical" / "report.html").read_text()
    assert all(title in page for title in ("DCGAN on CIFAR-10", "Self-attention GAN on CIFAR-10", "truck"))
    assert len(page) < 4_000_000
    assert results["02-typical"].essays
