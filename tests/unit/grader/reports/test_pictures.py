import base64
import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from grader.reports import pictures
from grader.reports.pictures import admissible_jpeg, admissible_png, checked_uri, data_uri

from .examples import noise


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
