"""One started execution: its channel, its limits, and its certain end."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from grader.errors import SandboxError
from grader.sandbox.base import LimitError, Outcome, Verdict
from grader.sandbox.meters import Meter, longest_wait_s
from grader.spec import Limits

_LAUNCHER = Path(__file__).with_name("launcher.py")
_CHECK_EVERY_S = 0.05
_DEATH_PATIENCE_S = 10.0
_DIAGNOSTICS_BYTES = 16 << 10
_OVERLOADED_SHARE = 0.25
"""Of the wall limit: an execution that waited for a CPU for longer than this ran out of time because of the machine."""


class Process:
    """A running execution in its own session (see base.Running)."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", channel: socket.socket, stderr: socket.socket, meter: Meter, limits: Limits
    ):
        self._process = process
        self._channel = channel
        self._stderr = stderr
        self._meter = meter
        self._limits = limits
        self._leader: int | None = None
        self._started = time.monotonic()
        self._excluded = 0.0
        self._next_check = 0.0
        self._verdict: Verdict | None = None
        self._waited = 0.0
        self._diagnostics = b""
        meter.watch(process.pid)

    @property
    def channel(self) -> socket.socket:
        return self._channel

    def lead_by(self, pid: int) -> None:
        """With the death of this process the kernel kills all others: it is the first one of their pid namespace."""
        self._leader = os.pidfd_open(pid)

    def cpu_s(self) -> float:
        return self._meter.cpu_s()

    def exclude(self, seconds: float) -> None:
        self._excluded += seconds

    def check(self) -> None:
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_EVERY_S
        self._drain_stderr()
        verdict = self._limit_reached()
        if verdict is not None:
            self._verdict = verdict
            self._kill()
            raise LimitError(verdict)

    def finish(self, grace_s: float = 0.0) -> Outcome:
        end = time.monotonic() + grace_s
        with contextlib.suppress(LimitError):
            while self._process.poll() is None and time.monotonic() < end:
                self.check()
                time.sleep(0.002)
        if self._process.poll() is None and self._verdict is None:
            self._verdict = "killed"
        self._kill()
        return self._settle()

    def _settle(self) -> Outcome:
        """Read the meter for the last time, prove that nothing is left, and give everything back."""
        wall_s = time.monotonic() - self._started - self._excluded
        out_of_memory = self._meter.out_of_memory()
        cpu_s, peak_memory_mb = self._meter.cpu_s(), self._meter.peak_memory_mb()
        self._drain_stderr()
        self._meter.close()
        self._channel.close()
        self._stderr.close()
        if self._leader is not None:
            os.close(self._leader)
        status = self._process.returncode
        if self._leader is not None and status > 128:  # bwrap reports a signal the way a shell does
            status = 128 - status
        verdict: Verdict = self._verdict or ("killed" if status < 0 else "exited")
        return Outcome(
            exit_status=status,
            verdict="memory-limit" if out_of_memory else verdict,
            cpu_s=cpu_s,
            wall_s=wall_s,
            peak_memory_mb=peak_memory_mb,
            waited_s=self._waited,
            load=os.getloadavg()[0] / (os.cpu_count() or 1),
            diagnostics=self._diagnostics.decode("utf-8", "replace"),
        )

    def _limit_reached(self) -> Verdict | None:
        if self._meter.out_of_memory():
            return "memory-limit"
        if self._meter.memory_mb() > self._limits.memory_mb and not self._meter.counts_everything:
            return "memory-limit"
        if self._meter.cpu_s() > self._limits.cpu_s:
            return "cpu-limit"
        if time.monotonic() - self._started - self._excluded > self._limits.wall_s:
            self._waited = longest_wait_s(self._meter.pids())
            return "overloaded" if self._waited > _OVERLOADED_SHARE * self._limits.wall_s else "wall-limit"
        return None

    def _kill(self) -> None:
        """Kill every process and wait until the last one is dead."""
        if self._leader is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._leader, signal.SIGKILL)
            if not select.select([self._leader], [], [], _DEATH_PATIENCE_S)[0]:
                raise SandboxError(
                    "found the sandbox alive after it was killed, expected it dead; restart the machine if this persists"
                )
        else:
            for pid in self._meter.pids():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        try:
            self._process.wait(_DEATH_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_DEATH_PATIENCE_S)

    def _drain_stderr(self) -> None:
        """Keep the end of stderr; a bounded amount at a time, so that a flood cannot keep us here."""
        for _ in range(16):
            try:
                data = self._stderr.recv(64 << 10, socket.MSG_DONTWAIT)
            except OSError:
                return
            if not data:
                return
            self._diagnostics = (self._diagnostics + data)[-_DIAGNOSTICS_BYTES:]


def start_process(
    argv: Sequence[str],
    *,
    environment: dict[str, str],
    launcher_options: Sequence[str],
    descriptors: Sequence[int],
    channel: tuple[socket.socket, socket.socket],
    meter: Meter,
    limits: Limits,
    folder: str = "/",
) -> Process:
    """Run argv through the launcher; `channel` is (our end, the end that the process inherits, which is closed here).

    Raises:
        SandboxError: the launcher cannot be started.
    """
    ours, theirs = channel
    our_stderr, their_stderr = socket.socketpair()
    base_python = getattr(sys, "_base_executable", sys.executable)
    joins = [part for file in meter.join_files() for part in ("--cgroup", file)]
    command = [base_python, "-I", "-S", str(_LAUNCHER), *joins, *launcher_options, "--", *argv]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=their_stderr,
            pass_fds=(theirs.fileno(), *descriptors),
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        for end in (ours, our_stderr):
            end.close()
        meter.close()
        raise SandboxError(f"cannot start {base_python}: {error.strerror}; free memory or processes and run again") from error
    finally:
        theirs.close()
        their_stderr.close()
    return Process(process, ours, our_stderr, meter, limits)


def rlimits(limits: Limits, largest_file: int, meter: Meter) -> list[str]:
    """Launcher options for what every execution may not exceed, whatever else confines it."""
    values = {
        "CORE": 0,
        "FSIZE": max(limits.disk_mb << 20, largest_file),
        "NOFILE": 1024,
        "MEMLOCK": 0,
        "MSGQUEUE": 0,
    }
    if not meter.counts_everything:  # between two looks of the watchdog; twice, since reserved is not yet used
        values["DATA"] = 2 * limits.memory_mb << 20
    return [part for name, value in values.items() for part in ("--limit", f"{name}={value}")]


def environment(home: str, path: str, threads: int) -> dict[str, str]:
    """All environment variables that the script gets: nothing of ours."""
    pinned = {
        name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    }
    return {
        **pinned,
        "PATH": path,
        "HOME": home,
        "TMPDIR": home,
        "USER": "student",
        "LOGNAME": "student",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "IPYTHONDIR": f"{home}/.ipython",
        "JUPYTER_RUNTIME_DIR": f"{home}/.jupyter",
        "MPLCONFIGDIR": f"{home}/.matplotlib",
    }
