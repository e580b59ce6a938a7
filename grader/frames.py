"""Binary frames between the trusted side and the driver in the sandbox.

A frame is a fixed header and a payload of exactly the announced length. There are three kinds: `u8` and `f32` arrays (C order,
little endian, at most four dimensions) and `json` (UTF-8, capped in size and depth). Nothing is ever unpickled. The reading side
says what it expects before it reads the payload, so the sender cannot make it allocate more than was asked for.

The driver loads this file by itself, without the package around it: it imports only numpy and the standard library.
"""

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_DIMS = 4
MAX_JSON_BYTES = 1 << 20
MAX_JSON_DEPTH = 12
_MAGIC = b"GLF1"
_HEADER = struct.Struct("<4sBBHI4QQ")
HEADER_BYTES = _HEADER.size

Array = NDArray[np.uint8] | NDArray[np.float32]
Read = Callable[[int], bytes | bytearray]
"""Gives exactly that many bytes, or raises FrameError where the stream ends before."""


class FrameError(Exception):
    """What came is not the frame that was asked for; `str(error)` says what was found and what was expected."""


class Kind(IntEnum):
    """What a payload holds."""

    U8 = 1
    F32 = 2
    JSON = 3

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The array type of the payload, little endian (JSON is bytes)."""
        return np.dtype("<f4") if self is Kind.F32 else np.dtype("u1")


@dataclass(frozen=True)
class Header:
    """request: which request the frame belongs to (0: none); shape: of the array, () for JSON; length: of the payload in bytes."""

    kind: Kind
    request: int
    shape: tuple[int, ...]
    length: int


def parse_header(data: bytes | bytearray) -> Header:
    """Read a header of HEADER_BYTES bytes.

    Raises:
        FrameError: wrong magic, kind, number of dimensions, or a length that is not the product of the dimensions.
    """
    if len(data) != HEADER_BYTES:
        raise FrameError(f"found a header of {len(data)} bytes, expected {HEADER_BYTES}")
    magic, kind, ndim, reserved, request, *dims, length = _HEADER.unpack(data)
    if magic != _MAGIC or reserved or kind not in tuple(Kind):
        raise FrameError("found bytes that are no frame header")
    if ndim > MAX_DIMS or any(dims[ndim:]):
        raise FrameError(f"found {ndim} dimensions, expected {MAX_DIMS} at most")
    header = Header(Kind(kind), request, tuple(dims[:ndim]), length)
    if header.kind is Kind.JSON:
        if ndim:
            raise FrameError("found a JSON frame with dimensions, expected none")
    elif length != math.prod(header.shape) * header.kind.dtype.itemsize:
        raise FrameError(f"found a payload of {length} bytes for an array of shape {header.shape}")
    return header


def encode_array(request: int, array: Array) -> bytes:
    """A frame with a uint8 or float32 array of up to four dimensions."""
    kind = Kind.U8 if array.dtype == np.uint8 else Kind.F32
    data = np.ascontiguousarray(array, dtype=kind.dtype).reshape(array.shape).tobytes()
    dims = (*array.shape, *[0] * (MAX_DIMS - array.ndim))
    return _HEADER.pack(_MAGIC, kind, array.ndim, 0, request, *dims, len(data)) + data


def encode_json(request: int, value: object) -> bytes:
    """A frame with a JSON value.

    Raises:
        FrameError: it is longer than MAX_JSON_BYTES.
    """
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    if len(data) > MAX_JSON_BYTES:
        raise FrameError(f"found a JSON value of {len(data)} bytes, expected {MAX_JSON_BYTES} at most")
    return _HEADER.pack(_MAGIC, Kind.JSON, 0, 0, request, 0, 0, 0, 0, len(data)) + data


def read_array(read: Read, request: int, kind: Kind, *, shape: tuple[int, ...] | None = None, max_bytes: int) -> Array:
    """Read the array frame that answers `request`; with `shape`, of exactly that shape.

    Raises:
        FrameError: any other frame came, or one of more than `max_bytes`.
    """
    header = parse_header(read(HEADER_BYTES))
    _expect(header, request, kind)
    if shape is not None and header.shape != shape:
        raise FrameError(f"found an array of shape {header.shape}, expected {shape}")
    if header.length > max_bytes:
        raise FrameError(f"found an array of {header.length} bytes, expected {max_bytes} at most")
    array: Array = np.frombuffer(read(header.length), dtype=kind.dtype).reshape(header.shape)
    return array


def read_json(read: Read, request: int) -> Any:
    """Read the JSON frame that belongs to `request`; strings come back without lone surrogates.

    Raises:
        FrameError: any other frame came, or it is too long, too deep, no JSON, or holds NaN or infinity.
    """
    header = parse_header(read(HEADER_BYTES))
    _expect(header, request, Kind.JSON)
    if header.length > MAX_JSON_BYTES:
        raise FrameError(f"found a JSON value of {header.length} bytes, expected {MAX_JSON_BYTES} at most")
    try:
        value = json.loads(bytes(read(header.length)).decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise FrameError(f"found no valid JSON: {type(error).__name__}") from None
    return _checked(value, MAX_JSON_DEPTH)


def _expect(header: Header, request: int, kind: Kind) -> None:
    if (header.kind, header.request) != (kind, request):
        found = f"a {header.kind.name} frame for request {header.request}"
        raise FrameError(f"found {found}, expected a {kind.name} frame for request {request}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _checked(value: Any, depth: int) -> Any:
    """The same value with every string fit for UTF-8; refuses nesting below `depth` and numbers beyond float64."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        raise FrameError("found a number outside the range of float64")
    if not isinstance(value, (list, dict)):
        return value
    if not depth:
        raise FrameError(f"found JSON nested deeper than {MAX_JSON_DEPTH} levels")
    if isinstance(value, list):
        return [_checked(item, depth - 1) for item in value]
    return {_checked(key, 0): _checked(item, depth - 1) for key, item in value.items()}
