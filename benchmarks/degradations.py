"""Known ways to spoil real images, each in steps of known size, for finding out what a metric sees."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
CLASSES = 10
KEPT_LAST = 1
"""The class that is left when nine are dropped: MNIST's largest."""


@dataclass(frozen=True)
class Fresh:
    """Real images that a generator is to be imitated with, taken from `pool` without repeats, and what it may copy."""

    images: Bytes
    """(n, side, side), classes taking turns: image i is of class i mod 10."""
    asked: Integers
    """(n,), the classes asked for."""
    spare: Mapping[int, Bytes]
    """More images of each class, for those that a collapsed generator draws in place of others."""
    known: Bytes
    """(n, side, side), images of the training set, of the same classes as `images`."""

    @classmethod
    def of(cls, pool: Bytes, labels: Bytes, train: Bytes, train_labels: Bytes, n: int, random: np.random.Generator) -> Fresh:
        """Draw n images, equally many of each class, n a multiple of 10."""
        by_class = [random.permutation(np.flatnonzero(labels == k)) for k in range(CLASSES)]
        known = [random.choice(np.flatnonzero(train_labels == k), n // CLASSES, replace=False) for k in range(CLASSES)]
        return cls(
            pool[np.stack([rows[: n // CLASSES] for rows in by_class], axis=1).ravel()],
            np.arange(n) % CLASSES,
            {k: pool[rows[n // CLASSES :]] for k, rows in enumerate(by_class)},
            train[np.stack(known, axis=1).ravel()],
        )


@dataclass(frozen=True)
class Spoilt:
    """What the generator imitated made, and what it was asked for."""

    images: Bytes
    asked: Integers


@dataclass(frozen=True)
class Degradation:
    """A way of spoiling images by more and more."""

    name: str
    unit: str
    steps: tuple[float, ...]
    """From nothing on."""
    spoil: Callable[[Fresh, float], Spoilt]


def to_bytes(grey: NDArray[np.floating]) -> Bytes:
    """Rounded, and cut to 0 … 255."""
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def with_noise(images: Bytes, deviation: float) -> Bytes:
    """Independent Gaussian noise on every pixel."""
    return to_bytes(images + np.random.default_rng(1).normal(0, deviation, images.shape))


def blurred(images: Bytes, pixels: float) -> Bytes:
    """A Gaussian blur of that standard deviation."""
    return to_bytes(ndimage.gaussian_filter(images.astype(float), (0, pixels, pixels)))


def mirrored(images: Bytes) -> Bytes:
    """Left and right exchanged."""
    return images[:, :, ::-1]


def moved(images: Bytes, down: int, right: int) -> Bytes:
    """Moved by whole pixels; what leaves the frame is lost, and black comes in."""
    return ndimage.shift(images, (0, down, right), order=0)


def compressed(images: Bytes, quality: int) -> Bytes:
    """As JPEG of that quality gives them back."""

    def once(image: Bytes) -> Bytes:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return np.stack([once(image) for image in images])


def turned(images: Bytes, degrees: float) -> Bytes:
    """Rotated about the centre."""
    return to_bytes(ndimage.rotate(images.astype(float), degrees, axes=(1, 2), reshape=False, order=1))


def _chosen(n: int, share: float) -> Integers:
    """Indices of about that share of n images, equally many of each class, the same ones and more for a larger share."""
    groups = np.random.default_rng(2).permutation(n // CLASSES)[: round(share * n / CLASSES)]
    return (groups[:, None] * CLASSES + np.arange(CLASSES)).ravel()


def _whole(change: Callable[[Bytes, float], Bytes]) -> Callable[[Fresh, float], Spoilt]:
    """All images changed, the more the larger the step."""
    return lambda fresh, step: Spoilt(change(fresh.images, step) if step else fresh.images, fresh.asked)


def _copied(disguise: Callable[[Bytes], Bytes]) -> Callable[[Fresh, float], Spoilt]:
    """`percent` of the images are training images in disguise."""

    def spoil(fresh: Fresh, percent: float) -> Spoilt:
        rows = _chosen(len(fresh.images), percent / 100)
        images = fresh.images.copy()
        images[rows] = disguise(fresh.known[rows]) if len(rows) else fresh.known[rows]
        return Spoilt(images, fresh.asked)

    return spoil


def _repeated(fresh: Fresh, percent: float) -> Spoilt:
    """`percent` ≤ 50 of the images are replaced by repeats of others, each repeated once."""
    n = len(fresh.images)
    order, images = _chosen(n, 1), fresh.images.copy()
    rows = order[: len(_chosen(n, percent / 100))]
    images[rows] = fresh.images[order.reshape(-1, CLASSES)[::-1].ravel()[: len(rows)]]
    return Spoilt(images, fresh.asked)


def _dropped(fresh: Fresh, classes: float) -> Spoilt:
    """So many classes are never drawn: others take their place, in turn, whatever was asked for."""
    order = [k for k in np.random.default_rng(3).permutation(CLASSES) if k != KEPT_LAST]
    gone, kept = order[: int(classes)], [*order[int(classes) :], KEPT_LAST]
    images, taken = fresh.images.copy(), dict.fromkeys(kept, 0)
    for turn, row in enumerate(np.flatnonzero(np.isin(fresh.asked, gone))):
        k = kept[turn % len(kept)]
        images[row] = fresh.spare[k][taken[k]]
        taken[k] += 1
    return Spoilt(images, fresh.asked)


def _swapped(fresh: Fresh, percent: float) -> Spoilt:
    """`percent` of the images are of the class before the one asked for."""
    rows, asked = _chosen(len(fresh.images), percent / 100), fresh.asked.copy()
    asked[rows] = (asked[rows] + 1) % CLASSES
    return Spoilt(fresh.images, asked)


SHARES = (0, 1, 5, 10, 25, 50)
DEGRADATIONS = (
    Degradation("noise", "standard deviation, grey levels", (0, 4, 8, 16, 32, 64), _whole(with_noise)),
    Degradation("blur", "standard deviation, pixels", (0, 0.4, 0.6, 0.8, 1.2, 2), _whole(blurred)),
    Degradation("classes dropped", "of 10", (0, 1, 3, 5, 7, 9), _dropped),
    Degradation("repeats", "% of images", SHARES, _repeated),
    Degradation("copies", "% of images", SHARES, _copied(lambda images: images)),
    Degradation("copies, mirrored", "% of images", SHARES, _copied(mirrored)),
    Degradation("copies, moved", "% of images", SHARES, _copied(lambda images: moved(images, 1, 1))),
    Degradation("copies, JPEG 50", "% of images", SHARES, _copied(lambda images: compressed(images, 50))),
    Degradation("labels swapped", "% of images", SHARES, _swapped),
)

DISGUISES: Mapping[str, Callable[[Bytes], Bytes]] = {
    "plain": lambda images: images,
    "mirrored": mirrored,
    "moved by 1 pixel": lambda images: moved(images, 0, 1),
    "moved by 2 pixels": lambda images: moved(images, -2, 0),
    "moved by 2 pixels both ways": lambda images: moved(images, 2, 2),
    "JPEG, quality 75": lambda images: compressed(images, 75),
    "JPEG, quality 50": lambda images: compressed(images, 50),
    "mirrored, moved by 1 pixel, JPEG 75": lambda images: compressed(moved(mirrored(images), 1, 0), 75),
    "noise, 8 grey levels": lambda images: with_noise(images, 8),
    "noise, 16 grey levels": lambda images: with_noise(images, 16),
    "darker, by a fifth": lambda images: to_bytes(images * 0.8),
    "brighter, by 20 levels": lambda images: to_bytes(images.astype(float) + 20),
    "inverted": lambda images: 255 - images,
    "blur, 0.5 pixels": lambda images: blurred(images, 0.5),
    "blur, 1 pixel": lambda images: blurred(images, 1),
    "rotated by 3°": lambda images: turned(images, 3),
}
"""Ways to hide a copy."""
