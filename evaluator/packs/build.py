"""Build a pack from a data set: train the classifier, take moments and codes, calibrate on real images."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load, save

from evaluator.arrays import Bytes, Integers
from evaluator.errors import ImagesError, PackError
from evaluator.extractors.classifier import CLASSES
from evaluator.extractors.network import Network, extract, normalise, probabilities, restored
from evaluator.extractors.rounding import Weights, halved, in_bytes, whole
from evaluator.frechet import moments
from evaluator.images import SIDE, checked
from evaluator.metrics.duplicates import closest_other
from evaluator.metrics.memorisation import HOLD_OUT_QUANTILE, held_out
from evaluator.metrics.multilabel import THERE, topk_accuracy
from evaluator.neighbours import Projection, fit
from evaluator.pack import CARD, WEIGHTS, Card, Pack, Tensors, Thresholds, assemble, deflated, sealed, tensors_of_moments
from evaluator.packs.floor import Floor, Real
from evaluator.packs.recipes import Recipe, recipe_of
from evaluator.packs.train import Progress, train
from evaluator.reference import Data

LEAST = 2_000
"""Images a split must have, for a hold-out subset of the size that submissions are measured at."""
_PER_CLASS = 26
"""A sample of each class for reports, and enough in all (260) for two small training batches."""
_IN_COLOUR = 12
"""Samples of each class where they have three channels: as many bytes take fewer of them."""
_OF_LABELS = 129
"""Samples where images have several labels: a multiple of the three images of a scene; larger pictures, so fewer of them."""
_KEYS = ("x_train", "y_train", "x_test", "y_test")


def build(
    dataset: str,
    data: Data,
    out: Path | str,
    *,
    seed: int,
    public: bool,
    recipe: Recipe | None = None,
    trained: Network | None = None,
    progress: Progress | None = None,
) -> Pack:
    """Build the pack of a data set in the folder `out`, replacing one that is there, and load it.

    The classifier is trained from `seed`, so a pack from a secret seed has features that nobody can tune images to, by `recipe` or
    the data set's own; or it is one that is `trained`, kept as it is. `progress` is called with what is being done, steps done,
    steps in all. Raises PackError for unfit data.
    """
    _check(dataset, data)
    chosen = recipe or recipe_of(dataset)
    if trained is None:
        network: Network = train(data.x_train, data.y_train, chosen, seed=seed, progress=progress)
        keep = in_bytes if chosen.compact else halved
    else:
        _check_network(trained, data)
        network, keep = trained, whole
    normalise(network, _spread(data.x_train, 10_000))
    kept = keep(network.state_dict())
    return build_around(kept, dataset, data, out, seed=seed, public=public, together=chosen.together, progress=progress)


def build_around(
    weights: Weights,
    dataset: str,
    data: Data,
    out: Path | str,
    *,
    seed: int,
    public: bool,
    together: int = 1,
    progress: Progress | None = None,
) -> Pack:
    """Build the pack of a data set around a classifier that has been trained from `seed`: its weights as a pack keeps them.

    So many images in a row belong `together`, as those of a scene, and are not held out from each other.
    """
    steps = iter(range(1, 5))

    def done(what: str) -> None:
        if progress is not None:
            progress(what, next(steps), 4)

    classifier = restored(weights)  # what follows is about the rounded weights
    # where a picture in colour has one class, it is a photograph of one thing; with several labels, a scene before a backdrop
    photographs = data.x_train.ndim == 4 and data.y_train.ndim == 1
    projection = fit(_spread(data.x_train, 20_000), of_photographs=photographs)
    train_set = _real(data.x_train, data.y_train, classifier, projection)
    test_set = _real(data.x_test, data.y_test, classifier, projection)
    done("features")
    apart, nearest = held_out(np.concatenate([train_set.codes, test_set.codes]), together)
    labels = np.concatenate([train_set.labels, test_set.labels])
    thresholds = Thresholds(
        near_duplicate=float(np.quantile(closest_other(data.x_test), HOLD_OUT_QUANTILE)) / 2,
        memorised=_limits(apart, labels[nearest]),
    )
    done("thresholds")
    tensors = save(_tensors(weights, projection, train_set, test_set))
    card = Card(
        format=4,
        name=f"{dataset}-public" if public else f"{dataset}-private",
        dataset=dataset,
        seed=seed,
        public=public,
        made_with=f"torch {torch.__version__}, numpy {np.__version__}",
        **_accuracy(test_set),
        train_images=len(data.x_train),
        test_images=len(data.x_test),
        data_sha256={key: hashlib.sha256(getattr(data, key).tobytes()).hexdigest() for key in _KEYS},
        weights_sha256=hashlib.sha256(tensors).hexdigest(),
        thresholds=thresholds,
        floor={},
    )
    limits = assemble(card, "", load(tensors)).copy_limits(nearest)
    floor = Floor(train_set, test_set, apart < limits, thresholds.near_duplicate, np.random.default_rng(seed))
    card = card.model_copy(update={"floor": floor.of_labels() if labels.ndim == 2 else floor.of_classes()})
    done("hold-out floor")
    _write(Path(out), card, tensors)
    done("written")
    return Pack.load(out)


def _limits(apart: Integers, nearest: Bytes) -> float | tuple[float, ...]:
    """What one real image in a thousand is nearer than; by the number of labels of the nearest one, where it has several."""
    if nearest.ndim == 1:
        return float(np.quantile(apart, HOLD_OUT_QUANTILE))
    shown = nearest.sum(axis=1)
    return tuple(float(np.quantile(apart[shown == k], HOLD_OUT_QUANTILE)) for k in range(1, int(shown.max()) + 1))


def _accuracy(test_set: Real) -> dict[str, Any]:
    """What the card says of the classifier."""
    seen, labels = test_set.probabilities, test_set.labels
    if labels.ndim == 1:
        return {"classifier_accuracy": float((seen.argmax(axis=1) == labels).mean())}
    right = ((seen > THERE) == labels.astype(bool)).mean(axis=0)
    return {"classifier_accuracy": topk_accuracy(seen, labels, "").value, "label_accuracy": tuple(right.tolist())}


def _check(dataset: str, data: Data) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", dataset):
        raise PackError(f"data set name {dataset!r}: expected lower-case letters, digits, - and _")
    for images, labels, split in ((data.x_train, data.y_train, "training"), (data.x_test, data.y_test, "test")):
        try:
            checked(images, (3, *images.shape[2:]) if images.ndim == 4 else (SIDE, SIDE))
        except ImagesError as error:
            raise PackError(f"{split} images of {dataset}: {error}") from error
        if len(images) < LEAST:
            raise PackError(f"{dataset} has {len(images):,} {split} images, expected at least {LEAST:,}")
        _check_labels(labels, len(images), f"{split} labels of {dataset}")
        if labels.ndim == 1 and split == "training" and np.bincount(labels).min() < LEAST // CLASSES:
            raise PackError(
                f"{dataset} has only {np.bincount(labels).min()} training images of a class, expected at least {LEAST // CLASSES}"
            )


def _check_labels(labels: Bytes, images: int, what: str) -> None:
    if labels.dtype != np.uint8 or labels.ndim not in (1, 2) or len(labels) != images:
        raise PackError(f"{what}: {labels.dtype} {labels.shape}, expected uint8 {(images,)}, or ({images}, labels)")
    if labels.ndim == 1 and np.unique(labels).tolist() != list(range(CLASSES)):
        raise PackError(f"{what} are {np.unique(labels).tolist()}, expected each of 0–9")
    if labels.ndim == 2 and (labels.max() > 1 or not labels.any(axis=1).all() or not labels.any(axis=0).all()):
        raise PackError(f"{what}: expected rows of 0 and 1, with a label at least, and each label in some image")


def _check_network(network: Network, data: Data) -> None:
    expected = data.y_train.shape[1] if data.y_train.ndim == 2 else CLASSES
    if network.head.out_features != expected:
        raise PackError(f"the classifier tells {network.head.out_features} classes apart, and the data set has {expected}")


def _spread(images: Bytes, about: int) -> Bytes:
    """About so many of the images, evenly over the set."""
    return images[:: max(len(images) // about, 1)]


def _real(images: Bytes, labels: Bytes, classifier: Network, projection: Projection) -> Real:
    features, scores = extract(classifier, images)
    seen = probabilities(scores, multi_label=labels.ndim == 2)
    return Real(images, labels, features, seen, moments(features), projection.encode(images))


def _tensors(weights: Weights, projection: Projection, train_set: Real, test_set: Real) -> Tensors:
    tensors = {
        **{f"classifier.{name}": array for name, array in weights.items()},
        **tensors_of_moments("train", train_set.moments),
        **tensors_of_moments("test", test_set.moments),
        "projection.mean": projection.mean,
        "projection.axes": projection.axes,
        **deflated("codes", np.concatenate([train_set.codes, test_set.codes])),
        **deflated("labels", np.concatenate([train_set.labels, test_set.labels])),
    }
    if test_set.labels.ndim == 2:
        return {**tensors, **deflated("samples", test_set.images[:_OF_LABELS]), "sample_labels": test_set.labels[:_OF_LABELS]}
    of_class = _IN_COLOUR if test_set.images.ndim == 4 else _PER_CLASS
    shown = np.concatenate([np.flatnonzero(test_set.labels == k)[:of_class] for k in range(CLASSES)])
    for k, gaussian in enumerate(test_set.by_class):
        tensors |= tensors_of_moments(f"test.{k}", gaussian)
    return {**tensors, **deflated("samples", test_set.images[shown]), "sample_labels": test_set.labels[shown]}


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
    limits = card.thresholds.memorised
    memorised = repr(limits) if isinstance(limits, float) else repr(list(limits))
    by_label = f"label_accuracy = {[round(share, 5) for share in card.label_accuracy]!r}\n" if card.label_accuracy else ""
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
{by_label}train_images = {card.train_images}
test_images = {card.test_images}
weights_sha256 = "{card.weights_sha256}"

# sha256 of the arrays the pack was built from
[data_sha256]
{digests}

# near_duplicate: pixel distance; memorised: squared code distance; both calibrated on real images
[thresholds]
near_duplicate = {card.thresholds.near_duplicate!r}
memorised = {memorised}

# what random subsets of real images score: the mean, and where 95 % of the subsets lie
[floor]
{floor}
""")
