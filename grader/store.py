"""The database of a course: every result that was ever given and every file that was fetched, appended and never overwritten."""

import shutil
import sqlite3
import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError
from sqlalchemy import DateTime, ForeignKey, LargeBinary, String, Text, create_engine, event, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from grader.errors import StoreError
from grader.models import Artifact, Fetch, Status, SubmissionResult


class Base(DeclarativeBase):
    """Base of all tables."""


class ResultRow(Base):
    """One grading of one submission; the newest of a student and lab is the one in force."""

    __tablename__ = "results"
    id: Mapped[int] = mapped_column(primary_key=True)
    lab: Mapped[str] = mapped_column(String, index=True)
    student: Mapped[str] = mapped_column(String, index=True)
    attempt: Mapped[str] = mapped_column(String)
    key: Mapped[str] = mapped_column(String, index=True)
    """hash of everything the result depends on: submission, spec, template, pack, grader"""
    status: Mapped[str] = mapped_column(String)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    body: Mapped[str] = mapped_column(Text)
    artifacts: Mapped[list["ArtifactRow"]] = relationship(cascade="all")


class ArtifactRow(Base):
    """A picture that belongs to a result."""

    __tablename__ = "artifacts"
    id: Mapped[int] = mapped_column(primary_key=True)
    result_id: Mapped[int] = mapped_column(ForeignKey("results.id"), index=True)
    task: Mapped[str] = mapped_column(String)
    name: Mapped[str] = mapped_column(String)
    media_type: Mapped[str] = mapped_column(String)
    caption: Mapped[str] = mapped_column(Text)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class FetchRow(Base):
    """One attempt to fetch the checkpoint at a link; columns as the fields of `Fetch`."""

    __tablename__ = "fetches"
    id: Mapped[int] = mapped_column(primary_key=True)
    lab: Mapped[str] = mapped_column(String, index=True)
    student: Mapped[str] = mapped_column(String, index=True)
    task: Mapped[str] = mapped_column(String)
    link: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    outcome: Mapped[str] = mapped_column(String)
    sha256: Mapped[str | None] = mapped_column(String)
    size: Mapped[int | None]
    host: Mapped[str | None] = mapped_column(String)
    message: Mapped[str] = mapped_column(Text)


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    """WAL keeps readers and the one writer apart and survives a kill; FULL makes a committed grade durable."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


class Store:
    """Results of a course in one SQLite file.

    Raises:
        StoreError: the file is not a database of ours, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = threading.Lock()
        self._engine = create_engine(f"sqlite:///{path}")
        event.listen(self._engine, "connect", _set_pragmas)
        with self._translated():
            path.touch(mode=0o600)  # grades are for those who run the course; what exists keeps its mode
            Base.metadata.create_all(self._engine)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, sqlite3.Error, OSError) as error:
            reason = getattr(error, "orig", None) or error
            raise StoreError(
                f"{self.path}: the database cannot be used ({reason}); check that the disk is neither full nor read-only, "
                "and restore the newest backup beside it if the file is damaged"
            ) from error

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock of a run.

        Raises:
            StoreError: another run of this course holds it.
        """
        lock = FileLock(f"{self.path}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(f"{self.path}: another `grader run` is at work on this course; wait for it to end") from error
        try:
            yield
        finally:
            lock.release()

    def back_up(self) -> Path:
        """Copy the database to `<name>.backup` with SQLite's own backup, in one piece."""
        target = self.path.with_suffix(".backup")
        part = target.with_suffix(".part")
        with self._translated():
            part.touch(mode=0o600)
            source, copy = sqlite3.connect(self.path), sqlite3.connect(part)
            try:
                source.backup(copy)
            finally:
                copy.close()
                source.close()
            shutil.move(part, target)
        return target

    def add(self, result: SubmissionResult, artifacts: Mapping[str, Sequence[Artifact]], key: str) -> None:
        """Append a result with its pictures in one transaction."""
        rows = [
            ArtifactRow(task=task, name=a.name, media_type=a.media_type, caption=a.caption, data=a.data)
            for task, pictures in artifacts.items()
            for a in pictures
        ]
        row = ResultRow(
            lab=result.lab,
            student=result.student,
            attempt=result.attempt,
            key=key,
            status=result.status,
            created=datetime.now(UTC),
            body=result.model_dump_json(),
            artifacts=rows,
        )
        self._append(row)

    def add_fetch(self, fetch: Fetch) -> None:
        """Append an attempt to fetch a checkpoint; may be called by any thread."""
        self._append(FetchRow(**fetch.model_dump()))

    def fetches(self, lab: str) -> list[Fetch]:
        """All attempts to fetch checkpoints of a lab, oldest first."""
        names = Fetch.model_fields
        with self._translated(), Session(self._engine) as session:
            rows = session.scalars(select(FetchRow).where(FetchRow.lab == lab).order_by(FetchRow.id)).all()
            found = [{name: getattr(row, name) for name in names} for row in rows]
        return [Fetch.model_validate({**row, "at": row["at"].replace(tzinfo=UTC)}) for row in found]  # SQLite keeps no time zone

    def _append(self, row: Base) -> None:
        """One transaction, one thread at a time."""
        with self._writing, self._translated(), Session(self._engine) as session, session.begin():
            session.add(row)

    def settled_keys(self, lab: str, again: Container[str] = (Status.UNGRADED,)) -> set[str]:
        """Keys of the newest result of each student, but for those whose status is to be graded `again`."""
        with self._translated(), Session(self._engine) as session:
            rows = session.execute(
                select(ResultRow.student, ResultRow.key, ResultRow.status).where(ResultRow.lab == lab).order_by(ResultRow.id)
            )
            newest = {student: (key, status) for student, key, status in rows}
        return {key for key, status in newest.values() if status not in again}

    def newest(self, lab: str) -> list[SubmissionResult]:
        """The result in force of each student, by student."""
        with self._translated(), Session(self._engine) as session:
            rows = session.execute(select(ResultRow.student, ResultRow.body).where(ResultRow.lab == lab).order_by(ResultRow.id))
            newest = {student: body for student, body in rows}  # noqa: C416 - dict(rows) takes a Result for a mapping
        return [self._read(student, newest[student]) for student in sorted(newest)]

    def _read(self, student: str, body: str) -> SubmissionResult:
        try:
            return SubmissionResult.model_validate_json(body)
        except ValidationError as error:
            raise StoreError(
                f"{self.path}: the result of {student} was written by another version of the grader and cannot be read; "
                "`grader run --force` grades again"
            ) from error

    def artifacts(self, lab: str, student: str) -> dict[str, list[Artifact]]:
        """Pictures of a student's result in force, by task."""
        with self._translated(), Session(self._engine) as session:
            row = session.scalars(
                select(ResultRow).where(ResultRow.lab == lab, ResultRow.student == student).order_by(ResultRow.id.desc()).limit(1)
            ).first()
            pictures: dict[str, list[Artifact]] = {}
            for a in row.artifacts if row else ():
                picture = Artifact(name=a.name, media_type=a.media_type, caption=a.caption, data=a.data)
                pictures.setdefault(a.task, []).append(picture)
        return pictures

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()
