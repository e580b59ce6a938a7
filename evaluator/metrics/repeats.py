"""Share of images that repeat another one of the set as closely as copies of real images repeat those.

A birthday test (Arora and Zhang, Do GANs learn the distribution?, ICLR 2018) for a table of stored images behind a generator:
of n images drawn from T, about n² / T meet an equal one. Where `duplicates` compares pixels, this looks past what
`evaluator.neighbours` looks past: noise, brightness, mirroring, small shifts, compression. Near means below the distance
that one in a thousand real images is from all others; among 2,000 real ones, which are fewer, hardly any is that near.

Between 0 and 1. It does not tell a table from a generator that collapsed, nor see a table whose images are mixed, for n
images make n² mixtures.
"""

from __future__ import annotations

from evaluator.interval import wilson
from evaluator.measurement import Measurement
from evaluator.metrics.authenticity import own_nearest
from evaluator.neighbours import Codes


def repeats(codes: Codes, threshold: float, name: str) -> Measurement:
    """Share of images, codes int8 (n, components), whose squared distance to the nearest other one is below the threshold.

    Wilson interval of n / 2: the two of a pair count together or not at all.
    """
    n = len(codes)
    repeated = int((own_nearest(codes) < threshold).sum())
    low, high = wilson(repeated / 2, n / 2)
    return Measurement(name, repeated / n, low, high, n)
