"""results.json for Gradescope; `gradescope/results.schema.json` describes the format.

What each outcome becomes:

- graded, failed, pending: every criterion is a test with its score; points given by hand are tests without a score.
- held: the task does not enter the total until a person has decided. Its tests show no score, and one hidden test tells
  staff why; a hidden test also keeps Gradescope from showing the student a total that is still open.
- late: the total is what the penalty leaves of it, and a test without a score says so. Gradescope takes nothing off by itself, but has
  due dates of its own: instructors let one of the two decide.
- not reached before the autograder's own deadline: like held, and a hidden test tells staff; what was reached keeps its points.
- ungraded: no results.json at all. The autograder exits with an error, Gradescope shows that to staff, and they run it
  again; a score cannot be pushed later.
"""

import math
from collections.abc import Collection, Iterator, Sequence

from grader.autograder import LabGradescope, LeaderboardColumn
from grader.models import JSON, CriterionResult, Problem, Status, SubmissionResult, TaskResult
from grader.reports import figures, totals, words
from grader.reports.redact import for_student
from grader.reports.text import clean, one_line


def results_json(result: SubmissionResult, settings: LabGradescope | None = None, unreached: Collection[str] = ()) -> JSON | None:
    """The contents of results.json, or None where a task or criterion is ungraded: then there is nothing to report yet.

    unreached: ids of the tasks that are ungraded for want of time alone; the others are reported, unless there are none.
    """
    if _ungraded(result, unreached):
        return None
    settings = settings or LabGradescope()
    shown = for_student(result)
    held = _held(result) - set(unreached)
    waiting = held | set(unreached)
    tests = [test for n, task in enumerate(shown.tasks, 1) for test in _tests(task, n, settings, task.task in waiting)]
    tests += [*_essays(shown), *_late(result)]
    tests += [_staff_note(task) for task in result.tasks if task.task in held]
    tests += [_time_note(task) for task in result.tasks if task.task in unreached]
    total = sum(task.score or 0.0 for task in result.tasks if task.task not in waiting)
    report: JSON = {
        "score": _number(total * totals.kept(result)),
        "output": _output(shown),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": _extra(result),
    }
    if columns := [*_leaderboard(result, settings.leaderboard, waiting)]:
        report["leaderboard"] = columns
    if times := [task.usage.wall_s for task in result.tasks if task.usage is not None]:
        report["execution_time"] = _number(sum(times))
    return report


def _ungraded(result: SubmissionResult, unreached: Collection[str]) -> bool:
    reached = [task for task in result.tasks if task.task not in unreached]
    statuses = [*(t.status for t in reached), *(c.status for t in reached for c in t.criteria)]
    whole = () if unreached else (result.status,)
    return not reached or Status.UNGRADED in (*statuses, *whole)


def _held(result: SubmissionResult) -> set[str]:
    """Ids of the tasks that must not count yet: the held ones, or all where the submission is held for no task of its own."""
    tasks = {task.task for task in result.tasks if task.status is Status.HELD}
    return tasks or ({task.task for task in result.tasks} if result.status is Status.HELD else set())


def _number(value: float) -> float:
    """Two decimals; JSON has neither NaN nor infinity, and a score that is no number is worth nothing."""
    return round(value, 2) if math.isfinite(value) else 0.0


def _tests(task: TaskResult, number: int, settings: LabGradescope, held: bool) -> Iterator[JSON]:
    """The rows of the rubric, then the questions. held: without scores, which wait."""
    for i, criterion in enumerate([*task.criteria, *task.manual], 1):
        test: JSON = {
            "name": one_line(f"{task.title or task.task}: {criterion.title or criterion.name}"),
            "number": f"{number}.{i}",
            "output": _test_output(criterion, held),
            "visibility": settings.visibility(task.task, criterion.name),
        }
        if criterion.kind != "manual" and not held and criterion.score is not None:
            test |= {
                "score": _number(criterion.score),
                "max_score": _number(criterion.points),
                "status": "failed" if words.lost(criterion) else "passed",
            }
        yield test


def _essays(result: SubmissionResult) -> Iterator[JSON]:
    """The rows of the lab as a whole."""
    for i, criterion in enumerate(result.manual, 1):
        number = f"{len(result.tasks) + 1}.{i}"
        name = one_line(criterion.title or criterion.name)
        yield {"name": name, "number": number, "output": _test_output(criterion, held=False), "visibility": "visible"}


def _late(result: SubmissionResult) -> Iterator[JSON]:
    """What being late costs; nothing for a hand-in that was on time."""
    if result.lateness and result.lateness.days:
        yield {"name": "Late hand-in", "output": words.late(result.lateness), "visibility": "visible"}


def _leaderboard(result: SubmissionResult, columns: Sequence[LeaderboardColumn], waiting: Collection[str]) -> Iterator[JSON]:
    """What stands in the columns; nothing of tasks that wait for a person, or that measured nothing."""
    tasks = {task.task: task for task in result.tasks if task.task not in waiting}
    for column in columns:
        value = _column(tasks[column.task], column) if column.task in tasks else None
        if value is not None and math.isfinite(value):
            yield {"name": one_line(column.name), "value": round(value, 3), "order": column.order}


def _column(task: TaskResult, column: LeaderboardColumn) -> float | None:
    if column.metric is None:
        return task.score
    metrics = (*(c.metric for c in task.criteria if c.metric), *task.measured)
    return next((metric.value for metric in metrics if metric.name == column.metric), None)


def _test_output(criterion: CriterionResult, held: bool) -> str:
    lines = [criterion.message]
    if criterion.kind == "manual":
        lines.insert(0, f"Graded by hand: up to {figures.most(criterion.points)} points.")
    elif held and criterion.status is not Status.UNGRADED:
        lines.insert(0, f"{words.status(Status.HELD).text}: up to {figures.most(criterion.points)} points.")
    if criterion.advice and words.lost(criterion):
        lines.append(f"Try: {criterion.advice}")
    return clean("\n".join(filter(None, lines)))


def _staff_note(task: TaskResult) -> JSON:
    """What staff must know of a held task; students never see it."""
    reasons = [f"{flag.code}: {flag.message}" for flag in task.flags if flag.holds]
    counted = f"{figures.points(task.score)} of {figures.most(task.max_score)} automatic points are not in the total."
    decide = "Decide before grades are published, and correct the total by hand."
    return {
        "name": one_line(f"{task.title or task.task}: held for staff"),
        "output": clean("\n".join([counted, *reasons, decide])),
        "visibility": "hidden",
    }


def _time_note(task: TaskResult) -> JSON:
    """What staff must do about a task that there was no time for; hidden, so that the student sees no total that is still open."""
    return {
        "name": one_line(f"{task.title or task.task}: not reached in time"),
        "output": (
            f"{figures.most(task.max_score)} automatic points are not in the total, since the autograder's time was nearly used up. Run "
            "it again; if this happens often, raise the time limit at Gradescope and `minutes` in course.toml."
        ),
        "visibility": "hidden",
    }


def _output(result: SubmissionResult) -> str:
    """What the student reads first: warnings, then each task's state, remarks and problems."""
    blocks = ["\n".join(result.warnings)]
    for task in result.tasks:
        word = words.status(task.status)
        lines = [f"{task.title or task.task}: {word.text}. {word.meaning}".rstrip()]
        lines += [flag.message for flag in task.flags]
        lines += [_problem(problem) for problem in task.problems]
        blocks.append("\n".join([*lines, *task.advice]))
    return clean("\n\n".join(filter(None, blocks)))


def _problem(problem: Problem) -> str:
    parts = (("cell", problem.cell), ("line", problem.line), ("TODO", problem.todo))
    place = ", ".join(f"{name} {value}" for name, value in parts if value is not None)
    lines = [f"{place}: {problem.message}" if place else problem.message]
    lines += [f"    {problem.source}"] if problem.source else []
    lines += [f"Try: {problem.advice}"] if problem.advice else []
    return "\n".join(lines)


def _extra(result: SubmissionResult) -> JSON:
    """For programs of the staff: what Gradescope keeps beside the score and shows to nobody."""
    return {
        "lab": result.lab,
        "attempt": one_line(result.attempt),
        "status": result.status.value,
        "max_score": _number(result.max_score),
        "manual_points": _number(result.manual_points),
        "lateness": result.lateness and result.lateness.model_dump(mode="json"),
        "graded_at": result.graded_at.isoformat(),
        "tasks": {task.task: _extra_task(task) for task in result.tasks},
    }


def _extra_task(task: TaskResult) -> JSON:
    ends = {name: _number(value) for name, value in (("low", task.low), ("high", task.high)) if value is not None}
    return {
        "status": task.status.value,
        "score": None if task.score is None else _number(task.score),
        "max_score": _number(task.max_score),
        **ends,
        "flags": _codes(task),
        "provenance": task.provenance and task.provenance.model_dump(mode="json", exclude={"seeds"}, exclude_none=True),
    }


def _codes(task: TaskResult) -> Sequence[str]:
    return [flag.code for flag in task.flags]
