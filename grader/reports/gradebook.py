"""gradebook.csv: a row a student and task."""

import csv
import io
from collections.abc import Iterable

from grader.models import Status, SubmissionResult, TaskResult
from grader.reports import figures, totals
from grader.reports.text import one_line

COLUMNS = (
    *("student", "task", "status", "score", "max_score", "low", "high", "flags", "message"),
    *("late_days", "penalty", "final"),
)

# What spreadsheets take for the start of a formula, with the full-width forms that some of them accept too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def gradebook_csv(results: Iterable[SubmissionResult]) -> str:
    """All results as CSV (RFC 4180: commas, CRLF, quotes where needed), by student in the order given.

    Scores have two decimals and are empty where there is none. late_days: days late, free ones included, empty where nothing is
    due; penalty: points that this takes off the score; final: what is left of it, empty while a person has not decided about a
    task that is held. Flags are codes joined by spaces. Text is one
    line a cell; a cell that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for result in results:
        writer.writerows(_row(result, task) for task in result.tasks)
    return buffer.getvalue()


def _row(result: SubmissionResult, task: TaskResult) -> list[str]:
    return [
        _cell(result.student),
        _cell(task.task),
        task.status.value,
        *(_number(value) for value in (task.score, task.max_score, task.low, task.high)),
        _cell(" ".join(flag.code for flag in task.flags)),
        _cell(_message(task)),
        *_late(result, task),
    ]


def _late(result: SubmissionResult, task: TaskResult) -> list[str]:
    """The cells of a task's lateness."""
    late = result.lateness
    days = str(late.days) if late else ""
    if task.score is None:
        return [days, "", ""]
    final = task.score * totals.kept(result)
    waits = task.status == Status.HELD
    return [days, _number(task.score - final), "" if waits else _number(final)]


def _message(task: TaskResult) -> str:
    """What happened, in short: the problems, else the reasons of flags that hold."""
    return "; ".join([p.message for p in task.problems] or [f.message for f in task.flags if f.holds])


def _number(value: float | None) -> str:
    text = figures.points(value)
    return "" if text == figures.NOTHING else text


def _cell(text: str) -> str:
    """The text on one line, made harmless for spreadsheets."""
    line = one_line(text)
    return f"'{line}" if line.startswith(_FORMULA) else line
