"""Grade a class on this machine, several submissions at a time."""

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

Work = TypeVar("Work")
Done = TypeVar("Done")


def run(work: Sequence[Work], grade: Callable[[Work, int], Done], workers: int) -> Iterator[Done]:
    """Yield `grade(item, slot)` for every item, in order of completion.

    Threads are enough: the time goes to sandboxed processes and to numerical code that releases the interpreter lock. At most
    `workers` items are under way, each with a slot number of its own in [0, workers). When the caller stops early (an interrupt, an
    error) or `grade` raises, nothing further is started, and what is under way is waited for.
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

    waiting = iter(work)
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="worker") as pool:
        running = {pool.submit(one, item) for item in islice(waiting, workers)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            results = [future.result() for future in done]
            running |= {pool.submit(one, item) for item in islice(waiting, len(done))}
            yield from results
