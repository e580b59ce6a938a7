"""How numbers are written: the same number looks the same on every page."""

import math
from datetime import datetime

NOTHING = "–"
"""Stands where there is no number."""


def points(score: float | None) -> str:
    """Points with two decimals, `–` where there are none."""
    return NOTHING if score is None or not math.isfinite(score) else f"{score:.2f}"


def most(value: float) -> str:
    """Points that can be had: as written in lab.toml (`40`, `2.5`)."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def places(value: float) -> int:
    """Decimals that show four significant digits of `value` (three below 1), between 0 and 4."""
    if value == 0 or not math.isfinite(value):
        return 0
    magnitude = math.floor(math.log10(abs(value)))
    return min(4, max(0, (3 if magnitude >= 0 else 2) - magnitude))


def measured(value: float, decimals: int | None = None) -> str:
    """A measured value: decimals as of `places`, or as many as asked for."""
    if not math.isfinite(value):
        return "not a finite number"
    return f"{value:,.{places(value) if decimals is None else decimals}f}"


def anchor(value: float) -> str:
    """A value that a person chose (`12`, `0.05`): no trailing zeros."""
    return f"{value:.6g}"


def percent(share: float) -> str:
    """A share in [0, 1] as per cent with one decimal."""
    return f"{100 * share:.1f} %"


def interval(low: float | None, high: float | None, decimals: int = 2) -> str:
    """`30.10 to 32.75`, or nothing where an end is missing."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{low:,.{decimals}f} to {high:,.{decimals}f}"


def moment(when: datetime) -> str:
    """`5 March 2026, 14:07 UTC`."""
    return f"{when.day} {when:%B %Y, %H:%M} {when.tzname() or ''}".rstrip()
