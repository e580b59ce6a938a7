"""Checkpoints fetched in the background, ahead of the submissions that need them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from grader.course import LabFolder
from grader.errors import CheckpointError, GraderError, UngradedError
from grader.fetching.fetcher import Fetcher
from grader.fetching.hosts import allowed_hosts
from grader.intake import Handin, links_of
from grader.link_list import is_web
from grader.models import Fetch
from grader.snapshot import Again, Snapshot, Wanted, clean
from grader.spec import LabSpec
from grader.store import Store

THREADS = 4
"""Downloads at a time; how often one begins is the fetcher's pace."""


@dataclass(frozen=True)
class Linked:
    """What came of the links of a hand-in, by task.

    files: the file, or why there is none. entries: the log's entry of either. warnings: what the result should say about them.
    """

    files: Mapping[str, Path | GraderError] = field(default_factory=dict)
    entries: Mapping[str, Fetch] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Downloads:
    """Fetches what is not in the snapshot, each link once; a context manager, at whose end nothing is under way any more."""

    def __init__(self, snapshot: Snapshot, fetcher: Fetcher, spec: LabSpec, threads: int = THREADS) -> None:
        self.snapshot, self._fetcher, self._spec = snapshot, fetcher, spec
        self._wanted: dict[str, tuple[Wanted, ...]] = {}
        self._tried: dict[Wanted, Fetch] = {}
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="download")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._fetcher.stop()
        self._pool.shutdown(cancel_futures=True)

    def wanted(self, handin: Handin) -> tuple[Wanted, ...]:
        """The links of a hand-in that lead to the web, read once."""
        if handin.student not in self._wanted:
            self._wanted[handin.student] = self._read(handin)
        return self._wanted[handin.student]

    def _read(self, handin: Handin) -> tuple[Wanted, ...]:
        limits = {task.id: task.limits.checkpoint_mb * 2**20 for task in self._spec.task}
        links = links_of(handin, self._spec)
        return tuple(Wanted(handin.student, task, link, limits[task]) for task, link in links.items() if is_web(link))

    def missing(self, handin: Handin) -> list[Wanted]:
        """The links of a hand-in that are not in the snapshot."""
        return [wanted for wanted in self.wanted(handin) if self.snapshot.kept(wanted) is None]

    def ready(self, handin: Handin) -> Future[None]:
        """A future that is done as soon as each link of a hand-in has its file, or a reason why not; it never fails."""
        missing = [wanted for wanted in self.missing(handin) if wanted not in self._tried]
        return self._pool.submit(self._try_all, missing) if missing else settled()

    def take(self, wanted: Wanted, again: Again) -> Future[Fetch]:
        """The entry of one link, fetched if need be."""
        return self._pool.submit(self.snapshot.take, wanted, self._fetcher, again)

    def identity(self, handin: Handin) -> str:
        """Differs whenever the result of a hand-in must because of what its links lead to."""
        return "\n".join(map(self.snapshot.identity, self.wanted(handin)))

    def of(self, handin: Handin) -> Linked:
        """What came of the links of a hand-in that is ready."""
        entries = {wanted.task: self._entry(wanted) for wanted in self.wanted(handin)}
        warnings = [self.snapshot.warning(wanted) for wanted in self.wanted(handin)]
        return Linked({task: self._file(entry) for task, entry in entries.items()}, entries, tuple(filter(None, warnings)))

    def _entry(self, wanted: Wanted) -> Fetch:
        return self.snapshot.kept(wanted) or self._tried[wanted]

    def _file(self, entry: Fetch) -> Path | GraderError:
        if entry.outcome == "kept":
            return self.snapshot.path(entry)
        kind = CheckpointError if entry.outcome == "failed" else UngradedError
        return kind(f"{entry.message} (link: {entry.link[:200]})")

    def _try_all(self, missing: Sequence[Wanted]) -> None:
        for wanted in missing:
            self._tried[wanted] = self.snapshot.take(wanted, self._fetcher)


def open_downloads(lab: LabFolder, store: Store) -> Downloads:
    """Downloads into the snapshot of a lab; only while this process alone writes to the course's database."""
    clean(lab.checkpoints)
    snapshot = Snapshot(lab.checkpoints, lab.spec.lab.id, store)
    return Downloads(snapshot, Fetcher(allowed_hosts(lab.course.links)), lab.spec)


def settled() -> Future[None]:
    """A future that is done."""
    done: Future[None] = Future()
    done.set_result(None)
    return done
