"""What is published is seen however it is dressed up, and what a student writes is not taken for it."""

import ast
import hashlib
import io
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from grader.classrun import Selection, grade_class
from grader.course import init
from grader.display import Display
from grader.errors import CourseError
from grader.lookalike import (
    ENOUGH_NODES,
    MIN_NODES,
    Published,
    body_fingerprint,
    load_fingerprints,
    look_alike,
    notebook_bodies,
    write_fingerprints,
)
from grader.models import Status
from grader.notebook import body, parse, regions
from grader.release import solution_notebook
from grader.spec import LabSpec, load_spec

ROOT = Path(__file__).parents[3]
LABS = sorted(path.parent for path in (ROOT / "labs").glob("*/lab.toml"))
LAB8 = load_spec(ROOT / "labs" / "lab8" / "lab.toml")
SOLUTIONS = ROOT / "solutions" / "lab8"
CHECKPOINT = SOLUTIONS / "checkpoints" / "lab8_vanilla.pt"
BODIES = {
    region.id: body(cell.source, region)
    for cell in parse(solution_notebook(SOLUTIONS / "lab8_vanilla.py")).cells
    if cell.kind == "code"
    for region in regions(cell.source)
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    path = tmp_path_factory.mktemp("lab") / "fingerprints.toml"
    return load_fingerprints(write_fingerprints(LAB8, SOLUTIONS, [CHECKPOINT], path))


def sha256(text: str) -> str:
    found = body_fingerprint(text)
    assert found is not None
    return found.sha256


ORIGINAL = '''
"""Train."""
for epoch in range(total):
    loss = step(epoch, scale=0.5)  # a comment
    print(f"{epoch}: {loss:.3f}")

def step(n, scale=1):
    """One step."""
    self.layers = [n]
    return [value * scale for value in self.layers]
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another"),
        ('"""One step."""', '"""Two steps."""'),
        ('"""Train."""', ""),
        ("epoch", "e"),
        ("layers", "net"),
        ("    ", "  "),
        ("value", "v"),
        ("(epoch, scale=0.5)", "(\n        epoch,\n        scale = .5,\n    )"),
    ],
)
def test_dress_makes_no_difference(old: str, new: str) -> None:
    changed = ORIGINAL.replace(old, new)
    assert changed != ORIGINAL
    assert sha256(changed) == sha256(ORIGINAL)


@pytest.mark.parametrize(
    ("old", "new"), [("0.5", "0.25"), ("total", "steps"), ("step(", "walk("), ("* scale", "+ scale"), ("loss:.3f", "loss:.2f")]
)
def test_substance_does(old: str, new: str) -> None:
    text = ORIGINAL if old != "step(" else ORIGINAL.replace("def step(n", "def other(n")
    assert sha256(text.replace(old, new, 1)) != sha256(text)


@pytest.mark.parametrize("text", ["!pip install torch\nx = 1", "def f(:", "(" * 500, "\0", "-" * 5000 + "1", "x" * 10**6])
def test_what_cannot_be_parsed_has_no_fingerprint(text: str) -> None:
    assert body_fingerprint(text) is None


PYTHON = ("x = 1", "class A:\n    '''doc'''", "lambda x, /, *y, z=1, **w: x", "match x:\n  case [a, *b]: pass")


@given(st.text(max_size=50) | st.sampled_from(PYTHON))
def test_any_text_gets_a_fingerprint_or_none(text: str) -> None:
    found = body_fingerprint(text)
    assert found is None or len(found.sha256) == 64


def test_the_published_solution_is_seen_under_other_names_and_comments(published: Published) -> None:
    renamed = {
        id: re.sub(r"\b(bar|progress)\b", r"my_\1", ast.unparse(ast.parse(text))) + "\n# all mine" for id, text in BODIES.items()
    }
    (flag,) = look_alike(published, renamed.values(), None)
    assert flag.code == "look-alike"
    assert flag.holds
    assert "train of lab8_vanilla.ipynb" in flag.message


def test_the_training_loop_alone_is_enough_and_small_bodies_never_are(published: Published) -> None:
    assert look_alike(published, [BODIES["train"]], None)
    small = [text for text in BODIES.values() if (found := body_fingerprint(text)) and found.nodes < MIN_NODES]
    assert {"discriminator_loss", "generator_loss", "optimizers", "settings", "generate"} <= {
        k for k, v in BODIES.items() if v in small
    }
    assert look_alike(published, small, None) == ()


def test_one_body_below_the_measure_is_a_coincidence(published: Published) -> None:
    found = notebook_bodies(solution_notebook(SOLUTIONS / "lab8_vanilla.py"))
    assert MIN_NODES <= found["generator_layers"].nodes < ENOUGH_NODES
    assert look_alike(published, [BODIES["generator_layers"]], None) == ()
    assert look_alike(published, [BODIES["generator_layers"], BODIES["discriminator_layers"]], None)


def test_without_fingerprints_there_is_no_check(tmp_path: Path) -> None:
    nothing = load_fingerprints(tmp_path / "fingerprints.toml")
    assert nothing == Published()
    assert look_alike(nothing, BODIES.values(), CHECKPOINT) == ()


def saved(path: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> Path:
    state = torch.load(CHECKPOINT, weights_only=True)
    torch.save({f"module.{name}": change(tensor) for name, tensor in state.items()}, path)
    return path


@pytest.mark.parametrize(
    "change",
    [torch.clone, lambda t: t.float() if t.is_floating_point() else t],
    ids=["as it is", "in single precision"],
)
def test_a_published_checkpoint_is_seen_when_it_was_saved_again(
    tmp_path: Path, published: Published, change: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    path = saved(tmp_path / "mine.pt", change)
    assert hashlib.sha256(path.read_bytes()).digest() != hashlib.sha256(CHECKPOINT.read_bytes()).digest()
    (flag,) = look_alike(published, (), path)
    assert "published checkpoint lab8_vanilla.pt" in flag.message


def test_a_checkpoint_that_is_no_archive_is_seen_by_its_bytes(tmp_path: Path) -> None:
    old = tmp_path / "old.pt"
    torch.save({"w": torch.rand(9)}, old, _use_new_zipfile_serialization=False)
    found = load_fingerprints(write_fingerprints(LAB8, SOLUTIONS, [old], tmp_path / "fingerprints.toml"))
    (tmp_path / "copy.pt").write_bytes(old.read_bytes())
    assert look_alike(found, (), tmp_path / "copy.pt")


def test_a_checkpoint_of_ones_own_is_not_taken_for_it(tmp_path: Path, published: Published) -> None:
    torch.manual_seed(0)
    path = saved(tmp_path / "mine.pt", lambda t: torch.randn_like(t) if t.is_floating_point() else t)
    assert look_alike(published, (), path) == ()


def test_tensors_that_everybody_has_do_not_count(tmp_path: Path) -> None:
    shared = [torch.zeros(5000), torch.ones(5000), torch.ones(5000, dtype=torch.int64)]
    torch.save([*shared, torch.rand(5000)], tmp_path / "ours.pt")
    torch.save(shared, tmp_path / "theirs.pt")
    found = load_fingerprints(write_fingerprints(LAB8, SOLUTIONS, [tmp_path / "ours.pt"], tmp_path / "fingerprints.toml"))
    assert look_alike(found, (), tmp_path / "theirs.pt") == ()
    assert look_alike(found, (), tmp_path / "ours.pt")


def test_hostile_archives_are_read_within_limits(tmp_path: Path, published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grader.lookalike.MAX_BYTES", 100_000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data/0", bytes(10_000_000))
    for data in (buffer.getvalue(), b"PK\x03\x04junk", b"", random.Random(0).randbytes(5000)):
        (tmp_path / "x.pt").write_bytes(data)
        assert look_alike(published, (), tmp_path / "x.pt") == ()


@pytest.mark.parametrize("text", ["[[body]]\ntodo = 1\n", "[[checkpoint]]\nname = 'x'\nsha256 = 3\n", "x"])
def test_other_files_of_the_name_are_an_error_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fingerprints.toml"
    path.write_text(text)
    with pytest.raises(CourseError, match=r"fingerprints\.toml holds no fingerprints .*grader init"):
        load_fingerprints(path)


@pytest.mark.parametrize("lab", [lab for lab in LABS if (lab / "fingerprints.toml").exists()], ids=lambda lab: lab.name)
def test_a_labs_fingerprints_are_what_solutions_generate(lab: Path, tmp_path: Path) -> None:
    spec: LabSpec = load_spec(lab / "lab.toml")
    solutions = ROOT / "solutions" / lab.name
    checkpoints = sorted((solutions / "checkpoints").rglob("*.pt"))
    made = write_fingerprints(spec, solutions, checkpoints, tmp_path / "fingerprints.toml")
    assert (lab / "fingerprints.toml").read_text() == made.read_text(), "run: make docs"


@pytest.mark.slow
def test_the_published_solution_is_graded_and_held_with_neutral_words_for_the_student(tmp_path: Path) -> None:
    lab = tmp_path / "lab8"
    init(lab)
    first_task = (lab / "lab.toml").read_text().split("[[task]]")[:2]
    (lab / "lab.toml").write_text("[[task]]".join(first_task))
    write_fingerprints(load_spec(lab / "lab.toml"), SOLUTIONS, [CHECKPOINT], lab / "fingerprints.toml")
    for student, extra in (("ada", CHECKPOINT.read_bytes()), ("bob", b"")):
        (lab / "submissions" / student).mkdir()
        (lab / "submissions" / student / "lab8_vanilla.ipynb").write_bytes(solution_notebook(SOLUTIONS / "lab8_vanilla.py"))
        if extra:
            (lab / "submissions" / student / "handin.pt").write_bytes(extra)
    summary = grade_class(lab, Selection(), Display(Console(file=io.StringIO())), workers=1, device="cpu", trust=True)
    ada, bob = summary.results
    assert (ada.status, bob.status) == (Status.HELD, Status.HELD)
    assert ada.score is not None and bob.score is not None and ada.score > bob.score
    assert "published checkpoint lab8_vanilla.pt" in ada.tasks[0].flags[-1].message
    assert "checkpoint" not in bob.tasks[0].flags[-1].message
    report = (lab / "results" / "ada" / "report.html").read_text()
    assert "This hand-in matches published material; a person will look at it." in report
    assert "published solution" not in report
