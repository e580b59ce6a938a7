"""Grade one task of one submission: transplant, execute, measure, score, and say what happened."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluator.pack import Pack
from evaluator.sample import Description
from grader import interview, links, score
from grader.errors import BusyError, GraderError, StudentError, UngradedError
from grader.execute import SHORTAGES, CellError, Execution, Job, checkpoint_path, execute
from grader.intake import Submission
from grader.lookalike import Published, look_alike
from grader.measure import Scorer, earned
from grader.models import CellOutput, CriterionResult, Flag, Level, Metric, Problem, Provenance, Status, TaskResult
from grader.notebook import Notebook, parse
from grader.sandbox import Sandbox
from grader.spec import ManualCriterion, Task, UnitCriterion
from grader.transplant import Transplant, transplant
from grader.units import CHECKS

BUSY = "busy"
"""Code of a problem that may not come again where a submission is graded with nothing beside it."""

MAY_STAY_OPEN = frozenset({"helpers"})
"""TODOs that need no code."""


@dataclass(frozen=True)
class Setting:
    """What grading a task needs besides the submission."""

    task: Task
    template: Notebook
    pack: Pack
    sandbox: Sandbox
    secret: bytes
    device: str
    slot: int
    alone: bool = False
    """whether nothing else is graded meanwhile"""
    fetched: Path | GraderError | None = None
    """what came of the task's checkpoint link, where it leads to the web"""
    published: Published = field(default_factory=Published)
    """what must not be handed in as one's own"""


@dataclass(frozen=True)
class TaskGrading:
    """The outcome of a task, what the pictures of its report are made from, and what belongs into its provenance."""

    result: TaskResult
    scorer: Scorer | None = None
    images: interview.Images | None = None
    curves: tuple[bytes, ...] = ()
    seeds: Mapping[str, int] = field(default_factory=dict)
    notebook_sha256: str | None = None
    checkpoint_sha256: str | None = None

    def with_provenance(self, provenance: Provenance) -> "TaskGrading":
        """The same with the provenance in the result."""
        return replace(self, result=self.result.model_copy(update={"provenance": provenance}))


@dataclass(frozen=True)
class Case:
    """Everything that is known about a task once its notebook ran."""

    task: Task
    transplant: Transplant
    execution: Execution
    inputs: Mapping[str, tuple[NDArray[np.float32], ...]]
    """what each unit check was given"""
    missing: Problem | None
    """why there is no checkpoint"""
    withheld: str | None
    """why the checkpoint could not be had, where that is not the student's fault"""


def grade_task(setting: Setting, submission: Submission) -> TaskGrading:
    """Grade one task.

    Raises:
        StudentError: there is no notebook, or it cannot be read.
        UngradedError: something of ours failed.
    """
    data = submission.notebook(setting.task.id).read_bytes()
    moved = transplant(setting.template, parse(data), _parameters(setting))
    origin = TaskGrading(_result(setting.task, moved, ()), notebook_sha256=_sha256(data), curves=moved.curves)
    if (problem := _untouched(moved)) is not None:
        rows = tuple(score.fail(c, problem) for c in setting.task.criterion)
        return replace(origin, result=_result(setting.task, moved, rows, problems=(problem,)))
    checkpoint, missing, withheld = _checkpoint(submission, setting)
    scorer = Scorer(setting.task, setting.pack)
    interviewer = interview.Interview(
        task=setting.task,
        secret=setting.secret,
        who=submission.student,
        smoke_inputs=interview.smoke_inputs(setting.pack.samples, setting.pack.sample_labels),
        judge=lambda images: scorer.score(scorer.measure(images)),
    )
    job = Job(moved.notebook, checkpoint, setting.task.limits, setting.device, setting.alone, slot=setting.slot)
    execution = execute(job, setting.sandbox, interviewer.next_round)
    case = Case(setting.task, moved, execution, interviewer.inputs, missing, withheld)
    return replace(
        origin,
        result=_flagged(judge(case, scorer), look_alike(setting.published, _written(moved), checkpoint)),
        scorer=scorer,
        images=next(iter(interview.measurements(execution.answers, setting.task)), None),
        seeds=interviewer.seeds,
        checkpoint_sha256=_sha256(checkpoint.read_bytes()) if checkpoint else None,
    )


def judge(case: Case, scorer: Scorer) -> TaskResult:
    """Score a case.

    Raises:
        UngradedError: the execution failed for a reason that is not the student's; a BusyError where it may not fail alone.
    """
    task, execution = case.task, case.execution
    if execution.status == "ungraded":
        ours = execution.problem or Problem(code="sandbox-broke", message="the sandbox failed")
        raise (BusyError if ours.code in SHORTAGES else UngradedError)(ours.message, execution.diagnostics)
    if execution.status == "failed":
        stopped = () if execution.stopped_in is None else ((execution.stopped_in, 1),)
        cause = _locate(case, execution.problem or Problem(code="failed", message="the notebook failed"), stopped)
        rows = tuple(score.fail(c, cause) for c in task.criterion)
        return _result(task, case.transplant, rows, problems=(cause, *_misplaced(case)), execution=execution)
    seed_problem, flags = interview.honesty(execution.answers)
    problem = _image_problem(case) or seed_problem
    repeats = interview.measurements(execution.answers, task)
    units = tuple(_unit_row(case, c) for c in task.units)
    metrics: dict[str, Metric] = {}
    if problem is None and case.withheld is None and repeats:
        metrics = scorer.measure_all(repeats)
        rows = (*scorer.score(metrics), *units)
        flags += scorer.flags(metrics, rows)
    elif problem is None and case.withheld is not None:
        problem = Problem(code="ungraded", message=case.withheld)
        rows = (*(score.withhold(c, case.withheld) for c in task.metrics), *units)
    else:
        problem = problem or Problem(code="no-images", message="generate() returned no images")
        rows = (*(score.fail(c, problem) for c in task.metrics), *units)
    if not earned(rows):
        flags = tuple(flag.model_copy(update={"holds": False}) for flag in flags)  # there is nothing to hold back
    shown = scorer.describe(repeats[0]) if repeats else None
    prompts, labels = scorer.seen(repeats[0]) if repeats else ((), ())
    result = _result(task, case.transplant, rows, _problems(case, problem), flags, execution)
    seen = {"prompts": prompts, "labels": labels, "measured": tuple(metrics[name] for name in task.report if name in metrics)}
    return result.model_copy(update={"advice": (*_advice(case), *result.advice), **_by_class(task, shown), **seen})


def rejected(task: Task, error: GraderError) -> TaskResult:
    """The result where a task could not be run at all: the student's failure, or no score where it is not theirs."""
    code = BUSY if isinstance(error, BusyError) else "ungraded" if isinstance(error, UngradedError) else "hand-in"
    problem = Problem(code=code, message=str(error))
    if isinstance(error, UngradedError):
        rows = tuple(score.withhold(c, str(error)) for c in task.criterion)
        return _result(task, None, rows, problems=(problem,)).model_copy(update={"log": error.log})
    rows = tuple(score.fail(c, problem) for c in task.criterion)
    return _result(task, None, rows, problems=(problem,))


def _written(moved: Transplant) -> list[str]:
    """The code that the student wrote."""
    return [todo.body for todo in moved.todos.values() if todo.kind == "code" and todo.status == "filled"]


def _flagged(result: TaskResult, flags: Sequence[Flag]) -> TaskResult:
    """The result with more flags, and the status that follows."""
    flags = (*result.flags, *flags)
    return result.model_copy(update={"flags": flags, "status": _status(result.criteria, flags)})


def _parameters(setting: Setting) -> dict[str, object]:
    """What the grader puts into the parameters cell."""
    return {
        "TRAIN": False,
        "CHECKPOINT": checkpoint_path(setting.sandbox, setting.slot),
        "DEVICE": setting.device,
        "SEED": 0,
        "DATA_DIR": "data",
    }


def _untouched(moved: Transplant) -> Problem | None:
    """A problem where not one code TODO was filled, so that nothing needs to run."""
    needed = [id for id, todo in moved.todos.items() if todo.kind == "code" and id not in MAY_STAY_OPEN]
    still_open = [id for id in needed if id in moved.open_todos]
    if len(still_open) < len(needed):
        return None
    return Problem(
        code="open-todo",
        message=f"none of the TODOs is filled in: {', '.join(still_open)}",
        advice="write your code between ##TODO## and ##END TODO##, save the notebook, and hand in that file",
    )


def _checkpoint(submission: Submission, setting: Setting) -> tuple[Path | None, Problem | None, str | None]:
    """(file, the student's problem, our problem)"""
    try:
        trust = setting.sandbox.level == Level.NONE
        return links.checkpoint(submission, setting.task, trust=trust, fetched=setting.fetched), None, None
    except StudentError as error:
        return None, Problem(code="missing-checkpoint", message=str(error)), None
    except UngradedError as error:
        return None, None, str(error)


def _image_problem(case: Case) -> Problem | None:
    """Why there are no images: the first cause, since a failed cell makes later ones fail as well."""
    if case.missing or case.withheld:
        return case.missing
    answers = case.execution.answers
    name = interview.failed_generate(answers)
    if name is None:
        return None
    own = _locate(case, answers.problems[name], case.execution.places.get(name, ()))
    if own.todo is not None and "NameError" not in own.message:
        return own
    first = next(iter(_cell_problems(case)), None)
    return first or own


def _by_class(task: Task, shown: Description | None) -> dict[str, object]:
    """What the result says of each class."""
    if shown is None:
        return {}
    found: dict[str, object] = {"class_shares": tuple(map(float, shown.shares)), "class_names": task.classes}
    if shown.confusion is not None and shown.class_fids is not None:
        found["confusion"] = tuple(tuple(map(int, row)) for row in shown.confusion)
        found["class_fids"] = tuple(map(float, shown.class_fids))
    return found


def _advice(case: Case) -> list[str]:
    """What the checks that are worth no points have to say; one that could not run says nothing."""
    found = []
    for name in case.task.advice:
        answer = case.execution.answers.arrays.get(f"unit:{name}")
        if answer is not None:
            verdict = CHECKS[name].judge(case.inputs[f"unit:{name}"], [np.asarray(array, np.float32) for array in answer])
            found += [verdict.message] if verdict.share < 1 else []
    return found


def _unit_row(case: Case, criterion: UnitCriterion) -> CriterionResult:
    check = CHECKS[criterion.unit]
    name = f"unit:{check.name}"
    answers = case.execution.answers
    broken = next((p for p in case.transplant.problems if p.todo in check.todos), None)
    open_todo = next((t for t in check.todos if t in case.transplant.open_todos), None)
    if broken:
        return score.fail(criterion, broken)
    if open_todo:
        return score.fail(criterion, Problem(code="open-todo", message=f"the TODO {open_todo} is not filled in", todo=open_todo))
    if name in answers.problems:
        return score.fail(criterion, _locate(case, answers.problems[name], case.execution.places.get(name, ())))
    outputs = [np.asarray(array, np.float32) for array in answers.arrays[name]]
    return score.score_unit(criterion, check.judge(case.inputs[name], outputs))


def _locate(case: Case, problem: Problem, places: Sequence[tuple[int, int]]) -> Problem:
    """The problem with the student's cell and line: the innermost place that lies in a TODO, else the innermost."""
    found = [place for cell, line in places if (place := case.transplant.locate(cell, line))]
    best = next((p for p in reversed(found) if p.todo), found[-1] if found else None)
    if best is None:
        return problem
    return problem.model_copy(update={"cell": best.cell, "line": best.line, "todo": best.todo, "source": best.source})


def _cell_problems(case: Case) -> list[Problem]:
    """Errors of cells that are not optional, in order, without those that a missing checkpoint explains."""
    problems = []
    for error in case.execution.errors:
        if error.optional or ((case.missing or case.withheld) and error.ename == "FileNotFoundError"):
            continue
        problems.append(_locate(case, _of_cell(error), error.places))
    return problems


def _of_cell(error: CellError) -> Problem:
    return Problem(code="exception", message=f"{error.ename}: {error.evalue}", advice=error.advice, traceback=error.traceback)


def _misplaced(case: Case) -> list[Problem]:
    """Problems of the transplant; a lost TODO that needs no code is none."""
    return [p for p in case.transplant.problems if p.code != "missing-todo" or p.todo not in MAY_STAY_OPEN]


def _problems(case: Case, image_problem: Problem | None) -> tuple[Problem, ...]:
    """All problems of the task, each once, the one that cost the images first."""
    units = [
        _locate(case, p, case.execution.places.get(name, ()))
        for name, p in case.execution.answers.problems.items()
        if name in {f"unit:{criterion.unit}" for criterion in case.task.units}
    ]
    candidates = [image_problem, *_misplaced(case), *_cell_problems(case), *units]
    unique: dict[tuple[str, int | None, int | None], Problem] = {}
    for problem in candidates:
        if problem is not None:
            unique.setdefault((problem.message, problem.cell, problem.line), problem)
    return tuple(unique.values())


def _result(
    task: Task,
    moved: Transplant | None,
    rows: Sequence[CriterionResult],
    problems: Sequence[Problem] = (),
    flags: Sequence[Flag] = (),
    execution: Execution | None = None,
) -> TaskResult:
    """Put a task's result together; its status follows from the rows and the flags."""
    edits = moved.edits if moved else ()
    points, low, high = score.total(rows)
    failed = any(row.status == Status.FAILED for row in rows)
    if failed and execution is not None and any(edit.kind == "changed" for edit in edits):
        message = "it failed, and given code was changed: what was handed in may have worked together with those changes"
        flags = (*flags, Flag(code="edits-and-failure", message=message, holds=True))
    return TaskResult(
        task=task.id,
        title=task.title,
        status=_status(rows, flags),
        score=points,
        max_score=task.max_score,
        low=low,
        high=high,
        criteria=tuple(rows),
        manual=tuple(_pending(m) for m in task.manual),
        answers=moved.answers if moved else (),
        flags=tuple(flags),
        problems=tuple(problems),
        edits=edits,
        outputs=_outputs(execution, moved) if execution and moved else (),
        advice=tuple(a for a in (interview.smoke_advice(execution.answers),) if a) if execution else (),
        usage=execution.usage if execution else None,
        log=execution.diagnostics if execution and execution.status != "completed" else "",
    )


def _status(rows: Sequence[CriterionResult], flags: Sequence[Flag]) -> Status:
    statuses = {row.status for row in rows}
    if Status.UNGRADED in statuses:
        return Status.UNGRADED
    if any(flag.holds for flag in flags):
        return Status.HELD
    return Status.FAILED if Status.FAILED in statuses else Status.GRADED


def _pending(manual: ManualCriterion) -> CriterionResult:
    return CriterionResult(name=manual.name, title=manual.title, kind="manual", status=Status.PENDING, points=manual.points)


def _outputs(execution: Execution, moved: Transplant) -> tuple[CellOutput, ...]:
    """What the cells printed, by the student's own cell numbers."""
    outputs = []
    for cell, text in execution.outputs:
        place = moved.locate(cell, 1)
        outputs.append(CellOutput(cell=place.cell if place and place.cell else 0, todo=place.todo if place else None, text=text))
    return tuple(outputs)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
