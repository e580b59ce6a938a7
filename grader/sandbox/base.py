"""What every kind of sandbox offers: start one throw-away execution, watch its limits, end it for certain."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from grader.models import Level
from grader.sandbox.gpu import Gpu
from grader.spec import Limits

Verdict = Literal[
    "exited", "killed", "cpu-limit", "wall-limit", "overloaded", "memory-limit", "memory-shortage", "disk-limit", "process-limit"
]
"""How an execution ended. `exited`: by itself, see the exit status. `killed`: by a signal that we did not send, or by us for a
reason that the caller knows. `overloaded`: the wall time ran out because the machine was busy with other work.
`memory-shortage`: the machine itself had no memory left."""


@dataclass(frozen=True)
class Launch:
    """One execution: a Python script of ours with its arguments, and the files that it may read.

    script: name of an entry of `files`; it is run as `python -I <folder>/<script> <channel descriptor> <arguments>`.
    files: name -> content, or an open descriptor of a regular file (read from its start, closed by the caller).
    gpu: the one that it may use; None for the CPU alone.
    threads: what OMP, MKL and OpenBLAS are pinned to.
    slot: executions that run at the same time must have different slots; each has its own user id where we are root.
    packages: whether it uses the packages that notebooks do, so that having them imported already saves time.
    """

    script: str
    files: Mapping[str, bytes | int]
    limits: Limits
    arguments: tuple[str, ...] = ()
    gpu: Gpu | None = None
    threads: int = 1
    slot: int = 0
    packages: bool = False


@dataclass(frozen=True)
class Outcome:
    """What is known after the last process of an execution is dead.

    exit_status: of the script; negative: the signal that ended it; None where it never started.
    peak_memory_mb: the most that was seen in use, looking ten times a second; caches of the kernel do not count.
    waited_s: longest time that one of its threads was ready to run and had no CPU; known only where the wall time ran out.
    load: runnable processes per CPU of the machine, mean over the last minute.
    diagnostics: the end of what it wrote to stderr, for staff only.
    """

    exit_status: int | None
    verdict: Verdict
    cpu_s: float
    wall_s: float
    peak_memory_mb: float | None
    waited_s: float | None
    load: float
    diagnostics: str


class LimitError(Exception):
    """A limit was hit; everything has been killed, and `Running.finish` has the verdict."""


class Running(Protocol):
    """A started execution. Not thread-safe: one thread starts it, talks to it and finishes it."""

    @property
    def channel(self) -> socket.socket:
        """Our end of the socketpair."""

    def check(self) -> None:
        """Compare the use so far with the limits; cheap enough to call twenty times a second.

        Raises:
            LimitError: a limit was hit, and all processes were killed.
        """

    def cpu_s(self) -> float:
        """CPU seconds of all its processes so far."""

    def exclude(self, seconds: float) -> None:
        """Do not count this much of the past wall time: the execution was waiting for us."""

    def finish(self, grace_s: float = 0.0) -> Outcome:
        """Let the script end by itself within `grace_s`, then kill what is left, and wait until every process is dead.

        Raises:
            SandboxError: a process survives; no answer of this execution may be used.
        """


class Sandbox(Protocol):
    """A way to run student code; thread-safe."""

    @property
    def level(self) -> Level:
        """How well it confines."""

    def folder(self, slot: int) -> str:
        """Where the script sees the files of a Launch in that slot."""

    def most_processes(self, limits: Limits) -> int:
        """What the script is to set as its RLIMIT_NPROC, which counts all processes and threads of a user id; 0 for nothing."""

    def start(self, launch: Launch) -> Running:
        """Start one execution.

        Raises:
            SandboxError: it cannot be started; the message says what would help.
        """
