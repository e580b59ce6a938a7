from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from grader import interview
from grader.challenge import Answers, Generate, Probe, Round, derive_seed
from grader.interview import (
    BLOCK,
    REPEATS,
    TWIN,
    Interview,
    asked_classes,
    honesty,
    measurement,
    measurements,
    smoke_advice,
    smoke_inputs,
)
from grader.models import CriterionResult, Problem, Status
from grader.spec import Limits, Task, UnitCriterion
from grader.units import CHECKS

SECRET = bytes(range(32))
Images = NDArray[np.uint8]
PROBLEM = Problem(code="exception", message="ValueError: no")


def a_task(samples: int = 1200, units: Sequence[str] = ("generator_shape", "generator_bce"), cpu_s: float = 1e6) -> Task:
    criteria = [
        {"metric": "fid2k_test_indomain", "points": 100 - len(units), "full": 10, "zero": 100},
        *({"unit": unit, "points": 1} for unit in units),
    ]
    return Task.model_validate(
        {
            "id": "vanilla",
            "notebook": "n.ipynb",
            "dataset": "mnist",
            "shape": (4, 4),
            "samples": samples,
            "criterion": criteria,
            "limits": Limits(cpu_s=cpu_s),
        }
    )


def an_interview(width: float | None = 0.0, task: Task | None = None, who: str = "ada") -> Interview:
    """An interview whose judge finds a score interval of that width, in points of 100."""

    def judge(images: Images) -> list[CriterionResult]:
        half = None if width is None else width / 2
        score, low, high = (50.0, 50 - half, 50 + half) if half is not None else (None, None, None)
        return [
            CriterionResult(name="m", title="", kind="metric", status=Status.GRADED, points=98, score=score, low=low, high=high)
        ]

    return Interview(task or a_task(), SECRET, who, (np.zeros((256, 1, 4, 4), np.float32), np.zeros(256, np.float32)), judge)


def answered(requests: Round, answers: Answers | None = None) -> Answers:
    """Answers to a round: images that depend on the seed and the weights alone."""
    arrays: dict[str, Any] = dict(answers.arrays) if answers else {}
    for request in requests:
        if isinstance(request, Generate):
            rng = np.random.default_rng((request.seed, request.weights == "random"))
            arrays[request.id] = (rng.integers(0, 256, (request.n, *request.shape), dtype=np.uint8),)
        else:
            arrays[request.id] = (np.zeros(1, np.float32),)
    return Answers(arrays, dict(answers.problems) if answers else {})


def held(one: Interview) -> list[Round]:
    """All rounds of an interview in which everything is answered."""
    rounds: list[Round] = []
    answers = Answers()
    while (requests := one.next_round(answers)) is not None:
        rounds.append(requests)
        answers = answered(requests, answers)
    return rounds


def blocks(requests: Round, k: int) -> list[Generate]:
    return [r for r in requests if isinstance(r, Generate) and r.id.startswith(f"images-{k}-")]


def a_conditional_task(per_class: int = 20, classes: int = 3) -> Task:
    names = tuple(f"class {c}" for c in range(classes))
    return a_task(per_class * classes).model_copy(update={"conditional": True, "classes": names})


@given(st.integers(1, 5000))
def test_exactly_the_tasks_samples_are_asked_for_in_blocks(samples: int) -> None:
    first, *_ = held(an_interview(task=a_task(samples)))
    asked = blocks(first, 0)
    assert sum(r.n for r in asked) == samples
    assert all(1 <= r.n <= BLOCK for r in asked)
    assert len(asked) == -(-samples // BLOCK)  # no more blocks than needed
    assert all(r.shape == (4, 4) and r.weights == "checkpoint" and r.arguments == () for r in asked)


@given(st.integers(1, 1200), st.integers(2, 7))
def test_as_many_images_of_each_class_are_asked_for(per_class: int, classes: int) -> None:
    first, *_ = held(an_interview(task=a_conditional_task(per_class, classes)))
    asked = blocks(first, 0)
    assert all(1 <= r.n <= BLOCK for r in asked)
    assert [sum(r.n for r in asked if r.arguments == (c,)) for c in range(classes)] == [per_class] * classes
    assert len(asked) == classes * -(-per_class // BLOCK)


def test_images_of_a_measurement_cycle_through_the_classes() -> None:
    """Image i was asked for as class i modulo the number of classes, whatever the blocks."""
    task = a_conditional_task(per_class=1100, classes=3)
    first, *_ = held(an_interview(task=task))
    arrays = {r.id: (np.full((r.n, 4, 4), r.arguments[0], np.uint8),) for r in blocks(first, 0)}
    images = measurement(Answers(arrays), task, 0)
    labels = asked_classes(task)
    assert images is not None and labels is not None
    assert images.shape == (3300, 4, 4)
    assert np.array_equal(images[:, 0, 0], labels)
    assert labels[:4].tolist() == [0, 1, 2, 0]


PROMPTS = {"test": (("a",), ("b",), ("a", "c")), "new-test": (("b", "c"), ("a", "b", "c"))}


def a_task_with_prompts(seeds: int = 240) -> Task:
    return a_task(5 * seeds).model_copy(update={"classes": ("a", "b", "c"), "asked": PROMPTS})


def test_images_of_prompts_are_asked_for_in_blocks_in_which_the_prompts_take_turns() -> None:
    task = a_task_with_prompts()
    asked = blocks(held(an_interview(task=task))[0], 0)
    assert [r.n for r in asked] == [500, 500, 200]
    labels = [r.labels for r in asked]
    assert all(
        rows is not None and rows.dtype == np.float32 and rows.shape == (r.n, 3) for rows, r in zip(labels, asked, strict=True)
    )
    every = np.concatenate([rows for rows in labels if rows is not None])
    cycle = [[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]]
    assert every.tolist() == cycle * 240


def test_images_of_prompts_come_back_in_the_order_asked_for() -> None:
    task = a_task_with_prompts()
    first, *_ = held(an_interview(task=task))
    arrays = {
        r.id: (np.arange(500 * k, 500 * k + r.n).astype(np.uint8).reshape(-1, 1, 1).repeat(4, 1).repeat(4, 2),)
        for k, r in enumerate(blocks(first, 0))
    }
    images = measurement(Answers(arrays), task, 0)
    assert images is not None
    assert np.array_equal(images[:, 0, 0], np.arange(1200).astype(np.uint8))
    assert asked_classes(task) is None


def test_prompts_are_tried_with_one_and_seven_rows_and_with_other_labels() -> None:
    asked = {r.id: r for r in held(an_interview(task=a_task_with_prompts()))[0] if isinstance(r, Generate)}
    shapes = {name: r.labels.shape for name, r in asked.items() if r.labels is not None}
    assert (shapes["one"], shapes["seven"], shapes["twin-a"]) == ((1, 3), (7, 3), (32, 3))
    first, other = asked["twin-a"].labels, asked["class"].labels
    assert first is not None and other is not None
    assert (first != other).any(axis=1).all()  # each row asks for something else
    assert asked["class"].seed == asked["twin-a"].seed == asked["random"].seed
    assert all(np.array_equal(asked[name].labels, first) for name in ("twin-b", "other", "random"))


def test_prompts_are_measured_once_however_wide_the_interval() -> None:
    rounds = held(an_interview(width=60.0, task=a_task_with_prompts(40)))
    assert [blocks(requests, 1) for requests in rounds] == [[]] * len(rounds)


def test_a_call_for_prompts_is_named_in_the_students_words() -> None:
    asked = {r.id: r for r in held(an_interview(task=a_task_with_prompts()))[0] if isinstance(r, Generate)}
    assert asked["seven"].call == "generate(labels of shape (7, 3))"


def test_pictures_and_labels_of_the_trial_training_are_as_the_notebook_has_them() -> None:
    samples = np.arange(2 * 3 * 4 * 4).astype(np.uint8).reshape(2, 3, 4, 4)
    images, labels = smoke_inputs(samples, np.array([[1, 0, 1], [0, 1, 0]], np.uint8))
    assert images.shape == (256, 3, 4, 4)
    assert (images.dtype, labels.dtype, labels.shape) == (np.float32, np.float32, (256, 3))
    assert all(np.array_equal(row, [0, 1, 0]) == bool(image[0, 0, 0] > -0.9) for row, image in zip(labels, images, strict=True))


def test_an_unconditional_task_asks_for_no_class() -> None:
    assert asked_classes(a_task()) is None
    first, *_ = held(an_interview())
    assert "class" not in [r.id for r in first]


def test_a_conditional_task_is_tried_with_the_same_seed_and_another_class() -> None:
    asked = {r.id: r for r in held(an_interview(task=a_conditional_task()))[0] if isinstance(r, Generate)}
    assert asked["class"].seed == asked["twin-a"].seed
    assert asked["class"].arguments != asked["twin-a"].arguments
    assert {asked[name].arguments for name in ("twin-a", "twin-b", "other", "random")} == {(0,)}
    assert {asked[name].arguments for name in ("one", "seven")} == {(2,), (1,)}


def test_a_class_without_effect_is_said_and_holds_nothing() -> None:
    answers = trials()
    same = Answers({**answers.arrays, "class": answers.arrays["twin-a"]})
    problem, flags = honesty(same)
    assert problem is None
    assert [(f.code, f.holds) for f in flags] == [("class-ignored", False)]
    other = Answers({**answers.arrays, "class": answers.arrays["other"]})
    assert honesty(other) == (None, ())


def test_checks_that_only_advise_are_asked_too() -> None:
    task = a_task().model_copy(update={"advice": ("critic_batch_norm",)})
    first, *_ = held(an_interview(task=task))
    assert [r.id for r in first][:3] == ["unit:generator_shape", "unit:generator_bce", "unit:critic_batch_norm"]


def test_the_first_round_holds_units_trials_and_one_measurement() -> None:
    first, last = held(an_interview())
    ids = [r.id for r in first]
    trials = [name for name in interview.TRIALS if name != "class"]
    assert ids == ["unit:generator_shape", "unit:generator_bce", *trials, "images-0-0", "images-0-1", "images-0-2"]
    assert [r.id for r in last] == ["smoke"]


def test_the_trials_vary_the_batch_the_seed_and_the_weights() -> None:
    asked = {r.id: r for r in held(an_interview())[0] if isinstance(r, Generate)}
    assert (asked["one"].n, asked["seven"].n) == (1, 7)
    twins = [asked[name] for name in ("twin-a", "twin-b", "other", "random")]
    assert {r.n for r in twins} == {TWIN}
    assert asked["twin-a"].seed == asked["twin-b"].seed == asked["random"].seed != asked["other"].seed
    assert [r.weights for r in twins] == ["checkpoint", "checkpoint", "checkpoint", "random"]


def test_unit_checks_get_fresh_inputs_that_are_remembered_for_the_judge() -> None:
    one = an_interview()
    probes = [r for r in held(one)[0] if isinstance(r, Probe)]
    for probe, name in zip(probes, ("generator_shape", "generator_bce"), strict=True):
        expected = CHECKS[name].inputs(np.random.default_rng(derive_seed(SECRET, "ada", "vanilla", name)))
        assert probe.code == CHECKS[name].code
        assert not probe.feedback
        assert all(np.array_equal(a, b) for a, b in zip(probe.inputs, expected, strict=True))
        assert one.inputs[probe.id] is probe.inputs


def test_seeds_derive_from_secret_student_task_and_purpose_and_are_recorded() -> None:
    one = an_interview(width=10)
    requests = [r for requests in held(one) for r in requests]
    for request in requests:
        purpose = "twin" if request.id in {"twin-a", "twin-b", "random"} else request.id.removeprefix("unit:")
        assert request.seed == one.seeds[purpose] == derive_seed(SECRET, "ada", "vanilla", purpose)
    assert len(set(one.seeds.values())) == len(one.seeds)


def test_handing_in_again_rolls_nothing_anew_and_another_student_gets_other_seeds() -> None:
    seeds = [[r.seed for requests in held(an_interview(who=who)) for r in requests] for who in ("ada", "ada", "bob")]
    assert seeds[0] == seeds[1]
    assert not set(seeds[0]) & set(seeds[2])


@pytest.mark.parametrize(
    ("width", "measured"),
    [(None, 1), (0, 1), (1.99, 1), (2.01, 2), (2.8, 2), (2.9, 3), (3.9, 4), (4.1, 5), (50, 5)],
)
def test_as_many_repeats_as_bring_a_wide_interval_below_two_percent(width: float | None, measured: int) -> None:
    """Half-widths shrink with the root of the number, so k >= (width / 2)² of 100 points; five at the most."""
    rounds = held(an_interview(width))
    repeats = [r.id for requests in rounds[1:-1] for r in requests]
    assert repeats == [f"images-{k}-{b}" for k in range(1, measured) for b in range(3)]
    assert len(rounds) == 2 + (measured > 1)
    assert [r.id for r in rounds[-1]] == ["smoke"]
    assert measured <= REPEATS


def test_repeats_are_full_and_independent() -> None:
    first, repeats, _ = held(an_interview(50))
    for k in range(1, REPEATS):
        assert sum(r.n for r in blocks(repeats, k)) == 1200
    seeds = [r.seed for r in (*blocks(first, 0), *repeats)]
    assert len(set(seeds)) == len(seeds) == 15


def test_a_measurement_that_failed_is_not_repeated() -> None:
    one = an_interview(50)
    first = one.next_round(Answers())
    assert first is not None
    answers = Answers(answered(first).arrays, {"images-0-1": PROBLEM})
    second = one.next_round(answers)
    assert second is not None
    assert [r.id for r in second] == ["smoke"]
    assert one.next_round(answers) is None


def test_a_generator_that_is_too_slow_for_repeats_is_measured_once() -> None:
    assert len(held(an_interview(50, a_task(cpu_s=1e-9)))) == 2


def test_the_smoke_run_comes_last_and_is_feedback() -> None:
    (probe,) = held(an_interview())[-1]
    assert isinstance(probe, Probe)
    assert probe.feedback
    assert probe.inputs[0].shape == (256, 1, 4, 4)


def test_measurements_come_back_in_the_order_of_asking() -> None:
    first, repeats, _ = held(an_interview(2.5, a_task(samples=6000)))
    answers = answered(repeats, answered(first))
    expected = np.concatenate([answers.arrays[f"images-0-{b}"][0] for b in range(12)])
    found = measurement(answers, a_task(), 0)
    assert found is not None
    assert np.array_equal(found, expected)  # block 10 comes after block 9
    assert found.dtype == np.uint8
    assert [len(images) for images in measurements(answers, a_task())] == [6000, 6000]
    assert measurement(answers, a_task(), 2) is None
    assert measurements(Answers(), a_task()) == []
    broken = Answers({k: v for k, v in answers.arrays.items() if k != "images-0-3"}, {"images-0-3": PROBLEM})
    assert [len(images) for images in measurements(broken, a_task())] == [6000]


def test_the_first_call_that_failed_is_named_unless_its_weights_were_random() -> None:
    assert interview.failed_generate(Answers()) is None
    assert interview.failed_generate(Answers({}, {"unit:generator_bce": PROBLEM, "random": PROBLEM, "smoke": PROBLEM})) is None
    assert interview.failed_generate(Answers({}, {"random": PROBLEM, "seven": PROBLEM, "images-0-0": PROBLEM})) == "seven"
    assert interview.failed_generate(Answers({}, {"images-1-2": PROBLEM})) == "images-1-2"


def trials(**changed: str) -> Answers:
    """Answers of an honest generator to the trials, with some replaced by the answer to another."""
    answers = answered(held(an_interview())[0])
    return Answers({**answers.arrays, **{name: answers.arrays[other] for name, other in changed.items()}})


def test_an_honest_generator_raises_no_flag() -> None:
    assert honesty(trials()) == (None, ())
    assert honesty(Answers()) == (None, ())


def test_the_same_images_for_two_seeds_are_a_problem() -> None:
    problem, flags = honesty(trials(other="twin-a"))
    assert problem is not None
    assert problem.code == "seed-ignored"
    assert problem.advice is not None
    assert flags == ()


def test_other_images_for_the_same_seed_are_flagged_without_holding() -> None:
    problem, (flag,) = honesty(trials(**{"twin-b": "other"}))
    assert problem is None
    assert (flag.code, flag.holds) == ("seed-mismatch", False)


def test_images_that_do_not_come_from_the_checkpoint_hold_the_score() -> None:
    problem, (flag,) = honesty(trials(random="twin-a"))
    assert problem is None
    assert (flag.code, flag.holds) == ("ignores-weights", True)


def test_one_pixel_makes_a_difference() -> None:
    answers = trials(other="twin-a")
    changed = answers.arrays["other"][0].copy()
    changed[-1, -1, -1] ^= 1
    assert honesty(Answers({**answers.arrays, "other": (changed,)}))[0] is None


@given(st.integers(1, 300))
def test_smoke_inputs_are_256_images_in_the_range_of_the_training_data_and_their_classes(count: int) -> None:
    samples = np.linspace(0, 255, count * 4).astype(np.uint8).reshape(count, 2, 2)
    labels = (np.arange(count) % 10).astype(np.uint8)
    images, classes = smoke_inputs(samples, labels)
    assert images.shape == (256, 1, 2, 2) and classes.shape == (256,)
    assert images.dtype == classes.dtype == np.float32
    assert images.min() >= -1 and images.max() <= 1
    pairs = {
        (image.tobytes(), int(c)) for image, c in zip(np.rint((images + 1) * 127.5).astype(np.uint8)[:, 0], classes, strict=True)
    }
    assert pairs <= {(image.tobytes(), int(c)) for image, c in zip(samples, labels, strict=True)}
    assert len(pairs) == len({(image.tobytes(), int(c)) for image, c in zip(samples[:256], labels[:256], strict=True)})


def test_the_smoke_run_is_told_in_words() -> None:
    weights = np.zeros(3, np.float32)
    assert smoke_advice(Answers()) is None
    assert "failed: ValueError: no" in (smoke_advice(Answers({}, {"smoke": PROBLEM})) or "")
    assert "unchanged" in (smoke_advice(Answers({"smoke": (weights, weights)})) or "")
    assert "ran and changed" in (smoke_advice(Answers({"smoke": (weights, weights + 1)})) or "")
    assert smoke_advice(Answers({"smoke": (weights,)})) is None


def test_the_unit_checks_of_the_spec_are_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="no unit check"):
        UnitCriterion(unit="nonsense", points=1)
