"""Where student code runs. `choose` takes the strongest backend that passes the self-test, and fails closed."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.errors import SandboxError
from grader.models import Level
from grader.sandbox import landlock, zygote
from grader.sandbox.base import Launch, LimitError, Outcome, Running, Sandbox, Verdict
from grader.sandbox.bubblewrap import HELP, BubblewrapSandbox, find_bwrap
from grader.sandbox.confined import ConfinedSandbox, Layers
from grader.sandbox.selftest import self_test
from grader.sandbox.trusting import TrustingSandbox
from grader.sandbox.zygote import ZygoteSandbox

__all__ = [
    "Choice",
    "Launch",
    "LimitError",
    "Outcome",
    "Running",
    "Sandbox",
    "Verdict",
    "backends",
    "choose",
    "open_sandbox",
    "self_test",
]


@dataclass(frozen=True)
class Choice:
    """A sandbox that passed its self-test. holes: what its level tolerates; passed_over: why it is not a stronger one."""

    sandbox: Sandbox
    holes: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()


def open_sandbox(trust: bool = False) -> Sandbox:
    """The sandbox that `choose` takes."""
    return choose(trust).sandbox


def choose(trust: bool = False, *, allow_reduced: bool = False, private: tuple[Path, ...] = (), alone: bool = False) -> Choice:
    """The strongest sandbox of this machine, proven by a self-test; none at all with `trust`.

    allow_reduced: take level reduced where there is no better one. private: files of the course that student code must not read.
    alone: no other submission is on the machine.

    Raises:
        SandboxError: this machine cannot confine student code; the message says what would help.
    """
    if trust:
        return Choice(TrustingSandbox())
    passed_over: list[str] = []
    for level, make in backends(alone):
        try:
            sandbox = make()
            holes = self_test(sandbox, private, alone=alone)
        except SandboxError as error:
            passed_over.append(f"{level}: {error}")
            continue
        if level is Level.REDUCED and not allow_reduced:
            reasons = "; ".join(passed_over)
            raise SandboxError(
                f"found level reduced at best, where code {'; '.join(holes)} ({reasons}); expected good or strong: {HELP}; "
                "or grade with --allow-reduced if you accept that"
            )
        return Choice(sandbox, holes, tuple(passed_over))
    if os.geteuid() and landlock.abi() < landlock.SCOPE_ABI:
        passed_over.append(
            f"reduced: found Landlock version {landlock.abi()}, expected {landlock.SCOPE_ABI} (Linux 6.12) or newer"
        )
    raise SandboxError(f"found no way to confine student code ({'; '.join(passed_over)}): {HELP}; do not grade here")


def backends(alone: bool = False) -> Iterator[tuple[Level, Callable[[], Sandbox]]]:
    """What this machine may have, strongest first."""
    if not zygote.obstacle():
        yield Level.STRONG, lambda: ZygoteSandbox(BubblewrapSandbox(find_bwrap()))
    yield Level.STRONG, lambda: BubblewrapSandbox(find_bwrap())
    if os.geteuid() == 0:
        if landlock.abi():
            yield Level.GOOD, lambda: ConfinedSandbox(Layers(own_user=True, landlock=True, seccomp=True), Level.GOOD)
        level = Level.GOOD if alone else Level.REDUCED
        yield level, lambda: ConfinedSandbox(Layers(own_user=True, seccomp=True), level)
    elif landlock.abi() >= landlock.SCOPE_ABI:  # before, code could kill the grader, and reach its other processes
        yield Level.REDUCED, lambda: ConfinedSandbox(Layers(landlock=True, seccomp=True), Level.REDUCED)
