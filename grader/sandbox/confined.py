"""The sandboxes without namespaces: what is left where bubblewrap does not run, such as in most containers.

The script sees the machine's own file system. A user id of its own (only root can give it one), Landlock and seccomp keep it from what
is not its; the launcher, outside of them, ends all of its processes. Its files lie in a folder of the slot's, `in` for reading and `tmp`
for writing, that is emptied before and after.
"""

import contextlib
import os
import shutil
import socket
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from grader.models import Level
from grader.sandbox.base import Launch, Outcome, Running
from grader.sandbox.disk import DiskUse
from grader.sandbox.gpu import Gpu
from grader.sandbox.landlock import DEVICE, LIST, OWN, READ, Right, build_ruleset
from grader.sandbox.lease import Lease, Leases
from grader.sandbox.meters import Meter, open_meter, tasks_of_user
from grader.sandbox.process import OUR_PACKAGES, Process, environment, in_memory, reveal_options, rlimit_options, start_process
from grader.sandbox.seccomp import build_filter
from grader.spec import Limits

_TOP_LEVEL = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SETTINGS = ("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/sys/devices/system/cpu")
_KERNEL_FACTS = ("cpuinfo", "meminfo", "stat", "uptime", "loadavg", "version", "filesystems", "sys/vm/overcommit_memory")
"""Of /proc. Not /proc/self: a rule would be for one process, and the folders of others lie beside it."""
_ROOM_FOR_OTHERS = 4_096
"""Processes and threads that an execution under our own user id could start before a look ends it: no others of ours must want for any."""
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@dataclass(frozen=True)
class Layers:
    """What confines the script. own_user: a user id of the slot's, which needs root."""

    own_user: bool = False
    landlock: bool = False
    seccomp: bool = False


class ConfinedSandbox:
    """Level good or reduced, as its layers deserve; without any, level none."""

    def __init__(self, layers: Layers, level: Level, make_meter: Callable[[int, int], Meter] = open_meter) -> None:
        self.level = level
        self._layers = layers
        self._make_meter = make_meter
        self.leases = Leases()

    def folder(self, slot: int) -> str:
        return str(self.leases.of(slot).folder / "in")

    def most_processes(self, limits: Limits) -> int:
        if self._layers.own_user:
            return limits.processes
        return tasks_of_user(os.geteuid()) + _ROOM_FOR_OTHERS if self._layers.seccomp else 0

    def start(self, launch: Launch) -> Running:
        lease = self.leases.of(launch.slot)
        home = lease.folder / "tmp"
        lease.empty()
        largest = _lay_out(lease, launch, own_user=self._layers.own_user)
        meter = self._make_meter(launch.limits.memory_mb, launch.limits.processes)
        channel = socket.socketpair()
        with contextlib.ExitStack() as stack:
            confining, descriptors = self._confining(launch, lease, meter, stack)
            process = start_process(
                [sys.executable, "-I", f"{lease.folder}/in/{launch.script}", str(channel[1].fileno()), *launch.arguments],
                environment=environment(str(home), f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin", launch),
                launcher_options=[*rlimit_options(launch, largest, meter), *confining],
                descriptors=descriptors,
                channel=channel,
                meter=meter,
                limits=launch.limits,
                folder=str(home),
                disk=DiskUse(home),
                most_tasks=launch.limits.processes if self._counts_tasks(meter) else None,
            )
        return _Emptied(process, lease)

    def _counts_tasks(self, meter: Meter) -> bool:
        """Whether we have to: the kernel's count is of all that a user runs, and here that is more than the execution."""
        return self._layers.seccomp and not self._layers.own_user and not meter.counts_everything

    def _confining(
        self, launch: Launch, lease: Lease, meter: Meter, stack: contextlib.ExitStack
    ) -> tuple[list[str], tuple[int, ...]]:
        """Launcher options, and the descriptors that they name, which the stack closes."""
        options: list[str] = []
        descriptors: list[int] = []

        def pass_on(name: str, descriptor: int) -> None:
            stack.callback(os.close, descriptor)
            descriptors.append(descriptor)
            options.extend((name, str(descriptor)))

        if self._layers.own_user:
            options += [*reveal_options([Path(sys.base_prefix), Path(sys.prefix), lease.folder]), "--uid", str(lease.uid)]
        if self._layers.landlock:
            own = [(lease.folder / "in", READ), (lease.folder / "tmp", OWN)]
            pass_on("--landlock", build_ruleset([*self._readable, *own, *_gpu_rules(launch.gpu)]))
        if self._layers.seccomp:
            program = build_filter(allow_memfd=meter.counts_everything, namespaces=False, own_user=self._layers.own_user)
            pass_on("--seccomp", in_memory(program))
        return options, tuple(descriptors)

    @cached_property
    def _readable(self) -> list[tuple[Path, Right]]:
        """What every execution may read of the machine: the system's programs and libraries, Python, the packages but ours."""
        folders = [Path("/usr"), *(path for name in _TOP_LEVEL if not (path := Path("/", name)).is_symlink()), *_python_places()]
        hidden = [place.resolve() / name for place in _packages() for name in OUR_PACKAGES if (place / name).is_dir()]
        rules = [rule for folder in folders for rule in _but(folder.resolve(), hidden)]
        rules += [(Path(file), READ) for file in (*_SETTINGS, *(f"/proc/{fact}" for fact in _KERNEL_FACTS))]
        return [*rules, *((Path(device), DEVICE) for device in _DEVICES)]


class _Emptied:
    """An execution after which the slot's folder is emptied."""

    def __init__(self, process: Process, lease: Lease) -> None:
        self._process = process
        self._lease = lease
        self.check = process.check
        self.cpu_s = process.cpu_s
        self.exclude = process.exclude

    @property
    def channel(self) -> socket.socket:
        return self._process.channel

    def finish(self, grace_s: float = 0.0) -> Outcome:
        outcome = self._process.finish(grace_s)
        self._lease.empty()
        return outcome


def _lay_out(lease: Lease, launch: Launch, *, own_user: bool) -> int:
    """Write the files of a launch, and make the home; the size of the largest file in bytes."""
    folder, home = lease.folder / "in", lease.folder / "tmp"
    for place, mode in ((folder, 0o755), (home, 0o700)):
        place.mkdir()
        place.chmod(mode)  # whatever our umask is
    if own_user and lease.uid is not None:
        os.chown(home, lease.uid, lease.uid)
    return max(_place(folder / name, content) for name, content in launch.files.items())


def _place(target: Path, content: bytes | int) -> int:
    """A private copy, which everybody who gets there may read; its size in bytes."""
    if isinstance(content, bytes):
        target.write_bytes(content)
    else:
        os.lseek(content, 0, os.SEEK_SET)
        with open(content, "rb", closefd=False) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    target.chmod(0o444)
    return target.stat().st_size


def _packages() -> list[Path]:
    return list(dict.fromkeys(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")))


def _python_places() -> list[Path]:
    """This interpreter and its packages, as far as they lie outside of /usr; a virtual environment without the rest of it."""
    places = [Path(sys.base_prefix), *_packages()]
    if sys.prefix != sys.base_prefix:
        places += [Path(sys.prefix, "bin"), Path(sys.prefix, "pyvenv.cfg")]
    return [place for place in dict.fromkeys(places) if not place.resolve().is_relative_to("/usr")]


def _gpu_rules(gpu: Gpu | None) -> list[tuple[Path, Right]]:
    if gpu is None:
        return []
    readable = [*gpu.facts, *([gpu.libraries] if gpu.libraries else [])]
    return [*((node, DEVICE) for node in gpu.nodes), *((place, READ) for place in readable)]


def _but(place: Path, hidden: list[Path]) -> Iterator[tuple[Path, Right]]:
    """Rules by which everything in a folder can be read, but for what is hidden; of that, the names can be listed."""
    if place in hidden:
        return
    if not any(path.is_relative_to(place) for path in hidden):
        yield place, READ
        return
    yield place, LIST
    for child in place.iterdir():
        if not child.is_symlink():  # what it leads to has rules of its own
            yield from _but(child, hidden)
