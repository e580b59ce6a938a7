"""Grids of images, drawn from their pixels alone and, but where it says so, kept without loss: no fonts, no scaling but whole numbers.

All take uint8 images, (n, h, w) grey or (n, 3, h, w) colour, and give the bytes of a PNG file, `strips` of a JPEG file.
Nothing is decoded here.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluator.arrays import Bytes
from evaluator.errors import ImagesError, LabelsError

_BACKGROUND = 64
"""Grey level between the images of a grid: neither a black nor a white image runs into it."""
_QUALITY = 88
_APART = 4
"""Pixels between the groups of `beside`, whose members touch."""


def grid(images: Bytes, columns: int, scale: int = 1, gap: int = 1, colours: int | None = None) -> bytes:
    """Images in rows of `columns`; the last row may stay incomplete.

    Args:
        images: n ≥ 1 of them.
        columns: images a row.
        scale: enlargement, each pixel repeated.
        gap: pixels between images, before the enlargement.
        colours: how many the picture may have, up to 256, to be smaller; None: those of the images.

    Raises:
        ImagesError: another type or shape.
    """
    return _png(_laid_out(_channels_last(images), columns, gap), scale, colours)


def class_grid(images: Bytes, labels: NDArray[np.integer], classes: int, rows: int, scale: int = 1) -> bytes:
    """A column a class, with the first `rows` images of each; a place without an image is background.

    Args:
        images: in any order.
        labels: (n,), the class of each image, 0 ≤ label < classes.
        classes, rows, scale: whole numbers of at least 1.

    Raises:
        ImagesError: images of another type or shape.
        LabelsError: not one label an image, or one out of range.
    """
    tiles = _channels_last(images)
    _expect_classes(labels, len(tiles), classes)
    table = np.full((rows, classes, *tiles.shape[1:]), _BACKGROUND, np.uint8)
    for k in range(classes):
        of_class = tiles[labels == k][:rows]
        table[: len(of_class), k] = of_class
    return _png(_laid_out(table.reshape(-1, *tiles.shape[1:]), classes, gap=1), scale)


def strips(images: Bytes, columns: int) -> bytes:
    """Images side by side without gaps, in rows of `columns`, as the bytes of a JPEG file: many of them fit into a page.

    Raises:
        ImagesError: another type or shape.
    """
    canvas = _laid_out(_channels_last(images), columns, gap=0)
    buffer = io.BytesIO()
    picture = Image.fromarray(canvas.squeeze(-1) if canvas.shape[-1] == 1 else canvas)
    picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()


def beside(images: Bytes, *partners: Bytes, columns: int, scale: int = 1) -> bytes:
    """Each image with its partners on its right, such as a sample with the real image nearest to it.

    Args:
        images, partners: arrays of the same shape.
        columns: groups of an image and its partners a row.
        scale: enlargement, each pixel repeated.

    Raises:
        ImagesError: another type, or shapes that differ.
    """
    if other := next((p.shape for p in partners if p.shape != images.shape), None):
        raise ImagesError(
            f"partners have shape {other}, images {images.shape}: pass as many partners as images, of the same size"
        )
    return grid(np.concatenate([images, *partners], axis=-1), columns, scale, _APART)


def _channels_last(images: Bytes) -> Bytes:
    """(n, h, w) or (n, 3, h, w) to (n, h, w, channels)."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[1] != 3) or not images.size:
        raise ImagesError(f"a picture needs uint8 images (n, h, w) or (n, 3, h, w), not {images.dtype} {images.shape}")
    return images[..., np.newaxis] if images.ndim == 3 else np.moveaxis(images, 1, -1)


def _expect_classes(labels: NDArray[np.integer], n: int, classes: int) -> None:
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise LabelsError(f"labels are {labels.dtype} {labels.shape}, expected one whole number for each of {n:,} images")
    if labels.min() < 0 or labels.max() >= classes:
        raise LabelsError(f"labels run from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")


def _laid_out(tiles: Bytes, columns: int, gap: int) -> Bytes:
    """Tiles (n, h, w, channels) on one canvas (height, width, channels)."""
    n, height, width, channels = tiles.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), _BACKGROUND, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def _png(pixels: Bytes, scale: int, colours: int | None = None) -> bytes:
    enlarged = pixels.repeat(scale, 0).repeat(scale, 1)
    picture = Image.fromarray(enlarged.squeeze(-1) if enlarged.shape[-1] == 1 else enlarged)
    if colours is not None:
        picture = picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
