"""The threads that grade what waits in the queue."""

import threading
from collections.abc import Callable
from pathlib import Path

from grader.errors import GraderError
from grader.intake import Handin
from grader.models import Status, SubmissionResult
from grader.service.audit import Audit
from grader.service.jobs import Jobs
from grader.service.protocol import State

Find = Callable[[Path], Handin]
"""The hand-in in a parcel."""
Grade = Callable[[Handin, int], SubmissionResult]
"""Grades a hand-in in a slot."""
_IDLE_S = 5.0
"""Without word of new work a worker looks for some this often."""


class Workers:
    """Grade what waits, as many at a time as there are slots; a context manager, at whose end what is under way is waited for."""

    def __init__(self, jobs: Jobs, parcel: Callable[[str], Path], find: Find, grade: Grade, audit: Audit, slots: int) -> None:
        self._jobs, self._parcel, self._find, self._grade, self._audit = jobs, parcel, find, grade, audit
        self._news = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._work, args=(slot,), name=f"worker-{slot}") for slot in range(slots)]

    def __enter__(self) -> "Workers":
        for job in self._jobs.recover():
            self._audit.note("recovered", job=job)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self.wake()
        for thread in self._threads:
            thread.join()

    def wake(self) -> None:
        """There is work."""
        with self._news:
            self._news.notify_all()

    def _work(self, slot: int) -> None:
        while not self._stopping:
            job = self._jobs.take()
            if job is not None:
                self._settle(job, slot)
                continue
            with self._news:
                if not self._stopping:
                    self._news.wait(_IDLE_S)

    def _settle(self, job: str, slot: int) -> None:
        """Grade one; whatever breaks leaves it ungraded, and the worker goes on."""
        self._audit.note("grading", job=job, slot=slot)
        try:
            result = self._grade(self._find(self._parcel(job)), slot)
        except GraderError as error:
            self._close(job, State.UNGRADED, str(error))
        except Exception as error:  # ours, and no reason to leave the others waiting
            self._close(job, State.UNGRADED, f"the grader failed ({type(error).__name__}: {error}); please report this")
        else:
            ungraded = result.status is Status.UNGRADED
            message = next((problem.message for problem in result.problems), "no reason recorded") if ungraded else ""
            self._close(job, State.UNGRADED if ungraded else State.DONE, message, result)

    def _close(self, job: str, state: State, message: str, result: SubmissionResult | None = None) -> None:
        self._jobs.settle(job, state, message=message, result=None if result is None else result.model_dump_json())
        self._audit.note(state.value, job=job, message=message)
