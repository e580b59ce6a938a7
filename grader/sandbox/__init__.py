"""Where student code runs. `open_sandbox` chooses the backend by trying it, and fails closed."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from grader.errors import SandboxError
from grader.sandbox.base import Launch, LimitError, Outcome, Running, Sandbox, Verdict
from grader.sandbox.bubblewrap import HELP, BubblewrapSandbox, find_bwrap
from grader.sandbox.trusting import TrustingSandbox
from grader.spec import Limits

__all__ = ["Launch", "LimitError", "Outcome", "Running", "Sandbox", "Verdict", "open_sandbox", "self_test"]

_SELF_TEST = Path(__file__).parent / "inside" / "selftest.py"
_VAR_TMP = "/var/tmp"
_SELF_TEST_LIMITS = Limits(cpu_s=20, wall_s=60, memory_mb=200, processes=8, disk_mb=8)


def open_sandbox(trust: bool = False) -> Sandbox:
    """The sandbox for this run: the strong one, proven by a self-test; without any with `trust`.

    Raises:
        SandboxError: this machine cannot confine student code; the message says what would help.
    """
    if trust:
        return TrustingSandbox()
    sandbox = BubblewrapSandbox(find_bwrap())
    self_test(sandbox)
    return sandbox


def self_test(sandbox: Sandbox) -> None:
    """Start the sandbox and try, from inside, what must not work.

    Raises:
        SandboxError: something of it worked, or the sandbox does not start.
    """
    with tempfile.TemporaryDirectory(prefix="gan-grader-canary-", dir=_canary_place()) as name:
        folder = Path(name)
        folder.chmod(0o777)  # only the sandbox stands between the canary and its reader
        canary = folder / "canary"
        canary.write_text("secret")
        canary.chmod(0o644)
        findings = _findings(sandbox, canary)
    if holes := _holes(findings):
        raise SandboxError(
            f"found that code in the sandbox {'; '.join(holes)}; expected it confined. Do not grade on this machine; {HELP}"
        )


def _canary_place() -> str | None:
    """Not /tmp, which the sandbox replaces anyway: a canary there would prove little."""
    return _VAR_TMP if os.access(_VAR_TMP, os.W_OK) else None


def _findings(sandbox: Sandbox, canary: Path) -> dict[str, Any]:
    files: dict[str, bytes | int] = {"selftest.py": _SELF_TEST.read_bytes()}
    running = sandbox.start(Launch("selftest.py", files, _SELF_TEST_LIMITS, (str(canary.parent), str(canary), str(_SELF_TEST))))
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
    except LimitError:
        pass
    finally:
        outcome = running.finish(grace_s=5.0)
    if outcome.verdict != "exited" or outcome.exit_status != 0:
        last = outcome.diagnostics.strip().splitlines()[-1:] or [f"{outcome.verdict}, exit status {outcome.exit_status}"]
        raise SandboxError(f"found that Python does not run in the sandbox ({last[0]}), expected it to: {HELP}")
    findings: dict[str, Any] = json.loads(text)
    return findings


def _holes(findings: dict[str, Any]) -> list[str]:
    """What the self-test could do and must not, in words."""
    holes = []
    if findings["canaries"]:
        holes.append(f"reads {', '.join(findings['canaries'])}")
    if findings["internet"]:
        holes.append("opens internet sockets")
    if findings["writes"]:
        holes.append(f"writes to {', '.join(findings['writes'])}")
    if findings["processes"]:
        holes.append(f"sees other processes ({len(findings['processes'])})")
    if findings["uid"] == 0:
        holes.append("runs as root")
    if findings["descriptors"]:
        holes.append(f"inherits descriptors {findings['descriptors']}")
    return holes
