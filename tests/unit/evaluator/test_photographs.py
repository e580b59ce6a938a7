"""The form of photographs in which copies agree."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evaluator.neighbours import fit
from evaluator.photographs import SIDE, canonical


def photograph(seed):
    """Soft patches of colour, brighter to one side, as photographs of 32 pixels have."""
    random = np.random.default_rng(seed)
    coarse = random.integers(40, 216, (3, 4, 4)).astype(np.uint8)
    image = [np.asarray(Image.fromarray(channel).resize((32, 32), Image.Resampling.BICUBIC)) for channel in coarse]
    return np.stack(image)


PICTURE, OTHER = photograph(0), photograph(1)


def distance(a, b):
    forms = canonical(np.stack([a, b]))
    return np.sqrt(np.square(forms[0] - forms[1]).sum())


def jpeg(image):
    buffer = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(buffer, "JPEG", quality=50)
    return np.asarray(Image.open(buffer)).transpose(2, 0, 1)


@pytest.mark.parametrize("side", [32, 64])
def test_forms_have_one_size_whatever_the_pictures(side):
    assert canonical(np.zeros((2, 3, side, side), np.uint8)).shape == (2, 3, SIDE, SIDE)


@pytest.mark.parametrize(
    "spoilt",
    [
        PICTURE[:, :, ::-1],
        np.rint(PICTURE * 0.8 + 20).astype(np.uint8),
        np.clip(PICTURE + np.random.default_rng(0).normal(0, 5, PICTURE.shape), 0, 255).astype(np.uint8),
        jpeg(PICTURE),
    ],
    ids=["mirrored", "paler", "noisy", "compressed"],
)
def test_copies_keep_the_form_that_another_photograph_lacks(spoilt):
    assert distance(PICTURE, spoilt) < distance(PICTURE, OTHER) / 8


@given(st.integers(0, 2**32 - 1))
def test_a_mirror_image_has_the_same_form(seed):
    image = photograph(seed)
    assert distance(image, image[:, :, ::-1]) == pytest.approx(0, abs=1e-4)


def test_a_plain_picture_has_a_form_of_zeros():
    assert not canonical(np.full((1, 3, 32, 32), 90, np.uint8)).any()


def test_forms_do_not_depend_on_how_many_there_are():
    many = np.stack([photograph(seed) for seed in range(600)])
    assert np.array_equal(canonical(many)[517], canonical(many[517:518])[0])


def test_a_projection_of_photographs_reads_them_as_such_and_shows_them():
    images = np.stack([photograph(seed) for seed in range(200)])
    projection = fit(images, of_photographs=True)
    assert projection.of_photographs and not fit(images).of_photographs
    flat = canonical(images).reshape(200, -1)
    expected = np.clip(np.rint((flat - flat.mean(0)) @ projection.axes), -127, 127)
    assert np.array_equal(projection.encode(images), expected)
    assert projection.decode(projection.encode(images[:3]), (3, 32, 32)).shape == (3, 3, 32, 32)
