"""The name of a measurement: metric, number of images, reference, extractor, as in `fid10k_test_inception`.

Each of the four changes the number, so each stands in the name, and a name never means two things. A metric that compares
with nothing has no reference (`vendi2k_indomain`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from evaluator.errors import UnknownMetricError

_PATTERN = re.compile(r"([a-z]+(?:_[a-z]+)*?)([1-9]\d*k?)(?:_([a-z][a-z0-9-]*))?_([a-z][a-z0-9-]*)")


@dataclass(frozen=True)
class MetricName:
    """The parts of a name."""

    metric: str
    n: int
    """Number of images measured."""
    reference: str | None
    """What they are compared with: `test`, `train`, `uniform`; None where they are compared with nothing."""
    extractor: str
    """What they are seen by: `indomain`, `inception`, `pixels`."""

    def __str__(self) -> str:
        parts = [self.metric + count(self.n), self.reference, self.extractor]
        return "_".join(part for part in parts if part)

    @classmethod
    def parse(cls, text: str) -> MetricName:
        """The name that a text is; raises UnknownMetricError where it is none, or not the one way of writing it."""
        match = _PATTERN.fullmatch(text)
        if match is not None:
            metric, n, reference, extractor = match.groups()
            name = cls(metric, int(n.removesuffix("k")) * (1000 if n.endswith("k") else 1), reference, extractor)
            if str(name) == text:
                return name
        raise UnknownMetricError(
            f"{text!r} is no name of a metric: expected metric, number of images, reference, extractor, as in "
            "fid10k_test_inception, fid2k_test_indomain, vendi500_indomain"
        )


def count(n: int) -> str:
    """A number of images as names have it: 500, 2k, 2500."""
    return f"{n // 1000}k" if n and n % 1000 == 0 else str(n)
