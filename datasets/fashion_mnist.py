"""Fashion-MNIST: 60,000 training and 10,000 test images of clothes in ten classes, 28×28, grey, bright on black.

Han Xiao, Kashif Rasul, Roland Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms,
arXiv:1708.07747.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets.debian import fetch_package, members
from datasets.download import Report
from datasets.family import FILES, Images, Member, Source, unpacked

DATASET = Member(
    "fashion_mnist",
    "FashionMNIST",
    {
        "x_train": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "y_train": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "x_test": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "y_test": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    },
)
MIRROR = "dataset-fashion-mnist"
MIRROR_FOLDER = "/usr/share/datasets/fashion-mnist"


def load(root: Path | str) -> Images:
    """Load Fashion-MNIST from `<root>/FashionMNIST/raw` and verify it.

    Raises DatasetMissingError where a file is not there, DatasetCorruptError where one is not the official data.
    """
    return DATASET.load(root)


def mirror(scratch: Path, report: Report) -> Images:
    """Fetch Debian's package of the four idx files."""
    return unpack_package(fetch_package(MIRROR, scratch, report))


def get(root: Path | str, *, progress: bool = True, sources: Sequence[Source] = (DATASET.official, mirror)) -> Path:
    """Make sure that Fashion-MNIST is in `<root>/FashionMNIST/raw`, and return that folder.

    Sources, in order: torchvision's addresses, then Debian's package. Raises NoSourceError with every source's reason, or
    CannotWriteError.
    """
    return DATASET.get(root, sources, progress=progress)


def unpack_package(package: Path) -> Images:
    """Read the arrays out of the mirror's .deb."""
    paths = {key: f"{MIRROR_FOLDER}/{name}.gz" for key, name in FILES.items()}
    packed = members(package, paths.values())
    return Images(**{key: unpacked(packed[path], path) for key, path in paths.items()})
