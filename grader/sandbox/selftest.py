"""The self-test: tries in the real backend, at every run, what student code must not be able to do there.

What a level promises is what it does not tolerate below; docs/security.md says the same in prose.
"""

import contextlib
import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.errors import SandboxError
from grader.models import Level
from grader.sandbox.base import Launch, LimitError, Sandbox
from grader.spec import Limits

_INSIDE = Path(__file__).parent / "inside" / "selftest.py"
_VAR_TMP = "/var/tmp"
_LIMITS = Limits(cpu_s=20, wall_s=60, memory_mb=200, processes=8, disk_mb=8)
_ORDER = (Level.STRONG, Level.GOOD, Level.REDUCED, Level.NONE)


@dataclass(frozen=True)
class Hole:
    """Something that worked and should not.

    tolerated: the strongest level at which it may. alone: the same where there is no other submission on the machine.
    """

    name: str
    words: str
    tolerated: Level
    alone: Level | None = None


HOLES = (
    Hole("private", "reads {found}, which only its owner may read", Level.NONE),
    Hole("root", "runs as root", Level.NONE),
    Hole("internet", "opens internet sockets", Level.NONE),
    Hole("signals", "could kill the grader", Level.NONE),
    Hole("descriptors", "inherits descriptors {found}", Level.NONE),
    Hole("writes", "writes to {found}", Level.NONE),
    Hole("open", "reads {found}, which everybody may read", Level.REDUCED, Level.GOOD),
    Hole("world", "writes to {found}, where everybody may write", Level.REDUCED, Level.GOOD),
    Hole("processes", "sees other processes ({count})", Level.REDUCED, Level.GOOD),
    Hole("services", "connects to services on this machine that let everybody connect", Level.GOOD),
    Hole("abstract", "connects to abstract sockets of this machine", Level.GOOD),
)


def self_test(sandbox: Sandbox, private: tuple[Path, ...] = (), *, alone: bool = False) -> tuple[str, ...]:
    """Start the sandbox and try, from inside, what must not work there; the holes that its level tolerates, in words.

    private: files of ours, beside those made for the test, that must not be readable. alone: the machine holds one submission only.

    Raises:
        SandboxError: something worked that the sandbox's level does not tolerate, or it does not start.
    """
    try:
        with _bait(private) as task:
            findings = _findings(sandbox, task)
    except OSError as error:
        reason = f"{error.filename or _place()}: {error.strerror}"
        raise SandboxError(f"found that the self-test cannot be made ({reason}); free some space, or check the disk") from error
    found = [hole for hole in HOLES if findings[hole.name]]
    fatal = [hole for hole in found if not _tolerated(hole, sandbox.level, alone)]
    if fatal:
        raise SandboxError(
            f"found that code in the sandbox {'; '.join(_in_words(hole, findings) for hole in fatal)}; expected it confined to level "
            f"{sandbox.level}"
        )
    return tuple(_in_words(hole, findings) for hole in found)


def _tolerated(hole: Hole, level: Level, alone: bool) -> bool:
    best = hole.alone if alone and hole.alone else hole.tolerated
    return _ORDER.index(level) >= _ORDER.index(best) and best is not Level.NONE


def _in_words(hole: Hole, findings: dict[str, Any]) -> str:
    found = findings[hole.name]
    listed = found if isinstance(found, list) else []
    return hole.words.format(found=", ".join(map(str, listed)), count=len(listed))


@contextlib.contextmanager
def _bait(private: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    """Files, a folder and sockets that would be found if the sandbox let them; see inside/selftest.py."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gan-grader-canary-", dir=_place())))
        folder.chmod(0o777)  # only the sandbox stands between the bait and who looks for it
        for name, mode in (("private", 0o600), ("open", 0o644)):
            (folder / name).write_text("secret")
            (folder / name).chmod(mode)
        closed = folder / "closed"
        closed.mkdir(mode=0o755)
        abstract = f"gan-grader-{secrets.token_hex(8)}"
        for address in (str(folder / "service"), f"\0{abstract}"):
            service = stack.enter_context(socket.socket(socket.AF_UNIX))
            service.bind(address)
            service.listen()
        (folder / "service").chmod(0o666)
        yield {
            "private": [str(folder / "private"), *(str(file.resolve()) for file in private)],
            "open": [str(folder / "open"), str(_INSIDE)],
            "folders": ["/", "/usr", "/etc", str(closed)],
            "world": str(folder),
            "address": str(folder / "service"),
            "abstract": abstract,
            "pid": os.getpid(),
        }


def _place() -> str | None:
    """Not /tmp, which the strong sandbox replaces anyway: bait there would prove little."""
    return _VAR_TMP if os.access(_VAR_TMP, os.W_OK) else None


def _findings(sandbox: Sandbox, task: dict[str, Any]) -> dict[str, Any]:
    files: dict[str, bytes | int] = {"selftest.py": _INSIDE.read_bytes()}
    running = sandbox.start(Launch("selftest.py", files, _LIMITS, (json.dumps(task),)))
    text = b""
    try:
        running.channel.settimeout(0.2)
        while True:
            running.check()
            try:
                data = running.channel.recv(4096)
            except TimeoutError:
                continue
            if not data:
                break
            text += data
    except (LimitError, ConnectionError):
        pass
    finally:
        outcome = running.finish(grace_s=5.0)
    if outcome.verdict != "exited" or outcome.exit_status != 0:
        last = outcome.diagnostics.strip().splitlines()[-1:] or [f"{outcome.verdict}, exit status {outcome.exit_status}"]
        raise SandboxError(f"found that Python does not run in the sandbox ({last[0]}), expected it to")
    findings: dict[str, Any] = json.loads(text)
    return findings
