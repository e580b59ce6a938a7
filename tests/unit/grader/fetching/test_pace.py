from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.fetching.pace import Pace, Patience, retry_after


def test_turns_are_an_interval_apart_however_many_ask_at_once() -> None:
    now = 100.0
    pace = Pace(0.5, lambda: now)
    assert [pace.turn() for _ in range(3)] == [0, 0.5, 1]
    now = 110.0
    assert [pace.turn() for _ in range(2)] == [0, 0.5]


def test_a_held_pace_makes_everyone_wait() -> None:
    pace = Pace(0.5, lambda: 100.0)
    pace.hold(30)
    pace.hold(3)
    assert [pace.turn() for _ in range(2)] == [30, 30.5]


@given(st.integers(1, 6), st.none() | st.floats(0, 1000))
def test_pauses_double_and_are_never_shorter_than_asked_for(attempt: int, asked: float | None) -> None:
    longest = 2.0 ** (attempt - 1)
    pause = Patience(pause_s=1).pause(attempt, asked)
    assert pause >= max(longest / 2, asked or 0)
    assert pause <= max(longest, asked or 0)


def test_pauses_differ_so_that_threads_do_not_march_in_step() -> None:
    assert len({Patience().pause(1, None) for _ in range(20)}) > 10


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("", None), ("7", 7), (" 120 ", 120), ("-3", None), ("soon", None), ("٣", None), ("1.5", None)],
)
def test_what_servers_ask_for(text: str | None, seconds: float | None) -> None:
    assert retry_after(text) == seconds


def test_dates_are_understood() -> None:
    later = datetime.now(UTC) + timedelta(seconds=90)
    assert retry_after(format_datetime(later, usegmt=True)) == pytest.approx(89, abs=2)
    assert retry_after(format_datetime(later - timedelta(days=1), usegmt=True)) == 0
    assert retry_after(later.strftime("%a, %d %b %Y %H:%M:%S -0000")) == pytest.approx(89, abs=2)


@given(st.text(max_size=40))
def test_any_header_is_read(text: str) -> None:
    assert (retry_after(text) or 0) >= 0
