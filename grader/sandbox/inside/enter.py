"""Runs in a fork of zygote.py: enters namespaces of its own and gives up every right, before anything of a submission is read.

What it makes is what bubblewrap makes for the other way to start (grader/sandbox/bubblewrap.py). The folders of the system and of Python
are mounted already, for reading only; what a submission may write to, and what could tell it of another one, is made anew for each.
Standard library only.
"""

import ctypes
import os
import resource
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FOLDER, HOME = "/in", "/tmp"

_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    *(0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000),
)
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 0x1, 0x2, 0x4, 0x8, 0x20, 0x1000, 0x4000, 0x40000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = (
    1,
    4,
    22,
    24,
    38,
    47,
)
_AMBIENT_CLEAR_ALL = 4
_MNT_DETACH = 2
_SECCOMP_MODE_FILTER = 2
_FILTER_OPERATION_BYTES = 8
_CAPABILITY_VERSION = 0x20080522
_OOM_SCORE = b"700"
"""Where the machine itself runs out of memory, student code goes first."""
_CHANNEL = 3
_COVERED = ("sys", "sysrq-trigger", "irq", "bus")
"""Of /proc: what may be read, and written by nobody."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Request:
    """One execution, as the grader asks for it; descriptors are numbers in this process.

    uid: to run as. limits: RLIMIT_<name> -> value. shared_memory_mb, disk_mb: size of /dev/shm and of /tmp. files: name -> descriptor
    of what is to lie in /in. joins: descriptors of cgroup.procs files. channel, stderr: what the script talks to. seccomp: a file with
    the filter.
    """

    script: str
    arguments: tuple[str, ...]
    uid: int
    limits: Mapping[str, int]
    environment: Mapping[str, str]
    disk_mb: int
    shared_memory_mb: int
    files: Mapping[str, int]
    joins: tuple[int, ...]
    channel: int
    stderr: int
    seccomp: int

    @classmethod
    def of(cls, told: Mapping[str, Any], descriptors: Sequence[int]) -> "Request":
        """From JSON and the descriptors that came with it: channel, stderr, filter, the files in order, then the cgroups."""
        channel, stderr, seccomp, *others = descriptors
        names = told["files"]
        fields = {name: told[name] for name in ("script", "uid", "limits", "environment", "disk_mb", "shared_memory_mb")}
        return cls(
            **fields,
            arguments=tuple(told["arguments"]),
            files=dict(zip(names, others, strict=False)),
            joins=tuple(others[len(names) :]),
            channel=channel,
            stderr=stderr,
            seccomp=seccomp,
        )


def mount_proc() -> None:
    """Show this process namespace in /proc, uncovered: what a fork does about its own namespaces it does by writing there."""
    _unmount("/proc")
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)


def separate_processes() -> None:
    """Let the next child be process 1 of a new process namespace: with its death everything in it dies."""
    _must(_libc.unshare(_NEWPID), "unshare")


def enter(request: Request) -> None:
    """Become the process that runs the script: no way back.

    Raises:
        OSError: some step is refused; the process must end.
    """
    os.dup2(request.stderr, 2)
    _must(_libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "parent's death")
    os.setsid()
    os.umask(0o022)
    for join in request.joins:
        os.write(join, b"0")
    for name, value in request.limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    _write("/proc/self/oom_score_adj", _OOM_SCORE)
    _must(_libc.unshare(_NEWNS | _NEWCGROUP | _NEWUTS | _NEWIPC | _NEWNET), "unshare")
    socket.sethostname("sandbox")
    old_proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    _mount_all(request)
    _drop_to(request.uid, old_proc)
    _give_up_capabilities()
    _filter(request.seccomp)
    os.chdir(HOME)
    _keep_only(request.channel)


def _mount_all(request: Request) -> None:
    """Empty places to write to, our own view of processes and terminals, and the files of the execution, all in place of the zygote's."""
    _mount(None, "/", None, _REC | _PRIVATE)
    for place in (HOME, "/dev/shm", "/dev/pts", "/proc"):
        _unmount(place)
    _mount("tmpfs", HOME, "tmpfs", _NOSUID | _NODEV, f"mode=1777,size={request.disk_mb}m")
    _mount("tmpfs", "/dev/shm", "tmpfs", _NOSUID | _NODEV, f"mode=1777,size={request.shared_memory_mb}m")
    _mount("devpts", "/dev/pts", "devpts", _NOSUID | _NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    for name in _COVERED:
        if os.path.exists(f"/proc/{name}"):  # noqa: PTH110 (pathlib would be one import more in the process that all come from)
            _mount(f"/proc/{name}", f"/proc/{name}", None, _BIND | _REC)
            _mount(None, f"/proc/{name}", None, _BIND | _REMOUNT | _RDONLY | _NOSUID | _NODEV | _NOEXEC)
    _mount("tmpfs", FOLDER, "tmpfs", _NOSUID | _NODEV, "mode=755")
    for name, source in request.files.items():
        _copy(source, f"{FOLDER}/{name}")
    _mount(None, FOLDER, None, _REMOUNT | _RDONLY | _NOSUID | _NODEV, "mode=755")


def _copy(source: int, target: str) -> None:
    """A private copy, which everybody in the sandbox may read and which stays the same to the end."""
    copy = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    offset = 0
    while sent := os.sendfile(copy, source, offset, 1 << 30):
        offset += sent
    os.close(copy)


def _drop_to(uid: int, old_proc: int) -> None:
    """Be that user, alone in a user namespace in which no other can be made.

    The other namespaces belong to the one above: whatever rights could be had in this one, they would not be rights over them.
    """
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _must(_libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "parent's death")  # changing the user undoes it
    _must(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "dumpable")  # as a program just executed is; else /proc/self is not ours
    _must(_libc.unshare(_NEWUSER), "unshare")
    _write("/proc/self/setgroups", b"deny")
    for kind in ("uid", "gid"):
        _write(f"/proc/self/{kind}_map", f"{uid} {uid} 1".encode())
    limit = os.open("sys/user/max_user_namespaces", os.O_WRONLY | os.O_CLOEXEC, dir_fd=old_proc)
    os.write(limit, b"0")  # through the old /proc: in ours it is covered
    os.close(limit)


def _give_up_capabilities() -> None:
    last = int(_read("/proc/sys/kernel/cap_last_cap"))
    for capability in range(last + 1):
        _must(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0), "bounding set")
    _must(_libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0), "ambient set")
    header, nothing = struct.pack("=Ii", _CAPABILITY_VERSION, 0), bytes(24)
    _must(_libc.capset(header, nothing), "capset")


def _filter(descriptor: int) -> None:
    """Install the seccomp filter in that file."""
    program = os.pread(descriptor, 1 << 20, 0)
    kept = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // _FILTER_OPERATION_BYTES, ctypes.addressof(kept)))
    _must(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _must(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0), "seccomp")


def _keep_only(channel: int) -> None:
    """No descriptor but the channel, as number 3, stderr, and a /dev/null of our own."""
    nowhere = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nowhere, standard)
    if channel != _CHANNEL:
        os.dup2(channel, _CHANNEL)
    os.set_inheritable(_CHANNEL, True)
    os.closerange(_CHANNEL + 1, 1 << 20)


def _unmount(place: str) -> None:
    """With all that is mounted in it; who has a descriptor of it keeps that."""
    _must(_libc.umount2(place.encode(), _MNT_DETACH), f"unmount {place}")


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [text.encode() if text is not None else None for text in (source, target, kind)]
    _must(_libc.mount(*words, ctypes.c_ulong(flags), options.encode() if options else None), f"mount {target}")


def _must(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _write(file: str, content: bytes) -> None:
    with open(file, "wb", buffering=0) as stream:  # noqa: PTH123
        stream.write(content)


def _read(file: str) -> bytes:
    with open(file, "rb") as stream:  # noqa: PTH123
        return stream.read()
