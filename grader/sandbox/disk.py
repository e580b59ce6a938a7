"""How much an execution keeps on disk, where no file system of its own limits it: found by looking, a few times a second."""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

MOST_FILES = 20_000
"""In the folder; what a file system can number is limited as well, and a class shares it."""
_BLOCK = 512
_REST_SHARE = 10
"""After a look that took t seconds, the next one comes no sooner than this many t later."""
_EVERY_S = 0.3


class DiskUse:
    """The files in one folder, and those that processes removed and still hold.

    A file that is removed, mapped and closed shows in no descriptor; its size is read off the process's maps, as an upper bound.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = 0.0

    def exceeds(self, most_mb: float, pids: Sequence[int]) -> bool:
        """Whether there is more than that, in bytes or in files; False without a look where the last one is not long ago."""
        began = time.monotonic()
        if began < self._next:
            return False
        found = self.used_mb(pids) > most_mb
        took = time.monotonic() - began
        self._next = began + max(_EVERY_S, _REST_SHARE * took)
        return found

    def used_mb(self, pids: Sequence[int]) -> float:
        """Megabytes of disk in use; infinite where there are too many files, or folders nested deeper than a path can say."""
        held = {key: size for pid in pids for key, size in (*_open_files(pid), *_mapped_files(pid))}
        try:
            return (sum(_sizes(self._folder)) + sum(held.values())) / 2**20
        except _TooManyError:
            return float("inf")


class _TooManyError(Exception):
    """More than one look can count."""


def _sizes(folder: Path) -> Iterator[int]:
    """Bytes on disk of everything below; links are not followed."""
    waiting, count = [str(folder)], 0
    while waiting:
        for entry in _entries(waiting.pop()):
            count += 1
            if count > MOST_FILES:
                raise _TooManyError
            with _counted():
                yield entry.stat(follow_symlinks=False).st_blocks * _BLOCK
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)


def _entries(folder: str) -> list["os.DirEntry[str]"]:
    with _counted(), os.scandir(folder) as found:
        return list(found)
    return []


@contextlib.contextmanager
def _counted() -> Iterator[None]:
    """What is gone since is nothing; what cannot be looked at (too deep for a path, closed by its owner) is too much."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _TooManyError from error


def _open_files(pid: int) -> Iterator[tuple[tuple[str, int], int]]:
    """((device, inode), bytes on disk) of removed files that a process has open."""
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                place = f"/proc/{pid}/fd/{descriptor}"
                found = os.stat(place)  # noqa: PTH116
                if not found.st_nlink and found.st_blocks and not _is_memory(os.readlink(place)):  # noqa: PTH115
                    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
                    yield (device, found.st_ino), found.st_blocks * _BLOCK


def _mapped_files(pid: int) -> Iterator[tuple[tuple[str, int], int]]:
    """((device, inode), bytes) of removed files that a process has mapped."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/maps").read_text("utf-8", "replace").splitlines():
            if line.endswith(" (deleted)") and not _is_memory(line.split(maxsplit=5)[5]):
                span, _, offset, device, inode = line.split()[:5]
                begin, end = (int(address, 16) for address in span.split("-"))
                yield (device, int(inode)), int(offset, 16) + end - begin


def _is_memory(path: str) -> bool:
    """Whether a removed file was none, but memory with a name, which is counted elsewhere."""
    return path.startswith(("/memfd:", "/dev/zero", "/dev/shm/", "/SYSV"))
