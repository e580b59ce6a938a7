from grader.align import align, find, given
from grader.notebook import Cell, Notebook


def notebook(*sources: str, ids: str = "") -> Notebook:
    return Notebook(tuple(Cell(i, ids[i] if ids else None, "code", source) for i, source in enumerate(sources)))


TEMPLATE = notebook("a = 1\nb = 2", "##TODO## t\npass\n##END TODO##", "c = 3\nd = 4", ids="xyz")


def test_by_id_whatever_the_content() -> None:
    assert align(TEMPLATE, notebook("new", "c = 3\nd = 4", "a = 1", ids="zyx")) == {0: 2, 1: 1, 2: 0}


def test_by_todo_then_by_content_where_ids_are_gone() -> None:
    assert align(TEMPLATE, notebook("c = 3\nd = 5", "##TODO## t\n1\n##END TODO##", "a = 1\nb = 2")) == {0: 2, 1: 1, 2: 0}


def test_by_position_where_only_a_todo_was_in_the_cell() -> None:
    assert align(TEMPLATE, notebook("a = 1\nb = 2", "anything", "c = 3\nd = 4"))[1] == 1


def test_two_candidates_between_the_neighbours_are_none() -> None:
    assert 1 not in align(TEMPLATE, notebook("a = 1\nb = 2", "anything", "else", "c = 3\nd = 4"))


def test_no_student_cell_serves_twice() -> None:
    template = notebook("a = 1", "a = 1")
    assert sorted(align(template, notebook("a = 1")).values()) == [0]


def test_kinds_are_not_mixed_up() -> None:
    student = Notebook((Cell(0, "x", "markdown", "a = 1\nb = 2"),))
    assert align(TEMPLATE, student) == {}


def test_finds_all_copies_of_a_todo() -> None:
    student = notebook("##TODO## t\n1\n##END TODO##", "##TODO## t\n2\n##END TODO##")
    assert [copy.body for copy in find(TEMPLATE.cells[1], student, None)["t"]] == ["1", "2"]


def test_a_todo_does_not_swallow_the_next_one_whose_marker_is_gone() -> None:
    template = notebook("##TODO## a\npass\n##END TODO##\nx = 1\n##TODO## b\npass\n##END TODO##")
    student = notebook("##TODO## a\n1\nx = 1\n2\n##END TODO##")
    found = find(template.cells[0], student, student.cells[0])
    assert [copy.body for copy in found["a"]] == ["1"]
    assert [copy.body for copy in found["b"]] == ["2"]


def test_a_body_may_repeat_given_lines() -> None:
    template = notebook("def f():\n    return 1\n##TODO## a\npass\n##END TODO##\ndef g():\n    return 2")
    student = notebook("def f():\n    return 1\ndef h():\n    return 1\ndef g():\n    return 2")
    (copy,) = find(template.cells[0], student, student.cells[0])["a"]
    assert copy.body == "def h():\n    return 1"


def test_given_reduces_todos_to_their_markers() -> None:
    cell = Cell(0, None, "code", "a\n##TODO## t: hint\nx\ny\n##END TODO##\nb\n##END TODO##")
    assert given(cell, [("t", 1, 5)]) == ["a", "##TODO## t", "##END TODO##", "b"]
