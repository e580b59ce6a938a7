"""Grade a class on this machine, several submissions at a time."""

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

Work = TypeVar("Work")
Done = TypeVar("Done")


def run(work: Sequence[Work], grade: Callable[[Work, int], Done], workers: int) -> Iterator[Done]:
    """Yield `grade(item, slot)` for every item, in order of completion.

    Threads are enough: the time goes to sandboxed processes and to numerical code that releases the interpreter lock. At most
    `workers` items are under way, each with a slot number of its own in [0, workers). When the caller stops early (an interrupt, an
    error), nothing further is started.
    """
    slots: queue.SimpleQueue[int] = queue.SimpleQueue()
    for slot in range(workers):
        slots.put(slot)

    def one(item: Work) -> Done:
        slot = slots.get()
        try:
            return grade(item, slot)
        finally:
            slots.put(slot)

    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="worker")
    try:
        for future in as_completed([pool.submit(one, item) for item in work]):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
