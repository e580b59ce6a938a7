"""One started execution: its channel, its limits, and its certain end.

Whatever the backend, launcher.py supervises it: it ends everything when it is told to, and exits when nothing is left.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from grader.errors import SandboxError
from grader.sandbox.base import Launch, LimitError, Outcome, Verdict
from grader.sandbox.disk import DiskUse
from grader.sandbox.meters import Meter, longest_wait_s
from grader.spec import Limits
from grader.threads import VARIABLES

OUR_PACKAGES = ("grader", "evaluator", "datasets")
"""Not for student code: the evaluator carries the public packs."""

_LAUNCHER = Path(__file__).with_name("launcher.py")
_CHECK_EVERY_S = 0.1
_DEATH_PATIENCE_S = 10.0
_DIAGNOSTICS_BYTES = 16 << 10
_STARVED_SHARE = 0.25
"""Of the wall limit: an execution that waited this long for a CPU was held up by other work."""
_LAST_SHARE = 0.2
"""Of the wall limit: the last stretch, in which we look whether it still had something to do."""
_BUSY_SHARE = 0.5
_CROWDED_LOAD = 1.5
_ALIVE = "found the sandbox alive after it was killed, expected it dead; restart the machine if this persists"


@dataclass(frozen=True)
class Activity:
    """at: monotonic time; cpu_s: used until then; waited_s: longest wait for a CPU of one thread, None where that is not known."""

    at: float
    cpu_s: float
    waited_s: float | None


def judge_wall(before: Activity, now: Activity, wall_limit_s: float, load: float) -> Verdict:
    """Whose fault it is that the wall time ran out, from the state before the last stretch and now.

    The machine's, where the execution was held up for a good part of the time and still had work to do at the end. One that idles
    at the end waits for something that does not come, however loaded the machine was.
    """
    stretch = max(now.at - before.at, 1e-3)
    computed = (now.cpu_s - before.cpu_s) / stretch
    if now.waited_s is None:
        return "overloaded" if load > _CROWDED_LOAD and computed > _BUSY_SHARE / load else "wall-limit"
    busy = computed + (now.waited_s - (before.waited_s or 0.0)) / stretch
    starved = now.waited_s > _STARVED_SHARE * wall_limit_s
    return "overloaded" if starved and busy > _BUSY_SHARE else "wall-limit"


class Supervisor(Protocol):
    """The process of ours that is the parent of an execution; its own end is the proof that nothing of that is left.

    A subprocess.Popen of launcher.py is one.
    """

    pid: int
    returncode: int | None
    """The script's; negative or 128 + n for signal n."""

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""

    def terminate(self) -> None:
        """Let it end the execution."""

    def kill(self) -> None: ...


class Process:
    """A running execution in its own session (see base.Running)."""

    def __init__(
        self,
        process: Supervisor,
        channel: socket.socket,
        stderr: socket.socket,
        meter: Meter,
        limits: Limits,
        disk: DiskUse | None,
        most_tasks: int | None,
    ) -> None:
        self._process = process
        self._channel = channel
        self._stderr = stderr
        self._meter = meter
        self._limits = limits
        self._disk = disk
        self._most_tasks = most_tasks
        self._started = time.monotonic()
        self._excluded = 0.0
        self._next_check = 0.0
        self._verdict: Verdict | None = None
        self._before_last: Activity | None = None
        self._waited: float | None = None
        self._diagnostics = b""
        meter.watch(process.pid)

    @property
    def channel(self) -> socket.socket:
        return self._channel

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
        if self._meter.out_of_memory():
            self._verdict = self._memory_verdict()
        cpu_s, peak_memory_mb = self._meter.cpu_s(), self._meter.peak_memory_mb()
        self._drain_stderr()
        self._meter.close()
        self._channel.close()
        self._stderr.close()
        status = self._process.wait(0)
        if status > 128:  # bwrap and our launcher report a signal the way a shell does
            status = 128 - status
        verdict: Verdict = self._verdict or ("killed" if status < 0 else "exited")
        return Outcome(
            exit_status=status,
            verdict=verdict,
            cpu_s=cpu_s,
            wall_s=wall_s,
            peak_memory_mb=peak_memory_mb,
            waited_s=self._waited,
            load=machine_load(),
            diagnostics=self._diagnostics.decode("utf-8", "replace"),
        )

    def _limit_reached(self) -> Verdict | None:
        if self._meter.out_of_memory():
            return self._memory_verdict()
        memory_mb = self._meter.memory_mb()  # looked at in any case, for the peak that reports show
        if not self._meter.counts_everything and memory_mb > self._limits.memory_mb:
            return "memory-limit"
        if self._most_tasks is not None and self._meter.tasks() > self._most_tasks:
            return "process-limit"
        if self._disk is not None and self._disk.exceeds(self._limits.disk_mb, self._meter.pids()):
            return "disk-limit"
        if self._meter.cpu_s() > self._limits.cpu_s:
            return "cpu-limit"
        wall_s = time.monotonic() - self._started - self._excluded
        if wall_s > (1 - _LAST_SHARE) * self._limits.wall_s and self._before_last is None:
            self._before_last = self._activity()
        return self._wall_verdict() if wall_s > self._limits.wall_s else None

    def _activity(self) -> Activity:
        return Activity(time.monotonic(), self._meter.cpu_s(), longest_wait_s(self._meter.pids()))

    def _wall_verdict(self) -> Verdict:
        now = self._activity()
        self._waited = now.waited_s
        return judge_wall(self._before_last or now, now, self._limits.wall_s, machine_load())

    def _memory_verdict(self) -> Verdict:
        """The kernel counts its own rescue of a machine without memory like our limit: what was in use tells them apart."""
        return "memory-limit" if self._meter.was_near_limit() else "memory-shortage"

    def _kill(self) -> None:
        """Kill every process and wait until the last one is dead."""
        self._process.terminate()
        try:
            self._process.wait(_DEATH_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._end_by_force()

    def _end_by_force(self) -> None:
        """For what forks faster than the launcher kills: a cgroup ends it at once.

        Only the launcher's own exit is believed; where that does not come, nothing of the execution counts.
        """
        end = time.monotonic() + _DEATH_PATIENCE_S
        while time.monotonic() < end:
            self._meter.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
                return
        self._process.kill()
        raise SandboxError(_ALIVE)

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


def machine_load() -> float:
    """Runnable processes per CPU, mean over the last minute."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


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
    disk: DiskUse | None = None,
    most_tasks: int | None = None,
) -> Process:
    """Run argv through the launcher; `channel` is (our end, the end that the process inherits, which is closed here).

    disk, most_tasks: where nothing but watching limits what is written to disk, and how many processes and threads there are.

    Raises:
        SandboxError: the launcher cannot be started.
    """
    ours, theirs = channel
    our_stderr, their_stderr = socket.socketpair()
    base_python = getattr(sys, "_base_executable", sys.executable)
    joins = [part for file in meter.join_files() for part in ("--cgroup", file)]
    command = [base_python, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *joins, *launcher_options, "--", *argv]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=their_stderr.fileno(),
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
    return Process(process, ours, our_stderr, meter, limits, disk, most_tasks)


def in_memory(content: bytes) -> int:
    """A descriptor of a file in memory with that content, at its start; the caller closes it."""
    descriptor = os.memfd_create("sandbox", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as stream:
        stream.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def reveal_options(folders: Sequence[Path]) -> list[str]:
    """Launcher options that let the slot's user walk to these folders."""
    return [part for folder in dict.fromkeys(folders) if not folder.is_relative_to("/usr") for part in ("--reveal", str(folder))]


def rlimit_options(launch: Launch, largest_file: int, meter: Meter) -> list[str]:
    """Launcher options for `rlimits`."""
    return [part for name, value in rlimits(launch, largest_file, meter).items() for part in ("--limit", f"{name}={value}")]


def rlimits(launch: Launch, largest_file: int, meter: Meter) -> dict[str, int]:
    """RLIMIT_<name> -> value: what every execution may not exceed, whatever else confines it."""
    limits = launch.limits
    values = {
        "CORE": 0,
        "FSIZE": max(limits.disk_mb << 20, largest_file),
        "NOFILE": 1024,
        "MEMLOCK": 0,
        "MSGQUEUE": 0,
    }
    if not meter.counts_everything and not launch.gpu:  # between two looks of the watchdog; twice, since reserved is not yet used
        values["DATA"] = 2 * limits.memory_mb << 20
    return values


def environment(home: str, path: str, launch: Launch) -> dict[str, str]:
    """All environment variables that the script gets: nothing of ours."""
    return {
        **{name: str(launch.threads) for name in VARIABLES},
        **(launch.gpu.environment if launch.gpu else {"CUDA_VISIBLE_DEVICES": ""}),
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
