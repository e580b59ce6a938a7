"""Which cell of a student's notebook is which cell of the template, and where its TODOs now stand."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from grader.notebook import Cell, Notebook, Region, close_marker, markers, open_marker, outdent, regions

SIMILAR = 0.5
"""Share of a template cell's given lines that makes a student's cell its counterpart."""


@dataclass(frozen=True)
class Found:
    """The body of a TODO in a student's cell.

    lines: (line number from 0, text); start, end: the lines taken, markers included, end exclusive; indent: the whole block's.
    """

    id: str
    cell: Cell
    lines: tuple[tuple[int, str], ...]
    start: int
    end: int
    indent: str
    recovered: bool = False

    @property
    def body(self) -> str:
        """The text without the block's indentation."""
        return outdent([text for _, text in self.lines], self.indent)


def squeeze(text: str) -> str:
    """The text without any white space."""
    return "".join(text.split())


def align(template: Notebook, student: Notebook) -> dict[int, int]:
    """Template cell index -> student cell index: by id, by the TODOs in it, by content, last by position."""
    pairs: dict[int, int] = {}
    for match in (_by_id, _by_markers, _by_content, _by_position):
        taken = set(pairs.values())
        free = [cell for cell in student.cells if cell.index not in taken and cell.source.strip()]
        for cell in template.cells:
            if cell.index not in pairs and (best := match(cell, free, pairs, template)) is not None:
                pairs[cell.index] = best.index
                free.remove(best)
    return pairs


def find(template: Cell, student: Notebook, counterpart: Cell | None) -> dict[str, tuple[Found, ...]]:
    """All copies of each TODO of a template cell: by markers anywhere in the notebook, else by the given text around it.

    counterpart: the student's cell that is aligned with the template's. A TODO that cannot be found has no copies.
    """
    suspect = _swallowers(template, counterpart) if counterpart else frozenset()
    result: dict[str, tuple[Found, ...]] = {}
    for region in regions(template.source):
        copies = tuple(
            _marked(cell, other)
            for cell in student.cells
            for other in regions(cell.source)
            if other.id == region.id and (cell is not counterpart or other.id not in suspect)
        )
        if not copies and counterpart is not None:
            recovered = _recover(template, region, counterpart)
            copies = (recovered,) if recovered else ()
        result[region.id] = copies
    return result


def given(cell: Cell, spans: Sequence[tuple[str, int, int]]) -> list[str]:
    """The cell's lines with each span (TODO id, start, end) reduced to its two markers, other markers left out."""
    starts = {start: (id, end) for id, start, end in spans}
    stray = {marker.line for marker in markers(cell.source)}
    lines: list[str] = []
    number = 0
    while number < len(cell.lines):
        if number in starts:
            id, end = starts[number]
            lines += [open_marker(id, ""), close_marker()]
            number = max(end, number + 1)
            continue
        if number not in stray:
            lines.append(cell.lines[number])
        number += 1
    return lines


def _by_id(cell: Cell, free: Sequence[Cell], pairs: Mapping[int, int], template: Notebook) -> Cell | None:
    return next((other for other in free if other.id == cell.id and other.kind == cell.kind), None)


def _by_markers(cell: Cell, free: Sequence[Cell], pairs: Mapping[int, int], template: Notebook) -> Cell | None:
    """The cell with most of this cell's TODOs; of equal ones the first."""
    ids = _ids(cell)
    if not ids:
        return None
    best = max(free, key=lambda other: len(ids & _ids(other)), default=None)
    return best if best is not None and ids & _ids(best) else None


def _by_content(cell: Cell, free: Sequence[Cell], pairs: Mapping[int, int], template: Notebook) -> Cell | None:
    """The cell with the largest share of this cell's given lines, if that is at least SIMILAR; of equal ones the first."""
    wanted = Counter(_squeezed(given(cell, _spans(cell))))
    if not wanted:
        return None

    def share(other: Cell) -> float:
        return (wanted & Counter(_squeezed(other.lines))).total() / wanted.total()

    best = max((other for other in free if other.kind == cell.kind), key=share, default=None)
    return best if best is not None and share(best) >= SIMILAR else None


def _by_position(cell: Cell, free: Sequence[Cell], pairs: Mapping[int, int], template: Notebook) -> Cell | None:
    """The only new cell of its kind between the neighbours' counterparts, where it is the only lost one there."""
    before = max((t for t in pairs if t < cell.index), default=-1)
    after = min((t for t in pairs if t > cell.index), default=len(template.cells))
    lost = [other for other in template.cells[before + 1 : after] if other.kind == cell.kind]
    low, high = pairs.get(before, -1), pairs.get(after, math.inf)
    new = [other for other in free if low < other.index < high and other.kind == cell.kind]
    return new[0] if len(lost) == 1 and len(new) == 1 and regions(cell.source) else None


def _ids(cell: Cell) -> set[str]:
    return {marker.id for marker in markers(cell.source) if marker.id is not None}


def _spans(cell: Cell) -> list[tuple[str, int, int]]:
    return [(region.id, region.start, region.end + 1) for region in regions(cell.source)]


def _squeezed(lines: Iterable[str]) -> list[str]:
    return [text for line in lines if (text := squeeze(line)) and not markers(line)]


def _marked(cell: Cell, region: Region) -> Found:
    numbers = range(region.start + 1, region.end)
    lines = tuple((number, cell.lines[number]) for number in numbers)
    return Found(region.id, cell, lines, region.start, region.end + 1, region.indent)


def _swallowers(template: Cell, student: Cell) -> frozenset[str]:
    """TODOs that seem complete but end at another one's marker, because the markers between were deleted."""
    whole = {region.id: region for region in regions(student.source)}
    expected = regions(template.source)
    if all(region.id in whole for region in expected):
        return frozenset()
    found = set()
    for region in expected:
        after = next((text for line in template.lines[region.end + 1 :] if (text := _normal(line))), None)
        if region.id in whole and after is not None:
            inside = student.lines[whole[region.id].start + 1 : whole[region.id].end]
            if after in map(_normal, inside):
                found.add(region.id)
    return frozenset(found)


def _recover(template: Cell, region: Region, student: Cell) -> Found | None:
    """The lines between the unchanged neighbours of a TODO (or what is left of its markers), else None."""
    tokens = [(n, text) for n, text in _tokens(template) if not any(r.start < n < r.end for r in regions(template.source))]
    theirs = _tokens(student)
    numbers = [number for number, _ in tokens]
    first, last = numbers.index(region.start), numbers.index(region.end)
    # Of all alignments difflib's prefers long unchanged runs, which a body that repeats a given line does not disturb.
    matcher = SequenceMatcher(None, [text for _, text in theirs], [text for _, text in tokens], autojunk=False)
    at = {block.b + step: theirs[block.a + step][0] for block in matcher.get_matching_blocks() for step in range(block.size)}
    start = -1 if first == 0 else at.get(first - 1)
    end = len(student.lines) if last == len(tokens) - 1 else at.get(last + 1)
    start = at.get(first, start)
    end = at.get(last, end)
    if start is None or end is None or start >= end:
        return _answer(template, region, student)
    return _unmarked(region.id, student, start + 1, end)


def _answer(template: Cell, region: Region, student: Cell) -> Found | None:
    """An answer whose question was edited as well: the whole cell, since a person reads it."""
    if template.kind == "code" or len(regions(template.source)) != 1:
        return None
    return _unmarked(region.id, student, 0, len(student.lines))


def _unmarked(id: str, cell: Cell, start: int, end: int) -> Found:
    stray = {marker.line for marker in markers(cell.source)}
    lines = [(number, cell.lines[number]) for number in range(start, end) if number not in stray]
    while lines and not lines[0][1].strip():
        lines.pop(0)
    while lines and not lines[-1][1].strip():
        lines.pop()
    first = lines[0][1] if lines else ""
    return Found(id, cell, tuple(lines), start, end, first[: len(first) - len(first.lstrip())], recovered=True)


def _tokens(cell: Cell) -> list[tuple[int, str]]:
    """(line number, normal form) of all lines that are not blank."""
    return [(number, text) for number, line in enumerate(cell.lines) if (text := _normal(line))]


def _normal(line: str) -> str:
    """The line as compared: markers without their hint, tabs as four blanks, nothing at the end."""
    if found := markers(line):
        return close_marker() if found[0].id is None else open_marker(found[0].id, "")
    return line.expandtabs(4).rstrip()
