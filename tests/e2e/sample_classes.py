"""A sample class graded by the command that instructors use, and what tests ask of its results."""

import os
import subprocess
import sys
from pathlib import Path

from sample_class import make_class

from grader.models import SubmissionResult, TaskResult
from grader.store import Store

Results = dict[str, SubmissionResult]
"""By student."""


def make_lab(folder: Path, lab: str) -> Path:
    """The lab folder with everybody's hand-in."""
    make_class(folder / lab)
    return folder / lab


def graded(lab: Path) -> Results:
    """Everybody's result, by `grader run`, which must end well."""
    workers = str(os.cpu_count() or 1)
    finished = subprocess.run(
        [sys.executable, "-m", "grader", "run", str(lab), "--workers", workers], capture_output=True, text=True, timeout=1800
    )
    assert finished.returncode == 0, finished.stderr + finished.stdout
    store = Store(lab / "grades.db")  # report.json is for students: it says less of flags
    found = {result.student: result for result in store.newest(lab.name)}
    store.close()
    return found


def task(results: Results, number: str, index: int = 0) -> TaskResult:
    """A task of the student whose name starts with that number."""
    (name,) = (student for student in results if student.startswith(number))
    return results[name].tasks[index]


def value(result: TaskResult, metric: str) -> float:
    """What was measured."""
    (found,) = (row.metric for row in result.criteria if row.name == metric)
    assert found is not None
    return found.value


def points(result: TaskResult, kind: str) -> float:
    """Of all criteria of a kind."""
    return sum(row.score or 0 for row in result.criteria if row.kind == kind)


def lost(result: TaskResult) -> set[str]:
    """Unit checks without points."""
    return {row.name for row in result.criteria if row.kind == "unit" and not row.score}


def codes(result: TaskResult) -> set[str]:
    """Of the flags."""
    return {flag.code for flag in result.flags}
