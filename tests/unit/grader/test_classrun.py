"""A class of hand-ins that need no sandbox, so that runs, stops and repeats take no time."""

import csv
import dataclasses
import errno
import io
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from grader import classrun
from grader.classrun import Selection, Summary, grade_class, write_reports
from grader.course import init, load_course
from grader.display import Display
from grader.errors import BusyError, CourseError, StoreError, UsageError
from grader.intake import Handin
from grader.lock import exclusive
from grader.models import Status, SubmissionResult
from grader.pipeline import Graded, Grader
from grader.sandbox import Choice
from grader.sandbox.gpu import visible
from grader.sandbox.trusting import TrustingSandbox
from grader.store import Store
from grader.task import rejected

STUDENTS = ("ada", "bob", "eve")


class Log(Display):
    """A display that keeps whom it showed, and breaks off after `stop` of them."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__(Console(file=io.StringIO(), width=200, soft_wrap=True))
        self.shown: list[str] = []
        self.stop = stop

    def done(self, result: SubmissionResult) -> None:
        super().done(result)
        self.shown.append(result.student)
        if len(self.shown) == self.stop:
            raise KeyboardInterrupt

    @property
    def text(self) -> str:
        assert isinstance(self.console.file, io.StringIO)
        return self.console.file.getvalue()


@pytest.fixture
def folder(tmp_path: Path, init_vanilla: Callable[[Path], None]) -> Path:
    lab = tmp_path / "lab8"
    init_vanilla(lab)
    template = (lab / "templates" / "lab8_vanilla.ipynb").read_bytes()
    for student in STUDENTS:
        (lab / "submissions" / student).mkdir(parents=True)
        (lab / "submissions" / student / "lab8_vanilla.ipynb").write_bytes(template)
    return lab


@pytest.fixture(autouse=True)
def no_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing here gets as far as running student code."""
    monkeypatch.setattr(TrustingSandbox, "start", lambda self, launch: pytest.fail("started student code"))
    yield


def grade(folder: Path, log: Log | None = None, workers: int = 1, **selection: object) -> tuple[Summary, Log]:
    log = log or Log()
    chosen = Selection(**selection)  # type: ignore[arg-type]
    return grade_class(folder, chosen, log, workers=workers, device="cpu", trust=True), log


def gradebook(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "results" / "gradebook.csv").read_text().splitlines()))


def stored(folder: Path) -> list[SubmissionResult]:
    return Store(load_course(folder).database).newest("lab8")


def test_a_run_leaves_results_reports_and_a_gradebook(folder: Path) -> None:
    summary, log = grade(folder)
    assert sorted(log.shown) == list(STUDENTS)
    assert summary.graded_now == 3
    assert summary.ungraded == []
    assert summary.index == folder / "results" / "index.html"
    assert summary.report == f"3 submissions: 3 failed · report: {summary.index}"
    assert summary.index.is_file()
    assert [row["student"] for row in gradebook(folder)] == list(STUDENTS)
    for student in STUDENTS:
        names = {file.name for file in (folder / "results" / student).iterdir()}
        assert names == {"report.html", "report.json", "results.json"}
    assert [r.student for r in stored(folder)] == list(STUDENTS)
    assert "3 submissions, 3 to grade · sandbox: none · pack mnist (public)" in log.text


@pytest.mark.parametrize("workers", [1, 3])
def test_a_second_run_repeats_nothing(folder: Path, workers: int) -> None:
    grade(folder, workers=workers)
    before = stored(folder)
    summary, log = grade(folder, workers=workers)
    assert (log.shown, summary.graded_now) == ([], 0)
    assert stored(folder) == before == list(summary.results)


def test_what_changed_and_what_is_new_is_graded(folder: Path) -> None:
    grade(folder)
    (folder / "submissions" / "bob" / "notes.txt").write_text("changed")
    (folder / "submissions" / "zoe").mkdir()
    _, log = grade(folder)
    assert sorted(log.shown) == ["bob", "zoe"]
    assert len(gradebook(folder)) == 4


def test_selections(folder: Path) -> None:
    _, log = grade(folder, only=frozenset({"bob"}))
    assert log.shown == ["bob"]
    _, log = grade(folder, only=frozenset({"bob"}), force=True)
    assert log.shown == ["bob"]
    grade(folder)
    _, log = grade(folder, failed=True)
    assert sorted(log.shown) == list(STUDENTS)
    _, log = grade(folder, force=True)
    assert sorted(log.shown) == list(STUDENTS)
    with pytest.raises(UsageError, match=r"--only mallory: no such student"):
        grade(folder, only=frozenset({"mallory"}))


def test_a_run_that_was_interrupted_is_finished_by_the_next(folder: Path) -> None:
    first = Log(stop=1)
    with pytest.raises(KeyboardInterrupt):
        grade(folder, first)
    assert [r.student for r in stored(folder)] == first.shown
    _, second = grade(folder)
    assert sorted(first.shown + second.shown) == list(STUDENTS)
    assert [row["student"] for row in gradebook(folder)] == list(STUDENTS)


def test_a_kill_between_the_database_and_the_report_leaves_no_gap(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(classrun, "write_submission", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        grade(folder)
    (half_done,) = (r.student for r in stored(folder))
    assert not (folder / "results" / half_done).exists()
    _, log = grade(folder)
    assert half_done not in log.shown
    assert (folder / "results" / half_done / "report.html").is_file()


def test_a_report_that_is_older_than_its_result_is_written_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grade(folder)
    (folder / "submissions" / "ada" / "notes.txt").write_text("changed")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(classrun, "write_submission", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        grade(folder)
    grade(folder)
    ada = next(r for r in stored(folder) if r.student == "ada")
    written = json.loads((folder / "results" / "ada" / "report.json").read_text())
    assert written["graded_at"] == ada.model_dump(mode="json")["graded_at"]


def test_what_is_ungraded_is_named_and_tried_again(folder: Path) -> None:
    store = Store(load_course(folder).database)
    summary, _ = grade(folder)
    for result in summary.results[:2]:
        store.add(result.model_copy(update={"status": Status.UNGRADED, "score": None}), {}, "any key")
    store.close()
    summary, log = grade(folder)
    assert sorted(log.shown) == ["ada", "bob"]
    again = Summary(tuple(r.model_copy(update={"status": Status.UNGRADED}) for r in summary.results[:1]), 0, summary.index)
    assert len(again.ungraded) == 1
    assert again.ungraded[0].startswith("ada: none of the TODOs")


def busy_unless(alone_helps: bool, calls: list[tuple[str, bool, int]]) -> Callable[..., Graded]:
    """A Grader.grade for which the machine is too busy for bob, unless bob is alone and that helps."""
    grade, under_way = Grader.grade, threading.Semaphore(10)

    def graded(self: Grader, handin: Handin, slot: int, alone: bool = False) -> Graded:
        with under_way:
            calls.append((handin.student, alone, 10 - under_way._value))
            found = grade(self, handin, slot, alone)
            time.sleep(0.05)
        if handin.student != "bob" or (alone and alone_helps):
            return found
        tasks = tuple(rejected(task, BusyError("the wall time of 9 s ran out")) for task in self.spec.task)
        return dataclasses.replace(found, result=found.result.model_copy(update={"tasks": tasks, "status": Status.UNGRADED}))

    return graded


def test_what_met_a_busy_machine_is_graded_again_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, bool, int]] = []
    monkeypatch.setattr(Grader, "grade", busy_unless(True, calls))
    summary, log = grade(folder, workers=3)
    assert sorted(calls[:3])[0][0] == "ada" and calls[3:] == [("bob", True, 1)]
    assert {alone for _, alone, _ in calls[:3]} == {False}
    assert summary.ungraded == []
    assert "1 of them met a busy machine, and is graded again, one at a time" in log.text
    statuses = {result.student: result.status for result in stored(folder)}
    assert statuses["bob"] == statuses["ada"] == Status.FAILED


def test_what_is_too_slow_even_alone_stays_ungraded_and_is_not_tried_for_ever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, bool, int]] = []
    monkeypatch.setattr(Grader, "grade", busy_unless(False, calls))
    summary, _ = grade(folder, workers=1)
    assert [student for student, _, _ in calls] == ["ada", "bob", "eve", "bob"]
    assert summary.ungraded == ["bob: the wall time of 9 s ran out"]


@pytest.mark.parametrize(("device", "words"), [("tpu", "expected cpu or cuda"), ("cuda", "found no NVIDIA GPU")])
def test_a_device_that_is_not_there_is_refused_before_anything_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, device: str, words: str
) -> None:
    monkeypatch.setattr(classrun, "visible", lambda: visible(folder))
    with pytest.raises(UsageError, match=f"--device {device}: .*{words}"):
        grade_class(folder, Selection(), Log(), workers=1, device=device, trust=True)
    assert not (folder / "results").exists()


def test_a_sandbox_that_is_not_strong_says_what_it_does_not_hold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def choose(trust: bool, **options: object) -> Choice:
        asked.update(options)
        return Choice(TrustingSandbox(), ("reads the moon",))

    monkeypatch.setattr(classrun, "choose", choose)
    _, log = grade(folder)
    assert "level none: student code reads the moon" in log.text
    course = load_course(folder)
    assert asked == {"allow_reduced": False, "private": (course.root / "course.toml",), "alone": False}
    grade(folder, only=frozenset({"bob"}))
    assert asked["alone"] is False  # the others' hand-ins are there all the same
    for student in ("ada", "eve"):
        shutil.rmtree(folder / "submissions" / student)
    grade(folder)
    assert asked["alone"] is True
    assert course.database in asked["private"]  # type: ignore[operator]


def test_a_second_run_at_the_same_time_is_refused(folder: Path) -> None:
    with exclusive(load_course(folder).database), pytest.raises(StoreError, match="another `grader run`"):
        grade(folder)


def test_every_run_begins_with_a_backup(folder: Path) -> None:
    grade(folder)
    grade(folder)
    assert [r.student for r in Store(folder / "grades.backup").newest("lab8")] == list(STUDENTS)


def test_reports_can_be_rebuilt_from_the_database(folder: Path) -> None:
    grade(folder)
    before = {f.relative_to(folder): f.read_bytes() for f in (folder / "results").rglob("*") if f.is_file()}
    for file in (folder / "results").rglob("*"):
        if file.is_file():
            file.unlink()
    assert write_reports(folder) == folder / "results" / "index.html"
    after = {f.relative_to(folder): f.read_bytes() for f in (folder / "results").rglob("*") if f.is_file()}
    assert after == before


def test_results_that_cannot_be_written_are_named(folder: Path) -> None:
    (folder / "results").write_text("a file")
    with pytest.raises(StoreError, match="results"):
        grade(folder)


def test_a_metric_that_there_is_not_is_refused_before_anything_runs(folder: Path) -> None:
    spec = folder / "lab.toml"
    spec.write_text(spec.read_text().replace('metric = "confident2k_indomain"', 'metric = "confidence"'))
    with pytest.raises(UsageError, match="no metric is called 'confidence'"):
        grade(folder)
    assert not (folder / "results").exists()


def test_says_what_a_class_lacks(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "b" / "lab8"
    init(empty)
    with pytest.raises(UsageError, match=r"submissions is empty; put each hand-in into .*/submissions/<student>/"):
        grade(empty)
    (empty / "submissions").rmdir()
    with pytest.raises(UsageError, match="does not exist; put each hand-in into"):
        grade(empty)
    packs_folder = folder / "packs" / "mnist"
    packs_folder.mkdir(parents=True)
    with pytest.raises(UsageError, match="no pack for mnist"):
        grade(folder)


def test_a_damaged_template_is_named_and_nobodys_failure(folder: Path) -> None:
    template = folder / "templates" / "lab8_vanilla.ipynb"
    template.write_bytes(template.read_bytes()[:500])
    with pytest.raises(
        CourseError, match=r"lab8_vanilla\.ipynb is damaged \(.*remove it, and `grader init .*lab8` copies it again"
    ):
        grade(folder)
    assert not (folder / "grades.db").exists()


def test_a_damaged_database_is_restored_in_the_run_that_finds_it(folder: Path) -> None:
    before, _ = grade(folder)
    (folder / "grades.db").write_bytes(b"no database " * 1000)
    summary, log = grade(folder)
    assert (
        "grades.db: the database is damaged (file is not a database); the damaged file is kept as grades.damaged-1.db" in log.text
    )
    assert (log.shown, summary.results) == ([], before.results)


def test_what_the_system_refuses_ends_the_run_in_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/var/somewhere")

    monkeypatch.setattr(classrun, "chosen", refusing)
    with pytest.raises(
        StoreError, match=r"^/var/somewhere: Permission denied; check that the disk is neither full nor read-only"
    ):
        grade(folder)
