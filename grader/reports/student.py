"""A student's report: one page that says what was scored, what went wrong, and what to try."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from grader.models import Answer, Artifact, CriterionResult, Edit, Essay, Problem, SubmissionResult, TaskResult
from grader.reports import charts, classes, page, prompts, totals, words
from grader.reports.pictures import artifact_uri, checked_uri
from grader.reports.redact import for_student

MAX_STUDENT_PICTURES = 12
"""Most pictures of a student's own that one list (curves, attachments of an answer) shows."""

_GRIDS = {"samples.png": "Your samples", "reference.png": "Reference model", "real.png": "Real images"}
_NEIGHBOURS = "neighbours.png"
_CURVES = "curves"


@dataclass(frozen=True)
class Picture:
    """A picture that may be shown."""

    uri: str
    caption: str


@dataclass(frozen=True)
class Row:
    """A row of the rubric with what is drawn beside it."""

    result: CriterionResult
    scale: charts.Scale | None
    repeats_problem: bool
    """its message stands among the problems of the task already"""


@dataclass(frozen=True)
class Question:
    """A question: the answer, and the row in which a person grades it."""

    name: str
    answer: Answer | None
    row: CriterionResult | None
    pictures: tuple[Picture, ...]
    dropped: int
    """attachments that are not shown"""


@dataclass(frozen=True)
class File:
    """A file that was handed in as an essay; `href` leads to a copy beside the report where there is one."""

    name: str
    text: str
    href: str | None


@dataclass(frozen=True)
class LabRow:
    """A row of the lab as a whole with what was handed in for it."""

    row: CriterionResult
    files: tuple[File, ...]


@dataclass(frozen=True)
class DiffLine:
    """A line of a unified diff and what it is, which colour alone must not say: the line keeps its sign."""

    kind: Literal["add", "del", "at", "same"]
    text: str


@dataclass(frozen=True)
class TaskView:
    """A task, ready to be laid out."""

    task: TaskResult
    grids: tuple[Picture, ...]
    neighbours: Picture | None
    curves: tuple[Picture, ...]
    dropped_curves: int
    classes: classes.ClassView | None
    """of a conditional task: its grids have a column for each class"""
    prompts: prompts.PromptView | None
    shares: charts.Bars | None
    measured: tuple[Row, ...]
    checks: tuple[Row, ...]
    lost: tuple[CriterionResult, ...]
    """rows that lost points, the largest loss first"""
    questions: tuple[Question, ...]
    edits: tuple[tuple[Edit, tuple[DiffLine, ...]], ...]


def render(result: SubmissionResult, artifacts: Mapping[str, Sequence[Artifact]]) -> str:
    """The report of one submission as a self-contained HTML page without scripts or outside loads.

    Args:
        result: what was graded; it passes through `for_student` first.
        artifacts: pictures by task id. `samples.png`, `reference.png`, `real.png` and `neighbours.png` are ours; names that
            start with `curves` come from the student's submitted outputs. Pictures that are not admissible are left out.
            PDFs of essays stand under `""`; the page links to them, as files beside it.
    """
    shown = for_student(result)
    views = [_view(task, artifacts.get(task.task, ())) for task in shown.tasks]
    lab_rows = _lab_rows(shown, artifacts.get("", ()))
    return page.render("student.html", result=shown, counted=totals.counted(shown), views=views, lab_rows=lab_rows)


def _view(task: TaskResult, artifacts: Sequence[Artifact]) -> TaskView:
    ours = {a.name: a for a in artifacts if not a.name.startswith(_CURVES)}
    submitted = sorted((a for a in artifacts if a.name.startswith(_CURVES)), key=lambda a: (len(a.name), a.name))
    curves = _pictures([(artifact_uri(a), a.caption) for a in submitted])
    rows = [_row(criterion, task.problems) for criterion in task.criteria]
    return TaskView(
        task=task,
        grids=_named(ours, _GRIDS),
        neighbours=next(iter(_named(ours, {_NEIGHBOURS: ""})), None),
        curves=curves[:MAX_STUDENT_PICTURES],
        dropped_curves=len(submitted) - len(curves[:MAX_STUDENT_PICTURES]),
        classes=classes.view(task),
        prompts=prompts.view(task, ours),
        shares=charts.shares(task.class_shares, task.class_names),
        measured=tuple(row for row in rows if row.result.kind == "metric"),
        checks=tuple(row for row in rows if row.result.kind == "unit"),
        lost=_lost(task.criteria),
        questions=_questions(task),
        edits=tuple((edit, _diff(edit.diff)) for edit in task.edits),
    )


def _named(artifacts: Mapping[str, Artifact], captions: Mapping[str, str]) -> tuple[Picture, ...]:
    """The artifacts named in `captions`, in that order; their own captions come first."""
    return _pictures([(artifact_uri(a), a.caption or text) for name, text in captions.items() if (a := artifacts.get(name))])


def _pictures(candidates: Sequence[tuple[str | None, str]]) -> tuple[Picture, ...]:
    return tuple(Picture(uri, caption) for uri, caption in candidates if uri is not None)


def _row(criterion: CriterionResult, problems: Sequence[Problem]) -> Row:
    repeats = bool(criterion.message) and criterion.message in {problem.message for problem in problems}
    return Row(criterion, charts.scale(criterion), repeats)


def _lost(criteria: Sequence[CriterionResult]) -> tuple[CriterionResult, ...]:
    return tuple(sorted(filter(words.lost, criteria), key=lambda c: (c.score or 0) - c.points))


def _questions(task: TaskResult) -> tuple[Question, ...]:
    """Every manual row with its answer, then answers to questions without a row."""
    answers = {answer.question: answer for answer in task.answers}
    rows = {row.name: row for row in task.manual}
    return tuple(_question(name, answers.get(name), rows.get(name)) for name in dict.fromkeys([*rows, *answers]))


def _question(name: str, answer: Answer | None, row: CriterionResult | None) -> Question:
    attachments = answer.attachments if answer else {}
    pictures = _pictures([(checked_uri(uri), file) for file, uri in attachments.items()])[:MAX_STUDENT_PICTURES]
    return Question(name, answer, row, pictures, dropped=len(attachments) - len(pictures))


def _lab_rows(result: SubmissionResult, artifacts: Sequence[Artifact]) -> tuple[LabRow, ...]:
    """Every row of the lab as a whole with its essays."""
    kept = {artifact.name for artifact in artifacts}
    return tuple(
        LabRow(row, tuple(_file(essay, kept) for essay in result.essays if essay.question == row.name)) for row in result.manual
    )


def _file(essay: Essay, kept: Container[str]) -> File:
    """The essay; a name in the link cannot lead to another scheme, host or folder."""
    href = f"./{quote(essay.artifact, safe='')}" if essay.artifact and essay.artifact in kept else None
    return File(essay.file, essay.text.strip(), href)


def _diff(diff: str) -> tuple[DiffLine, ...]:
    """The lines of a unified diff; its file header says nothing that the page does not."""
    lines = diff.split("\n")
    if len(lines) > 1 and lines[0].startswith("---") and lines[1].startswith("+++"):
        lines = lines[2:]
    kinds: dict[str, Literal["add", "del", "at"]] = {"+": "add", "-": "del", "@": "at"}
    return tuple(DiffLine(kinds.get(line[:1], "same"), line) for line in lines if line)
