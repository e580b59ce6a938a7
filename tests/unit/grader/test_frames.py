import contextlib
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grader import frames
from grader.frames import FrameError, Kind


def reader(data: bytes) -> frames.Read:
    """Gives `data` piece by piece, and FrameError after its end."""
    position = 0

    def read(count: int) -> bytes:
        nonlocal position
        if position + count > len(data):
            raise FrameError("end")
        position += count
        return data[position - count : position]

    return read


def header(kind: int = 1, ndim: int = 1, request: int = 1, dims: tuple[int, ...] = (3, 0, 0, 0), length: int = 3) -> bytes:
    return struct.pack("<4sBBHI4QQ", b"GLF1", kind, ndim, 0, request, *dims, length)


SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(hnp.arrays(st.sampled_from([np.uint8, np.float32]), SHAPES))
def test_arrays_survive(array: Any) -> None:
    kind = Kind.U8 if array.dtype == np.uint8 else Kind.F32
    data = frames.encode_array(7, array)
    back = frames.read_array(reader(data), 7, kind, shape=array.shape, max_bytes=array.nbytes)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_the_layout_is_fixed() -> None:
    data = frames.encode_array(5, np.array([[1.0, -2.0]], np.float32))
    assert data == header(2, 2, 5, (1, 2, 0, 0), 8) + struct.pack("<2f", 1.0, -2.0)


@given(JSON)
def test_json_survives(value: Any) -> None:
    try:
        back = frames.read_json(reader(frames.encode_json(3, value)), 3)
    except FrameError as error:
        assert "deeper" in str(error)
    else:
        assert back == value


@given(st.binary(max_size=300))
def test_garbage_raises_nothing_but_frame_errors(data: bytes) -> None:
    calls: list[Callable[[frames.Read], object]] = [
        lambda read: frames.read_json(read, 0),
        lambda read: frames.read_array(read, 0, Kind.U8, max_bytes=100),
    ]
    for call in calls:
        with pytest.raises(FrameError):
            call(reader(data))


@given(st.binary(max_size=200), st.integers(0, 3), st.integers(0, 300))
def test_garbage_behind_a_valid_header_raises_nothing_but_frame_errors(data: bytes, request: int, length: int) -> None:
    frame = header(3, 0, request, (0, 0, 0, 0), length) + data
    try:
        value = frames.read_json(reader(frame), 1)
    except FrameError:
        return
    assert value == json.loads(data[:length])


@given(st.integers(0, 255), st.integers(0, 255), st.tuples(*[st.integers(0, 2**64 - 1)] * 4), st.integers(0, 2**64 - 1))
def test_no_header_makes_the_reader_ask_for_more_than_the_cap(kind: int, ndim: int, dims: tuple[int, ...], length: int) -> None:
    asked: list[int] = []

    def read(count: int) -> bytes:
        asked.append(count)
        return header(kind, ndim, 1, dims, length) if len(asked) == 1 else bytes(count)

    for kind_asked in (Kind.U8, Kind.F32):
        asked.clear()
        with contextlib.suppress(FrameError):
            frames.read_array(read, 1, kind_asked, max_bytes=64)
        assert max(asked[1:], default=0) <= 64


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (header(kind=9), "no frame header"),
        (b"X" + header()[1:], "no frame header"),
        (header(ndim=5), "5 dimensions"),
        (header(dims=(3, 1, 0, 0)), "1 dimensions"),
        (header(length=4), "payload of 4 bytes for an array of shape (3,)"),
        (header(kind=3, ndim=1), "JSON frame with dimensions"),
        (header(request=2), "request 2, expected a U8 frame for request 1"),
        (header(kind=2, length=12), "F32 frame"),
        (header(dims=(4, 0, 0, 0), length=4), "shape (4,), expected (3,)"),
    ],
)
def test_other_frames_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(FrameError) as caught:
        frames.read_array(reader(data), 1, Kind.U8, shape=(3,), max_bytes=100)
    assert words in str(caught.value)


def test_too_large_arrays_are_refused_before_they_are_read() -> None:
    with pytest.raises(FrameError, match="expected 2 at most"):
        frames.read_array(reader(header()), 1, Kind.U8, max_bytes=2)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "NaN", "1e999", "{", '"\xff"', "[" * 20 + "]" * 20, '{"a":' * 13 + "1" + "}" * 13, "9" * 5000],
    ids=["open", "nan", "inf", "cut", "latin", "deep", "nested", "digits"],
)
def test_bad_json_is_refused(text: str) -> None:
    data = text.encode("latin-1")
    with pytest.raises(FrameError):
        frames.read_json(reader(header(3, 0, 1, (0, 0, 0, 0), len(data)) + data), 1)


def test_long_json_is_refused_on_both_sides() -> None:
    with pytest.raises(FrameError, match="1048576 at most"):
        frames.encode_json(1, "x" * frames.MAX_JSON_BYTES)
    with pytest.raises(FrameError, match="1048576 at most"):
        frames.read_json(reader(header(3, 0, 1, (0, 0, 0, 0), frames.MAX_JSON_BYTES + 1)), 1)


def test_lone_surrogates_become_question_marks() -> None:
    data = rb'{"\ud800": ["\udfff"]}'
    assert frames.read_json(reader(header(3, 0, 1, (0, 0, 0, 0), len(data)) + data), 1) == {"?": ["?"]}
