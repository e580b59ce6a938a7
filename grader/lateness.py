"""When a hand-in was due, how late it came, and what that costs."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from grader.models import Lateness, SubmissionResult

Source = Literal["export", "submitted_at", "folder", "file"]
"""What says when something was handed in, see `Lateness.source`."""


class Deadline(BaseModel):
    """A [lab.<id>] table of course.toml; without `due` nothing is late."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    due: datetime | None = Field(None, description="in the course's timezone, unless it has an offset")
    grace_minutes: Annotated[float, Field(ge=0)] = Field(
        0, description="this long after `due`, and after each day, nothing changes"
    )
    late_days: Annotated[int, Field(ge=0)] = Field(0, description="days that may be late for nothing")
    penalty_per_day: Annotated[float, Field(ge=0, le=1)] = Field(0, description="share of the score that each further day costs")

    @field_validator("due", mode="before")
    @classmethod
    def _has_a_time(cls, due: object) -> object:
        if due is not None and not isinstance(due, datetime):
            raise ValueError(f"{due} is no date with a time of day; expected one such as 2026-11-30T23:59:00, without quotes")
        return due


def lateness(deadline: Deadline, zone: tzinfo, submitted: datetime, source: Source) -> Lateness | None:
    """How late something handed in at `submitted` (which has an offset) is; None where nothing is due.

    Days are those of the calendar: the first ends a day after `due` at the same time of day, also where clocks are changed between.
    """
    if deadline.due is None:
        return None
    grace = timedelta(minutes=deadline.grace_minutes)
    days = _days(deadline.due, zone, submitted.astimezone(UTC) - grace)
    free = min(days, deadline.late_days)
    return Lateness(
        submitted=_fixed(submitted, zone),
        source=source,
        due=_fixed(_instant(deadline.due, zone), zone),
        grace_used=days == 0 and submitted.astimezone(UTC) > _instant(deadline.due, zone),
        days=days,
        late_days=free,
        fraction=min(1.0, (days - free) * deadline.penalty_per_day),
    )


def penalised(result: SubmissionResult, late: Lateness | None) -> SubmissionResult:
    """The result with its lateness and the points that this takes off."""
    lost = round((result.score or 0) * late.fraction, 6) if late else 0
    return result.model_copy(update={"lateness": late, "penalty": lost})


def local(text: str, zone: tzinfo) -> datetime:
    """A time in ISO 8601, in the zone unless it has an offset.

    Raises:
        ValueError: it is none, or has no time of day.
    """
    if len(text) < len("20261130T2359"):
        raise ValueError(f"{text!r} has no time of day")
    try:
        return _instant(datetime.fromisoformat(text), zone)
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range") from error


def _days(due: datetime, zone: tzinfo, moment: datetime) -> int:
    """Days begun after `due`, 0 where the moment (in UTC) is not after it."""
    wall = due if due.tzinfo is None else due.astimezone(zone).replace(tzinfo=None)

    def end(day: int) -> datetime:
        return _instant(wall + timedelta(days=day), zone) if day else _instant(due, zone)

    day = max(0, (moment - end(0)).days - 1)  # a lower bound: changed clocks make less than a day
    while moment > end(day):
        day += 1
    return day


def _instant(time: datetime, zone: tzinfo) -> datetime:
    """In UTC. Of a time of day that there is twice, or not at all, when clocks are changed, the later reading counts."""
    if time.tzinfo is not None:
        return time.astimezone(UTC)
    return max(time.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))


def _fixed(time: datetime, zone: tzinfo) -> datetime:
    """The time in the zone with its offset alone, which is all that a record keeps."""
    moved = time.astimezone(zone)
    return moved.replace(tzinfo=timezone(moved.utcoffset() or timedelta(0)), fold=0)
