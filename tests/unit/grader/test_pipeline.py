"""One hand-in through all stages, as far as it goes without a sandbox: what runs is left to the end-to-end tests."""

import errno
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.pack import Pack
from grader import pipeline
from grader.course import LabFolder, open_lab
from grader.discovery import discover
from grader.errors import NotebookError, SandboxError
from grader.intake import Handin
from grader.models import Level, Problem, Status
from grader.notebook import parse
from grader.pipeline import Graded, Grader
from grader.sandbox import Launch, Running
from grader.spec import Limits
from grader.task import TaskGrading, rejected


class BrokenSandbox:
    """Starts nothing."""

    level = Level.STRONG

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.slots: list[int] = []

    def folder(self, slot: int) -> str:
        return f"/slot{slot}"

    def most_processes(self, limits: Limits) -> int:
        return limits.processes

    def start(self, launch: Launch) -> Running:
        self.slots.append(launch.slot)
        raise self.error


@pytest.fixture
def lab(tmp_path: Path, init_vanilla: Callable[[Path], None]) -> LabFolder:
    init_vanilla(tmp_path / "lab8")
    return open_lab(tmp_path / "lab8")


@pytest.fixture
def grader(lab: LabFolder, pack: Pack) -> Grader:
    templates = {task.id: parse(lab.template(task.notebook).read_bytes()) for task in lab.spec.task}
    return Grader(lab, templates, {"mnist": pack}, BrokenSandbox(SandboxError("no user namespaces here")))


def hand_in(lab: LabFolder, student: str = "ada", fill: bool = False) -> Handin:
    """The template as it is, or with one TODO filled."""
    folder = lab.submissions / student
    folder.mkdir(parents=True, exist_ok=True)
    table = json.loads(lab.template("lab8_vanilla.ipynb").read_text())
    if fill:
        cell = next(c for c in table["cells"] if "##TODO## settings" in "".join(c["source"]))
        cell["source"] = "##TODO## settings: x\nepochs = 3\n##END TODO##"
    (folder / "lab8_vanilla.ipynb").write_text(json.dumps(table))
    return next(h for h in discover(lab.submissions) if h.student == student)


def message(graded: Graded) -> str:
    return graded.result.tasks[0].problems[0].message


def test_an_untouched_template_gets_nothing_without_being_run(lab: LabFolder, grader: Grader) -> None:
    graded = grader.grade(hand_in(lab), slot=0)
    result = graded.result
    assert (result.status, result.score, result.max_score) == (Status.FAILED, 0, 100)
    assert message(graded).startswith("none of the TODOs is filled in: generator_layers, generator_forward, ")
    assert "helpers" not in message(graded)
    assert result.manual_points == 20
    assert isinstance(grader.sandbox, BrokenSandbox) and grader.sandbox.slots == []


def test_provenance_stands_with_every_score(lab: LabFolder, grader: Grader, pack: Pack) -> None:
    (task,) = grader.grade(hand_in(lab), slot=0).result.tasks
    origin = task.provenance
    assert origin is not None
    assert origin.spec_sha256 == lab.spec.sha256
    assert origin.pack_sha256 == pack.sha256
    assert origin.pack_public is True
    assert origin.notebook_sha256 is not None and origin.notebook_sha256 != origin.template_sha256
    assert (origin.sandbox_level, origin.device) == (Level.STRONG, "cpu")
    assert origin.started <= origin.finished


def test_without_a_notebook_a_hand_in_fails(lab: LabFolder, grader: Grader) -> None:
    (lab.submissions / "bob").mkdir()
    (lab.submissions / "bob" / "essay.ipynb.txt").write_text("x")
    graded = grader.grade(discover(lab.submissions)[0], slot=0)
    assert (graded.result.status, graded.result.score) == (Status.FAILED, 0)
    assert "lab8_vanilla.ipynb is not in the hand-in" in message(graded)


def test_a_hand_in_that_is_no_archive_fails(lab: LabFolder, grader: Grader) -> None:
    (lab.submissions / "bob.zip").write_bytes(b"PK\x03\x04 and then nothing")
    graded = grader.grade(discover(lab.submissions)[0], slot=0)
    assert (graded.result.status, graded.result.score) == (Status.FAILED, 0)
    assert "no reason" not in message(graded)


@pytest.mark.parametrize("data", [b"", b"<html>", b"\xff\xfe", b'{"cells": 3}', b"[" * 10_000])
def test_a_notebook_that_cannot_be_read_is_the_students(lab: LabFolder, grader: Grader, data: bytes) -> None:
    handin = hand_in(lab)
    (handin.path / "lab8_vanilla.ipynb").write_bytes(data)
    assert grader.grade(handin, slot=0).result.status == Status.FAILED


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SandboxError("no user namespaces here"), "no user namespaces here"),
        (ZeroDivisionError("division by zero"), "the grader failed on this task (ZeroDivisionError: division by zero)"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_what_breaks_on_our_side_costs_no_points(lab: LabFolder, grader: Grader, error: Exception, expected: str) -> None:
    broken = BrokenSandbox(error)
    graded = replace(grader, sandbox=broken).grade(hand_in(lab, fill=True), slot=3)
    assert (graded.result.status, graded.result.score) == (Status.UNGRADED, None)
    assert expected in message(graded)
    assert broken.slots == [3]
    assert graded.result.tasks[0].provenance is not None


def test_the_key_stays_while_nothing_changes(lab: LabFolder, grader: Grader, tmp_path: Path) -> None:
    handin = hand_in(lab)
    key = grader.key(handin)
    assert key == grader.key(hand_in(lab)) == grader.grade(handin, 1).key
    grader.lab.results.mkdir()
    assert grader.key(handin) == key


def test_the_key_changes_with_all_that_the_result_depends_on(lab: LabFolder, grader: Grader, pack: Pack) -> None:
    handin = hand_in(lab)
    keys = {grader.key(handin)}
    keys.add(replace(grader, device="cuda").key(handin))
    keys.add(replace(grader, packs={"mnist": replace(pack, sha256="0" * 64)}).key(handin))
    keys.add(replace(grader, lab=replace(lab, spec=lab.spec.model_copy(update={"sha256": "0" * 64}))).key(handin))
    keys.add(grader.key(replace(handin, student="bob")))
    (handin.path / "reflection.md").write_text("a file more")
    keys.add(grader.key(handin))
    (handin.path / "reflection.md").rename(handin.path / "other.md")
    keys.add(grader.key(handin))
    template = lab.template("lab8_vanilla.ipynb")
    template.write_text(template.read_text() + "\n")
    keys.add(grader.key(handin))
    assert len(keys) == 8


def test_a_zip_is_graded_as_its_folder(lab: LabFolder, grader: Grader) -> None:
    handin = hand_in(lab, fill=True)
    with zipfile.ZipFile(lab.submissions / "bob.zip", "w") as archive:
        archive.write(handin.path / "lab8_vanilla.ipynb", "work/lab8_vanilla.ipynb")
    shutil.rmtree(handin.path)
    (zipped,) = discover(lab.submissions)
    graded = grader.grade(zipped, slot=0)
    assert graded.result.student == "bob"
    assert message(graded) == "no user namespaces here"


@pytest.mark.parametrize("stage", ["scratch", "take", "collect", "pictures"])
def test_a_disk_that_fails_between_the_tasks_costs_no_points(
    lab: LabFolder, grader: Grader, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    once = [OSError(errno.EIO, "Input/output error", "/tmp/x")]
    real = getattr(pipeline, stage)
    monkeypatch.setattr(pipeline, stage, lambda *args: (_ for _ in ()).throw(once.pop()) if once else real(*args))
    graded = grader.grade(hand_in(lab), slot=0)
    assert (graded.result.status, graded.result.score) == (Status.UNGRADED, None)
    assert message(graded).startswith("the grader's machine failed on this hand-in (/tmp/x: Input/output error)")


def test_a_hand_in_that_the_disk_does_not_give_back_has_a_key_all_the_same(
    lab: LabFolder, grader: Grader, monkeypatch: pytest.MonkeyPatch
) -> None:
    handin = hand_in(lab)
    whole = grader.key(handin)
    monkeypatch.setattr(Handin, "sha256", lambda self: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
    assert grader.key(handin) != whole


@pytest.mark.parametrize(("deaths", "status"), [(1, Status.UNGRADED), (2, Status.FAILED)])
def test_a_notebook_whose_process_died_is_run_once_more(
    lab: LabFolder, grader: Grader, monkeypatch: pytest.MonkeyPatch, deaths: int, status: Status
) -> None:
    """What comes from outside does not come twice; what the student wrote does."""
    task = lab.spec.task[0]
    dead = rejected(task, NotebookError("x")).model_copy(update={"problems": (Problem(code="kernel-died", message="died"),)})
    runs = [TaskGrading(dead)] * deaths
    other = TaskGrading(rejected(task, SandboxError("another outcome")))
    monkeypatch.setattr(pipeline, "grade_task", lambda *_: runs.pop() if runs else other)
    graded = grader.grade(hand_in(lab, fill=True), slot=0)
    assert graded.result.status == status
    assert runs == []
