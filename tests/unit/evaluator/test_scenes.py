import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.scenes import SIDE, backdrop, canonical, enlarged

U = np.linspace(-1, 1, 64)
SMOOTH = 120 + 25 * U[None, :] + 10 * U[:, None] - 15 * U[:, None] ** 2  # brighter on the right


def picture(*things):
    """Squares (row, column, colour) of 12 pixels on the smooth backdrop."""
    image = np.repeat(SMOOTH[None], 3, axis=0)
    for row, column, colour in things:
        image[:, row : row + 12, column : column + 12] = np.reshape(colour, (3, 1, 1))
    return np.rint(image).astype(np.uint8)


PICTURE = picture((30, 20, (200, 30, 30)), (22, 38, (30, 30, 200)))
OTHER = picture((30, 20, (200, 30, 30)), (22, 38, (30, 200, 30)))


def form(image):
    return canonical(image[None])[0]


def distance(a, b):
    return np.sqrt(np.square(form(a) - form(b)).sum())


APART = distance(PICTURE, OTHER)


def test_forms_have_one_size_whatever_the_pictures():
    assert canonical(np.zeros((2, 3, 64, 64), np.uint8)).shape == (2, 3, SIDE, SIDE)
    assert canonical(np.zeros((2, 3, 32, 32), np.uint8)).shape == (2, 3, SIDE, SIDE)


def test_the_backdrop_is_found_behind_things():
    found = backdrop(PICTURE[None].astype(np.float32))[0]
    plain = backdrop(np.repeat(SMOOTH[None], 3, axis=0)[None].astype(np.float32))[0]
    assert np.abs(plain - SMOOTH).max() < 0.01
    error, things = np.abs(found - SMOOTH), np.abs(PICTURE - SMOOTH)
    assert error.mean() < 3
    assert things[things > 12].mean() > 50


def padded(image, down, right):
    wide = np.pad(image, ((0, 0), (4, 4), (4, 4)), mode="edge")
    return wide[:, 4 - down : 68 - down, 4 - right : 68 - right]


@pytest.mark.parametrize(
    "spoilt",
    [
        PICTURE[:, :, ::-1],
        padded(PICTURE, 0, 1),
        padded(PICTURE, 2, -1),
        PICTURE + np.uint8(20),
        np.rint(PICTURE * 0.8).astype(np.uint8),
        np.clip(PICTURE + np.random.default_rng(0).normal(0, 5, PICTURE.shape), 0, 255).astype(np.uint8),
    ],
    ids=["mirrored", "moved by 1", "moved by 2 and 1", "brighter", "darker", "noisy"],
)
def test_copies_keep_the_form_that_another_colour_changes(spoilt):
    assert distance(PICTURE, spoilt) < APART / 3


@given(st.integers(0, 255))
def test_a_plain_picture_has_a_form_of_nothing(grey):
    assert np.abs(form(np.full((3, 64, 64), grey, np.uint8))).max() < 1e-3


def test_forms_do_not_depend_on_the_pictures_around_them():
    others = np.random.default_rng(0).integers(0, 256, (700, 3, 64, 64)).astype(np.uint8)
    others[600] = PICTURE
    assert canonical(others)[600] == pytest.approx(form(PICTURE), abs=1e-4)


def test_enlarged_forms_are_pictures_of_what_they_show():
    seen = enlarged(canonical(PICTURE[None]), 64)
    assert (seen.shape, seen.dtype) == ((1, 3, 64, 64), np.uint8)
    assert (seen.min(), seen.max()) == (0, 255)
    shown = form(PICTURE)
    assert np.corrcoef(seen[0, :, 10:-8:4, 10:-8:4].ravel(), shown.ravel())[0, 1] > 0.999
