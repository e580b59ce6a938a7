"""What a student of a sample class hands in."""

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta


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
    """A hand-in: the work for each task of the lab, the essay, and how long after the deadline it came."""

    name: str
    vanilla: Work = Work()
    cwgan: Work = Work()
    essay: str | None = None
    late: timedelta = timedelta(hours=-20)
    group: tuple[str, ...] = ()
    """ids of all members where several hand in together"""
