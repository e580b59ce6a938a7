"""A pack: all that grading a data set's images needs, in place of the raw data.

A folder with `pack.toml`, for people, and `weights.safetensors`: the classifier in half precision, the moments of the
features of training images, test images and each class's test images, codes of all images for nearest neighbours, and a
few real images for reports.
"""

from __future__ import annotations

import hashlib
import tomllib
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from evaluator.arrays import Bytes, Floats, Integers
from evaluator.errors import PackError
from evaluator.frechet import Gaussian, Moments, factored
from evaluator.neighbours import Codes, Projection

if TYPE_CHECKING:
    from evaluator.extractors.network import Network

CARD = "pack.toml"
WEIGHTS = "weights.safetensors"
PUBLIC = Path(__file__).parent / "packs"
_SEAL = "# sha256 of everything below: "
"""First line of a card. A threshold with another digit would still be a threshold; packs of before have no such line."""

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("test", "train")
"""The one that images are compared with where nothing is said first."""
Tensors = dict[str, NDArray[np.generic]]


class Level(BaseModel):
    """What real images score in a metric: the mean over random subsets, and where 95 % of subsets lie."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    value: float
    low: float
    high: float


class Thresholds(BaseModel):
    """Distances calibrated on real images."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    near_duplicate: float
    """Half the pixel distance, in grey levels, to the closest other test image that one test image in a thousand is below."""
    memorised: float | tuple[float, ...]
    """Squared code distance to images it was held out from that one real image in a thousand is below; where images have several
    labels one for each number of labels, of the nearest image, from 1: the more an image shows, the more it differs from others."""


class Card(BaseModel):
    """What `pack.toml` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[3, 4]
    name: str
    dataset: str
    seed: int
    public: bool
    """Whether students can have the pack; grading uses a private one by default."""
    made_with: str
    """Versions of the libraries that trained the classifier."""
    classifier_accuracy: float
    """Share of the test images classified rightly; where they have several labels, of those labels found (`topk_accuracy`)."""
    label_accuracy: tuple[float, ...] = ()
    """Where images have several labels: for each the share of the test images in which it's rightly seen or not seen."""
    train_images: int
    test_images: int
    data_sha256: dict[str, str]
    weights_sha256: str
    thresholds: Thresholds
    floor: dict[str, Level]
    """By metric: nothing a generator makes should be expected to do better than real images do."""


@dataclass(frozen=True)
class Pack:
    """A loaded pack."""

    card: Card
    sha256: str
    """Of the two files; it stands in every report."""
    train: Gaussian
    """Moments of the features of the training images."""
    test: Gaussian
    test_by_class: tuple[Gaussian, ...]
    """Of the test images of each class; empty where an image has several labels."""
    projection: Projection
    codes: Codes
    """int8 (train + test images, components), training images first."""
    labels: Bytes
    """The class (train + test images,); or 0 and 1, (train + test images, classes), where an image has several labels."""
    samples: Bytes
    """A few real test images, uint8 (k, side, side) sorted by class, or in colour (k, 3, side, side)."""
    sample_labels: Bytes
    """Theirs, as `labels`."""
    classifier_weights: Tensors
    """In half precision, or convolutions in bytes (`evaluator.extractors.rounding`)."""

    @classmethod
    def load(cls, path: Path | str) -> Pack:
        """Load a pack from its folder; raises PackError where it is missing, incomplete or damaged."""
        folder = Path(path)
        text, weights = _read(folder / CARD), _read(folder / WEIGHTS)
        card = _card(text, folder)
        found = hashlib.sha256(weights).hexdigest()
        if found != card.weights_sha256:
            raise PackError(
                f"{folder / WEIGHTS}: sha256 {found[:16]}…, {CARD} says {card.weights_sha256[:16]}…: "
                "the pack is damaged; build or copy it again"
            )
        try:
            return assemble(card, hashlib.sha256(text + weights).hexdigest(), load(weights))
        except (SafetensorError, KeyError) as error:
            raise PackError(f"{folder / WEIGHTS}: {error}: not a pack of this version; build it again") from error

    @property
    def classes(self) -> int:
        """Number of the classifier's outputs."""
        return len(self.classifier_weights["head.bias"])

    @property
    def multi_label(self) -> bool:
        """Whether an image has several labels: the classifier's outputs then are a probability each, and need not sum to 1."""
        return self.labels.ndim == 2

    @cached_property
    def classifier(self) -> Network:
        """The extractor, in single precision."""
        from evaluator.extractors.network import restored  # torch, which takes a second to import

        return restored(self.classifier_weights)

    def copy_limits(self, rows: Integers) -> Floats:
        """Squared code distance to each real image, given by its row in `codes`, below which an image counts as its copy."""
        limits = np.atleast_1d(np.asarray(self.card.thresholds.memorised, dtype=np.float64))
        shown = self.labels[rows].sum(axis=1) if self.multi_label else np.ones(len(rows), dtype=np.int64)
        of_rows: Floats = limits[np.minimum(shown, len(limits)) - 1]
        return of_rows

    @property
    def repeat_limit(self) -> float:
        """Squared code distance below which two generated images count as repeats.

        The smallest: a prompt of several labels may be drawn far more often than the real images show it.
        """
        return float(np.min(self.card.thresholds.memorised))

    def origin(self, index: int) -> tuple[Split, int]:
        """Which real image a row of `codes` stands for: its split, and its index there."""
        if index < self.card.train_images:
            return "train", index
        return "test", index - self.card.train_images


def public_pack(dataset: str) -> Pack:
    """The pack shipped for a data set; raises PackError where there is none."""
    return Pack.load(PUBLIC / dataset)


def tensors_of_moments(split: str, moments: Moments) -> Tensors:
    """The tensors in which a pack keeps moments: single precision, of the covariance the upper triangle."""
    triangle = moments.covariance[np.triu_indices(len(moments.mean))]
    return {f"{split}.mean": moments.mean.astype(np.float32), f"{split}.covariance": triangle.astype(np.float32)}


def _gaussian(split: str, tensors: Tensors) -> Gaussian:
    mean = _floats(tensors[f"{split}.mean"])
    upper = np.zeros((len(mean), len(mean)))
    upper[np.triu_indices(len(mean))] = tensors[f"{split}.covariance"]
    return factored(Moments(mean, upper + np.triu(upper, 1).T))


def assemble(card: Card, sha256: str, tensors: Tensors) -> Pack:
    """A pack of a card, the sha256 of its files, and its tensors; raises KeyError where one is missing."""
    prefix = "classifier."
    labels = _inflated(tensors, "labels")
    classes = len(tensors[f"{prefix}head.bias"]) if labels.ndim == 1 else 0
    return Pack(
        card=card,
        sha256=sha256,
        train=_gaussian("train", tensors),
        test=_gaussian("test", tensors),
        test_by_class=tuple(_gaussian(f"test.{k}", tensors) for k in range(classes)),
        projection=Projection(_floats(tensors["projection.mean"]), _floats(tensors["projection.axes"])),
        codes=_inflated(tensors, "codes").view(np.int8),
        labels=labels,
        samples=_inflated(tensors, "samples"),
        sample_labels=_inflated(tensors, "sample_labels"),
        classifier_weights={name.removeprefix(prefix): a for name, a in tensors.items() if name.startswith(prefix)},
    )


def deflated(name: str, array: NDArray[np.int8] | Bytes) -> Tensors:
    """The tensors in which a pack keeps an array of bytes, compressed without loss."""
    packed = zlib.compress(np.ascontiguousarray(array).tobytes(), 9)
    return {name: np.frombuffer(packed, np.uint8), f"{name}.shape": np.array(array.shape, np.int64)}


def _inflated(tensors: Tensors, name: str) -> Bytes:
    kept = tensors[name]
    if f"{name}.shape" not in tensors:  # packs of format 3 keep it as it is
        return kept.view(np.uint8)
    try:
        return np.frombuffer(zlib.decompress(kept.tobytes()), np.uint8).reshape(tensors[f"{name}.shape"].tolist())
    except (zlib.error, ValueError) as error:
        raise KeyError(f"{name}: {error}") from error


def _floats(array: NDArray[np.generic]) -> Floats:
    return array.astype(np.float64)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PackError(f"{path}: {error.strerror}: build the pack (grader pack build) or copy it here") from error


def sealed(card: str) -> str:
    """The text of a card with the line before it by which damage is found."""
    return f"{_SEAL}{hashlib.sha256(card.encode()).hexdigest()}\n{card}"


def _card(text: bytes, folder: Path) -> Card:
    try:
        card = Card.model_validate(tomllib.loads(text.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PackError(f"{folder / CARD}: {error}: the pack is damaged; build or copy it again") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PackError(f"{folder / CARD}: {where}: {first['msg']}; build the pack again") from error
    seal, _, rest = text.decode().partition("\n")
    if seal.startswith(_SEAL) and text.decode() != sealed(rest):
        raise PackError(
            f"{folder / CARD}: not what was written when the pack was built: the pack is damaged; build or copy it again"
        )
    return card
