import threading
from collections import Counter
from concurrent.futures import Future

import pytest

from grader.engines.local import run


class Watch:
    """Counts what is under way; `gate` holds the work until as many as expected have come together."""

    def __init__(self, together: int) -> None:
        self.gate = threading.Barrier(together)
        self.lock = threading.Lock()
        self.busy: set[int] = set()
        self.most = 0
        self.clashes = 0

    def grade(self, item: int, slot: int) -> tuple[int, int]:
        with self.lock:
            self.clashes += slot in self.busy
            self.busy.add(slot)
            self.most = max(self.most, len(self.busy))
        self.gate.wait(timeout=60)
        with self.lock:
            self.busy.discard(slot)
        return item, slot


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_everything_is_done_once_by_so_many_at_a_time(workers: int) -> None:
    """The barrier opens only when all workers are inside at once, so fewer would hang and more would show."""
    watch = Watch(workers)
    done = list(run(range(12), watch.grade, workers))
    assert sorted(item for item, _ in done) == list(range(12))
    assert watch.most == workers
    assert watch.clashes == 0
    assert {slot for _, slot in done} <= set(range(workers))


def test_no_work_gives_nothing() -> None:
    assert list(run([], lambda item, slot: item, 4)) == []


def test_what_is_done_comes_first() -> None:
    first_may_end = threading.Event()

    def grade(item: str, slot: int) -> str:
        if item == "slow":
            assert first_may_end.wait(60)
        return item

    results = run(["slow", "quick"], grade, 2)
    assert next(results) == "quick"
    first_may_end.set()
    assert list(results) == ["slow"]


def test_an_exception_stops_the_rest() -> None:
    begun: Counter[int] = Counter()

    def grade(item: int, slot: int) -> int:
        begun[item] += 1
        if item == 2:
            raise OSError("disk full")
        return item

    results = run(range(1000), grade, 1)
    with pytest.raises(OSError, match="disk full"):
        list(results)
    assert begun == {0: 1, 1: 1, 2: 1}


def test_a_caller_that_stops_early_waits_for_what_is_under_way_and_starts_nothing_more() -> None:
    begun: list[int] = []
    ended: list[int] = []
    may_end = threading.Event()

    def grade(item: int, slot: int) -> int:
        begun.append(item)
        if item:
            assert may_end.wait(60)
        ended.append(item)
        return item

    results = run(range(1000), grade, 1)
    assert next(results) == 0
    threading.Timer(0.05, may_end.set).start()
    results.close()  # type: ignore[attr-defined]
    assert begun == ended == [0, 1]


def test_a_slot_is_free_again_after_an_exception() -> None:
    def grade(item: int, slot: int) -> int:
        if item < 5:
            raise ValueError
        return slot

    for _ in range(5):
        with pytest.raises(ValueError):
            list(run([0], grade, 1))
    assert list(run([7, 8], grade, 1)) == [0, 0]


def test_an_item_that_is_not_ready_keeps_nobody_waiting() -> None:
    arrived: dict[str, Future[None]] = {name: Future() for name in "abc"}
    arrived["b"].set_result(None)
    arrived["c"].set_result(None)
    results = run(["a", "b", "c"], lambda item, slot: item, 1, arrived.__getitem__)
    assert [next(results), next(results)] == ["b", "c"]
    threading.Timer(0.05, arrived["a"].set_result, [None]).start()
    assert list(results) == ["a"]


def test_an_item_that_becomes_ready_starts_while_another_is_under_way() -> None:
    arrived: dict[str, Future[None]] = {name: Future() for name in "ab"}
    arrived["a"].set_result(None)
    watch = Watch(2)
    threading.Timer(0.05, arrived["b"].set_result, [None]).start()
    assert sorted(item for item, _ in run(["a", "b"], watch.grade, 2, arrived.__getitem__)) == ["a", "b"]  # type: ignore[arg-type]
    assert watch.most == 2
