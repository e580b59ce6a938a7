from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from grader.autograder import RateLimit
from grader.gradescope.metadata import Metadata
from grader.gradescope.rate import graded_before, refused, with_ledger
from grader.models import JSON

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TWICE_A_DAY = RateLimit(submissions=2, hours=24)


def hours_ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def metadata(*previous: dict[str, Any]) -> Metadata:
    return Metadata.model_validate(
        {"id": 1, "created_at": NOW.isoformat(), "users": [{"id": 1}], "previous_submissions": list(previous)}
    )


def submission(hours: float, **more: object) -> dict[str, Any]:
    return {"submission_time": hours_ago(hours).isoformat(), **more}


def results(score: float = 7.0, *counted: float) -> JSON:
    report: JSON = {"score": score, "output": "first words", "tests": []}
    return {**report, "extra_data": with_ledger(report, [hours_ago(hours) for hours in counted])} if counted else report


def test_without_a_limit_everything_is_graded() -> None:
    assert refused(metadata(submission(1, results=results())), None) is None


def test_below_the_limit_a_submission_is_graded() -> None:
    assert refused(metadata(submission(1, results=results(7, 1))), TWICE_A_DAY) is None


def test_beyond_the_limit_the_results_of_before_come_again() -> None:
    report = refused(metadata(submission(5), submission(1, results=results(7, 5, 1))), TWICE_A_DAY)
    assert report is not None
    assert report["score"] == 7
    assert report["output"].startswith("Not graded: you can be graded 2 times in 24 hours.")
    assert report["output"].endswith("first words")
    assert "after 2026-11-21 07:00 UTC" in report["output"]


def test_what_lies_longer_ago_than_the_hours_does_not_count() -> None:
    assert refused(metadata(submission(25), submission(1, results=results(7, 25, 1))), TWICE_A_DAY) is None


def test_the_time_of_submission_counts_not_that_of_grading() -> None:
    late_run = metadata(submission(23.9), submission(23.8, results=results(7, 23.9, 23.8)))
    assert refused(late_run, TWICE_A_DAY) is not None  # however much later the autograder gets to run


def test_a_refused_submission_is_not_counted_itself() -> None:
    """Five tries in the last hour, of which two were graded 23 and 22 hours ago: at 24 hours the next is graded."""
    again = refused(metadata(submission(23), submission(22, results=results(7, 23, 22))), TWICE_A_DAY)
    assert again is not None
    tries = [submission(hours) for hours in (23, 22, 0.4, 0.3)]
    later = metadata(*tries, submission(0.2, results=again))
    assert graded_before(later) == (hours_ago(23), hours_ago(22))
    assert refused(later, RateLimit(submissions=2, hours=22.5)) is None


def test_words_of_a_refusal_do_not_pile_up() -> None:
    first = refused(metadata(submission(2), submission(1, results=results(7, 2, 1))), TWICE_A_DAY)
    second = refused(metadata(submission(2), submission(1), submission(0.5, results=first)), TWICE_A_DAY)
    assert second is not None
    assert second["output"].count("Not graded") == 1
    assert second["output"].endswith("first words")


def test_an_autograder_error_costs_nobody_a_submission() -> None:
    before = metadata(
        submission(3, autograder_error=True), submission(2, autograder_error=True), submission(1, results=results())
    )
    assert graded_before(before) == (hours_ago(1),)
    assert refused(before, TWICE_A_DAY) is None


def test_without_results_to_give_out_again_it_is_graded() -> None:
    assert refused(metadata(submission(3), submission(2), submission(1)), TWICE_A_DAY) is None


def test_a_ledger_that_is_none_is_passed_over() -> None:
    broken = {"score": 1, "extra_data": {"counted": ["yesterday"]}}
    assert graded_before(metadata(submission(2), submission(1, results=broken))) == (hours_ago(2), hours_ago(1))


@pytest.mark.parametrize("added", ["id", "autograder_version"])
def test_what_gradescope_adds_to_results_is_not_given_out_again(added: str) -> None:
    given = {**results(7, 2, 1), added: "x"}
    report = refused(metadata(submission(2), submission(1, results=given)), TWICE_A_DAY)
    assert report is not None
    assert added not in report
