import json
from pathlib import Path

import pytest

from evaluator.prompts import Prompts
from grader.errors import SpecError
from grader.prompt_files import set_name
from grader.spec import Task, load_spec

LAB = """
[lab]
id = "lab1"
title = "A lab"
files = ["a.ipynb"]

[[task]]
id = "a"
notebook = "a.ipynb"
dataset = "iclevr"
samples = 10
shape = [3, 64, 64]
classes = ["red cube", "red ball", "blue cube"]
prompts = ["test.json", "new_test.json"]
[[task.criterion]]
metric = "topk_accuracy4_test_indomain"
points = 30
full = 1
zero = 0
"""
TEST = [["red cube"], ["blue cube", "red ball"]]
NEW_TEST = [["red cube", "red ball"], ["red ball"], ["blue cube"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lab.toml").write_text(LAB)
    (tmp_path / "test.json").write_text(json.dumps(TEST))
    (tmp_path / "new_test.json").write_text(json.dumps(NEW_TEST))
    return tmp_path


def the_task(folder: Path) -> Task:
    (task,) = load_spec(folder / "lab.toml").task
    return task


def sets(task: Task) -> Prompts:
    assert task.prompt_sets is not None
    return task.prompt_sets


def test_prompts_become_rows_of_zeros_and_ones_by_the_order_of_the_classes(folder: Path) -> None:
    found = sets(the_task(folder)).sets
    assert list(found) == ["test", "new-test"]
    assert found["test"].tolist() == [[1, 0, 0], [0, 1, 1]]
    assert found["new-test"].tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_a_set_is_named_after_its_file_without_what_separates_the_parts_of_a_metrics_name() -> None:
    assert set_name("new_test.json") == "new-test"


def test_a_changed_prompt_is_a_changed_spec(folder: Path) -> None:
    before = load_spec(folder / "lab.toml").sha256
    assert load_spec(folder / "lab.toml").sha256 == before
    (folder / "test.json").write_text(json.dumps([["red ball"], *TEST[1:]]))
    assert load_spec(folder / "lab.toml").sha256 != before


def test_what_the_files_hold_is_no_part_of_the_dumped_spec(folder: Path) -> None:
    assert "asked" not in the_task(folder).model_dump()


def test_a_task_without_prompts_has_no_sets(folder: Path) -> None:
    (folder / "lab.toml").write_text(LAB.replace('prompts = ["test.json", "new_test.json"]\n', ""))
    assert the_task(folder).prompt_sets is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "test.json is not valid JSON"),
        ("{}", "test.json: expected a list of at least two prompts"),
        ('[["red cube"]]', "test.json: expected a list of at least two prompts"),
        ('[["red cube"], "red ball"]', 'test.json: prompt 1: expected a list of labels, found "red ball"'),
        ('[["red cube"], []]', r"test.json: prompt 1: expected a list of labels, found \[\]"),
        ('[["red cube"], [3]]', "test.json: prompt 1: expected a list of labels"),
        ('[["red cube"], ["pink cube"]]', "test.json: prompt 1: 'pink cube' is none of the classes in lab.toml"),
        ('[["red cube"], ["red ball", "red ball"]]', "test.json: prompt 1: a label stands there twice: red ball, red ball"),
    ],
)
def test_a_file_of_something_else_is_refused_with_its_name_and_the_prompt(folder: Path, content: str, message: str) -> None:
    (folder / "test.json").write_text(content)
    with pytest.raises(SpecError, match=message):
        load_spec(folder / "lab.toml")


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "new_test.json").unlink()
    with pytest.raises(SpecError, match=r"new_test\.json: cannot be read .*expected it beside lab\.toml"):
        load_spec(folder / "lab.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("samples = 10", "samples = 12", "a multiple of their number, 5, and no `conditional`; found samples = 12"),
        ("samples = 10", "samples = 30\nconditional = true", "prompts need samples"),
        ('prompts = ["test.json", "new_test.json"]', "prompts = 3", r"task\[0\].prompts"),
        ('"new_test.json"]', '"new_test.json", "test.json"]', "test.json, new_test.json, test.json are not one set each"),
        (
            '["test.json", "new_test.json"]',
            '["new_test.json", "new-test.json"]',
            "new_test.json, new-test.json are not one set each",
        ),
        ('prompts = ["test.json", "new_test.json"]', 'prompts = ["../test.json"]', r"prompts\[0\]"),
        ("samples = 10", 'samples = 10\nasked = { test = [["red cube"]] }', "`asked` stands in a task"),
    ],
)
def test_lab_toml_must_fit_its_prompts(folder: Path, old: str, new: str, message: str) -> None:
    assert old in LAB
    (folder / "new-test.json").write_text(json.dumps(TEST))
    (folder / "lab.toml").write_text(LAB.replace(old, new))
    with pytest.raises(SpecError, match=message):
        load_spec(folder / "lab.toml")
