"""The strong sandbox for many submissions: each is a fork of one process that has the packages of notebooks imported already.

Importing PyTorch and Jupyter takes longer than most notebooks do. So they are imported once, by a trusted process (inside/zygote.py)
that bubblewrap starts in the same empty file system that it makes for a submission. Each fork enters namespaces, a user id, a cgroup,
limits and a seccomp filter of its own, as bubblewrap would have made them (inside/enter.py), and serves one execution. What forks share,
and what they do not, is in docs/security.md.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

from grader.errors import SandboxError
from grader.models import Level
from grader.sandbox.base import Launch, Running
from grader.sandbox.bubblewrap import SHARED_MEMORY_MB, TRUSTED, BubblewrapSandbox, Descriptors, variables
from grader.sandbox.meters import open_meter
from grader.sandbox.process import Process, rlimits
from grader.sandbox.seccomp import build_filter
from grader.spec import Limits

_INSIDE = Path(__file__).parent / "inside"
_OWN = Launch("zygote.py", {name: (_INSIDE / name).read_bytes() for name in ("zygote.py", "enter.py")}, Limits(disk_mb=64))
_PATIENCE_S = 120.0
"""The first execution waits for the imports, on a machine that may be busy."""
_DEATH_PATIENCE_S = 10.0
_STARTED = b"started"
_WORDS_BYTES = 64


class ZygoteSandbox:
    """Level strong; see the module's text. What it cannot do, bubblewrap does alone."""

    level = Level.STRONG

    def __init__(self, plain: BubblewrapSandbox) -> None:
        """Raises SandboxError where `obstacle` finds one."""
        if reason := obstacle():
            raise SandboxError(reason)
        self._plain = plain
        self._zygote: _Zygote | None = None
        self._renewing = threading.Lock()
        self.leases = plain.leases

    def most_processes(self, limits: Limits) -> int:
        return self._plain.most_processes(limits)

    def folder(self, slot: int) -> str:
        return self._plain.folder(slot)

    def start(self, launch: Launch) -> Running:
        if launch.gpu or launch.threads != 1:  # the imports have settled these, for one thread and no GPU
            return self._plain.start(launch)
        meter = open_meter(launch.limits.memory_mb, launch.limits.processes)
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as theirs:
            undo.callback(meter.close)
            (channel, their_channel), (stderr, their_stderr) = socket.socketpair(), socket.socketpair()
            for stack, ends in ((undo, (channel, stderr)), (theirs, (their_channel, their_stderr))):
                for end in ends:
                    stack.callback(end.close)
            fds = Descriptors(theirs)
            seccomp = fds.holding(build_filter(allow_memfd=meter.counts_everything))
            files = [fds.holding(file) if isinstance(file, bytes) else fds.rewound(file) for file in launch.files.values()]
            joins = [fds.own(os.open(file, os.O_WRONLY | os.O_CLOEXEC)) for file in meter.join_files()]
            numbers = [their_channel.fileno(), their_stderr.fileno(), seccomp, *files, *joins]
            supervisor = self._forked(self._message(launch, rlimits(launch, fds.largest, meter)), numbers)
            undo.pop_all()
        return Process(supervisor, channel, stderr, meter, launch.limits, None, None)

    def _message(self, launch: Launch, limits: dict[str, int]) -> bytes:
        """An execution in the words of inside/enter.py: nothing of the submission itself, which is in the files."""
        told = {
            "script": launch.script,
            "arguments": launch.arguments,
            "uid": self.leases.of(launch.slot).uid,
            "limits": limits,
            "environment": variables(launch),
            "disk_mb": launch.limits.disk_mb,
            "shared_memory_mb": SHARED_MEMORY_MB,
            "files": list(launch.files),
        }
        return (b"w" if launch.packages else b"c") + json.dumps(told).encode()

    def _forked(self, message: bytes, descriptors: Sequence[int]) -> "_Supervisor":
        """A zygote that does not answer is replaced, once."""
        reason = ""
        for _ in range(2):
            zygote = self._living()
            try:
                return zygote.fork(message, descriptors)
            except OSError as error:
                reason = zygote.end() or str(error)
        raise SandboxError(f"found that the process that executions are forked from does not answer ({reason}), expected it to")

    def _living(self) -> "_Zygote":
        with self._renewing:
            if self._zygote is None or self._zygote.ended:
                self._zygote = _Zygote(self._plain)
            return self._zygote


def obstacle() -> str | None:
    """Why forks could not be confined here as well as what bubblewrap starts; None where they can."""
    if os.geteuid():
        return "found an ordinary user, expected root, who can give each fork a user id of its own"
    meter = open_meter(100, 10)
    meter.close()
    if not meter.counts_everything:
        return "found no cgroup, expected one: only that tells the memory of a fork from what all forks share"
    return None


class _Zygote:
    """A running inside/zygote.py. Thread-safe."""

    def __init__(self, plain: BubblewrapSandbox) -> None:
        """Raises SandboxError where it cannot be started."""
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stderr, stderr = socket.socketpair()
        with contextlib.ExitStack() as stack, control, stderr:
            fds = Descriptors(stack)
            command = plain.command(TRUSTED, _OWN, control.fileno(), fds)
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr.fileno(),
                    pass_fds=(control.fileno(), *fds.numbers),
                    env={},
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                raise SandboxError(
                    f"cannot start {command[0]}: {error.strerror}; free memory or processes and run again"
                ) from error
        self._end = weakref.finalize(self, _end, process, self._control)

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return not self._end.alive

    def fork(self, message: bytes, descriptors: Sequence[int]) -> "_Supervisor":
        """Start one execution.

        Raises:
            OSError: it does not answer; end it.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                socket.send_fds(self._control, [message], [theirs.fileno(), *descriptors])
            ours.settimeout(_PATIENCE_S)
            if ours.recv(_WORDS_BYTES) != _STARTED:
                raise ConnectionError("it ended")
        except OSError:
            ours.close()
            raise
        return _Supervisor(ours)

    def end(self) -> str:
        """End it and all that was forked from it; the last line that it had to say for itself."""
        self._end()
        try:
            said = self._stderr.recv(64 << 10, socket.MSG_DONTWAIT)
        except OSError:
            return ""
        return (said.decode("utf-8", "replace").strip().splitlines() or [""])[-1]


def _end(bwrap: "subprocess.Popen[bytes]", control: socket.socket) -> None:
    """Let it go, and make sure: bwrap's only child is process 1 of the namespace that all forks are in."""
    control.close()
    if bwrap.poll() is None:
        children = Path(f"/proc/{bwrap.pid}/task/{bwrap.pid}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)
    try:
        bwrap.wait(_DEATH_PATIENCE_S)
    except subprocess.TimeoutExpired:
        bwrap.kill()


class _Supervisor:
    """The parent of an execution, which is not our child: known by the socket that it talks on (see process.Supervisor)."""

    pid = 0

    def __init__(self, words: socket.socket) -> None:
        self._words = words
        self.returncode: int | None = None

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._words.settimeout(timeout)
            try:
                said = self._words.recv(_WORDS_BYTES)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("the execution", timeout or 0) from None
            except OSError:
                said = b""
            self.returncode = int(said) if said else -signal.SIGKILL  # it ended without a word: so did process 1, with everything
            self._words.close()
        return self.returncode

    def terminate(self) -> None:
        if self.returncode is None:
            with contextlib.suppress(OSError):
                self._words.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        self.terminate()
