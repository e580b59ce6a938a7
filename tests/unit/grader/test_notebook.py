import json
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader import notebook
from grader.errors import NotebookError
from grader.notebook import Cell, Notebook, body, dump, is_open, markers, parse, regions


def raw(cells: list[dict[str, Any]] | None = None, **extra: Any) -> bytes:
    table = {"cells": cells or [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(table | extra).encode()


def code(source: Any, **extra: Any) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": 1} | extra


def test_reads_what_colab_writes() -> None:
    cells = parse(
        raw(
            [
                code(["a = 1\n", "b = 2"], metadata={"id": "AbC", "colab": {"x": 1}}),
                code("a = 1\r\nb = 2\rc = 3", id="i", metadata={"tags": ["optional"]}),
                {"cell_type": "markdown", "source": "text"},
            ],
            nbformat_minor=0,
        )
    ).cells
    assert [c.source for c in cells] == ["a = 1\nb = 2", "a = 1\nb = 2\nc = 3", "text"]
    assert [c.id for c in cells] == ["AbC", "i", None]
    assert [c.tags for c in cells] == [frozenset(), {"optional"}, frozenset()]
    assert [c.number for c in cells] == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"  <!DOCTYPE html><html>", "an HTML page"),
        (b"%PDF-1.7", "a PDF"),
        (b"PK\x03\x04", "a zip archive"),
        (b"# %%\nimport torch", "a Python script"),
        (b'{"cells": [', "not valid JSON"),
        (b"\xff\xfe{", "not UTF-8"),
        (b"[1, 2]", "not a notebook"),
        (b"{}", "no list of cells"),
        (raw(nbformat=3), "old format 3"),
        (raw(worksheets=[]), "old format"),
        (raw([3]), "cell 1 is not a JSON object"),  # type: ignore[list-item]
        (raw([code(7)]), "cell 1 has no text"),
        (raw([code("x" * (notebook.MAX_CODE + 1))]), "200,001 characters"),
        (raw([code("\n" * notebook.MAX_LINES)]), "4,001 lines"),
        (raw([code("")] * 501), "501 cells"),
        (b" " * (notebook.MAX_BYTES + 1), "25 MB"),
        (b"[" * 100_000, "too deep"),
        (raw(metadata=eval("[" * 50 + "]" * 50)), "nested deeper than 40"),
        (raw(x=[[]] * notebook.MAX_CONTAINERS), "500,000 lists"),
        (b'{"cells": ' + b"9" * 5000 + b"}", "number too long"),
    ],
)
def test_says_what_was_found_instead_of_a_notebook(data: bytes, found: str) -> None:
    with pytest.raises(NotebookError, match=found):
        parse(data)


def test_says_what_to_do_with_an_html_page() -> None:
    with pytest.raises(NotebookError, match=r"Download \.ipynb"):
        parse(b"<html>")


def test_replaces_lone_surrogates_and_keeps_pairs() -> None:
    data = raw([code("x")]).replace(b'"x"', rb'"\ud83d\ude00 \ud800"')
    assert parse(data).cells[0].source == "😀 �"


def test_ignores_fields_of_the_wrong_type() -> None:
    cell = parse(raw([code("x", metadata=[], outputs={}, attachments=[], id=7)])).cells[0]
    assert (cell.metadata, cell.outputs, cell.attachments, cell.id) == ({}, (), {}, None)


text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r"), max_size=60)


@given(st.lists(st.tuples(st.sampled_from(["code", "markdown", "raw"]), text), max_size=6))
def test_dump_and_parse_are_inverse(cells: list[tuple[Any, str]]) -> None:
    before = Notebook(tuple(Cell(i, f"c{i}", kind, source, {"tags": ["a"]}) for i, (kind, source) in enumerate(cells)))
    data = dump(before)
    assert parse(data) == before
    assert dump(parse(data)) == data
    nbformat.validate(nbformat.reads(data.decode(), as_version=4))


def test_finds_several_regions_with_their_indentation() -> None:
    source = "def f():\n    ##TODO## one: do it\n    return 1\n    ##END TODO##\n##TODO## two\n##END TODO##"
    first, second = regions(source)
    assert (first.id, first.hint, first.indent, first.start, first.end) == ("one", "do it", "    ", 1, 3)
    assert (second.id, second.hint, second.indent, second.start, second.end) == ("two", "", "", 4, 5)
    assert body(source, first) == "return 1"
    assert body(source, second) == ""


def test_a_formatter_may_touch_the_markers() -> None:
    assert [m.id for m in markers("# TODO ## a: x\n#  TODO## b:y  \n## END TODO ##\n# END TODO")] == ["a", "b", None, None]


def test_ordinary_comments_and_text_are_no_markers() -> None:
    assert markers("# TODO: later\nWrite between `##TODO##` and `##END TODO##`.\nx = 1  ##TODO## a\n## TODO list") == ()


def test_unpaired_markers_make_no_region() -> None:
    assert regions("##TODO## a\nx\n##TODO## b\ny\n##END TODO##\n##END TODO##")[0].id == "b"
    assert len(regions("##TODO## a\nx\n##TODO## b\ny\n##END TODO##\n##END TODO##")) == 1


@pytest.mark.parametrize(
    ("text", "open_"),
    [
        ("", True),
        ("pass", True),
        ("  # thinking\n", True),
        ('raise NotImplementedError("TODO a")  ', True),
        ("...", True),
        ("return 1", False),
        ('raise NotImplementedError("TODO a")\nreturn 1', False),
    ],
)
def test_is_open(text: str, open_: bool) -> None:
    assert is_open(text, 'raise NotImplementedError("TODO a")', "code") is open_


def test_an_answer_is_open_until_something_is_written() -> None:
    assert is_open("\n*Your answer  here.*\n", notebook.ANSWER_PLACEHOLDER, "markdown")
    assert is_open(" \n", notebook.ANSWER_PLACEHOLDER, "markdown")
    assert not is_open("pass", notebook.ANSWER_PLACEHOLDER, "markdown")
