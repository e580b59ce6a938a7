"""One thread of linear algebra where more would wait for each other longer than they work.

Matrices of a hundred rows are done in less time than it takes to share them out: with two threads on two cores, the distances
by class of ten classes take fifteen times as long as with one.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController

SMALL = 512
"""Rows up to which a matrix is small."""


def alone_if_small(rows: int) -> AbstractContextManager[object]:
    """A context in which BLAS works with one thread if matrices have at most 512 rows."""
    return _controller().limit(limits=1, user_api="blas") if rows <= SMALL else nullcontext()


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
