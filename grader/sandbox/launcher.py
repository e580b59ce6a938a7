"""Runs outside the sandbox, just before it: joins cgroups, sets rlimits, drops root, then executes a program.

A separate script because nothing of this is safe between fork and exec of a process with threads. Started as
`python -I -S launcher.py [--cgroup FILE]… [--limit NAME=NUMBER]… [--stage NAME=FOLDER]… [--uid UID] -- ARGV…`; standard library only.
"""

import ctypes
import os
import resource
import sys

STAGE = "/tmp"
"""Where staged folders appear, in a mount namespace of the launcher's own: nobody else sees them there."""

_OOM_SCORE = "700"
"""Where the machine itself runs out of memory, student code goes first."""

_CLONE_NEWNS = 0x20000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000


def main(arguments: list[str]) -> None:
    """Apply the options, then become the program."""
    uid: int | None = None
    staged: dict[str, str] = {}
    while (option := arguments.pop(0)) != "--":
        value = arguments.pop(0)
        name, _, rest = value.partition("=")
        if option == "--cgroup":
            _write(value, "0")
        elif option == "--limit":
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (int(rest), int(rest)))
        elif option == "--stage":
            staged[name] = rest
        elif option == "--uid":
            uid = int(value)
    _write("/proc/self/oom_score_adj", _OOM_SCORE)
    if staged:
        _stage(staged)
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.execv(arguments[0], arguments)


def _stage(folders: dict[str, str]) -> None:
    """Bind each folder to STAGE/<name>: the uid that we drop to may be unable to walk the path to it."""
    libc = ctypes.CDLL(None, use_errno=True)
    _must(libc.unshare(_CLONE_NEWNS), "unshare")
    _must(libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None), "mount /")
    sources = {name: os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for name, folder in folders.items()}
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV)
    _must(libc.mount(b"tmpfs", STAGE.encode(), b"tmpfs", flags, b"mode=755,size=1m"), f"mount {STAGE}")
    for name, descriptor in sources.items():
        target = f"{STAGE}/{name}"
        os.mkdir(target, 0o755)  # noqa: PTH102
        source = f"/proc/self/fd/{descriptor}"
        _must(libc.mount(source.encode(), target.encode(), None, ctypes.c_ulong(_MS_BIND), None), f"mount {folders[name]}")
        os.close(descriptor)


def _must(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _write(file: str, text: str) -> None:
    with open(file, "w") as stream:  # noqa: PTH123 (pathlib would double the start-up time)
        stream.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
