import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evaluator.neighbours import canonical, centred, fit, foreground, nearest

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


@pytest.mark.parametrize("n", [1, 199, 200, 201, 405])
def test_every_query_is_looked_up_whatever_their_number(n):
    codes = np.random.default_rng(n).integers(-127, 128, (n, 24)).astype(np.int8)
    squared, index = nearest(codes, codes)
    assert not squared.any()
    assert np.array_equal(codes[index], codes)


def test_centring_moves_the_centre_of_mass_to_the_middle():
    images = np.zeros((2, 28, 28))
    images[0, 5:9, 12:16] = 200
    images[1, 10:15, 9:12] = 77
    moved = centred(images)
    place = np.arange(28)
    assert moved.sum(axis=(1, 2)) == pytest.approx(images.sum(axis=(1, 2)))
    for image in moved:
        assert image.sum(axis=1) @ place / image.sum() == pytest.approx(13.5)
        assert image.sum(axis=0) @ place / image.sum() == pytest.approx(13.5)


def test_foreground_is_what_differs_from_the_edge_by_more_than_compression_makes():
    image = np.full((1, 28, 28), 100, np.uint8)
    image[0, 10, 10:14] = [131, 132, 133, 255]
    image[0, 11, 10:14] = [69, 68, 67, 0]
    found = foreground(image)
    assert found[0, 10, 10:14].tolist() == [0, 0, 1, 123]
    assert found[0, 11, 10:14].tolist() == [0, 0, 1, 68]
    assert found.sum() == 193


@pytest.mark.parametrize("grey", [0, 1, 128, 255])
def test_blank_images_stay_blank(grey):
    assert not canonical(np.full((1, 28, 28), grey, np.uint8)).any()


def lopsided():
    """A hook in grey levels from 60 up, far from the edge."""
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 6:20, 9:11] = 60 + 10 * np.arange(14)[:, None]
    image[0, 18:20, 9:18] = 220
    return image


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image[:, :, ::-1],
        lambda image: np.roll(image, (-2, 2), axis=(1, 2)),
        lambda image: np.roll(image[:, :, ::-1], (1, 2), axis=(1, 2)),
        lambda image: 255 - image,
        lambda image: image + np.uint8(35),
    ],
    ids=["mirrored", "moved", "mirrored and moved", "inverted", "on grey"],
)
def test_copies_have_the_same_canonical_form(change):
    expected = canonical(lopsided())
    assert np.square(expected).sum() == pytest.approx(1)
    assert canonical(change(lopsided())) == pytest.approx(expected, abs=1e-12)


def test_faint_traces_change_nothing():
    image = lopsided()
    traces = np.where(image == 0, np.random.default_rng(0).integers(0, 33, image.shape), image).astype(np.uint8)
    traces[0, [0, -1]] = traces[0, :, [0, -1]] = 0
    assert np.array_equal(canonical(traces), canonical(image))


def test_an_upside_down_image_is_another_one():
    assert np.square(canonical(lopsided()[:, ::-1]) - canonical(lopsided())).sum() > 0.5


def test_codes_have_the_leading_variances(shapes):
    projection = fit(shapes.x_train)
    flat = canonical(shapes.x_train).reshape(len(shapes.x_train), -1)
    coordinates = (flat - flat.mean(axis=0)) @ projection.axes
    assert coordinates.std(axis=0, ddof=1) == pytest.approx(np.full(24, 32.0))
    directions = projection.axes / np.linalg.norm(projection.axes, axis=0)
    kept = ((flat - flat.mean(axis=0)) @ directions).var(axis=0, ddof=1).sum()
    assert kept == pytest.approx(np.linalg.eigvalsh(np.cov(flat.T))[-24:].sum())


def test_decoding_projects_canonical_images_on_the_leading_components(shapes):
    projection = fit(shapes.x_train)
    images = shapes.x_test[:50]
    flat = canonical(images).reshape(50, -1)
    directions = projection.axes / np.linalg.norm(projection.axes, axis=0)
    projected = np.maximum(projection.mean + (flat - projection.mean) @ directions @ directions.T, 0)
    decoded = projection.decode(projection.encode(images), images.shape[1:]).reshape(50, -1) / 255
    white = projected.max(axis=1, keepdims=True)
    level = np.linalg.norm(1 / np.linalg.norm(projection.axes, axis=0))  # what one level in each component comes to
    off = np.abs(decoded - projected / white)
    assert (off < level / white).all()  # half a level of the pixel, half a level of the brightest
    assert decoded.max(axis=1).tolist() == [1] * 50


def test_an_image_of_the_leading_components_is_its_own_decoding(shapes):
    projection = fit(shapes.x_train)
    codes = np.zeros((2, 24), np.int8)
    codes[1, 3] = 40
    along = 40 * projection.axes[:, 3] / np.square(projection.axes[:, 3]).sum()
    for found, expected in zip(projection.decode(codes, (28, 28)), (projection.mean, projection.mean + along), strict=True):
        white = expected.max() / 255
        assert found.ravel() == pytest.approx(np.maximum(expected, 0) / white, abs=0.5)
