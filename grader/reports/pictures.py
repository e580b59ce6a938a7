"""Pictures in reports: a check of those that students bring along, and their way into a page.

Nothing here decodes a student's picture: a decoder is a risk in the trusted process. What passes the check has a sane
structure and size and is left to the reader's browser.
"""

import base64
import struct
import zlib

from grader.models import Artifact

MAX_BYTES = 1_000_000
MAX_SIDE = 4_000
MAX_PIXELS = 4_000_000

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_PNG_ANIMATION = {b"acTL", b"fcTL", b"fdAT"}
_PNG_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = {0x01, *range(0xD0, 0xD8)}


def data_uri(media_type: str, data: bytes) -> str | None:
    """A data URI for an admissible PNG or JPEG, None for anything else."""
    checks = {"image/png": admissible_png, "image/jpeg": admissible_jpeg}
    if media_type not in checks or not checks[media_type](data):
        return None
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def artifact_uri(artifact: Artifact) -> str | None:
    """`data_uri` of an artifact."""
    return data_uri(artifact.media_type, artifact.data)


def checked_uri(uri: str) -> str | None:
    """A student's `data:image/png;base64,…` or `data:image/jpeg;base64,…`, rebuilt from its checked bytes, or None."""
    head, _, body = uri.partition(",")
    if head not in ("data:image/png;base64", "data:image/jpeg;base64") or len(body) > 2 * MAX_BYTES:
        return None
    try:
        data = base64.b64decode("".join(body.split()), validate=True)
    except ValueError:
        return None
    return data_uri(head.removeprefix("data:").removesuffix(";base64"), data)


def admissible_png(data: bytes) -> bool:
    """Whether a browser can be trusted with this PNG: at most 1 MB, 4000 a side, 4 megapixels, sound chunks, no animation.

    Follows the chunk layout of the PNG specification (https://www.w3.org/TR/png/), every CRC included; the compressed
    pixels are not looked into: their size follows from the header, and a decoder stops there.
    """
    if len(data) > MAX_BYTES or not data.startswith(_PNG_SIGNATURE):
        return False
    view, position = memoryview(data), len(_PNG_SIGNATURE)
    kinds: list[bytes] = []
    while position < len(data):
        if position + 12 > len(data):
            return False
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data) or zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            return False
        if not kinds and not (kind == b"IHDR" and _sane_header(data[position + 8 : end - 4])):
            return False
        kinds.append(kind)
        position = end
        if kind == b"IEND":
            break
    return position == len(data) and _sane_order(kinds)


def _sane_header(header: bytes) -> bool:
    """The contents of IHDR: size within the limits, a combination of depth and colour type that exists."""
    if len(header) != 13:
        return False
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", header)
    return (
        _sane_size(width, height)
        and depth in _PNG_DEPTHS.get(colour, ())
        and (compression, filtering) == (0, 0)
        and interlace in (0, 1)
    )


def _sane_size(width: int, height: int) -> bool:
    return 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS


def _sane_order(kinds: list[bytes]) -> bool:
    """One header first, one end last, data in one run, no animation, no critical chunk that nobody knows."""
    if kinds[-1:] != [b"IEND"] or kinds.count(b"IHDR") != 1 or kinds.count(b"PLTE") > 1 or b"IDAT" not in kinds:
        return False
    first, last = kinds.index(b"IDAT"), len(kinds) - 1 - kinds[::-1].index(b"IDAT")
    in_one_run = last - first + 1 == kinds.count(b"IDAT")
    known = all(kind.isalpha() and (kind[0] & 0x20 or kind in _PNG_CRITICAL) for kind in kinds)
    return in_one_run and known and not _PNG_ANIMATION.intersection(kinds)


def admissible_jpeg(data: bytes) -> bool:
    """Whether a browser can be trusted with this JPEG: the limits of `admissible_png`, read from its only frame header.

    Walks the marker segments (ITU-T T.81, annex B) up to the first scan.
    """
    if len(data) > MAX_BYTES or not data.startswith(b"\xff\xd8") or not data.endswith(b"\xff\xd9"):
        return False
    position, frames = 2, 0
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker in _JPEG_BARE:
            position += 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if length < 2 or position + 2 + length > len(data):
            return False
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data[position + 5 : position + 9].ljust(4, b"\0"))
            if not _sane_size(width, height):
                return False
            frames += 1
        if marker == 0xDA:
            return frames == 1
        position += 2 + length
    return False
