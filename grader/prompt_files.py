"""Files of prompts beside lab.toml, in the format that courses hand out: a JSON list of prompts, each a list of labels.

[["gray cube"], ["red cube", "blue sphere"]]
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from grader.errors import SpecError

NAME = "^[A-Za-z0-9][A-Za-z0-9_-]*[.]json$"
"""Of such a file."""


def files(table: Mapping[str, Any]) -> list[str]:
    """The names of all files that the tasks of a lab.toml, as parsed, take prompts from; what is no such table holds none."""
    return list(dict.fromkeys(name for task in _tasks(table) for name in _named(task)))


def read_prompts(table: Mapping[str, Any], lab_toml: Path) -> dict[str, bytes]:
    """Contents by file name; raises SpecError where one can't be read."""
    found = {}
    for name in files(table):
        try:
            found[name] = (lab_toml.parent / name).read_bytes()
        except OSError as error:
            raise SpecError(
                f"{lab_toml.parent / name}: cannot be read ({error.strerror}); lab.toml names it in `prompts`: expected it beside lab.toml"
            ) from error
    return found


def with_prompts(table: Mapping[str, Any], contents: Mapping[str, bytes], lab_toml: Path) -> dict[str, Any]:
    """The table with each task's prompts in it; raises SpecError where a file holds something else, or labels that are no classes."""
    if any(isinstance(task, dict) and "asked" in task for task in _tasks(table)):
        raise SpecError(f"{lab_toml}: `asked` stands in a task; prompts are in files beside lab.toml, which `prompts` names")
    tasks = [
        {**task, "asked": {set_name(name): _parsed(contents[name], lab_toml.parent / name, task) for name in _named(task)}}
        if isinstance(task, dict) and _named(task)
        else task
        for task in _tasks(table)
    ]
    return {**table, **({"task": tasks} if tasks else {})}


def set_name(file: str) -> str:
    """The name of a set in those of metrics, which end their parts with _: "new-test" of new_test.json."""
    return file.removesuffix(".json").replace("_", "-")


def _tasks(table: Mapping[str, Any]) -> Sequence[Any]:
    tasks = table.get("task")
    return tasks if isinstance(tasks, list) else []


def _named(task: Any) -> Iterator[str]:
    """What is no file name is left to the model, which complains of it."""
    prompts = task.get("prompts") if isinstance(task, dict) else None
    return (name for name in (prompts if isinstance(prompts, list) else []) if isinstance(name, str) and "/" not in name)


def _parsed(data: bytes, path: Path, task: Mapping[str, Any]) -> list[list[str]]:
    try:
        prompts = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(prompts, list) or len(prompts) < 2:
        raise SpecError(f"{path}: expected a list of at least two prompts, each a list of labels")
    classes = task.get("classes")
    for number, prompt in enumerate(prompts):
        _check(prompt, classes if isinstance(classes, list) else [], f"{path}: prompt {number}")
    return prompts


def _check(prompt: object, classes: Sequence[Any], where: str) -> None:
    if not isinstance(prompt, list) or not prompt or not all(isinstance(label, str) for label in prompt):
        raise SpecError(f"{where}: expected a list of labels, found {json.dumps(prompt)[:80]}")
    if unknown := [label for label in prompt if label not in classes]:
        raise SpecError(f"{where}: {unknown[0]!r} is none of the classes in lab.toml")
    if len(set(prompt)) < len(prompt):
        raise SpecError(f"{where}: a label stands there twice: {', '.join(prompt)}")
