"""Exit statuses and messages, as a shell sees them; the commands' work is tested with their modules."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from grader import __version__, cli
from grader import course as courses
from grader.course import init, load_course
from grader.models import Problem, Status, SubmissionResult, TaskResult
from grader.store import Store

ROOT = Path(__file__).parents[3]

Outcome = tuple[int, str, str]
"""(exit status, stdout, stderr)"""


class Grader:
    """The command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: str | Path) -> Outcome:
        self.monkeypatch.setattr(sys, "argv", ["grader", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
            sys.exit(0)
        code = caught.value.code
        assert code is None or isinstance(code, int)
        return code or 0, *self.capsys.readouterr()


@pytest.fixture
def grader(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Grader:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return Grader(monkeypatch, capsys)


def error_line(outcome: Outcome, status: int) -> str:
    """The one line of a failed command: on stderr, without a traceback."""
    code, out, err = outcome
    assert (code, out) == (status, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_the_version(grader: Grader) -> None:
    assert grader("--version") == (0, f"grader {__version__}\n", "")


def test_help_names_the_commands(grader: Grader) -> None:
    code, out, _ = grader("--help")
    assert code == 0
    for command in ("init", "release", "fetch", "run", "report", "doctor", "pack", "data"):
        assert re.search(rf"^\s+{command}\s", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["nonsense"], "nonsense"),
        (["run"], "lab"),
        (["run", "lab8", "--workers", "0"], "--workers"),
        (["run", "lab8", "--workers", "two"], "--workers"),
        (["run", "lab8", "--colour"], "--colour"),
    ],
)
def test_arguments_that_make_no_command_are_usage_errors(grader: Grader, arguments: list[str], found: str) -> None:
    code, out, err = grader(*arguments)
    assert (code, out) == (2, "")
    assert found in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["run", "report"])
def test_a_lab_that_there_is_not_is_one_line_and_status_two(grader: Grader, command: str) -> None:
    assert "no such folder; `grader init" in error_line(grader(command, "nowhere"), 2)


def test_a_wrong_lab_file_is_named_with_the_place(grader: Grader, tmp_path: Path) -> None:
    init(tmp_path / "lab8")
    spec = tmp_path / "lab8" / "lab.toml"
    spec.write_text(spec.read_text().replace("points = 40", "points = -40"))
    code, out, err = grader("run", "lab8")
    assert (code, out) == (2, "")
    assert err.splitlines()[1:] == ["  task[0].criterion[0].points: Input should be greater than 0"]


def test_a_class_without_submissions_is_a_usage_error(grader: Grader, tmp_path: Path) -> None:
    init(tmp_path / "lab8")
    assert "put each hand-in into" in error_line(grader("run", "lab8"), 2)


def test_a_data_set_that_there_is_not_is_a_usage_error(grader: Grader) -> None:
    for arguments in (["data", "get", "mnst"], ["pack", "build", "mnst"]):
        assert "no data set is called 'mnst'" in error_line(grader(*arguments), 2)


def test_a_damaged_database_is_not_the_callers_mistake(grader: Grader, tmp_path: Path) -> None:
    init(tmp_path / "lab8")
    (tmp_path / "lab8" / "grades.db").write_text("no database " * 100)
    assert "the database cannot be used" in error_line(grader("report", "lab8"), 1)


def test_init_says_where_things_are_and_which_pack_serves(grader: Grader, tmp_path: Path) -> None:
    code, out, err = grader("init", "lab8", "--data", tmp_path / "none")
    assert (code, err) == (0, "")
    assert "submissions/<student>/" in out
    assert "mnist: graded with the public pack, since the raw data" in out
    secret = load_course(tmp_path / "lab8").secret
    code, out, _ = grader("init", "lab8", "--public-pack")
    assert code == 0
    assert "mnist: graded with the public pack, as asked" in out
    assert load_course(tmp_path / "lab8").secret == secret
    assert secret.hex() not in out


def test_init_of_a_course_makes_no_lab(grader: Grader, tmp_path: Path) -> None:
    code, out, _ = grader("init", "cs763")
    assert code == 0
    assert out.strip() == f"course folder: {tmp_path / 'cs763'}"


def test_init_over_a_file_is_a_usage_error(grader: Grader, tmp_path: Path) -> None:
    (tmp_path / "lab8").write_text("")
    assert "is a file" in error_line(grader("init", "lab8"), 2)


def class_of_one(tmp_path: Path) -> Path:
    lab = tmp_path / "lab8"
    init(lab)
    (lab / "submissions" / "ada").mkdir(parents=True)
    notebook = (lab / "templates" / "lab8_vanilla.ipynb").read_bytes()
    (lab / "submissions" / "ada" / "lab8_vanilla.ipynb").write_bytes(notebook)
    return lab


def test_a_run_in_which_all_is_settled_ends_with_zero_and_the_grades(grader: Grader, tmp_path: Path) -> None:
    """A failed submission is settled: it has its grade."""
    lab = class_of_one(tmp_path)
    code, out, err = grader("run", "lab8", "--trust-submissions")
    assert (code, err) == (0, "")
    assert re.search(r"^ada +failed +0\.0 / 200 +none of the TODOs", out, re.MULTILINE)
    assert f"1 submission: 1 failed · report: {lab / 'results' / 'index.html'}" in out
    code, out, err = grader("run", "lab8", "--trust-submissions")
    assert (code, err) == (0, "")
    assert "1 submission, 0 to grade" in out
    code, out, _ = grader("report", "lab8")
    assert (code, out) == (0, f"wrote {lab / 'results' / 'index.html'}\n")


def test_a_run_that_leaves_something_ungraded_ends_with_one_and_names_it(grader: Grader, tmp_path: Path) -> None:
    lab = class_of_one(tmp_path)
    store = Store(load_course(lab).database)
    problem = Problem(code="ungraded", message="no space left on device")
    task = TaskResult(task="vanilla", title="t", status=Status.UNGRADED, score=None, max_score=100, problems=(problem,))
    store.add(
        SubmissionResult(
            lab="lab8",
            lab_title="t",
            student="zoe",  # withdrew her hand-in, so that nothing grades her again
            attempt="1",
            status=Status.UNGRADED,
            score=None,
            max_score=100,
            tasks=(task,),
            graded_at=datetime.now(UTC),
        ),
        {},
        "k",
    )
    store.close()
    code, out, err = grader("run", "lab8", "--trust-submissions")
    assert code == 1
    assert err == "not graded, and tried again by the next run: zoe: no space left on device\n"
    assert "2 submissions: 1 failed, 1 ungraded" in out


def test_an_interrupt_says_that_nothing_is_lost(grader: Grader, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(courses, "init", interrupted)
    code, out, err = grader("init", "lab8")
    assert (code, out) == (130, "")
    assert "interrupted; what was finished is kept" in err


def test_the_module_and_the_command_are_one(tmp_path: Path) -> None:
    """Once as a real process, through `python -m grader`."""
    (tmp_path / "lab8").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "grader", "init", "lab8"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: lab8 is a file; give the folder of a course or lab\n"


def test_grading_starts_one_thread_a_library_unless_told_otherwise(
    grader: Grader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    grader("run", tmp_path / "nosuch")
    assert (os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]) == ("4", "1")
