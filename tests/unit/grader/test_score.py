import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader import score
from grader.models import CriterionResult, Metric, Problem, Status
from grader.spec import MetricCriterion, Task, UnitCriterion
from grader.units import Verdict

values = st.floats(-1e6, 1e6)
anchors = st.tuples(values, values).filter(lambda pair: abs(pair[0] - pair[1]) > 1e-3)


def metric(value: float, low: float | None = None, high: float | None = None, name: str = "m") -> Metric:
    return Metric(name=name, value=value, low=value if low is None else low, high=value if high is None else high, n=2000)


def criterion(name: str = "m", points: float = 10, full: float = 10, zero: float = 110, **more: str) -> MetricCriterion:
    return MetricCriterion.model_validate({"metric": name, "points": points, "full": full, "zero": zero, **more})


def task(*criteria: MetricCriterion | UnitCriterion) -> Task:
    return Task(id="t", notebook="t.ipynb", dataset="mnist", shape=(28, 28), criterion=criteria)


def row(
    name: str, value: float | None, low: float | None = None, high: float | None = None, points: float = 10
) -> CriterionResult:
    low, high = (value if end is None else end for end in (low, high))
    status = Status.UNGRADED if value is None else Status.GRADED
    return CriterionResult(
        name=name, title="", kind="metric", status=status, points=points, score=value, low=low, high=high, message="measured"
    )


@given(values, anchors)
def test_shares_are_bounded(value: float, pair: tuple[float, float]) -> None:
    assert 0 <= score.share(value, full=pair[0], zero=pair[1]) <= 1


@given(values, values, anchors)
def test_coming_closer_to_full_never_costs_points(one: float, other: float, pair: tuple[float, float]) -> None:
    full, zero = pair
    worse, better = sorted((one, other), reverse=full < zero)
    assert score.share(worse, full=full, zero=zero) <= score.share(better, full=full, zero=zero)


@given(anchors)
def test_all_points_at_full_and_beyond_none_at_zero_and_beyond(pair: tuple[float, float]) -> None:
    full, zero = pair
    beyond = full - zero
    assert score.share(full, full=full, zero=zero) == score.share(full + beyond, full=full, zero=zero) == 1
    assert score.share(zero, full=full, zero=zero) == score.share(zero - beyond, full=full, zero=zero) == 0


@given(st.floats(0, 1), anchors)
def test_linear_between(part: float, pair: tuple[float, float]) -> None:
    full, zero = pair
    value = zero + part * (full - zero)
    assert score.share(value, full=full, zero=zero) == pytest.approx(part, abs=1e-6)


@given(values, anchors)
def test_both_directions_are_mirror_images(value: float, pair: tuple[float, float]) -> None:
    full, zero = pair
    assert score.share(value, full=full, zero=zero) == score.share(-value, full=-full, zero=-zero)


@pytest.mark.parametrize(("full", "zero"), [(1.0, 2.0), (2.0, 1.0)])
def test_what_is_no_number_earns_nothing_and_infinity_is_beyond(full: float, zero: float) -> None:
    assert score.share(math.nan, full=full, zero=zero) == 0
    good = math.copysign(math.inf, full - zero)
    assert score.share(good, full=full, zero=zero) == 1
    assert score.share(-good, full=full, zero=zero) == 0


def test_a_metric_is_scored_at_its_value_and_at_both_ends_of_its_interval() -> None:
    lower_is_better = score.score_metric(criterion(hint="train longer"), metric(60, 50, 80), floor=3.0)
    assert (lower_is_better.score, lower_is_better.low, lower_is_better.high) == (5, 3, 6)
    assert lower_is_better.status == Status.GRADED
    assert lower_is_better.floor == 3.0
    assert lower_is_better.advice == "train longer"
    assert lower_is_better.message == "measured 60; all points at 10, none at 110"
    higher_is_better = score.score_metric(criterion(full=0.9, zero=0.4), metric(0.65, 0.6, 0.8), floor=None)
    assert (higher_is_better.score, higher_is_better.low, higher_is_better.high) == pytest.approx((5, 4, 8))


def test_who_has_all_points_gets_no_advice() -> None:
    assert score.score_metric(criterion(hint="train longer"), metric(10), None).advice is None


@given(values, st.floats(0, 1e5), st.floats(0, 1e5), anchors)
def test_the_score_lies_in_its_interval(value: float, below: float, above: float, pair: tuple[float, float]) -> None:
    result = score.score_metric(criterion(full=pair[0], zero=pair[1]), metric(value, value - below, value + above), None)
    assert result.low is not None and result.score is not None and result.high is not None
    assert 0 <= result.low <= result.score <= result.high <= 10


def test_a_metric_that_is_no_number_costs_its_points() -> None:
    result = score.score_metric(criterion(), metric(math.nan), None)
    assert (result.score, result.low, result.high) == (0, 0, 0)


def test_a_unit_check_gives_its_share_without_interval() -> None:
    unit = UnitCriterion(unit="generator_shape", points=8, hint="read the text")
    result = score.score_unit(unit, Verdict(0.25, "a quarter"))
    assert (result.score, result.low, result.high) == (2, 2, 2)
    assert (result.message, result.advice) == ("a quarter", "read the text")
    assert score.score_unit(unit, Verdict(1.0, "right")).advice is None


@pytest.mark.parametrize("one", [criterion(), UnitCriterion(unit="generator_shape", points=10)])
def test_failing_costs_the_points_and_withholding_gives_no_score(one: MetricCriterion | UnitCriterion) -> None:
    failed = score.fail(one, Problem(code="x", message="why", advice="do"))
    assert (failed.status, failed.score, failed.low, failed.high) == (Status.FAILED, 0, 0, 0)
    assert (failed.message, failed.advice, failed.points) == ("why", "do", 10)
    withheld = score.withhold(one, "disk full")
    assert (withheld.status, withheld.score, withheld.low, withheld.high) == (Status.UNGRADED, None, None, None)
    assert withheld.message == "disk full"
    assert withheld.kind == failed.kind == ("metric" if isinstance(one, MetricCriterion) else "unit")


class TestNeeds:
    two = task(criterion("fid"), criterion("kl", needs="fid"), UnitCriterion(unit="generator_shape", points=1))

    def test_take_the_points_of_what_depends_on_nothing(self) -> None:
        fid, kl, unit = score.apply_needs(self.two, [row("fid", 0), row("kl", 9), row("generator_shape", 1)])
        assert (fid.score, unit.score) == (0, 1)
        assert (kl.score, kl.low, kl.high) == (0, 0, 0)
        assert "fid" in kl.message and kl.message.startswith("measured; ")

    def test_leave_the_points_where_the_needed_has_any(self) -> None:
        rows = (row("fid", 0.01), row("kl", 9), row("generator_shape", 1))
        assert score.apply_needs(self.two, rows) == rows

    def test_act_on_each_end_of_the_interval(self) -> None:
        """What the needed one may lose, the other may lose; what it may have, the other may have."""
        _, kl = score.apply_needs(self.two, [row("fid", 0, 0, 2), row("kl", 8, 7, 9)])
        assert (kl.score, kl.low, kl.high) == (0, 0, 9)
        _, kl = score.apply_needs(self.two, [row("fid", 1, 0, 2), row("kl", 8, 7, 9)])
        assert (kl.score, kl.low, kl.high, kl.message) == (8, 0, 9, "measured")

    def test_noise_has_no_uncertain_score(self) -> None:
        """Nothing for quality, for certain: then diversity is worth nothing for certain, and no repeats are due."""
        rows = score.apply_needs(self.two, [row("fid", 0), row("kl", 8, 7, 9)])
        assert score.total(rows) == (0, 0, 0)
        assert not score.is_wide(self.two, rows)

    def test_follow_chains_in_any_order(self) -> None:
        chain = task(criterion("c", needs="b"), criterion("b", needs="a"), criterion("a"))
        assert [r.score for r in score.apply_needs(chain, [row("c", 9), row("b", 9), row("a", 0)])] == [0, 0, 0]

    def test_may_be_mutual(self) -> None:
        mutual = task(criterion("a", needs="b"), criterion("b", needs="a"))
        assert [r.score for r in score.apply_needs(mutual, [row("a", 4), row("b", 5)])] == [4, 5]
        assert [r.score for r in score.apply_needs(mutual, [row("a", 0), row("b", 5)])] == [0, 0]

    def test_end_where_a_measurement_is_no_number(self) -> None:
        broken = score.score_metric(criterion("fid"), metric(math.nan), None)
        assert [r.score for r in score.apply_needs(self.two, [broken, row("kl", 5)])] == [0, 0]

    def test_leave_what_is_ungraded(self) -> None:
        rows = (row("fid", None), row("kl", 5))
        assert score.apply_needs(self.two, rows) == rows
        rows = (row("fid", 0), row("kl", None))
        assert score.apply_needs(self.two, rows) == rows


def test_a_total_sums_scores_and_ends() -> None:
    assert score.total([row("a", 5, 4, 7), row("b", 1, 0.5, 2)]) == (6, 4.5, 9)
    assert score.total([row("a", 0.1), row("b", 0.2)]) == (0.3, 0.3, 0.3)  # without the dust of binary fractions


def test_a_total_needs_every_score() -> None:
    assert score.total([row("a", 5), row("b", None)]) == (None, None, None)


def test_wide_means_more_than_two_percent_of_the_points() -> None:
    one = task(criterion("a", points=100))
    assert not score.is_wide(one, [row("a", 50, 49, 51)])
    assert score.is_wide(one, [row("a", 50, 49, 51.001)])
    assert not score.is_wide(one, [row("a", None)])


@given(st.integers(1, 5), values, st.floats(0, 1e3), st.floats(0, 1e3))
def test_combining_k_equal_measurements_shrinks_each_side_by_the_root_of_k(
    k: int, value: float, below: float, above: float
) -> None:
    one = metric(value, value - below, value + above)
    combined = score.combine([{"m": one}] * k)["m"]
    near = 1e-9 * max(1.0, abs(value))
    assert combined.value == pytest.approx(value, abs=near)
    assert combined.value - combined.low == pytest.approx((one.value - one.low) / math.sqrt(k), abs=near)
    assert combined.high - combined.value == pytest.approx((one.high - one.value) / math.sqrt(k), abs=near)


@given(st.lists(st.tuples(values, st.floats(0, 1e3), st.floats(0, 1e3)), min_size=1, max_size=5))
def test_combining_takes_the_mean(found: list[tuple[float, float, float]]) -> None:
    combined = score.combine([{"m": metric(v, v - below, v + above)} for v, below, above in found])["m"]
    assert combined.value == pytest.approx(sum(v for v, _, _ in found) / len(found), abs=1e-6)
    assert combined.low <= combined.value + 1e-6 and combined.value <= combined.high + 1e-6


def test_combining_keeps_the_metrics_apart() -> None:
    first, second = ({"a": metric(a, name="a"), "b": metric(b, name="b")} for a, b in ((1, 10), (3, 30)))
    assert {name: m.value for name, m in score.combine([first, second]).items()} == {"a": 2, "b": 20}


def test_one_measurement_stays_as_it_is() -> None:
    assert score.combine([{"m": metric(0.5, 0.25, 1.0)}])["m"] == metric(0.5, 0.25, 1.0)
