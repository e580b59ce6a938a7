"""Hostile case 61: images that are noise to everybody but the public classifier, whose weights students have.

Needs MNIST, which it fetches; the private pack is a small one, of fewer images and a shorter training than `grader init` takes.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from students.cheats import tuned

from datasets import mnist
from datasets.errors import DatasetError
from datasets.family import Images
from evaluator.pack import Pack, public_pack
from evaluator.packs.build import build
from evaluator.packs.recipes import recipe_of
from grader.measure import Scorer
from grader.spec import load_spec

LAB8 = Path(__file__).parents[2] / "labs" / "lab8" / "lab.toml"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Images:
    root = tmp_path_factory.mktemp("data")
    try:
        mnist.get(root, progress=False)
    except DatasetError as error:
        pytest.skip(f"MNIST cannot be fetched here: {error}")
    return mnist.load(root)


@pytest.fixture(scope="module")
def private(data: Images, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """A pack of the same data set whose classifier nobody has seen."""
    part = replace(
        data, x_train=data.x_train[:12_000], y_train=data.y_train[:12_000], x_test=data.x_test[:4_000], y_test=data.y_test[:4_000]
    )
    recipe = replace(recipe_of("mnist"), epochs=1)
    return build("mnist", part, tmp_path_factory.mktemp("pack") / "mnist", seed=20_26, public=False, recipe=recipe)


@pytest.mark.slow
def test_images_tuned_against_the_public_classifier_are_worth_nothing_by_a_private_one(
    data: Images, private: Pack, record_property: Callable[[str, object], None]
) -> None:
    public = public_pack("mnist")
    real = data.x_train[30_000:32_000]
    images = tuned(public.classifier, real)
    found = {
        (pack.card.public, what): _points(pack, these)
        for pack in (public, private)
        for what, these in (("tuned", images), ("real", real))
    }
    for name, points in found.items():
        record_property(str(name), points)
    assert found[True, "real"] == found[False, "real"] == 75  # both packs know digits when they see them
    assert found[True, "tuned"] > 35  # the attack works: a private pack is needed, and is what a course gets by default
    assert found[False, "tuned"] == 0


def _points(pack: Pack, images: NDArray[np.uint8]) -> float:
    """What lab 8's first task gives for the images themselves."""
    scorer = Scorer(load_spec(LAB8).task[0], pack)
    return sum(row.score or 0.0 for row in scorer.score(scorer.measure(images)))
