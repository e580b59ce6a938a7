"""lab.toml: what a lab asks for and how it is scored."""

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from evaluator.prompts import Prompts, multi_hot
from grader.autograder import LabGradescope
from grader.errors import SpecError
from grader.prompt_files import NAME, read_prompts, with_prompts
from grader.units import CHECKS


class Table(BaseModel):
    """Base of all tables: immutable; a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class Limits(Table):
    """What one execution may use; CPU time decides, wall time only catches what waits for ever."""

    cpu_s: Positive = 120
    wall_s: Positive = 240
    memory_mb: Count = 3000
    processes: Count = 64
    disk_mb: Count = 512
    checkpoint_mb: Count = 200


class MetricCriterion(Table):
    """Points for a metric of the images: all at `full`, none at `zero`, linear between."""

    metric: str = Field(description="full metric name, such as `fid2k_test_indomain`")
    title: str = ""
    points: Positive
    full: float
    zero: float
    needs: str | None = Field(None, description="metric that must earn more than 0 points, else this one earns none")
    hint: str | None = Field(None, description="what to try when points are lost")

    @property
    def name(self) -> str:
        return self.metric

    @model_validator(mode="after")
    def _two_anchors(self) -> Self:
        if self.full == self.zero:
            raise ValueError(f"full and zero are both {self.full}; they must differ")
        return self


class UnitCriterion(Table):
    """Points for a TODO that answers fresh inputs correctly."""

    unit: str = Field(description="name of a unit check, such as `generator_shape`")
    title: str = ""
    points: Positive
    hint: str | None = None

    @field_validator("unit")
    @classmethod
    def _is_a_check(cls, unit: str) -> str:
        if unit not in CHECKS:
            raise ValueError(no_check(unit))
        return unit

    @property
    def name(self) -> str:
        return self.unit


def no_check(unit: str) -> str:
    """What is wrong with the name of a unit check that does not exist."""
    return f"no unit check is called {unit!r}; there are {', '.join(CHECKS)}"


def _criterion_kind(value: object) -> str | None:
    """Which kind of criterion a table is, so that only the complaints of that kind are made; None where it is neither or both."""
    if isinstance(value, MetricCriterion | UnitCriterion):
        return type(value).__name__
    kinds = {"metric": "MetricCriterion", "unit": "UnitCriterion"}
    found = [kinds[key] for key in kinds if isinstance(value, dict) and key in value]
    return found[0] if len(found) == 1 else None


Criterion = Annotated[
    Annotated[MetricCriterion, Tag("MetricCriterion")] | Annotated[UnitCriterion, Tag("UnitCriterion")],
    Discriminator(
        _criterion_kind, custom_error_type="criterion", custom_error_message="A criterion has either `metric` or `unit`"
    ),
]


class ManualCriterion(Table):
    """Points that a person gives for an answer."""

    question: str = Field(description="id of the question's TODO, such as `q_dc`")
    title: str = ""
    points: Positive

    @property
    def name(self) -> str:
        return self.question


class EssayCriterion(Table):
    """Points that a person gives for a text that is handed in as a file."""

    file: str = Field(
        pattern=r"^[\w-]+\.(\*|pdf|md|txt)$", description="`reflection.*`, which takes pdf, md and txt, or one of these"
    )
    title: str = ""
    points: Positive

    @property
    def name(self) -> str:
        return self.file.rpartition(".")[0]


class Task(Table):
    """One notebook of the lab."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str = ""
    notebook: str = Field(pattern=r"^[\w.-]+\.ipynb$")
    dataset: str = Field(description="name of the pack that scores the images")
    samples: Count = 2000
    shape: tuple[Count, ...] = Field(description="shape of one generated image, such as [28, 28]")
    classes: tuple[str, ...] = Field((), description="names of the classifier's classes, in order")
    conditional: bool = Field(False, description="generate(n, c) with c the number of a class, in place of generate(n)")
    prompts: tuple[Annotated[str, Field(pattern=NAME)], ...] = Field(
        (),
        description="files beside lab.toml with lists of lists of labels, such as test.json; then generate(labels) is called, labels of "
        "0 and 1 of shape (n, number of classes)",
    )
    asked: dict[str, tuple[tuple[str, ...], ...]] = Field({}, exclude=True, description="what the files in `prompts` hold")
    report: tuple[str, ...] = Field((), description="metrics that are worth no points: what they measure is shown")
    limits: Limits = Limits()
    criterion: tuple[Criterion, ...] = Field(min_length=1)
    manual: tuple[ManualCriterion, ...] = ()
    advice: tuple[str, ...] = Field((), description="unit checks that are worth no points: what they find is said as advice")

    @property
    def metrics(self) -> tuple[MetricCriterion, ...]:
        return tuple(c for c in self.criterion if isinstance(c, MetricCriterion))

    @property
    def units(self) -> tuple[UnitCriterion, ...]:
        return tuple(c for c in self.criterion if isinstance(c, UnitCriterion))

    @property
    def max_score(self) -> float:
        """Automatic points that can be had."""
        return sum(c.points for c in self.criterion)

    @property
    def prompt_sets(self) -> Prompts | None:
        """The prompts as rows of labels, by the names of their sets; None where the task has none."""
        number = {name: k for k, name in enumerate(self.classes)}
        rows = {name: [[number[label] for label in prompt] for prompt in prompts] for name, prompts in self.asked.items()}
        return Prompts({name: multi_hot(of, len(self.classes)) for name, of in rows.items()}) if rows else None

    @model_validator(mode="after")
    def _names_make_sense(self) -> Self:
        names = [c.name for c in (*self.criterion, *self.manual)]
        if doubled := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"task {self.id}: criterion {doubled[0]} stands there twice")
        if unknown := [unit for unit in self.advice if unit not in CHECKS]:
            raise ValueError(f"task {self.id}: advice: {no_check(unknown[0])}")
        if self.conditional and (not self.classes or self.samples % len(self.classes)):
            raise ValueError(
                f"task {self.id}: conditional = true needs the names of the classes and samples in equal shares; found "
                f"{len(self.classes)} classes and samples = {self.samples}"
            )
        if len(self.asked) < len(self.prompts):
            raise ValueError(
                f"task {self.id}: the files in prompts, {', '.join(self.prompts)} are not one set each: the names must differ in more "
                "than - and _"
            )
        if self.prompt_sets is not None and (self.conditional or self.samples % self.prompt_sets.count):
            raise ValueError(
                f"task {self.id}: prompts need samples that are a multiple of their number, {self.prompt_sets.count}, and no "
                f"`conditional`; found samples = {self.samples}"
            )
        for criterion in self.metrics:
            if criterion.needs and criterion.needs not in {c.metric for c in self.metrics}:
                raise ValueError(f"task {self.id}: {criterion.metric} needs {criterion.needs}, which is no metric criterion")
        return self


class Lab(Table):
    """The lab as a whole."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    files: tuple[str, ...] = Field(description="what a hand-in consists of; patterns allowed")


class LabSpec(Table):
    """A whole lab.toml."""

    lab: Lab
    task: tuple[Task, ...] = Field(min_length=1)
    manual: tuple[EssayCriterion, ...] = ()
    gradescope: LabGradescope = LabGradescope()
    sha256: str = Field("", exclude=True)

    @model_validator(mode="after")
    def _essays_differ(self) -> Self:
        names = [essay.name.casefold() for essay in self.manual]
        if len(set(names)) < len(names):
            raise ValueError(f"two [[manual]] rows have one file: {', '.join(essay.file for essay in self.manual)}")
        return self

    @model_validator(mode="after")
    def _gradescope_names_what_there_is(self) -> Self:
        rows = {task.id: {c.name for c in (*task.criterion, *task.manual)} for task in self.task}
        known = {*rows, *(f"{task}.{name}" for task, names in rows.items() for name in names)}
        if unknown := [name for name in self.gradescope.named if name not in known]:
            raise ValueError(f"gradescope: {unknown[0]!r} is no row of the rubric; there are {', '.join(sorted(known))}")
        for column in self.gradescope.leaderboard:
            task = next((task for task in self.task if task.id == column.task), None)
            if task is None:
                raise ValueError(f"gradescope: leaderboard {column.name!r}: no task is called {column.task!r}")
            if column.metric and column.metric not in {*(c.metric for c in task.metrics), *task.report}:
                raise ValueError(f"gradescope: leaderboard {column.name!r}: task {task.id} measures no {column.metric!r}")
        return self

    @model_validator(mode="after")
    def _task_ids_differ(self) -> Self:
        ids = [task.id for task in self.task]
        if len(set(ids)) < len(ids):
            raise ValueError(f"two tasks share an id: {', '.join(ids)}")
        return self


def load_spec(path: Path) -> LabSpec:
    """Read lab.toml.

    Raises:
        SpecError: the file, or one with prompts, is missing, not TOML or JSON, or not a lab; the message names the place.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}); a lab folder needs a lab.toml, see `grader init`") from error
    try:
        table = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not valid TOML: {error}") from error
    try:
        prompts = read_prompts(table, path)
        digest = hashlib.sha256(b"".join([data, *prompts.values()])).hexdigest()
        spec = LabSpec.model_validate({**with_prompts(table, prompts, path), "sha256": digest})
    except ValidationError as error:
        raise SpecError(f"{path} does not describe a lab:\n" + "\n".join(_complaints(error))) from error
    return spec


def _complaints(error: ValidationError) -> list[str]:
    """One line a mistake, with the place written as in TOML: `task[0].criterion[2].points`."""
    lines = []
    items = error.errors()
    for item in items:
        if item["type"] == "too_short" and any(
            other["loc"][: len(item["loc"])] == item["loc"] for other in items if other is not item
        ):
            continue  # pydantic counts the valid items only; what is wrong with the others is said already
        place = ""
        for part in item["loc"]:
            if isinstance(part, int):
                place += f"[{part}]"
            elif not part.endswith("Criterion"):  # the union's branch names are ours, not the author's
                place += f".{part}" if place else part
        lines.append(f"  {place or 'file'}: {item['msg'].removeprefix('Value error, ')}")
    return lines
