"""The idx format of the MNIST family: a big-endian header, then unsigned bytes.

Header: two zero bytes, the element type (8 = unsigned byte), the number of axes, then one 32-bit size an
axis.
"""

from __future__ import annotations

import math
import struct
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetCorruptError

Bytes: TypeAlias = NDArray[np.uint8]
_UNSIGNED_BYTE = 8


def decode(data: bytes, name: str) -> Bytes:
    """Read an array of unsigned bytes; `name` is what an error calls the data.

    Raises DatasetCorruptError where the header is not idx or the length differs from what the header
    promises.
    """
    if len(data) < 4 or data[:3] != bytes([0, 0, _UNSIGNED_BYTE]):
        raise DatasetCorruptError(f"{name}: starts with {data[:4].hex(' ') or 'nothing'}, which is not an idx file of bytes")
    axes = data[3]
    start = 4 + 4 * axes
    if len(data) < start:
        raise DatasetCorruptError(f"{name}: {len(data)} bytes, shorter than its own header of {start} bytes")
    shape = struct.unpack(f">{axes}I", data[4:start])
    expected = start + math.prod(shape)
    if len(data) != expected:
        raise DatasetCorruptError(f"{name}: {len(data):,} bytes, but its header promises {expected:,}: truncated or damaged")
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def encode(array: Bytes) -> bytes:
    """Write an array of unsigned bytes as idx."""
    header = bytes([0, 0, _UNSIGNED_BYTE, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + np.ascontiguousarray(array).tobytes()
