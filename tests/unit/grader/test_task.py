"""The verdicts, from cases put together by hand: what ran, what came back, and what the student had written."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grader.challenge import Answers
from grader.errors import BusyError, IntakeError, SandboxError, UngradedError
from grader.execute import SHORTAGES, CellError, Execution
from grader.interview import BLOCK, TRIALS, TWIN
from grader.measure import Scorer
from grader.models import Answer, CriterionResult, Edit, Problem, Status, TaskResult, Usage
from grader.spec import Task
from grader.task import BUSY, Case, judge, rejected
from grader.transplant import Place, Todo, Transplant
from grader.units import BATCH, CHECKS

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]

PLACES = (
    (Place(1, None, None, "TRAIN = False", "the given cell"),),
    (Place(4, None, None, "class Generator:", "the generator"), Place(4, 7, "generator_layers", "self.a = b", "the generator")),
    (Place(9, None, None, "def generate(n):", "generating"), Place(9, 3, "generate", "return x[0]", "generating")),
)
MISSING = Problem(code="missing-checkpoint", message="there is no checkpoint", advice="hand in handin.pt")


def moved(open_todos: Sequence[str] = (), problems: Sequence[Problem] = (), edits: Sequence[Edit] = ()) -> Transplant:
    names = [todo for check in CHECKS.values() for todo in check.todos] + ["generate"]
    return Transplant(
        notebook=b"",
        todos={name: Todo(name, "code", "open" if name in open_todos else "filled") for name in names},
        edits=tuple(edits),
        answers=(Answer(question="q_dc", text="deep convolutional"),),
        problems=tuple(problems),
        curves=(),
        places=PLACES,
    )


INPUTS = {f"unit:{name}": check.inputs(np.random.default_rng(5)) for name, check in CHECKS.items()}


def _bce(p: Floats) -> Floats:
    return np.float32(-np.log(p.astype(np.float64)).mean()).reshape(())


def right_units() -> dict[str, tuple[Floats, ...]]:
    rng = np.random.default_rng(6)
    real, fake = INPUTS["unit:discriminator_bce"]
    before, after = np.zeros(4, np.float32), np.ones(4, np.float32)
    return {
        "unit:generator_shape": (rng.uniform(-1, 1, (BATCH, 1, 28, 28)).astype(np.float32),),
        "unit:discriminator_probability": (rng.uniform(0, 1, (BATCH, 1)).astype(np.float32),),
        "unit:discriminator_bce": (_bce(real) + _bce(1 - fake),),
        "unit:generator_bce": (_bce(INPUTS["unit:generator_bce"][0]),),
        "unit:two_optimizers": (before, before, after, before, after, after),
    }


def trials(images: Images) -> dict[str, tuple[Images]]:
    counts = {"one": 1, "seven": 7}
    found = {name: (images[100 * i :][: counts.get(name, TWIN)],) for i, name in enumerate(TRIALS)}
    return {**found, "twin-b": found["twin-a"]}


def blocks(images: Images, k: int = 0) -> dict[str, tuple[Images]]:
    return {f"images-{k}-{b}": (images[b * BLOCK : (b + 1) * BLOCK],) for b in range(len(images) // BLOCK)}


def without(answers: Mapping[str, Any], problems: Mapping[str, Problem]) -> Answers:
    return Answers({name: array for name, array in answers.items() if name not in problems}, problems)


def ran(answers: Answers, **more: Any) -> Execution:
    return Execution(
        **{
            "status": "completed",
            "problem": None,
            "answers": answers,
            "errors": (),
            "outputs": ((2, "a line\n"),),
            "usage": Usage(wall_s=3, cpu_s=2),
            **more,
        }
    )


@pytest.fixture(scope="module")
def task(vanilla: Task) -> Task:
    """The lab's task without the metric that takes longest."""
    criteria = tuple(c for c in vanilla.criterion if c.name != "duplicates2k_pixels")
    return vanilla.model_copy(update={"criterion": criteria})


@pytest.fixture(scope="module")
def scorer(task: Task, scorer: Scorer) -> Scorer:
    """With the features that are known already."""
    return replace(scorer, task=task)


@pytest.fixture
def good(task: Task, copies: Images) -> Case:
    """Everything right, but that the images are copies of real ones."""
    answers = Answers({**right_units(), **trials(copies), **blocks(copies)})
    return Case(task, moved(), ran(answers), INPUTS, None, None)


@pytest.fixture
def honest(good: Case, noise: Images) -> Case:
    """All code right, and images that nobody would call digits."""
    return with_answers(good, Answers({**right_units(), **trials(noise), **blocks(noise)}))


def with_answers(case: Case, answers: Answers, **more: Any) -> Case:
    return replace(case, execution=replace(case.execution, answers=answers, **more))


def with_problems(case: Case, problems: Mapping[str, Problem], **more: Any) -> Case:
    return with_answers(case, without(case.execution.answers.arrays, problems), **more)


def failed_images(case: Case, problem: Problem, **more: Any) -> Case:
    """Every call of generate() ends in the problem."""
    names = [name for name in case.execution.answers.arrays if not name.startswith("unit:")]
    return with_problems(case, dict.fromkeys(names, problem), **more)


def rows(result: TaskResult, kind: str) -> list[CriterionResult]:
    return [row for row in result.criteria if row.kind == kind]


def points(result: TaskResult, kind: str) -> float:
    return sum(row.score or 0.0 for row in rows(result, kind))


def test_what_is_right_is_scored_in_full(good: Case, scorer: Scorer) -> None:
    result = judge(good, scorer)
    assert points(result, "unit") == 25
    assert rows(result, "metric")[0].score == 40
    assert result.max_score == 90
    assert result.score == pytest.approx(points(result, "unit") + points(result, "metric"))
    assert [row.name for row in result.criteria] == [c.name for c in good.task.criterion]
    assert sum(result.class_shares) == pytest.approx(1)
    assert result.class_names == good.task.classes
    assert [(o.cell, o.todo, o.text) for o in result.outputs] == [(9, None, "a line\n")]
    assert result.answers == good.transplant.answers
    assert result.usage == good.execution.usage


def test_questions_wait_for_a_person_outside_the_total(good: Case, scorer: Scorer) -> None:
    result = judge(good, scorer)
    assert [(row.name, row.status, row.score) for row in result.manual] == [
        (m.name, Status.PENDING, None) for m in good.task.manual
    ]


def test_copies_are_scored_and_held(good: Case, scorer: Scorer) -> None:
    result = judge(good, scorer)
    assert result.status == Status.HELD
    assert [(flag.code, flag.holds) for flag in result.flags] == [("memorisation", True), ("repeats", True)]


def test_bad_images_are_graded_and_cost_the_image_points_alone(honest: Case, scorer: Scorer) -> None:
    result = judge(honest, scorer)
    assert result.status == Status.GRADED
    assert (result.score, result.low, result.high) == (25, 25, 25)
    assert result.problems == ()
    assert result.flags == ()


def test_a_seed_mismatch_is_flagged_and_costs_nothing(honest: Case, scorer: Scorer) -> None:
    arrays = {**honest.execution.answers.arrays}
    arrays["twin-b"] = arrays["other"]
    result = judge(with_answers(honest, Answers(arrays)), scorer)
    assert (result.status, result.score) == (Status.GRADED, 25)
    assert [flag.code for flag in result.flags] == ["seed-mismatch"]


@pytest.mark.parametrize(("images", "holds"), [("good", True), ("honest", False)])
def test_images_that_do_not_come_from_the_checkpoint_hold_if_they_earn_anything(
    images: str, holds: bool, scorer: Scorer, request: pytest.FixtureRequest
) -> None:
    case: Case = request.getfixturevalue(images)
    arrays = {**case.execution.answers.arrays}
    arrays["random"] = arrays["twin-a"]
    result = judge(with_answers(case, Answers(arrays)), scorer)
    assert result.status == (Status.HELD if holds else Status.GRADED)
    assert ("ignores-weights", holds) in [(flag.code, flag.holds) for flag in result.flags]


def test_an_ignored_seed_costs_the_image_points(good: Case, scorer: Scorer) -> None:
    arrays = {**good.execution.answers.arrays}
    arrays["other"] = arrays["twin-a"]
    result = judge(with_answers(good, Answers(arrays)), scorer)
    assert result.status == Status.FAILED
    assert (points(result, "metric"), points(result, "unit")) == (0, 25)
    assert result.problems[0].code == "seed-ignored"
    assert all(row.status == Status.FAILED and "two different seeds" in row.message for row in rows(result, "metric"))


def test_an_exception_in_a_todo_is_shown_with_cell_and_line(good: Case, scorer: Scorer) -> None:
    problem = Problem(code="exception", message="IndexError: too many indices")
    names = [name for name in good.execution.answers.arrays if not name.startswith("unit:")]
    case = failed_images(good, problem, places=dict.fromkeys(names, ((2, 1), (2, 2))))
    result = judge(case, scorer)
    assert result.status == Status.FAILED
    assert (points(result, "metric"), points(result, "unit")) == (0, 25)
    (shown,) = result.problems  # once, although every call failed
    assert (shown.cell, shown.line, shown.todo, shown.source) == (9, 3, "generate", "return x[0]")
    assert result.class_shares == ()


def test_a_problem_is_blamed_on_the_todo_around_given_code(good: Case, scorer: Scorer) -> None:
    """The innermost place that is the student's, not given code that was called from it."""
    for places, todo in ((((2, 2), (1, 1)), "generate"), (((2, 2), (1, 2), (1, 1)), "generator_layers")):
        case = failed_images(good, Problem(code="exception", message="x"), places={"one": places})
        assert judge(case, scorer).problems[0].todo == todo


def test_with_random_weights_generate_may_fail(honest: Case, scorer: Scorer) -> None:
    result = judge(with_problems(honest, {"random": Problem(code="exception", message="x")}), scorer)
    assert (result.status, result.score) == (Status.GRADED, 25)


def cell_error(cell: int = 1, ename: str = "AttributeError", optional: bool = False) -> CellError:
    return CellError(cell, optional, ename, "no such thing", "Traceback …", ((cell, 2),), advice="look at the name")


def test_a_cell_that_failed_explains_why_generate_is_missing(good: Case, scorer: Scorer) -> None:
    late = Problem(code="missing-generate", message="found no function generate()")
    result = judge(failed_images(good, late, errors=(cell_error(),)), scorer)
    first, *_ = result.problems
    assert (first.code, first.message, first.todo, first.line) == (
        "exception",
        "AttributeError: no such thing",
        "generator_layers",
        7,
    )
    assert first.advice == "look at the name"
    assert rows(result, "metric")[0].message == first.message


def test_a_cell_that_failed_explains_a_name_that_generate_misses(good: Case, scorer: Scorer) -> None:
    late = Problem(code="exception", message="generate(1) raised NameError: name 'trained_generator' is not defined")
    case = failed_images(good, late, places={"one": ((2, 2),)}, errors=(cell_error(ename="RuntimeError"),))
    assert judge(case, scorer).problems[0].message == "RuntimeError: no such thing"


def test_an_error_in_an_optional_cell_costs_nothing(honest: Case, scorer: Scorer) -> None:
    result = judge(with_answers(honest, honest.execution.answers, errors=(cell_error(optional=True),)), scorer)
    assert (result.status, result.problems) == (Status.GRADED, ())


def test_an_error_in_a_cell_that_nothing_depends_on_is_shown_and_costs_nothing(honest: Case, scorer: Scorer) -> None:
    result = judge(with_answers(honest, honest.execution.answers, errors=(cell_error(),)), scorer)
    assert (result.status, result.score) == (Status.GRADED, 25)
    assert [p.todo for p in result.problems] == ["generator_layers"]


def test_an_exception_in_a_unit_check_costs_that_check(honest: Case, scorer: Scorer) -> None:
    name = "unit:generator_shape"
    problem = Problem(code="exception", message="RuntimeError: sizes")
    result = judge(with_problems(honest, {name: problem}, places={name: ((1, 2),)}), scorer)
    (row,) = [r for r in rows(result, "unit") if r.status == Status.FAILED]
    assert (row.name, row.score, row.message) == ("generator_shape", 0, "RuntimeError: sizes")
    assert result.score == 20
    assert [(p.cell, p.line, p.todo) for p in result.problems] == [(4, 7, "generator_layers")]


def test_a_wrong_answer_to_a_unit_check_is_graded_with_what_was_expected(honest: Case, scorer: Scorer) -> None:
    arrays = {**honest.execution.answers.arrays, "unit:generator_bce": (np.zeros((), np.float32),)}
    result = judge(with_answers(honest, Answers(arrays)), scorer)
    row = next(r for r in result.criteria if r.name == "generator_bce")
    assert (row.status, row.score) == (Status.GRADED, 0)
    assert "expected" in row.message
    assert result.status == Status.GRADED


def test_open_todos_cost_their_checks_by_name(good: Case, scorer: Scorer) -> None:
    """Even where the template's placeholder happens to satisfy the check."""
    result = judge(replace(good, transplant=moved(open_todos=["optimizers", "generator_forward"])), scorer)
    failed = {row.name: row.message for row in result.criteria if row.status == Status.FAILED}
    assert failed == {
        "generator_shape": "the TODO generator_forward is not filled in",
        "two_optimizers": "the TODO optimizers is not filled in",
    }
    assert points(result, "unit") == 15
    assert rows(result, "metric")[0].score == 40


def test_a_todo_that_does_not_parse_costs_its_check_and_is_shown(honest: Case, scorer: Scorer) -> None:
    broken = Problem(code="syntax-error", message="'(' was never closed", todo="generator_loss", cell=6, line=2)
    result = judge(replace(honest, transplant=moved(problems=[broken])), scorer)
    assert [row.name for row in result.criteria if row.status == Status.FAILED] == ["generator_bce"]
    assert broken in result.problems


def test_a_missing_checkpoint_costs_the_image_points_alone(good: Case, scorer: Scorer) -> None:
    errors = (cell_error(2, "FileNotFoundError"),)
    case = failed_images(good, Problem(code="exception", message="NameError: trained_generator"), errors=errors)
    result = judge(replace(case, missing=MISSING), scorer)
    assert result.status == Status.FAILED
    assert (points(result, "metric"), points(result, "unit")) == (0, 25)
    assert {row.message for row in rows(result, "metric")} == {MISSING.message}
    assert result.problems == (MISSING,)  # its consequences are not listed


def test_a_generator_that_needs_no_checkpoint_does_not_get_the_points_without_one(good: Case, scorer: Scorer) -> None:
    assert points(judge(replace(good, missing=MISSING), scorer), "metric") == 0


def test_a_checkpoint_that_we_could_not_get_leaves_the_task_ungraded(good: Case, scorer: Scorer) -> None:
    case = failed_images(good, Problem(code="exception", message="NameError"), errors=(cell_error(2, "FileNotFoundError"),))
    result = judge(replace(case, withheld="Drive says: quota exceeded"), scorer)
    assert result.status == Status.UNGRADED
    assert (result.score, result.low, result.high) == (None, None, None)
    assert {(row.status, row.score, row.message) for row in rows(result, "metric")} == {
        (Status.UNGRADED, None, "Drive says: quota exceeded")
    }
    assert points(result, "unit") == 25
    assert [p.message for p in result.problems] == ["Drive says: quota exceeded"]


CHANGED = Edit(kind="changed", cell=3, message="given code was changed; the original runs instead")


def test_edits_alone_change_nothing(honest: Case, scorer: Scorer) -> None:
    result = judge(replace(honest, transplant=moved(edits=[CHANGED])), scorer)
    assert (result.status, result.score, result.flags, result.edits) == (Status.GRADED, 25, (), (CHANGED,))


@pytest.mark.parametrize(("kind", "status"), [("changed", Status.HELD), ("added", Status.FAILED), ("marker", Status.FAILED)])
def test_a_failure_after_changes_of_given_code_waits_for_a_person(good: Case, scorer: Scorer, kind: str, status: Status) -> None:
    edit = CHANGED.model_copy(update={"kind": kind})
    case = failed_images(good, Problem(code="exception", message="x"))
    result = judge(replace(case, transplant=moved(edits=[edit])), scorer)
    assert result.status == status
    assert [flag.code for flag in result.flags] == (["edits-and-failure"] if status == Status.HELD else [])


def test_a_limit_costs_everything_and_names_the_cell(good: Case, scorer: Scorer) -> None:
    limit = Problem(code="cpu-limit", message="the CPU time of 120 s was used up", advice="look for an endless loop")
    execution = ran(Answers(), status="failed", problem=limit, stopped_in=1)
    result = judge(replace(good, execution=execution), scorer)
    assert (result.status, result.score) == (Status.FAILED, 0)
    assert {row.message for row in result.criteria} == {limit.message}
    assert (result.problems[0].code, result.problems[0].cell) == ("cpu-limit", 4)
    assert len(result.manual) == len(good.task.manual)


def test_a_sandbox_that_failed_is_nobodys_fault(good: Case, scorer: Scorer) -> None:
    ours = Problem(code="sandbox-broke", message="the sandbox ended before the first cell")
    with pytest.raises(UngradedError, match="before the first cell") as caught:
        judge(replace(good, execution=ran(Answers(), status="ungraded", problem=ours)), scorer)
    assert not isinstance(caught.value, BusyError)


@pytest.mark.parametrize("code", sorted(SHORTAGES))
def test_what_the_machine_was_short_of_is_worth_another_try(good: Case, scorer: Scorer, code: str) -> None:
    execution = ran(Answers(), status="ungraded", problem=Problem(code=code, message="it ran out"))
    with pytest.raises(BusyError, match="ran out") as caught:
        judge(replace(good, execution=replace(execution, diagnostics="oom")), scorer)
    assert rejected(good.task, caught.value).log == "oom"


def test_the_smoke_run_gives_advice_and_no_points(honest: Case, scorer: Scorer) -> None:
    before, after = np.zeros(3, np.float32), np.ones(3, np.float32)
    arrays = {**honest.execution.answers.arrays, "smoke": (before, after)}
    result = judge(with_answers(honest, Answers(arrays)), scorer)
    assert result.score == 25
    assert [text for text in result.advice if "ran and changed" in text]
    broken = with_problems(honest, {"smoke": Problem(code="cpu-limit", message="too slow")})
    result = judge(broken, scorer)
    assert (result.status, result.score, result.problems) == (Status.GRADED, 25, ())
    assert "too slow" in result.advice[0]


def test_repeats_narrow_the_interval(honest: Case, scorer: Scorer, noise: Images) -> None:
    """The same measurement twice: the mean is the value, the half-width shrinks by the root of two."""
    once = judge(honest, scorer)
    twice = judge(with_answers(honest, Answers({**honest.execution.answers.arrays, **blocks(noise, 1)})), scorer)
    one, two = (rows(result, "metric")[0].metric for result in (once, twice))
    assert one is not None and two is not None
    assert two.value == pytest.approx(one.value)
    assert two.high - two.low == pytest.approx((one.high - one.low) / 2**0.5)


def test_what_cannot_be_taken_is_the_students_failure_and_what_we_cannot_do_is_not(task: Task) -> None:
    failed = rejected(task, IntakeError("lab8_vanilla.ipynb is not in the hand-in"))
    assert (failed.status, failed.score, failed.max_score) == (Status.FAILED, 0, 90)
    assert [p.message for p in failed.problems] == ["lab8_vanilla.ipynb is not in the hand-in"]
    ungraded = rejected(task, SandboxError("no sandbox"))
    assert ungraded.problems[0].code == "ungraded"
    assert rejected(task, BusyError("no time")).problems[0].code == BUSY
    assert (ungraded.status, ungraded.score, ungraded.max_score) == (Status.UNGRADED, None, 90)
    assert [p.message for p in ungraded.problems] == ["no sandbox"]
    assert all(row.score is None for row in ungraded.criteria)


def test_a_conditional_task_shows_how_classes_agree(good: Case, scorer: Scorer) -> None:
    task = good.task.model_copy(update={"conditional": True})
    result = judge(replace(good, task=task), Scorer(task, scorer.pack))
    assert [len(line) for line in result.confusion] == [10] * 10
    assert [sum(line) for line in result.confusion] == [200] * 10
    assert len(result.class_fids) == 10 and min(result.class_fids) > 0
    assert judge(good, scorer).confusion == ()


def test_a_check_that_only_advises_costs_nothing(honest: Case, scorer: Scorer) -> None:
    task = honest.task.model_copy(update={"advice": ("critic_batch_norm",)})
    one, half = np.arange(BATCH, dtype=np.float32)[:, None], np.arange(4, dtype=np.float32)[:, None]
    for other, words in ((half, 0), (half + 1, 1)):
        arrays = {**honest.execution.answers.arrays, "unit:critic_batch_norm": (one, other)}
        case = with_answers(replace(honest, task=task, inputs={**honest.inputs, "unit:critic_batch_norm": ()}), Answers(arrays))
        result = judge(case, scorer)
        assert result.score == judge(honest, scorer).score
        assert sum("batch normalisation" in advice for advice in result.advice) == words


def test_an_advising_check_that_could_not_run_is_not_shown(honest: Case, scorer: Scorer) -> None:
    task = honest.task.model_copy(update={"advice": ("critic_batch_norm",)})
    problem = Problem(code="exception", message="RuntimeError: mat1 and mat2")
    result = judge(with_problems(replace(honest, task=task), {"unit:critic_batch_norm": problem}), scorer)
    assert result.problems == ()
    assert not any("batch normalisation" in advice for advice in result.advice)
