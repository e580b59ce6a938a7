"""Move the TODO bodies of a student's notebook into the pristine template.

What runs is the template; nothing but the bodies comes from the student. Differences elsewhere have no effect and are
reported. A TODO that is broken or cannot be found stays as in the template, so that the others still count.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from grader.align import Found, align, find, given, squeeze
from grader.graft import Grafted, Misfit, graft, misfit
from grader.models import Answer, Edit, Problem
from grader.notebook import Cell, Kind, Notebook, Region, body, dump, is_open, regions
from grader.pictures import attached, curves

MAX_DIFF_LINES = 200


@dataclass(frozen=True)
class Todo:
    """What became of a TODO.

    status: `open` is untouched or empty, `missing` was not found, `broken` does not parse; all but `filled` run as in
    the template. cell and first_line count from 1, in the student's notebook. body has the block's indentation taken off.
    """

    id: str
    kind: Kind
    status: Literal["filled", "open", "missing", "broken"]
    recovered: bool = False
    cell: int | None = None
    first_line: int | None = None
    body: str = ""


@dataclass(frozen=True)
class Place:
    """A line of the executed notebook as the student knows it.

    cell, line: from 1, in the student's notebook; None where they have no counterpart (a removed cell; line is None for
    all given code). todo: None for given code. source: the line's text. name: the cell in words.
    """

    cell: int | None
    line: int | None
    todo: str | None
    source: str
    name: str


@dataclass(frozen=True)
class Transplant:
    """The outcome: `notebook` is what runs, with as many cells as the template; the rest is for the report."""

    notebook: bytes
    todos: Mapping[str, Todo]
    edits: tuple[Edit, ...]
    answers: tuple[Answer, ...]
    problems: tuple[Problem, ...]
    curves: tuple[bytes, ...]
    places: tuple[tuple[Place, ...], ...]

    @property
    def open_todos(self) -> tuple[str, ...]:
        """Ids of the TODOs that the student left as they were."""
        return tuple(id for id, todo in self.todos.items() if todo.status == "open")

    def locate(self, cell: int, line: int) -> Place | None:
        """The place of an executed cell (from 0) and line (from 1); None where there is no such line."""
        if not 0 <= cell < len(self.places) or not 1 <= line <= len(self.places[cell]):
            return None
        return self.places[cell][line - 1]


@dataclass(frozen=True)
class _Graft:
    """One template cell after the operation: the new source and where it came from."""

    cell: Cell
    counterpart: Cell | None
    grafted: Grafted
    found: Mapping[str, Found]
    todos: tuple[Todo, ...]
    problems: tuple[Problem, ...]
    edits: tuple[Edit, ...]


def transplant(template: Notebook, student: Notebook, parameters: Mapping[str, object]) -> Transplant:
    """Put the student's TODO bodies into the template and set its parameters.

    A TODO that stands in several cells counts where it was filled last, as it would in a run from top to bottom.

    Raises:
        ValueError: the template has no cell tagged `parameters`, or a parameter is not set there.
    """
    pairs = align(template, student)
    grafts = [
        _operate(cell, student, student.cells[pairs[cell.index]] if cell.index in pairs else None) for cell in template.cells
    ]
    executed = Notebook(tuple(replace(g.cell, source=_source(g, parameters), outputs=()) for g in grafts), template.metadata)
    if not any("parameters" in cell.tags for cell in template.cells):
        raise ValueError("the template has no cell tagged `parameters`")
    todos = {todo.id: todo for g in grafts for todo in g.todos}
    return Transplant(
        notebook=dump(executed),
        todos=todos,
        edits=(*(edit for g in grafts for edit in g.edits), *_added(grafts, student, set(pairs.values()))),
        answers=tuple(_answer(g, todo) for g in grafts for todo in g.todos if todo.kind == "markdown"),
        problems=_problems(grafts, todos),
        curves=curves(student),
        places=tuple(tuple(_places(g, cell, template)) for g, cell in zip(grafts, executed.cells, strict=True)),
    )


def _operate(cell: Cell, student: Notebook, counterpart: Cell | None) -> _Graft:
    """Everything about one template cell."""
    copies = find(cell, student, counterpart)
    todos: list[Todo] = []
    problems: list[Problem] = []
    found: dict[str, Found] = {}
    bodies: dict[str, list[str]] = {}
    edits = list(_changes(cell, counterpart, copies))
    for region in regions(cell.source):
        placeholder = body(cell.source, region)
        if not copies[region.id]:
            todos.append(Todo(region.id, cell.kind, "missing"))
            problems.append(_missing(region, counterpart))
            continue
        chosen = _choose(copies[region.id], placeholder, cell.kind)
        found[region.id] = chosen
        edits += _copy_edits(copies[region.id], chosen)
        todo = _todo(chosen, cell.kind, placeholder)
        if todo.status == "filled":
            lines = _shifted(chosen, region.indent)
            attempt = graft(cell.source, {**bodies, region.id: lines})
            if cell.kind == "code" and (wrong := misfit(cell.source, attempt.source)):
                todo = replace(todo, status="broken")
                problems.append(_broken(wrong, attempt, chosen))
            else:
                bodies[region.id] = lines
        todos.append(todo)
    return _Graft(cell, counterpart, graft(cell.source, bodies), found, tuple(todos), tuple(problems), tuple(edits))


def _choose(copies: Sequence[Found], placeholder: str, kind: Kind) -> Found:
    """The last copy that is filled, else the last."""
    return next((copy for copy in reversed(copies) if not is_open(copy.body, placeholder, kind)), copies[-1])


def _todo(found: Found, kind: Kind, placeholder: str) -> Todo:
    status: Literal["filled", "open"] = "open" if is_open(found.body, placeholder, kind) else "filled"
    first = found.lines[0][0] if found.lines else found.start
    return Todo(found.id, kind, status, found.recovered, found.cell.number, first + 1, found.body)


def _shifted(found: Found, indent: str) -> list[str]:
    """The body's lines with the template's indentation, where the student's whole block stood elsewhere."""
    lines = [text for _, text in found.lines]
    if found.indent == indent or not all(line.startswith(found.indent) for line in lines if line.strip()):
        return lines
    return [indent + line.removeprefix(found.indent) if line.strip() else line for line in lines]


def _source(g: _Graft, parameters: Mapping[str, object]) -> str:
    """The cell as it runs; the grader's parameters come after the template's defaults."""
    if "parameters" not in g.cell.tags:
        return g.grafted.source
    if unknown := [name for name in parameters if not any(line.startswith(f"{name} =") for line in g.cell.lines)]:
        raise ValueError(f"the template's parameters cell does not set {unknown[0]}")
    return "\n".join([g.cell.source, "# set by the grader", *(f"{name} = {value!r}" for name, value in parameters.items())])


def _broken(wrong: Misfit, attempt: Grafted, found: Found) -> Problem:
    """The problem at the student's line; an error that shows below the body is put on its last line."""
    own = [number for number, origin in enumerate(attempt.origins, 1) if origin.todo == found.id]
    line = wrong.line if wrong.line in own else max((n for n in own if attempt.lines[n - 1].strip()), default=None)
    number, source = found.lines[attempt.origins[line - 1].offset] if line else (found.start, "")
    return Problem(
        code="syntax-error",
        message=f"the code in TODO {found.id} (cell {found.cell.number}, line {number + 1}) cannot be used: {wrong.message}",
        advice="Run the cell in your notebook until it gives no error; until then this TODO counts as open.",
        todo=found.id,
        cell=found.cell.number,
        line=number + 1,
        source=source.strip()[:500],
    )


def _missing(region: Region, counterpart: Cell | None) -> Problem:
    where = f"cell {counterpart.number} holds neither its two markers nor" if counterpart else "no cell holds its two markers or"
    return Problem(
        code="missing-todo",
        message=f"TODO {region.id} was not found: {where} the given text around it unchanged",
        advice=f"Put the line `##TODO## {region.id}: …` before your code and `##END TODO##` after it, in one cell.",
        todo=region.id,
        cell=counterpart.number if counterpart else None,
    )


def _problems(grafts: Sequence[_Graft], todos: Mapping[str, Todo]) -> tuple[Problem, ...]:
    """One problem where no TODO at all was found, else those of the TODOs."""
    if todos and all(todo.status == "missing" for todo in todos.values()):
        return (
            Problem(
                code="wrong-notebook",
                message=f"none of the {len(todos)} TODOs of this task was found; is this the right notebook?",
                advice="Hand in the notebook that was given out for this task, with its ##TODO## lines.",
            ),
        )
    return tuple(problem for g in grafts for problem in g.problems)


def _changes(cell: Cell, counterpart: Cell | None, copies: Mapping[str, tuple[Found, ...]]) -> Iterator[Edit]:
    """Edits of one template cell outside its TODOs; of text cells only lost markers are reported."""
    for found in (copy for group in copies.values() for copy in group if copy.recovered):
        yield Edit(
            kind="marker",
            cell=found.cell.number,
            message=f"the markers of TODO {found.id} were missing; the text around it showed where it was",
        )
    if cell.kind != "code" or "parameters" in cell.tags or not cell.source.strip():
        return
    if counterpart is None:
        if not any(copies.values()):
            yield Edit(kind="removed", message="a given cell was removed; it runs all the same", diff=_diff(cell.lines, []))
        return
    here = [found for group in copies.values() for found in group if found.cell is counterpart]
    theirs = given(counterpart, [(found.id, found.start, found.end) for found in here])
    ours = given(cell, [(r.id, r.start, r.end + 1) for r in regions(cell.source) if any(f.id == r.id for f in here)])
    ours = [line for line in ours if line.strip()]
    theirs = [line for line in theirs if line.strip()]
    if squeeze("".join(ours)) != squeeze("".join(theirs)):
        message = "given code was changed; the original runs instead"
        yield Edit(kind="changed", cell=counterpart.number, message=message, diff=_diff(ours, theirs))


def _copy_edits(copies: Sequence[Found], chosen: Found) -> Iterator[Edit]:
    if len(copies) > 1:
        cells = ", ".join(str(copy.cell.number) for copy in copies)
        yield Edit(
            kind="added",
            cell=chosen.cell.number,
            message=f"TODO {chosen.id} stands in several places (cells {cells}); the one in cell {chosen.cell.number} counts, "
            "the last that is filled in",
        )


def _added(grafts: Sequence[_Graft], student: Notebook, aligned: set[int]) -> Iterator[Edit]:
    """Code cells that the template does not have and from which no TODO was taken."""
    used = {found.cell.index for g in grafts for found in g.found.values()}
    ids = {todo.id for g in grafts for todo in g.todos}
    for cell in student.cells:
        copy = any(region.id in ids for region in regions(cell.source))
        if cell.kind == "code" and cell.source.strip() and cell.index not in aligned | used and not copy:
            message = "this cell was added; added cells do not run"
            yield Edit(kind="added", cell=cell.number, message=message, diff=_diff([], cell.lines))


def _diff(ours: Sequence[str], theirs: Sequence[str]) -> str:
    lines = list(difflib.unified_diff(ours, theirs, "template", "submitted", lineterm="", n=2))
    if len(lines) > MAX_DIFF_LINES:
        lines[MAX_DIFF_LINES:] = [f"… {len(lines) - MAX_DIFF_LINES} more lines"]
    return "\n".join(lines)


def _answer(g: _Graft, todo: Todo) -> Answer:
    if todo.status != "filled":
        return Answer(question=todo.id, text="")
    text, pictures = attached(g.found[todo.id].cell, todo.body.strip())
    return Answer(question=todo.id, text=text, attachments=pictures)


def _places(g: _Graft, executed: Cell, template: Notebook) -> Iterator[Place]:
    """The place of each line of an executed cell."""
    name = _name(g.cell, template)
    filled = {todo.id for todo in g.todos if todo.status == "filled"}
    for number, source in enumerate(executed.lines):
        # The grader's parameters stand below the template's lines and have no origin of their own.
        todo = g.grafted.origins[number].todo if number < len(g.grafted.origins) else None
        found = g.found.get(todo) if todo else None
        if todo is None or found is None:
            yield Place(g.counterpart.number if g.counterpart else None, None, todo, source, name)
        elif todo in filled:
            line, text = found.lines[g.grafted.origins[number].offset]
            yield Place(found.cell.number, line + 1, todo, text, name)
        else:
            yield Place(found.cell.number, found.start + 1, todo, source, name)


def _name(cell: Cell, template: Notebook) -> str:
    """`the given cell under “Data”`: the cell by the last heading above it."""
    for above in reversed(template.cells[: cell.index + 1]):
        for line in above.lines:
            if above.kind == "markdown" and line.startswith("#") and (heading := line.lstrip("#").strip()):
                return f"the cell under “{heading}”"
    return f"cell {cell.number} of the template"
