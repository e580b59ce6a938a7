"""The class at a glance: who got what, what needs a person, and where the scores come from."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from grader.models import Artifact, Flag, Level, Provenance, Status, SubmissionResult, TaskResult
from grader.reports import charts, distributions, page, totals
from grader.reports.pictures import artifact_uri

THUMBNAIL_ROWS = 300
"""Above this number of students the page carries no thumbnails: 300 of them make about 2 MB for one task, 3 MB for two."""

THUMBNAIL_BYTES = 6 * 1024

_OPEN = (Status.HELD, Status.UNGRADED)


@dataclass(frozen=True)
class Row:
    """A hand-in as a row of the table; `tasks` and `thumbnails` follow the columns and hold None where there is nothing."""

    result: SubmissionResult
    href: str
    counted: float | None
    """automatic points after the penalty"""
    tasks: tuple[TaskResult | None, ...]
    flags: tuple[Flag, ...]
    problem: str
    thumbnails: tuple[str, ...]


@dataclass(frozen=True)
class Attention:
    """Something that a person has to decide or to repair."""

    result: SubmissionResult
    href: str
    status: Status
    task: str
    reason: str


@dataclass(frozen=True)
class Log:
    """What a sandbox said of an execution that did not end well."""

    result: SubmissionResult
    task: str
    text: str


@dataclass(frozen=True)
class Summary:
    """Counts and scores of the class."""

    counts: tuple[tuple[Status, int], ...]
    scored: int
    mean: float | None
    median: float | None
    bars: tuple[charts.Bar, ...]
    manual: int
    """hand-ins that a person still has points to give for"""


@dataclass(frozen=True)
class Sources:
    """Where the scores come from: each value with the number of tasks that it holds for."""

    versions: tuple[tuple[str, int], ...]
    packs: tuple[tuple[str, int], ...]
    levels: tuple[tuple[str, int], ...]
    weakest: bool
    """something ran without proper confinement"""


def render(results: Sequence[SubmissionResult], thumbnails: Mapping[tuple[str, str], Artifact | None], lab_title: str) -> str:
    """The class index as a self-contained HTML page, rows by student.

    Args:
        results: one a student.
        thumbnails: a small sample grid by (student, task id), at most `THUMBNAIL_BYTES` each; larger ones are left out,
            and all of them where there are more than `THUMBNAIL_ROWS` results.
        lab_title: heading of the page.
    """
    ordered = sorted(results, key=lambda r: (r.student.casefold(), r.student))
    titles = {task.task: task.title or task.task for result in ordered for task in result.tasks}
    pictures = thumbnails if len(ordered) <= THUMBNAIL_ROWS else {}
    rows = [_row(result, list(titles), pictures) for result in ordered]
    return page.render(
        "index.html",
        lab_title=lab_title,
        titles=list(titles.values()),
        rows=rows,
        with_thumbnails=any(row.thumbnails for row in rows),
        logs=[Log(result, task.title or task.task, task.log) for result in ordered for task in result.tasks if task.log],
        attention=[item for row in rows for item in _attention(row)],
        summary=_summary(ordered),
        spreads=distributions.by_task(ordered),
        sources=_sources(ordered),
    )


def report_link(student: str) -> str:
    """Relative URL of a student's report; a name cannot turn into another scheme, host or folder."""
    return f"./{quote(student, safe='')}/report.html"


def _row(result: SubmissionResult, columns: Sequence[str], thumbnails: Mapping[tuple[str, str], Artifact | None]) -> Row:
    tasks = {task.task: task for task in result.tasks}
    candidates = [thumbnails.get((result.student, column)) for column in columns]
    uris = [artifact_uri(a) for a in candidates if a is not None and len(a.data) <= THUMBNAIL_BYTES]
    return Row(
        result=result,
        href=report_link(result.student),
        counted=totals.counted(result),
        tasks=tuple(tasks.get(column) for column in columns),
        flags=tuple(flag for task in result.tasks for flag in task.flags),
        problem=_first_problem(result),
        thumbnails=tuple(uri for uri in uris if uri is not None),
    )


def _first_problem(result: SubmissionResult) -> str:
    return next((problem.message for problem in result.problems), "")


def _attention(row: Row) -> list[Attention]:
    """One item for each held or ungraded task; for the whole hand-in where no task says why."""
    reasons = [
        Attention(row.result, row.href, task.status, task.title or task.task, _reason(task))
        for task in row.result.tasks
        if task.status in _OPEN
    ]
    if not reasons and row.result.status in _OPEN:
        why = "; ".join(row.result.warnings) or row.problem
        return [Attention(row.result, row.href, row.result.status, "", why)]
    return reasons


def _reason(task: TaskResult) -> str:
    """Why a task is held or ungraded, for staff."""
    if task.status is Status.HELD:
        return "; ".join(flag.message for flag in task.flags if flag.holds)
    withheld = [c.message for c in task.criteria if c.status is Status.UNGRADED and c.message]
    return "; ".join(dict.fromkeys([problem.message for problem in task.problems] or withheld))


def _summary(results: Sequence[SubmissionResult]) -> Summary:
    """Counts over all; mean, median and bars over hand-ins whose automatic score stands (held ones do not count yet)."""
    counts = Counter(result.status for result in results)
    settled = [(score, r.max_score) for r in results if (score := totals.counted(r)) is not None and _counts(r)]
    scores = [score for score, _ in settled]
    return Summary(
        counts=tuple((status, counts[status]) for status in Status if counts[status]),
        scored=len(scores),
        mean=statistics.fmean(scores) if scores else None,
        median=statistics.median(scores) if scores else None,
        bars=charts.distribution([score / most for score, most in settled if most > 0]),
        manual=sum(result.manual_points > 0 for result in results),
    )


def _counts(result: SubmissionResult) -> bool:
    """Whether the score stands: nothing is held or ungraded."""
    return not any(status in _OPEN for status in (result.status, *(task.status for task in result.tasks)))


def _sources(results: Sequence[SubmissionResult]) -> Sources:
    known = [task.provenance for result in results for task in result.tasks if task.provenance is not None]
    return Sources(
        versions=_count(p.grader_version for p in known),
        packs=_count(_pack(p) for p in known if p.pack is not None),
        levels=_count(p.sandbox_level.value for p in known),
        weakest=any(p.sandbox_level in (Level.REDUCED, Level.NONE) for p in known),
    )


def _count(values: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(Counter(values).most_common())


def _pack(provenance: Provenance) -> str:
    kind = {True: ", public", False: ", private", None: ""}[provenance.pack_public]
    return f"{provenance.pack} ({(provenance.pack_sha256 or 'no hash')[:12]}{kind})"
