"""Which pack scores a data set, and where its raw data are: the grader's side of evaluator.pack and of the data sets."""

import importlib
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from evaluator.errors import EvaluatorError
from evaluator.pack import PUBLIC, Pack, public_pack
from grader.course import Course
from grader.errors import CourseError, UsageError

DATASETS = ("mnist", "fashion_mnist", "iclevr", "cifar10")
"""Data sets that can be fetched and compared with; there are public packs of them, and private ones can be built."""
IMPORTED = "iclevr"
"""The data set that has no address to be fetched from: it is rendered, or imported from the folder that a course hands out."""


def cache_folder() -> Path:
    """The user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "gan-lab-grader"


def data_folder() -> Path:
    """Where raw data sets are kept when no folder is given."""
    return cache_folder() / "data"


def _module(dataset: str) -> ModuleType:
    """The module of a data set; data sets come with the repository, not with the installed package."""
    _expect_known(dataset)
    try:
        return importlib.import_module(f"datasets.{dataset}")
    except ImportError as error:
        raise UsageError("raw data sets need a checkout of the repository: run this command inside it") from error


def _expect_known(dataset: str) -> None:
    if dataset not in DATASETS:
        raise UsageError(f"no data set is called {dataset!r}; there are: {', '.join(DATASETS)}")


def _load(dataset: str, data: Path | None) -> Any:
    """The raw data, as evaluator.packs.build takes them.

    Raises:
        UsageError: they are missing or damaged, or the data sets are not installed.
    """
    module = _module(dataset)
    from datasets.errors import DatasetError

    try:
        return module.load(data or data_folder())
    except DatasetError as error:
        raise UsageError(str(error)) from error


@dataclass(frozen=True)
class RawData:
    """A raw data set that is read when something of it is needed; raises UsageError then, as `_load` does."""

    dataset: str
    folder: Path | None

    @cached_property
    def _read(self) -> Any:
        return _load(self.dataset, self.folder)

    @property
    def x_train(self) -> NDArray[np.uint8]:
        """Training images."""
        return self._read.x_train  # type: ignore[no-any-return]

    @property
    def y_train(self) -> NDArray[np.uint8]:
        """Their classes."""
        return self._read.y_train  # type: ignore[no-any-return]

    @property
    def x_test(self) -> NDArray[np.uint8]:
        """Test images."""
        return self._read.x_test  # type: ignore[no-any-return]

    @property
    def y_test(self) -> NDArray[np.uint8]:
        """Their classes."""
        return self._read.y_test  # type: ignore[no-any-return]


def get_data(dataset: str, to: Path | None, source: Path | None = None) -> Path:
    """Fetch, render or, from the folder `source`, import a raw data set, and verify it; returns its folder.

    Raises:
        UsageError: unknown, cannot be fetched, imported or written; the message says which and what to do.
    """
    module = _module(dataset)
    if source is not None and dataset != IMPORTED:
        raise UsageError(f"{dataset} is fetched, not imported: leave --from out (only {IMPORTED} has a folder to import)")
    from datasets.errors import DatasetError

    root = to or data_folder()
    try:
        module.get(root, **({} if source is None else {"source": source}))
    except DatasetError as error:
        raise UsageError(str(error)) from error
    return root


def render_data(to: Path, *, scenes: int | None, seed: int, metal: bool) -> str:
    """Render i-CLEVR as a folder of pictures and lists, as courses hand it out; returns a line that says what came out.

    Raises:
        UsageError: the folder is there already, or cannot be written.
    """
    _module(IMPORTED)
    from datasets import iclevr, iclevr_folder
    from datasets.errors import DatasetError

    if to.exists():
        raise UsageError(f"{to} exists: name a folder that does not")
    count = iclevr.SCENES if scenes is None else scenes
    try:
        iclevr_folder.write(to, count, seed=seed, metal=metal, progress=True)
    except DatasetError as error:
        raise UsageError(str(error)) from error
    return f"{to}: {count} scenes, {3 * count} pictures"


def build(dataset: str, out: Path, data: Path | None, *, seed: int | None, public: bool, evaluator: Path | None = None) -> str:
    """Build a pack from the raw data, around a course's own classifier where its file is given; returns a line on what came out.

    Raises:
        UsageError: the raw data or the course's classifier are missing or damaged, or the pack cannot be written.
    """
    if evaluator is not None and dataset != IMPORTED:
        raise UsageError(f"{dataset}: leave --evaluator out; courses hand out a classifier of {IMPORTED} only")
    raw = _load(dataset, data)
    from evaluator.packs.build import build as build_pack  # torch, which takes seconds to import and nothing else here needs
    from evaluator.packs.courses import course_network

    bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with bar:
        task = bar.add_task(f"pack of {dataset}")

        def show(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        try:
            chosen = secrets.randbits(63) if seed is None else seed
            trained = None if evaluator is None else course_network(evaluator)
            pack = build_pack(dataset, raw, out, seed=chosen, public=public, trained=trained, progress=show)
        except EvaluatorError as error:
            raise UsageError(str(error)) from error
    return f"{out}: classifier accuracy {pack.card.classifier_accuracy:.2%}, sha256 {pack.sha256[:12]}"


def build_private(course: Course, dataset: str, data: Path | None) -> str:
    """Build a course's private pack unless it has one; where the raw data are absent, say that the public pack serves.

    Raises:
        UsageError: there is no such data set, or the pack cannot be built or written.
    """
    target = course.packs / dataset
    if target.exists():
        return f"{dataset}: private pack at {target}"
    _expect_known(dataset)
    try:
        _load(dataset, data)
    except UsageError as error:
        return (
            f"{dataset}: graded with the public pack, since the raw data for a private one are not here ({error}). "
            f"`grader data get {dataset}`, then `grader init` again, builds a private pack that students cannot tune against."
        )
    said = build(dataset, target, data, seed=None, public=False)
    course.packs.chmod(0o700)  # where nothing but permissions keeps student code from files
    return said


def find(course: Course, dataset: str) -> Pack:
    """The course's private pack, else the public one.

    Raises:
        CourseError: neither can be loaded.
    """
    private = course.packs / dataset
    try:
        return Pack.load(private) if private.exists() else public_pack(dataset)
    except EvaluatorError as error:
        raise CourseError(f"no pack for {dataset}: {error}{_remedy(private, dataset)}") from error


def _remedy(private: Path, dataset: str) -> str:
    """What to do about a pack that is there and cannot be loaded; another pack gives other scores, so none is chosen in silence."""
    if private.exists():
        return (
            f". Put a copy of {private} back; or remove it, and `grader init` on the lab folder builds another one, with which everything "
            "is graded again"
        )
    return ". It came with the grader: install that again" if (PUBLIC / dataset).exists() else ""
