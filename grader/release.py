"""Solution scripts to templates, and templates to the zip that students get.

One percent script (jupytext) for each notebook is the only source. Between `### BEGIN SOLUTION id: hint` and
`### END SOLUTION` stands what students have to write; the template has a TODO there.
"""

import ast
import hashlib
import re
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from grader.errors import UsageError
from grader.notebook import (
    ANSWER_PLACEHOLDER,
    Cell,
    Kind,
    Notebook,
    Region,
    body,
    close_marker,
    dump,
    is_open,
    markers,
    open_marker,
    parse,
    regions,
)
from grader.spec import LabSpec, load_spec

_BEGIN = re.compile(r"^(?P<indent>[ \t]*)### BEGIN SOLUTION (?P<id>[A-Za-z_]\w*)(?:: (?P<hint>.*))?$")
_END = re.compile(r"^(?P<indent>[ \t]*)### END SOLUTION\s*$")
_METADATA = {
    "accelerator": "GPU",
    "colab": {"gpuType": "T4", "provenance": []},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""Colab opens the notebook with a GPU."""


def solution_notebook(script: Path) -> bytes:
    """The script as a notebook with TODO markers in place of the solution markers: a perfectly filled template.

    Raises:
        UsageError: the script's markers or code are wrong; names the script and the TODO.
    """
    return dump(_notebook(script)[0])


def template_notebook(script: Path) -> bytes:
    """The script as students get it: each TODO holds a placeholder that keeps its cell parseable.

    Inside a function the placeholder is `raise NotImplementedError("TODO id")`, elsewhere `pass`; in text cells an
    invitation to answer.

    Raises:
        UsageError: as `solution_notebook`.
    """
    return dump(_notebook(script)[1])


def fill(template: bytes, bodies: Mapping[str, str]) -> bytes:
    """A student's notebook: the template with the given TODO bodies, each written as if at the left margin.

    Every line that is not blank gets the indentation of its TODO. TODOs without a body stay open.

    Raises:
        ValueError: a body for no TODO of the template, or one that contains a marker.
    """
    notebook = parse(template)
    known = {region.id for cell in notebook.cells for region in regions(cell.source)}
    if unknown := sorted(set(bodies) - known):
        raise ValueError(f"the template has no TODO {unknown[0]}; it has {', '.join(sorted(known))}")
    if marked := sorted(id for id, text in bodies.items() if markers(text)):
        raise ValueError(f"the body for TODO {marked[0]} contains a TODO marker")
    return dump(replace(notebook, cells=tuple(replace(c, source=_filled(c.source, bodies)) for c in notebook.cells)))


def write_templates(lab: str, solutions_dir: Path, labs_dir: Path) -> tuple[Path, ...]:
    """Generate labs_dir/lab/*.ipynb from solutions_dir/lab/<lab>_*.py; returns the notebooks.

    Raises:
        UsageError: the lab has no scripts, or one is wrong.
    """
    scripts = sorted((solutions_dir / lab).glob(f"{lab}_*.py"))
    if not scripts:
        raise UsageError(f"{solutions_dir / lab} holds no {lab}_*.py; expected one solution script for each notebook of the lab")
    written = []
    for script in scripts:
        path = labs_dir / lab / f"{script.stem}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(template_notebook(script))
        written.append(path)
    return tuple(written)


def release(lab_dir: Path, out_dir: Path) -> Path:
    """Write `<lab>.zip` for students: templates, handout.md, prompts and an example checkpoint_links.txt.

    lab_dir holds lab.toml and, there or in templates/, the notebooks it names and handout.md. Equal inputs give an equal archive.

    Raises:
        SpecError: lab.toml is wrong.
        UsageError: a template or the handout is missing, or a template holds answers.
    """
    spec = load_spec(lab_dir / "lab.toml")
    files = {task.notebook: _template(_place(lab_dir, task.notebook)) for task in spec.task}
    files["handout.md"] = _given(_place(lab_dir, "handout.md"))
    files |= {name: _given(lab_dir / name) for task in spec.task for name in task.prompts}
    files["checkpoint_links.txt"] = _example_links(spec)
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / f"{spec.lab.id}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # stored: no zlib version in the bytes
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{spec.lab.id}/{name}", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return path


def _notebook(script: Path) -> tuple[Notebook, Notebook]:
    """(solution, template): same cells, same ids."""
    import jupytext

    cells = [
        Cell(index, None, _kind(cell.cell_type), cell.source, {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {})
        for index, cell in enumerate(jupytext.read(script).cells)
    ]
    solution = [replace(cell, source=_marked(script, cell.source)) for cell in cells]
    _check_ids(script, solution)
    template = [replace(cell, source=_blank(script, cell)) for cell in solution]
    ids = _ids(template)
    return (
        Notebook(tuple(replace(cell, id=id) for cell, id in zip(solution, ids, strict=True)), _METADATA),
        Notebook(tuple(replace(cell, id=id) for cell, id in zip(template, ids, strict=True)), _METADATA),
    )


def _kind(cell_type: str) -> Kind:
    return "code" if cell_type == "code" else "markdown" if cell_type == "markdown" else "raw"


def _marked(script: Path, source: str) -> str:
    """The source with TODO markers in place of solution markers."""
    lines, inside = [], None
    for line in source.split("\n"):
        if match := _BEGIN.match(line):
            if inside:
                raise UsageError(f"{script}: solution {match['id']} begins inside solution {inside}")
            inside = match["id"]
            lines.append(open_marker(inside, match["hint"] or "", match["indent"]))
        elif match := _END.match(line):
            if not inside:
                raise UsageError(f"{script}: a solution ends that did not begin in its cell")
            inside = None
            lines.append(close_marker(match["indent"]))
        elif "BEGIN SOLUTION" in line or "END SOLUTION" in line:
            raise UsageError(f"{script}: not a solution marker: {line.strip()!r}; expected `### BEGIN SOLUTION id: hint`")
        else:
            lines.append(line)
    if inside:
        raise UsageError(f"{script}: solution {inside} does not end in its cell")
    return "\n".join(lines)


def _check_ids(script: Path, cells: list[Cell]) -> None:
    counts = Counter(region.id for cell in cells for region in regions(cell.source))
    if doubled := [id for id, count in counts.items() if count > 1]:
        raise UsageError(f"{script}: solution {doubled[0]} stands there {counts[doubled[0]]} times; each needs its own id")


def _blank(script: Path, cell: Cell) -> str:
    """The cell with a placeholder in each TODO."""
    found = regions(cell.source)
    if cell.kind != "code":
        return _filled(cell.source, {region.id: f"\n{ANSWER_PLACEHOLDER}\n" for region in found})
    with_pass = _filled(cell.source, {region.id: "pass" for region in found})
    try:
        tree = ast.parse(with_pass)
    except SyntaxError as error:
        raise UsageError(
            f"{script}: cell {cell.number} does not parse without its solutions (line {error.lineno}: {error.msg}); "
            "a solution must hold whole statements"
        ) from error
    inside = {region.id for region in regions(with_pass) if _in_function(tree, region.start + 2)}
    return _filled(cell.source, {r.id: _placeholder(r, in_function=r.id in inside) for r in found})


def _placeholder(region: Region, *, in_function: bool) -> str:
    return f'raise NotImplementedError("TODO {region.id}")' if in_function else "pass"


def _in_function(tree: ast.Module, line: int) -> bool:
    """Whether the innermost scope around a line (counted from 1) is a function."""
    scopes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return bool(scopes) and not isinstance(max(scopes, key=lambda node: node.lineno), ast.ClassDef)


def _filled(source: str, bodies: Mapping[str, str]) -> str:
    """The source with the bodies of the named TODOs replaced."""
    lines = source.split("\n")
    for region in reversed(regions(source)):
        if region.id in bodies:
            new = bodies[region.id].split("\n")
            lines[region.start + 1 : region.end] = [region.indent + line if line.strip() else line for line in new]
    return "\n".join(lines)


def _ids(template: list[Cell]) -> list[str]:
    """Ids from the template's text, so that a cell keeps its id when others come or go."""
    seen: Counter[str] = Counter()
    ids = []
    for cell in template:
        text = f"{cell.kind}\n{cell.source}"
        seen[text] += 1
        ids.append(hashlib.sha256(f"{seen[text]}\n{text}".encode()).hexdigest()[:12])
    return ids


def _place(lab_dir: Path, name: str) -> Path:
    """In the repository's labs/ the files lie beside lab.toml, in a lab folder made by `grader init` in templates/."""
    inner = lab_dir / "templates" / name
    return inner if inner.exists() else lab_dir / name


def _given(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); students need it") from error


def _template(path: Path) -> bytes:
    """The template's bytes, refused where a TODO is filled: nothing that students must write may leave."""
    data = _given(path)
    for cell in parse(data).cells:
        for region in regions(cell.source):
            placeholder = _placeholder(region, in_function=True) if cell.kind == "code" else ANSWER_PLACEHOLDER
            if not is_open(body(cell.source, region), placeholder, cell.kind):
                raise UsageError(f"{path}: TODO {region.id} in cell {cell.number} is filled in; generate the template again")
    return data


def _example_links(spec: LabSpec) -> bytes:
    """A checkpoint_links.txt that is right for files handed in beside the notebooks."""
    names = ["handin.pt"] if len(spec.task) == 1 else [f"{Path(task.notebook).stem}.pt" for task in spec.task]
    lines = [
        "# One line a task: the task, a colon, and where its checkpoint is:",
        "# a file that you hand in (as below), or a share link that anybody may open.",
        *(f"{task.id}: {name}" for task, name in zip(spec.task, names, strict=True)),
    ]
    return "\n".join([*lines, ""]).encode()
