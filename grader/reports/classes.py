"""A conditional task class by class: what was asked for, and what the classifier sees."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from grader.models import TaskResult
from grader.reports import charts, figures

SHADES = 6
"""Shades of a cell of the matrix besides none; the style sheet has a colour for each."""

_MISTAKES = 3
"""How many of the largest confusions are put in words."""

_WORTH_WORDS = 0.05
"""Share of a class's images from which a confusion is put in words."""

_Z = 1.959963984540054
"""95 % of a normal distribution lie within this many standard deviations."""


@dataclass(frozen=True)
class Cell:
    """Images asked for as one class that look like another, or like the same."""

    count: int
    share: float
    """of the images asked for as the row's class, in [0, 1]"""
    shade: int
    """0 (no image) to `SHADES` (all of them)"""
    asked_for: bool
    """row and column are the same class"""
    words: str


@dataclass(frozen=True)
class Row:
    """What the images asked for as one class look like."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix, ready to be laid out: asked for by row, seen by column."""

    names: tuple[str, ...]
    rows: tuple[Row, ...]
    agreed: int
    total: int
    mistakes: tuple[str, ...]
    """the largest confusions in words, largest first"""


@dataclass(frozen=True)
class ClassView:
    """All that a conditional task's page shows by class."""

    confusion: Confusion
    recognised: charts.Bars
    distances: charts.Bars | None


def view(task: TaskResult) -> ClassView | None:
    """The classes of a conditional task; None where it is not one, or has no images."""
    counts = task.confusion
    if not counts or any(len(row) != len(counts) for row in counts):
        return None
    names = charts.labels(task.class_names, len(counts))
    hits = [(row[i], sum(row)) for i, row in enumerate(counts)]
    values = [hit / n if n else 0.0 for hit, n in hits]
    return ClassView(
        confusion=_confusion(counts, names),
        recognised=charts.recognised(values, [wilson(hit, n) for hit, n in hits], names),
        distances=charts.distances(task.class_fids, names),
    )


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a share; everything is possible where n is 0."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = hits / n, _Z * _Z
    centre, half = share + z2 / (2 * n), _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z2 / n)), min(1.0, (centre + half) / (1 + z2 / n))


def _confusion(counts: Sequence[Sequence[int]], names: tuple[str, ...]) -> Confusion:
    rows = tuple(_row(names, i, row) for i, row in enumerate(counts))
    wrong = [cell for row in rows for cell in row.cells if not cell.asked_for and cell.share >= _WORTH_WORDS]
    largest = sorted(wrong, key=lambda cell: -cell.share)[:_MISTAKES]
    return Confusion(
        names=names,
        rows=rows,
        agreed=sum(row[i] for i, row in enumerate(counts)),
        total=sum(map(sum, counts)),
        mistakes=tuple(cell.words for cell in largest),
    )


def _row(names: Sequence[str], asked: int, counts: Sequence[int]) -> Row:
    total = sum(counts)
    return Row(names[asked], tuple(_cell(names, asked, seen, count, total) for seen, count in enumerate(counts)))


def _cell(names: Sequence[str], asked: int, seen: int, count: int, total: int) -> Cell:
    share = count / total if total else 0.0
    shade = min(SHADES, math.ceil(SHADES * math.sqrt(share)))  # the root, so that a few per cent can be seen
    words = f"{count} of {total} images asked for as “{names[asked]}” look like “{names[seen]}” ({figures.percent(share)})"
    return Cell(count, share, shade, asked == seen, words)
