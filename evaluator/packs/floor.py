"""What random subsets of real images score: a generator shouldn't be expected to do better. Each split is the hold-out of the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evaluator.arrays import Bytes, Features, Floats, Integers
from evaluator.extractors.classifier import CLASSES
from evaluator.frechet import Gaussian, Moments, distance_of_features, factored, moments
from evaluator.measurement import Measurement
from evaluator.metrics.class_fid import class_fids
from evaluator.metrics.confidence import confident
from evaluator.metrics.duplicates import duplicates, near_others
from evaluator.metrics.histogram import class_kl
from evaluator.metrics.memorisation import memorised
from evaluator.metrics.multilabel import Asked, exact_match, extra_labels, topk_accuracy
from evaluator.neighbours import Codes
from evaluator.pack import Level

_SUBSETS = 20
BY_PROMPTS = 4_096
"""Images of a submission that answers prompts, 64 to each of 64; half of them to each of two sets."""


@dataclass(frozen=True)
class Real:
    """Real images as the metrics see them."""

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


class _SubsetValue(Protocol):
    """What the images of these indices score."""

    def __call__(self, chosen: Integers, /) -> float: ...


@dataclass(frozen=True)
class Floor:
    """The real images to draw subsets of."""

    train: Real
    test: Real
    copies: NDArray[np.bool_]
    """(train + test images,), whether an image is as near to others as copies are."""
    near: float
    """The pixel distance of near duplicates."""
    random: np.random.Generator

    def of_classes(self) -> dict[str, Level]:
        """Where an image has a class."""
        train, test = self.train, self.test
        sure, copies = test.probabilities, self.copies[len(train.images) :]
        floor = {
            "fid2k_test_indomain": self._subsets(train, 2_000, _distance(train, test.gaussian)),
            "fid2k_train_indomain": self._subsets(test, 2_000, _distance(test, train.gaussian)),
            "class_kl2k_uniform_indomain": self._subsets(
                train, 2_000, lambda chosen: class_kl(train.probabilities[chosen], "").value
            ),
            "confident2k_indomain": self._subsets(test, 2_000, lambda chosen: confident(sure[chosen], "").value),
            "memorised2k_traintest_pixels": self._subsets(test, 2_000, lambda chosen: memorised(copies[chosen], "").value),
        }
        if len(train.images) >= 10_000:
            floor["fid10k_test_indomain"] = self._subsets(train, 10_000, _distance(train, test.gaussian))
        agreeing = sure.argmax(axis=1) == test.labels
        floor["class_agreement2k_indomain"] = self._subsets(test, 2_000, lambda chosen: float(agreeing[chosen].mean()))
        floor["class_fid2k_test_indomain"] = self._class_fid()
        floor["duplicates2k_pixels"] = self._subsets(test, 2_000, self._duplicates_of(test))
        return floor

    def of_labels(self) -> dict[str, Level]:
        """Where it has several labels: real images in place of those that prompts would ask for, each with its own labels."""
        train, test, n = self.train, self.test, BY_PROMPTS
        half = n // 2
        floor = {
            f"fid{n}_test_indomain": self._subsets(train, n, _distance(train, test.gaussian)),
            f"memorised{n}_traintest_pixels": self._subsets(train, n, lambda chosen: memorised(self.copies[chosen], "").value),
            f"duplicates{n}_pixels": self._subsets(train, n, self._duplicates_of(train), times=3),
        }
        by_rule = {"topk_accuracy": topk_accuracy, "exact_match": exact_match, "extra_labels": extra_labels}
        for name, measured in by_rule.items():
            level = self._subsets(test, half, _seen(test, measured))
            floor |= {f"{name}{half}_{prompts}_indomain": level for prompts in ("test", "new-test")}
        return floor

    def _subsets(self, hold_out: Real, n: int, value: _SubsetValue, times: int = _SUBSETS) -> Level:
        return _level([value(self.random.choice(len(hold_out.images), n, replace=False)) for _ in range(times)])

    def _duplicates_of(self, real: Real) -> _SubsetValue:
        return lambda chosen: duplicates(near_others(real.images[chosen], self.near), "").value

    def _class_fid(self) -> Level:
        """What training images score against test images of their class, equally many of each class."""
        to = [factored(of) for of in self.test.by_class]
        rows = [np.flatnonzero(self.train.labels == k) for k in range(CLASSES)]

        def value() -> float:
            chosen = np.stack([self.random.choice(of_class, 2_000 // CLASSES, replace=False) for of_class in rows])
            return float(class_fids(self.train.features[chosen], to).mean())

        return _level([value() for _ in range(_SUBSETS)])


def _seen(real: Real, measured: Callable[[Floats, Asked, str], Measurement]) -> _SubsetValue:
    return lambda chosen: measured(real.probabilities[chosen], real.labels[chosen], "").value


def _distance(hold_out: Real, to: Gaussian) -> _SubsetValue:
    return lambda chosen: distance_of_features(hold_out.features[chosen], to)


def _level(values: Sequence[float]) -> Level:
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    return Level(value=mean, low=max(mean - 1.96 * spread, 0.0), high=mean + 1.96 * spread)
