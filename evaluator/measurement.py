"""What a metric returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """A metric's value with its uncertainty."""

    name: str
    """Metric, sample count, reference, extractor: `fid2k_test_indomain`."""
    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    n: int
    """Number of images measured."""
