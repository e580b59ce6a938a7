"""labs/ holds exactly what solutions/ generates, and the handout says what lab.toml says."""

import io
import zipfile
from pathlib import Path

import pytest

from grader.notebook import body, parse, regions
from grader.release import release, solution_notebook, template_notebook
from grader.spec import load_spec

ROOT = Path(__file__).resolve().parents[2]
LABS = sorted(path.parent for path in (ROOT / "labs").glob("*/lab.toml"))
SCRIPTS = sorted(ROOT.glob("solutions/*/lab*_*.py"))


def test_there_are_labs_and_scripts() -> None:
    assert LABS
    assert SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_template_is_what_the_script_generates(script: Path) -> None:
    template = ROOT / "labs" / script.parent.name / f"{script.stem}.ipynb"
    assert template.read_bytes() == template_notebook(script), (
        f"{template.relative_to(ROOT)} is out of date; in the repository's root run: python -c "
        "'from pathlib import Path; from grader.release import write_templates; "
        f'write_templates("{script.parent.name}", Path("solutions"), Path("labs"))\''
    )


@pytest.mark.parametrize("lab", LABS, ids=lambda path: path.name)
def test_every_notebook_has_a_script_and_a_task(lab: Path) -> None:
    notebooks = {path.stem for path in lab.glob("*.ipynb")}
    assert notebooks == {script.stem for script in SCRIPTS if script.parent.name == lab.name}
    assert notebooks == {Path(task.notebook).stem for task in load_spec(lab / "lab.toml").task}


@pytest.mark.parametrize("lab", LABS, ids=lambda path: path.name)
def test_every_template_keeps_the_contract(lab: Path) -> None:
    for task in load_spec(lab / "lab.toml").task:
        notebook = parse((lab / task.notebook).read_bytes())
        todos = {region.id: cell.kind for cell in notebook.cells for region in regions(cell.source)}
        assert "helpers" in todos
        assert sum("parameters" in cell.tags for cell in notebook.cells) == 1
        assert {question.question for question in task.manual} == {id for id, kind in todos.items() if kind == "markdown"}
        assert not any(cell.outputs for cell in notebook.cells)


@pytest.mark.parametrize("lab", LABS, ids=lambda path: path.name)
def test_no_solution_leaves_with_the_release(lab: Path, tmp_path: Path) -> None:
    archive = zipfile.ZipFile(io.BytesIO(release(lab, tmp_path).read_bytes()))
    everything = "\n".join(archive.read(name).decode() for name in archive.namelist())
    assert "SOLUTION" not in everything
    for script in (script for script in SCRIPTS if script.parent.name == lab.name):
        for cell in parse(solution_notebook(script)).cells:
            for region in regions(cell.source):
                longest = max(body(cell.source, region).split("\n"), key=len)
                assert longest.strip() not in everything, f"the solution of {region.id} can be read in the release"


@pytest.mark.parametrize("lab", LABS, ids=lambda path: path.name)
def test_the_handout_names_points_and_anchors(lab: Path) -> None:
    rows = [[cell.strip() for cell in line.split("|")] for line in (lab / "handout.md").read_text().splitlines()]
    spec = load_spec(lab / "lab.toml")
    for task in spec.task:
        for criterion in task.metrics:
            marks = [f"{criterion.points:g}", _number(criterion.full), _number(criterion.zero)]
            assert any(row[3:4] == marks[:1] and _starts(row[4:6], marks[1:]) for row in rows), (criterion.name, marks)
        for row in (*task.units, *task.manual):
            assert any(r[3:4] == [f"{row.points:g}"] for r in rows), row.name
        assert any(f"`{task.notebook}`" in r[2:3] and f"{task.max_score:g}" in r for r in rows)


def _number(value: float) -> str:
    return f"{value:g}" if value >= 1 else f"{value:.2f}"


def _starts(cells: list[str], numbers: list[str]) -> bool:
    return len(cells) == 2 and all(cell.split(" ")[0] == number for cell, number in zip(cells, numbers, strict=True))
