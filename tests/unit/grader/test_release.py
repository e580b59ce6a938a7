import ast
import zipfile
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.errors import UsageError
from grader.notebook import body, markers, parse, regions
from grader.release import fill, release, solution_notebook, template_notebook, write_templates

SCRIPT = """# %% [markdown]
# # A lab

# %% tags=["parameters"]
TRAIN = True

# %%
### BEGIN SOLUTION helpers: your own
import math
### END SOLUTION

# %%
class Net:
    ### BEGIN SOLUTION fields
    width = 3
    ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION forward: x -> y

        if x:
            y = math.pi
        ### END SOLUTION
        return y


if TRAIN:
    ### BEGIN SOLUTION inner: go on
    print(1)
    ### END SOLUTION

# %% [markdown]
# **Q: Why?**
#
# ### BEGIN SOLUTION q_why: your answer
# Because.
# ### END SOLUTION
"""
LAB_TOML = """
[lab]
id = "lab1"
title = "A lab"
files = ["lab1_a.ipynb"]
[[task]]
id = "a"
notebook = "lab1_a.ipynb"
dataset = "mnist"
shape = [28, 28]
[[task.criterion]]
unit = "generator_shape"
points = 1
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "solutions" / "lab1" / "lab1_a.py"
    path.parent.mkdir(parents=True)
    path.write_text(SCRIPT)
    return path


def bodies(data: bytes) -> dict[str, str]:
    return {region.id: body(cell.source, region) for cell in parse(data).cells for region in regions(cell.source)}


def test_placeholders_suit_their_place(script: Path) -> None:
    assert bodies(template_notebook(script)) == {
        "helpers": "pass",
        "fields": "pass",
        "forward": 'raise NotImplementedError("TODO forward")',
        "inner": "pass",
        "q_why": "\n*Your answer here.*\n",
    }


def test_template_is_a_valid_notebook_whose_cells_parse(script: Path) -> None:
    data = template_notebook(script)
    nbformat.validate(nbformat.reads(data.decode(), as_version=4))
    notebook = parse(data)
    assert [cell.kind for cell in notebook.cells] == ["markdown", "code", "code", "code", "markdown"]
    assert notebook.cells[1].tags == {"parameters"}
    for cell in notebook.cells:
        if cell.kind == "code":
            ast.parse(cell.source)


def test_hints_stand_on_the_marker_lines(script: Path) -> None:
    source = parse(template_notebook(script)).cells[3].source
    assert "        ##TODO## forward: x -> y\n" in source
    assert "    ##TODO## fields\n" in source


def test_the_solution_is_the_template_filled(script: Path) -> None:
    assert fill(template_notebook(script), bodies(solution_notebook(script))) == solution_notebook(script)
    assert bodies(solution_notebook(script))["forward"] == "\nif x:\n    y = math.pi"


def test_generation_is_deterministic_and_ids_survive_a_new_cell(script: Path) -> None:
    before = parse(template_notebook(script))
    assert template_notebook(script) == template_notebook(script)
    script.write_text(SCRIPT.replace("# %% tags", "# %%\nnew = 1\n\n# %% tags"))
    after = parse(template_notebook(script))
    assert {cell.id for cell in before.cells} < {cell.id for cell in after.cells}


def test_equal_cells_get_different_ids(script: Path) -> None:
    script.write_text("# %%\nx\n\n# %%\nx\n")
    first, second = parse(template_notebook(script)).cells
    assert first.id != second.id


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("### BEGIN SOLUTION a\n### BEGIN SOLUTION b\n### END SOLUTION", "b begins inside solution a"),
        ("### END SOLUTION", "did not begin"),
        ("### BEGIN SOLUTION a\n1", "does not end"),
        ("## BEGIN SOLUTION a\n1\n### END SOLUTION", "not a solution marker"),
        ("### BEGIN SOLUTION a\n### END SOLUTION\n### BEGIN SOLUTION a\n### END SOLUTION", "2 times"),
        ("f(\n### BEGIN SOLUTION a\n1\n### END SOLUTION\n)", "whole statements"),
    ],
)
def test_wrong_scripts_are_refused(script: Path, text: str, complaint: str) -> None:
    script.write_text(f"# %%\n{text}\n")
    with pytest.raises(UsageError, match=complaint):
        template_notebook(script)


@given(st.dictionaries(st.sampled_from(["helpers", "fields", "forward", "q_why"]), st.text(max_size=40)))
def test_fill_puts_any_body_in(texts: dict[str, str]) -> None:
    texts = {id: text.replace("\r", "").encode("utf-8", "ignore").decode() for id, text in texts.items()}
    assert texts.items() <= bodies(fill(TEMPLATE, texts)).items()


def test_fill_refuses_unknown_todos_and_markers() -> None:
    with pytest.raises(ValueError, match="no TODO nothing"):
        fill(TEMPLATE, {"nothing": ""})
    with pytest.raises(ValueError, match="marker"):
        fill(TEMPLATE, {"forward": "##END TODO##"})


def test_write_templates_takes_the_scripts_of_the_lab_only(script: Path, tmp_path: Path) -> None:
    (script.parent / "sample_class.py").write_text("print()")
    (path,) = write_templates("lab1", tmp_path / "solutions", tmp_path / "labs")
    assert path == tmp_path / "labs" / "lab1" / "lab1_a.ipynb"
    assert path.read_bytes() == template_notebook(script)
    with pytest.raises(UsageError, match="lab2"):
        write_templates("lab2", tmp_path / "solutions", tmp_path / "labs")


@pytest.fixture
def lab(script: Path, tmp_path: Path) -> Path:
    write_templates("lab1", tmp_path / "solutions", tmp_path / "labs")
    folder = tmp_path / "labs" / "lab1"
    (folder / "lab.toml").write_text(LAB_TOML)
    (folder / "handout.md").write_text("# Lab 1\n")
    return folder


def test_release_holds_templates_handout_and_links(lab: Path, tmp_path: Path) -> None:
    path = release(lab, tmp_path / "out")
    first = path.read_bytes()
    assert path.name == "lab1.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["lab1/checkpoint_links.txt", "lab1/handout.md", "lab1/lab1_a.ipynb"]
        assert archive.read("lab1/checkpoint_links.txt").decode().splitlines()[-1] == "a: handin.pt"
        assert archive.read("lab1/lab1_a.ipynb") == (lab / "lab1_a.ipynb").read_bytes()
    assert release(lab, tmp_path / "out").read_bytes() == first


def test_release_holds_the_prompts(lab: Path, tmp_path: Path) -> None:
    spec = (lab / "lab.toml").read_text()
    assert "[[task.criterion]]" in spec
    with_prompts = 'prompts = ["test.json"]\nclasses = ["a", "b"]\n'
    (lab / "lab.toml").write_text(spec.replace("[[task.criterion]]", with_prompts + "[[task.criterion]]", 1))
    (lab / "test.json").write_text('[["a"], ["b", "a"]]')
    with zipfile.ZipFile(release(lab, tmp_path / "out")) as archive:
        assert archive.read("lab1/test.json") == b'[["a"], ["b", "a"]]'


def test_release_finds_the_templates_of_a_lab_folder(lab: Path, tmp_path: Path) -> None:
    before = release(lab, tmp_path / "out").read_bytes()
    (lab / "templates").mkdir()
    for name in ("lab1_a.ipynb", "handout.md"):
        (lab / name).rename(lab / "templates" / name)
    assert release(lab, tmp_path / "out").read_bytes() == before


@pytest.mark.parametrize("answers", [{"forward": "y = 1"}, {"q_why": "Because."}])
def test_release_refuses_answers(lab: Path, tmp_path: Path, answers: dict[str, str]) -> None:
    template = lab / "lab1_a.ipynb"
    template.write_bytes(fill(template.read_bytes(), answers))
    with pytest.raises(UsageError, match="filled in"):
        release(lab, tmp_path / "out")


def test_release_names_what_is_missing(lab: Path, tmp_path: Path) -> None:
    (lab / "handout.md").unlink()
    with pytest.raises(UsageError, match=r"handout\.md"):
        release(lab, tmp_path / "out")


def test_no_solution_marker_is_left(script: Path) -> None:
    for data in (template_notebook(script), solution_notebook(script)):
        assert b"SOLUTION" not in data
        assert len([m for cell in parse(data).cells for m in markers(cell.source)]) == 10


def _template() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lab1_a.py"
        path.write_text(SCRIPT)
        return template_notebook(path)


TEMPLATE = _template()
