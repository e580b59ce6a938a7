"""What becomes of the time, of errors and of other submissions; a script stands in for the process that grades."""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from grader.gradescope import autograde
from grader.gradescope.handin import handin_of
from grader.gradescope.layout import Layout
from grader.gradescope.metadata import Metadata, read_metadata
from grader.gradescope.progress import Progress
from grader.models import JSON, SubmissionResult
from grader.service.client import Client
from tests.unit.grader.reports import examples

from .conftest import WHO

ROOT = Path(__file__).parents[4]
SCHEMA = json.loads((ROOT / "gradescope" / "results.schema.json").read_text(encoding="utf-8"))
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def layout(unpack: Callable[[], Layout]) -> Layout:
    return unpack()


@pytest.fixture
def run(layout: Layout, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the autograder, whose grading process runs `script` with the place for its progress as argument."""

    def go(script: str = "", left_s: float = 480) -> tuple[int, str]:
        monkeypatch.setattr(autograde, "GRADE", ("-c", f"import os, pathlib, signal, sys, time\n{script}"))
        monkeypatch.setattr(sys, "argv", ["autograde", str(layout.root)])
        now = time.monotonic()
        monkeypatch.setattr(autograde, "_started", lambda: now + left_s - 480)
        status = autograde.main()
        out, err = capfd.readouterr()
        return status, out + err

    return go


def leaving(layout: Layout, result: SubmissionResult, *unreached: str) -> str:
    """A script that leaves this progress."""
    prepared = layout.root / "prepared.json"
    prepared.write_text(Progress(result=result, unreached=frozenset(unreached)).model_dump_json())
    return f"pathlib.Path({str(prepared)!r}).rename({str(layout.progress)!r})\n"


def results(layout: Layout) -> JSON:
    report: JSON = json.loads(layout.results.read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    return report


def two_tasks() -> SubmissionResult:
    """The first is graded, and there was no time for the second."""
    first, second = examples.graded().tasks[0], examples.ungraded().tasks[0]
    second = second.model_copy(update={"task": "cwgan", "title": "Second"})
    return examples.graded().model_copy(update={"tasks": (first, second), "status": second.status, "score": None})


def test_what_was_graded_is_written(layout: Layout, run: Run) -> None:
    result = examples.graded()
    status, _ = run(leaving(layout, result))
    assert status == 0
    report = results(layout)
    assert report["score"] == pytest.approx(result.score, abs=0.01)
    assert report["extra_data"]["counted"] == ["2026-11-20T10:00:00-08:00"]


def test_at_the_deadline_what_is_done_counts(layout: Layout, run: Run) -> None:
    result = two_tasks()
    status, text = run(leaving(layout, result, "cwgan") + "time.sleep(600)", left_s=3)
    assert status == 0, text
    report = results(layout)
    assert report["score"] == pytest.approx(result.tasks[0].score, abs=0.01)
    assert "not reached in time: cwgan" in text
    notes = [test for test in report["tests"] if test["visibility"] == "hidden"]
    assert [note["name"] for note in notes] == ["Second: not reached in time"]
    assert not [test for test in report["tests"] if test["name"].startswith("Second") and "score" in test]


def test_the_process_that_grades_is_ended_with_all_that_it_started(layout: Layout, run: Run) -> None:
    script = (
        "child = os.fork()\nif child: pathlib.Path(sys.argv[1], 'pids').write_text(f'{os.getpid()} {child}')\ntime.sleep(600)"
    )
    run(script, left_s=3)
    for pid in (layout.root / "pids").read_text().split():
        status = Path(f"/proc/{pid}/stat")
        assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_nothing_done_at_the_deadline_is_an_autograder_error(layout: Layout, run: Run) -> None:
    status, text = run("time.sleep(600)", left_s=2)
    assert status == 1
    assert "error: the time was used up before the first task was graded" in text
    assert not layout.results.exists()


def test_what_is_ungraded_is_an_autograder_error_and_no_zero(layout: Layout, run: Run) -> None:
    status, text = run(leaving(layout, examples.ungraded()))
    assert status == 1
    assert "error: not graded; run the autograder again: " in text
    assert not layout.results.exists()


@pytest.mark.parametrize("end", ["sys.exit(1)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_grading_process_that_failed_is_an_autograder_error(layout: Layout, run: Run, end: str) -> None:
    status, text = run(leaving(layout, examples.graded()) + end)
    assert status == 1
    assert "error: grading ended with status" in text
    assert not layout.results.exists()


def test_results_of_an_earlier_run_do_not_stay(layout: Layout, run: Run) -> None:
    run(leaving(layout, examples.graded()))
    assert run("sys.exit(1)")[0] == 1
    assert not layout.results.exists()


def test_beyond_the_rate_limit_nothing_is_graded(layout: Layout, run: Run) -> None:
    add_settings(layout, "rate_limit = { submissions = 1, hours = 24 }")
    before = {"submission_time": "2026-11-20T08:00:00-08:00", "results": {"score": 3.5, "tests": []}}
    layout.metadata.write_text(json.dumps({**WHO, "previous_submissions": [before]}))
    status, text = run("sys.exit(1)")
    assert (status, "rate limit" in text) == (0, True)
    assert results(layout)["score"] == 3.5


def test_the_metadata_and_the_course_are_for_root_alone(layout: Layout, run: Run) -> None:
    run(leaving(layout, examples.graded()))
    course = layout.source / "course"
    for path in (layout.metadata, layout.source, course, *course.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda layout: layout.metadata.unlink(), "submission_metadata.json is missing"),
        (lambda layout: layout.metadata.write_text("{"), "file: Invalid JSON"),
        (lambda layout: (layout.source / "manifest.json").unlink(), "expected the zip of `grader gradescope build`"),
        (lambda layout: (layout.source / "course" / "course.toml").unlink(), "no course.toml"),
        (lambda layout: add_settings(layout, "minutes = 90"), "gradescope.minutes: Input should be less than or equal to 40"),
    ],
)
def test_wrong_input_is_one_message(layout: Layout, run: Run, break_it: Callable[[Layout], object], message: str) -> None:
    break_it(layout)
    status, text = run()
    assert status == 1
    assert message in text
    assert text.startswith("error: ")
    assert text.count("\n") == 1


def test_a_container_that_is_too_small_is_one_message(layout: Layout, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autograde, "memory_mb", lambda: 768)
    status, text = run()
    assert status == 1
    assert "this container has 768 MB and grading takes" in text
    assert "forward_url" in text


def test_the_whole_path_without_sandbox_or_notebook(layout: Layout) -> None:
    """The real grading process, on a hand-in that fails before any code runs."""
    for file in layout.submission.iterdir():
        file.unlink()
    (layout.submission / "readme.txt").write_text("no notebook here")
    command = ["bash", str(layout.source / "run_autograder"), str(layout.root)]
    ended = subprocess.run(
        command, env={**os.environ, "GRADER_PYTHON": sys.executable}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = results(layout)
    assert report["score"] == 0
    assert "lab8_vanilla.ipynb is not in the hand-in" in report["output"]


def add_settings(layout: Layout, line: str) -> None:
    with (layout.source / "course" / "course.toml").open("a") as file:
        file.write(f"\n[gradescope]\n{line}\n")


def metadata(**more: object) -> Metadata:
    return Metadata.model_validate({**WHO, **more})


def test_who_handed_in_is_told_by_the_roster(layout: Layout) -> None:
    course = layout.source / "course"
    (course / "roster.csv").write_text("student,email\nada,ADA@uni.example\nbob,bob@uni.example\n")
    handin = handin_of(read_metadata(layout.metadata), layout.submission, layout.open_lab(course))
    assert (handin.student, handin.members, handin.attempt) == ("ada", (), "submission_123456")


def test_those_who_hand_in_together_are_a_group(layout: Layout) -> None:
    users = [{"id": 1, "email": "bob@uni.example", "name": "Bob"}, {"id": 2, "email": "ada@uni.example", "name": "Ada"}]
    handin = handin_of(metadata(users=users), layout.submission, layout.open_lab(layout.source / "course"))
    assert handin.members == ("ada@uni.example", "bob@uni.example")


@pytest.mark.parametrize(
    ("settings", "created", "days"),
    [
        ("", "2026-11-21T10:00:00-08:00", 1),  # Gradescope's due date, where the course names none
        ("", "2026-11-20T10:00:00-08:00", 0),
        ('[gradescope]\nlate = "gradescope"', "2026-11-25T10:00:00-08:00", None),
        ("[lab.lab8]\ndue = 2026-11-10T00:00:00", "2026-11-20T10:00:00-08:00", 11),
    ],
)
def test_which_due_date_counts(layout: Layout, settings: str, created: str, days: int | None) -> None:
    with (layout.source / "course" / "course.toml").open("a") as file:
        file.write(f"\n{settings}\n")
    lab = layout.open_lab(layout.source / "course")
    handin = handin_of(metadata(created_at=created), layout.submission, lab)
    assert (handin.lateness and handin.lateness.days) == days


def test_what_watches_the_time_and_forwards_has_no_torch() -> None:
    """It is all that runs in a container that is too small for torch."""
    script = "import sys, grader.gradescope.autograde, grader.service.client; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_with_an_address_to_forward_to_nothing_is_graded_here(layout: Layout, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    add_settings(layout, f'forward_url = "https://gpu.uni.example/"\ntoken = "{"t" * 40}"')
    asked: list[tuple[str, str, str]] = []

    def grade(client: Client, lab: str, who: Metadata, folder: Path) -> SubmissionResult:
        asked.append((client.url, lab, who.id))
        return examples.graded()

    monkeypatch.setattr(Client, "grade", grade)
    monkeypatch.setattr(autograde, "memory_mb", lambda: 768)
    assert run("sys.exit(1)") == (0, "")
    assert asked == [("https://gpu.uni.example", "lab8", "123456")]
    assert results(layout)["score"] == pytest.approx(examples.graded().score, abs=0.01)
