"""A pack of pictures with several labels each, around a network that is trained for a moment."""

import hashlib
import tomllib
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from evaluator.errors import LabelsError, PackError
from evaluator.evaluate import evaluate
from evaluator.extractors.network import extract, probabilities
from evaluator.extractors.resnet import Architecture, ResNet
from evaluator.metrics.memorisation import held_out
from evaluator.metrics.multilabel import topk_accuracy
from evaluator.pack import CARD, PUBLIC, WEIGHTS, Pack, public_pack, sealed
from evaluator.packs.build import build
from evaluator.packs.recipes import RECIPES

COLOURS = np.array([(220, 30, 30), (30, 200, 30), (40, 40, 230), (230, 220, 40)])


@dataclass(frozen=True)
class Squares:
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def draw(n, random):
    """Scenes of two pictures: a square of one colour at random, then a second one of another."""
    images, labels = np.empty((n, 3, 32, 32), np.uint8), np.zeros((n, 4), np.uint8)
    for i in range(0, n, 2):
        scene = (
            110 + random.uniform(-15, 15) + random.uniform(5, 25) * np.linspace(-1, 1, 32)[None, None, :] + np.zeros((3, 32, 1))
        )
        for k, colour in enumerate(random.choice(4, 2, replace=False)):
            row, column = random.integers(3, 21, 2)
            scene[:, row : row + 8, column : column + 8] = COLOURS[colour][:, None, None] * random.uniform(0.8, 1)
            images[i + k] = np.rint(scene)
            labels[i : i + 2, colour] = 1 if k == 0 else labels[i : i + 2, colour]
            labels[i + 1, colour] = 1
    return images, labels


RECIPE = replace(
    RECIPES["iclevr"],
    network=partial(ResNet, Architecture((8, 8, 16, 16), classes=4, kernel=3, strongest=True)),
    epochs=2,
    together=2,
)


@pytest.fixture(scope="module")
def squares():
    random = np.random.default_rng(3)
    return Squares(*draw(4_200, random), *draw(2_100, random))


@pytest.fixture(scope="module")
def folder(squares, tmp_path_factory):
    torch.set_num_threads(1)
    target = tmp_path_factory.mktemp("packs") / "squares"
    build("squares", squares, target, seed=1, public=True, recipe=RECIPE)
    return target


@pytest.fixture(scope="module")
def pack(folder):
    return Pack.load(folder)


def test_it_says_that_images_have_several_labels(pack):
    assert pack.multi_label
    assert pack.classes == 4
    assert pack.test_by_class == ()
    assert pack.labels.shape == (6_300, 4)


def test_the_card_holds_the_accuracy_of_the_rounded_weights_by_the_rule_of_courses(pack, squares, folder):
    _, scores = extract(pack.classifier, squares.x_test)
    seen = probabilities(scores, multi_label=True)
    assert seen == pytest.approx(1 / (1 + np.exp(-scores)))
    assert pack.card.classifier_accuracy == topk_accuracy(seen, squares.y_test, "").value > 0.9
    by_label = ((seen > 0.5) == (squares.y_test > 0)).mean(axis=0)
    assert pack.card.label_accuracy == pytest.approx(by_label, abs=1e-5)
    assert tomllib.loads((folder / CARD).read_text())["format"] == 4


def test_convolutions_are_kept_in_bytes(pack):
    assert pack.classifier_weights["layer1.0.conv1.weight"].dtype == np.int8


def test_samples_are_whole_scenes_of_the_test_set_without_loss(pack, squares):
    assert np.array_equal(pack.samples, squares.x_test[: len(pack.samples)])
    assert np.array_equal(pack.sample_labels, squares.y_test[: len(pack.samples)])
    assert len(pack.samples) >= 100


def test_limits_are_calibrated_by_the_number_of_labels_with_scenes_held_out_whole(pack):
    apart, rows = held_out(pack.codes, together=2)
    shown = pack.labels[rows].sum(axis=1)
    for k in (1, 2):
        limit = np.quantile(apart[shown == k], 0.001)
        assert pack.card.thresholds.memorised[k - 1] == pytest.approx(limit)
        assert pack.copy_limits(rows[shown == k]) == pytest.approx(np.full(np.count_nonzero(shown == k), limit))
    assert pack.repeat_limit == min(pack.card.thresholds.memorised)


def test_the_floor_is_that_of_real_images_in_the_names_that_labs_use(pack):
    floor = pack.card.floor
    assert floor.keys() == {
        "fid4096_test_indomain",
        "memorised4096_traintest_pixels",
        "duplicates4096_pixels",
        *(f"{m}2048_{p}_indomain" for m in ("topk_accuracy", "exact_match", "extra_labels") for p in ("test", "new-test")),
    }
    assert floor["topk_accuracy2048_test_indomain"].value == pytest.approx(pack.card.classifier_accuracy, abs=0.01)
    assert floor["memorised4096_traintest_pixels"].value < 0.003


def test_copies_are_found_and_new_pictures_are_not(pack, squares):
    images, _ = draw(2_000, np.random.default_rng(9))
    assert evaluate(images, pack, ["memorised"])["memorised2k_traintest_pixels"].value < 0.005
    images[:200] = squares.x_train[:200, :, :, ::-1]
    found = evaluate(images, pack, ["memorised"])["memorised2k_traintest_pixels"]
    assert found.value > 0.08


def test_metrics_of_one_class_an_image_are_refused(pack, squares):
    with pytest.raises(LabelsError, match="several labels"):
        evaluate(squares.x_test, pack, ["class_kl"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": np.zeros((4_200, 4), np.uint8)}, "training labels of squares: expected rows of 0 and 1"),
        ({"y_test": np.full((2_100, 4), 2, np.uint8)}, "test labels of squares: expected rows of 0 and 1"),
        ({"y_test": np.ones((7, 4), np.uint8)}, r"test labels of squares: uint8 \(7, 4\), expected"),
        ({"x_test": np.zeros((2_100, 4, 32, 32), np.uint8)}, "test images of squares: images have shape"),
    ],
)
def test_unfit_data_are_refused(squares, tmp_path, change, message):
    with pytest.raises(PackError, match=message):
        build("squares", replace(squares, **change), tmp_path / "p", seed=0, public=True, recipe=RECIPE)


def test_damaged_samples_are_said(folder, tmp_path):
    tensors = load((folder / WEIGHTS).read_bytes())
    tensors["samples"] = tensors["samples"][:100]
    weights = save(tensors)
    text = (folder / CARD).read_text().split("\n", 1)[1]
    card = Pack.load(folder).card
    (tmp_path / CARD).write_text(sealed(text.replace(card.weights_sha256, hashlib.sha256(weights).hexdigest())))
    (tmp_path / WEIGHTS).write_bytes(weights)
    with pytest.raises(PackError, match=r"samples: .*build it again"):
        Pack.load(tmp_path)


def test_packs_of_the_format_before_load(tmp_path):
    """They keep codes, labels and samples as they are."""
    now = public_pack("mnist")
    tensors = load((PUBLIC / "mnist" / WEIGHTS).read_bytes())
    plain = {"codes": now.codes, "labels": now.labels, "samples": now.samples}
    weights = save(
        {name: array for name, array in tensors.items() if not name.startswith(("codes", "labels", "samples"))} | plain
    )
    card = (PUBLIC / "mnist" / CARD).read_text().split("\n", 1)[1].replace("format = 4", "format = 3")
    (tmp_path / CARD).write_text(sealed(card.replace(now.card.weights_sha256, hashlib.sha256(weights).hexdigest())))
    (tmp_path / WEIGHTS).write_bytes(weights)
    before = Pack.load(tmp_path)
    for name in ("codes", "labels", "samples", "sample_labels"):
        assert np.array_equal(getattr(before, name), getattr(now, name))
        assert getattr(before, name).dtype == getattr(now, name).dtype
    images = now.samples[:200]
    assert evaluate(images, before, ["fid", "memorised"]) == evaluate(images, now, ["fid", "memorised"])


def test_compressed_arrays_make_packs_small():
    assert sum((PUBLIC / "iclevr" / name).stat().st_size for name in (CARD, WEIGHTS)) < 2_900_000
