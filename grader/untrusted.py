"""Read files that somebody else made, from a folder or a zip archive, without being led astray.

Folders: opened component by component relative to a descriptor, never through a link; regular files with one name only.
Archives: every entry is checked before the first one is read. Sizes are counted on the bytes that come out.
Exports of a whole class: the same, but what is unsafe in one hand-in leaves the others alone.
"""

import errno
import io
import os
import re
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from grader.errors import IntakeError, UngradedError

MAX_ENTRIES = 20_000
MAX_DEPTH = 8
MAX_DIRECTORY = 8 * 2**20
"""Bytes of an archive's table of contents, which zipfile reads in one piece and expands about tenfold."""
MAX_EXPORT_ENTRIES, MAX_EXPORT_DIRECTORY = 500_000, 256 * 2**20
"""The same for an export, which an instructor made of many hand-ins."""
MAX_NESTED = 4 * 2**30
"""Bytes of a student's archive inside an export; it is copied to a temporary file to be opened."""
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
            folder = _Folder(stack.enter_context(_descriptor(str(path), _FOLDER, None, path.name)), MAX_ENTRIES)
            names = folder.names()
            archive = _lone_archive(names)
            if archive is None:
                yield folder
                return
            handle = stack.enter_context(folder.open(archive))
        else:
            handle = stack.enter_context(_plain_file(str(path), None, path.name))
        yield _Archive(stack.enter_context(_CappedReader(io.FileIO(handle, closefd=False))))


@contextmanager
def open_export(path: Path) -> Iterator[Files]:
    """All files of a folder or archive that holds the hand-ins of many.

    Names are as found, unsafe ones too; `chunks` refuses those.

    Raises:
        IntakeError, UngradedError: as `open_files`, but for single unsafe entries.
    """
    with _open_whole(path) as whole:
        yield whole


@contextmanager
def open_part(path: Path, part: Mapping[str, str]) -> Iterator[Files]:
    """One hand-in of an export; one that is a single archive and no notebook stands for the archive.

    part: name in the hand-in -> name in the export.

    Raises:
        IntakeError, UngradedError: as `open_files`.
    """
    with ExitStack() as stack:
        whole = stack.enter_context(_open_whole(path))
        for name in part.values():
            whole.check(name)
        files = _Part(whole, part)
        archive = _lone_archive(files.names())
        if archive is None:
            yield files
            return
        copy = stack.enter_context(_copied(files, archive))
        yield _Archive(stack.enter_context(_CappedReader(io.FileIO(copy, closefd=False))))


@contextmanager
def _open_whole(path: Path) -> Iterator["_Folder | _Archive"]:
    with ExitStack() as stack:
        if path.is_dir() or path.is_symlink():
            yield _Folder(stack.enter_context(_descriptor(str(path), _FOLDER, None, path.name)), MAX_EXPORT_ENTRIES)
            return
        handle = stack.enter_context(_plain_file(str(path), None, path.name))
        reader = _CappedReader(io.FileIO(handle, closefd=False))
        reader.limit = MAX_EXPORT_DIRECTORY
        yield _Archive(stack.enter_context(reader), of_many=True)


@contextmanager
def _copied(files: Files, name: str) -> Iterator[int]:
    """A descriptor of an unnamed copy of a file, so that it can be sought in."""
    with ExitStack() as stack:
        try:
            copy = stack.enter_context(tempfile.TemporaryFile())
            for chunk in files.chunks(name, MAX_NESTED):
                copy.write(chunk)
            copy.seek(0)
        except OSError as error:
            raise UngradedError(
                f"{name!r} cannot be copied to {tempfile.gettempdir()} ({error.strerror}); free some space"
            ) from error
        yield copy.fileno()


def _lone_archive(names: Sequence[str]) -> str | None:
    """The one archive that stands for the whole hand-in: there is no other beside it, and no notebook."""
    archives = [name for name in names if name.lower().endswith(".zip") and "/" not in name]
    return archives[0] if len(archives) == 1 and not any(name.lower().endswith(".ipynb") for name in names) else None


def is_clutter(name: str) -> bool:
    """Whether an operating system or editor left this entry."""
    return _SKIPPED.fullmatch(name) is not None


class _Folder:
    """Files below an open folder."""

    def __init__(self, descriptor: int, limit: int) -> None:
        self._root, self._limit = descriptor, limit

    def check(self, name: str) -> None:
        """Nothing to say before a file is opened: every component is checked then."""

    def names(self) -> tuple[str, ...]:
        found: list[str] = []
        for where, folders, files, _ in os.fwalk(".", dir_fd=self._root, follow_symlinks=False, onerror=_raise_ours):
            inside = PurePosixPath(where)
            deep = len(inside.parts) >= MAX_DEPTH
            folders[:] = [] if deep else [name for name in folders if not is_clutter(name)]
            found += [str(inside / name) for name in files if not is_clutter(name) and _is_text(str(inside / name))]
            if len(found) > self._limit:
                raise IntakeError(f"the folder holds more than {self._limit:,} files: {_SMALLER}")
        return tuple(sorted(found))

    def chunks(self, name: str, limit: int) -> Iterator[bytes]:
        with self.open(name) as descriptor:
            total = 0
            while data := _read(descriptor, name):
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
    """Files of a zip archive whose entries are all sound; of many hand-ins: in which the unsound ones are known."""

    def __init__(self, file: io.BufferedReader, *, of_many: bool = False) -> None:
        try:
            self._archive = zipfile.ZipFile(file)
        except _DAMAGED as error:
            raise IntakeError(f"the hand-in is not a sound zip archive ({error}): make it again, as .zip") from error
        self._entries, self._unsafe = _checked(self._archive.infolist(), MAX_EXPORT_ENTRIES if of_many else MAX_ENTRIES)
        if self._unsafe and not of_many:
            raise IntakeError(next(iter(self._unsafe.values())))

    def check(self, name: str) -> None:
        """Raise IntakeError where an entry is unsafe."""
        if name in self._unsafe:
            raise IntakeError(self._unsafe[name])

    def names(self) -> tuple[str, ...]:
        sound = [name for name in self._entries if not any(map(is_clutter, PurePosixPath(name).parts))]
        return tuple(sorted({*sound, *self._unsafe}))

    def chunks(self, name: str, limit: int) -> Iterator[bytes]:
        self.check(name)
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


class _Part:
    """The files of one hand-in of an export, under the names that they have in the hand-in."""

    def __init__(self, whole: Files, part: Mapping[str, str]) -> None:
        self._whole, self._part = whole, part

    def names(self) -> tuple[str, ...]:
        if len(self._part) > MAX_ENTRIES:
            raise IntakeError(f"the hand-in holds more than {MAX_ENTRIES:,} files: {_SMALLER}")
        return tuple(sorted(self._part))

    def chunks(self, name: str, limit: int) -> Iterator[bytes]:
        if name not in self._part:
            raise IntakeError(f"{name!r} is not in the hand-in")
        return self._whole.chunks(self._part[name], limit)


class _CappedReader(io.BufferedReader):
    """Refuses to read more than `limit` bytes at once, which only a huge table of contents asks for.

    A disk that fails is not the archive's fault, and gets past zipfile as an error of ours.
    """

    limit = MAX_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            data = super().read(self.limit + 1 if size is None or size < 0 else min(size, self.limit + 1))
        except OSError as error:  # zipfile would take it for a bad archive
            raise UngradedError(f"the archive cannot be read ({error.strerror}); check the disk that it lies on") from error
        if len(data) > self.limit:
            raise IntakeError(f"the archive has too many entries: {_SMALLER}")
        return data


def _checked(entries: list[zipfile.ZipInfo], most: int) -> tuple[dict[str, zipfile.ZipInfo], dict[str, str]]:
    """(name -> entry of all files that are safe, name -> why of all entries that are not).

    Raises:
        IntakeError: there are too many.
    """
    if len(entries) > most:
        raise IntakeError(f"the archive has {len(entries):,} entries; at most {most:,} are read: {_SMALLER}")
    found: dict[str, zipfile.ZipInfo] = {}
    unsafe: dict[str, str] = {}
    seen: set[str] = set()
    for entry in entries:
        name, folded = entry.filename, _folded(entry.filename.rstrip("/"))
        if wrong := _wrong(entry):
            unsafe[name] = f"the archive holds {name[:100]!r}, which {wrong}: make the archive again, from plain files"
        elif folded in seen:
            unsafe[name] = f"the archive holds {name[:100]!r} twice (upper and lower case count as equal)"
        elif not entry.is_dir():
            found[name] = entry
        seen.add(folded)
    files = {_folded(name) for name in found}
    for name in found:
        if any(_folded(str(parent)) in files for parent in PurePosixPath(name).parents):
            unsafe[name] = f"the archive holds {name[:100]!r} below something that is a file"
    return {name: entry for name, entry in found.items() if name not in unsafe}, unsafe


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


def _raise_ours(error: OSError) -> None:
    """A folder that cannot be listed must not look like one that is empty."""
    if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        raise UngradedError(f"{error.filename!r} cannot be read ({error.strerror}); check its permissions") from error


def _read(descriptor: int, name: str) -> bytes:
    try:
        return os.read(descriptor, CHUNK)
    except OSError as error:
        raise UngradedError(f"{name!r} cannot be read ({error.strerror}); check the disk that it lies on") from error


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
