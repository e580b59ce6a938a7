"""Build a pack from a data set: train the classifier, take moments and codes, calibrate on real images."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors.numpy import save

from evaluator.arrays import Bytes, Features, Floats, Integers
from evaluator.errors import ImagesError, PackError
from evaluator.extractors.classifier import CLASSES, Classifier, extract, normalise, restored
from evaluator.frechet import Gaussian, Moments, distance_of_features, factored, moments
from evaluator.images import checked
from evaluator.metrics.class_fid import class_fids
from evaluator.metrics.confidence import confident
from evaluator.metrics.duplicates import closest_other, duplicates, near_others
from evaluator.metrics.histogram import class_kl
from evaluator.metrics.memorisation import HOLD_OUT_QUANTILE, held_out, memorised
from evaluator.neighbours import Codes, Projection, fit
from evaluator.pack import CARD, WEIGHTS, Card, Level, Pack, Tensors, Thresholds, sealed, tensors_of_moments
from evaluator.packs.recipes import Recipe, recipe_of
from evaluator.packs.train import Progress, train
from evaluator.reference import Data

LEAST = 2_000
"""Images a split must have, for a hold-out subset of the size that submissions are measured at."""
_SUBSETS = 20
_PER_CLASS = 26
"""A sample of each class for reports, and enough in all (260) for two small training batches."""
_KEYS = ("x_train", "y_train", "x_test", "y_test")


class _SubsetValue(Protocol):
    """What the images of these indices score."""

    def __call__(self, chosen: Integers, /) -> float: ...


@dataclass(frozen=True)
class _Real:
    """The real images as the metrics see them."""

    images: Bytes
    labels: Bytes
    features: Features
    probabilities: Floats
    moments: Moments
    codes: Codes

    @cached_property
    def gaussian(self) -> Gaussian:
        """The distribution of the features."""
        return factored(self.moments)

    @cached_property
    def by_class(self) -> tuple[Moments, ...]:
        """Moments of the features of each class."""
        return tuple(moments(self.features[self.labels == k]) for k in range(CLASSES))


def build(
    dataset: str,
    data: Data,
    out: Path | str,
    *,
    seed: int,
    public: bool,
    recipe: Recipe | None = None,
    progress: Progress | None = None,
) -> Pack:
    """Build the pack of a data set in the folder `out`, replacing one that is there, and load it.

    The classifier is trained from `seed`, so a pack from a secret seed has features that nobody can tune images to, by
    `recipe` or the data set's own. `progress` is called with what is being done, steps done, steps in all. Raises PackError
    for unfit data.
    """
    _check(dataset, data)
    trained = train(data.x_train, data.y_train, recipe or recipe_of(dataset), seed=seed, progress=progress)
    normalise(trained, _spread(data.x_train, 10_000))
    return build_around(_halved(trained), dataset, data, out, seed=seed, public=public, progress=progress)


def build_around(
    weights: Tensors, dataset: str, data: Data, out: Path | str, *, seed: int, public: bool, progress: Progress | None = None
) -> Pack:
    """Build the pack of a data set around a classifier that has been trained from `seed`: its weights in half precision."""
    steps = iter(range(1, 5))

    def done(what: str) -> None:
        if progress is not None:
            progress(what, next(steps), 4)

    classifier = restored(weights)  # what follows is about the rounded weights
    projection = fit(_spread(data.x_train, 20_000))
    train_set = _real(data.x_train, data.y_train, classifier, projection)
    test_set = _real(data.x_test, data.y_test, classifier, projection)
    done("features")
    apart = held_out(np.concatenate([train_set.codes, test_set.codes]))
    thresholds = Thresholds(
        near_duplicate=float(np.quantile(closest_other(data.x_test), HOLD_OUT_QUANTILE)) / 2,
        memorised=float(np.quantile(apart, HOLD_OUT_QUANTILE)),
    )
    done("thresholds")
    floor = _floor(train_set, test_set, apart[len(train_set.codes) :], thresholds, np.random.default_rng(seed))
    done("hold-out floor")
    tensors = save(_tensors(weights, projection, train_set, test_set))
    card = Card(
        format=3,
        name=f"{dataset}-public" if public else f"{dataset}-private",
        dataset=dataset,
        seed=seed,
        public=public,
        made_with=f"torch {torch.__version__}, numpy {np.__version__}",
        classifier_accuracy=float((test_set.probabilities.argmax(axis=1) == data.y_test).mean()),
        train_images=len(data.x_train),
        test_images=len(data.x_test),
        data_sha256={key: hashlib.sha256(getattr(data, key).tobytes()).hexdigest() for key in _KEYS},
        weights_sha256=hashlib.sha256(tensors).hexdigest(),
        thresholds=thresholds,
        floor=floor,
    )
    _write(Path(out), card, tensors)
    done("written")
    return Pack.load(out)


def _check(dataset: str, data: Data) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", dataset):
        raise PackError(f"data set name {dataset!r}: expected lower-case letters, digits, - and _")
    for images, labels, split in ((data.x_train, data.y_train, "training"), (data.x_test, data.y_test, "test")):
        try:
            checked(images)
        except ImagesError as error:
            raise PackError(f"{split} images of {dataset}: {error}") from error
        if labels.dtype != np.uint8 or labels.shape != (len(images),):
            raise PackError(f"{split} labels of {dataset}: {labels.dtype} {labels.shape}, expected uint8 {(len(images),)}")
        if len(images) < LEAST:
            raise PackError(f"{dataset} has {len(images):,} {split} images, expected at least {LEAST:,}")
        if np.unique(labels).tolist() != list(range(CLASSES)):
            raise PackError(f"{split} labels of {dataset} are {np.unique(labels).tolist()}, expected each of 0–9")
        if split == "training" and np.bincount(labels).min() < LEAST // CLASSES:
            raise PackError(
                f"{dataset} has only {np.bincount(labels).min()} training images of a class, expected at least {LEAST // CLASSES}"
            )


def _halved(classifier: Classifier) -> Tensors:
    """The weights in half precision; counters as they are."""
    tensors = {name: tensor.contiguous() for name, tensor in classifier.state_dict().items()}
    return {name: (t.half() if t.is_floating_point() else t).numpy() for name, t in tensors.items()}


def _spread(images: Bytes, about: int) -> Bytes:
    """About so many of the images, evenly over the set."""
    return images[:: max(len(images) // about, 1)]


def _real(images: Bytes, labels: Bytes, classifier: Classifier, projection: Projection) -> _Real:
    features, probabilities = extract(classifier, images)
    return _Real(images, labels, features, probabilities, moments(features), projection.encode(images))


def _floor(
    train_set: _Real, test_set: _Real, apart: Integers, thresholds: Thresholds, random: np.random.Generator
) -> dict[str, Level]:
    """What random subsets of real images score, each split being the hold-out of the other."""
    sure, far = test_set.probabilities, thresholds.memorised

    def subsets(hold_out: _Real, n: int, value: _SubsetValue) -> Level:
        return _level([value(random.choice(len(hold_out.images), n, replace=False)) for _ in range(_SUBSETS)])

    def distance(hold_out: _Real, to: Gaussian) -> _SubsetValue:
        return lambda chosen: distance_of_features(hold_out.features[chosen], to)

    floor = {
        "fid2k_test_indomain": subsets(train_set, 2_000, distance(train_set, test_set.gaussian)),
        "fid2k_train_indomain": subsets(test_set, 2_000, distance(test_set, train_set.gaussian)),
        "class_kl2k_uniform_indomain": subsets(
            train_set, 2_000, lambda chosen: class_kl(train_set.probabilities[chosen], "").value
        ),
        "confident2k_indomain": subsets(test_set, 2_000, lambda chosen: confident(sure[chosen], "").value),
        "memorised2k_traintest_pixels": subsets(test_set, 2_000, lambda chosen: memorised(apart[chosen], far, "").value),
    }
    if len(train_set.images) >= 10_000:
        floor["fid10k_test_indomain"] = subsets(train_set, 10_000, distance(train_set, test_set.gaussian))
    agreeing = sure.argmax(axis=1) == test_set.labels
    floor["class_agreement2k_indomain"] = subsets(test_set, 2_000, lambda chosen: float(agreeing[chosen].mean()))
    floor["class_fid2k_test_indomain"] = _class_fid_floor(train_set, test_set, random)
    near = thresholds.near_duplicate
    floor["duplicates2k_pixels"] = subsets(
        test_set, 2_000, lambda chosen: duplicates(near_others(test_set.images[chosen], near), "").value
    )
    return floor


def _class_fid_floor(train_set: _Real, test_set: _Real, random: np.random.Generator) -> Level:
    """What training images score against test images of their class, equally many of each class."""
    to = [factored(of) for of in test_set.by_class]
    rows = [np.flatnonzero(train_set.labels == k) for k in range(CLASSES)]

    def value() -> float:
        chosen = np.stack([random.choice(of_class, 2_000 // CLASSES, replace=False) for of_class in rows])
        return float(class_fids(train_set.features[chosen], to).mean())

    return _level([value() for _ in range(_SUBSETS)])


def _level(values: Sequence[float]) -> Level:
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    return Level(value=mean, low=max(mean - 1.96 * spread, 0.0), high=mean + 1.96 * spread)


def _tensors(weights: Tensors, projection: Projection, train_set: _Real, test_set: _Real) -> Tensors:
    shown = np.concatenate([np.flatnonzero(test_set.labels == k)[:_PER_CLASS] for k in range(CLASSES)])
    tensors = {
        **{f"classifier.{name}": array for name, array in weights.items()},
        **tensors_of_moments("train", train_set.moments),
        **tensors_of_moments("test", test_set.moments),
        "projection.mean": projection.mean,
        "projection.axes": projection.axes,
        "codes": np.concatenate([train_set.codes, test_set.codes]),
        "labels": np.concatenate([train_set.labels, test_set.labels]),
        "samples": test_set.images[shown],
        "sample_labels": test_set.labels[shown],
    }
    for k, of_class in enumerate(test_set.by_class):
        tensors |= tensors_of_moments(f"test.{k}", of_class)
    return tensors


def _write(folder: Path, card: Card, weights: bytes) -> None:
    """Write both files beside the folder, then move each into place."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        for name, content in ((WEIGHTS, weights), (CARD, card_text(card).encode())):
            (Path(scratch) / name).write_bytes(content)
            (Path(scratch) / name).replace(folder / name)


def card_text(card: Card) -> str:
    """`pack.toml`: a card whose strings need no escapes."""
    digests = "\n".join(f'{key} = "{digest}"' for key, digest in card.data_sha256.items())
    floor = "\n".join(
        f"{name} = {{ value = {level.value:.6g}, low = {level.low:.6g}, high = {level.high:.6g} }}"
        for name, level in card.floor.items()
    )
    return sealed(f"""\
format = {card.format}
name = "{card.name}"
dataset = "{card.dataset}"
seed = {card.seed}
public = {"true" if card.public else "false"}
made_with = "{card.made_with}"
classifier_accuracy = {card.classifier_accuracy!r}
train_images = {card.train_images}
test_images = {card.test_images}
weights_sha256 = "{card.weights_sha256}"

# sha256 of the arrays the pack was built from
[data_sha256]
{digests}

# near_duplicate: pixel distance; memorised: squared code distance; both calibrated on real images
[thresholds]
near_duplicate = {card.thresholds.near_duplicate!r}
memorised = {card.thresholds.memorised!r}

# what random subsets of real images score: the mean, and where 95 % of the subsets lie
[floor]
{floor}
""")
