"""What the operating system and SQLite say when something breaks on our side, in words that tell an instructor what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from grader.errors import StoreError

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_CHECK = "check that the disk is neither full nor read-only and that the folder is yours"
_KEPT = "then run again: what was stored before is kept"


@contextmanager
def disk_faults(folder: Path) -> Iterator[None]:
    """Inside, an error of the operating system that nobody else has explained is ours, never a student's.

    Raises:
        StoreError: in place of an OSError; it names the file where that is known, else `folder`.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(f"{error.filename or folder}: {error.strerror or error}; {_CHECK}, {_KEPT}") from error


@contextmanager
def database_faults(path: Path) -> Iterator[None]:
    """Inside, whatever keeps the database at `path` from being used has a name.

    Raises:
        StoreError: in place of an error of SQLite, of SQLAlchemy, of the disk, or of a value that no grader wrote.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error, OSError, ValueError) as error:
        reason = (error.orig if isinstance(error, DBAPIError) else None) or error
        raise (damaged(path, str(reason)) if is_damage(reason) else _unusable(path, reason)) from error


def is_damage(error: BaseException) -> bool:
    """Whether SQLite, or a value that cannot be read, says that the file itself is damaged."""
    if isinstance(error, sqlite3.Error):
        code: int | None = getattr(error, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _DAMAGE  # the low byte tells the kind
    return isinstance(error, ValueError)


def damaged(path: Path, found: str) -> StoreError:
    """What to say of a database that is damaged."""
    return StoreError(
        f"{path}: the database cannot be used ({found}); the file is damaged: `grader run` keeps it aside and restores the newest "
        "backup beside it"
    )


def _unusable(path: Path, reason: BaseException) -> StoreError:
    return StoreError(
        f"{path}: the database cannot be used ({reason}); {_CHECK}, and that no other program holds the file, {_KEPT}"
    )
