"""The real images that generated ones are compared with, as each extractor sees them.

What a pack ships is taken from it. Everything else is worked out from the real images once, and kept in a folder where one
is given: features take hours where the network is large and the data set is too.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from evaluator.arrays import Bytes, Features
from evaluator.errors import RealImagesError, UnknownMetricError
from evaluator.extractors.extractor import Extractor
from evaluator.extractors.indomain import InDomain
from evaluator.frechet import Gaussian, factored, moments
from evaluator.images import Images, chunks
from evaluator.pack import SPLITS, Pack

_PIECE = 1000
"""Images between two writes to the disk: what is lost of an extraction that is interrupted."""

T = TypeVar("T")


class Data(Protocol):
    """A data set: images, uint8 (n, height, width) or (n, 3, height, width), with labels, uint8 (n,)."""

    @property
    def x_train(self) -> Bytes: ...
    @property
    def y_train(self) -> Bytes: ...
    @property
    def x_test(self) -> Bytes: ...
    @property
    def y_test(self) -> Bytes: ...


@dataclass(frozen=True)
class RealImages:
    """A set of real images."""

    images: Images
    labels: NDArray[np.integer] | None = None
    """(n,), from 0."""

    def digest(self) -> str:
        """The sha256 of the images' shape and bytes."""
        found = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        for rows in chunks(len(self.images), _PIECE):
            found.update(np.ascontiguousarray(self.images[rows]).tobytes())
        return found.hexdigest()


@dataclass(frozen=True)
class Reference:
    """Real images, their splits by name, and the networks to see them with."""

    name: str
    """Of the data set; it begins the names of cached files."""
    splits: Mapping[str, Callable[[], RealImages]]
    """What reads the images of each split, when they are needed; the first split is compared with where a name says nothing."""
    extractors: Mapping[str, Callable[[], Extractor]]
    """What makes each extractor, when it is needed; the first is the default."""
    pack: Pack | None = None
    cache: Path | None = None
    """Where features are kept; None: nowhere."""
    _known: dict[tuple[object, ...], object] = field(default_factory=dict, repr=False)

    @classmethod
    def of_pack(
        cls,
        pack: Pack,
        data: Data | None = None,
        *,
        extractors: Mapping[str, Callable[[], Extractor]] | None = None,
        cache: Path | None = None,
    ) -> Reference:
        """The data set of a pack. `data`, its images, are needed only for what a pack does not hold: features of real images.

        `extractors` are others besides the pack's own.
        """
        known = {"indomain": lambda: InDomain(pack), **(extractors or {})}
        return cls(pack.card.dataset, _splits(data), known, pack, cache)

    @classmethod
    def of_data(
        cls, name: str, data: Data, extractors: Mapping[str, Callable[[], Extractor]], *, cache: Path | None = None
    ) -> Reference:
        """A data set that there is no pack for."""
        return cls(name, _splits(data), extractors, cache=cache)

    @classmethod
    def of_images(
        cls, name: str, images: RealImages, extractors: Mapping[str, Callable[[], Extractor]], *, cache: Path | None = None
    ) -> Reference:
        """Any real images; `name`, lower-case letters, digits and hyphens, is their split's name as well."""
        return cls(name, {name: lambda: images}, extractors, cache=cache)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image."""
        if self.pack is not None:
            return self.pack.samples.shape[1:]
        return tuple(self.real(next(iter(self.splits))).images.shape[1:])

    def real(self, split: str) -> RealImages:
        """The images of a split; raises RealImagesError where they are not at hand."""
        if split not in self.splits:
            raise RealImagesError(f"{self.name} has no split called {split!r}; it has {', '.join(self.splits)}")
        return self._once(("real", split), self.splits[split])

    def extractor(self, name: str) -> Extractor:
        """The extractor of that name; raises UnknownMetricError where there is none."""
        if name not in self.extractors:
            raise UnknownMetricError(f"no extractor is called {name!r} here; there are {', '.join(self.extractors)}")
        return self._once(("extractor", name), self.extractors[name])

    def gaussian(self, split: str, extractor: str) -> Gaussian:
        """Moments of the features of a split: the pack's, else worked out."""
        if self.pack is not None and extractor == InDomain.name and split in SPLITS:
            return self.pack.train if split == "train" else self.pack.test
        return self._once(("gaussian", split, extractor), lambda: factored(moments(self.features(split, extractor))))

    def gaussians_by_class(self, split: str, extractor: str) -> tuple[Gaussian, ...]:
        """Moments of the features of each class of a split, by label; raises RealImagesError where it has no labels."""
        if self.pack is not None and extractor == InDomain.name and split == "test":
            return self.pack.test_by_class
        return self._once(("by class", split, extractor), lambda: self._by_class(split, extractor))

    def features(self, split: str, extractor: str) -> Features:
        """Features (n, D) of all images of a split, in their order; raises RealImagesError where they are not at hand."""
        return self._once(("features", split, extractor), lambda: self._features(split, extractor))

    def derived(self, what: str, split: str, extractor: str, work: Callable[[Features], T]) -> T:
        """What `work` makes of the features of a split, done once; `what` names it."""
        return self._once((what, split, extractor), lambda: work(self.features(split, extractor)))

    def once(self, what: str, work: Callable[[], T]) -> T:
        """What `work` makes of the real images as a pack has them, done once; `what` names it."""
        return self._once((what,), work)

    def _once(self, key: tuple[object, ...], work: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = work()
        return self._known[key]  # type: ignore[return-value]

    def _by_class(self, split: str, extractor: str) -> tuple[Gaussian, ...]:
        labels = self.real(split).labels
        if labels is None:
            raise RealImagesError(f"{self.name} has no labels: metrics by class need real images with their classes")
        features = self.features(split, extractor)
        return tuple(factored(moments(features[labels == k])) for k in range(int(labels.max()) + 1))

    def _features(self, split: str, extractor: str) -> Features:
        real, network = self.real(split), self.extractor(extractor)
        if self.cache is None:
            return network.extract(real.images).features
        key = hashlib.sha256(f"{network.identity} {real.digest()}".encode()).hexdigest()[:16]
        return _cached(self.cache / f"{self.name}-{split}-{extractor}-{key}.npy", network, real.images)


def _splits(data: Data | None) -> dict[str, Callable[[], RealImages]]:
    def read(split: str) -> RealImages:
        if data is None:
            raise RealImagesError(
                f"this compares with features of the {split} images, which a pack does not hold: give the data set's images too"
            )
        return RealImages(getattr(data, f"x_{split}"), getattr(data, f"y_{split}"))

    return {split: functools.partial(read, split) for split in SPLITS}


def _cached(file: Path, network: Extractor, images: Images) -> Features:
    """Features of the images from the file, which is written first, piece by piece: interrupted, it goes on where it was.

    A row that is missing yet is NaN.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        if not file.exists():
            partial = file.with_suffix(".partial")
            kept = _opened(partial, (len(images), network.dimension))
            for rows in chunks(len(images), _PIECE):
                if np.isnan(kept[rows, 0]).any():
                    kept[rows] = network.extract(images[rows]).features
                    kept.flush()
            partial.replace(file)
    return _opened(file, (len(images), network.dimension))


def _opened(file: Path, shape: tuple[int, int]) -> np.memmap[tuple[int, int], np.dtype[np.float32]]:
    """Features in a file, made where it does not exist."""
    if not file.exists():
        made = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
        made[:] = np.nan
        return made
    try:
        kept = np.lib.format.open_memmap(file, mode="r")  # unlike r+, it does not lengthen a file that was cut off
    except (OSError, ValueError) as error:
        raise RealImagesError(f"{file}: {error}: the kept features are damaged; remove the file") from error
    if kept.shape != shape or kept.dtype != np.float32:
        raise RealImagesError(f"{file}: {kept.dtype} {kept.shape}, expected float32 {shape}; remove the file")
    return np.lib.format.open_memmap(file, mode="r+")
