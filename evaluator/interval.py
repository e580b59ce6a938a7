"""95 % intervals: Wilson for shares, the delete-one-block jackknife for everything else.

Wilson, J. Am. Stat. Assoc. 22 (1927) 209. Künsch, Ann. Stat. 17 (1989) 1217, for the block jackknife. A percentile
bootstrap is no alternative for a Fréchet distance: resampling adds the estimator's bias a second time, and its
interval misses the truth.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from scipy import special

from evaluator.arrays import Floats

BLOCKS = 20
LEVEL = 0.95


def wilson(successes: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson score interval of a share of `successes` in `n` trials; both may be fractions, where trials depend on each other
    and `n` is as many independent ones as would tell as much."""
    z = float(special.ndtri(0.5 + level / 2))
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == n else (centre + half) / scale
    return low, high


def block_bounds(n: int, blocks: int = BLOCKS) -> list[tuple[int, int]]:
    """Cut 0 … n into `blocks` runs whose lengths differ by one at the most."""
    edges = [n * k // blocks for k in range(blocks + 1)]
    return list(itertools.pairwise(edges))


def jackknife(value: float, without: Callable[[int, int], float], n: int) -> tuple[float, float]:
    """Interval of a statistic of n observations, from its values with each of 20 blocks left out.

    `without(start, stop)` is the statistic of all observations but those. Student's t with 19 degrees of freedom.
    """
    left_out: Floats = np.array([without(start, stop) for start, stop in block_bounds(n)])
    spread = (BLOCKS - 1) / BLOCKS * float(np.square(left_out - left_out.mean()).sum())
    half = float(special.stdtrit(BLOCKS - 1, 0.5 + LEVEL / 2)) * math.sqrt(spread)
    return value - half, value + half
