"""A class whose checkpoints are behind links: what `grader run` and `grader fetch` make of them, as far as it goes without a sandbox."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console

from evaluator.pack import Pack
from grader import cli, packs, pipeline
from grader.classrun import Selection, Summary, grade_class
from grader.course import COURSE_FILE, init, load_course
from grader.display import Display
from grader.errors import GraderError
from grader.fetching import fetcher
from grader.fetching.pace import Pace
from grader.fetchrun import Report, fetch_class
from grader.intake import Submission
from grader.links import checkpoint
from grader.models import Status
from grader.snapshot import Again
from grader.store import Store
from grader.task import Setting, TaskGrading, rejected
from solutions import drive_server as on
from solutions.drive_server import DriveServer


def saved(number: int) -> bytes:
    file = io.BytesIO()
    torch.save({"w": torch.full((3,), float(number))}, file)
    return file.getvalue()


ONE, TWO = saved(1), saved(2)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pace, "turn", lambda self: 0)
    monkeypatch.setattr(
        fetcher.Fetcher.__init__, "__kwdefaults__", {**fetcher.Fetcher.__init__.__kwdefaults__, "sleep": lambda *_: None}
    )


@pytest.fixture(autouse=True)
def grading(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Tasks are graded by whether they have a checkpoint; yields whose were, in order."""
    graded: list[str] = []

    def grade_task(setting: Setting, submission: Submission) -> TaskGrading:
        graded.append(f"{submission.student} {setting.task.id}")
        try:
            path = checkpoint(submission, setting.task, fetched=setting.fetched)
        except GraderError as error:
            return TaskGrading(rejected(setting.task, error))
        result = rejected(setting.task, GraderError("x")).model_copy(
            update={"status": Status.GRADED, "problems": (), "score": path.stat().st_size}
        )
        return TaskGrading(result)

    monkeypatch.setattr(pipeline, "grade_task", grade_task)
    yield graded


LAB = """
[lab]
id = "lab8"
title = "Lab"
files = ["*.ipynb"]
""" + "".join(
    f"""
[[task]]
id = "{task}"
notebook = "lab8_{task}.ipynb"
dataset = "mnist"
shape = [28, 28]
[[task.criterion]]
unit = "generator_shape"
points = 1
"""
    for task in ("vanilla", "cwgan")
)


@pytest.fixture
def lab(tmp_path: Path, drive: DriveServer, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab folder whose course knows the server."""
    monkeypatch.setattr(packs, "find", lambda *_: pack)
    folder = tmp_path / "lab8"
    init(folder)
    (folder / "lab.toml").write_text(LAB)
    with (folder / COURSE_FILE).open("a") as file:
        file.write(f'\n[links]\ninternal = ["{drive.origin}"]\n')
    return folder


def hand_in(lab: Path, student: str, vanilla: str, cwgan: str = "handin.pt") -> None:
    folder = lab / "submissions" / student
    folder.mkdir(parents=True, exist_ok=True)
    for notebook in (lab / "templates").glob("*.ipynb"):
        (folder / notebook.name).write_bytes(notebook.read_bytes())
    (folder / "handin.pt").write_bytes(ONE)
    (folder / "checkpoint_links.txt").write_text(f"vanilla: {vanilla}\ncwgan: {cwgan}\n")


def run(lab: Path, **selection: bool) -> Summary:
    display = Display(Console(file=io.StringIO(), width=200))
    return grade_class(lab, Selection(**selection), display, workers=2, device="cpu", trust=True)  # type: ignore[arg-type]


def fetch(lab: Path, *only: str, again: Again = Again.NO) -> Report:
    return fetch_class(lab, frozenset(only), again, Console(file=io.StringIO()))


def statuses(summary: Summary) -> dict[str, list[str]]:
    return {result.student: [task.status.value for task in result.tasks] for result in summary.results}


def test_a_failing_link_costs_its_task_alone(lab: Path, drive: DriveServer) -> None:
    drive.shared = {
        "good": on.confirmed(ONE),
        "gone": on.missing(),
        "page": on.page(),
        "quota": on.quota(),
        "zip": on.file(b"PK\3\4" + bytes(99)),
    }
    hand_in(lab, "ada", drive.link("good"))
    hand_in(lab, "bob", drive.link("gone"))
    hand_in(lab, "eve", drive.link("quota"))
    hand_in(lab, "ian", "https://bit.ly/3xYz", drive.link("good"))
    hand_in(lab, "joe", drive.link("page"), drive.link("zip"))
    summary = run(lab)
    assert statuses(summary) == {
        "ada": ["graded", "graded"],
        "bob": ["failed", "graded"],
        "eve": ["ungraded", "graded"],
        "ian": ["failed", "graded"],
        "joe": ["failed", "failed"],
    }
    messages = {r.student: [p.message for task in r.tasks for p in task.problems] for r in summary.results}
    assert messages["bob"][0].startswith("there is no file at the link (404)")
    assert messages["bob"][0].endswith(f"(link: {drive.link('gone')})")
    assert "the link leads to bit.ly, from where no files are taken" in messages["ian"][0]
    assert "HTML page (‘handin.pt - Google Drive’)" in messages["joe"][0]
    assert "a zip archive, not a checkpoint" in messages["joe"][1]
    assert summary.ungraded == [f"eve: {messages['eve'][0]}"]


def test_where_a_checkpoint_came_from_stands_in_the_result(lab: Path, drive: DriveServer) -> None:
    drive.shared["a"] = on.file(ONE)
    hand_in(lab, "ada", drive.link("a"))
    (ada,) = run(lab).results
    origin, other = (task.provenance.fetch for task in ada.tasks if task.provenance)
    assert origin is not None and other is None
    assert (origin.link, origin.size, origin.host) == (drive.link("a"), len(ONE), "127.0.0.1")
    stored = json.loads((lab / "results" / "ada" / "report.json").read_text())
    assert stored["tasks"][0]["provenance"]["fetch"]["sha256"] == origin.sha256


def test_what_is_settled_is_not_asked_for_again(lab: Path, drive: DriveServer, grading: list[str]) -> None:
    drive.shared = {"a": on.file(ONE), "gone": on.missing()}
    hand_in(lab, "ada", drive.link("a"))
    hand_in(lab, "bob", drive.link("gone"))
    run(lab)
    asked = len(drive.requests)
    grading.clear()
    run(lab)
    assert (grading, len(drive.requests)) == ([], asked)


def test_a_dead_link_that_works_now_is_tried_with_failed(lab: Path, drive: DriveServer) -> None:
    drive.shared["a"] = on.forbidden()
    hand_in(lab, "ada", drive.link("a"))
    assert statuses(run(lab)) == {"ada": ["failed", "graded"]}
    drive.shared["a"] = on.file(ONE)
    assert statuses(run(lab)) == {"ada": ["failed", "graded"]}
    assert statuses(run(lab, failed=True)) == {"ada": ["graded", "graded"]}


def test_a_quota_is_tried_again_by_the_next_run(lab: Path, drive: DriveServer) -> None:
    drive.shared["a"] = on.quota()
    hand_in(lab, "ada", drive.link("a"))
    assert statuses(run(lab)) == {"ada": ["ungraded", "graded"]}
    drive.shared["a"] = on.file(ONE)
    assert statuses(run(lab)) == {"ada": ["graded", "graded"]}


def test_a_fetch_after_a_failed_run_is_graded_by_the_next(lab: Path, drive: DriveServer) -> None:
    drive.shared["a"] = on.missing()
    hand_in(lab, "ada", drive.link("a"))
    run(lab)
    drive.shared["a"] = on.file(ONE)
    assert fetch(lab).counts == "1 link: 1 fetched"
    assert statuses(run(lab)) == {"ada": ["graded", "graded"]}


def test_a_run_uses_the_snapshot_whatever_became_of_the_link(lab: Path, drive: DriveServer) -> None:
    drive.shared["a"] = on.file(ONE)
    hand_in(lab, "ada", drive.link("a"))
    fetch(lab)
    drive.shared["a"] = on.missing()
    asked = drive.asked("a")
    assert statuses(run(lab)) == {"ada": ["graded", "graded"]}
    assert drive.asked("a") == asked


def test_a_file_that_changed_since_is_reported_and_does_not_count(lab: Path, drive: DriveServer, grading: list[str]) -> None:
    drive.shared["a"] = on.file(ONE)
    hand_in(lab, "ada", drive.link("a"))
    (ada,) = run(lab).results
    assert ada.warnings == ()
    drive.shared["a"] = on.file(TWO)
    (line,) = fetch(lab, again=Again.LOOK).lines
    assert (line.state, line.remark) == ("changed", f"the snapshot of {line.before and line.before.at:%Y-%m-%d %H:%M} UTC counts")
    grading.clear()
    (ada,) = run(lab).results
    assert grading == ["ada vanilla", "ada cwgan"]
    (warning,) = ada.warnings
    assert warning.startswith("the file at the link of task vanilla changed since the snapshot of ")
    before = ada.tasks[0].provenance
    fetch(lab, again=Again.REPLACE)
    (ada,) = run(lab).results
    (warning,) = ada.warnings
    assert "this file replaced that of the snapshot" in warning
    after = ada.tasks[0].provenance
    assert before and after and before.fetch and after.fetch and before.fetch.sha256 != after.fetch.sha256


def test_nobody_waits_for_a_slow_link(lab: Path, drive: DriveServer, grading: list[str]) -> None:
    """The slow file comes only when bob, who hands in without links, is graded."""

    def slow(request: on.Request) -> None:
        while "bob cwgan" not in grading:
            drive.stopped.wait(0.005)
        on.file(ONE)(request)

    drive.shared["slow"] = slow
    hand_in(lab, "ada", drive.link("slow"))
    hand_in(lab, "bob", "handin.pt")
    assert statuses(run(lab)) == {"ada": ["graded", "graded"], "bob": ["graded", "graded"]}


def test_an_interrupt_ends_the_downloads(lab: Path, drive: DriveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    drive.shared["silent"] = on.silent()
    hand_in(lab, "ada", drive.link("silent"))
    hand_in(lab, "bob", "handin.pt")
    monkeypatch.setattr(Display, "done", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(lab)
    assert not drive.stopped.is_set()


def test_the_table_of_a_fetch(lab: Path, drive: DriveServer) -> None:
    drive.shared = {"a": on.file(ONE), "page": on.file(b"<html>"), "gone": on.missing(), "quota": on.quota()}
    hand_in(lab, "ada", drive.link("a"), drive.link("page"))
    hand_in(lab, "bob", drive.link("gone"), drive.link("quota"))
    hand_in(lab, "eve", "handin.pt")
    fetch(lab, "ada")
    report = fetch(lab)
    assert report.counts == "4 links: 2 in the snapshot, 1 failed, 1 not fetched"
    (reason,) = report.ungraded
    assert reason.startswith("bob cwgan: Google Drive’s quota is exceeded")
    console = Console(file=io.StringIO(), width=250)
    console.print(report.table())
    assert isinstance(console.file, io.StringIO)
    rows = console.file.getvalue().splitlines()
    assert rows[0].split() == ["student", "task", "size", "sha256", "outcome"]
    first, second, third, fourth = rows[1:]
    assert first.split()[:5] == ["ada", "vanilla", "0.00", "MB", report.lines[0].entry.sha256[:12]]  # type: ignore[index]
    assert first.rstrip().endswith("in the snapshot")
    assert "in the snapshot: the file is an HTML page" in second
    assert "–  " in third and "failed: there is no file at the link (404)" in third
    assert "not fetched: Google Drive’s quota" in fourth


def test_a_fetch_without_links(lab: Path) -> None:
    hand_in(lab, "ada", "handin.pt")
    assert fetch(lab).counts == "0 links to the web"


def grader(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["grader", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
        sys.exit(0)
    return int(caught.value.code or 0)


def test_the_command_and_its_exit_status(
    lab: Path, drive: DriveServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drive.shared = {"a": on.file(ONE), "gone": on.missing()}
    hand_in(lab, "ada", drive.link("a"))
    hand_in(lab, "bob", drive.link("gone"))
    assert grader(monkeypatch, "fetch", lab) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 links: 1 fetched, 1 failed"
    drive.shared = {"a": on.quota()}
    assert grader(monkeypatch, "fetch", lab, "--refetch", "--only", "ada") == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "1 link: 1 not fetched"
    assert err.startswith("not fetched, and tried again by the next fetch or run: ada vanilla: Google Drive’s quota")
    drive.shared = {"a": on.file(TWO)}
    assert grader(monkeypatch, "fetch", lab, "--replace", "--only", "ada") == 0
    assert "this file replaced that of the snapshot" in " ".join(capsys.readouterr().out.split())
    assert grader(monkeypatch, "fetch", lab, "--only", "zoe") == 2
    log = Store(load_course(lab).database).fetches("lab8")
    assert [f"{entry.student} {entry.outcome}" for entry in log if entry.student == "ada"] == [
        "ada kept",
        "ada ungraded",
        "ada kept",
    ]


def test_a_hand_in_that_cannot_be_read_has_no_links(lab: Path) -> None:
    (lab / "submissions" / "ada.zip").write_bytes(b"no archive")
    assert fetch(lab).counts == "0 links to the web"
    assert statuses(run(lab)) == {"ada": ["failed", "failed"]}
