"""How much CPU and memory an execution uses: from a cgroup (v1 or v2) where one can be made, else by walking /proc.

A cgroup counts everything, whatever processes do. The walk misses CPU time of processes that live shorter than the time between two looks
and are waited for by nobody, and memory of files in tmpfs; it is what an ordinary user, or root in a container, can have.
"""

import contextlib
import functools
import os
import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from grader.errors import SandboxError

_CGROUPS = Path("/sys/fs/cgroup")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_NEAR = 0.9
_PREFIX = "gan-grader-"


class Meter(Protocol):
    """Use of one execution, and the means to kill it."""

    counts_everything: bool
    """Whether memory that belongs to no process (memfd, tmpfs) counts, and the kernel enforces the limit."""

    def join_files(self) -> tuple[str, ...]:
        """Files into which a process that is to be counted writes "0" first."""

    def watch(self, pid: int) -> None:
        """The execution is this process and all that descend from it."""

    def pids(self) -> tuple[int, ...]:
        """Its processes now, zombies aside."""

    def tasks(self) -> int:
        """Its processes and threads now."""

    def cpu_s(self) -> float:
        """CPU seconds so far, of dead processes too."""

    def memory_mb(self) -> float:
        """Memory in use now, without what the kernel keeps for it as cache and could drop."""

    def peak_memory_mb(self) -> float:
        """The most that `memory_mb` has returned."""

    def was_near_limit(self) -> bool:
        """Whether its memory, as the kernel's limit counts it, came near that limit."""

    def out_of_memory(self) -> bool:
        """Whether the kernel killed one of its processes for exceeding the memory limit."""

    def kill(self) -> None:
        """Kill all its processes, as well as can be."""

    def close(self) -> None:
        """Kill what is left and remove the cgroup.

        Raises:
            SandboxError: a process survives.
        """


def open_meter(memory_mb: int, processes: int) -> Meter:
    """The best meter that this machine allows, with its limits set."""
    _remove_forsaken()
    name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    for make in (CgroupV2, CgroupV1):
        with contextlib.suppress(OSError):
            return make(name, memory_mb, processes)
    return ProcessWalk()


@functools.cache
def _remove_forsaken() -> None:
    """Remove the cgroups of graders that were killed, once a process; those that still hold somebody stay."""
    for folder in _CGROUPS.glob(f"**/{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


class CgroupV2:
    """A cgroup of the unified hierarchy."""

    counts_everything = True

    def __init__(self, name: str, memory_mb: int, processes: int) -> None:
        """Raises OSError where no such cgroup can be made."""
        self._folder = _make_v2(name)
        try:
            self._limit_mb = memory_mb
            (self._folder / "memory.max").write_text(str(memory_mb << 20))
            (self._folder / "pids.max").write_text(str(processes))
        except OSError:
            self._folder.rmdir()
            raise
        for file, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with contextlib.suppress(OSError):  # kernels without swap accounting lack the first
                (self._folder / file).write_text(value)
        self._peak = 0.0

    def join_files(self) -> tuple[str, ...]:
        return (str(self._folder / "cgroup.procs"),)

    def watch(self, pid: int) -> None:
        pass

    def pids(self) -> tuple[int, ...]:
        return _pids(self._folder / "cgroup.procs")

    def tasks(self) -> int:
        return int((self._folder / "pids.current").read_text())

    def cpu_s(self) -> float:
        return _keyed(self._folder / "cpu.stat", "usage_usec") / 1e6

    def memory_mb(self) -> float:
        now = sum(_keyed(self._folder / "memory.stat", key) for key in ("anon", "shmem")) / 2**20
        self._peak = max(self._peak, now)
        return now

    def peak_memory_mb(self) -> float:
        return self._peak

    def was_near_limit(self) -> bool:
        try:
            peak = int((self._folder / "memory.peak").read_text()) / 2**20
        except OSError:  # before Linux 5.19
            peak = self._peak
        return peak > _NEAR * self._limit_mb

    def out_of_memory(self) -> bool:
        return _keyed(self._folder / "memory.events", "oom_kill") > 0

    def kill(self) -> None:
        with contextlib.suppress(OSError):  # before Linux 5.14
            (self._folder / "cgroup.kill").write_text("1")

    def close(self) -> None:
        self.kill()
        _remove(self._folder, self.pids)


class CgroupV1:
    """One cgroup each in the memory, cpuacct and, where there is one, pids hierarchy."""

    counts_everything = True

    def __init__(self, name: str, memory_mb: int, processes: int) -> None:
        """Raises OSError where no such cgroup can be made."""
        self._folders: list[Path] = []
        self._limit_mb = memory_mb
        self._peak = 0.0
        try:
            self._memory = self._make("memory", name)
            (self._memory / "memory.limit_in_bytes").write_text(str(memory_mb << 20))
            with contextlib.suppress(OSError):  # kernels without swap accounting lack it
                (self._memory / "memory.memsw.limit_in_bytes").write_text(str(memory_mb << 20))
            self._cpu = self._make("cpuacct", name)
            with contextlib.suppress(OSError):  # the rlimit is there as well
                (self._make("pids", name) / "pids.max").write_text(str(processes))
        except OSError:
            for folder in self._folders:
                folder.rmdir()
            raise

    def _make(self, controller: str, name: str) -> Path:
        folder = _own_v1(controller) / name
        folder.mkdir()
        self._folders.append(folder)
        return folder

    def join_files(self) -> tuple[str, ...]:
        return tuple(str(folder / "cgroup.procs") for folder in self._folders)

    def watch(self, pid: int) -> None:
        pass

    def pids(self) -> tuple[int, ...]:
        return _pids(self._memory / "cgroup.procs")

    def tasks(self) -> int:
        return len(_pids(self._memory / "tasks"))

    def cpu_s(self) -> float:
        return int((self._cpu / "cpuacct.usage").read_text()) / 1e9

    def memory_mb(self) -> float:
        now = sum(_keyed(self._memory / "memory.stat", key) for key in ("total_rss", "total_shmem")) / 2**20
        self._peak = max(self._peak, now)
        return now

    def peak_memory_mb(self) -> float:
        return self._peak

    def was_near_limit(self) -> bool:
        return int((self._memory / "memory.max_usage_in_bytes").read_text()) / 2**20 > _NEAR * self._limit_mb

    def out_of_memory(self) -> bool:
        return _keyed(self._memory / "memory.oom_control", "oom_kill") > 0

    def kill(self) -> None:
        _kill_all(self.pids())

    def close(self) -> None:
        for folder in self._folders:
            _remove(folder, self.pids)


class ProcessWalk:
    """Sums over the process tree in /proc."""

    counts_everything = False

    def __init__(self) -> None:
        self._root: int | None = None
        self._own: dict[tuple[int, str], float] = {}
        self._with_children = 0.0
        self._peak = 0.0

    def join_files(self) -> tuple[str, ...]:
        return ()

    def watch(self, pid: int) -> None:
        self._root = pid

    def pids(self) -> tuple[int, ...]:
        return tuple(found.pid for found in self._tree() if not found.dead)

    def tasks(self) -> int:
        return sum(found.threads for found in self._tree() if not found.dead and found.pid != self._root)

    def cpu_s(self) -> float:
        """The larger of two sums, neither of which counts anything twice: of all processes that were ever seen, and of those that are here
        with the children that they waited for."""
        tree = self._tree()
        self._own |= {(found.pid, found.started): found.own_s for found in tree}
        self._with_children = max(self._with_children, sum(found.own_s + found.children_s for found in tree))
        return max(self._with_children, sum(self._own.values()))

    def memory_mb(self) -> float:
        now = sum(map(_private_memory_kb, self.pids())) / 1024
        self._peak = max(self._peak, now)
        return now

    def peak_memory_mb(self) -> float:
        return self._peak

    def was_near_limit(self) -> bool:
        return True  # the kernel knows of no limit here, and kills nothing for it

    def out_of_memory(self) -> bool:
        return False

    def kill(self) -> None:
        _kill_all(
            tuple(pid for pid in self.pids() if pid != self._root)
        )  # the root is the launcher, which tells when all are dead

    def close(self) -> None:
        pass

    def _tree(self) -> "list[_Found]":
        """The root and its descendants."""
        children: dict[int, list[int]] = {}
        processes: dict[int, _Found] = {}
        for entry in os.listdir("/proc"):  # noqa: PTH208 (ten times a second: the plain call is much cheaper)
            if entry.isdigit() and (found := _look(int(entry))):
                children.setdefault(found.parent, []).append(found.pid)
                processes[found.pid] = found
        tree: list[_Found] = []
        waiting = [] if self._root is None else [self._root]
        while waiting:
            pid = waiting.pop()
            if pid in processes:
                tree.append(processes[pid])
            waiting += children.get(pid, [])
        return tree


@dataclass(frozen=True)
class _Found:
    """A process in /proc. dead: a zombie, whose CPU seconds nobody has taken over yet; started: tells it from others with its number."""

    pid: int
    parent: int
    dead: bool
    own_s: float
    children_s: float
    threads: int
    started: str


def _look(pid: int) -> _Found | None:
    fields = _stat_fields(pid)
    if not fields:
        return None
    user, system, user_of_children, system_of_children = (int(ticks) / _TICKS_A_SECOND for ticks in fields[11:15])
    return _Found(
        pid=pid,
        parent=int(fields[1]),
        dead=fields[0] == "Z",
        own_s=user + system,
        children_s=user_of_children + system_of_children,
        threads=int(fields[17]),
        started=fields[19],
    )


def tasks_of_user(uid: int) -> int:
    """Processes and threads that the user has on this machine; zombies do not count, since only their parents can end them."""
    count = 0
    for entry in os.listdir("/proc"):  # noqa: PTH208 (twice an execution: the plain call is much cheaper)
        with contextlib.suppress(OSError):
            if entry.isdigit() and os.stat(f"/proc/{entry}").st_uid == uid and _stat_fields(int(entry))[:1] != ["Z"]:  # noqa: PTH116
                count += len(os.listdir(f"/proc/{entry}/task"))  # noqa: PTH208
    return count


def longest_wait_s(pids: tuple[int, ...]) -> float | None:
    """The longest time that a thread of these processes was ready to run but had no CPU; None where the kernel does not tell."""
    waits = []
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):  # threads come and go
            waits += [int((task / "schedstat").read_text().split()[1]) for task in Path(f"/proc/{pid}/task").iterdir()]
    return max(waits) / 1e9 if waits else None


def _stat_fields(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the state on; empty where the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # the name before it may hold anything


def _private_memory_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem", "VmSwap")))


def _own_v1(controller: str) -> Path:
    """The cgroup that we are in, so that limits above us hold; the root of the hierarchy where that is hidden by a namespace."""
    mount = _CGROUPS / controller
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") and (mount / path.lstrip("/") / "cgroup.procs").exists():
            return mount / path.lstrip("/")
    return mount


def _make_v2(name: str) -> Path:
    """A new cgroup with the memory and pids controllers: in our own (where it is delegated to us), else beside or above it."""
    if not (_CGROUPS / "cgroup.controllers").exists():
        raise FileNotFoundError("no unified hierarchy")
    own = next((line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), "/")
    place = _CGROUPS / own.lstrip("/")
    for parent in (place, *place.parents):
        if parent == _CGROUPS.parent:
            break
        if not os.access(parent / "cgroup.procs", os.W_OK):  # whoever moves a process must own the common ancestor
            continue
        with contextlib.suppress(OSError):
            (parent / "cgroup.subtree_control").write_text("+memory +pids")
        folder = parent / name
        try:
            folder.mkdir()
        except OSError:
            continue
        if (folder / "memory.max").exists() and (folder / "pids.max").exists():
            return folder
        folder.rmdir()
    raise FileNotFoundError("no cgroup with memory and pids controllers")


def _pids(file: Path) -> tuple[int, ...]:
    try:
        return tuple(map(int, file.read_text().split()))
    except OSError:
        return ()


def _keyed(file: Path, key: str) -> int:
    """The number behind `key` in a file of `key number` lines; 0 where it is missing."""
    for line in file.read_text().splitlines():
        name, _, number = line.partition(" ")
        if name == key:
            return int(number)
    return 0


def _kill_all(pids: tuple[int, ...]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _remove(folder: Path, pids: Callable[[], tuple[int, ...]], patience_s: float = 5.0) -> None:
    """Kill all members until the cgroup can be removed."""
    end = time.monotonic() + patience_s
    while True:
        _kill_all(pids())
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > end:
                raise SandboxError(
                    f"found processes {pids()} alive after they were killed, expected none ({folder}: {error.strerror}); "
                    "restart the machine if they stay"
                ) from error
            time.sleep(0.005)
        else:
            return
