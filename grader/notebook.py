"""A typed, frozen view of a notebook file, and the TODO regions in it.

Read and written as JSON with caps, because students' notebooks are read on the trusted side: nothing here executes,
renders or unpickles anything. Tolerant of what Colab does to a notebook (missing ids, rewritten metadata, sources as one
string), strict about what cannot be read.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from grader.errors import NotebookError

MAX_BYTES = 25 * 2**20
MAX_CELLS = 500
MAX_DEPTH = 40
MAX_CONTAINERS = 500_000
"""Lists and objects of the JSON; bounds the memory that parsing takes."""
MAX_CODE = 200_000
"""Characters in a code cell."""
MAX_LINES = 4_000
"""Lines in a cell; bounds the time that comparing takes."""
MAX_TEXT = 8 * 2**20
"""Characters in a text cell: Colab keeps pasted pictures in the text."""

ANSWER_PLACEHOLDER = "*Your answer here.*"

Kind = Literal["code", "markdown", "raw"]

_OPEN = re.compile(r"^(?P<indent>[ \t]*)#{1,3}[ \t]*TODO[ \t]*##[ \t]*(?P<id>[A-Za-z_]\w*)[ \t]*:?[ \t]*(?P<hint>.*)$")
_CLOSE = re.compile(r"^(?P<indent>[ \t]*)#{1,3}[ \t]*END[ \t]*TODO[ \t]*(?:##)?[ \t]*$")
_DOWNLOAD = "download it with File → Download → Download .ipynb"


@dataclass(frozen=True)
class Cell:
    """One cell; `index` counts from 0, `source` has \\n line ends, `id` is None where the file has none."""

    index: int
    id: str | None
    kind: Kind
    source: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[Mapping[str, Any], ...] = ()
    attachments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """The cell's number as people count: from 1."""
        return self.index + 1

    @property
    def tags(self) -> frozenset[str]:
        tags = self.metadata.get("tags")
        return frozenset(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else frozenset()

    @property
    def lines(self) -> list[str]:
        return self.source.split("\n")


@dataclass(frozen=True)
class Notebook:
    """The cells in order, and the notebook's own metadata."""

    cells: tuple[Cell, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Marker:
    """A marker line: `line` counts from 0, `id` is None for `##END TODO##`."""

    line: int
    indent: str
    id: str | None
    hint: str = ""


@dataclass(frozen=True)
class Region:
    """A TODO with both markers: `start` and `end` are their lines, from 0; the body lies between."""

    id: str
    hint: str
    indent: str
    start: int
    end: int


def parse(data: bytes) -> Notebook:
    """Read an .ipynb file.

    Raises:
        NotebookError: not a notebook, or one beyond the caps; says what was found and what to do.
    """
    table = _table(data)
    version = table.get("nbformat")
    if "worksheets" in table or (isinstance(version, int) and version < 4):
        raise NotebookError(
            f"the notebook has the old format {version}; expected format 4: open it in Jupyter or Colab, save it "
            "and hand in the new file"
        )
    cells = table.get("cells")
    if not isinstance(cells, list):
        raise NotebookError(f"the file is JSON but has no list of cells, so it is not a notebook: {_DOWNLOAD}")
    if len(cells) > MAX_CELLS:
        raise NotebookError(f"the notebook has {len(cells)} cells; at most {MAX_CELLS} are read: delete those that you added")
    metadata = table.get("metadata")
    return Notebook(
        cells=tuple(_cell(index, cell) for index, cell in enumerate(cells)),
        metadata=metadata if isinstance(metadata, dict) else {},
    )


def dump(notebook: Notebook) -> bytes:
    """The notebook as an .ipynb file (format 4.5); equal notebooks give equal bytes."""
    table = {
        "cells": [_table_of(cell) for cell in notebook.cells],
        "metadata": notebook.metadata,
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return (json.dumps(table, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def markers(source: str) -> tuple[Marker, ...]:
    """All marker lines, complete or not, in order."""
    found = []
    for number, line in enumerate(source.split("\n")):
        if "TODO" not in line:
            continue
        if match := _OPEN.match(line):
            found.append(Marker(number, match["indent"], match["id"], match["hint"].rstrip()))
        elif match := _CLOSE.match(line):
            found.append(Marker(number, match["indent"], None))
    return tuple(found)


def regions(source: str) -> tuple[Region, ...]:
    """The TODOs whose two markers stand next to each other, in order; unpaired markers are left out."""
    found = markers(source)
    return tuple(
        Region(first.id, first.hint, first.indent, first.line, second.line)
        for first, second in pairwise(found)
        if first.id is not None and second.id is None
    )


def open_marker(id: str, hint: str, indent: str = "") -> str:
    """The line that begins a TODO."""
    return f"{indent}##TODO## {id}: {hint}" if hint else f"{indent}##TODO## {id}"


def close_marker(indent: str = "") -> str:
    """The line that ends a TODO."""
    return f"{indent}##END TODO##"


def body(source: str, region: Region) -> str:
    """What stands between the markers, with their indentation taken off."""
    return outdent(source.split("\n")[region.start + 1 : region.end], region.indent)


def outdent(lines: Sequence[str], indent: str) -> str:
    """The lines joined, without `indent`; as they are where one of them does not begin with it."""
    if not all(line.startswith(indent) for line in lines if line.strip()):
        return "\n".join(lines)
    return "\n".join(line.removeprefix(indent) if line.strip() else line for line in lines)


def is_open(text: str, placeholder: str, kind: Kind) -> bool:
    """Whether a TODO's body is still empty: nothing, comments only, `pass`, or what the template had there."""
    if kind != "code":
        return "".join(text.split()) in {"", "".join(placeholder.split())}
    code = [line.strip() for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    return code in ([], ["pass"], ["..."], [line.strip() for line in placeholder.split("\n") if line.strip()])


def _table(data: bytes) -> dict[str, Any]:
    """The JSON object in the file."""
    if len(data) > MAX_BYTES:
        raise NotebookError(
            f"the notebook has {len(data) / 2**20:.0f} MB; at most {MAX_BYTES / 2**20:.0f} MB are read: "
            "clear its outputs (Edit → Clear all outputs) and save it again"
        )
    if found := _not_a_notebook(data):
        raise NotebookError(f"this is {found}, not a notebook: {_DOWNLOAD}")
    if data.count(b"[") + data.count(b"{") > MAX_CONTAINERS:
        raise NotebookError(
            f"the notebook holds more than {MAX_CONTAINERS:,} lists and objects: clear its outputs and save it again"
        )
    try:
        table = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise NotebookError(f"the file is not UTF-8 text (byte {error.start}), so it is not a notebook: {_DOWNLOAD}") from error
    except json.JSONDecodeError as error:
        raise NotebookError(
            f"the file is not valid JSON (line {error.lineno}: {error.msg}); it may be cut off: {_DOWNLOAD}"
        ) from error
    except (RecursionError, ValueError) as error:
        raise NotebookError(f"the file's JSON cannot be read (too deep, or a number too long): {_DOWNLOAD}") from error
    if not isinstance(table, dict):
        raise NotebookError(f"the file is JSON but not a notebook: {_DOWNLOAD}")
    if not _shallow(table):
        raise NotebookError(f"the notebook's JSON is nested deeper than {MAX_DEPTH} levels: clear its outputs and save it again")
    return table


def _not_a_notebook(data: bytes) -> str | None:
    """What the file is, judged by its first bytes; None if it may be JSON."""
    start = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start:
        return "an empty file"
    kinds: Mapping[bytes, str] = {
        b"<": "an HTML page",
        b"%pdf": "a PDF",
        b"pk\x03\x04": "a zip archive",
        b"# %%": "a Python script",
        b"import ": "a Python script",
        b"version https://git-lfs": "a Git LFS pointer",
    }
    return next((name for prefix, name in kinds.items() if start.startswith(prefix)), None)


def _shallow(table: dict[str, Any]) -> bool:
    """Whether no value lies deeper than MAX_DEPTH."""
    level: list[Any] = [table]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level for inner in _children(value)]
        if not level:
            return True
    return False


def _children(value: Any) -> Iterable[Any]:
    values = value.values() if isinstance(value, dict) else value
    return (inner for inner in values if isinstance(inner, dict | list))


def _cell(index: int, table: Any) -> Cell:
    if not isinstance(table, dict):
        raise NotebookError(f"cell {index + 1} is not a JSON object: the file is damaged; save or {_DOWNLOAD} again")
    kind: Kind = {"code": "code", "markdown": "markdown"}.get(str(table.get("cell_type")), "raw")  # type: ignore[assignment]
    metadata = table.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    identity = table.get("id", metadata.get("id"))  # Colab keeps it in the metadata
    outputs, attachments = table.get("outputs"), table.get("attachments")
    return Cell(
        index=index,
        id=_text(identity) if isinstance(identity, str) else None,
        kind=kind,
        source=_source(index, kind, table.get("source", "")),
        metadata=metadata,
        outputs=tuple(o for o in outputs if isinstance(o, dict)) if isinstance(outputs, list) else (),
        attachments={_text(k): v for k, v in attachments.items() if isinstance(v, dict)} if isinstance(attachments, dict) else {},
    )


def _source(index: int, kind: Kind, source: object) -> str:
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise NotebookError(f"cell {index + 1} has no text as its source: the file is damaged; {_DOWNLOAD} again")
    limit = MAX_CODE if kind == "code" else MAX_TEXT
    if len(source) > limit:
        raise NotebookError(f"cell {index + 1} has {len(source):,} characters; at most {limit:,} are read: shorten it")
    source = _text(source).replace("\r\n", "\n").replace("\r", "\n")
    if (count := source.count("\n") + 1) > MAX_LINES:
        raise NotebookError(f"cell {index + 1} has {count:,} lines; at most {MAX_LINES:,} are read: shorten it")
    return source


def _text(text: str) -> str:
    """The string without lone surrogates, which JSON allows and UTF-8 does not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _table_of(cell: Cell) -> dict[str, Any]:
    table: dict[str, Any] = {
        "id": cell.id if cell.id is not None else f"cell-{cell.index}",
        "cell_type": cell.kind,
        "metadata": cell.metadata,
        "source": [line + "\n" for line in cell.lines[:-1]] + ([cell.lines[-1]] if cell.lines[-1] else []),
    }
    if cell.kind == "code":
        table |= {"execution_count": None, "outputs": list(cell.outputs)}
    if cell.attachments:
        table["attachments"] = cell.attachments
    return table
