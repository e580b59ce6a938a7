"""Images in files: a folder or zip of pictures, an npy or an npz file, as `evaluator` takes them.

Pictures are decoded when they are measured, and an npy file is mapped, so that many do not fill the memory. They come in an
order shuffled from a fixed seed: files tend to lie by class, and intervals need an order that says nothing.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from grader.errors import UsageError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}

Array = NDArray[np.generic]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """Pictures that are decoded when they are asked for: uint8 (n, height, width) grey or (n, 3, height, width) colour."""

    names: tuple[str, ...]
    read: Callable[[str], bytes]
    grey: bool

    def __len__(self) -> int:
        return len(self.names)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Of all images."""
        return np.dtype(np.uint8)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Of all images, as the first has it."""
        return (len(self.names), *_decoded(self.names[0], self.read, self.grey).shape)

    def __getitem__(self, rows: slice) -> Bytes:
        images = [_decoded(name, self.read, self.grey) for name in self.names[rows]]
        for name, image in zip(self.names[rows], images, strict=True):
            if image.shape != self.shape[1:]:
                raise UsageError(f"{name}: {image.shape}, but {self.names[0]}: {self.shape[1:]}; all images must have one size")
        return np.stack(images) if images else np.empty((0, *self.shape[1:]), np.uint8)


@dataclass(frozen=True)
class Reordered:
    """An array, perhaps mapped from a file, in another order, of which pieces are read when they are asked for."""

    array: Array
    order: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.array)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Of all images."""
        return np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all images."""
        return self.array.shape

    def __getitem__(self, rows: slice) -> Bytes:
        return np.ascontiguousarray(self.array[self.order[rows]], dtype=np.uint8)


@dataclass(frozen=True)
class ImageFile:
    """What was read."""

    images: Pictures | Reordered
    labels: Array | None
    """(n,), the class of each image where the file or the folders' names say it."""


def read(path: Path, grey: bool | None = None) -> ImageFile:
    """Read images; `grey` says whether pictures are to be grey or coloured, None: as the first is.

    Raises:
        UsageError: nothing there, or nothing that images can be made of; the message says what is expected.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist; expected a folder or zip of pictures, an npy or an npz file")
    if path.is_dir():
        names = [found.relative_to(path).as_posix() for found in path.rglob("*")]
        return _pictures(path, names, lambda name: (path / name).read_bytes(), grey)
    if path.suffix == ".npy":
        return _shuffled(_channels_first(_loaded(path, mmap_mode="r"), str(path)), None)
    if path.suffix == ".npz":
        return _archive(path)
    if zipfile.is_zipfile(path):
        archive = zipfile.ZipFile(path)
        return _pictures(path, archive.namelist(), archive.read, grey)
    raise UsageError(f"{path}: neither a zip of pictures nor an npy or npz file")


def read_labels(path: Path) -> Array:
    """Classes from an npy file, or from a text file with one integer (or several, of 0 and 1) a line.

    Raises:
        UsageError: not so.
    """
    if path.suffix == ".npy":
        return np.asarray(_loaded(path))
    try:
        return np.loadtxt(path, dtype=np.int64, delimiter="," if "," in path.read_text(errors="replace") else None)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}; expected one integer a line, or an npy file") from error


def order(n: int) -> NDArray[np.int64]:
    """The order in which n images are measured."""
    return np.random.default_rng(0).permutation(n)


def _pictures(path: Path, found: Sequence[str], read: Callable[[str], bytes], grey: bool | None) -> ImageFile:
    hidden = ("__MACOSX", ".")
    names = sorted(
        name
        for name in found
        if PurePosixPath(name).suffix.lower() in SUFFIXES and not any(p.startswith(hidden) for p in PurePosixPath(name).parts)
    )
    if not names:
        raise UsageError(f"{path} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    if grey is None:
        grey = _opened(names[0], read).mode in ("1", "L", "LA", "I", "I;16", "F")
    folders = [PurePosixPath(name).parent.as_posix() for name in names]
    classes = sorted(set(folders))
    labels = np.array([classes.index(folder) for folder in folders]) if len(classes) > 1 else None
    shuffled = order(len(names))
    pictures = Pictures(tuple(names[i] for i in shuffled), read, grey)
    return ImageFile(pictures, None if labels is None else labels[shuffled])


def _archive(path: Path) -> ImageFile:
    stored = _loaded(path)
    arrays: dict[str, Array] = {name: stored[name] for name in stored.files}
    images = [array for array in arrays.values() if array.ndim >= 3]
    if len(images) != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise UsageError(f"{path} holds {shapes or 'nothing'}; expected one array of images, and perhaps one of labels")
    labels = [array for array in arrays.values() if array.ndim in (1, 2) and len(array) == len(images[0])]
    return _shuffled(_channels_first(images[0], str(path)), labels[0] if labels else None)


def _shuffled(images: Array, labels: Array | None) -> ImageFile:
    if images.dtype != np.uint8:
        hint = "; for floats in [0, 1] store np.rint(images * 255).astype(np.uint8)" if images.dtype.kind == "f" else ""
        raise UsageError(f"the images are {images.dtype}, expected uint8{hint}")
    shuffled = order(len(images))
    return ImageFile(Reordered(images, shuffled), None if labels is None else labels[shuffled])


def _channels_first(images: Array, origin: str) -> Array:
    """(n, h, w), (n, 1, h, w), (n, h, w, 1), (n, 3, h, w) or (n, h, w, 3) as (n, h, w) or (n, 3, h, w)."""
    if images.ndim == 3:
        return images
    if images.ndim == 4 and 1 in (images.shape[1], images.shape[3]):
        return images.squeeze(1 if images.shape[1] == 1 else 3)
    if images.ndim == 4 and images.shape[1] == 3:
        return images
    if images.ndim == 4 and images.shape[3] == 3:
        return np.moveaxis(images, 3, 1)
    raise UsageError(f"{origin}: {images.shape}, expected (n, h, w), (n, 3, h, w) or (n, h, w, 3)")


def _loaded(path: Path, **how: Any) -> Any:
    try:
        return np.load(path, allow_pickle=False, **how)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path}: {error}") from error


def _opened(name: str, read: Callable[[str], bytes]) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(read(name)))
        picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(f"{name}: not a picture that can be read: {error}") from error
    return picture


def _decoded(name: str, read: Callable[[str], bytes], grey: bool) -> Bytes:
    pixels = np.asarray(_opened(name, read).convert("L" if grey else "RGB"), dtype=np.uint8)
    return pixels if grey else np.ascontiguousarray(np.moveaxis(pixels, 2, 0))
