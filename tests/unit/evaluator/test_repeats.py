import numpy as np
import pytest

from evaluator.evaluate import evaluate
from evaluator.interval import wilson
from evaluator.metrics.memorisation import flagged
from evaluator.metrics.repeats import repeats


def test_share_of_those_with_one_near_and_its_interval():
    codes = np.array([[0, 0], [3, 0], [50, 50], [90, 90], [91, 90]], np.int8)
    found = repeats(codes, 2.0, "r")
    assert (found.name, found.value, found.n) == ("r", 0.4, 5)
    assert (found.low, found.high) == wilson(1, 2.5)
    assert repeats(codes, 9.0, "r").value == 0.4  # at the threshold is not below it
    assert repeats(codes, 9.1, "r").value == 0.8


def table(images, size, random):
    """What a generator draws that picks from so many stored images."""
    return images[:size][random.integers(0, size, 2_000)]


@pytest.mark.parametrize("how", ["plain", "mirrored, brighter"])
def test_a_table_is_told_from_a_generator(pack, shapes, fresh, how):
    random = np.random.default_rng(2)
    drawn = table(shapes.x_train, 3_000, random)
    if how != "plain":
        some = random.random(2_000) < 0.5
        drawn[some] = (drawn[some, :, ::-1] * 0.8).astype(np.uint8)
    found = evaluate(drawn, pack, ["repeats", "duplicates"])
    assert flagged(found["repeats2k_pixels"])
    # 2,000 of 3,000 with replacement: an image is alone with probability (1 − 1/3000)^1999 = 0.51
    assert found["repeats2k_pixels"].value == pytest.approx(0.487, abs=0.05)
    assert not flagged(evaluate(fresh, pack, ["repeats"])["repeats2k_pixels"])
