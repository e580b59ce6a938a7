"""A class with groups, due dates and essays, as far as it goes without running student code."""

import csv
import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from evaluator.pack import Pack
from grader import packs
from grader.classrun import Selection, grade_class, write_reports
from grader.course import init, load_course
from grader.display import Display
from grader.models import SubmissionResult
from grader.sandbox.trusting import TrustingSandbox
from grader.store import Store

TIME = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()


class Log(Display):
    """A display that keeps whom it showed."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO(), width=200))
        self.shown: list[str] = []

    def done(self, result: SubmissionResult) -> None:
        super().done(result)
        self.shown.append(result.student)


@pytest.fixture(autouse=True)
def no_runs(monkeypatch: pytest.MonkeyPatch, pack: Pack) -> None:
    """Nothing here gets as far as running student code; the pack is read once for all runs."""
    monkeypatch.setattr(packs, "find", lambda course, dataset: pack)
    monkeypatch.setattr(TrustingSandbox, "start", lambda self, launch: pytest.fail("started student code"))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    """A lab with one task and an essay, and the untouched templates of three students."""
    lab = tmp_path / "lab8"
    init(lab)
    first, second = (*(lab / "lab.toml").read_text().split("[[task]]")[:2],)
    lines = [
        line for line in first.splitlines() if not line.startswith(("[[manual]]", "file =", 'title = "Reflection', "points ="))
    ]
    essay = '\n[[manual]]\nfile = "reflection.*"\ntitle = "Essay"\npoints = 15\n\n'
    (lab / "lab.toml").write_text("\n".join(lines) + essay + "[[task]]" + second)
    template = (lab / "templates" / "lab8_vanilla.ipynb").read_bytes()
    for student in ("ada", "bob", "eve"):
        folder = lab / "submissions" / student
        folder.mkdir(parents=True)
        (folder / "lab8_vanilla.ipynb").write_bytes(template)
        os.utime(folder / "lab8_vanilla.ipynb", (TIME, TIME))
    yield lab


def grade(lab: Path, only: str | None = None) -> list[str]:
    """Grade what is new; returns whom that was."""
    log = Log()
    selection = Selection(only=frozenset({only} if only else ()))
    grade_class(lab, selection, log, workers=1, device="cpu", trust=True)
    return sorted(log.shown)


def rows(lab: Path) -> dict[str, dict[str, str]]:
    return {row["student"]: row for row in csv.DictReader((lab / "results" / "gradebook.csv").read_text().splitlines())}


def stored(lab: Path, student: str) -> SubmissionResult:
    return next(r for r in Store(load_course(lab).database).newest("lab8") if r.student == student)


def groups(lab: Path, *lines: str) -> None:
    (lab / "groups.csv").write_text("\n".join(("group,student", *lines)))


def group_in_report(lab: Path) -> dict[str, str]:
    """The group that the report of everybody with a row in the gradebook names."""
    reports = {student: (lab / "results" / student / "report.json").read_bytes() for student in rows(lab)}
    return {student: SubmissionResult.model_validate_json(data).group_name for student, data in reports.items()}


def late(lab: Path) -> dict[str, str]:
    return {student: row["late_days"] for student, row in rows(lab).items()}


def test_a_group_is_graded_once_and_each_member_gets_row_and_report(lab: Path) -> None:
    groups(lab, "red,ada", "red,bob")
    assert grade(lab) == ["eve", "red"]
    assert set(rows(lab)) == {"ada", "bob", "eve"}
    assert not (lab / "results" / "red").exists()
    for member in ("ada", "bob"):
        report = SubmissionResult.model_validate_json((lab / "results" / member / "report.json").read_bytes())
        assert (report.student, report.group, report.group_name) == (member, ("ada", "bob"), "red")
        assert (lab / "results" / member / "report.html").is_file()
        assert any("handed in more than once" in warning for warning in report.warnings)
    assert grade(lab) == []


def test_members_select_their_group(lab: Path) -> None:
    groups(lab, "red,ada", "red,bob")
    assert grade(lab, only="bob") == ["red"]


def test_who_joins_and_leaves_a_group_has_one_result_at_any_time(lab: Path) -> None:
    assert grade(lab) == ["ada", "bob", "eve"]
    groups(lab, "red,ada", "red,zoe")
    assert grade(lab) == ["red"]
    assert set(rows(lab)) == {"ada", "bob", "eve", "zoe"}
    groups(lab, "red,bob")
    (lab / "submissions" / "bob" / "notes.txt").write_text("another hand-in than ada's")
    assert grade(lab) == ["red"]
    assert set(rows(lab)) == {"ada", "bob", "eve"}  # zoe, who handed in with red alone, is in it no more
    (lab / "groups.csv").unlink()
    assert grade(lab) == ["bob"]
    groups(lab, "red,bob")
    assert grade(lab) == ["red"]
    assert group_in_report(lab) == {"ada": "", "bob": "red", "eve": ""}
    (lab / "groups.csv").unlink()
    assert grade(lab) == []
    assert group_in_report(lab) == {"ada": "", "bob": "", "eve": ""}
    write_reports(lab)
    assert group_in_report(lab) == {"ada": "", "bob": "", "eve": ""}


def test_a_due_date_that_changes_changes_the_gradebook_without_grading_again(lab: Path) -> None:
    grade(lab)
    assert late(lab) == {"ada": "", "bob": "", "eve": ""}
    file = lab / "course.toml"
    before = file.read_text()
    file.write_text(f"{before}\n[lab.lab8]\ndue = 2026-11-30T12:00:00\n")
    assert grade(lab) == []
    assert late(lab) == {"ada": "1", "bob": "1", "eve": "1"}
    found = stored(lab, "ada").lateness
    assert found is not None
    assert (found.source, found.days) == ("file", 1)
    graded_at = stored(lab, "ada").graded_at
    assert grade(lab) == []
    assert stored(lab, "ada").graded_at == graded_at  # nothing new, nothing stored
    file.write_text(f"{before}\n[lab.lab8]\ndue = 2026-12-01T12:00:00\n")
    assert grade(lab) == []
    assert late(lab) == {"ada": "0", "bob": "0", "eve": "0"}


def test_essays_wait_for_a_person_and_pdfs_lie_beside_the_report(lab: Path) -> None:
    (lab / "submissions" / "ada" / "Reflection.PDF").write_bytes(b"%PDF-1.7 mine")
    (lab / "submissions" / "bob" / "reflection.md").write_text("# <b>Mine</b>")
    grade(lab)
    ada, bob, eve = (stored(lab, name) for name in ("ada", "bob", "eve"))
    assert (lab / "results" / "ada" / "reflection.pdf").read_bytes() == b"%PDF-1.7 mine"
    assert [(e.file, e.artifact, e.text) for e in ada.essays] == [("Reflection.PDF", "reflection.pdf", "")]
    assert [(e.file, e.artifact, e.text) for e in bob.essays] == [("reflection.md", None, "# <b>Mine</b>")]
    assert eve.essays == ()
    assert [row.message for row in eve.manual] == ["nothing was handed in; expected reflection.pdf, .md or .txt"]
    assert eve.manual_points == sum(row.points for task in eve.tasks for row in task.manual) + 15
    (lab / "results" / "ada" / "reflection.pdf").unlink()
    write_reports(lab)
    assert (lab / "results" / "ada" / "reflection.pdf").read_bytes() == b"%PDF-1.7 mine"
