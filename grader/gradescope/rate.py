"""Rate limits: who hands in too often gets the results of before once more.

Gradescope says when somebody handed in and keeps the results of the latest time alone. So each results.json carries, in `extra_data`,
the times that were graded; without that list every submission that ended without an error counts as one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from grader.autograder import RateLimit
from grader.gradescope.metadata import Metadata
from grader.models import JSON

COUNTED = "counted"
"""Key in `extra_data`."""
RESULTS_KEYS = frozenset(
    {
        *("score", "execution_time", "output", "output_format", "test_output_format", "test_name_format", "visibility"),
        *("stdout_visibility", "extra_data", "tests", "leaderboard"),
    }
)
"""Of results.json; what Gradescope adds to them when it gives them back is not ours to give out again."""
_REFUSED = "Not graded: "
_TIMES = TypeAdapter(tuple[AwareDatetime, ...])


def graded_before(metadata: Metadata) -> tuple[datetime, ...]:
    """When the submissions were made that were graded, oldest first."""
    before = metadata.before
    for index in range(len(before) - 1, -1, -1):
        known = _ledger(before[index].results)
        if known is not None:
            later = [one.submission_time for one in before[index + 1 :] if not one.autograder_error]
            return (*known, *later)
    return tuple(one.submission_time for one in before if not one.autograder_error)


def _ledger(results: Mapping[str, Any] | None) -> tuple[datetime, ...] | None:
    extra = (results or {}).get("extra_data")
    try:
        return _TIMES.validate_python(extra[COUNTED]) if isinstance(extra, Mapping) and COUNTED in extra else None
    except ValidationError:
        return None


def refused(metadata: Metadata, limit: RateLimit | None) -> JSON | None:
    """The results to give out again, with a line that says why; None where the submission is to be graded.

    It is graded as well where there are no results to give out again, such as after an error of the autograder's.
    """
    if limit is None:
        return None
    since = metadata.created_at - timedelta(hours=limit.hours)
    recent = [time for time in graded_before(metadata) if time > since]
    latest = metadata.before[-1].results if metadata.before else None
    if len(recent) < limit.submissions or latest is None:
        return None
    free = min(recent[-limit.submissions :]) + timedelta(hours=limit.hours)
    return _again(dict(latest), limit, free, graded_before(metadata))


def _again(results: JSON, limit: RateLimit, free: datetime, counted: Sequence[datetime]) -> JSON:
    times = f"{limit.submissions} time{'s' * (limit.submissions != 1)} in {limit.hours:g} hours"
    said = f"{_REFUSED}you can be graded {times}. These are the results of before. Hand in again after {free:%Y-%m-%d %H:%M %Z}."
    before = str(results.get("output") or "")
    if before.startswith(_REFUSED):  # said already of another submission that came too early
        before = before.partition("\n\n")[2]
    kept = {key: value for key, value in results.items() if key in RESULTS_KEYS}
    return {**kept, "output": "\n\n".join(filter(None, (said, before))), "extra_data": with_ledger(results, counted)}


def with_ledger(results: JSON, counted: Sequence[datetime]) -> JSON:
    """`extra_data` with the times that were graded."""
    extra = results.get("extra_data")
    return {**(extra if isinstance(extra, dict) else {}), COUNTED: [time.isoformat() for time in counted]}
