"""The sample class, graded by the command that instructors use: what each submission must get."""

import base64
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sample_class import CLASS, CURVES, make_class

from grader.models import Status, SubmissionResult, TaskResult
from grader.store import Store

pytestmark = pytest.mark.slow

GRADER = (sys.executable, "-m", "grader")
WORKERS = str(os.cpu_count() or 1)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GRADER, *arguments], capture_output=True, text=True, timeout=900)


def shorten_limits(lab: Path) -> None:
    """The endless loop need not cost the two minutes of CPU time that the real lab allows."""
    spec = lab / "lab.toml"
    spec.write_text(spec.read_text().replace("cpu_s = 120", "cpu_s = 45"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lab = tmp_path_factory.mktemp("course") / "lab8"
    make_class(lab)
    shorten_limits(lab)
    return lab


@pytest.fixture(scope="module")
def finished(lab: Path) -> subprocess.CompletedProcess[str]:
    return run("run", str(lab), "--workers", WORKERS)


@pytest.fixture(scope="module")
def results(lab: Path, finished: subprocess.CompletedProcess[str]) -> dict[str, SubmissionResult]:
    assert finished.returncode == 0, finished.stderr + finished.stdout
    store = Store(lab / "grades.db")  # report.json is for students: it says less of flags
    found = {result.student: result for result in store.newest("lab8")}
    store.close()
    return found


def task_of(results: dict[str, SubmissionResult], student: str) -> TaskResult:
    return results[student].tasks[0]


def share(results: dict[str, SubmissionResult], student: str) -> float:
    task = task_of(results, student)
    assert task.score is not None, task.problems
    return task.score / task.max_score


def row(task: TaskResult, name: str) -> float:
    score = next(c.score for c in task.criteria if c.name == name)
    assert score is not None
    return score


def message(task: TaskResult) -> str:
    return task.problems[0].message


def test_everybody_is_graded(results: dict[str, SubmissionResult]) -> None:
    assert set(results) == {student.name for student in CLASS}
    assert all(r.status != Status.UNGRADED for r in results.values())


def test_reference_gets_all_automatic_points(results: dict[str, SubmissionResult]) -> None:
    assert share(results, "01-reference") == 1.0
    assert results["01-reference"].status == Status.GRADED
    assert results["01-reference"].manual_points == 20


def test_honest_work_is_ranked_by_quality(results: dict[str, SubmissionResult]) -> None:
    assert share(results, "02-typical") >= 0.90
    assert 0.40 <= share(results, "03-mid-training") <= 0.90
    assert share(results, "04-early") < 0.40


def test_mode_collapse_loses_diversity_points(results: dict[str, SubmissionResult]) -> None:
    collapsed, typical = task_of(results, "05-mode-collapsed"), task_of(results, "02-typical")
    assert row(collapsed, "class_kl2k_uniform_indomain") < row(typical, "class_kl2k_uniform_indomain") / 2


def test_noise_gets_nothing_for_its_images_and_says_why(results: dict[str, SubmissionResult]) -> None:
    task = task_of(results, "06-noise")
    images = [c for c in task.criteria if c.kind == "metric"]
    assert [c.score for c in images] == [0.0] * len(images)
    assert all("measured" in c.message for c in images)
    assert any("counts only where" in c.message for c in images)


def test_untouched_template_gets_nothing_and_names_the_open_todos(results: dict[str, SubmissionResult]) -> None:
    task = task_of(results, "07-untouched")
    assert (task.status, task.score) == (Status.FAILED, 0.0)
    for todo in ("generator_layers", "train", "generate"):
        assert todo in message(task)


@pytest.mark.parametrize("student", ["08-edits-outside", "09-markers-deleted", "18-prints-100"])
def test_tricks_and_accidents_change_no_grade(results: dict[str, SubmissionResult], student: str) -> None:
    """Same code, same checkpoint, another student: the images differ, so the grade agrees within the interval only."""
    task, typical = task_of(results, student), task_of(results, "02-typical")
    assert task.status == Status.GRADED
    assert task.low is not None and task.high is not None and typical.low is not None and typical.high is not None
    assert task.low <= typical.high and typical.low <= task.high


def test_edits_outside_todos_are_reported(results: dict[str, SubmissionResult]) -> None:
    kinds = {edit.kind for edit in task_of(results, "08-edits-outside").edits}
    assert {"changed", "added"} <= kinds
    kinds = {edit.kind for edit in task_of(results, "09-markers-deleted").edits}
    assert "marker" in kinds and "changed" not in kinds


@pytest.mark.parametrize(
    ("student", "source", "words"),
    [
        ("10-exception", 'return images["digits"]', "IndexError"),
        ("15-hard-cuda", "z = torch.randn(n, noise_dim).cuda()", ".to(device)"),
    ],
)
def test_exceptions_name_cell_and_line(results: dict[str, SubmissionResult], student: str, source: str, words: str) -> None:
    task = task_of(results, student)
    problem = task.problems[0]
    assert task.status == Status.FAILED
    assert words in f"{problem.message} {problem.advice}"
    assert problem.todo == "generate"
    assert problem.cell and problem.line and problem.source and problem.source.strip() == source


def test_endless_loop_ends_at_the_cpu_limit(results: dict[str, SubmissionResult]) -> None:
    task = task_of(results, "11-endless-loop")
    assert (task.status, task.score) == (Status.FAILED, 0.0)
    assert "45" in message(task) and "CPU" in message(task)


@pytest.mark.parametrize(
    ("student", "words"),
    [
        ("12-wrong-shape", "(1, 1, 28, 28)"),
        ("13-nan", "NaN"),
        ("14-tanh-range", "tanh"),
        ("16-missing-checkpoint", "checkpoint"),
    ],
)
def test_image_faults_cost_the_image_points_only(results: dict[str, SubmissionResult], student: str, words: str) -> None:
    task = task_of(results, student)
    assert task.status == Status.FAILED
    assert words in message(task)
    assert sum(c.score or 0 for c in task.criteria if c.kind == "metric") == 0
    assert sum(c.score or 0 for c in task.criteria if c.kind == "unit") == 25


def test_returned_real_images_are_held(results: dict[str, SubmissionResult]) -> None:
    task = task_of(results, "17-real-images")
    assert task.status == Status.HELD
    assert [f.code for f in task.flags if f.holds] == ["memorisation"]


def test_honest_submissions_are_not_held(results: dict[str, SubmissionResult]) -> None:
    held = {student for student, result in results.items() if result.status == Status.HELD}
    assert held == {"17-real-images"}


def test_reports_of_all_kinds_exist(lab: Path, results: dict[str, SubmissionResult]) -> None:
    assert (lab / "results" / "index.html").exists()
    with (lab / "results" / "gradebook.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {r["student"] for r in rows} == set(results)
    for student in results:
        folder = lab / "results" / student
        assert "<html" in (folder / "report.html").read_text()
        assert json.loads((folder / "results.json").read_text())["tests"]


def test_report_shows_the_students_own_curves_as_not_verified(lab: Path, results: dict[str, SubmissionResult]) -> None:
    page = (lab / "results" / "01-reference" / "report.html").read_text()
    assert base64.b64encode(CURVES.read_bytes()).decode() in page
    assert "not verified" in page


def test_second_run_repeats_nothing(lab: Path, results: dict[str, SubmissionResult]) -> None:
    again = run("run", str(lab))
    assert again.returncode == 0
    assert "0 to grade" in again.stdout


def grades(lab: Path) -> list[tuple[str, ...]]:
    with (lab / "results" / "gradebook.csv").open(newline="") as file:
        return [tuple(row) for row in csv.reader(file)]


@pytest.fixture
def small_lab(tmp_path: Path) -> Iterator[Path]:
    lab = tmp_path / "lab8"
    make_class(lab, tuple(s for s in CLASS if s.name in {"04-early", "06-noise", "12-wrong-shape", "16-missing-checkpoint"}))
    yield lab


def test_killed_run_is_finished_by_the_next(small_lab: Path) -> None:
    """SIGKILL after the first result: the next run grades the others, and the gradebook equals an undisturbed one's."""
    command = [*GRADER, "run", str(small_lab)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("[1/"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1)  # the orphaned sandbox dies with its parent

    resumed = run("run", str(small_lab))
    assert resumed.returncode == 0, resumed.stderr
    assert "4 submissions, 3 to grade" in resumed.stdout
    after_kill = grades(small_lab)

    assert run("run", str(small_lab), "--force").returncode == 0
    assert grades(small_lab) == after_kill
