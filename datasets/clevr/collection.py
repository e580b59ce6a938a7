"""Many scenes, rendered side by side on all cores; the order and the bytes do not depend on how many there are."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from datasets.clevr.film import Pixels
from datasets.clevr.render import SIZE, render_clearly
from datasets.clevr.scene import Scene

_CHUNK = 16


def collect(
    count: int, *, seed: int, size: tuple[int, int] = SIZE, metal: bool = False, workers: int | None = None
) -> Iterator[tuple[Scene, Pixels]]:
    """Scenes 0 … count − 1 of the set made from `seed`, in order, each with its images (3, height, width, 3).

    `workers` processes render them, by default one for each core; with 1 this process does.
    """
    one = partial(_one, seed=seed, size=size, metal=metal)
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        yield from map(one, range(count))
        return
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(one, range(count), chunksize=_CHUNK)
    finally:
        pool.shutdown(cancel_futures=True)


def _one(index: int, *, seed: int, size: tuple[int, int], metal: bool) -> tuple[Scene, Pixels]:
    return render_clearly(seed, index, size=size, metal=metal)
