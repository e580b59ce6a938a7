import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from grader.notebook import Cell, Notebook, body, markers, parse, regions
from grader.release import fill
from grader.transplant import Transplant, transplant

PARAMETERS: Mapping[str, object] = {"TRAIN": False, "CHECKPOINT": "/in/handin.pt"}

CELLS: tuple[tuple[Any, str], ...] = (
    ("markdown", "# The lab"),
    ("code", 'TRAIN = True  # or not\nCHECKPOINT = "handin.pt"'),
    ("code", "import random\n\nrandom.seed(0)\nnumbers = [random.random() for _ in range(3)]"),
    ("code", "##TODO## helpers: your own\npass\n##END TODO##"),
    ("markdown", "## The net\n\nWrite it."),
    (
        "code",
        """\
class Net:
    def __init__(self):
        super().__init__()
        ##TODO## layers: some
        raise NotImplementedError("TODO layers")
        ##END TODO##

    def forward(self, z):
        ##TODO## forward: z -> y
        raise NotImplementedError("TODO forward")
        ##END TODO##
        return y""",
    ),
    ("code", "##TODO## settings: epochs\npass\n##END TODO##\n\nprint(epochs)"),
    ("code", "net = Net()\nif TRAIN:\n    net.train()"),
    ("markdown", "**Q: Why?**\n\n##TODO## q_why: your answer\n\n*Your answer here.*\n\n##END TODO##"),
)
TEMPLATE = Notebook(
    tuple(Cell(i, f"id{i}", kind, source, {"tags": ["parameters"]} if i == 1 else {}) for i, (kind, source) in enumerate(CELLS))
)
TEMPLATE_BYTES = json.dumps(
    {
        "cells": [{"id": c.id, "cell_type": c.kind, "metadata": dict(c.metadata), "source": c.source} for c in TEMPLATE.cells],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
).encode()
BODIES = {
    "helpers": "import math\n\n\ndef half(x):\n    return x / 2",
    "layers": "self.width = 3\nfor k in range(2):\n    self.depth = k",
    "forward": "y = half(z)",
    "settings": "epochs = 3",
    "q_why": "Because *of that*.",
}
FILLED = parse(fill(TEMPLATE_BYTES, BODIES))


def notebook(*sources: str | Cell) -> Notebook:
    """A notebook without ids, of cells and sources of code cells."""
    cells = [source if isinstance(source, Cell) else Cell(0, None, "code", source) for source in sources]
    return Notebook(tuple(replace(cell, index=i, id=None) for i, cell in enumerate(cells)))


def with_source(student: Notebook, index: int, source: str) -> Notebook:
    return Notebook(tuple(replace(c, source=source) if c.index == index else c for c in student.cells))


def edited(index: int, old: str, new: str) -> Notebook:
    source = FILLED.cells[index].source
    assert old in source
    return with_source(FILLED, index, source.replace(old, new))


def operate(student: Notebook) -> Transplant:
    return transplant(TEMPLATE, student, PARAMETERS)


def statuses(result: Transplant) -> dict[str, str]:
    return {id: todo.status for id, todo in result.todos.items()}


def kinds(result: Transplant) -> list[str]:
    return [edit.kind for edit in result.edits]


REFERENCE = operate(FILLED)
ALL_FILLED = dict.fromkeys(BODIES, "filled")


def test_a_filled_template_runs_as_the_student_wrote_it() -> None:
    assert statuses(REFERENCE) == ALL_FILLED
    assert (REFERENCE.edits, REFERENCE.problems, REFERENCE.open_todos) == ((), (), ())
    executed = parse(REFERENCE.notebook)
    for ours, theirs in zip(executed.cells, FILLED.cells, strict=True):
        if "parameters" not in ours.tags:
            assert ours.source == theirs.source
    assert {id: todo.body for id, todo in REFERENCE.todos.items()} == BODIES


def test_the_grader_sets_the_parameters_below_the_defaults() -> None:
    names: dict[str, object] = {}
    exec(parse(REFERENCE.notebook).cells[1].source, names)  # noqa: S102 - our own template
    assert (names["TRAIN"], names["CHECKPOINT"]) == (False, "/in/handin.pt")


def test_a_parameter_that_the_template_lacks_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="SPEED"):
        transplant(TEMPLATE, FILLED, {"SPEED": 1})
    with pytest.raises(ValueError, match="tagged"):
        transplant(Notebook(()), FILLED, PARAMETERS)


def test_parameters_may_be_edited_freely() -> None:
    result = operate(edited(1, "TRAIN = True", "TRAIN = False\nimport os; os._exit(0)"))
    assert result.edits == ()
    assert result.notebook == REFERENCE.notebook


def test_an_untouched_template_is_open_everywhere() -> None:
    result = operate(TEMPLATE)
    assert result.open_todos == tuple(BODIES)
    assert (result.problems, result.edits) == ((), ())
    assert [answer.text for answer in result.answers] == [""]


def test_a_foreign_notebook_gives_one_problem() -> None:
    result = operate(notebook("print('hello')"))
    assert [p.code for p in result.problems] == ["wrong-notebook"]
    assert set(statuses(result).values()) == {"missing"}


line = st.sampled_from(
    ["x = 1", "if x:", "    y = 2", "def f():", "    return 3", "# note", "", "class A: pass", "'''", ")", "\\", "@f"]
)
text = st.one_of(
    st.lists(line, max_size=8).map("\n".join),
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r"), max_size=30),
)


@given(st.fixed_dictionaries(dict.fromkeys(BODIES, text)))
@example({**BODIES, "layers": "x = '''"})
@example({**BODIES, "layers": "    pass\nclass Other:\n    def __init__(self): pass"})
def test_any_bodies_come_back_and_given_statements_stay(bodies: dict[str, str]) -> None:
    assume(not any(markers(body) for body in bodies.values()))
    result = operate(parse(fill(TEMPLATE_BYTES, bodies)))
    assert {id: todo.body for id, todo in result.todos.items()} == bodies
    assert result.edits == ()
    executed = parse(result.notebook)
    for cell, given_cell in zip(executed.cells, TEMPLATE.cells, strict=True):
        if cell.kind == "code":
            compile(cell.source.replace("!", "#"), "cell", "exec")
        found = {r.id: body(cell.source, r) for r in regions(cell.source)}
        empty = {r.id: "" for r in regions(given_cell.source)}
        assert found.keys() == empty.keys()
    for id, todo in result.todos.items():
        assert (todo.status == "broken") == any(p.todo == id for p in result.problems)


@given(st.lists(st.tuples(st.integers(0, len(CELLS) - 1), st.sampled_from(["above", "below", "added", "gone"])), max_size=5))
def test_edits_outside_todos_never_change_what_runs(steps: list[tuple[int, str]]) -> None:
    cells = list(FILLED.cells)
    for index, step in steps:
        place = next((n for n, cell in enumerate(cells) if cell.id == f"id{index}"), None)
        if place is None:
            continue
        cell = cells[place]
        if step == "above" and cell.kind == "code":
            cells[place] = replace(cell, source="import evil\n" + cell.source)
        elif step == "below" and cell.kind == "code":
            cells[place] = replace(cell, source=cell.source + "\nevil()")
        elif step == "added":
            cells.insert(place, Cell(0, None, "code", "torch.load = None"))
        elif step == "gone" and not regions(cell.source):
            del cells[place]
    student = Notebook(tuple(replace(cell, index=i) for i, cell in enumerate(cells)))
    assert operate(student).notebook == REFERENCE.notebook


@given(st.sets(st.integers(0, 9)))
def test_deleted_markers_are_made_up_for_by_the_text_around(deleted: set[int]) -> None:
    """Any set of the ten marker lines may go, where the given text around them is intact."""
    cells, number = [], 0
    for cell in FILLED.cells:
        kept = []
        stood = {marker.line for marker in markers(cell.source)}
        for index, text_line in enumerate(cell.lines):
            if index in stood:
                number += 1
                if number - 1 in deleted:
                    continue
            kept.append(text_line)
        cells.append(replace(cell, source="\n".join(kept)))
    result = operate(Notebook(tuple(cells)))
    assert statuses(result) == ALL_FILLED
    assert {id: todo.body.strip("\n") for id, todo in result.todos.items()} == BODIES
    assert set(kinds(result)) <= {"marker"}
    assert bool(deleted) == bool(result.edits)


@pytest.mark.parametrize("index", [3, 5, 6, 8])
def test_markers_and_ids_lost(index: int) -> None:
    cells = [replace(cell, id=None) for cell in FILLED.cells]
    source = FILLED.cells[index].source
    stood = {marker.line for marker in markers(source)}
    cells[index] = replace(cells[index], source="\n".join(s for n, s in enumerate(source.split("\n")) if n not in stood))
    assert statuses(operate(Notebook(tuple(cells)))) == ALL_FILLED


def test_edited_markers_count_as_deleted() -> None:
    result = operate(edited(5, "##TODO## layers: some", "##TODO## layer (done!)"))
    assert statuses(result) == ALL_FILLED
    assert result.todos["layers"].recovered
    assert kinds(result) == ["marker"]


def test_an_edited_hint_is_no_edit() -> None:
    assert operate(edited(5, "layers: some", "layers: done")).edits == ()


def test_without_markers_and_surroundings_the_todo_is_named() -> None:
    lost = edited(5, "        super().__init__()\n        ##TODO## layers: some\n", "        nothing()\n")
    result = operate(with_source(lost, 5, lost.cells[5].source.replace("    def forward", "    def go")))
    (problem,) = result.problems
    assert (problem.code, problem.todo, problem.cell) == ("missing-todo", "layers", 6)
    assert "cell 6" in problem.message
    assert statuses(result) == {**ALL_FILLED, "layers": "missing"}
    assert '        raise NotImplementedError("TODO layers")' in parse(result.notebook).cells[5].source


def test_cells_may_move_and_lose_ids_and_metadata() -> None:
    order = [5, 0, 8, 6, 1, 3, 4, 7, 2]
    result = operate(notebook(*(replace(FILLED.cells[i], metadata={}) for i in order)))
    assert result.notebook == REFERENCE.notebook
    assert result.edits == ()
    assert result.todos["layers"].cell == 1


def test_a_split_cell_keeps_its_todos() -> None:
    first, second = FILLED.cells[5].source.split("\n    def forward")
    cells = [*FILLED.cells[:5], replace(FILLED.cells[5], source=first), "    def forward" + second, *FILLED.cells[6:]]
    result = operate(notebook(*cells))
    assert result.notebook == REFERENCE.notebook
    assert result.todos["forward"].cell == 7


def test_of_copies_the_last_filled_one_counts() -> None:
    newer = FILLED.cells[6].source.replace("epochs = 3", "epochs = 30")
    untouched = TEMPLATE.cells[6].source
    result = operate(notebook(*FILLED.cells[:7], newer, untouched, *FILLED.cells[7:]))
    assert result.todos["settings"].body == "epochs = 30"
    assert result.todos["settings"].cell == 8
    assert kinds(result) == ["added"]
    assert "cells 7, 8, 9" in result.edits[0].message


def test_changed_added_and_removed_code_is_reported_with_a_diff() -> None:
    student = edited(2, "random.seed(0)", "random.seed(1)")
    cells = [*student.cells[:7], Cell(0, None, "code", "print('score: 100')"), *student.cells[8:]]
    result = operate(notebook(*cells))
    assert result.notebook == REFERENCE.notebook
    by_kind = {edit.kind: edit for edit in result.edits}
    assert by_kind.keys() == {"changed", "added", "removed"}
    assert (by_kind["changed"].cell, by_kind["added"].cell, by_kind["removed"].cell) == (3, 8, None)
    assert "-random.seed(0)\n+random.seed(1)" in by_kind["changed"].diff
    assert "+print('score: 100')" in by_kind["added"].diff
    assert "-net = Net()" in by_kind["removed"].diff


def test_white_space_outputs_metadata_and_text_are_no_edits() -> None:
    cells = [replace(c, metadata={"id": "x"}, outputs=({"output_type": "stream", "text": "hi"},)) for c in FILLED.cells]
    cells[2] = replace(cells[2], source=cells[2].source.replace("\n\n", "\n") + "  \n\n")
    cells[4] = replace(cells[4], source="## My net")
    cells += [Cell(0, None, "code", "  \n"), Cell(0, None, "markdown", "my notes")]
    result = operate(notebook(*cells))
    assert result.edits == ()
    assert b"hi" not in result.notebook


@pytest.mark.parametrize(
    ("old", "broken", "at", "says"),
    [
        ("y = half(z)", "y = half(z\n        y = 2", (12, "y = half(z"), "never closed"),
        ("y = half(z)", "y = half(z))", (12, "y = half(z))"), "unmatched"),
        ("y = half(z)", "y = '''half(z)", (12, "y = '''half(z)"), "unterminated"),
        ("y = half(z)", "if z:", (12, "if z:"), "expected an indented block"),
        ("y = half(z)", "y = 1\n    if z:", (12, "y = 1"), None),
        ("self.width = 3", "break", (5, "break"), "outside loop"),
    ],
)
def test_a_body_that_does_not_parse_costs_its_todo_only(old: str, broken: str, at: tuple[int, str], says: str | None) -> None:
    result = operate(edited(5, old, broken))
    (problem,) = result.problems
    id = problem.todo
    assert id is not None
    assert problem.code == "syntax-error"
    assert problem.cell == 6
    assert statuses(result) == {**ALL_FILLED, id: "broken"}
    if says:
        assert (problem.line, problem.source) == at
        assert says in problem.message
    assert f'raise NotImplementedError("TODO {id}")' in parse(result.notebook).cells[5].source


@pytest.mark.parametrize(
    "escape",
    [
        "self.x = '''",
        "self.width = 3\n    @staticmethod",
        "self.width = 3\nclass Other:",
        "self.width = 3\nif True:",
        "self.width = 3\nclass Other:\n    def __init__(self):\n        pass",
        "self.width = 3\n    try:\n        pass\n    finally:\n        pass\nwhile True:",
    ],
)
def test_a_body_cannot_swallow_given_code(escape: str) -> None:
    student = edited(5, "self.width = 3\n        for k in range(2):\n            self.depth = k", escape)
    student = with_source(student, 5, student.cells[5].source.replace("y = half(z)", "y = '''half'''"))
    result = operate(student)
    assert result.todos["layers"].status == "broken"
    assert result.todos["forward"].status == "filled"
    assert result.problems[0].todo == "layers"


def test_strings_that_close_each_other_do_not_hide_what_is_between() -> None:
    student = edited(5, "self.width = 3", "self.width = '''")
    result = operate(with_source(student, 5, student.cells[5].source.replace("y = half(z)", "y = 1 # '''")))
    assert statuses(result) == {**ALL_FILLED, "layers": "broken"}
    assert "def forward(self, z):" in parse(result.notebook).cells[5].source


def test_a_body_may_leave_its_function() -> None:
    free = "self.width = 3\n\n    def extra(self):\n        return 4\n"
    result = operate(edited(5, "self.width = 3\n        for k in range(2):\n            self.depth = k", free))
    assert statuses(result) == ALL_FILLED
    assert "    def extra(self):" in parse(result.notebook).cells[5].source


def test_magics_are_no_syntax_errors() -> None:
    result = operate(edited(3, "import math", "!pip install einops\n%matplotlib inline\nfiles = !ls\nimport math"))
    assert statuses(result) == ALL_FILLED
    assert "!pip install einops" in parse(result.notebook).cells[3].source


@pytest.mark.parametrize("unit", ["  ", "\t", "        "])
def test_a_block_that_was_shifted_as_a_whole_is_shifted_back(unit: str) -> None:
    source = "\n".join(
        unit * ((len(s) - len(s.lstrip())) // 4) + s.lstrip() if s.strip() else s for s in FILLED.cells[5].source.split("\n")
    )
    result = operate(with_source(FILLED, 5, source))
    assert statuses(result) == ALL_FILLED
    assert result.edits == ()
    scope: dict[str, Any] = {}
    exec(parse(result.notebook).cells[3].source + "\n" + parse(result.notebook).cells[5].source, scope)  # noqa: S102 - written above
    assert (scope["Net"]().width, scope["Net"]().depth, scope["Net"]().forward(4)) == (3, 1, 2)


def test_mixed_indentation_is_left_as_it_is() -> None:
    source = FILLED.cells[5].source.replace("        ##TODO## layers", "\t\t##TODO## layers")
    result = operate(with_source(FILLED, 5, source))
    assert parse(result.notebook).cells[5].source == FILLED.cells[5].source


def test_the_question_may_be_overwritten() -> None:
    result = operate(with_source(FILLED, 8, "My answer: 42"))
    assert result.answers[0].text == "My answer: 42"
    assert kinds(result) == ["marker"]


PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 4, 3, 8, 0, 0, 0, 0) + bytes(8)


def test_pictures_of_answers_and_outputs_are_kept() -> None:
    encoded = base64.b64encode(PNG).decode()
    student = edited(8, "Because *of that*.", "See ![it](attachment:a.png)")
    cells = list(student.cells)
    cells[8] = replace(cells[8], attachments={"a.png": {"image/png": encoded}, "b.png": {"image/png": encoded}})
    cells[7] = replace(cells[7], outputs=({"output_type": "display_data", "data": {"image/png": encoded + "\n"}},))
    result = operate(Notebook(tuple(cells)))
    assert result.answers[0].attachments == {"a.png": f"data:image/png;base64,{encoded}"}
    assert result.curves == (PNG,)


def test_locate_leads_to_the_students_line() -> None:
    shifted = notebook(Cell(0, None, "code", "print('mine')"), *FILLED.cells)
    student = with_source(shifted, 6, "# a note\n" + shifted.cells[6].source)
    result = operate(student)
    executed = parse(result.notebook).cells[5].lines
    line_number = executed.index("        y = half(z)") + 1
    place = result.locate(5, line_number)
    assert place is not None
    assert (place.cell, place.todo, place.source.strip()) == (7, "forward", "y = half(z)")
    assert place.line is not None
    assert student.cells[6].lines[place.line - 1] == place.source
    given_line = result.locate(5, 1)
    assert given_line is not None
    assert (given_line.cell, given_line.line, given_line.todo, given_line.source) == (7, None, None, "class Net:")
    assert given_line.name == "the cell under “The net”"


def test_locate_knows_placeholders_and_the_edges() -> None:
    result = operate(TEMPLATE)
    place = result.locate(5, 5)
    assert place is not None
    assert (place.cell, place.line, place.todo) == (6, 4, "layers")
    assert result.locate(5, 0) is result.locate(5, 99) is result.locate(-1, 1) is result.locate(99, 1) is None
    parameter = result.locate(1, 4)
    assert parameter is not None
    assert parameter.source == "TRAIN = False"
