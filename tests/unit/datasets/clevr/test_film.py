import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasets.clevr import film


def srgb(linear):
    """IEC 61966-2-1 in floating point."""
    linear = np.asarray(linear, np.float64)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def test_bytes_are_the_srgb_of_linear_light_rounded_to_the_nearest():
    light = np.linspace(0, 1, 100_001).astype(np.float32)
    exact = 255 * srgb(light)
    assert np.abs(film.encode(light) - exact).max() < 0.5 + 1e-3


@pytest.mark.parametrize(("light", "byte"), [(0, 0), (1, 255), (1.5, 255), (1e6, 255), (0.2158605, 128)])
def test_black_is_0_white_255_and_whatever_is_brighter_white_too(light, byte):
    assert film.encode(np.float32([light]))[0] == byte


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_pictures_are_reduced_as_pillow_reduces_them(height, width, seed):
    samples = np.random.default_rng(seed).integers(0, 256, (2 * height, 2 * width, 3)).astype(np.uint8)
    pillows = np.asarray(Image.fromarray(samples).resize((width, height), Image.Resampling.BILINEAR)).astype(int)
    inside = (slice(1, -1), slice(1, -1))  # at the border Pillow leaves out what lies beyond, where we repeat the last sample
    assert np.abs(film.reduce(samples)[inside].astype(int) - pillows[inside]).max(initial=0) <= 1


@given(st.integers(0, 255))
def test_a_plain_picture_stays_as_it_is(byte):
    assert (film.reduce(np.full((6, 4, 3), byte, np.uint8)) == byte).all()
