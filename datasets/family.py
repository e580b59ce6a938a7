"""Data sets in four idx files, MNIST and those of its kind: images and their labels, fetched, verified, cached, loaded.

The cache is the one torchvision reads: `<root>/<name>/raw/train-images-idx3-ubyte` and three more files. What is in it
counts only if the sha256 of the decoded arrays is the expected one, wherever the bytes came from.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from datasets.download import Report, fetch, staged
from datasets.errors import DatasetCorruptError, DatasetError, DatasetMissingError, NoSourceError, SourceError
from datasets.idx import Bytes, decode, encode

FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


@dataclass(frozen=True)
class Images:
    """A data set as uint8 arrays."""

    x_train: Bytes
    """(n, 28, 28) grey, 0 = background; or (n, 3, 32, 32) colour."""
    y_train: Bytes
    """(n,), the classes 0–9."""
    x_test: Bytes
    y_test: Bytes


Source = Callable[[Path, Report], Images]
"""Fetches the data set, using a folder to work in; raises SourceError or DatasetCorruptError."""


@dataclass(frozen=True)
class Member:
    """One data set of the family."""

    key: str
    """What `grader data get` calls it."""
    name: str
    """Its class in torchvision, and its folder in the cache."""
    sha256: Mapping[str, str]
    """Of each array's bytes, in order, without any header."""
    files: Mapping[str, str] = field(default_factory=lambda: FILES)
    """Name of each array's idx file."""

    def folder(self, root: Path | str) -> Path:
        """Where the cache `root` keeps the idx files."""
        return Path(root) / self.name / "raw"

    def load(self, root: Path | str) -> Images:
        """Load the data set from the cache and verify it.

        Raises DatasetMissingError where a file is not there, DatasetCorruptError where one is not the official data.
        """
        folder = self.folder(root)
        arrays = {key: decode(self._read(folder / name), str(folder / name)) for key, name in self.files.items()}
        return self._verified(Images(**arrays), str(folder))

    def get(self, root: Path | str, sources: Sequence[Source], *, progress: bool) -> Path:
        """Make sure that the data set is in the cache, and return its folder.

        A verified cache is left alone, a damaged one replaced. The files appear whole or not at all. Raises NoSourceError
        with every source's reason, or CannotWriteError.
        """
        folder = self.folder(root)
        try:
            self.load(root)
        except (DatasetMissingError, DatasetCorruptError):
            pass
        else:
            return folder
        with staged(folder) as scratch:
            data = self._first(sources, scratch, progress)
            for key, name in self.files.items():
                (scratch / name).write_bytes(encode(getattr(data, key)))
        return folder

    def official(self, scratch: Path, report: Report) -> Images:
        """Fetch the idx files of a data set like MNIST from the addresses that torchvision lists."""
        try:
            listed = getattr(importlib.import_module("torchvision.datasets"), self.name)  # slow, and needed only here
        except ImportError as error:
            raise SourceError("torchvision, which lists the addresses, is not installed") from error
        failures = []
        for address in listed.mirrors:
            try:
                return _official(address, [name for name, _ in listed.resources], scratch, report)
            except DatasetError as error:
                failures.append(str(error))
        raise SourceError("; ".join(failures))

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise DatasetMissingError(f"{path} does not exist: run grader data get {self.key}") from None

    def _verified(self, data: Images, origin: str) -> Images:
        for key, expected in self.sha256.items():
            array: Bytes = getattr(data, key)
            found = hashlib.sha256(array.tobytes()).hexdigest()
            if found != expected:
                raise DatasetCorruptError(
                    f"{origin}: {key}, {array.shape}, has sha256 {found[:16]}…, expected {expected[:16]}…: "
                    f"this is not {self.name}; fetch it again (grader data get {self.key})"
                )
        return data

    def _first(self, sources: Sequence[Source], scratch: Path, progress: bool) -> Images:
        """Return what the first source that works delivers."""
        failures = []
        for source in sources:
            with tempfile.TemporaryDirectory(dir=scratch) as work, _bar(progress) as report:
                try:
                    return self._verified(source(Path(work), report), source.__name__)
                except DatasetError as error:
                    failures.append(f"  {source.__name__}: {error}")
        raise NoSourceError(
            f"{self.name} could not be fetched. Check the network, or copy the four idx files into <root>/{self.name}/raw.\n"
            + "\n".join(failures)
        )


def unpacked(data: bytes, origin: str) -> Bytes:
    """The array in a gzipped idx file; raises DatasetCorruptError, which calls the file `origin`."""
    try:
        return decode(gzip.decompress(data), origin)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetCorruptError(f"{origin}: not a whole gzip file ({error})") from error


def _official(address: str, names: list[str], scratch: Path, report: Report) -> Images:
    arrays = {}
    for key, name in FILES.items():
        packed = scratch / next(known for known in names if known.startswith(name))
        fetch(address + packed.name, packed, report)
        arrays[key] = unpacked(packed.read_bytes(), address + packed.name)
    return Images(**arrays)


@contextlib.contextmanager
def _bar(shown: bool) -> Iterator[Report]:
    """Yield a report function that draws one bar a file on standard error, or draws nothing."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bars:
        tasks: dict[str, TaskID] = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total or None)
            bars.update(tasks[name], completed=done, total=total or None)

        yield report
