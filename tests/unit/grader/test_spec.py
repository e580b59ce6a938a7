import hashlib
import tomllib
from pathlib import Path

import pytest

from grader.errors import SpecError
from grader.spec import LabSpec, Limits, MetricCriterion, UnitCriterion, load_spec

LAB = """
[lab]
id = "lab1"
title = "A lab"
files = ["a.ipynb", "reflection.*"]

[[task]]
id = "a"
notebook = "a.ipynb"
dataset = "mnist"
shape = [28, 28]
limits = { cpu_s = 7 }
[[task.criterion]]
metric = "fid2k_test_indomain"
points = 30
full = 10
zero = 100
[[task.criterion]]
metric = "duplicates2k_pixels"
points = 2.5
full = 0
zero = 1
needs = "fid2k_test_indomain"
[[task.criterion]]
unit = "generator_shape"
points = 5
[[task.manual]]
question = "q_dc"
points = 4
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "lab.toml"
    file.write_text(LAB)
    return file


def complaint(path: Path, old: str, new: str) -> list[str]:
    """The lines below the heading of the error that a changed lab.toml gives."""
    assert old in LAB
    path.write_text(LAB.replace(old, new, 1))
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    heading, *lines = str(caught.value).splitlines()
    assert heading == f"{path} does not describe a lab:"
    return [line.strip() for line in lines]


def test_reads_a_lab(path: Path) -> None:
    spec = load_spec(path)
    (task,) = spec.task
    assert spec.lab.files == ("a.ipynb", "reflection.*")
    assert [type(c) for c in task.criterion] == [MetricCriterion, MetricCriterion, UnitCriterion]
    assert [c.name for c in task.metrics] == ["fid2k_test_indomain", "duplicates2k_pixels"]
    assert [c.name for c in task.units] == ["generator_shape"]
    assert [c.name for c in task.manual] == ["q_dc"]
    assert task.max_score == 30 + 2.5 + 5  # questions are not automatic points
    assert task.samples == 2000
    assert task.limits == Limits(cpu_s=7)
    assert task.limits.wall_s == 240
    assert spec.sha256 == hashlib.sha256(LAB.encode()).hexdigest()


def test_the_hash_is_of_the_file_and_not_of_what_it_says_about_itself(path: Path) -> None:
    path.write_text('sha256 = "0"\n' + LAB)
    assert load_spec(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_survives_a_round_trip_through_python(path: Path) -> None:
    spec = load_spec(path)
    assert LabSpec.model_validate(spec.model_dump()).task == spec.task


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("points = 30\n", "", "task[0].criterion[0].points: Field required"),
        ("points = 30", "points = 0", "task[0].criterion[0].points: Input should be greater than 0"),
        ("points = 30", "points = inf", "task[0].criterion[0].points: Input should be a finite number"),
        ("full = 10", "full = nan", "task[0].criterion[0].full: Input should be a finite number"),
        ("full = 10", "full = 100", "task[0].criterion[0]: full and zero are both 100.0; they must differ"),
        ("zero = 100", "zeros = 100", "task[0].criterion[0].zero: Field required"),
        ("unit =", "unt =", "task[0].criterion[2]: A criterion has either `metric` or `unit`"),
        ('unit = "generator_shape"', 'unit = "generator_shape"\nmetric = "x"', "task[0].criterion[2]: A criterion has either"),
        (
            '"generator_shape"',
            '"shape"',
            "task[0].criterion[2].unit: no unit check is called 'shape'; there are generator_shape,",
        ),
        (
            'needs = "fid2k_test_indomain"',
            'needs = "generator_shape"',
            "task[0]: task a: duplicates2k_pixels needs generator_shape,",
        ),
        ('question = "q_dc"', 'question = "generator_shape"', "task[0]: task a: criterion generator_shape stands there twice"),
        ('question = "q_dc"\n', "", "task[0].manual[0].question: Field required"),
        ("cpu_s = 7", "cpu_s = -7", "task[0].limits.cpu_s: Input should be greater than 0"),
        ("cpu_s = 7", "cpus = 7", "task[0].limits.cpus: Extra inputs are not permitted"),
        ("shape = [28, 28]", "shape = [28, 0]", "task[0].shape[1]: Input should be greater than 0"),
        ('id = "a"', 'id = "../a"', "task[0].id: String should match pattern"),
        ('notebook = "a.ipynb"', 'notebook = "../a.ipynb"', "task[0].notebook: String should match pattern"),
        ('id = "lab1"', 'id = "Lab 1"', "lab.id: String should match pattern"),
        ("[lab]", "[labs]", "lab: Field required"),
    ],
)
def test_names_the_place_of_a_mistake_as_toml_writes_it(path: Path, old: str, new: str, expected: str) -> None:
    assert complaint(path, old, new)[0].startswith(expected)


@pytest.mark.parametrize(("old", "new"), [("points = 30\n", ""), ("unit =", "unt ="), ("cpu_s = 7", 'cpu_s = "x"')])
def test_one_mistake_gives_one_line(path: Path, old: str, new: str) -> None:
    assert len(complaint(path, old, new)) == 1


def test_names_every_mistake(path: Path) -> None:
    assert len(complaint(path, "points = 30\nfull = 10\n", "points = 0\n")) == 2


def test_a_lab_has_tasks_and_a_task_has_criteria(path: Path) -> None:
    start = LAB.index("[[task]]")
    assert complaint(path, LAB[start:], "")[0] == "task: Field required"
    first, last = LAB.index("[[task.criterion]]"), LAB.index("[[task.manual]]")
    assert "at least 1 item" in complaint(path, LAB[first:last], "criterion = []\n")[0]


def test_tasks_have_ids_of_their_own(path: Path) -> None:
    assert complaint(path, LAB, LAB + LAB[LAB.index("[[task]]") :]) == ["file: two tasks share an id: a, a"]


def test_says_that_the_file_is_missing_and_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"lab\.toml: cannot be read \(No such file.*`grader init`"):
        load_spec(tmp_path / "lab.toml")


@pytest.mark.parametrize("data", [b"[lab", b"\xff\xfe", b"a = 1\na = 2"])
def test_says_that_the_file_is_not_toml(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "lab.toml"
    path.write_bytes(data)
    with pytest.raises(SpecError, match=r"lab\.toml is not valid TOML: "):
        load_spec(path)


def test_every_lab_of_the_repository_can_be_read() -> None:
    files = sorted((Path(__file__).parents[3] / "labs").glob("*/lab.toml"))
    assert files
    for file in files:
        assert load_spec(file).lab.id == file.parent.name == tomllib.loads(file.read_text())["lab"]["id"]
