"""Runs outside the sandbox, just before it: joins cgroups, sets rlimits, gives up rights, then executes a program.

A separate script because nothing of this is safe between fork and exec of a process with threads. Started as
`python -I -S launcher.py GRADER [OPTION VALUE]… -- ARGV…`, GRADER being the grader's process id; standard library only. Options:

    --cgroup FILE       join the cgroup of this cgroup.procs
    --limit NAME=N      set RLIMIT_<NAME>
    --reveal FOLDER     let everybody walk to this folder, in a mount namespace of the launcher's own
    --uid UID           stop being root
    --landlock FD       put this ruleset into force
    --seccomp FD        put the filter in this file into force

The launcher stays as parent of the program and takes care that nothing outlives it. The program ends when it wants, or when the launcher
gets SIGTERM, as it also does when the grader dies. Then everything that descends from it is killed, and the launcher exits with its
status (128 + n for signal n), after the last process is dead and not before.
"""

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
import time

_OOM_SCORE = "700"
"""Where the machine itself runs out of memory, student code goes first."""

_CLONE_NEWNS = 0x20000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
_SECCOMP_MODE_FILTER = 2
_LANDLOCK_RESTRICT_SELF = 446
_FILTER_OPERATION_BYTES = 8
_WATCHED = (signal.SIGCHLD, signal.SIGTERM)

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> None:
    """Apply the options, run the program, and exit as it does when all that descends from it is dead."""
    grader = int(arguments.pop(0))
    options: dict[str, list[str]] = {}
    while (option := arguments.pop(0)) != "--":
        options.setdefault(option, []).append(arguments.pop(0))
    os.umask(0o022)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    _must(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "subreaper")
    _must(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0), "parent's death")
    if os.getppid() != grader:  # dead already
        sys.exit(1)
    if revealed := options.get("--reveal"):
        _reveal(revealed)
    _supervise(arguments, options)


def _become(argv: list[str], options: dict[str, list[str]]) -> None:
    """Give everything up that the options name, in the one order that works, and execute."""
    for file in options.get("--cgroup", ()):
        _write(file, "0")
    for limit in options.get("--limit", ()):
        name, _, number = limit.partition("=")
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (int(number), int(number)))
    _write("/proc/self/oom_score_adj", _OOM_SCORE)
    for uid in options.get("--uid", ()):
        _drop_to(int(uid))
    _must(
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "parent's death"
    )  # whoever kills the launcher ends the program
    if options.keys() & {"--landlock", "--seccomp"}:
        _must(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    for descriptor in options.get("--landlock", ()):
        _must(_libc.syscall(_LANDLOCK_RESTRICT_SELF, int(descriptor), 0), "landlock")
        os.close(int(descriptor))
    for descriptor in options.get("--seccomp", ()):
        _filter(int(descriptor))
    os.execv(argv[0], argv)


def _drop_to(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _filter(descriptor: int) -> None:
    """Install the seccomp filter in that file."""
    program = os.pread(descriptor, 1 << 20, 0)
    os.close(descriptor)
    kept = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // _FILTER_OPERATION_BYTES, ctypes.addressof(kept)))
    _must(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0), "seccomp")


def _supervise(argv: list[str], options: dict[str, list[str]]) -> None:
    """Run the program as a child; exit as it does when all that descends from it is dead."""
    program = os.fork()
    if not program:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        try:
            _become(argv, options)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    os.closerange(3, 1 << 20)  # whoever listens at the other end must see it close
    uids = options.get("--uid")
    code = _watch(program)
    if code is None:
        os.kill(program, signal.SIGKILL)
    found = _end_all(int(uids[0]) if uids else None)
    code = found.get(program) if code is None else code
    os._exit(code if code is not None and code >= 0 else 128 - (code or 0))


def _watch(program: int) -> int | None:
    """The program's exit code when it has ended; None when we are to end it."""
    while signal.sigwait(_WATCHED) == signal.SIGCHLD:
        if (code := _reaped().get(program)) is not None:
            return code
    return None


def _reaped() -> dict[int, int]:
    """Exit codes of the children that have died, our own and those that lost their parent.

    Raises:
        ChildProcessError: there is no child left, dead or alive, and none found dead just now.
    """
    found: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            if found:
                return found
            raise
        if not pid:
            return found
        found[pid] = os.waitstatus_to_exitcode(status)


def _end_all(uid: int | None) -> dict[int, int]:
    """Kill everything below us until there is nothing; the exit codes of all that died."""
    found: dict[int, int] = {}
    while True:
        try:
            found |= _reaped()
        except ChildProcessError:
            return found
        if uid is None:
            for pid in _descendants():
                _kill(pid)
        else:
            _kill_user(uid)
            time.sleep(0.001)


def _kill_user(uid: int) -> None:
    """Kill all processes of the user at once: unlike a walk, no fork outruns this."""
    if killer := os.fork():
        os.waitpid(killer, 0)
        return
    try:
        _drop_to(uid)
        os.kill(-1, signal.SIGKILL)
    finally:
        os._exit(0)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _descendants() -> list[int]:
    """All processes below us; those whose parent has died are our own children."""
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        below = _children(waiting.pop())
        found += below
        waiting += below
    return found


def _children(pid: int) -> list[int]:
    """A process's children, zombies too; a single small file for most, since a chain of forks outruns a walk over all of /proc."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # gone since
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with open(f"/proc/{pid}/task/{thread}/children") as stream:  # noqa: PTH123
                found += map(int, stream.read().split())
    return found


def _reveal(folders: list[str]) -> None:
    """Cover what keeps others from walking to the folders by empty file systems, and bind the folders to where they were."""
    covers = {folder: cover for folder in folders if (cover := _closed_ancestor(folder))}
    if not covers:
        return
    _must(_libc.unshare(_CLONE_NEWNS), "unshare")
    _must(_libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None), "mount /")
    sources = {folder: os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in covers}
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV)
    for cover in dict.fromkeys(covers.values()):
        _must(_libc.mount(b"tmpfs", os.fsencode(cover), b"tmpfs", flags, b"mode=755,size=1m"), f"mount {cover}")
    for folder, descriptor in sources.items():
        os.makedirs(folder, 0o755, exist_ok=True)  # noqa: PTH103
        source = f"/proc/self/fd/{descriptor}"
        _must(_libc.mount(source.encode(), os.fsencode(folder), None, ctypes.c_ulong(_MS_BIND), None), f"mount {folder}")
        os.close(descriptor)


def _closed_ancestor(folder: str) -> str | None:
    """The topmost folder on the way that others may not enter."""
    parts = folder.strip("/").split("/")[:-1]
    for count in range(1, len(parts) + 1):
        place = "/" + "/".join(parts[:count])
        if not os.stat(place).st_mode & 0o001:  # noqa: PTH116
            return place
    return None


def _must(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _write(file: str, text: str) -> None:
    with open(file, "w") as stream:  # noqa: PTH123 (pathlib would double the start-up time)
        stream.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
