import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats

from evaluator.evaluate import evaluate
from evaluator.interval import wilson
from evaluator.measurement import Measurement
from evaluator.metrics.memorisation import flagged, held_out, memorised
from evaluator.neighbours import nearest
from evaluator.pack import public_pack

NAME = "memorised2k_traintest_pixels"
NEEDED = 11
"""Copies in 2,000 images that raise the flag."""


def test_share_and_threshold_of_memorised():
    found = memorised(np.array([True, True, False, False]), "m")
    assert found.value == 0.5
    assert (found.low, found.high) == wilson(2, 4)


@pytest.mark.parametrize(
    ("copies", "n", "flag"),
    [(2, 2_000, False), (10, 2_000, False), (11, 2_000, True), (100, 2_000, True), (40, 10_000, False), (41, 10_000, True)],
)
def test_flag_needs_eleven_copies_in_two_thousand(copies, n, flag):
    low, high = wilson(copies, n)
    assert flagged(Measurement("m", copies / n, low, high, n)) is flag


def test_chance_flags_as_seldom_as_the_docstring_says():
    assert 1 / stats.binom.sf(NEEDED - 1, 2_000, 0.001) == pytest.approx(120_000, rel=0.05)
    assert stats.binom.sf(41 - 1, 10_000, 0.001) < 1e-12


def test_images_are_held_out_by_every_tenth():
    codes = np.random.default_rng(0).integers(-9, 10, (203, 24)).astype(np.int8)
    codes[10], codes[6], codes[7] = codes[0], codes[5], codes[5]
    found, index = held_out(codes)
    for i, code in enumerate(codes.astype(int)):
        others = [j for j in range(len(codes)) if j % 10 != i % 10]
        assert found[i] == np.square(codes[others] - code).sum(axis=1).min()
    assert np.array_equal(found, np.square(codes.astype(int) - codes[index]).sum(axis=1))
    assert found[0] > 0  # its copy is of the same tenth
    assert found[[5, 6, 7]].tolist() == [0, 0, 0]


def test_images_that_belong_together_are_held_out_together():
    codes = np.random.default_rng(0).integers(-9, 10, (60, 24)).astype(np.int8)
    codes[1], codes[2], codes[33] = codes[0], codes[0], codes[30]
    found, index = held_out(codes, together=3)
    assert found[[0, 1, 2]].min() > 0
    assert all((i // 3 - j // 3) % 10 for i, j in enumerate(index))
    assert (index[30], index[33]) == (33, 30)


SPOILT = {
    "plain": lambda images: images,
    "mirrored": lambda images: images[:, :, ::-1],
    "one pixel down": lambda images: np.roll(images, 1, axis=1),
    "darker": lambda images: np.rint(images * 0.8).astype(np.uint8),
    "inverted": lambda images: 255 - images,
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("split", ["train", "test"])
def test_one_in_twenty_copied_is_flagged(pack, shapes, fresh, split, how):
    random = np.random.default_rng(0)
    real = shapes.x_train if split == "train" else shapes.x_test
    images = fresh.copy()
    images[:100] = SPOILT[how](real[random.choice(len(real), 100, replace=False)])
    found = evaluate(images, pack, ["memorised"])[NAME]
    assert found.value >= 0.045
    assert flagged(found)


def test_fresh_images_are_not_flagged(pack, fresh):
    assert not flagged(evaluate(fresh, pack, ["memorised"])[NAME])


def test_black_images_and_noise_are_not_copies(pack):
    noise = np.random.default_rng(0).integers(0, 256, (2_000, 28, 28)).astype(np.uint8)
    for images in (noise, np.zeros_like(noise)):
        assert evaluate(images, pack, ["memorised"])[NAME].value == 0


def jpeg(images, quality):
    def once(image):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return np.stack([once(image) for image in images])


def moved(images, down, right):
    """Shifted, with what leaves the frame lost."""
    return ndimage.shift(images, (0, down, right), order=0)


def bytes_of(images):
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


DISGUISES = {
    "plain": lambda images: images,
    "mirrored": lambda images: images[:, :, ::-1],
    "moved by 1": lambda images: moved(images, 0, 1),
    "moved by 2": lambda images: moved(images, -2, 0),
    "JPEG 75": lambda images: jpeg(images, 75),
    "JPEG 50": lambda images: jpeg(images, 50),
    "mirrored, moved by 1, JPEG 75": lambda images: jpeg(moved(images[:, :, ::-1], 1, 0), 75),
    "noisy": lambda images: bytes_of(images + np.random.default_rng(0).normal(0, 8, images.shape)),
    "darker": lambda images: bytes_of(images * 0.8),
    "brighter": lambda images: bytes_of(images.astype(float) + 20),
    "inverted": lambda images: 255 - images,
}


@pytest.mark.parametrize("how", DISGUISES)
@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_disguised_copies_of_five_in_a_hundred_are_caught_99_times_in_100(dataset, how, record_property):
    pack = public_pack(dataset)
    squared, rows = nearest(pack.projection.encode(DISGUISES[how](pack.samples)), pack.codes)
    recognised = (squared < pack.copy_limits(rows)).mean()
    record_property("share recognised", recognised)
    copies, chance = stats.binom.pmf(np.arange(101), 100, recognised), stats.binom.pmf(np.arange(101), 1_900, 0.001)
    assert np.convolve(copies, chance)[NEEDED:].sum() > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_real_images_of_either_split_are_flagged_less_than_once_in_a_thousand(dataset, record_property):
    pack = public_pack(dataset)
    apart, nearest_one = held_out(pack.codes)
    close = apart < pack.copy_limits(nearest_one)
    train = pack.card.train_images
    for split in (close, close[:train], close[train:]):
        assert stats.binom.sf(NEEDED - 1, 2_000, split.mean()) < 0.001
    random = np.random.default_rng(0)
    found = [memorised(random.choice(close, 2_000, replace=False), NAME) for _ in range(10_000)]
    alarms = sum(map(flagged, found))
    record_property("false alarms in 10,000", alarms)
    assert alarms <= 3  # expected 0.1; the target is 10
