import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from grader.autograder import LabGradescope, LeaderboardColumn
from grader.models import CriterionResult, Flag, Lateness, Metric, Status, SubmissionResult
from grader.reports.gradescope import results_json

from .examples import MANUAL, criteria, failed, graded, held, pending, submission, task, ungraded, unit_row, whole_lab

SCHEMA = json.loads((Path(__file__).parents[4] / "gradescope" / "results.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_status_is_valid_or_absent(any_result: SubmissionResult) -> None:
    report = results_json(any_result)
    if any_result.status is Status.UNGRADED:
        assert report is None
    else:
        VALIDATOR.validate(report)
        assert json.loads(json.dumps(report, allow_nan=False)) == report


@pytest.mark.parametrize(
    "instance",
    [
        {},
        {"tests": []},
        {"tests": [{"name": "no score"}]},
        {"score": "10"},
        {"score": 1, "unknown": 1},
        {"score": 1, "visibility": "secret"},
        {"score": 1, "output_format": "markdown"},
        {"score": 1, "tests": [{"score": 1, "points": 2}]},
        {"score": 1, "tests": [{"status": "ok"}]},
        {"score": 1, "leaderboard": [{"name": "FID"}]},
        {"score": 1, "leaderboard": [{"name": "FID", "value": 3, "order": "up"}]},
    ],
)
def test_the_schema_refuses_what_gradescope_would(instance: object) -> None:
    assert not VALIDATOR.is_valid(instance)


@pytest.mark.parametrize(
    "instance",
    [
        {"score": 44.0, "execution_time": 136, "leaderboard": [{"name": "FID", "value": 3.1, "order": "asc"}]},
        {"tests": [{"score": 1}, {"score": 0, "max_score": 2, "tags": ["a"], "visibility": "after_due_date"}]},
    ],
)
def test_the_schema_accepts_what_gradescope_documents(instance: object) -> None:
    VALIDATOR.validate(instance)


@pytest.mark.parametrize("build", [graded, failed, pending])
def test_scores_are_those_of_the_model(build: object) -> None:
    result: SubmissionResult = build()
    report = results_json(result)
    rows = result.tasks[0].criteria
    assert report is not None and report["score"] == pytest.approx(result.score, abs=0.005)
    scored = [test for test in report["tests"] if "score" in test]
    assert [(t["score"], t["max_score"]) for t in scored] == [(round(r.score or 0, 2), r.points) for r in rows]
    assert [t["status"] for t in scored] == ["passed" if (r.score or 0) > r.points - 0.005 else "failed" for r in rows]
    assert report["extra_data"]["tasks"]["vanilla"]["provenance"]["sandbox_level"] == "strong"
    assert report["extra_data"]["tasks"]["vanilla"]["provenance"]["pack_sha256"] == "9ac0" * 16
    assert all(test["visibility"] == "visible" for test in report["tests"]), "one hidden test would hide the total"
    assert report["stdout_visibility"] == "hidden"


def test_points_given_by_hand_are_information() -> None:
    report = results_json(graded())
    assert report is not None
    by_hand = [test for test in report["tests"] if "Graded by hand" in test["output"]]
    assert len(by_hand) == len(MANUAL) and not any("score" in test or "status" in test for test in by_hand)


def test_a_held_task_waits_outside_the_total_and_tells_staff_only() -> None:
    second = task(Status.GRADED, (unit_row("u", "Unit", 4, ""),), task="cwgan", title="cWGAN", manual=())
    report = results_json(submission("a", held().tasks[0], second))
    assert report is not None and report["score"] == 4.0
    hidden = [test for test in report["tests"] if test["visibility"] == "hidden"]
    assert len(hidden) == 1 and "mallory" in hidden[0]["output"] and "100.00 of 100" in hidden[0]["output"]
    seen = json.dumps([report["output"], *(test for test in report["tests"] if test["visibility"] == "visible")])
    assert "mallory" not in seen and "memorisation" not in seen and "Waiting for a person" in seen
    assert sum(test.get("score", 0) for test in report["tests"]) == report["score"]


def test_a_submission_held_as_a_whole_waits_with_all_its_tasks() -> None:
    report = results_json(submission("a", task(Status.GRADED, criteria()), status=Status.HELD))
    assert report is not None and report["score"] == 0.0 and report["tests"][-1]["visibility"] == "hidden"


def test_a_late_hand_in_loses_its_share_of_the_total_and_reads_why() -> None:
    due = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
    late = Lateness(submitted=due + timedelta(days=2), source="export", due=due, days=2, late_days=1, fraction=0.1)
    report = results_json(graded().model_copy(update={"lateness": late}))
    VALIDATOR.validate(report)
    assert report is not None and report["score"] == pytest.approx(0.9 * (graded().score or 0), abs=0.005)
    (line,) = (test for test in report["tests"] if test["name"] == "Late hand-in")
    assert line["output"] == (
        "Handed in 2026-12-02 23:59, due 2026-11-30 23:59: 2 days late, 1 of them free. 10 % of the score is taken off."
    )
    assert "score" not in line and report["extra_data"]["lateness"]["fraction"] == 0.1
    assert results_json(graded())["extra_data"]["lateness"] is None  # type: ignore[index]


def test_the_essay_is_a_row_graded_by_hand() -> None:
    row = CriterionResult(
        name="reflection", title="Reflection", kind="manual", status=Status.PENDING, points=10, message="missing"
    )
    report = results_json(graded().model_copy(update={"manual": (row,)}))
    VALIDATOR.validate(report)
    assert report is not None
    assert report["tests"][-1]["number"] == "2.1"
    assert report["tests"][-1]["output"] == "Graded by hand: up to 10 points.\nmissing"


def test_both_tasks_and_the_essay_are_numbered_apart() -> None:
    result = whole_lab()
    report = results_json(result)
    VALIDATOR.validate(report)
    assert report is not None and result.score is not None
    numbers = [test["number"] for test in report["tests"] if "number" in test]
    assert len(set(numbers)) == len(numbers) and numbers[0] == "1.1" and "2.1" in numbers and numbers[-1] == "3.1"
    names = [test["name"] for test in report["tests"]]
    assert "DCGAN on MNIST: Loss of the generator" in names
    assert "Conditional WGAN-GP on Fashion-MNIST: Loss of the generator" in names
    assert report["score"] == pytest.approx(result.score - result.penalty, abs=0.005)


def test_anything_ungraded_means_no_report() -> None:
    assert results_json(ungraded()) is None
    assert results_json(submission("a", graded().tasks[0], ungraded().tasks[0], status=Status.GRADED)) is None
    row = criteria()[0].model_copy(update={"status": Status.UNGRADED, "score": None})
    assert results_json(submission("a", task(Status.GRADED, (row,), score=1.0))) is None


def test_the_output_says_what_went_wrong_and_where() -> None:
    report = results_json(failed())
    assert report is not None
    assert "cell 9, line 4, TODO generator_forward: RuntimeError" in report["output"]
    assert "Try: Print x.shape" in report["output"]


def test_seeds_stay_out() -> None:
    assert "918273645" not in json.dumps(results_json(graded()))


def test_hostile_text_and_numbers_that_are_none_stay_valid() -> None:
    evil = "<script>alert(1)</script>\x1b[31m\x00\ud800"
    nan = Metric(name="m", value=float("nan"), low=float("nan"), high=float("inf"), n=1)
    row = criteria()[0].model_copy(
        update={"title": evil, "message": evil, "metric": nan, "score": float("nan"), "low": float("nan")}
    )
    flag = Flag(code="x", message=evil)
    report = results_json(submission("a", task(Status.GRADED, (row,), flags=(flag,)), attempt=evil, warnings=(evil,)))
    VALIDATOR.validate(report)
    text = json.dumps(report, allow_nan=False, ensure_ascii=False)
    text.encode("utf-8")
    assert "\x1b" not in text and report is not None and report["score"] == 0.0
    assert report["output_format"] == report["test_output_format"] == report["test_name_format"] == "text"


def test_rows_are_seen_by_whom_lab_toml_says() -> None:
    settings = LabGradescope(
        hidden=("vanilla.q_dc",), after_published=("vanilla.fid2k_test_indomain",), after_due_date=("vanilla",)
    )
    report = results_json(graded(), settings)
    VALIDATOR.validate(report)
    assert report is not None
    seen = {test["name"].partition(": ")[2]: test["visibility"] for test in report["tests"]}
    titles = {row.name: row.title for row in (*graded().tasks[0].criteria, *graded().tasks[0].manual)}
    assert seen[titles["q_dc"]] == "hidden"
    assert seen[titles["fid2k_test_indomain"]] == "after_published"
    assert set(seen.values()) == {"hidden", "after_published", "after_due_date"}


def test_the_leaderboard_shows_metrics_and_points() -> None:
    columns = (
        LeaderboardColumn(name="FID", task="vanilla", metric="fid2k_test_indomain", order="asc"),
        LeaderboardColumn(name="Points", task="vanilla"),
        LeaderboardColumn(name="Nothing", task="vanilla", metric="unmeasured"),
    )
    report = results_json(graded(), LabGradescope(leaderboard=columns))
    VALIDATOR.validate(report)
    assert report is not None
    task = graded().tasks[0]
    fid = next(row.metric for row in task.criteria if row.name == "fid2k_test_indomain")
    assert fid is not None
    assert report["leaderboard"] == [
        {"name": "FID", "value": pytest.approx(fid.value, abs=0.001), "order": "asc"},
        {"name": "Points", "value": pytest.approx(task.score, abs=0.001), "order": "desc"},
    ]


def test_what_is_held_is_on_no_leaderboard() -> None:
    columns = (LeaderboardColumn(name="Points", task="vanilla"),)
    report = results_json(held(), LabGradescope(leaderboard=columns))
    assert report is not None
    assert "leaderboard" not in report


def test_a_task_that_was_not_reached_waits_for_staff() -> None:
    late = ungraded().tasks[0].model_copy(update={"task": "second", "title": "Second"})
    result = graded().model_copy(update={"tasks": (*graded().tasks, late), "status": Status.UNGRADED, "score": None})
    assert results_json(result) is None
    report = results_json(result, unreached={"second"})
    VALIDATOR.validate(report)
    assert report is not None
    assert report["score"] == pytest.approx(graded().score, abs=0.01)
    (note,) = [test for test in report["tests"] if test["visibility"] == "hidden"]
    assert note["name"] == "Second: not reached in time"


def test_time_excuses_neither_other_faults_nor_an_empty_report() -> None:
    first = ungraded().tasks[0]
    second = first.model_copy(update={"task": "second"})
    assert results_json(ungraded(), unreached={first.task}) is None
    assert results_json(ungraded().model_copy(update={"tasks": (first, second)}), unreached={"second"}) is None
