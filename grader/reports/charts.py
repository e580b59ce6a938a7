"""Geometry of the charts, free of drawing: positions are per cent of the width, so that charts need no scaling."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from grader.models import CriterionResult

Anchor = Literal["start", "middle", "end"]

_MARGIN = 1.5  # per cent of the width left free at both ends, so that a marker at the end is not cut


@dataclass(frozen=True)
class Mark:
    """A position on a scale."""

    value: float
    x: float
    """per cent of the width"""

    @property
    def anchor(self) -> Anchor:
        """How a label is aligned with the mark without leaving the chart."""
        if self.x < 20:
            return "start"
        return "end" if self.x > 80 else "middle"


@dataclass(frozen=True)
class Scale:
    """A metric between its anchors. Better is always to the right, whatever the sign of the metric."""

    value: Mark
    low: Mark
    high: Mark
    zero: Mark
    full: Mark
    floor: Mark | None
    beyond: bool
    """the value is worse than `zero` and stands at the left end"""


def scale(row: CriterionResult) -> Scale | None:
    """The scale of a metric row; None where the row has no finite value or no anchors."""
    metric = row.metric
    if metric is None or row.full is None or row.zero is None or row.full == row.zero:
        return None
    if not all(map(math.isfinite, (metric.value, metric.low, metric.high, row.full, row.zero))):
        return None
    zero, sign = row.zero, math.copysign(1.0, row.full - row.zero)
    floor = row.floor if row.floor is not None and math.isfinite(row.floor) else None
    reach = max(sign * (v - zero) for v in (row.full, metric.value, *([] if floor is None else [floor])))

    def mark(value: float) -> Mark:
        part = min(1.0, max(0.0, sign * (value - zero) / reach))
        return Mark(value, round(_MARGIN + part * (100 - 2 * _MARGIN), 2))

    return Scale(
        value=mark(metric.value),
        low=mark(metric.low),
        high=mark(metric.high),
        zero=mark(zero),
        full=mark(row.full),
        floor=None if floor is None else mark(floor),
        beyond=sign * (metric.value - zero) < 0,
    )


@dataclass(frozen=True)
class Bar:
    """One bar: a label, what it stands for, and its length in per cent of the room for bars."""

    label: str
    value: float
    length: float
    whisker: tuple[float, float] | None = None
    """ends of the 95 % interval, as `length`"""


@dataclass(frozen=True)
class Bars:
    """A value of each class, as horizontal bars."""

    bars: tuple[Bar, ...]
    even: float | None
    """where a dashed line stands: the share of each class if all came alike"""
    even_length: float
    """as `Bar.length`"""
    left: float
    """where the bars start, per cent of the width"""
    room: float
    """width of the longest possible bar, per cent of the width"""

    def x(self, length: float) -> float:
        """Where a bar of this length ends, per cent of the width."""
        return round(self.left + self.room * length / 100, 2)


def shares(values: Sequence[float], names: Sequence[str]) -> Bars | None:
    """Share of the samples in each class; None without classes. An even class fills half of the room at most."""
    if not values or not all(map(math.isfinite, values)):
        return None
    return _bars(values, names, top=max(*values, 2 / len(values)), even=1 / len(values))


def recognised(values: Sequence[float], ends: Sequence[tuple[float, float]], names: Sequence[str]) -> Bars:
    """Share of each class's images that are what was asked for, in [0, 1], with intervals; all of them fill the room."""
    return _bars(values, names, top=1, even=1 / len(values), ends=ends)


def distances(values: Sequence[float], names: Sequence[str]) -> Bars | None:
    """A distance of each class, 0 or more; the largest fills the room. None without classes or where one is not finite."""
    if not values or not all(map(math.isfinite, values)):
        return None
    return _bars(values, names, top=max(*values, 1e-9), even=None)


def labels(names: Sequence[str], count: int) -> tuple[str, ...]:
    """A label for each of `count` classes; those without a name get their number."""
    return tuple(names[i] if i < len(names) else str(i) for i in range(count))


def _bars(
    values: Sequence[float],
    names: Sequence[str],
    top: float,
    even: float | None,
    ends: Sequence[tuple[float, float]] | None = None,
) -> Bars:
    """Bars of values between 0 and `top`, with as much room for the labels as they need."""

    def length(value: float) -> float:
        return round(100 * min(1.0, max(0.0, value / top)), 2)

    texts = labels(names, len(values))
    whiskers = [(length(low), length(high)) for low, high in ends] if ends else [None] * len(values)
    left = min(40.0, 3.0 + 2.2 * max(map(len, texts)))
    bars = tuple(Bar(text, v, length(v), whisker) for text, v, whisker in zip(texts, values, whiskers, strict=True))
    return Bars(bars, even, length(even or 0), left, room=84.0 - left)


def distribution(fractions: Sequence[float], bins: int = 10) -> tuple[Bar, ...]:
    """Counts of scores, each a fraction of the most in [0, 1], in equal bins; the last one includes 1."""
    counts = [0] * bins
    for fraction in fractions:
        counts[min(bins - 1, max(0, int(fraction * bins)))] += 1
    tallest = max(counts) or 1
    width = 100 // bins
    return tuple(
        Bar(f"{i * width}–{(i + 1) * width} %", count, round(100 * count / tallest, 2)) for i, count in enumerate(counts)
    )
