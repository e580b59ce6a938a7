import io

import numpy as np
import pytest
from PIL import Image

from evaluator.errors import ImagesError, LabelsError
from evaluator.pictures.grids import beside, class_grid, grid


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def flat(greys: list[int], shape: tuple[int, ...] = (4, 4)) -> np.ndarray:
    """An image of one grey level for each."""
    return np.stack([np.full(shape, grey, np.uint8) for grey in greys])


@pytest.mark.parametrize("shape", [(7, 5, 4), (7, 3, 5, 4)])
def test_every_pixel_of_a_grid_is_where_it_belongs(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    pixels = decoded(grid(images, columns=3, scale=2, gap=1))
    assert pixels.shape[:2] == (2 * (3 * 5 + 2), 2 * (3 * 4 + 2))
    for i, image in enumerate(images):
        top, left = 12 * (i // 3), 10 * (i % 3)
        tile = pixels[top : top + 10 : 2, left : left + 8 : 2]
        np.testing.assert_array_equal(tile, image if image.ndim == 2 else image.transpose(1, 2, 0))
        np.testing.assert_array_equal(tile, pixels[top + 1 : top + 11 : 2, left + 1 : left + 9 : 2])


def test_a_grid_wider_than_its_images_has_no_empty_columns() -> None:
    assert decoded(grid(np.zeros((2, 4, 4), np.uint8), columns=8)).shape == (4, 9)


def test_sixty_four_digits_are_small() -> None:
    y, x = np.mgrid[:28, :28]
    rings = [np.clip(300 - 60 * abs(np.hypot(y - 14 - i % 3, x - 14) - 5 - i % 5), 0, 255) for i in range(64)]
    assert len(grid(np.array(rings, np.uint8), columns=8)) < 20_000


def test_a_column_holds_the_first_images_of_its_class():
    images = flat([10, 20, 11, 12, 21])
    pixels = decoded(class_grid(images, np.array([0, 2, 0, 0, 2]), classes=3, rows=2))
    assert pixels.shape == (4 + 1 + 4, 3 * 4 + 2)
    tiles = [[int(pixels[row * 5, column * 5]) for column in range(3)] for row in range(2)]
    empty = int(pixels[4, 0])  # as between the images
    assert tiles == [[10, empty, 20], [11, empty, 21]]


def test_classes_of_colour_images_are_laid_out_alike():
    images = flat([10, 20], (3, 4, 4))
    images[:, 1] = 200
    pixels = decoded(class_grid(images, np.array([1, 0]), classes=2, rows=1, scale=2))
    assert pixels.shape == (8, 18, 3)
    assert pixels[0, 0].tolist() == [20, 200, 20] and pixels[0, -1].tolist() == [10, 200, 10]


def test_twenty_four_classes_have_twenty_four_columns():
    labels = np.arange(48) % 24
    pixels = decoded(class_grid(flat(list(range(100, 148))), labels, classes=24, rows=2))
    assert pixels[0, ::5].tolist() == list(range(100, 124)) and pixels[5, ::5].tolist() == list(range(124, 148))


@pytest.mark.parametrize("labels", [np.array([0, 3]), np.array([-1, 0]), np.array([0]), np.array([0.0, 1.0])])
def test_labels_that_do_not_go_with_the_images_are_refused(labels: np.ndarray):
    with pytest.raises(LabelsError, match="expected"):
        class_grid(flat([1, 2]), labels, classes=3, rows=1)


def test_partners_stand_on_the_right_and_groups_apart():
    pixels = decoded(beside(flat([10] * 3), flat([200] * 3), flat([90] * 3), columns=2))
    assert pixels.shape == (4 + 4 + 4, 12 + 4 + 12)
    assert (pixels[:4, :4] == 10).all() and (pixels[:4, 4:8] == 200).all() and (pixels[8:, 8:12] == 90).all()


def test_partners_of_another_shape_are_refused():
    with pytest.raises(ImagesError, match="as many partners"):
        beside(np.zeros((2, 4, 4), np.uint8), np.zeros((3, 4, 4), np.uint8), columns=2)


@pytest.mark.parametrize("images", [np.zeros((2, 4, 4)), np.zeros((2, 4, 4, 3), np.uint8), np.zeros((0, 4, 4), np.uint8)])
def test_other_arrays_are_refused(images: np.ndarray):
    for draw in (lambda: grid(images, columns=2), lambda: class_grid(images, np.zeros(2, int), classes=2, rows=1)):
        with pytest.raises(ImagesError, match="uint8 images"):
            draw()
