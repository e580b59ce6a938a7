"""One run at a time: whoever writes to a course's database or to its reports holds a lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from grader.errors import StoreError


@contextmanager
def exclusive(database: Path) -> Iterator[None]:
    """Hold the lock of a course; the system frees it with the death of its holder, so that a killed run blocks nobody.

    Raises:
        StoreError: another run of this course holds it, or it cannot be had in this folder.
    """
    lock = FileLock(f"{database}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StoreError(
            f"{database}: another `grader run` is at work on this course; wait for it to end, then run again"
        ) from error
    except (OSError, NotImplementedError) as error:  # the latter from file systems without locks
        reason = getattr(error, "strerror", None) or error
        raise StoreError(
            f"{lock.lock_file}: cannot be locked ({reason}); check that the disk is neither full nor read-only and that the folder is "
            "yours, or move the course to a local disk"
        ) from error
    try:
        yield
    finally:
        lock.release()
