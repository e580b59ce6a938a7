"""What the stages hand to each other and what the store keeps: frozen, JSON-ready data."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """Base of all records: immutable, unknown fields are an error, and NaN and infinity survive JSON (as strings)."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Status(StrEnum):
    """What became of a task or of one of its criteria."""

    GRADED = "graded"
    """scored"""
    FAILED = "failed"
    """the student's fault: 0 points, with a message"""
    UNGRADED = "ungraded"
    """our fault or nobody's: no score; the next run tries again"""
    PENDING = "pending"
    """waits for a person"""
    HELD = "held"
    """scored, but a flag wants a person's decision before it counts"""


class Level(StrEnum):
    """How well the machine can confine student code."""

    STRONG = "strong"
    GOOD = "good"
    REDUCED = "reduced"
    NONE = "none"


class Problem(Model):
    """Something that went wrong in a submission, in words for the student."""

    code: str = Field(description="short stable name, such as `exception`, `cpu-limit`, `wrong-shape`, `missing-checkpoint`")
    message: str = Field(description="what was found and what was expected")
    advice: str | None = Field(None, description="what to do about it")
    todo: str | None = Field(None, description="id of the TODO it happened in")
    cell: int | None = Field(None, description="1-based number of the cell in the student's notebook")
    line: int | None = Field(None, description="1-based line in that cell")
    source: str | None = Field(None, description="the text of that line")
    traceback: str | None = Field(None, description="plain text, capped")


class Edit(Model):
    """A difference between the student's notebook and the template, outside the TODOs; it had no effect."""

    kind: Literal["changed", "added", "removed", "marker", "renamed"] = Field(
        description="`marker`: TODO markers were missing and the region was found by the text around it"
    )
    cell: int | None = Field(None, description="1-based number of the cell in the student's notebook")
    message: str
    diff: str = Field("", description="unified diff, template against student")


class Metric(Model):
    """A measured value with its 95 % interval."""

    name: str = Field(description="full metric name: metric, sample count, reference, extractor")
    value: float
    low: float
    high: float
    n: int = Field(description="samples it was computed from")


class CriterionResult(Model):
    """The outcome of one row of the rubric."""

    name: str
    title: str
    kind: Literal["metric", "unit", "manual"]
    status: Status
    points: float = Field(description="most points that can be had")
    score: float | None = Field(None, description="points given; None while pending or ungraded")
    low: float | None = Field(None, description="score at the unfavourable end of the interval")
    high: float | None = Field(None, description="score at the favourable end of the interval")
    metric: Metric | None = None
    full: float | None = Field(None, description="metric value from which all points are given")
    zero: float | None = Field(None, description="metric value at which no points are left")
    floor: float | None = Field(None, description="what real hold-out images score")
    message: str = ""
    advice: str | None = None


class Flag(Model):
    """Something that a person should know; one that holds keeps the score from counting until decided."""

    code: str = Field(description="`memorisation`, `repeats`, `seed-mismatch`, `ignores-weights`, `edits-and-failure`, …")
    message: str
    holds: bool = False


class CellOutput(Model):
    """What one executed cell printed; shown, escaped, never scored."""

    cell: int = Field(description="1-based number in the student's notebook, 0 for the grader's own")
    todo: str | None = None
    text: str = Field("", description="stdout, stderr and text results, capped")
    error: str | None = None


class Usage(Model):
    """What the sandboxed execution cost."""

    wall_s: float
    cpu_s: float
    peak_memory_mb: float | None = None
    phases: dict[str, float] = Field(default_factory=dict, description="CPU seconds by phase: startup, imports, student, scoring")


class Fetch(Model):
    """An attempt to fetch the checkpoint at a link, and what came of it; kept for ever."""

    lab: str
    student: str
    task: str
    link: str
    at: datetime = Field(description="when it ended, UTC")
    outcome: Literal["kept", "seen", "failed", "ungraded"] = Field(
        description="kept: this file counts from now on; seen: fetched again, and the file of before still counts; failed: the student's "
        "fault; ungraded: nobody's or ours"
    )
    sha256: str | None = None
    size: int | None = Field(None, description="bytes")
    host: str | None = Field(None, description="the host that sent the file, after all redirects")
    message: str = Field("", description="why there is no file, or which file this one replaced")


class Provenance(Model):
    """Everything needed to say where a score came from."""

    grader_version: str
    spec_sha256: str
    template_sha256: str
    notebook_sha256: str | None = None
    checkpoint_sha256: str | None = None
    fetch: Fetch | None = Field(None, description="where the checkpoint came from, if from a link to the web")
    pack: str | None = None
    pack_sha256: str | None = None
    pack_public: bool | None = None
    seeds: dict[str, int] = Field(default_factory=dict)
    sandbox_level: Level
    device: str
    started: datetime
    finished: datetime


class Answer(Model):
    """A question cell of the student's, to be graded by hand."""

    question: str
    text: str
    attachments: dict[str, str] = Field(default_factory=dict, description="file name -> data URI of an image")


class PromptResult(Model):
    """What the classifier saw in the images of one prompt. Shares are of these images."""

    set: str = Field(description="name of the set of prompts, such as `test`")
    found: dict[str, float] = Field(
        description="by label asked for, the share in which it is among the k highest outputs, k labels being asked for"
    )
    unasked: dict[str, float] = Field(
        {}, description="by label not asked for, the share in which its output is above 0.5, where that is 0.05 or more"
    )


class LabelResult(Model):
    """What the classifier saw of one label in the images of all prompts."""

    label: str
    asked: int = Field(description="images that were asked to show it")
    found: float | None = Field(None, description="share of those in which it is among the k highest outputs")
    unasked: float | None = Field(None, description="share of the others in which its output is above 0.5")


class TaskResult(Model):
    """The outcome of one task (one notebook) of a submission."""

    task: str
    title: str
    status: Status
    score: float | None = Field(None, description="sum over the automatic criteria; None where ungraded")
    max_score: float = Field(description="automatic points that can be had")
    low: float | None = None
    high: float | None = None
    criteria: tuple[CriterionResult, ...] = ()
    manual: tuple[CriterionResult, ...] = ()
    answers: tuple[Answer, ...] = ()
    flags: tuple[Flag, ...] = ()
    problems: tuple[Problem, ...] = ()
    edits: tuple[Edit, ...] = ()
    outputs: tuple[CellOutput, ...] = ()
    class_shares: tuple[float, ...] = Field((), description="share of the samples that the classifier puts in each class")
    class_names: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = Field(
        (), description="conditional tasks: images asked for as the row's class that the classifier puts in the column's"
    )
    class_fids: tuple[float, ...] = Field(
        (), description="conditional tasks: FID of each class's images against real ones of the class"
    )
    prompts: tuple[PromptResult, ...] = Field((), description="tasks with prompts: each of them, in the order of the samples")
    labels: tuple[LabelResult, ...] = ()
    measured: tuple[Metric, ...] = Field((), description="metrics that are worth no points")
    advice: tuple[str, ...] = Field((), description="remarks worth no points, such as the outcome of the training smoke run")
    usage: Usage | None = None
    log: str = Field(
        "", description="for staff: the end of what the sandbox wrote to stderr, where an execution did not end well"
    )
    provenance: Provenance | None = None


class Essay(Model):
    """A text that was handed in as a file, to be graded by hand."""

    question: str = Field(description="name of its row in `SubmissionResult.manual`")
    file: str = Field(description="its name in the hand-in")
    text: str = Field("", description="contents of a .md or .txt file, capped, as they are: escape them; empty for a PDF")
    artifact: str | None = Field(
        None, description='a PDF: name of its artifact, kept under the task `""` and written beside report.html; never parsed'
    )


class Lateness(Model):
    """When a hand-in came, when it was due, and what being late costs."""

    submitted: datetime = Field(description="in the course's timezone")
    source: Literal["export", "submitted_at", "folder", "file"] = Field(
        description="where `submitted` is from: the export's record, the file submitted_at, the attempt folder's name, the newest file"
    )
    due: datetime = Field(description="in the course's timezone")
    grace_used: bool = Field(False, description="after `due`, and not late, since within the grace period")
    days: int = Field(0, description="days late, each begun day counts whole")
    late_days: int = Field(0, description="of these, days that the course allows for nothing")
    fraction: float = Field(0, description="share of every score that the other days cost, 0 to 1")


class SubmissionResult(Model):
    """All tasks of one student's, or one group's, submission."""

    lab: str
    lab_title: str
    student: str = Field(description="id of the student or group; in the reports of a group, of the member")
    group: tuple[str, ...] = Field((), description="a group's hand-in: ids of all members, who get this result each")
    group_name: str = Field("", description="id of the group")
    attempt: str
    status: Status
    score: float | None = Field(description="automatic points before any penalty; None where ungraded")
    penalty: float = Field(
        0, description="points that being late takes off `score`; also `lateness.fraction` of points given by hand"
    )
    lateness: Lateness | None = Field(None, description="None where the lab has no due date")
    max_score: float
    manual_points: float = Field(0, description="points that a person still has to give, in tasks and in `manual`")
    manual: tuple[CriterionResult, ...] = Field(
        (), description="rows of the lab as a whole that a person grades, such as the essay"
    )
    essays: tuple[Essay, ...] = Field((), description="what was handed in for them; nothing for a row whose message says so")
    tasks: tuple[TaskResult, ...]
    warnings: tuple[str, ...] = ()
    graded_at: datetime

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems of all tasks, first those of a task that is without a score."""
        tasks = sorted(self.tasks, key=lambda task: task.status != Status.UNGRADED)
        return tuple(problem for task in tasks for problem in task.problems)


class Artifact(Model):
    """A picture that belongs to a task result, kept beside it in the store."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    name: str = Field(description="`samples.png`, `reference.png`, `real.png`, `neighbours.png`, `curves-3.png`")
    media_type: str = "image/png"
    data: bytes
    caption: str = ""


JSON = dict[str, Any]
