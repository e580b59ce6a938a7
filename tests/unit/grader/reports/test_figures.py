from datetime import UTC, datetime

import pytest

from grader.reports import figures


@pytest.mark.parametrize(("score", "shown"), [(40, "40.00"), (31.956, "31.96"), (None, "–"), (float("nan"), "–")])
def test_points_have_two_decimals(score: float | None, shown: str) -> None:
    assert figures.points(score) == shown


@pytest.mark.parametrize(("value", "shown"), [(40, "40"), (2.5, "2.5"), (100, "100"), (0.25, "0.25")])
def test_points_that_can_be_had_read_as_in_the_spec(value: float, shown: str) -> None:
    assert figures.most(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (33.7231, "33.72"),
        (1.0431, "1.043"),
        (0.934, "0.934"),
        (0.00168, "0.0017"),
        (0, "0"),
        (1234.5, "1,234"),
        (-0.25, "-0.250"),
    ],
)
def test_measured_values_keep_their_significant_digits(value: float, shown: str) -> None:
    assert figures.measured(value) == shown


def test_a_value_that_is_no_number_says_so() -> None:
    assert figures.measured(float("inf")) == "not a finite number"
    assert figures.interval(1.0, float("nan")) == ""
    assert figures.interval(None, 1.0) == ""


def test_percent_and_moment() -> None:
    assert figures.percent(0.0815) == "8.2 %"
    assert figures.moment(datetime(2026, 3, 5, 14, 7, tzinfo=UTC)) == "5 March 2026, 14:07 UTC"
    assert figures.moment(datetime(2026, 3, 5, 14, 7)) == "5 March 2026, 14:07"
