"""i-CLEVR: 18,009 images of one to three coloured solids, 64×64, each labelled with what it shows.

6,003 scenes of three images: each image shows one body more than the one before. The set that courses hand out is imported
from its folder (datasets.iclevr_folder); without it, a set of the same kind is rendered (datasets.clevr), the same bytes on
every machine. Both are kept in one file, `<root>/iclevr/iclevr.npz`, that numpy alone reads.
"""

from __future__ import annotations

import hashlib
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.clevr.collection import collect
from datasets.clevr.render import SIZE
from datasets.clevr.scene import NAMES, PER_SCENE
from datasets.download import staged
from datasets.errors import DatasetCorruptError, DatasetError, DatasetMissingError
from datasets.idx import Bytes
from datasets.progress import counted

CLASSES = NAMES
SCENES = 6003
PROMPTS = 32
"""Prompts in each of the two sets of tests."""
HELD_OUT = 6
"""One in this many scenes, the last ones, is a test scene."""
SEED = 0
RENDERED = f"rendered from seed {SEED}"
SHA256 = "151df1adab320bce2e649bd378f4f404d9b1d5aa2c7a04865820ff7bddb7a4fc"
"""Of the rendered set, as `Collection.digest` counts it."""
_AGAIN = "make it again (remove the file, then grader data get iclevr)"


@dataclass(frozen=True)
class LabelledImages:
    """Training and test images with their labels."""

    x_train: Bytes
    """uint8 (n, 3, 64, 64)."""
    y_train: Bytes
    """uint8 (n, 24), 1 for each label of CLASSES that an image shows."""
    x_test: Bytes
    y_test: Bytes


@dataclass(frozen=True)
class Collection:
    """What the file holds."""

    images: Bytes
    """uint8 (n, 64, 64, 3), three in a row of each scene."""
    labels: Bytes
    """uint8 (n, 24)."""
    test: Bytes
    """uint8 (p, 24): what generators are asked for."""
    new_test: Bytes
    origin: str
    """Where it came from, in words."""

    @property
    def digest(self) -> str:
        """The sha256 of the arrays' bytes, in order."""
        total = hashlib.sha256()
        for array in (self.images, self.labels, self.test, self.new_test):
            total.update(np.ascontiguousarray(array).tobytes())
        return total.hexdigest()

    def split(self) -> LabelledImages:
        """Hold out the last sixth of the scenes: 1,000 of 6,003."""
        scenes = len(self.images) // PER_SCENE
        first = PER_SCENE * (scenes - scenes // HELD_OUT)
        images = self.images.transpose(0, 3, 1, 2)
        return LabelledImages(
            np.ascontiguousarray(images[:first]), self.labels[:first], np.ascontiguousarray(images[first:]), self.labels[first:]
        )


def folder(root: Path | str) -> Path:
    """Where the cache `root` keeps the set."""
    return Path(root) / "iclevr"


def load(root: Path | str) -> LabelledImages:
    """Load the set from `<root>/iclevr/iclevr.npz` and verify it.

    Raises DatasetMissingError where it is not there, DatasetCorruptError where it is not what was rendered or imported.
    """
    return load_collection(root).split()


def load_collection(root: Path | str) -> Collection:
    """All of the file, with the prompts; raises as `load` does."""
    path = folder(root) / "iclevr.npz"
    try:
        with np.load(path) as file:
            arrays = {key: file[key] for key in ("images", "labels", "test", "new_test", "names", "origin", "sha256")}
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetMissingError(f"{path} does not exist: run grader data get iclevr") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetCorruptError(f"{path}: {error}; {_AGAIN}") from error
    found = Collection(arrays["images"], arrays["labels"], arrays["test"], arrays["new_test"], str(arrays["origin"]))
    expect_whole(found, tuple(arrays["names"].tolist()), str(path))
    expected = SHA256 if found.origin == RENDERED else str(arrays["sha256"])
    if found.digest != expected:
        raise DatasetCorruptError(f"{path} has sha256 {found.digest[:16]}…, expected {expected[:16]}…: it changed; {_AGAIN}")
    return found


def get(root: Path | str, *, progress: bool = True, source: Path | None = None) -> Path:
    """Make sure that the set is in `<root>/iclevr`, and return that folder.

    With `source`, a folder in the official layout, that set is imported, and replaces what was there. Else a verified file is
    left alone, and a missing or damaged one rendered. Raises DatasetCorruptError or DatasetMissingError for a bad `source`,
    CannotWriteError where the file cannot be stored.
    """
    from datasets.iclevr_folder import read

    target = folder(root)
    if source is not None:
        store(lambda: read(source, progress=progress), target)
        return target
    try:
        load_collection(root)
    except (DatasetMissingError, DatasetCorruptError):
        store(lambda: rendered(progress=progress), target)
    return target


def rendered(
    scenes: int = SCENES, *, seed: int = SEED, metal: bool = False, progress: bool = False, workers: int | None = None
) -> Collection:
    """Render a set; the defaults give the one that SHA256 is of. All bodies are of rubber, as in i-CLEVR, or of metal."""
    images = np.empty((scenes, PER_SCENE, *SIZE, 3), np.uint8)
    labels = np.zeros((scenes, PER_SCENE, len(NAMES)), np.uint8)
    with counted("rendering i-CLEVR", scenes, shown=progress) as step:
        for i, (scene, pixels) in enumerate(collect(scenes, seed=seed, metal=metal, workers=workers)):
            images[i] = pixels
            for first, body in enumerate(scene.bodies):
                labels[i, first:, NAMES.index(body.name)] = 1
            step()
    test, new_test = prompts(seed)
    origin = RENDERED if (scenes, seed, metal) == (SCENES, SEED, False) else "rendered"
    return Collection(images.reshape(-1, *SIZE, 3), labels.reshape(-1, len(NAMES)), test, new_test, origin)


def store(make: Callable[[], Collection], target: Path) -> None:
    """Make a set and write its file into a folder, which is tried out first; raises CannotWriteError, and what `make` raises."""
    with staged(target) as scratch:
        found = make()
        np.savez_compressed(
            scratch / "iclevr.npz",
            images=found.images,
            labels=found.labels,
            test=found.test,
            new_test=found.new_test,
            names=np.array(NAMES),
            origin=np.array(found.origin),
            sha256=np.array(found.digest),
        )


def prompts(seed: int) -> tuple[Bytes, Bytes]:
    """Two sets of 32 prompts, uint8 (32, 24): `test` of one to three labels, `new_test` of two or three; no prompt comes twice.

    Labels are dealt from shuffled packs of all 24, so that each is asked for about as often as any other.
    """
    rng = random.Random(f"iclevr prompts {seed}")
    deck, taken = _deck(rng), set[frozenset[int]]()
    sizes = ([1 + i % 3 for i in range(PROMPTS)], [2 + i % 2 for i in range(PROMPTS)])
    test, new_test = ([_prompt(deck, size, taken) for size in of] for of in sizes)
    return multi_hot(test), multi_hot(new_test)


def multi_hot(prompts: list[frozenset[int]]) -> NDArray[np.uint8]:
    """Sets of labels as rows, uint8 (p, 24)."""
    rows = np.zeros((len(prompts), len(NAMES)), np.uint8)
    for row, labels in zip(rows, prompts, strict=True):
        row[sorted(labels)] = 1
    return rows


def expect_whole(found: Collection, names: tuple[str, ...], origin: str) -> None:
    """Raise DatasetCorruptError unless the arrays have the shapes and values that a set has."""
    n = len(found.images)
    try:
        if names != NAMES:
            raise DatasetError(f"labels {', '.join(names[:3])} …, expected {', '.join(NAMES[:3])} …")
        if found.images.dtype != np.uint8 or found.images.shape != (n, *SIZE, 3) or n == 0 or n % PER_SCENE:
            raise DatasetError(f"images {found.images.dtype} {found.images.shape}, expected uint8 (3 · scenes, 64, 64, 3)")
        for what, rows, count in (("labels", found.labels, n), ("test", found.test, None), ("new_test", found.new_test, None)):
            _expect_rows(what, rows, count)
    except DatasetError as error:
        raise DatasetCorruptError(f"{origin}: {error}") from None


def _expect_rows(what: str, rows: Bytes, count: int | None) -> None:
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != len(NAMES) or len(rows) != (count or len(rows)):
        raise DatasetError(f"{what} {rows.dtype} {rows.shape}, expected uint8 ({count or 'prompts'}, {len(NAMES)})")
    if rows.max(initial=0) > 1 or not rows.any(axis=1).all():
        raise DatasetError(f"{what}: rows must be 0 and 1, with at least one label each")


def _deck(rng: random.Random) -> Iterator[int]:
    while True:
        yield from sorted(range(len(NAMES)), key=lambda _: rng.random())


def _prompt(deck: Iterator[int], size: int, taken: set[frozenset[int]]) -> frozenset[int]:
    while True:
        labels: set[int] = set()
        while len(labels) < size:
            labels.add(next(deck))
        prompt = frozenset(labels)
        if prompt not in taken:
            taken.add(prompt)
            return prompt
