"""A slot's user id and folder, for one execution at a time on the whole machine, whoever else grades there.

Root gives each slot a user id of its own, so that file permissions, signals and process limits keep slots apart. What an earlier run
left behind, because it was killed, is removed before the slot is used again.
"""

import contextlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from grader.errors import SandboxError
from grader.sandbox.meters import tasks_of_user

_FIRST_UID = 60_800
"""systemd's table of user ids has nobody from here to 61,183, and containers with 65,536 ids have these."""
_SLOTS = 380
_DEATH_PATIENCE_S = 10.0
_PLAIN = {"PATH": os.defpath, "LC_ALL": "C"}
_SHARED = tuple(map(Path, ("/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/dev/mqueue")))
"""Where everybody may write on a usual system."""


@dataclass(frozen=True)
class Lease:
    """uid: of the slot; None where we are not root, and everything runs as us. folder: ours, empty between executions."""

    uid: int | None
    folder: Path
    lock: FileLock

    def empty(self) -> None:
        """End what still runs as the slot's user, whose launcher was killed, and remove what is in the folder, however deep.

        Raises:
            SandboxError: something stays.
        """
        self._end_strays()
        for path in (*self.folder.iterdir(), *self._strays()):
            if self.uid is None:  # what is ours, but was closed to us
                _run("chmod", "-R", "u+rwX", "--", str(path))
            # Not shutil.rmtree: student code can nest folders deeper than it recurses.
            if complaint := _run("rm", "-rf", "--one-file-system", "--", str(path)):
                raise SandboxError(f"found that {path} cannot be removed ({complaint[-200:]}), expected it to; remove it by hand")

    def _end_strays(self) -> None:
        if self.uid is None:
            return
        end = time.monotonic() + _DEATH_PATIENCE_S
        while tasks_of_user(self.uid):
            if time.monotonic() > end:
                raise SandboxError(
                    f"found processes of user {self.uid} alive after they were killed; restart the machine if they stay"
                )
            command = ["kill", "-KILL", "--", "-1"]
            subprocess.run(command, user=self.uid, group=self.uid, extra_groups=[], env=_PLAIN, capture_output=True)

    def _strays(self) -> Iterator[Path]:
        """What the slot's user left where everybody may write; without Landlock it could."""
        for place in _SHARED if self.uid is not None else ():
            with contextlib.suppress(OSError):
                yield from (path for path in place.iterdir() if _owner(path) == self.uid)

    def release(self) -> None:
        """Remove the folder, and let others have the slot."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.release()


def _run(*command: str) -> str:
    """Run a system command; what it complains of, empty where it succeeded."""
    done = subprocess.run(command, env=_PLAIN, capture_output=True, text=True, errors="replace")
    return done.stderr.strip() or f"exit status {done.returncode}" if done.returncode else ""


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:  # gone since
        return None


class Leases:
    """The leases of one sandbox, by slot; each is taken when it is first asked for, and kept as long as the sandbox. Thread-safe."""

    def __init__(self) -> None:
        self._held: dict[int, Lease] = {}
        self._taking = threading.Lock()
        weakref.finalize(self, _release, self._held)

    def of(self, slot: int) -> Lease:
        """Raises SandboxError as `take` does."""
        with self._taking:
            if slot not in self._held:
                self._held[slot] = take()
            return self._held[slot]


def _release(held: dict[int, Lease]) -> None:
    while held:
        held.popitem()[1].release()


def take() -> Lease:
    """The first slot that nobody on this machine has.

    Raises:
        SandboxError: there is none, or no folder to put it into.
    """
    place = _place()
    for number in range(_SLOTS):
        if os.geteuid() == 0 and _is_somebody(_FIRST_UID + number):
            continue
        lock = FileLock(place / f"{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        lease = Lease(_FIRST_UID + number if os.geteuid() == 0 else None, place / str(number), lock)
        lease.folder.mkdir(exist_ok=True)
        lease.folder.chmod(0o711)  # whatever our umask is
        lease.empty()
        return lease
    raise SandboxError(f"found all {_SLOTS} slots in {place} in use, expected a free one; use fewer workers")


def _place() -> Path:
    """Not /tmp, which is memory on many systems; nobody but us may list or change it."""
    parent = Path("/var/tmp") if os.access("/var/tmp", os.W_OK) else Path(tempfile.gettempdir())
    place = parent / f"gan-grader-{os.geteuid()}"
    try:
        place.mkdir(exist_ok=True)
        found = place.lstat()
    except OSError as error:
        raise SandboxError(f"cannot make {place} ({error.strerror}); free disk space or inodes there") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise SandboxError(f"found {place} to be somebody else's, expected our own folder; remove it")
    place.chmod(0o711)
    return place


def _is_somebody(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
