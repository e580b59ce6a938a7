"""The database of a course: every result that was ever given and every file that was fetched, appended and never overwritten."""

import sqlite3
import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import DateTime, ForeignKey, LargeBinary, String, Text, create_engine, event, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from grader.errors import StoreError
from grader.faults import damaged, database_faults
from grader.models import Artifact, Fetch, Status, SubmissionResult
from grader.soundness import SEALED_FETCH, SEALED_PICTURE, SEALED_RESULT, damage, seal


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
    seal: Mapped["SealRow"] = relationship(cascade="all")

    def sealed(self) -> "ResultRow":
        """The same with a seal over the result and its pictures."""
        values = [getattr(self, name) for name in SEALED_RESULT]
        values += [getattr(picture, name) for picture in self.artifacts for name in SEALED_PICTURE]
        self.seal = SealRow(sha256=seal(values))
        return self


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


class SealRow(Base):
    """The hash of a result as it was stored: SQLite itself does not notice when a digit of a score becomes another."""

    __tablename__ = "seals"
    result_id: Mapped[int] = mapped_column(ForeignKey("results.id"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String)


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
    seal: Mapped["FetchSealRow"] = relationship(cascade="all")

    def sealed(self) -> "FetchRow":
        """The same with a seal."""
        self.seal = FetchSealRow(sha256=seal(getattr(self, name) for name in SEALED_FETCH))
        return self


class FetchSealRow(Base):
    """The hash of a fetch as it was stored; the log decides which file counts."""

    __tablename__ = "fetch_seals"
    fetch_id: Mapped[int] = mapped_column(ForeignKey("fetches.id"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String)


def backup_of(database: Path) -> Path:
    """Where the backup of a database is."""
    return database.with_suffix(".backup")


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
        with database_faults(self.path):
            path.touch(mode=0o600)  # grades are for those who run the course; what exists keeps its mode
            Base.metadata.create_all(self._engine)

    def back_up(self) -> Path:
        """Copy the database to `backup_of` it with SQLite's own backup; the copy takes the old one's place when it is whole.

        Raises:
            StoreError: it cannot be written, or the database was damaged since it was opened; what there was before stays.
        """
        target = backup_of(self.path)
        part = target.with_suffix(".part")
        with database_faults(self.path):
            part.unlink(missing_ok=True)
            try:
                part.touch(mode=0o600)
                with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(part)) as copy:
                    source.backup(copy)
                if wrong := damage(part, immutable=True):
                    raise damaged(self.path, wrong)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)  # half a copy would keep the room that the next run needs
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
        self._append(row.sealed())

    def add_fetch(self, fetch: Fetch) -> None:
        """Append an attempt to fetch a checkpoint; may be called by any thread."""
        self._append(FetchRow(**fetch.model_dump()).sealed())

    def fetches(self, lab: str) -> list[Fetch]:
        """All attempts to fetch checkpoints of a lab, oldest first."""
        names = Fetch.model_fields
        with database_faults(self.path), Session(self._engine) as session:
            rows = session.scalars(select(FetchRow).where(FetchRow.lab == lab).order_by(FetchRow.id)).all()
            found = [{name: getattr(row, name) for name in names} for row in rows]
            return [
                Fetch.model_validate({**row, "at": row["at"].replace(tzinfo=UTC)}) for row in found
            ]  # SQLite keeps no time zone

    def _append(self, row: Base) -> None:
        with self.writing() as session:
            session.add(row)

    def add_tables(self, *tables: type[Base]) -> None:
        """Make tables of others, whose rows the results do not need, where they are missing."""
        with database_faults(self.path):
            Base.metadata.create_all(self._engine, tables=[Base.metadata.tables[table.__tablename__] for table in tables])

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction, one thread at a time."""
        with self._writing, database_faults(self.path), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A view of the database; what is read stays usable when it is closed."""
        with database_faults(self.path), Session(self._engine, expire_on_commit=False) as session:
            yield session

    def settled_keys(self, lab: str, again: Container[str] = (Status.UNGRADED,)) -> set[str]:
        """Keys of the newest result of each student, but for those whose status is to be graded `again`."""
        with database_faults(self.path), Session(self._engine) as session:
            rows = session.execute(
                select(ResultRow.student, ResultRow.key, ResultRow.status).where(ResultRow.lab == lab).order_by(ResultRow.id)
            )
            newest = {student: (key, status) for student, key, status in rows}
        return {key for key, status in newest.values() if status not in again}

    def newest(self, lab: str) -> list[SubmissionResult]:
        """The result in force of each student, by student."""
        with database_faults(self.path), Session(self._engine) as session:
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
        with database_faults(self.path), Session(self._engine) as session:
            newest = select(func.max(ResultRow.id)).where(ResultRow.lab == lab, ResultRow.student == student).scalar_subquery()
            pictures: dict[str, list[Artifact]] = {}
            for a in session.scalars(select(ArtifactRow).where(ArtifactRow.result_id == newest).order_by(ArtifactRow.id)):
                picture = Artifact(name=a.name, media_type=a.media_type, caption=a.caption, data=a.data)
                pictures.setdefault(a.task, []).append(picture)
        return pictures

    def pictures(self, lab: str, name: str) -> dict[tuple[str, str], Artifact]:
        """(student, task) -> the picture of that name, of all results in force."""
        newest = select(func.max(ResultRow.id)).where(ResultRow.lab == lab).group_by(ResultRow.student)
        wanted = select(ResultRow.student, ArtifactRow).join(ArtifactRow, ArtifactRow.result_id == ResultRow.id)
        wanted = wanted.where(ResultRow.id.in_(newest), ArtifactRow.name == name).order_by(ArtifactRow.id.desc())
        with database_faults(self.path), Session(self._engine) as session:
            return {
                (student, a.task): Artifact(name=a.name, media_type=a.media_type, caption=a.caption, data=a.data)
                for student, a in session.execute(wanted)
            }

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()
