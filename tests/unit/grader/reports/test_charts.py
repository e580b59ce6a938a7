import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from grader.models import CriterionResult, Metric, Status
from grader.reports import charts

from .examples import metric_row

number = st.floats(-1e6, 1e6)


def row(value: float, full: float, zero: float, floor: float | None, half: float = 0.0) -> CriterionResult:
    return CriterionResult(
        name="m",
        title="",
        kind="metric",
        status=Status.GRADED,
        points=1,
        metric=Metric(name="m", value=value, low=value - half, high=value + half, n=2000),
        full=full,
        zero=zero,
        floor=floor,
    )


@given(value=number, full=number, zero=number, floor=st.none() | number, half=st.floats(0, 100))
def test_better_is_to_the_right_and_nothing_leaves_the_chart(
    value: float, full: float, zero: float, floor: float | None, half: float
) -> None:
    assume(abs(full - zero) > 1e-6)
    scale = charts.scale(row(value, full, zero, floor, half))
    assert scale is not None
    marks = [m for m in (scale.value, scale.low, scale.high, scale.zero, scale.full, scale.floor) if m is not None]
    assert all(0 <= mark.x <= 100 for mark in marks)
    assert scale.zero.x < scale.full.x or abs(full - zero) < 0.01 * abs(value - zero) + 0.01 * abs((floor or 0) - zero)
    sign = 1 if full > zero else -1
    by_merit = sorted(marks, key=lambda mark: sign * mark.value)
    assert [m.x for m in by_merit] == sorted(m.x for m in marks)


def test_positions_are_linear_between_zero_and_the_best() -> None:
    scale = charts.scale(row(value=60, full=10, zero=110, floor=10))
    assert scale is not None and scale.value.x == 50 and scale.zero.x == 1.5 and scale.full.x == 98.5 and not scale.beyond
    upwards = charts.scale(row(value=0.75, full=1.0, zero=0.5, floor=None))
    assert upwards is not None and upwards.value.x == 50 and upwards.floor is None


def test_a_value_worse_than_zero_is_marked_as_beyond() -> None:
    lower, higher = charts.scale(row(140, 12, 120, 1)), charts.scale(row(0.3, 0.9, 0.5, 0.99))
    assert lower is not None and lower.beyond and lower.value.x == lower.zero.x
    assert higher is not None and higher.beyond


@pytest.mark.parametrize("broken", [{"metric": None}, {"full": None}, {"zero": 12.0}, {"zero": float("inf")}])
def test_no_scale_without_finite_anchors_and_value(broken: dict[str, object]) -> None:
    whole = metric_row("m", "", 10, 33, 1, 12, 120, 1)
    assert charts.scale(whole) is not None
    assert charts.scale(whole.model_copy(update=broken)) is None


def test_shares_stand_in_proportion_to_the_uniform_line() -> None:
    chart = charts.shares((0.1,) * 10, tuple("0123456789"))
    assert chart is not None and chart.even == pytest.approx(0.1)
    for bar in chart.bars:
        assert chart.x(bar.length) == pytest.approx(chart.x(chart.even_length), abs=0.01)


def test_a_class_that_takes_everything_fills_the_room() -> None:
    chart = charts.shares((1.0, 0.0, 0.0), ("cat",))
    assert chart is not None and [bar.length for bar in chart.bars] == [100, 0, 0]
    assert [bar.label for bar in chart.bars] == ["cat", "1", "2"]


def test_no_shares_no_chart() -> None:
    assert charts.shares((), ()) is None
    assert charts.shares((float("nan"), 1.0), ("a", "b")) is None


def test_distances_fill_the_room_with_the_largest() -> None:
    chart = charts.distances((20.0, 80.0, 0.0), ("a", "b", "c"))
    assert chart is not None and chart.even is None
    assert [bar.length for bar in chart.bars] == [25, 100, 0] and chart.x(100) == 84
    perfect = charts.distances((0.0, 0.0), ("a", "b"))
    assert perfect is not None and [bar.length for bar in perfect.bars] == [0, 0]
    assert charts.distances((), ()) is None and charts.distances((float("inf"), 1.0), ()) is None


@given(st.lists(st.floats(0, 1)))
def test_every_score_lands_in_one_bin(fractions: list[float]) -> None:
    bars = charts.distribution(fractions)
    assert sum(bar.value for bar in bars) == len(fractions)
    assert len(bars) == 10 and all(0 <= bar.length <= 100 for bar in bars)


def test_full_marks_count_in_the_last_bin() -> None:
    assert [bar.value for bar in charts.distribution([0.0, 0.95, 1.0])] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]
