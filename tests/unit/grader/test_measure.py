import re

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluator.evaluate import evaluate
from evaluator.pack import Pack
from grader.errors import SpecError
from grader.measure import Scorer, expect_measurable, looked_at
from grader.models import CriterionResult, Metric, Status
from grader.spec import Task

Images = NDArray[np.uint8]
RUBRIC = ["fid2k_test_indomain", "confident2k_indomain", "class_kl2k_uniform_indomain", "duplicates2k_pixels"]
MEMORISED = "memorised2k_traintest_pixels"
REPEATS = "repeats2k_pixels"


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        (
            {"metric": "fid2k_test"},
            "no metric is called 'fid2k_test'; expected metric, number of images, reference and extractor",
        ),
        ({"metric": "fid2k_test_pixels"}, "no metric is called 'fid2k_test_pixels'"),
        ({"metric": "fid2k_test_inception"}, "no metric is called 'fid2k_test_inception'"),
        (
            {"metric": "kid2k_test_indomain"},
            "kid2k_test_indomain compares with features of a split's real images, which packs do not",
        ),
        ({"metric": "fid2k_uniform_indomain"}, "no metric is called 'fid2k_uniform_indomain'"),
        ({"metric": "fid10k_test_indomain"}, "fid10k_test_indomain takes 10000 images, but samples = 2000"),
        ({"samples": 3000}, "fid2k_test_indomain takes 2000 images, but samples = 3000"),
    ],
)
def test_a_rubric_that_cannot_be_measured_is_refused_before_anything_runs(
    vanilla: Task, changed: dict[str, object], found: str
) -> None:
    expect_measurable(vanilla)
    first, *rest = vanilla.criterion
    if "metric" in changed:
        changed = {"criterion": (first.model_copy(update=changed), *rest)}
    with pytest.raises(SpecError, match=re.escape(f"lab.toml: task vanilla: {found}")):
        expect_measurable(vanilla.model_copy(update=changed))


@pytest.fixture(scope="module")
def of_copies(scorer: Scorer, copies: Images) -> dict[str, Metric]:
    return scorer.measure(copies)


@pytest.fixture(scope="module")
def of_noise(scorer: Scorer, noise: Images) -> dict[str, Metric]:
    return scorer.measure(noise)


def test_measures_the_rubric_and_the_memorised_share(
    scorer: Scorer, of_copies: dict[str, Metric], copies: Images, pack: Pack
) -> None:
    metrics = of_copies
    assert list(metrics) == [*RUBRIC, MEMORISED, REPEATS] == [metric.name for metric in metrics.values()]
    assert looked_at(scorer.task) == (MEMORISED, REPEATS)
    for name, measured in evaluate(copies, pack, ["duplicates2k_pixels"]).items():
        found = metrics[name]
        assert (found.value, found.low, found.high, found.n) == (measured.value, measured.low, measured.high, measured.n)


def test_features_are_worked_out_once(scorer: Scorer, copies: Images) -> None:
    assert scorer.sample(copies) is scorer.sample(copies.copy())
    assert scorer.sample(copies) is not scorer.sample(copies[::-1])


def test_the_same_images_score_the_same_to_the_last_digit(
    of_copies: dict[str, Metric], copies: Images, vanilla: Task, pack: Pack
) -> None:
    assert Scorer(vanilla, pack).measure(copies.copy()) == of_copies


def test_copies_of_real_images_hold_the_score(scorer: Scorer, of_copies: dict[str, Metric]) -> None:
    assert of_copies[MEMORISED].value == 1
    flag, again = scorer.flags(of_copies, scorer.score(of_copies))
    assert (flag.code, flag.holds, again.code, again.holds) == ("memorisation", True, "repeats", True)
    assert flag.message.startswith("100.0% of the images")
    fid = scorer.score(of_copies)[0]
    assert fid.score == fid.points  # scored all the same


def test_noise_earns_nothing_for_certain(scorer: Scorer, of_noise: dict[str, Metric]) -> None:
    """It comes without repeats and reads as one digit, yet diversity and legibility count only where there is quality."""
    rows = scorer.score(of_noise)
    assert of_noise["duplicates2k_pixels"].value == 0
    assert [(row.score, row.low, row.high, row.status) for row in rows] == [(0, 0, 0, Status.GRADED)] * 4
    assert "counts only where" in rows[-1].message
    assert scorer.flags(of_noise, rows) == ()


def test_rows_show_what_real_images_score(scorer: Scorer, of_copies: dict[str, Metric], pack: Pack) -> None:
    rows = scorer.score(of_copies)
    assert [row.name for row in rows] == RUBRIC
    assert [row.floor for row in rows] == [pack.card.floor[name].value for name in RUBRIC]


def test_repeats_are_averaged(
    scorer: Scorer, copies: Images, noise: Images, of_copies: dict[str, Metric], of_noise: dict[str, Metric]
) -> None:
    for name, found in scorer.measure_all([copies, noise]).items():
        assert found.value == pytest.approx((of_copies[name].value + of_noise[name].value) / 2)


@pytest.mark.parametrize(("low", "holds"), [(0.003, False), (0.0031, True)])
def test_the_flag_needs_more_than_chance_allows(scorer: Scorer, low: float, holds: bool) -> None:
    none, found = (Metric(name="m", value=0.01, low=least, high=0.02, n=2000) for least in (0.0, low))
    rows = [CriterionResult(name="fid", kind="metric", title="FID", points=40, score=1, status=Status.GRADED)]
    assert [flag.code for flag in scorer.flags({MEMORISED: found, REPEATS: none}, rows)] == ["memorisation"] * holds
    assert [flag.code for flag in scorer.flags({MEMORISED: none, REPEATS: found}, rows)] == ["repeats"] * holds


def test_repeats_that_earn_nothing_are_no_matter(scorer: Scorer) -> None:
    none, all_alike = (Metric(name="m", value=1.0, low=low, high=1.0, n=2000) for low in (0.0, 0.99))
    rows = [CriterionResult(name="fid", kind="metric", title="FID", points=40, score=0, status=Status.GRADED)]
    assert scorer.flags({MEMORISED: none, REPEATS: all_alike}, rows) == ()


def test_shares_of_the_classes_add_up(scorer: Scorer, copies: Images, pack: Pack) -> None:
    shares = scorer.describe(copies).shares
    assert len(shares) == 10
    assert sum(shares) == pytest.approx(1)
    drawn = np.bincount(pack.sample_labels[np.random.default_rng(1).integers(0, len(pack.samples), 2000)], minlength=10) / 2000
    assert shares == pytest.approx(drawn, abs=0.01)  # the classifier reads real digits


@pytest.fixture(scope="module")
def conditional(vanilla: Task) -> Task:
    """The digits, asked for one by one."""
    agreement = vanilla.metrics[0].model_copy(update={"metric": "class_agreement2k_indomain", "full": 1.0, "zero": 0.1})
    return vanilla.model_copy(update={"conditional": True, "criterion": (agreement,)})


def in_turn(pack: Pack, classes: Images, seed: int = 0) -> Images:
    """2,000 real images, of the given classes in turn."""
    rng = np.random.default_rng(seed)
    wanted = classes[np.arange(2000) % len(classes)]
    return pack.samples[[rng.choice(np.flatnonzero(pack.sample_labels == c)) for c in wanted]]


def test_a_conditional_task_is_measured_by_the_classes_asked_for(conditional: Task, pack: Pack) -> None:
    scorer = Scorer(conditional, pack)
    asked = in_turn(pack, np.arange(10, dtype=np.uint8))
    turned = in_turn(pack, np.roll(np.arange(10, dtype=np.uint8), -1))
    assert scorer.measure(asked)["class_agreement2k_indomain"].value > 0.99
    assert scorer.measure(turned)["class_agreement2k_indomain"].value < 0.01
    confusion = scorer.describe(turned).confusion
    assert confusion is not None
    assert confusion.sum() == 2000
    assert [int(np.argmax(line)) for line in confusion] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


def test_agreement_with_a_class_needs_a_conditional_task(conditional: Task) -> None:
    expect_measurable(conditional)
    with pytest.raises(SpecError, match="needs conditional = true"):
        expect_measurable(conditional.model_copy(update={"conditional": False}))
