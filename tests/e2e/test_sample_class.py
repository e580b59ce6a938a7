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
from drive_server import DriveServer
from sample_class import DUE, UNGRADED, make_class, references, shared_files
from students.lab8 import CLASS

from grader.models import Status, SubmissionResult, TaskResult
from grader.store import Store

pytestmark = pytest.mark.slow

GRADER = (sys.executable, "-m", "grader")
WORKERS = str(os.cpu_count() or 1)
VANILLA, CWGAN = 0, 1


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GRADER, *arguments], capture_output=True, text=True, timeout=900)


def shorten_limits(lab: Path) -> None:
    """The endless loop need not cost the two minutes of CPU time that the real lab allows."""
    spec = lab / "lab.toml"
    spec.write_text(spec.read_text().replace("cpu_s = 120", "cpu_s = 45"))


@pytest.fixture(scope="module")
def server() -> Iterator[DriveServer]:
    with DriveServer(shared_files()) as drive:
        yield drive


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, server: DriveServer) -> Path:
    lab = tmp_path_factory.mktemp("course") / "lab8"
    make_class(lab, server=server.origin)
    shorten_limits(lab)
    return lab


@pytest.fixture(scope="module")
def finished(lab: Path) -> subprocess.CompletedProcess[str]:
    return run("run", str(lab), "--workers", WORKERS)


@pytest.fixture(scope="module")
def results(lab: Path, finished: subprocess.CompletedProcess[str]) -> dict[str, SubmissionResult]:
    assert finished.returncode == 1, finished.stderr + finished.stdout  # one download quota is exceeded
    store = Store(lab / "grades.db")  # report.json is for students: it says less of flags
    found = {result.student: result for result in store.newest("lab8")}
    store.close()
    return found


def share(task: TaskResult) -> float:
    assert task.score is not None, task.problems
    return task.score / task.max_score


def row(task: TaskResult, name: str) -> float:
    score = next(c.score for c in task.criteria if c.name == name)
    assert score is not None
    return score


def points(task: TaskResult, kind: str) -> float:
    return sum(c.score or 0 for c in task.criteria if c.kind == kind)


def message(task: TaskResult) -> str:
    return task.problems[0].message


def test_everybody_is_graded_but_for_an_exceeded_quota(
    results: dict[str, SubmissionResult], finished: subprocess.CompletedProcess[str]
) -> None:
    pair = {"16-pair"}
    assert set(results) == {student.name for student in CLASS if not student.group} | pair
    assert {name for name, result in results.items() if result.status == Status.UNGRADED} == UNGRADED
    assert "12-nan-and-quota" in finished.stderr


@pytest.mark.parametrize("number", [VANILLA, CWGAN])
def test_reference_gets_all_automatic_points_and_is_held_as_published(results: dict[str, SubmissionResult], number: int) -> None:
    task = results["01-reference"].tasks[number]
    assert share(task) == 1.0
    assert task.status == Status.HELD
    assert [f.code for f in task.flags if f.holds] == ["look-alike"]


def test_questions_and_essay_wait_for_a_person(results: dict[str, SubmissionResult]) -> None:
    result = results["01-reference"]
    assert result.manual_points == 20 + 15 + 15
    assert [(r.name, r.status, r.points) for r in result.manual] == [("reflection", Status.PENDING, 15)]
    assert "a game without a scoreboard" in result.essays[0].text
    assert {answer.question for answer in result.tasks[CWGAN].answers} == {"q_original_gan", "q_business", "q_conditioning"}
    assert results["04-early"].manual[0].status == Status.PENDING and not results["04-early"].essays


@pytest.mark.parametrize("number", [VANILLA, CWGAN])
def test_honest_work_is_ranked_by_quality(results: dict[str, SubmissionResult], number: int) -> None:
    assert share(results["02-typical"].tasks[number]) >= 0.90
    assert 0.40 <= share(results["03-mid-training"].tasks[number]) <= 0.90
    assert share(results["04-early"].tasks[number]) < 0.45


def test_mode_collapse_loses_diversity_points(results: dict[str, SubmissionResult]) -> None:
    collapsed, typical = results["05-collapsed-and-blind"].tasks[VANILLA], results["02-typical"].tasks[VANILLA]
    assert row(collapsed, "class_kl2k_uniform_indomain") < row(typical, "class_kl2k_uniform_indomain") / 2


def test_a_generator_that_ignores_the_class_loses_agreement_and_keeps_quality(results: dict[str, SubmissionResult]) -> None:
    blind, typical = results["05-collapsed-and-blind"].tasks[CWGAN], results["02-typical"].tasks[CWGAN]
    assert row(blind, "class_agreement2k_indomain") == 0
    assert row(blind, "fid2k_test_indomain") > 0.8 * row(typical, "fid2k_test_indomain")
    assert points(blind, "unit") == points(typical, "unit")
    diagonal = [blind.confusion[c][c] for c in range(10)]
    assert all(0 <= n <= 60 for n in diagonal), diagonal  # 20 of 200 by chance


def test_swapped_labels_show_in_the_confusion(results: dict[str, SubmissionResult]) -> None:
    swapped = results["06-noise-and-swapped"].tasks[CWGAN]
    assert row(swapped, "class_agreement2k_indomain") == 0
    assert row(swapped, "fid2k_test_indomain") > 0
    likeliest = [max(range(10), key=list(line).__getitem__) for line in swapped.confusion]
    assert [likeliest[c] for c in (0, 1, 4, 8)] == [9, 8, 5, 1]  # boots, bags, sandals and trousers are like nothing else


def test_noise_gets_nothing_for_its_images_and_says_why(results: dict[str, SubmissionResult]) -> None:
    task = results["06-noise-and-swapped"].tasks[VANILLA]
    images = [c for c in task.criteria if c.kind == "metric"]
    assert [c.score for c in images] == [0.0] * len(images)
    assert all("measured" in c.message for c in images)
    assert any("counts only where" in c.message for c in images)


def test_untouched_template_gets_nothing_and_names_the_open_todos(results: dict[str, SubmissionResult]) -> None:
    task = results["07-untouched-and-flipped"].tasks[VANILLA]
    assert (task.status, task.score) == (Status.FAILED, 0.0)
    for todo in ("generator_layers", "train", "generate"):
        assert todo in message(task)


def test_a_flipped_sign_fails_its_check_which_says_so(results: dict[str, SubmissionResult]) -> None:
    task = results["07-untouched-and-flipped"].tasks[CWGAN]
    check = next(c for c in task.criteria if c.name == "wloss_generator")
    assert check.score == 0
    assert "+score_fake: the sign is flipped" in check.message
    assert row(task, "wloss_discriminator") == 5
    assert points(task, "metric") < 0.3 * 70  # what such a loss trains is no garment


@pytest.mark.parametrize(
    ("student", "number"), [("08-edited", VANILLA), ("08-edited", CWGAN), ("14-prints-100", VANILLA), ("14-prints-100", CWGAN)]
)
def test_tricks_and_accidents_change_no_grade(results: dict[str, SubmissionResult], student: str, number: int) -> None:
    """Same code, same checkpoint, another student: the images differ, so the grade agrees within the interval only."""
    task, typical = results[student].tasks[number], results["02-typical"].tasks[number]
    assert task.status == Status.GRADED
    assert task.low is not None and task.high is not None and typical.low is not None and typical.high is not None
    assert task.low <= typical.high and typical.low <= task.high


def test_edits_outside_todos_are_reported(results: dict[str, SubmissionResult]) -> None:
    vanilla, cwgan = ({edit.kind for edit in task.edits} for task in results["08-edited"].tasks)
    assert {"changed", "added"} <= vanilla
    assert "marker" in cwgan and "changed" not in cwgan


def test_batch_normalisation_in_the_critic_is_advised_against(results: dict[str, SubmissionResult]) -> None:
    assert any("batch normalisation" in advice for advice in results["08-edited"].tasks[CWGAN].advice)
    assert not any("batch normalisation" in advice for advice in results["02-typical"].tasks[CWGAN].advice)


@pytest.mark.parametrize(
    ("student", "number", "source", "words"),
    [
        ("09-crash-in-one", VANILLA, 'return images["digits"]', "IndexError"),
        ("13-tanh-and-cuda", CWGAN, "labels = torch.full((n,), c).cuda()", ".to(device)"),
    ],
)
def test_exceptions_name_cell_and_line(
    results: dict[str, SubmissionResult], student: str, number: int, source: str, words: str
) -> None:
    task = results[student].tasks[number]
    problem = task.problems[0]
    assert task.status == Status.FAILED
    assert words in f"{problem.message} {problem.advice}"
    assert problem.todo == "generate"
    assert problem.cell and problem.line and problem.source and problem.source.strip() == source


def test_a_task_that_crashes_leaves_the_other_one_alone(results: dict[str, SubmissionResult]) -> None:
    vanilla, cwgan = results["09-crash-in-one"].tasks
    assert (vanilla.status, cwgan.status) == (Status.FAILED, Status.GRADED)
    assert share(cwgan) >= 0.90


def test_endless_loop_ends_at_the_cpu_limit(results: dict[str, SubmissionResult]) -> None:
    task = results["10-endless-and-dead-link"].tasks[VANILLA]
    assert (task.status, task.score) == (Status.FAILED, 0.0)
    assert "45" in message(task) and "CPU" in message(task)


@pytest.mark.parametrize(
    ("student", "number", "words"),
    [
        ("11-shape-and-html-page", VANILLA, "(1, 1, 28, 28)"),
        ("12-nan-and-quota", VANILLA, "NaN"),
        ("13-tanh-and-cuda", VANILLA, "tanh"),
        ("15-real-images", CWGAN, "checkpoint"),
        ("10-endless-and-dead-link", CWGAN, "no file at the link"),
        ("11-shape-and-html-page", CWGAN, "page"),
    ],
)
def test_image_faults_cost_the_image_points_only(
    results: dict[str, SubmissionResult], student: str, number: int, words: str
) -> None:
    task = results[student].tasks[number]
    assert task.status == Status.FAILED
    assert words in message(task)
    assert points(task, "metric") == 0
    assert points(task, "unit") == (25, 30)[number]


def test_an_exceeded_quota_costs_nothing_and_is_tried_again(results: dict[str, SubmissionResult]) -> None:
    task = results["12-nan-and-quota"].tasks[CWGAN]
    assert (task.status, task.score) == (Status.UNGRADED, None)
    assert "too many" in message(task).lower()
    assert points(task, "unit") == 30  # what needs no checkpoint is scored already


def test_a_linked_checkpoint_gets_the_same_grade_as_one_that_lies_beside(results: dict[str, SubmissionResult]) -> None:
    linked, beside = results["02-typical"].tasks[CWGAN], results["09-crash-in-one"].tasks[CWGAN]
    assert linked.provenance is not None and beside.provenance is not None
    assert linked.provenance.checkpoint_sha256 == beside.provenance.checkpoint_sha256
    assert linked.provenance.fetch is not None and beside.provenance.fetch is None


def test_returned_real_images_are_held(results: dict[str, SubmissionResult]) -> None:
    task = results["15-real-images"].tasks[VANILLA]
    assert task.status == Status.HELD
    assert [f.code for f in task.flags if f.holds] == ["memorisation", "repeats"]


def test_honest_submissions_are_not_held(results: dict[str, SubmissionResult]) -> None:
    held = {name for name, result in results.items() if Status.HELD in {task.status for task in result.tasks}}
    assert held == {"01-reference", "15-real-images"}
    # noise ignores the weights, and what a flipped sign trains is one image: seen, and not held, since neither earned anything
    assert [f.code for f in results["06-noise-and-swapped"].tasks[VANILLA].flags] == ["ignores-weights"]


def test_a_day_late_costs_a_tenth_and_everybody_else_nothing(results: dict[str, SubmissionResult]) -> None:
    late = results["03-mid-training"]
    assert late.lateness is not None and late.score is not None
    assert (late.lateness.days, late.lateness.fraction) == (1, 0.1)
    assert late.penalty == pytest.approx(0.1 * late.score)
    assert {name for name, result in results.items() if result.penalty} == {"03-mid-training"}
    assert late.lateness.due.replace(tzinfo=None) == DUE


def test_a_group_is_graded_once_and_every_member_gets_the_result(lab: Path, results: dict[str, SubmissionResult]) -> None:
    pair = results["16-pair"]
    assert pair.group == ("16-pair-a", "16-pair-b")
    rows = {r["student"]: r for r in gradebook(lab) if r["task"] == "vanilla"}
    one, other = rows["16-pair-a"], rows["16-pair-b"]
    assert {k: v for k, v in one.items() if k != "student"} == {k: v for k, v in other.items() if k != "student"}
    for member in pair.group:
        assert "<html" in (lab / "results" / member / "report.html").read_text()


def gradebook(lab: Path) -> list[dict[str, str]]:
    with (lab / "results" / "gradebook.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_reports_of_all_kinds_exist(lab: Path, results: dict[str, SubmissionResult]) -> None:
    assert (lab / "results" / "index.html").exists()
    students = {name for result in results.values() for name in (result.group or (result.student,))}
    assert {r["student"] for r in gradebook(lab)} == students
    for student in students:
        folder = lab / "results" / student
        assert "<html" in (folder / "report.html").read_text()
        if student in UNGRADED:  # so that Gradescope shows an error and not a score
            assert not (folder / "results.json").exists()
        else:
            assert json.loads((folder / "results.json").read_text())["tests"]


@pytest.mark.parametrize("task", ["vanilla", "cwgan"])
def test_report_shows_the_students_own_curves_as_not_verified(lab: Path, results: dict[str, SubmissionResult], task: str) -> None:
    page = (lab / "results" / "01-reference" / "report.html").read_text()
    assert base64.b64encode((references("lab8") / f"lab8_{task}.curves.png").read_bytes()).decode() in page
    assert "not verified" in page


def test_second_run_tries_only_the_ungraded_again(lab: Path, results: dict[str, SubmissionResult], server: DriveServer) -> None:
    """The quota is no longer exceeded: the one submission is graded, and its links are all that is fetched."""
    asked = server.asked("good")
    server.shared["quota"] = server.shared["good"]
    again = run("run", str(lab))
    assert again.returncode == 0, again.stderr
    assert "1 to grade" in again.stdout
    assert server.asked("good") == asked
    rows = {r["task"]: r for r in gradebook(lab) if r["student"] == "12-nan-and-quota"}
    assert rows["cwgan"]["status"] == "graded"
    third = run("run", str(lab))
    assert third.returncode == 0
    assert "0 to grade" in third.stdout


def grades(lab: Path) -> list[tuple[str, ...]]:
    with (lab / "results" / "gradebook.csv").open(newline="") as file:
        return [tuple(row) for row in csv.reader(file)]


@pytest.fixture
def small_lab(tmp_path: Path) -> Iterator[Path]:
    lab = tmp_path / "lab8"
    chosen = {"04-early", "06-noise-and-swapped", "13-tanh-and-cuda", "15-real-images"}
    make_class(lab, tuple(s for s in CLASS if s.name in chosen))
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
