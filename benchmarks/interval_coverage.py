"""How often the 95 % intervals of graded metrics hold the value they should, at the 2,000 images that are graded.

    python benchmarks/interval_coverage.py [--quick] [--json FILE] [--only WORD]

Each row draws the images of one generator anew many times: features, class probabilities, or small images. What an interval
should hold is the mean of the metric over all such draws, its bias at 2,000 images included: this is what a student's grade
hangs on, and what another 2,000 images would give on average. The table shows the share of draws whose interval holds it, with
its Monte-Carlo error, and the mean width of an interval. It takes six CPU-minutes in one thread (OPENBLAS_NUM_THREADS=1), and
other work on the machine changes nothing but the time.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from evaluator.frechet import Gaussian, factored, moments
from evaluator.measurement import Measurement
from evaluator.metrics.agreement import class_agreement, confusion
from evaluator.metrics.class_fid import by_class, class_fid
from evaluator.metrics.confidence import confident
from evaluator.metrics.duplicates import duplicates, near_others
from evaluator.metrics.fid import fid
from evaluator.metrics.histogram import class_kl
from evaluator.metrics.kid import kid
from evaluator.metrics.memorisation import memorised
from evaluator.metrics.multilabel import topk_accuracy

N = 2_000
CLASSES = 10
DIMENSION = 128
TARGET, TOLERANCE = 0.95, 0.02
QUICK = 20
"""What --quick divides the numbers of draws by."""

Random = np.random.Generator
Draw = Callable[[Random], Measurement]


@dataclass(frozen=True)
class Case:
    """A metric of one simulated generator."""

    metric: str
    generator: str
    draws: int
    draw: Draw


@dataclass(frozen=True)
class Coverage:
    """What became of a case."""

    metric: str
    generator: str
    draws: int
    expected: float
    """Mean of the metric over the draws."""
    width: float
    """Mean width of the intervals."""
    covered: float
    """Share of the intervals that hold the expected value."""
    error: float
    """Standard error of that share, were it the target."""

    @property
    def verdict(self) -> str:
        """Whether the target is met; open where two standard errors could carry the share across the line."""
        beyond = abs(self.covered - TARGET) - TOLERANCE
        return "open" if abs(beyond) < 2 * self.error else "met" if beyond < 0 else "missed"


def coverage(case: Case, draws: int, seed: int = 0) -> Coverage:
    """Draw, measure and count."""
    random = np.random.default_rng(seed)
    found = [case.draw(random) for _ in range(draws)]
    expected = math.fsum(one.value for one in found) / draws
    covered = sum(one.low <= expected <= one.high for one in found) / draws
    width = math.fsum(one.high - one.low for one in found) / draws
    return Coverage(case.metric, case.generator, draws, expected, width, covered, math.sqrt(TARGET * (1 - TARGET) / draws))


@cache
def _geometry() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres of the classes (classes, D), and a mixing matrix (D, D) whose directions differ a hundredfold in scale."""
    random = np.random.default_rng(1)
    scales = np.geomspace(1, 0.01, DIMENSION)
    return random.normal(0, 0.5, (CLASSES, DIMENSION)), np.linalg.qr(random.normal(size=(DIMENSION, DIMENSION)))[0] * scales


def features(random: Random, classes: NDArray[np.int64], shift: float = 0, spread: float = 1) -> NDArray[np.float64]:
    """Features (n, D) of ten classes behind a ReLU, as a classifier's last layer has them; real ones without arguments."""
    centres, mixing = _geometry()
    return np.maximum(centres[classes] + shift + spread * random.normal(size=(len(classes), DIMENSION)) @ mixing.T, 0)


@cache
def _references() -> tuple[Gaussian, tuple[Gaussian, ...], NDArray[np.float64]]:
    """Distributions of 20,000 real features, of 2,000 of each class, and 2,000 features themselves."""
    random = np.random.default_rng(2)
    real = features(random, np.arange(20_000) % CLASSES)
    by = tuple(factored(moments(real[k::CLASSES])) for k in range(CLASSES))
    return factored(moments(real)), by, real[:N]


def _at_random(random: Random) -> NDArray[np.int64]:
    return random.integers(0, CLASSES, N)


TURNS = np.arange(N) % CLASSES


def fid_of(shift: float, spread: float) -> Draw:
    return lambda random: fid(features(random, _at_random(random), shift, spread), _references()[0], "fid2k")


def kid_of(shift: float, spread: float) -> Draw:
    return lambda random: kid(features(random, _at_random(random), shift, spread), _references()[2], "kid2k")


def class_fid_of(shift: float, spread: float) -> Draw:
    def draw(random: Random) -> Measurement:
        return class_fid(by_class(features(random, TURNS, shift, spread), TURNS, CLASSES), _references()[1], "class_fid2k")

    return draw


def class_kl_of(shares: NDArray[np.float64]) -> Draw:
    return lambda random: class_kl(np.eye(CLASSES)[random.choice(CLASSES, N, p=shares)], "class_kl2k")


def confident_of(share: float) -> Draw:
    def draw(random: Random) -> Measurement:
        sure = np.where(random.random(N) < share, 0.95, 0.6)
        return confident(np.column_stack([sure, 1 - sure]), "confident2k")

    return draw


def duplicates_of(support: int, hot: float = 0) -> Draw:
    """Each image is one of `support`, equally likely, or, once in 1 / `hot`, always the same; 16 pixels tell them apart."""

    def draw(random: Random) -> Measurement:
        which = np.where(random.random(N) < hot, 0, random.integers(0, support, N))
        digits = which[:, None] >> np.arange(32) & 1
        return duplicates(near_others((255 * digits).astype(np.uint8), 1.0), "duplicates2k")

    return draw


def memorised_of(share: float) -> Draw:
    return lambda random: memorised(random.random(N) < share, "memorised2k")


def class_agreement_of(lowest: float, highest: float) -> Draw:
    chance = np.linspace(lowest, highest, CLASSES)[TURNS]

    def draw(random: Random) -> Measurement:
        seen = np.where(random.random(N) < chance, TURNS, (TURNS + 1) % CLASSES)
        return class_agreement(confusion(np.eye(CLASSES)[seen], TURNS), "class_agreement2k")

    return draw


def topk_of(prompts: int, accuracy: float, known: bool) -> Draw:
    """Of each prompt, one to three labels of 24, and a chance of its own to hold each, Beta with a deviation near 0.15."""
    clusters = np.arange(N) % prompts if known else None

    def draw(random: Random) -> Measurement:
        asked = np.zeros((prompts, 24), dtype=np.int64)
        for row in asked:
            row[random.choice(24, random.integers(1, 4), replace=False)] = 1
        chance = random.beta(8 * accuracy, 8 * (1 - accuracy), prompts)
        each = asked[np.arange(N) % prompts]
        hit = random.random(each.shape) < chance[np.arange(N) % prompts, None]
        seen = np.where(each == 1, np.where(hit, 0.9, 0.1), 0.5)
        return topk_accuracy(seen, each, "topk2k", clusters)

    return draw


UNEVEN = np.linspace(0.05, 0.15, CLASSES)
LOPSIDED = np.array([0.4, 0.3, 0.2, 0.05, 0.04, 0.01, 0, 0, 0, 0])

CASES = (
    Case("fid", "as real", 1_000, fid_of(0, 1)),
    Case("fid", "shifted, too narrow", 1_000, fid_of(0.1, 0.8)),
    Case("kid", "as real", 400, kid_of(0, 1)),
    Case("kid", "shifted, too narrow", 400, kid_of(0.1, 0.8)),
    Case("class_fid", "as real", 200, class_fid_of(0, 1)),
    Case("class_fid", "shifted, too narrow", 200, class_fid_of(0.1, 0.8)),
    Case("class_kl", "equal shares", 2_000, class_kl_of(np.full(CLASSES, 0.1))),
    Case("class_kl", "shares of 5 to 15 %", 2_000, class_kl_of(UNEVEN)),
    Case("class_kl", "six classes of ten", 2_000, class_kl_of(LOPSIDED)),
    Case("confident", "99 % sure", 4_000, confident_of(0.99)),
    Case("confident", "80 % sure", 4_000, confident_of(0.8)),
    Case("duplicates", "one of 1,000,000 images", 1_000, duplicates_of(1_000_000)),
    Case("duplicates", "one of 100,000 images", 1_000, duplicates_of(100_000)),
    Case("duplicates", "one of 4,000 images", 1_000, duplicates_of(4_000)),
    Case("duplicates", "5 % the same image", 1_000, duplicates_of(2**31, hot=0.05)),
    Case("memorised", "0.1 %, as real", 4_000, memorised_of(0.001)),
    Case("memorised", "1 %", 4_000, memorised_of(0.01)),
    Case("class_agreement", "98 % in every class", 4_000, class_agreement_of(0.98, 0.98)),
    Case("class_agreement", "50 to 100 % by class", 4_000, class_agreement_of(0.5, 1)),
    Case("topk_accuracy", "2,000 prompts, 70 %", 1_000, topk_of(2_000, 0.7, known=False)),
    Case("topk_accuracy", "100 prompts, 70 %", 2_000, topk_of(100, 0.7, known=True)),
    Case("topk_accuracy", "32 prompts, 90 %", 2_000, topk_of(32, 0.9, known=True)),
)


def show(console: Console, found: list[Coverage]) -> None:
    table = Table(title=f"Share of 95 % intervals that hold the expected value at n = {N:,}")
    for column in ("metric", "generator"):
        table.add_column(column)
    for column in ("expected", "width", "draws", "covered", "± 1 s.e.", f"{TARGET:.0%} ± {TOLERANCE:.0%}"):
        table.add_column(column, justify="right")
    for one in found:
        figures = (f"{one.expected:.4g}", f"{one.width:.3g}", f"{one.draws:,}", f"{one.covered:.1%}", f"{one.error:.1%}")
        table.add_row(one.metric, one.generator, *figures, one.verdict)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"a {QUICK}th of the draws")
    parser.add_argument("--only", default="", help="cases whose metric holds this word")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    chosen = [case for case in CASES if options.only in case.metric]
    console = Console(width=120)
    found = [
        coverage(case, case.draws // (QUICK if options.quick else 1))
        for case in track(chosen, "drawing", console=Console(stderr=True))
    ]
    show(console, found)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=1))


if __name__ == "__main__":
    main()
