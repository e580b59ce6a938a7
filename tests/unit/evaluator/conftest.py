"""A data set of drawn shapes and its pack, built in seconds: ten classes, easy to tell apart."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from evaluator.packs.build import build
from evaluator.packs.recipes import RECIPES

ONE_EPOCH = replace(RECIPES["mnist"], epochs=1)


@dataclass(frozen=True)
class Shapes:
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def draw(n, random):
    """Bars, one position and direction a class, of random size, brightness and place, textured."""
    labels = random.integers(0, 10, n).astype(np.uint8)
    images = np.zeros((n, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        at, long, thick = 4 + 4 * (label % 5), random.integers(12, 20), random.integers(2, 4)
        start, jitter, grey = random.integers(2, 7), random.integers(-1, 2), random.integers(100, 226)
        target = image if label < 5 else image.T
        texture = random.integers(-30, 31, (thick, long))
        target[at + jitter : at + jitter + thick, start : start + long] = grey + texture
    return images, labels


@pytest.fixture(scope="session")
def shapes():
    random = np.random.default_rng(5)
    x_train, y_train = draw(3_000, random)
    x_test, y_test = draw(2_200, random)
    return Shapes(x_train, y_train, x_test, y_test)


@pytest.fixture(scope="session")
def pack_folder(shapes, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("packs") / "shapes"
    build("shapes", shapes, folder, seed=1, public=True, recipe=ONE_EPOCH)
    return folder


@pytest.fixture(scope="session")
def pack(pack_folder):
    from evaluator.pack import Pack

    return Pack.load(pack_folder)


@pytest.fixture(scope="session")
def fresh():
    """2,000 shapes that are in neither split."""
    images, _ = draw(2_000, np.random.default_rng(99))
    return images
