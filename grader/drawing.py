"""The pictures of `grader evaluate --pictures`: the images, their classes, their nearest real ones, FID against their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np

from evaluator.arrays import Bytes
from evaluator.errors import EvaluatorError
from evaluator.frechet import distance_interval
from evaluator.metrics.fd_infinity import curve, fd_infinity
from evaluator.pictures.charts import class_histogram, confusion_chart, fid_curve, png
from evaluator.pictures.grids import beside, class_grid, grid
from evaluator.sample import Neighbour, Sample
from grader.errors import UsageError

Picture: TypeAlias = Callable[[Sample], bytes]

SHOWN = 100
ROWS_BY_CLASS = 8
PAIRS = 24
PARTS = range(1, 9)
"""The curve's numbers of images: all, half, a third, … of them."""


def draw(sample: Sample, folder: Path) -> tuple[list[Path], list[str]]:
    """Draw all pictures that there is enough for; returns the files, and of each that is missing why it is."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn, missing = [], []
    for name, picture in _pictures(sample):
        try:
            data = picture(sample)
        except (EvaluatorError, UsageError) as error:
            missing.append(f"{name}: {error}")
            continue
        (folder / name).write_bytes(data)
        drawn.append(folder / name)
    return drawn, missing


def _pictures(sample: Sample) -> Iterator[tuple[str, Picture]]:
    yield "samples.png", _samples
    yield "fid-by-n.png", _fid_by_n
    if sample.reference.pack is not None:
        yield "neighbours.png", _neighbours
        if not sample.reference.pack.multi_label:
            yield "classes-seen.png", _histogram
    if sample.labels is not None and sample.labels.ndim == 1:
        yield "classes-asked.png", _by_class
        if sample.reference.pack is not None:
            yield "confusion.png", _confusion


def _samples(sample: Sample) -> bytes:
    return grid(sample.images[:SHOWN], 10, 2)


def _by_class(sample: Sample) -> bytes:
    return class_grid(sample.pixels, sample.asked, int(sample.asked.max()) + 1, ROWS_BY_CLASS, 2)


def _histogram(sample: Sample) -> bytes:
    shares = sample.describe().shares
    return png(class_histogram(shares, _names(len(shares))))


def _confusion(sample: Sample) -> bytes:
    counts = sample.indomain.confusion
    return png(confusion_chart(counts, _names(len(counts))))


def _neighbours(sample: Sample) -> bytes:
    closest = sample.closest(PAIRS)
    real = [_real(sample, neighbour) for neighbour in closest]
    return beside(sample.pixels[[neighbour.image for neighbour in closest]], np.stack(real), columns=6, scale=2)


def _real(sample: Sample, of: Neighbour) -> Bytes:
    """The real image, or where the data set is not at hand what the pack's few numbers tell of it."""
    try:
        found = sample.reference.real(of.split).images[of.index : of.index + 1]
    except (EvaluatorError, UsageError):
        pack = sample.pack
        row = of.index + (pack.card.train_images if of.split == "test" else 0)
        found = pack.projection.decode(pack.codes[row : row + 1], pack.samples.shape[1:])
    image: Bytes = found[0]
    return image


def _fid_by_n(sample: Sample) -> bytes:
    """Distances by the default extractor to the default split, the interval being that of one set of so many images."""
    split, extractor = next(iter(sample.reference.splits)), next(iter(sample.reference.extractors))
    features, to = sample.seen_by(extractor).features, sample.reference.gaussian(split, extractor)
    limit = fd_infinity(features, to, "")
    counts = np.array([len(features) // part for part in PARTS])
    values = curve(features, to, counts.tolist())
    halves = [np.ptp(distance_interval(features[:count], to)[1:]) / 2 for count in counts]
    slope = float(np.polynomial.Polynomial.fit(1 / counts, values, deg=1).deriv()(0.0))
    intervals = np.stack([np.maximum(values - halves, 0), values + halves], axis=1)
    return png(fid_curve(counts, values, intervals, (limit.value, limit.low, limit.high), slope))


def _names(classes: int) -> list[str]:
    return [str(k) for k in range(classes)]
