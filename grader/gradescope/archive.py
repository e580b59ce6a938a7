"""Zip archives whose bytes depend on nothing but names and contents, so that equal ones can be told by their hash."""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip can hold."""
_REGULAR = 0o100000

Content = Path | bytes | Iterable[bytes]
Entry = tuple[str, Content, int]
"""(name in the archive, its contents, permissions)"""


def write(path: Path, entries: Iterable[Entry]) -> None:
    """Write an archive, in one piece where it takes the place of another.

    Raises:
        OSError: it cannot be written, or a file cannot be read; and whatever contents that come in pieces raise.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content, mode in sorted(entries, key=lambda entry: entry[0]):
                info = zipfile.ZipInfo(name, _EPOCH)
                info.external_attr = (_REGULAR | mode) << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                with archive.open(info, "w") as target:
                    target.writelines(_chunks(content))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _chunks(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
    elif isinstance(content, Path):
        yield content.read_bytes()
    else:
        yield from content


def below(folder: Path, name: str, *, skip: frozenset[str] = frozenset(("__pycache__",)), mode: int = 0o644) -> Iterator[Entry]:
    """Every file in a folder, under `name` in the archive; nothing of folders called as in `skip`."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.is_file() and not skip & set(inner.parts):
            yield f"{name}/{inner.as_posix()}", path, mode
