"""What the trusted side asks of a student's notebook after all its cells ran.

A challenge is sent in rounds. Each round is a tuple of requests; the answers are arrays. Seeds are derived from the course secret,
so they cannot be known in advance, and from the student and task, so handing in again re-rolls nothing.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from grader.models import Problem

Seed = int
"""0 ≤ seed < 2³²: random, numpy and torch are all seeded with it."""


def derive_seed(secret: bytes, *names: str) -> Seed:
    """HMAC-SHA256 of the names under the course secret, as a 32-bit seed.

    The names are length-prefixed, so that ("a", "bc") and ("ab", "c") differ.
    """
    message = b"".join(len(name.encode()).to_bytes(4, "big") + name.encode() for name in names)
    return int.from_bytes(hmac.digest(secret, message, hashlib.sha256)[:4], "big")


@dataclass(frozen=True)
class Generate:
    """Seed everything, call `generate(n)`, `generate(n, *arguments)` or `generate(labels)`, and return the images, uint8 (n, *shape)."""

    id: str
    n: int
    seed: Seed
    shape: tuple[int, ...]
    arguments: tuple[int, ...] = ()
    labels: NDArray[np.float32] | None = None
    """(n, L) of 0 and 1: the one argument, a CPU tensor, where it is given."""
    weights: Literal["checkpoint", "random"] = "checkpoint"
    """`random`: every network that the given code loaded is re-initialised for this call, and restored after it."""

    @property
    def inputs(self) -> tuple[NDArray[np.float32], ...]:
        """Arrays that are sent with the request."""
        return () if self.labels is None else (self.labels,)

    @property
    def call(self) -> str:
        """The request in the student's words."""
        if self.labels is not None:
            return f"generate(labels of shape {self.labels.shape})"
        return f"generate({', '.join(map(str, (self.n, *self.arguments)))})"


@dataclass(frozen=True)
class Probe:
    """Run our own `code` in the notebook's namespace and return the float32 arrays that it makes.

    `code` defines `probe(*inputs)`, which gets the inputs as CPU float32 tensors and returns a list of tensors or arrays.
    """

    id: str
    code: str
    seed: Seed
    inputs: tuple[NDArray[np.float32], ...] = ()
    max_bytes: int = 4 << 20
    """Cap on all outputs together."""
    feedback: bool = False
    """Worth no points: whatever happens in it, the limits included, the answers received before it stand."""


Request = Generate | Probe
Round = tuple[Request, ...]
Answer = tuple[NDArray[np.uint8] | NDArray[np.float32], ...]
"""One uint8 array for Generate; any number of float32 arrays for Probe."""


@dataclass(frozen=True)
class Answers:
    """What came back so far: an answer or a problem for each request id."""

    arrays: Mapping[str, Answer] = field(default_factory=dict)
    problems: Mapping[str, Problem] = field(default_factory=dict)


NextRound = Callable[[Answers], Round | None]
"""Given all answers so far, the next round, or None when nothing more is needed."""
