"""Points from metric values: pure functions of the spec and what was measured."""

from collections.abc import Mapping, Sequence

from grader.models import CriterionResult, Metric, Problem, Status
from grader.spec import MetricCriterion, Task, UnitCriterion
from grader.units import Verdict

WIDE = 0.02
"""A task whose score interval is wider than this share of its points is measured again with more samples."""


def share(value: float, *, full: float, zero: float) -> float:
    """Share of the points for a metric value: 1 at `full` and beyond, 0 at `zero` and beyond, linear between.

    Works in both directions: full < zero (lower is better) and full > zero. NaN gives 0.
    """
    position = (zero - value) / (zero - full)
    return min(1.0, max(0.0, position)) if position == position else 0.0


def score_metric(criterion: MetricCriterion, metric: Metric, floor: float | None) -> CriterionResult:
    """Points for a measured metric; the ends of its interval give the ends of the score's."""
    points = [
        criterion.points * share(v, full=criterion.full, zero=criterion.zero) for v in (metric.value, metric.low, metric.high)
    ]
    lost = points[0] < criterion.points
    return CriterionResult(
        name=criterion.name,
        title=criterion.title,
        kind="metric",
        status=Status.GRADED,
        points=criterion.points,
        score=points[0],
        low=min(points),
        high=max(points),
        metric=metric,
        full=criterion.full,
        zero=criterion.zero,
        floor=floor,
        message=_metric_message(criterion, metric),
        advice=criterion.hint if lost else None,
    )


def _metric_message(criterion: MetricCriterion, metric: Metric) -> str:
    return f"measured {metric.value:.3g}; all points at {criterion.full:g}, none at {criterion.zero:g}"


def score_unit(criterion: UnitCriterion, verdict: Verdict) -> CriterionResult:
    """Points for a unit check; it has no interval."""
    points = criterion.points * verdict.share
    return CriterionResult(
        name=criterion.name,
        title=criterion.title,
        kind="unit",
        status=Status.GRADED,
        points=criterion.points,
        score=points,
        low=points,
        high=points,
        message=verdict.message,
        advice=criterion.hint if verdict.share < 1 else None,
    )


def fail(criterion: MetricCriterion | UnitCriterion, problem: Problem) -> CriterionResult:
    """No points, because of something in the submission."""
    metric = isinstance(criterion, MetricCriterion)
    return CriterionResult(
        name=criterion.name,
        title=criterion.title,
        kind="metric" if metric else "unit",
        status=Status.FAILED,
        points=criterion.points,
        score=0.0,
        low=0.0,
        high=0.0,
        full=criterion.full if isinstance(criterion, MetricCriterion) else None,
        zero=criterion.zero if isinstance(criterion, MetricCriterion) else None,
        message=problem.message,
        advice=problem.advice,
    )


def withhold(criterion: MetricCriterion | UnitCriterion, reason: str) -> CriterionResult:
    """No score at all, because the grader could not do its part."""
    return fail(criterion, Problem(code="ungraded", message=reason)).model_copy(
        update={"status": Status.UNGRADED, "score": None, "low": None, "high": None}
    )


def apply_needs(task: Task, results: Sequence[CriterionResult]) -> tuple[CriterionResult, ...]:
    """Take the points of every criterion whose `needs` earned none: diversity of noise is worth nothing.

    Each end of the interval follows the same end of the needed criterion's. Chains of needs are followed to their end.
    """
    needs = {c.metric: c.needs for c in task.metrics if c.needs}
    before: tuple[CriterionResult, ...] = ()
    after = tuple(results)
    while after != before:
        before = after
        by_name = {r.name: r for r in before}
        after = tuple(_without_needed(r, by_name.get(needs.get(r.name, ""))) for r in before)
    return after


def _without_needed(result: CriterionResult, needed: CriterionResult | None) -> CriterionResult:
    """The result with 0 for its score and each end of its interval where the needed criterion has 0."""
    if needed is None or result.status != Status.GRADED:
        return result
    lost = {end: 0.0 for end in ("score", "low", "high") if getattr(needed, end) == 0 and getattr(result, end) != 0}
    if not lost:
        return result
    message = f"{result.message}; counts only where “{needed.title or needed.name}” earns points, which it did not"
    return result.model_copy(update={**lost, "message": message} if "score" in lost else lost)


def total(results: Sequence[CriterionResult]) -> tuple[float | None, float | None, float | None]:
    """(score, low, high) of a task: sums, the ends pessimistically all at once; None when any criterion is ungraded."""
    scores = [(r.score, r.low, r.high) for r in results]
    if any(value is None for triple in scores for value in triple):
        return None, None, None
    score, low, high = (round(sum(triple[i] or 0.0 for triple in scores), 6) for i in range(3))
    return score, low, high


def is_wide(task: Task, results: Sequence[CriterionResult]) -> bool:
    """Whether the score's interval is wider than WIDE of the task's points, so that more samples are due."""
    _, low, high = total(results)
    return low is not None and high is not None and high - low > WIDE * task.max_score


def combine(repeats: Sequence[Mapping[str, Metric]]) -> dict[str, Metric]:
    """Mean of independent measurements of the same metrics; the half-widths shrink with the square root of their number.

    Each end of the interval is averaged on its own side, as the intervals may be asymmetric.
    """
    k = len(repeats)
    combined = {}
    for name, first in repeats[0].items():
        all_k = [repeat[name] for repeat in repeats]
        value = sum(m.value for m in all_k) / k
        below = sum(m.value - m.low for m in all_k) / k / k**0.5
        above = sum(m.high - m.value for m in all_k) / k / k**0.5
        combined[name] = first.model_copy(update={"value": value, "low": value - below, "high": value + above})
    return combined
