"""What a class run shows while it goes on: a live table with the time left on a terminal, a line a submission elsewhere."""

import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from grader.models import Status, SubmissionResult

COLOURS = {
    Status.GRADED: "green",
    Status.FAILED: "red",
    Status.HELD: "magenta",
    Status.UNGRADED: "yellow",
    Status.PENDING: "cyan",
}
SHOWN_ROWS = 15
"""The live table shows the newest results only, so that it fits a terminal."""


def points(score: float | None, most: float) -> str:
    """`37.2 / 90`, or a dash where there is no score."""
    return f"{'–' if score is None else f'{score:.1f}'} / {most:g}"


def first_remark(result: SubmissionResult) -> str:
    """The most telling line about a result: a problem, else a flag."""
    for problem in result.problems:
        place = f"cell {problem.cell}, line {problem.line}: " if problem.cell and problem.line else ""
        return place + problem.message
    return next((f"{flag.code}: {flag.message}" for task in result.tasks for flag in task.flags), "")


def plain(text: str, width: int = 90) -> Text:
    """Student-controlled text without control characters, as text that rich never interprets."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    return Text(clean if len(clean) <= width else clean[: width - 1] + "…", no_wrap=True, overflow="ellipsis")


class Display:
    """Progress of a class run on a console; use it as a context manager around the run."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._results: list[SubmissionResult] = []
        self._progress = Progress(
            TextColumn("grading"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=console,
        )
        self._bar = self._progress.add_task("grading", total=None)
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render, transient=True)
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text)

    def begin(self, total: int) -> None:
        """Announce how many submissions will be graded."""
        self._progress.update(self._bar, total=total)

    def done(self, result: SubmissionResult) -> None:
        """A submission was graded and stored."""
        self._results.append(result)
        self._progress.advance(self._bar)
        if not self.console.is_terminal:
            total = self._progress.tasks[0].total or 0
            mark = f"[{len(self._results)}/{total:.0f}] {time.monotonic() - self._started:6.1f} s"
            row = f"{mark}  {result.status:9}{points(result.score, result.max_score):>13}  {result.student}"
            self.console.print(plain(f"{row}  {first_remark(result)}", 160))

    def _render(self) -> Group:
        return Group(result_table(self._results[-SHOWN_ROWS:]), self._progress)


def result_table(results: list[SubmissionResult]) -> Table:
    """The grades as a table for the terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("student", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("points", justify="right", no_wrap=True)
    table.add_column("remark")  # the one that rich narrows; its texts are cut, not wrapped
    for result in results:
        table.add_row(
            plain(result.student, 30),
            Text(result.status, style=COLOURS[result.status]),
            points(result.score, result.max_score),
            plain(first_remark(result)),
        )
    return table


def count_line(results: list[SubmissionResult]) -> str:
    """`18 submissions: 12 graded, 5 failed, 1 held`."""
    counts = Counter(r.status for r in results)
    parts = ", ".join(f"{counts[status]} {status}" for status in COLOURS if counts[status])
    return f"{len(results)} submission{'s' * (len(results) != 1)}: {parts or 'nothing graded yet'}"
