"""`grader fetch`: all linked checkpoints of a class, fetched into the snapshot that grading uses."""

from collections import Counter
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from grader.classrun import chosen
from grader.course import LabFolder, open_lab
from grader.display import plain
from grader.downloads import open_downloads
from grader.errors import CheckpointError
from grader.faults import disk_faults
from grader.links import diagnose
from grader.models import Fetch
from grader.rescue import open_store
from grader.snapshot import Again, Snapshot, Wanted


@dataclass(frozen=True)
class Line:
    """What came of one link.

    before: the entry that counted until now. state: in a word or two. remark: the rest of what there is to say.
    """

    wanted: Wanted
    before: Fetch | None
    entry: Fetch
    state: str
    remark: str


@dataclass(frozen=True)
class Report:
    """What came of all links."""

    lines: tuple[Line, ...]

    @property
    def ungraded(self) -> list[str]:
        """Links that could not be fetched for reasons that are not the student's, each with the reason."""
        return [
            f"{line.wanted.student} {line.wanted.task}: {line.entry.message}"
            for line in self.lines
            if line.entry.outcome == "ungraded"
        ]

    @property
    def counts(self) -> str:
        """`12 links: 8 in the snapshot, 3 fetched, 1 failed`."""
        counts = Counter(line.state for line in self.lines)
        parts = ", ".join(f"{number} {state}" for state, number in counts.items())
        return f"{len(self.lines)} link{'s' * (len(self.lines) != 1)}" + (f": {parts}" if parts else " to the web")

    def table(self) -> Table:
        """A row a link."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("student", "task"):
            table.add_column(name, no_wrap=True)
        table.add_column("size", justify="right", no_wrap=True)
        table.add_column("sha256", no_wrap=True)
        table.add_column("outcome")
        for line in self.lines:
            size = "–" if line.entry.size is None else f"{line.entry.size / 2**20:.2f} MB"
            outcome = f"{line.state}: {line.remark}" if line.remark else line.state
            sha256 = (line.entry.sha256 or "–")[:12]
            wrapped = Text(plain(outcome, 400).plain)  # a reason must be read to its end
            table.add_row(plain(line.wanted.student, 30), line.wanted.task, size, sha256, wrapped)
        return table


def fetch_class(folder: Path, only: frozenset[str], again: Again, console: Console) -> Report:
    """Fetch what the links of a class lead to, several at a time.

    only: students; all where empty.

    Raises:
        UsageError: the lab folder or a name is wrong.
        StoreError: the database cannot be used, or a run is at work.
    """
    with disk_faults(folder):
        return _fetch_class(open_lab(folder), only, again, console)


def _fetch_class(lab: LabFolder, only: frozenset[str], again: Again, console: Console) -> Report:
    handins = chosen(lab, only)
    with (
        open_store(lab.course.database, console.print) as store,
        open_downloads(lab, store) as downloads,
        _progress(console) as progress,
    ):
        wanted = [each for handin in handins for each in downloads.wanted(handin)]
        before = {each: downloads.snapshot.kept(each) for each in wanted}
        futures = {downloads.take(each, again): each for each in wanted}
        entries: dict[Wanted, Fetch] = {}
        for future in progress.track(as_completed(futures), total=len(futures), description="fetching"):
            entries[futures[future]] = future.result()
        lines = [_line(downloads.snapshot, each, before[each], entries[each]) for each in wanted]
    return Report(tuple(lines))


def _progress(console: Console) -> Progress:
    columns = (TextColumn("fetching"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _line(snapshot: Snapshot, wanted: Wanted, before: Fetch | None, entry: Fetch) -> Line:
    counts = f"the snapshot of {before.at:%Y-%m-%d %H:%M} UTC counts" if before else ""
    if entry.outcome in ("failed", "ungraded"):
        state = "failed" if entry.outcome == "failed" else "not fetched"
        return Line(wanted, before, entry, state, "; ".join(filter(None, (entry.message, counts))))
    wrong = _wrong(snapshot, wanted, entry)
    if entry is before:
        return Line(wanted, before, entry, "in the snapshot", wrong)
    if entry.outcome == "kept":
        return Line(wanted, before, entry, "fetched", "; ".join(filter(None, (entry.message, wrong))))
    if before and entry.sha256 != before.sha256:
        return Line(wanted, before, entry, "changed", counts)
    return Line(wanted, before, entry, "unchanged", wrong)


def _wrong(snapshot: Snapshot, wanted: Wanted, entry: Fetch) -> str:
    """Why the file will not do as a checkpoint; empty where nothing speaks against it yet."""
    try:
        diagnose(snapshot.path(entry), wanted.limit, "the file")
    except CheckpointError as error:
        return str(error)
    return ""
