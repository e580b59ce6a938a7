import numpy as np
import pytest

from evaluator.errors import CountError, UnknownMetricError
from evaluator.prompts import Prompts

TEST = np.array([[1, 0, 0], [0, 1, 1]], np.uint8)
NEW = np.array([[0, 0, 1], [1, 1, 0], [1, 0, 1]], np.uint8)
PROMPTS = Prompts({"test": TEST, "new-test": NEW})


def test_prompts_take_turns_the_first_set_first():
    assert PROMPTS.count == 5
    assert np.array_equal(PROMPTS.labels(7), np.concatenate([TEST, NEW, TEST]))
    assert PROMPTS.clusters(np.arange(7)).tolist() == [0, 1, 2, 3, 4, 0, 1]


def test_rows_are_the_first_images_of_a_set():
    assert PROMPTS.rows("test", 4, of=20).tolist() == [0, 1, 5, 6]
    assert PROMPTS.rows("new-test", 3, of=20).tolist() == [2, 3, 4]
    assert np.array_equal(PROMPTS.labels(20)[PROMPTS.rows("new-test", 12, of=20)], np.tile(NEW, (4, 1)))


@pytest.mark.parametrize("n", [0, 2, 4, 15])
def test_only_as_many_of_each_prompt_are_taken_and_no_more_than_there_are(n):
    with pytest.raises(
        CountError, match=rf"{n} images of the prompts new-test: expected a multiple of their number, 3, up to 12"
    ):
        PROMPTS.rows("new-test", n, of=20)


def test_a_set_that_is_not_there_is_named():
    with pytest.raises(UnknownMetricError, match="'new'; there are test, new-test"):
        PROMPTS.rows("new", 3, of=20)
