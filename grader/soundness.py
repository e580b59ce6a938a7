"""Whether a database is whole: its structure as SQLite sees it, and every row as it was when it was stored."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from grader.faults import is_damage

SEALED_RESULT = ("lab", "student", "attempt", "key", "status", "created", "body")
"""Columns of a result that its seal covers, in this order."""
SEALED_PICTURE = ("task", "name", "media_type", "caption", "data")
"""Columns of each of its pictures, which follow in the order of their ids."""
SEALED_FETCH = ("lab", "student", "task", "link", "at", "outcome", "sha256", "size", "host", "message")
"""Columns of an attempt to fetch."""


def seal(values: Iterable[object]) -> str:
    """SHA-256 over the values of a row, each with its length before it; the same for what is stored and for what SQLite gives back."""
    digest = hashlib.sha256()
    for value in values:
        data = _as_stored(value)
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def _as_stored(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S.%f}".encode()
    return value.encode() if isinstance(value, str) else repr(value).encode()


def damage(path: Path, *, immutable: bool = False) -> str | None:
    """What is wrong with a database; None where nothing is. Reads every byte once, and writes none.

    immutable: nobody else has the file open, and there is no write-ahead log that belongs to it.

    Raises:
        sqlite3.Error: it cannot be read for a reason that says nothing about the file.
    """
    try:
        with closing(_opened(path, immutable)) as connection:
            connection.text_factory = bytes
            return _structure(connection) or next(_changed(connection), None)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return str(error)


def newest_id(path: Path, *, immutable: bool = False) -> int:
    """The id of the newest result; 0 where there is none, or where it cannot be read."""
    try:
        with closing(_opened(path, immutable)) as connection:
            return int(connection.execute("SELECT coalesce(max(id), 0) FROM results").fetchone()[0])
    except sqlite3.Error:
        return 0


def _opened(path: Path, immutable: bool) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro{'&immutable=1' * immutable}", uri=True)


def _structure(connection: sqlite3.Connection) -> str | None:
    """The first complaint of SQLite. Not quick_check: a damaged index, which that passes over, would hide results."""
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != b"ok":
        return str(verdict, errors="replace").replace("\n", " ")
    stray = connection.execute("PRAGMA foreign_key_check").fetchone()
    return f"a row of {str(stray[0], errors='replace')} belongs to nothing" if stray else None


def _changed(connection: sqlite3.Connection) -> Iterator[str]:
    """Rows that differ from their seals; those of older graders have none."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    pictures = f"SELECT {', '.join(SEALED_PICTURE)} FROM artifacts WHERE result_id = ? ORDER BY id"
    if b"seals" in tables:
        for number, sha256, *values in _rows(connection, "results", "seals", "result_id", SEALED_RESULT):
            values += [part for row in connection.execute(pictures, (number,)) for part in row]
            if seal(values).encode() != sha256:
                yield f"result {number} is not what was stored"
    if b"fetch_seals" in tables:
        for number, sha256, *values in _rows(connection, "fetches", "fetch_seals", "fetch_id", SEALED_FETCH):
            if seal(values).encode() != sha256:
                yield f"fetch {number} is not what was stored"


def _rows(connection: sqlite3.Connection, table: str, seals: str, key: str, columns: Iterable[str]) -> sqlite3.Cursor:
    """(id, sha256, *columns) of every row that has a seal."""
    wanted = ", ".join(f"{table}.{column}" for column in columns)
    return connection.execute(
        f"SELECT {table}.id, {seals}.sha256, {wanted} FROM {table} JOIN {seals} ON {seals}.{key} = {table}.id"
    )
