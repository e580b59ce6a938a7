"""Grade a class on this machine, several submissions at a time."""

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

Work = TypeVar("Work")
Done = TypeVar("Done")


def run(
    work: Sequence[Work], grade: Callable[[Work, int], Done], workers: int, ready: Callable[[Work], Future[None]] | None = None
) -> Iterator[Done]:
    """Yield `grade(item, slot)` for every item, in order of completion.

    Threads are enough: the time goes to sandboxed processes and to numerical code that releases the interpreter lock. At most
    `workers` items are under way, each with a slot number of its own in [0, workers). When the caller stops early (an interrupt, an
    error) or `grade` raises, nothing further is started, and what is under way is waited for.

    ready: gives each item a future of its own; the item keeps no worker waiting until that is done, and later ones go before it.
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

    waiting = {ready(item) if ready else _done(): item for item in work}
    running: set[Future[Any]] = set()
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="worker") as pool:

        def start() -> None:
            free = workers - len(running)
            for future in list(islice((future for future in waiting if future.done()), free)):
                running.add(pool.submit(one, waiting.pop(future)))

        start()
        while waiting or running:
            watched = running | waiting.keys() if len(running) < workers else running
            finished, _ = wait(watched, return_when=FIRST_COMPLETED)
            results = [future.result() for future in finished & running]
            running -= finished
            start()
            yield from results


def _done() -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future
