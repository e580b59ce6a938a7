import base64
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from grader.reports import pictures
from grader.reports.pictures import admissible_jpeg, admissible_png, checked_uri, data_uri, grid, pairs

from .examples import noise


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def encoded(mode: str, size: tuple[int, int], kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def header(width: int = 8, height: int = 8, depth: int = 8, colour: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


DATA, END = chunk(b"IDAT", zlib.compress(bytes(72))), chunk(b"IEND", b"")


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


def test_pairs_put_the_partner_on_the_right() -> None:
    left, right = np.full((3, 4, 4), 10, np.uint8), np.full((3, 4, 4), 200, np.uint8)
    pixels = decoded(pairs(left, right, columns=2))
    assert pixels.shape == (4 + 4 + 4, 8 + 4 + 8)
    assert (pixels[:4, :4] == 10).all() and (pixels[:4, 4:8] == 200).all() and (pixels[8:, 4:8] == 200).all()


@pytest.mark.parametrize("images", [np.zeros((2, 4, 4)), np.zeros((2, 4, 4, 3), np.uint8), np.zeros((0, 4, 4), np.uint8)])
def test_other_arrays_are_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 images"):
        grid(images, columns=2)


def test_pairs_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        pairs(np.zeros((2, 4, 4), np.uint8), np.zeros((3, 4, 4), np.uint8), columns=2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_ordinary_png_files_pass(mode: str) -> None:
    assert admissible_png(encoded(mode, (640, 480)))
    assert admissible_png(encoded(mode, (640, 480), dpi=(100, 100)))


def test_sizes_up_to_the_limits_pass_and_no_further() -> None:
    assert admissible_png(png(header(4000, 1000), DATA, END))
    assert not admissible_png(png(header(4001, 1), DATA, END))
    assert not admissible_png(png(header(2001, 2000), DATA, END))
    assert not admissible_png(png(header(0, 5), DATA, END))
    assert not admissible_png(encoded("1", (60_000, 60)))
    assert not admissible_png(png(header(), chunk(b"teXt", bytes(pictures.MAX_BYTES)), DATA, END))


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [header()],
        [header(), END],
        [DATA, header(), END],
        [header(), header(), DATA, END],
        [header(), DATA, chunk(b"tEXt", b"x"), DATA, END],
        [header(), DATA, END, b"trailing"],
        [header(), DATA, END, END],
        [header(), chunk(b"acTL", bytes(8)), DATA, END],
        [header(), DATA, chunk(b"fdAT", bytes(8)), END],
        [header(), chunk(b"EVIL", b""), DATA, END],
        [header(depth=16, colour=3), DATA, END],
        [header(depth=3), DATA, END],
        [chunk(b"IHDR", bytes(12)), DATA, END],
        [header(), DATA, END[:-1]],
        [header(), b"\xff\xff\xff\xff" + DATA[4:], END],
    ],
)
def test_an_unsound_structure_is_refused(chunks: list[bytes]) -> None:
    assert admissible_png(png(header(), DATA, END))
    assert not admissible_png(png(*chunks))


@given(st.binary(max_size=200))
def test_garbage_is_refused_without_an_error(data: bytes) -> None:
    assert not admissible_png(data) and not admissible_jpeg(data)
    assert not admissible_png(png(data))
    admissible_png(png(header(), data, END))
    admissible_jpeg(b"\xff\xd8" + data + b"\xff\xd9")


@given(st.data())
def test_any_single_changed_byte_is_noticed(data: st.DataObject) -> None:
    whole = bytearray(noise())
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= data.draw(st.integers(1, 255))
    assert not admissible_png(bytes(whole))


@given(st.integers(0, len(noise()) - 1))
def test_any_cut_is_noticed(length: int) -> None:
    assert not admissible_png(noise()[:length])


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(20)}])
def test_ordinary_jpeg_files_pass(options: dict[str, object]) -> None:
    assert admissible_jpeg(encoded("RGB", (640, 480), "JPEG", **options))
    assert admissible_jpeg(encoded("L", (640, 480), "JPEG", **options))


def test_a_large_or_cut_jpeg_is_refused() -> None:
    whole = encoded("RGB", (64, 48), "JPEG")
    frame = whole.index(b"\xff\xc0") + 5
    assert not admissible_jpeg(whole[:frame] + b"\xff\xff\xff\xff" + whole[frame + 4 :])
    assert not admissible_jpeg(whole[:-2])
    assert not admissible_jpeg(whole[: frame - 5] + b"\xff\xd9")


def test_data_uris_hold_checked_bytes_only() -> None:
    data = noise()
    uri = data_uri("image/png", data)
    assert uri is not None and base64.b64decode(uri.partition(",")[2]) == data
    assert data_uri("image/svg+xml", data) is None
    assert data_uri("image/jpeg", data) is None
    assert checked_uri(uri) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://example.org/a.png",
        "data:image/svg+xml;base64,PHN2Zy8+",
        "data:text/html,<script>alert(1)</script>",
        "data:image/png;base64,####",
        "data:image/png;base64,AAAA",
        'data:image/png;base64,AAAA" onerror="alert(1)',
        "javascript:alert(1)",
        "data:image/png;base64,ä",
    ],
)
def test_other_uris_are_dropped(uri: str) -> None:
    assert checked_uri(uri) is None
