"""How a class did on each task and criterion: which rows are hard, which are given away, and which tell nobody apart."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from grader.models import CriterionResult, Status, SubmissionResult, TaskResult
from grader.reports import charts, words

_OPEN = (Status.HELD, Status.UNGRADED)


@dataclass(frozen=True)
class Spread:
    """The scores of one row of the rubric, or of a whole task, over the class."""

    title: str
    points: float
    """most that can be had"""
    bars: tuple[charts.Bar, ...]
    scored: int
    full: int
    """how many got all points"""
    zero: int
    """how many got none"""
    median: float | None


@dataclass(frozen=True)
class TaskSpread:
    """All rows of a task, and the hand-ins that are not among them."""

    title: str
    whole: Spread
    rows: tuple[Spread, ...]
    left_out: tuple[tuple[Status, int], ...]


def by_task(results: Sequence[SubmissionResult]) -> tuple[TaskSpread, ...]:
    """One entry a task, in the order in which tasks first appear. Points are those before any penalty.

    What is held or ungraded does not count: it is left out and counted in `left_out`.
    """
    found: dict[str, list[tuple[Status, TaskResult]]] = {}
    for result in results:
        for task in result.tasks:
            found.setdefault(task.task, []).append((_standing(result, task), task))
    return tuple(_task(entries) for entries in found.values())


def _standing(result: SubmissionResult, task: TaskResult) -> Status:
    """The task's status, or the hand-in's where that is open and no task of its own says why."""
    if task.status in _OPEN or result.status not in _OPEN or any(t.status in _OPEN for t in result.tasks):
        return task.status
    return result.status


def _task(entries: Sequence[tuple[Status, TaskResult]]) -> TaskSpread:
    left_out = Counter(standing for standing, _ in entries if standing in _OPEN)
    counted = [task for standing, task in entries if standing not in _OPEN]
    newest = entries[-1][1]
    rows: dict[str, list[CriterionResult]] = {}
    for task in counted:
        for row in (*task.criteria, *(row for row in task.manual if row.score is not None)):
            rows.setdefault(row.name, []).append(row)
    whole = [(task.score, task.max_score) for task in counted]
    return TaskSpread(
        title=newest.title or newest.task,
        whole=_spread("All automatic points", newest.max_score, whole),
        rows=tuple(_spread(r[-1].title or r[-1].name, r[-1].points, [(c.score, c.points) for c in r]) for r in rows.values()),
        left_out=tuple((status, left_out[status]) for status in _OPEN if left_out[status]),
    )


def _spread(title: str, points: float, pairs: Sequence[tuple[float | None, float]]) -> Spread:
    """The spread of (score, most) pairs; those without a score are not counted."""
    scored = [(score, most) for score, most in pairs if score is not None]
    return Spread(
        title=title,
        points=points,
        bars=charts.distribution([score / most if most > 0 else 0.0 for score, most in scored]),
        scored=len(scored),
        full=sum(not words.below(score, most) for score, most in scored),
        zero=sum(not words.below(0, score) for score, _ in scored),
        median=statistics.median(score for score, _ in scored) if scored else None,
    )
