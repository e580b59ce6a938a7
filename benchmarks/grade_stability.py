"""A grade with an error bar: what a score would have been with other seeds, and whether its interval says so.

    python benchmarks/grade_stability.py [--rounds 10] [--workers 2] [--quick] [--json FILE]

Ten submissions of the sample class, both tasks of lab 8, are graded as `grader run` does, with the public pack, under ten course
secrets: a secret decides all seeds, hence the noise of every image and the inputs of every unit check. Under the first secret they are
graded twice, which gives the same frames twice. Asked of every score: its standard deviation over the secrets, whether each of its
ten intervals holds the mean of the ten, and whether the same frames gave the same score, to the last digit.
"""

import argparse
import json
import os
import re
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "solutions")]

from grader import threads  # noqa: E402

threads.pin()  # as the command does

from sample_class import make_class  # noqa: E402
from students.lab8 import CLASS  # noqa: E402
from students.work import Student  # noqa: E402

from grader.classrun import Selection, grade_class  # noqa: E402
from grader.course import COURSE_FILE  # noqa: E402
from grader.display import Display  # noqa: E402
from grader.models import SubmissionResult, TaskResult  # noqa: E402

CHOSEN = ("01", "02", "03", "04", "05", "06", "07", "08", "14", "15")
"""Every student whose hand-in gets a score in at least one task, good and bad; the others fail before an image is looked at."""
QUICK = ("03",)
LARGEST_DEVIATION = 0.01
"""Of the points: what was promised."""


@dataclass(frozen=True)
class Score:
    """One grading of one task."""

    score: float
    low: float
    high: float
    max_score: float
    criteria: dict[str, float]
    flags: tuple[str, ...]
    measurements: int
    """Sets of images that were asked for: more than one where the interval of the first was wide."""


@dataclass(frozen=True)
class Row:
    """What the gradings of one task of one student, or of both tasks together, have to say."""

    student: str
    task: str
    max_score: float
    mean: float
    deviation: float
    """Standard deviation, points."""
    width: float
    """Mean width of the intervals, points."""
    covered: int
    rounds: int
    identical: bool
    """Whether the first secret gave the same score a second time."""
    measurements: tuple[int, ...]
    """How many sets of images were measured, over all gradings."""
    shakiest: str
    """The criterion whose points vary most."""


def submissions(names: Sequence[str]) -> tuple[Student, ...]:
    """Those of the sample class, each checkpoint beside its notebook instead of behind a link."""
    chosen = [student for student in CLASS if student.name[:2] in names]
    return tuple(replace(s, works={task: replace(work, link=None) for task, work in s.works.items()}) for s in chosen)


def regraded(lab: Path, secret: str, workers: int) -> tuple[SubmissionResult, ...]:
    """The results of the whole class under another course secret; ends the program where one could not be had."""
    course = lab / COURSE_FILE
    course.write_text(re.sub(r'(?m)^secret = ".*"$', f'secret = "{secret}"', course.read_text()))
    with Path(os.devnull).open("w") as nowhere:
        display = Display(Console(file=nowhere))
        summary = grade_class(lab, Selection(force=True), display, workers=workers, device="cpu", trust=False)
    if summary.ungraded:
        raise SystemExit(f"not graded, so that nothing can be said: {'; '.join(summary.ungraded)}")
    return summary.results


def graded(lab: Path, secret: str, workers: int) -> dict[tuple[str, str], Score]:
    """Every score of the class under a secret, by student and task, and of both tasks together under `total`."""
    return {key: score for result in regraded(lab, secret, workers) for key, score in _scores(result).items()}


def _scores(result: SubmissionResult) -> dict[tuple[str, str], Score]:
    found = {(result.student, task.task): _score(task) for task in result.tasks}
    parts = list(found.values())
    total = Score(
        score=sum(part.score for part in parts),
        low=sum(part.low for part in parts),
        high=sum(part.high for part in parts),
        max_score=sum(part.max_score for part in parts),
        criteria={f"{task}: {name}": points for (_, task), part in found.items() for name, points in part.criteria.items()},
        flags=tuple(flag for part in parts for flag in part.flags),
        measurements=max(part.measurements for part in parts),
    )
    return {**found, (result.student, "total"): total}


def _score(task: TaskResult) -> Score:
    if task.score is None or task.low is None or task.high is None:
        raise SystemExit(f"{task.task} has no score: {task.problems}")
    criteria = {row.name: row.score or 0.0 for row in task.criteria}
    seeds = task.provenance.seeds if task.provenance else {}
    measured = {name.split("-")[1] for name in seeds if name.startswith("images-")}
    flags = tuple(flag.code for flag in task.flags)
    return Score(task.score, task.low, task.high, task.max_score, criteria, flags, len(measured))


def summarised(gradings: Sequence[dict[tuple[str, str], Score]]) -> list[Row]:
    """A row for each task of each student; the first two gradings were of the same secret."""
    first, again, *others = gradings
    return [_row(key, [first[key], *(found[key] for found in others)], again[key]) for key in sorted(first)]


def _row(key: tuple[str, str], scores: Sequence[Score], again: Score) -> Row:
    values = [score.score for score in scores]
    mean = statistics.fmean(values)
    spread = {name: statistics.stdev(score.criteria[name] for score in scores) for name in scores[0].criteria}
    shakiest = max(spread, key=lambda name: spread[name])
    return Row(
        *key,
        max_score=scores[0].max_score,
        mean=mean,
        deviation=statistics.stdev(values),
        width=statistics.fmean(score.high - score.low for score in scores),
        # the mean of ten equal floats may differ from them in the last digit
        covered=sum(score.low - 1e-9 <= mean <= score.high + 1e-9 for score in scores),
        rounds=len(scores),
        identical=again == scores[0],
        measurements=tuple(sorted({score.measurements for score in (*scores, again)})),
        shakiest=f"{shakiest}: {spread[shakiest]:.2f}" if spread[shakiest] > 0 else "",
    )


def show(rows: Sequence[Row], seconds: float) -> None:
    table = Table(title="Points over fresh secrets")
    columns = (
        "submission",
        "task",
        "of",
        "mean",
        "sd",
        "sd/points",
        "interval",
        "holds mean",
        "sets",
        "again",
        "varies most: sd",
    )
    for column in columns:
        table.add_column(column, justify="left" if column in ("submission", "task", columns[-1]) else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.student,
            row.task,
            f"{row.max_score:g}",
            f"{row.mean:.2f}",
            f"{row.deviation:.2f}",
            f"{row.deviation / row.max_score:.2%}",
            f"{row.width:.2f}",
            f"{row.covered} of {row.rounds}",
            ", ".join(map(str, row.measurements)),
            "same" if row.identical else "OTHER",
            row.shakiest,
        )
    console = Console(width=150)
    console.print(table)
    totals = [row for row in rows if row.task == "total"]
    parts = [row for row in rows if row.task != "total"]
    largest = max(row.deviation / row.max_score for row in totals)
    console.print(
        f"Largest standard deviation of a total: {largest:.2%} of the points (at most {LARGEST_DEVIATION:.0%} was promised). "
        f"Intervals that hold the mean: {sum(r.covered for r in totals)} of {sum(r.rounds for r in totals)} of totals, "
        f"{sum(r.covered for r in parts)} of {sum(r.rounds for r in parts)} of tasks. "
        f"Same frames, same score: {sum(r.identical for r in parts)} of {len(parts)} tasks. {seconds:.0f} s."
    )


def written(path: Path, gradings: Sequence[dict[tuple[str, str], Score]], rows: Sequence[Row], seconds: float) -> None:
    """All figures as JSON."""
    raw = [{f"{who} {task}": asdict(score) for (who, task), score in found.items()} for found in gradings]
    path.write_text(json.dumps({"gradings": raw, "rows": [asdict(row) for row in rows], "seconds": seconds}, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="secrets; at least 2")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one submission, three secrets")
    parser.add_argument("--json", type=Path, help="also write all figures to this file, after each round")
    options = parser.parse_args()
    fresh = [secrets.token_hex(32) for _ in range(3 if options.quick else options.rounds)]
    start, gradings, rows = time.perf_counter(), [], []
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(folder) / "lab8"
        make_class(lab, submissions(QUICK if options.quick else CHOSEN))
        for number, secret in enumerate([fresh[0], *fresh]):
            gradings.append(graded(lab, secret, options.workers))
            seconds = time.perf_counter() - start
            print(f"graded {number + 1} of {len(fresh) + 1} times, {seconds:.0f} s", file=sys.stderr)
            rows = summarised(gradings) if number > 1 else rows
            if options.json:
                written(options.json, gradings, rows, seconds)
    show(rows, seconds)


if __name__ == "__main__":
    main()
