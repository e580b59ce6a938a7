"""What the stages hand to each other and what the store keeps: frozen, JSON-ready data without behaviour."""

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

    code: str = Field(description="`memorisation`, `seed-mismatch`, `ignores-weights`, `edits-and-failure`, …")
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


class Provenance(Model):
    """Everything needed to say where a score came from."""

    grader_version: str
    spec_sha256: str
    template_sha256: str
    notebook_sha256: str | None = None
    checkpoint_sha256: str | None = None
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
    class_fids: tuple[float, ...] = Field((), description="conditional tasks: FID of each class's images against real ones of the class")
    advice: tuple[str, ...] = Field((), description="remarks worth no points, such as the outcome of the training smoke run")
    usage: Usage | None = None
    provenance: Provenance | None = None


class SubmissionResult(Model):
    """All tasks of one student's submission."""

    lab: str
    lab_title: str
    student: str
    attempt: str
    status: Status
    score: float | None
    max_score: float
    manual_points: float = Field(0, description="points that a person still has to give")
    tasks: tuple[TaskResult, ...]
    warnings: tuple[str, ...] = ()
    graded_at: datetime


class Artifact(Model):
    """A picture that belongs to a task result, kept beside it in the store."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    name: str = Field(description="`samples.png`, `reference.png`, `real.png`, `neighbours.png`, `curves-3.png`")
    media_type: str = "image/png"
    data: bytes
    caption: str = ""


JSON = dict[str, Any]
