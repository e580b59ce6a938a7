import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.models import Flag, Lateness, Problem, Status, SubmissionResult
from grader.reports.gradebook import COLUMNS, gradebook_csv

from .examples import EVERY_KIND, WHEN, graded, submission, task, whole_lab


def rows(*results: SubmissionResult) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(gradebook_csv(results), newline=""), strict=True))


def test_a_row_a_student_and_task_with_the_promised_columns() -> None:
    text = gradebook_csv([build() for build in EVERY_KIND])
    promised = "student,task,status,score,max_score,low,high,flags,message"  # fixed by the design; more may follow
    assert text.splitlines()[0] == f"{promised},late_days,penalty,final" == ",".join(COLUMNS)
    assert text.count("\r\n") == text.count("\n") == 1 + len(EVERY_KIND)
    two = submission("x", graded().tasks[0], graded().tasks[0].model_copy(update={"task": "cwgan"}))
    assert [row["task"] for row in rows(two)] == ["vanilla", "cwgan"]


def test_numbers_are_those_of_the_model(any_result: SubmissionResult) -> None:
    (row,), (result,) = rows(any_result), any_result.tasks
    for column in ("score", "max_score", "low", "high"):
        value = getattr(result, column)
        assert row[column] == ("" if value is None else f"{value:.2f}")
    assert row["status"] == result.status.value and row["student"] == any_result.student


def test_ungraded_has_an_empty_score_and_a_reason() -> None:
    problem = Problem(code="sandbox", message="disk\nfull, sorry")
    (row,) = rows(submission("a", task(Status.UNGRADED, score=None, problems=(problem,))))
    assert row["score"] == row["low"] == row["high"] == "" and row["message"] == "disk full, sorry"


def test_a_held_row_names_its_flags_and_why() -> None:
    flags = (Flag(code="memorisation", message="copies", holds=True), Flag(code="seed-mismatch", message="differs"))
    (row,) = rows(submission("a", task(Status.HELD, flags=flags)))
    assert row["flags"] == "memorisation seed-mismatch" and row["message"] == "copies"


@pytest.mark.parametrize(
    ("fraction", "late_days", "penalty", "final"),
    [(None, "", "0.00", "85.41"), (0.0, "3", "0.00", "85.41"), (0.2, "3", "17.08", "68.33")],
)
def test_what_being_late_costs(fraction: float | None, late_days: str, penalty: str, final: str) -> None:
    late = (
        None if fraction is None else Lateness(submitted=WHEN, source="export", due=WHEN, days=3, late_days=1, fraction=fraction)
    )
    (row,) = rows(graded().model_copy(update={"lateness": late}))
    assert (row["score"], row["late_days"], row["penalty"], row["final"]) == ("85.41", late_days, penalty, final)


def test_the_final_scores_of_all_tasks_make_up_what_counts() -> None:
    result = whole_lab()
    assert result.score is not None
    both = rows(result)
    assert [row["task"] for row in both] == ["vanilla", "cwgan"]
    assert sum(float(row["final"]) for row in both) == pytest.approx(result.score - result.penalty, abs=0.011)


def test_a_held_task_has_no_final_score_before_a_person_decided() -> None:
    flags = (Flag(code="memorisation", message="copies", holds=True),)
    (row,) = rows(submission("a", task(Status.HELD, score=61.5, flags=flags)))
    assert (row["score"], row["final"]) == ("61.50", "")


def test_what_has_no_score_has_no_final_one() -> None:
    late = Lateness(submitted=WHEN, source="file", due=WHEN, days=1, fraction=1)
    (row,) = rows(submission("a", task(Status.UNGRADED, score=None)).model_copy(update={"lateness": late}))
    assert (row["late_days"], row["penalty"], row["final"]) == ("1", "", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", " =", "\n@", "\x00=", "\x1b[31m=", "\ufeff=", "＝"])
def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(start: str) -> None:
    name = start + "cmd|' /C calc'!A0"
    flags = (Flag(code=name, message=name),)
    (row,) = rows(submission(name, task(Status.FAILED, flags=flags, problems=(Problem(code="x", message=name),), task=name)))
    for column in ("student", "task", "flags", "message"):
        assert row[column].startswith("'") and "calc" in row[column]


any_line = st.text(st.characters(codec=None, categories=None) | st.sampled_from("=+-@\t\r\n\",;'"), max_size=12)


@settings(max_examples=50)
@given(name=any_line, message=any_line)
def test_any_text_survives_as_one_harmless_line(name: str, message: str) -> None:
    text = gradebook_csv([submission(name, task(Status.FAILED, problems=(Problem(code="x", message=message),)))])
    text.encode("utf-8")
    assert text.count("\n") == 2
    (row,) = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    assert all(not row[column].startswith(("=", "+", "-", "@", "\t", "\r")) for column in COLUMNS)
