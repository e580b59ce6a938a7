"""The sandboxes that this machine has for whoever runs the tests, by name."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from grader.models import Level
from grader.sandbox import Sandbox, landlock
from grader.sandbox.bubblewrap import BubblewrapSandbox, find_bwrap
from grader.sandbox.confined import ConfinedSandbox, Layers
from grader.sandbox.meters import Meter, ProcessWalk
from grader.sandbox.selftest import self_test
from grader.sandbox.zygote import ZygoteSandbox

ROOT = os.geteuid() == 0


@dataclass(frozen=True)
class Backend:
    """strong (bubblewrap); zygote (as strong, forked from a warm process); good; user-id (a user of the slot's, without Landlock);
    landlock (without a user of the slot's).

    Where several processes share what a cgroup would count, the last three are tried without one, as in a container.
    """

    name: str
    make: Callable[[], Sandbox]

    def __str__(self) -> str:
        return self.name

    @property
    def who(self) -> str:
        """For tables."""
        return f"{self.name} ({'root' if ROOT else 'user'})"


def by_walk(memory_mb: int, processes: int) -> Meter:
    """A meter that needs no cgroup."""
    return ProcessWalk()


def _confined(level: Level, **layers: bool) -> Callable[[], Sandbox]:
    return lambda: ConfinedSandbox(Layers(seccomp=True, **layers), level, by_walk)


STRONG = Backend("strong", lambda: BubblewrapSandbox(find_bwrap()))
ZYGOTE = Backend("zygote", lambda: ZygoteSandbox(BubblewrapSandbox(find_bwrap())))
GOOD = Backend("good", _confined(Level.GOOD, own_user=True, landlock=True))
USER_ID = Backend("user-id", _confined(Level.REDUCED, own_user=True))
LANDLOCK = Backend("landlock", _confined(Level.REDUCED, landlock=True))

CANDIDATES = (STRONG, ZYGOTE, GOOD, USER_ID) if ROOT else (STRONG, LANDLOCK)


def missing(backend: Backend) -> str | None:
    """Why this machine does not have the backend; None where it does."""
    if backend in (GOOD, LANDLOCK) and landlock.abi() < (1 if backend is GOOD else landlock.SCOPE_ABI):
        return f"this machine has Landlock version {landlock.abi()}"
    try:
        self_test(backend.make())
    except Exception as error:  # whatever it is, the reason is printed
        return str(error)
    return None
