"""The queue: a table in the course's database, so that a restart, or a kill, loses nothing that was accepted."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import DateTime, String, Text, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from grader.service.protocol import State
from grader.store import Base, Store


class JobRow(Base):
    """A hand-in that was accepted; its files lie in the spool under its id."""

    __tablename__ = "jobs"
    number: Mapped[int] = mapped_column(primary_key=True)
    """the order of arrival"""
    id: Mapped[str] = mapped_column(String, unique=True)
    lab: Mapped[str] = mapped_column(String, index=True)
    token: Mapped[str] = mapped_column(String)
    """name of the token that it came with"""
    state: Mapped[str] = mapped_column(String, index=True)
    received: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    settled: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    message: Mapped[str] = mapped_column(Text)
    result: Mapped[str | None] = mapped_column(Text)
    """a SubmissionResult in JSON"""


_WAITING = (State.QUEUED, State.RUNNING)


class Jobs:
    """The queue of one lab; may be used by several threads.

    Raises:
        StoreError: by every method, where the database cannot be used.
    """

    def __init__(self, store: Store, lab: str) -> None:
        self._store, self._lab = store, lab
        store.add_tables(JobRow)

    def add(self, job: str, token: str) -> bool:
        """Accept a hand-in; False where there was nothing to do, since it waits already or has its grade."""
        with self._store.writing() as session:
            row = session.scalar(select(JobRow).where(JobRow.id == job))
            if row is None:
                now = datetime.now(UTC)
                session.add(
                    JobRow(
                        id=job,
                        lab=self._lab,
                        token=token,
                        state=State.QUEUED,
                        received=now,
                        settled=None,
                        message="",
                        result=None,
                    )
                )
                return True
            again = row.state == State.UNGRADED
            row.state = State.QUEUED if again else row.state
            return again

    def find(self, job: str) -> JobRow | None:
        """A hand-in."""
        with self._store.reading() as session:
            return session.scalar(select(JobRow).where(JobRow.id == job, JobRow.lab == self._lab))

    def ahead(self, row: JobRow) -> int:
        """Hand-ins that are to be graded, or graded now, before this one."""
        mine = JobRow.lab == self._lab
        with self._store.reading() as session:
            query = select(func.count()).where(mine, JobRow.state.in_(_WAITING), JobRow.number < row.number)
            return session.scalar(query) or 0

    def waiting(self) -> int:
        """Hand-ins that are not settled."""
        with self._store.reading() as session:
            return session.scalar(select(func.count()).where(JobRow.lab == self._lab, JobRow.state.in_(_WAITING))) or 0

    def take(self) -> str | None:
        """The oldest one that waits, which is then being graded; None where none waits."""
        with self._store.writing() as session:
            query = select(JobRow).where(JobRow.lab == self._lab, JobRow.state == State.QUEUED).order_by(JobRow.number).limit(1)
            row = session.scalar(query)
            if row is None:
                return None
            row.state = State.RUNNING
            return row.id

    def settle(self, job: str, state: State, *, message: str = "", result: str | None = None) -> None:
        """Note what became of one."""
        values = {"state": state, "message": message, "result": result, "settled": datetime.now(UTC)}
        with self._store.writing() as session:
            session.execute(update(JobRow).where(JobRow.id == job).values(**values))

    def recover(self) -> Sequence[str]:
        """Have what a killed service was grading wait again; its ids. Only before anything is taken."""
        mine = (JobRow.lab == self._lab, JobRow.state == State.RUNNING)
        with self._store.writing() as session:
            found = session.scalars(select(JobRow.id).where(*mine)).all()
            session.execute(update(JobRow).where(*mine).values(state=State.QUEUED))
        return found
