"""A lab opened for hand-ins that come one by one, such as from Gradescope: graded, stored and reported as in a class run."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from grader.classrun import expect_device, keep, make_grader
from grader.course import LabFolder
from grader.downloads import Downloads, open_downloads
from grader.faults import disk_faults
from grader.intake import Handin
from grader.measure import expect_measurable
from grader.members import owner
from grader.models import SubmissionResult
from grader.pipeline import Graded, Grader, stated
from grader.rescue import open_store
from grader.sandbox import choose
from grader.scratch import clear
from grader.snapshot import Again
from grader.store import Store

Progress = Callable[[SubmissionResult, frozenset[str]], None]
"""See `Grader.progress`."""


@dataclass(frozen=True)
class Bench:
    """Grades single hand-ins; may be used by several threads, each with a slot of its own."""

    grader: Grader
    store: Store
    holes: tuple[str, ...] = ()
    """what the sandbox does not hold, in words"""
    _writing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def lab(self) -> LabFolder:
        """The lab that is graded."""
        return self.grader.lab

    def grade(self, handin: Handin, slot: int = 0, *, alone: bool = True) -> SubmissionResult:
        """Grade a hand-in, store the result and write its reports; what is settled is not graded again, whoever asks.

        alone: nothing else is graded meanwhile.

        Raises:
            StoreError: the result cannot be kept.
        """
        with open_downloads(self.lab, self.store) as downloads:  # afresh, since it remembers the links of each student
            _fetch(downloads, handin)
            grader = replace(self.grader, downloads=downloads)
            key = grader.key(handin)
            found = self._in_force(handin) if key in self.store.settled_keys(self.lab.spec.lab.id) else None
            if found and stated(found, handin) == found:
                return found
            graded = self._restated(found, handin, key) if found else grader.grade(handin, slot, alone)
        with self._writing, disk_faults(self.lab.root):
            keep(self.lab, self.store, graded)
        return graded.result

    def _in_force(self, handin: Handin) -> SubmissionResult:
        """The newest result of whose hand-in this is."""
        return next(result for result in self.store.newest(self.lab.spec.lab.id) if owner(result) == handin.student)

    def _restated(self, found: SubmissionResult, handin: Handin, key: str) -> Graded:
        """The result with what is now known of the time and the group; nothing needs to run for that."""
        result = stated(found, handin).model_copy(update={"graded_at": datetime.now(UTC)})
        artifacts = self.store.artifacts(result.lab, owner(result))
        return Graded(result, {task: tuple(pictures) for task, pictures in artifacts.items()}, key)


def _fetch(downloads: Downloads, handin: Handin) -> None:
    """Fetch what the hand-in links to as it is now: one that comes later than another may mean another file by the same link."""
    for future in [downloads.take(wanted, Again.REPLACE) for wanted in downloads.wanted(handin)]:
        future.result()


@contextmanager
def open_bench(
    lab: LabFolder,
    say: Callable[[str], None],
    *,
    device: str = "cpu",
    trust: bool = False,
    allow_reduced: bool = False,
    alone: bool = True,
    progress: Progress | None = None,
) -> Iterator[Bench]:
    """Open a lab; while it is open, nobody else can grade in its course.

    say: told of what the instructor should know. alone: no other hand-in is on the machine; see `sandbox.choose`.

    Raises:
        UsageError: the lab folder, a template or a pack is wrong.
        StoreError: the database cannot be used, or a run is at work.
        UngradedError: no sandbox can be had.
    """
    with disk_faults(lab.root):
        for task in lab.spec.task:
            expect_measurable(task)
        expect_device(device)
        choice = choose(trust, allow_reduced=allow_reduced, private=lab.course.private_files(), alone=alone)
        grader = replace(make_grader(lab, choice.sandbox, device), progress=progress)
        with open_store(lab.course.database, say) as store:
            clear(lab.root)
            yield Bench(grader, store, choice.holes)
