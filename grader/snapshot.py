"""The snapshot of a class's linked checkpoints: the files, and which of them counts for which link.

Files lie in the lab folder under the hash of their contents. Every attempt to fetch one is logged in the course's database; the log says
which file counts. What a link led to first counts, whatever happens at the link later, until somebody replaces it on purpose.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from grader.errors import StudentError, UngradedError
from grader.faults import disk_faults
from grader.fetching.fetcher import Fetcher, Received
from grader.models import Fetch
from grader.store import Store

FOLDER = "checkpoints"
"""in the lab folder"""
SPARE_DISK = 256 * 2**20
"""Bytes that stay free beside the largest file that may come."""

_PART = ".part"


class Again(StrEnum):
    """What to do about a link whose file is in the snapshot already."""

    NO = "no"
    """nothing"""
    LOOK = "look"
    """fetch it to see whether it changed; what is in the snapshot counts"""
    REPLACE = "replace"
    """fetch it, and let what comes count"""


@dataclass(frozen=True)
class Wanted:
    """The checkpoint of a task, at a link to the web; limit: most bytes."""

    student: str
    task: str
    link: str
    limit: int = field(compare=False)


class Snapshot:
    """The snapshot of a lab; thread-safe for different links.

    folder: where the files are; made when the first one comes.
    """

    def __init__(self, folder: Path, lab: str, store: Store) -> None:
        self._folder, self._lab, self._store = folder, lab, store
        self._kept: dict[Wanted, Fetch] = {}
        self._newest: dict[Wanted, Fetch] = {}
        for fetch in store.fetches(lab):
            self._note(fetch)

    def kept(self, wanted: Wanted) -> Fetch | None:
        """The entry whose file counts; None where none was fetched yet, or the file is gone."""
        entry = self._kept.get(wanted)
        return entry if entry and self._is_there(entry) else None

    def path(self, entry: Fetch) -> Path:
        """The file of an entry."""
        return self._folder / f"{entry.sha256}"

    def identity(self, wanted: Wanted) -> str:
        """Differs whenever a result must: with the file that counts, and with what was seen at the link since.

        Stays the same where a file is gone, so that a folder of graded checkpoints can be removed.
        """
        kept, changed = self._kept.get(wanted), self._changed(wanted)
        return f"{wanted.task} {kept and kept.sha256} {changed and changed.sha256}"

    def warning(self, wanted: Wanted) -> str | None:
        """What a result should say about a link that did not always lead to the same file."""
        kept, changed = self._kept.get(wanted), self._changed(wanted)
        if kept and changed:
            return (
                f"the file at the link of task {wanted.task} changed since the snapshot of {_time(kept)} (seen {_time(changed)}); "
                "the snapshot counts"
            )
        return f"task {wanted.task}: {kept.message}" if kept and kept.message else None

    def _changed(self, wanted: Wanted) -> Fetch | None:
        """The entry of what was last seen at the link, where that is not what counts."""
        kept, newest = self._kept.get(wanted), self._newest.get(wanted)
        return newest if kept and newest and newest.sha256 != kept.sha256 else None

    def take(self, wanted: Wanted, fetcher: Fetcher, again: Again = Again.NO) -> Fetch:
        """Fetch the file at a link if need be, and log what came of it; the entry says."""
        kept = self.kept(wanted)
        if kept and again == Again.NO:
            return kept
        entry = self._fetch(wanted, fetcher, counts=kept is None or again == Again.REPLACE)
        self._store.add_fetch(entry)
        self._note(entry)
        return entry

    def _fetch(self, wanted: Wanted, fetcher: Fetcher, counts: bool) -> Fetch:
        """The entry of an attempt."""
        found: dict[str, object] = {"outcome": "ungraded"}
        try:
            received = self._receive(wanted, fetcher)
            found = {"outcome": "kept" if counts else "seen", **vars(received)}
            found["message"] = self._replaced(wanted, received) if counts else ""
        except StudentError as error:
            found = {"outcome": "failed", "message": str(error)}
        except UngradedError as error:
            found["message"] = str(error)
        except Exception as error:
            # Whatever breaks here is our fault: it must neither cost the student points nor end the class run.
            found["message"] = f"the grader failed on this link ({type(error).__name__}: {error}); please report this"
        where = {"lab": self._lab, "student": wanted.student, "task": wanted.task, "link": wanted.link}
        return Fetch.model_validate({**where, "at": datetime.now(UTC), **found})

    def _replaced(self, wanted: Wanted, received: Received) -> str:
        """What to say where another file counted before."""
        before = self._kept.get(wanted)
        if before is None or before.sha256 == received.sha256:
            return ""
        why = "on purpose" if self._is_there(before) else "because that was lost"
        return f"this file replaced that of the snapshot of {_time(before)}, {why}"

    def _receive(self, wanted: Wanted, fetcher: Fetcher) -> Received:
        """The file, whole, in its place."""
        try:
            with self._part(wanted.limit) as (part, path):
                received = fetcher.fetch(wanted.link, wanted.limit, part)
                part.flush()
                os.fsync(part.fileno())
                path.replace(self._folder / received.sha256)
        except OSError as error:
            raise UngradedError(
                f"{self._folder} cannot be written ({error.strerror}); free some space or check permissions"
            ) from error
        return received

    @contextmanager
    def _part(self, limit: int) -> Iterator[tuple[BinaryIO, Path]]:
        """A file for what arrives, readable by its owner alone; removed unless it was given another name."""
        self._folder.mkdir(exist_ok=True)
        if shutil.disk_usage(self._folder).free < limit + SPARE_DISK:
            raise UngradedError(f"{self._folder}: the disk is nearly full; free {(limit + SPARE_DISK) / 2**20:.0f} MB")
        descriptor, name = tempfile.mkstemp(dir=self._folder, suffix=_PART)
        try:
            with os.fdopen(descriptor, "w+b") as part:
                yield part, Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def _note(self, entry: Fetch) -> None:
        where = Wanted(entry.student, entry.task, entry.link, 0)
        if entry.outcome == "kept":
            self._kept[where] = entry
        if entry.outcome in ("kept", "seen"):
            self._newest[where] = entry

    def _is_there(self, entry: Fetch) -> bool:
        path = self.path(entry)
        return path.is_file() and path.stat().st_size == entry.size


def _time(entry: Fetch) -> str:
    return f"{entry.at:%Y-%m-%d %H:%M} UTC"


def clean(folder: Path) -> None:
    """Remove what a killed run left half-written; only while no other run is at work.

    Raises:
        StoreError: the folder cannot be written.
    """
    with disk_faults(folder):
        for part in folder.glob(f"*{_PART}"):
            part.unlink()
