"""The folder in which courses hand i-CLEVR out: pictures of 320×240, and what they show in JSON files.

CLEVR_train_000000_0.png …   (beside the JSON files, or in a folder `images` or `iclevr` there)
objects.json                 label → index, 24 of them
train.json                   picture → labels
test.json, new_test.json     lists of labels that generators are asked for
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasets.clevr.collection import collect
from datasets.clevr.render import SIZE
from datasets.clevr.scene import NAMES, PER_SCENE
from datasets.download import staged
from datasets.errors import DatasetCorruptError, DatasetMissingError
from datasets.iclevr import SCENES, SEED, Collection, expect_whole, multi_hot, prompts
from datasets.idx import Bytes
from datasets.progress import counted

PICTURE = re.compile(r"CLEVR_train_(\d{6})_([0-2])\.png")
_WIDE, _HIGH = 320, 240
_FOLDERS = ("", "images", "iclevr")


def read(folder: Path, *, progress: bool = False) -> Collection:
    """Import a set: its pictures resized to 64×64 as the courses' loaders do it (bilinear), its labels, its prompts.

    Raises DatasetMissingError where a file is not there, DatasetCorruptError where one is not as it should be; the message
    names the file.
    """
    indices = _json(folder / "objects.json")
    if indices != {name: i for i, name in enumerate(NAMES)}:
        raise DatasetCorruptError(f"{folder / 'objects.json'}: expected the 24 labels from {NAMES[0]!r}: 0 to {NAMES[-1]!r}: 23")
    listed = _json(folder / "train.json")
    names = _pictures(listed, folder / "train.json")
    images = np.empty((len(names), *SIZE, 3), np.uint8)
    with counted("importing i-CLEVR", len(names), shown=progress) as step:
        for i, path in enumerate(_paths(folder, names)):
            images[i] = _picture(path)
            step()
    labels = multi_hot([_labels(listed[name], folder / "train.json", name) for name in names])
    test, new_test = (_prompts(folder / name) for name in ("test.json", "new_test.json"))
    found = Collection(images, labels, test, new_test, "imported")
    expect_whole(found, NAMES, str(folder))
    return found


def write(
    folder: Path,
    scenes: int = SCENES,
    *,
    seed: int = SEED,
    metal: bool = False,
    progress: bool = False,
    workers: int | None = None,
) -> None:
    """Render a set in this layout, pictures of 320×240; raises CannotWriteError."""
    listed = {}
    with staged(folder) as scratch, counted("rendering i-CLEVR", scenes, shown=progress) as step:
        for i, (scene, pixels) in enumerate(collect(scenes, seed=seed, size=(_HIGH, _WIDE), metal=metal, workers=workers)):
            for k, picture in enumerate(pixels):
                name = f"CLEVR_train_{i:06d}_{k}.png"
                Image.fromarray(picture).save(scratch / name)
                listed[name] = [body.name for body in scene.bodies[: k + 1]]
            step()
        test, new_test = (_words(rows) for rows in prompts(seed))
        objects = {name: i for i, name in enumerate(NAMES)}
        for file, content in (("objects", objects), ("train", listed), ("test", test), ("new_test", new_test)):
            (scratch / f"{file}.json").write_text(json.dumps(content, indent=1) + "\n")


def _words(rows: Bytes) -> list[list[str]]:
    return [[NAMES[label] for label in np.flatnonzero(row)] for row in rows]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetMissingError(f"{path} does not exist: point to the folder that holds objects.json and train.json") from None
    except (OSError, ValueError) as error:
        raise DatasetCorruptError(f"{path}: {error}") from error


def _pictures(listed: Any, path: Path) -> list[str]:
    """The names in order, three of each scene."""
    if not isinstance(listed, dict) or not listed:
        raise DatasetCorruptError(f"{path}: expected an object of pictures and their labels")
    strange = next((name for name in listed if not PICTURE.fullmatch(name)), None)
    if strange is not None:
        raise DatasetCorruptError(f"{path}: {strange!r} is not called CLEVR_train_NNNNNN_K.png")
    names = sorted(listed)
    for i in range(0, len(names), PER_SCENE):
        scene = names[i][: -len("0.png")]
        if names[i : i + PER_SCENE] != [f"{scene}{k}.png" for k in range(PER_SCENE)]:
            raise DatasetCorruptError(f"{path}: the pictures {scene}0, 1 and 2 of a scene are not all there")
    return names


def _paths(folder: Path, names: Sequence[str]) -> list[Path]:
    for inside in _FOLDERS:
        if (folder / inside / names[0]).is_file():
            return [folder / inside / name for name in names]
    raise DatasetMissingError(f"{names[0]} is neither in {folder} nor in its folders {' and '.join(_FOLDERS[1:])}")


def _picture(path: Path) -> Bytes:
    try:
        with Image.open(path) as picture:
            if picture.size != (_WIDE, _HIGH):
                raise DatasetCorruptError(f"{path}: {picture.width}×{picture.height} pixels, expected {_WIDE}×{_HIGH}")
            return np.asarray(picture.convert("RGB").resize((SIZE[1], SIZE[0]), Image.Resampling.BILINEAR))
    except FileNotFoundError:
        raise DatasetMissingError(f"{path} does not exist, and train.json lists it") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetCorruptError(f"{path}: {error}") from error


def _labels(labels: Any, path: Path, where: str) -> frozenset[int]:
    if not isinstance(labels, list) or not labels:
        raise DatasetCorruptError(f"{path}: {where}: expected a list of labels, found {labels!r}")
    unknown = next((label for label in labels if label not in NAMES), None)
    if unknown is not None:
        raise DatasetCorruptError(f"{path}: {where}: there is no label {unknown!r}")
    return frozenset(NAMES.index(label) for label in labels)


def _prompts(path: Path) -> Bytes:
    listed = _json(path)
    if not isinstance(listed, list) or not listed:
        raise DatasetCorruptError(f"{path}: expected a list of prompts, each a list of labels")
    return multi_hot([_labels(labels, path, f"prompt {i}") for i, labels in enumerate(listed)])
