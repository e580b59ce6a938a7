import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evaluator.interval import wilson
from evaluator.measurement import Measurement
from evaluator.metrics.memorisation import flagged, memorised
from evaluator.neighbours import centred, fit, nearest

CODES = hnp.arrays(np.int8, st.tuples(st.integers(1, 70), st.just(24)))


@given(CODES, CODES)
def test_nearest_is_the_brute_force_neighbour(queries, real):
    squared, index = nearest(queries, real)
    every = np.square(queries[:, None].astype(int) - real[None].astype(int)).sum(axis=2)
    assert np.array_equal(squared, every.min(axis=1))
    assert np.array_equal(index, every.argmin(axis=1))


def test_distances_are_exact_at_the_largest_codes():
    low, high = np.full((1, 24), -127, np.int8), np.full((3, 24), 127, np.int8)
    assert nearest(low, high)[0].tolist() == [24 * 254**2]
    assert nearest(high, high)[0].tolist() == [0, 0, 0]


def test_centring_moves_the_centre_of_mass_to_the_middle():
    images = np.zeros((2, 28, 28), np.uint8)
    images[0, 5:9, 12:16] = 200
    images[1, 10:15, 9:12] = 77
    moved = centred(images)
    place = np.arange(28)
    assert moved.sum(axis=(1, 2)) == pytest.approx(images.sum(axis=(1, 2)))
    for image in moved:
        assert image.sum(axis=1) @ place / image.sum() == pytest.approx(13.5)
        assert image.sum(axis=0) @ place / image.sum() == pytest.approx(13.5)


def test_black_image_stays_black():
    assert not centred(np.zeros((1, 28, 28), np.uint8)).any()


def test_codes_have_the_leading_variances(shapes):
    projection = fit(shapes.x_train)
    flat = centred(shapes.x_train).reshape(len(shapes.x_train), -1)
    coordinates = (flat - flat.mean(axis=0)) @ projection.axes
    assert coordinates.std(axis=0, ddof=1) == pytest.approx(np.full(24, 32.0))
    directions = projection.axes / np.linalg.norm(projection.axes, axis=0)
    kept = ((flat - flat.mean(axis=0)) @ directions).var(axis=0, ddof=1).sum()
    assert kept == pytest.approx(np.linalg.eigvalsh(np.cov(flat.T))[-24:].sum())


def test_decoding_is_the_least_squares_inverse_of_the_projection_with_a_white_pixel(shapes):
    projection = fit(shapes.x_train)
    codes = projection.encode(shapes.x_test[:50])
    wanted = np.maximum(projection.mean + codes @ np.linalg.pinv(projection.axes), 0)
    wanted *= 255 / wanted.max(axis=1, keepdims=True)
    assert projection.decode(codes).reshape(50, -1) == pytest.approx(wanted, abs=0.51)


def test_share_and_threshold_of_memorised():
    found = memorised(np.array([0, 3, 4, 5]), 4.0, "m")
    assert found.value == 0.5
    assert (found.low, found.high) == wilson(2, 4)


@pytest.mark.parametrize(("copies", "flag"), [(2, False), (10, False), (11, True), (100, True)])
def test_flag_needs_eleven_copies_in_two_thousand(copies, flag):
    low, high = wilson(copies, 2_000)
    assert flagged(Measurement("m", copies / 2_000, low, high, 2_000)) is flag


def spoil(images, how):
    return np.roll(images, 1, axis=1) if how == "one pixel down" else images


@pytest.mark.parametrize("how", ["plain", "one pixel down"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_one_in_twenty_copied_is_flagged(pack, shapes, fresh, split, how):
    from evaluator.evaluate import measure
    from evaluator.sample import Sample

    random = np.random.default_rng(0)
    real = shapes.x_train if split == "train" else shapes.x_test
    images = fresh.copy()
    images[:100] = spoil(real[random.choice(len(real), 100, replace=False)], how)
    sample = Sample.of(images, pack)
    found = measure(sample, ["memorised"])["memorised2k_traintest_pixels"]
    assert found.value >= 0.045
    assert flagged(found)


def test_fresh_images_are_not_flagged(pack, fresh):
    from evaluator.evaluate import evaluate

    assert not flagged(evaluate(fresh, pack, ["memorised2k_traintest_pixels"])["memorised2k_traintest_pixels"])


def test_black_images_and_noise_are_not_copies(pack):
    from evaluator.evaluate import evaluate

    noise = np.random.default_rng(0).integers(0, 256, (2_000, 28, 28)).astype(np.uint8)
    for images in (noise, np.zeros_like(noise)):
        assert evaluate(images, pack, ["memorised2k_traintest_pixels"])["memorised2k_traintest_pixels"].value == 0
