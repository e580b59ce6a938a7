from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from grader.lateness import Deadline, lateness, local, penalised
from grader.models import Lateness, Status, SubmissionResult

BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")
DUE = datetime(2026, 11, 30, 23, 59)
POLICY = Deadline(due=DUE, grace_minutes=10, late_days=1, penalty_per_day=0.25)


def late(after: timedelta, deadline: Deadline = POLICY) -> Lateness:
    found = lateness(deadline, KOLKATA, DUE.replace(tzinfo=KOLKATA) + after, "export")
    assert found is not None
    return found


MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("after", "grace", "days", "free", "fraction"),
    [
        (-DAY, False, 0, 0, 0),
        (0 * DAY, False, 0, 0, 0),
        (MINUTE / 60, True, 0, 0, 0),
        (10 * MINUTE, True, 0, 0, 0),
        (10 * MINUTE + MINUTE / 60, False, 1, 1, 0),
        (DAY + 10 * MINUTE, False, 1, 1, 0),
        (DAY + 11 * MINUTE, False, 2, 1, 0.25),
        (5 * DAY, False, 5, 1, 1),
        (100 * DAY, False, 100, 1, 1),
    ],
)
def test_grace_comes_first_then_free_days_then_the_penalty(
    after: timedelta, grace: bool, days: int, free: int, fraction: float
) -> None:
    found = late(after)
    assert (found.grace_used, found.days, found.late_days, found.fraction) == (grace, days, free, fraction)


def test_without_a_due_date_nothing_is_late() -> None:
    assert lateness(Deadline(late_days=2), UTC, datetime.now(UTC), "file") is None


def test_a_due_date_is_in_the_courses_timezone_unless_it_says_otherwise() -> None:
    moment = datetime(2026, 11, 30, 20, tzinfo=UTC)  # 01:30 of the next day in Kolkata, 21:00 in Berlin
    days = []
    for zone, due in ((KOLKATA, DUE), (BERLIN, DUE), (KOLKATA, DUE.replace(tzinfo=timezone(timedelta(hours=1))))):
        found = lateness(Deadline(due=due), zone, moment, "export")
        assert found is not None
        assert found.submitted == moment
        assert found.submitted.utcoffset() == found.due.utcoffset() == moment.astimezone(zone).utcoffset()
        days.append(found.days)
    assert days == [1, 0, 0]


@pytest.mark.parametrize(
    ("due", "hours"),
    [(datetime(2026, 3, 28, 23, 59), 23), (datetime(2026, 10, 24, 23, 59), 25), (datetime(2026, 6, 1, 23, 59), 24)],
)
def test_a_day_ends_at_the_same_time_of_day_also_when_clocks_change(due: datetime, hours: int) -> None:
    start = due.replace(tzinfo=BERLIN).astimezone(UTC)
    last, first = start + timedelta(hours=hours), start + timedelta(hours=hours, seconds=1)
    assert [lateness(Deadline(due=due), BERLIN, moment, "file").days for moment in (last, first)] == [1, 2]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("due", "utc"),
    [
        (datetime(2026, 10, 25, 2, 30), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),  # there is twice: the second
        (datetime(2026, 3, 29, 2, 30), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # there is not: 03:30 in summer time
    ],
)
def test_a_due_date_that_clocks_make_unclear_is_read_in_the_students_favour(due: datetime, utc: datetime) -> None:
    found = lateness(Deadline(due=due), BERLIN, utc, "file")
    assert found is not None
    assert (found.days, found.due) == (0, utc)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    st.timedeltas(timedelta(days=-3), timedelta(days=60)),
    st.sampled_from([BERLIN, KOLKATA, UTC]),
)
def test_days_are_the_least_that_cover_the_delay(due: datetime, after: timedelta, zone: ZoneInfo) -> None:
    moment = local(due.isoformat(), zone) + after
    found = lateness(Deadline(due=due), zone, moment, "file")
    assert found is not None
    assert moment <= local((due + timedelta(days=found.days)).isoformat(), zone)
    assert found.days == 0 or moment > local((due + timedelta(days=found.days - 1)).isoformat(), zone)
    assert Lateness.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("due", ["2026-11-30T23:59:00", datetime(2026, 11, 30).date(), 3])
def test_a_due_date_needs_a_time_of_day(due: object) -> None:
    with pytest.raises(ValidationError, match="expected one such as 2026-11-30T23:59:00, without quotes"):
        Deadline.model_validate({"due": due})


@pytest.mark.parametrize("text", ["", "2026-11-30", "30.11.2026 23:59", "yesterday", "0001-01-01T00:00:00"])
def test_times_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        local(text, KOLKATA)


@pytest.mark.parametrize("text", ["2026-11-30T23:59", "2026-11-30 23:59:00", "2026-11-30T18:29:00Z", "20261130T235900+0530"])
def test_times_are_read_in_iso_8601(text: str) -> None:
    assert local(text, KOLKATA) == datetime(2026, 11, 30, 18, 29, tzinfo=UTC)


def test_the_penalty_is_taken_off_the_automatic_score_which_stays() -> None:
    result = SubmissionResult(
        lab="lab8", lab_title="", student="a", attempt="1", status=Status.GRADED, score=80, max_score=100, tasks=(), graded_at=DUE
    )
    lost = penalised(result, late(3 * DAY))
    assert (lost.score, lost.penalty) == (80, 40)
    assert penalised(result.model_copy(update={"score": None}), late(3 * DAY)).penalty == 0
    assert penalised(lost, None) == result
