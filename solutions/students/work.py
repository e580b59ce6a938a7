"""What a student of a sample class hands in."""

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import torch


def body(text: str) -> str:
    """A TODO body without the indentation of the file it is written in."""
    return textwrap.dedent(text).strip("\n")


@dataclass(frozen=True)
class Work:
    """One task: the checkpoint, the TODO bodies that differ from the plain student's, and edits of the notebook file."""

    checkpoint: str | None = "typical"
    """name of the file below checkpoints/students; None: nothing was trained"""
    bodies: Mapping[str, str] = field(default_factory=dict)
    edit: Callable[[str], str] = str
    solution: bool = False
    """the reference notebook and checkpoint instead of the plain student's"""
    untouched: bool = False
    """the template as it was released"""
    link: str | None = None
    """file on the sample server that checkpoint_links.txt leads to; None: the checkpoint lies beside the notebook"""


@dataclass(frozen=True)
class Student:
    """A hand-in: the work for each task of the lab, by the task's id, the essay, and how long after the deadline it came."""

    name: str
    works: Mapping[str, Work] = field(default_factory=dict)
    """of a task that is not named: the plain student's"""
    essay: str | None = None
    late: timedelta = timedelta(hours=-20)
    group: tuple[str, ...] = ()
    """ids of all members where several hand in together"""

    def work(self, task: str) -> Work:
        """What was done for a task."""
        return self.works.get(task, Work())


Hiding = Callable[[Mapping[str, torch.Tensor]], bytes]
"""From a generator's weights to a checkpoint file that has something more in it."""


@dataclass(frozen=True)
class SampleLab:
    """The sample class of a lab."""

    id: str
    students: tuple[Student, ...]
    plain: Mapping[str, Mapping[str, str]]
    """what the plain student wrote into each TODO, by task"""
    essay_file: str
    hidden: Mapping[str, tuple[str, Hiding]]
    """checkpoints that are made from another one, by name: that one's name, and how"""
