"""The pictures in a notebook: in the submitted outputs and in the answers. Never decoded here beyond their first bytes."""

import base64
import binascii
import re
import struct
from collections.abc import Iterator

from grader.notebook import Cell, Notebook

MAX_CURVES = 12
MAX_ATTACHMENTS = 6
"""For each answer."""
MAX_BYTES = 2**20
MAX_SIDE = 4000
"""Pixels; a small file can unpack to gigabytes."""

_INLINE = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=]*")
_PNG = b"\x89PNG\r\n\x1a\n"


def curves(notebook: Notebook) -> tuple[bytes, ...]:
    """PNG files among the outputs of the code cells, in order: at most MAX_CURVES, of at most MAX_BYTES and MAX_SIDE each."""
    found: list[bytes] = []
    for text in _outputs(notebook):
        data = _decode(text)
        if data is not None and _media_type(data) == "image/png":
            found.append(data)
        if len(found) == MAX_CURVES:
            break
    return tuple(found)


def attached(cell: Cell, text: str) -> tuple[str, dict[str, str]]:
    """(text, name -> data URI) of an answer: attachments that it uses and pictures written into the text, PNG and JPEG.

    A picture in the text is replaced by a reference `attachment:inline-1`. Others are left out, with a remark in the text.
    """
    pictures: dict[str, str] = {}
    for name, bundle in cell.attachments.items():
        if f"attachment:{name}" in text and (uri := _uri(next(iter(bundle.values()), None), len(pictures))):
            pictures[name] = uri

    def move(match: re.Match[str]) -> str:
        uri = _uri(match[0].partition(",")[2], len(pictures))
        if uri is None:
            return "(picture left out: not PNG or JPEG, too large, or too many)"
        name = f"inline-{len(pictures) + 1}"
        pictures[name] = uri
        return f"attachment:{name}"

    return _INLINE.sub(move, text), pictures


def _outputs(notebook: Notebook) -> Iterator[object]:
    for cell in notebook.cells:
        for output in cell.outputs:
            data = output.get("data")
            if isinstance(data, dict) and "image/png" in data:
                yield data["image/png"]


def _uri(encoded: object, count: int) -> str | None:
    data = _decode(encoded) if count < MAX_ATTACHMENTS else None
    media_type = _media_type(data) if data is not None else None
    if data is None or media_type is None:
        return None
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _decode(encoded: object) -> bytes | None:
    """The bytes of base64 text (a string or a list of strings), None where it is none or too long."""
    if isinstance(encoded, list) and all(isinstance(part, str) for part in encoded):
        encoded = "".join(encoded)
    if not isinstance(encoded, str) or len(encoded) > MAX_BYTES * 3 // 2:
        return None
    try:
        data = base64.b64decode(encoded, validate=False)
    except (binascii.Error, ValueError):
        return None
    return data if len(data) <= MAX_BYTES else None


def _media_type(data: bytes) -> str | None:
    """`image/png` or `image/jpeg` where the header says so, with sides up to MAX_SIDE; else None."""
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) > 33:
        sides: tuple[int, ...] | None = struct.unpack(">II", data[16:24])
        media_type = "image/png"
    else:
        sides, media_type = _jpeg_sides(data), "image/jpeg"
    return media_type if sides and all(0 < side <= MAX_SIDE for side in sides) else None


def _jpeg_sides(data: bytes) -> tuple[int, int] | None:
    """Height and width from the frame header (ITU-T T.81, B.2.2)."""
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        at += 2 + max(length, 2)
    return None
