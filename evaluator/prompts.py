"""Sets of prompts, each some labels at once, and which images were asked for by which.

Prompts take turns, those of the first set first: image i was asked for by prompt i modulo their number. So the first images of a set,
as many as it has prompts, are a single draw of it, and every run of images holds all prompts about alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluator.arrays import Bytes, Integers
from evaluator.errors import CountError, UnknownMetricError


def multi_hot(prompts: Sequence[Sequence[int]], labels: int) -> Bytes:
    """Prompts, each the numbers of its labels, as rows of 0 and 1, uint8 (p, labels)."""
    rows = np.zeros((len(prompts), labels), np.uint8)
    for row, prompt in zip(rows, prompts, strict=True):
        row[list(prompt)] = 1
    return rows


@dataclass(frozen=True)
class Prompts:
    """Named sets of prompts."""

    sets: Mapping[str, Bytes]
    """(p, L) each, 1 where a prompt asks for the label, 0 elsewhere."""

    @property
    def count(self) -> int:
        """Number of prompts in all sets."""
        return sum(map(len, self.sets.values()))

    def labels(self, n: int) -> Bytes:
        """The labels that each of n images was asked for with, (n, L)."""
        return np.concatenate(list(self.sets.values()))[self.clusters(np.arange(n))]

    def clusters(self, rows: Integers) -> Integers:
        """The prompt of each image, images given by their indices; numbered through all sets."""
        return rows % self.count

    def rows(self, name: str, n: int, of: int) -> Integers:
        """Indices, among `of` images, of the first n that a set asked for.

        Raises UnknownMetricError where there is no such set, CountError where there are not so many images, or not the same
        number of each prompt.
        """
        if name not in self.sets:
            raise UnknownMetricError(f"no set of prompts is called {name!r}; there are {', '.join(self.sets)}")
        names, sizes = list(self.sets), [len(prompts) for prompts in self.sets.values()]
        size, first = sizes[names.index(name)], sum(sizes[: names.index(name)])
        prompt = self.clusters(np.arange(of))
        found = np.flatnonzero((prompt >= first) & (prompt < first + size))
        if not n or n % size or n > len(found):
            raise CountError(
                f"{n:,} images of the prompts {name}: expected a multiple of their number, {size}, up to {len(found):,} images"
            )
        return found[:n]
