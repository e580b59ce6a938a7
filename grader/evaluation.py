"""`grader evaluate`: metrics of images in files, without any lab."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from evaluator.errors import EvaluatorError
from evaluator.evaluate import METRICS, Against, Asked, measure, named
from evaluator.extractors.extractor import Extractor
from evaluator.measurement import Measurement
from evaluator.names import MetricName
from evaluator.pack import CARD, PUBLIC, Pack, public_pack
from evaluator.reference import RealImages, Reference
from evaluator.sample import Sample
from grader import image_files
from grader.errors import UsageError
from grader.packs import DATASETS, RawData, cache_folder

ALL = "all"


@dataclass(frozen=True)
class Row:
    """A measurement, or why there is none."""

    request: str
    measurement: Measurement | None
    reason: str = ""


@dataclass(frozen=True)
class Evaluation:
    """What was measured of which images."""

    sample: Sample
    rows: tuple[Row, ...]
    asked_by_name: bool

    @property
    def missing(self) -> list[str]:
        """Metrics that were asked for by name and could not be measured."""
        return [row.request for row in self.rows if row.measurement is None and self.asked_by_name]

    def table(self) -> Table:
        """All measurements, with what real images score where the pack knows it."""
        columns = ("metric", "value", "95 % interval", "real images")
        caption = "↑ more is better, ↓ less; real images: what as many of them score"
        table = Table(*(Column(name, no_wrap=True) for name in columns), box=box.SIMPLE, caption=caption)
        for m in (row.measurement for row in self.rows if row.measurement is not None):
            interval = f"{_number(m.low)} … {_number(m.high)}"
            table.add_row(m.name, f"{_number(m.value)} {_better(m.name)}", interval, self._floor(m.name))
        return table

    def reasons(self) -> list[str]:
        """Why each metric that is not in the table is not."""
        return [f"{row.request}: {row.reason}" for row in self.rows if row.measurement is None]

    def _floor(self, name: str) -> str:
        pack = self.sample.reference.pack
        level = pack.card.floor.get(name) if pack is not None else None
        return _number(level.value) if level is not None else ""

    def write_json(self, path: Path) -> None:
        """Write name, value, low, high and n of each measurement."""
        found = [asdict(row.measurement) for row in self.rows if row.measurement is not None]
        missing = [{"metric": row.request, "reason": row.reason} for row in self.rows if row.measurement is None]
        path.write_text(json.dumps({"measurements": found, "not_measured": missing}, indent=2, allow_nan=False) + "\n")


def evaluate(
    path: Path,
    reference: str,
    metrics: Sequence[str],
    *,
    labels: Path | None = None,
    data: Path | None = None,
    logits: Path | None = None,
) -> Evaluation:
    """Measure the images in a folder, zip, npy or npz against a data set, a pack, or other images.

    Without metrics, all that need nothing but a pack, or where there is none the Fréchet distance; with `all`, all that the
    images' labels allow. One that cannot be measured does not stop the others.

    Raises:
        UsageError: the images, the reference, the labels or a metric are not what was expected; the message says what was.
    """
    try:
        to = reference_of(reference, data, logits)
        file = image_files.read(path, grey=len(to.shape) == 2)
        sample = Sample.of(file.images, to, file.labels if labels is None else _labels(labels, len(file.images)))
        by_name = metrics and list(metrics) != [ALL]
        wanted = metrics if by_name else [name for name in METRICS if _applies(name, sample, everything=bool(metrics))]
        for request in wanted:
            named(request, len(sample.images), to)  # a slip of the pen is found before anything is measured
        return Evaluation(sample, tuple(_row(sample, request) for request in wanted), asked_by_name=bool(by_name))
    except EvaluatorError as error:
        raise UsageError(str(error)) from error


def reference_of(text: str, data: Path | None, logits: Path | None) -> Reference:
    """What a data set's name, a pack's folder, or a path of images stands for.

    Raises:
        UsageError: nothing that is known.
        PackError: a pack that cannot be loaded.
    """
    extractors = {"inception": _inception(logits)}
    cache, path = cache_folder() / "features", Path(text)
    if text in DATASETS:
        raw = RawData(text, data)
        if (PUBLIC / text / CARD).exists():
            return Reference.of_pack(public_pack(text), raw, extractors=extractors, cache=cache)
        return Reference.of_data(text, raw, extractors, cache=cache)
    if (path / CARD).exists():
        pack = Pack.load(path)
        return Reference.of_pack(pack, RawData(pack.card.dataset, data), extractors=extractors, cache=cache)
    if path.exists():
        file = image_files.read(path)
        return Reference.of_images(_split_name(path), RealImages(file.images, _whole(file.labels)), extractors, cache=cache)
    raise UsageError(
        f"--reference {text}: expected a data set ({', '.join(DATASETS)}), the folder of a pack, or a path of real images"
    )


def _split_name(path: Path) -> str:
    """A path's name as the part of a metric's name that says what images were compared with: it begins with a letter."""
    name = "".join(c if c.isalnum() and c.isascii() else "-" for c in path.stem.lower()).strip("-")
    return name if name[:1].isalpha() else f"images-{name}".rstrip("-")


def _labels(path: Path, n: int) -> image_files.Array:
    """The labels in a file, in the order of the images."""
    labels = image_files.read_labels(path)
    if len(labels) != n:
        raise UsageError(f"{path}: {len(labels):,} labels for {n:,} images")
    return labels[image_files.order(n)]


def _row(sample: Sample, request: str) -> Row:
    try:
        (measurement,) = measure(sample, [request]).values()
    except (EvaluatorError, UsageError) as error:
        return Row(request, None, str(error))
    return Row(request, measurement)


def _applies(metric: str, sample: Sample, *, everything: bool) -> bool:
    """Whether a metric is measured where none was asked for by name."""
    line, pack = METRICS[metric], sample.reference.pack
    if line.asked is not Asked.NOTHING and (sample.labels is None or (line.asked is Asked.CLASS) != (sample.labels.ndim == 1)):
        return False
    if everything:
        return pack is not None or not line.needs_pack
    return metric == "fid" if pack is None else line.against is not Against.FEATURES


def _inception(logits: Path | None) -> Callable[[], Extractor]:
    def load() -> Extractor:
        from evaluator.extractors.inception import Inception  # torch or OpenVINO, which take seconds

        return Inception.load(logits=logits, progress=_Bar())

    return load


class _Bar:
    """Progress on standard error, on a terminal only; each call says how far something is."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=Console(stderr=True), transient=True)

    def __call__(self, what: str, done: int, total: int) -> None:
        if not self._bars.console.is_terminal:
            return
        if not self._bars.tasks:
            self._bars.start()
            self._bars.add_task(what, total=total)
        self._bars.update(self._bars.task_ids[0], description=what, completed=done, total=total)
        if done == total:
            self._bars.stop()
            self._bars.remove_task(self._bars.task_ids[0])


def _whole(labels: image_files.Array | None) -> NDArray[np.integer] | None:
    return None if labels is None else labels.astype(np.int64)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _better(name: str) -> str:
    lower = METRICS[MetricName.parse(name).metric].lower_is_better
    return "" if lower is None else "↓" if lower else "↑"
