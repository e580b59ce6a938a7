"""Read files that somebody else made, from a folder or a zip archive, without being led astray.

Folders: opened component by component relative to a descriptor, never through a link; regular files with one name only.
Archives: every entry is checked before the first one is read. Sizes are counted on the bytes that come out.
"""

import errno
import io
import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from grader.errors import IntakeError, UngradedError

MAX_ENTRIES = 20_000
MAX_DEPTH = 8
MAX_DIRECTORY = 8 * 2**20
"""Bytes of an archive's table of contents, which zipfile reads in one piece and expands about tenfold."""
CHUNK = 2**20

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_SKIPPED = re.compile(r"\..*|__MACOSX|__pycache__|desktop\.ini|Thumbs\.db")
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError, OSError)
"""All that zipfile raises for bad archives; OSError where an offset lies before the file's start."""
_SMALLER = "leave the data set and other files out that were not asked for"


class Files(Protocol):
    """The files of a hand-in; names are relative, with `/`."""

    def names(self) -> tuple[str, ...]:
        """All names but those of folders and of system clutter, sorted."""

    def chunks(self, name: str, limit: int) -> Iterator[bytes]:
        """The contents of a file, in pieces.

        Raises:
            IntakeError: there is no such file, it is not a plain file, or has more than `limit` bytes.
            UngradedError: it cannot be read for a reason that is not the student's.
        """


@contextmanager
def open_files(path: Path) -> Iterator[Files]:
    """The files in a folder or a zip archive; a folder that holds a single archive and no notebook stands for the archive.

    Raises:
        IntakeError: neither a folder nor a sound archive, or a link to one.
        UngradedError: it cannot be read for a reason that is not the student's.
    """
    with ExitStack() as stack:
        if path.is_dir() or path.is_symlink():
            folder = _Folder(stack.enter_context(_descriptor(str(path), _FOLDER, None, path.name)))
            names = folder.names()
            archives = [name for name in names if name.lower().endswith(".zip") and "/" not in name]
            if len(archives) != 1 or any(name.lower().endswith(".ipynb") for name in names):
                yield folder
                return
            handle = stack.enter_context(folder.open(archives[0]))
        else:
            handle = stack.enter_context(_plain_file(str(path), None, path.name))
        yield _Archive(stack.enter_context(_CappedReader(io.FileIO(handle, closefd=False))))


def is_clutter(name: str) -> bool:
    """Whether an operating system or editor left this entry."""
    return _SKIPPED.fullmatch(name) is not None


class _Folder:
    """Files below an open folder."""

    def __init__(self, descriptor: int) -> None:
        self._root = descriptor

    def names(self) -> tuple[str, ...]:
        found: list[str] = []
        for where, folders, files, _ in os.fwalk(".", dir_fd=self._root, follow_symlinks=False):
            inside = PurePosixPath(where)
            deep = len(inside.parts) >= MAX_DEPTH
            folders[:] = [] if deep else [name for name in folders if not is_clutter(name)]
            found += [str(inside / name) for name in files if not is_clutter(name) and _is_text(str(inside / name))]
            if len(found) > MAX_ENTRIES:
                raise IntakeError(f"the folder holds more than {MAX_ENTRIES:,} files: {_SMALLER}")
        return tuple(sorted(found))

    def chunks(self, name: str, limit: int) -> Iterator[bytes]:
        with self.open(name) as descriptor:
            total = 0
            while data := os.read(descriptor, CHUNK):
                total += len(data)
                if total > limit:
                    raise _too_large(name, limit)
                yield data

    @contextmanager
    def open(self, name: str) -> Iterator[int]:
        with ExitStack() as stack:
            parent = self._root
            *folders, last = PurePosixPath(name).parts
            for folder in folders:
                parent = stack.enter_context(_descriptor(folder, _FOLDER, parent, name))
            yield stack.enter_context(_plain_file(last, parent, name))


class _Archive:
    """Files of a zip archive whose entries are all sound."""

    def __init__(self, file: io.BufferedReader) -> None:
        try:
            self._archive = zipfile.ZipFile(file)
        except _DAMAGED as error:
            raise IntakeError(f"the hand-in is not a sound zip archive ({error}): make it again, as .zip") from error
        self._entries = _checked(self._archive.infolist())

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self._entries if not any(map(is_clutter, PurePosixPath(name).parts))))

    def chunks(self, name: str, limit: int) -> Iterator[bytes]:
        entry = self._entries.get(name)
        if entry is None:
            raise IntakeError(f"{name!r} is not in the archive")
        total = 0
        try:
            with self._archive.open(entry) as file:
                while data := file.read(CHUNK):
                    total += len(data)
                    if total > limit:
                        raise _too_large(name, limit)
                    yield data
        except _DAMAGED as error:
            raise IntakeError(f"{name!r} in the archive is damaged ({error}): make the archive again") from error


class _CappedReader(io.BufferedReader):
    """Refuses to read more than MAX_DIRECTORY at once, which only a huge table of contents asks for."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(MAX_DIRECTORY + 1 if size is None or size < 0 else min(size, MAX_DIRECTORY + 1))
        if len(data) > MAX_DIRECTORY:
            raise IntakeError(f"the archive has too many entries: {_SMALLER}")
        return data


def _checked(entries: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Name -> entry of all files.

    Raises:
        IntakeError: one entry is unsafe, which makes the whole archive so.
    """
    if len(entries) > MAX_ENTRIES:
        raise IntakeError(f"the archive has {len(entries):,} entries; at most {MAX_ENTRIES:,} are read: {_SMALLER}")
    found: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for entry in entries:
        if wrong := _wrong(entry):
            raise IntakeError(
                f"the archive holds {entry.filename[:100]!r}, which {wrong}: make the archive again, from plain files"
            )
        folded = _folded(entry.filename.rstrip("/"))
        if folded in seen:
            raise IntakeError(f"the archive holds {entry.filename[:100]!r} twice (upper and lower case count as equal)")
        seen.add(folded)
        if not entry.is_dir():
            found[entry.filename] = entry
    files = {_folded(name) for name in found}
    for name in found:
        if any(_folded(str(parent)) in files for parent in PurePosixPath(name).parents):
            raise IntakeError(f"the archive holds {name[:100]!r} below something that is a file")
    return found


def _wrong(entry: zipfile.ZipInfo) -> str | None:
    """What makes an entry unsafe, None if nothing does."""
    name = entry.filename
    parts = name.rstrip("/").split("/")
    mode = stat.S_IFMT(entry.external_attr >> 16)
    rules = {
        "has an absolute path": name.startswith("/") or re.match(r"[A-Za-z]:", name) is not None,
        "has a backslash in its name": "\\" in name,
        "leads out of its folder": ".." in parts,
        "has a path that is not plain": "" in parts or "." in parts or not _is_text(name) or not name.isprintable(),
        "has too long a path": len(name.encode(errors="replace")) > 1000
        or any(len(p.encode(errors="replace")) > 240 for p in parts),
        "is a link or device": mode not in (0, stat.S_IFREG, stat.S_IFDIR),
        "is encrypted": bool(entry.flag_bits & 0x1),
        "is compressed in an unusual way": entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
    }
    return next((rule for rule, broken in rules.items() if broken), None)


@contextmanager
def _plain_file(name: str, parent: int | None, shown: str) -> Iterator[int]:
    """A descriptor of a regular file with a single name."""
    with _descriptor(name, _FILE, parent, shown) as descriptor:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a device")
            raise IntakeError(f"{shown!r} is {kind}, expected a plain file")
        if status.st_nlink != 1:
            raise IntakeError(f"{shown!r} is a hard link ({status.st_nlink} names), expected a file of its own: copy it")
        yield descriptor


@contextmanager
def _descriptor(name: str, flags: int, parent: int | None, shown: str) -> Iterator[int]:
    try:
        descriptor = os.open(name, flags, dir_fd=parent)
    except OSError as error:
        raise _refusal(error, name, parent, shown) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refusal(error: OSError, name: str, parent: int | None, shown: str) -> IntakeError | UngradedError:
    try:
        linked = stat.S_ISLNK(os.lstat(name, dir_fd=parent).st_mode)
    except (OSError, ValueError):
        linked = False
    if linked:
        return IntakeError(f"{shown!r} is, or lies behind, a symbolic link, expected a plain file or folder: copy it")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return IntakeError(f"{shown!r} is not in the hand-in")
    if error.errno in (errno.ENXIO, errno.ENAMETOOLONG, errno.ENODEV):
        return IntakeError(f"{shown!r} is not a plain file")
    return UngradedError(f"{shown!r} cannot be read ({error.strerror}); check its permissions")


def _too_large(name: str, limit: int) -> IntakeError:
    size = f"{limit / 2**20:.0f} MB" if limit >= 2**20 else f"{limit / 2**10:.0f} KB"
    return IntakeError(f"{name!r} is too large: more than {size}")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _is_text(name: str) -> bool:
    """Whether a name is Unicode text; others cannot be written into a report or database."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
