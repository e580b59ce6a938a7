"""The database of a course, opened for one run: seen to be whole first, or restored from its backup."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from grader.errors import StoreError
from grader.faults import damaged, database_faults
from grader.lock import exclusive
from grader.soundness import damage, newest_id
from grader.store import Store, backup_of

_COMPANIONS = ("-wal", "-shm")
"""What SQLite keeps beside a database; of no use to any other file, and harmful to a restored one."""


@contextmanager
def open_store(path: Path, say: Callable[[str], None]) -> Iterator[Store]:
    """The database for one run alone, checked and backed up before, and backed up after, when all went well.

    say: told of a database that was damaged and is restored.

    Raises:
        StoreError: another run is at work, the database or its backup cannot be written, or it is damaged beyond its backup.
    """
    with exclusive(path):
        if remark := restore_if_damaged(path):
            say(remark)
        store = Store(path)
        try:
            store.back_up()
            yield store
            store.back_up()
        finally:
            store.close()


@contextmanager
def open_sound(path: Path) -> Iterator[Store]:
    """The database for one command that grades nothing, and so restores nothing.

    Raises:
        StoreError: a run is at work, or the database is damaged or cannot be used.
    """
    with exclusive(path):
        if wrong := _what_is_wrong(path):
            raise damaged(path, f"it {wrong}")
        store = Store(path)
        try:
            yield store
        finally:
            store.close()


def restore_if_damaged(path: Path) -> str | None:
    """Put the backup in the place of a damaged database, which is kept; only while this process holds the lock.

    Returns what happened, in a line; None where nothing was wrong.

    Raises:
        StoreError: there is no sound backup; everything is as it was.
    """
    wrong = _what_is_wrong(path)
    if wrong is None:
        return None
    backup = backup_of(path)
    with database_faults(path):
        also = damage(backup, immutable=True) if backup.exists() else "there is none"
        if also is not None:
            raise StoreError(
                f"{path}: the database cannot be used, for it {wrong}, and its backup {backup.name} cannot replace it ({also}). Nothing "
                "was changed: put a sound copy of either in its place, or move both away, and `grader run` grades everything again"
            )
        kept = _set_aside(path)
        _copy(backup, path)
    aside = f"; the damaged file is kept as {kept.name}" if kept else ""
    results = newest_id(backup, immutable=True)
    return (
        f"{path}: the database {wrong}{aside}. Its backup with {results} results was restored: what was graded or fetched "
        "after that backup is done again"
    )


def _what_is_wrong(path: Path) -> str | None:
    """`is damaged (…)` and the like; None where nothing is, or nothing has been graded yet."""
    backup = backup_of(path)
    with database_faults(path):
        if not path.exists():
            return "is missing" if backup.exists() else None
        if found := damage(path):
            return f"is damaged ({found})"
    here, there = newest_id(path), newest_id(backup, immutable=True)
    # Results are never deleted: a file with fewer than its backup was emptied or replaced, however sound it looks.
    return f"has lost results (it holds {here}, its backup {there})" if here < there else None


def _set_aside(path: Path) -> Path | None:
    """Give the file and its companions a name that says so; the new name, None where there was no file."""
    names = (path.with_name(f"{path.stem}.damaged-{number}{path.suffix}") for number in count(1))
    free = next(name for name in names if not any(Path(f"{name}{part}").exists() for part in ("", *_COMPANIONS)))
    existed = path.exists()
    for part in ("", *_COMPANIONS):
        if (found := Path(f"{path}{part}")).exists():
            found.rename(f"{free}{part}")
    return free if existed else None


def _copy(backup: Path, path: Path) -> None:
    """Copy the backup to the empty place in one piece, so that a kill leaves either nothing there or all of it."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    with backup.open("rb") as source, part.open("wb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
    part.replace(path)
