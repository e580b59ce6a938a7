"""What all metrics of 10,000 images of 28×28 cost in the pack's own features.

    python benchmarks/indomain_speed.py --data DIR [--rounds 3] [--threads 2] [--quick] [--json FILE]

10,000 MNIST training images, 1,000 of each class, are measured by every metric of the table but those for several labels,
against the test images and by the public pack. What is known of the real images beforehand, and serves any number of sets (features, bins,
distances among each other), is timed apart. What several metrics share is in the time of the first that needs it: `fid` holds the images'
features. Target: 6 s in all on two cores. Needs MNIST: `grader data get mnist --to DIR`.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
REAL = "(real images, once)"
sys.path[:0] = [str(REPOSITORY)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of `grader data get mnist`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="2,000 images, one round")
    parser.add_argument("--json", type=Path, help="also write all times to this file")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)  # before numpy and torch are imported
    rounds = [costs(options.data, 2_000 if options.quick else 10_000) for _ in range(1 if options.quick else options.rounds)]
    show(rounds)
    if options.json:
        options.json.write_text(json.dumps({"threads": options.threads, "rounds": rounds}, indent=1) + "\n")


def costs(folder: Path, n: int) -> dict[str, tuple[float, float]]:
    """CPU and wall seconds of each metric, in the table's order; nothing is kept from one call to the next."""
    import numpy as np

    from datasets import mnist
    from evaluator.evaluate import METRICS, Asked, measure
    from evaluator.pack import public_pack
    from evaluator.reference import Reference
    from evaluator.sample import Sample

    data = mnist.load(folder)
    chosen = np.stack([np.flatnonzero(data.y_train == k)[: n // 10] for k in range(10)], axis=1).ravel()
    pack = public_pack("mnist")
    pack.classifier  # noqa: B018 - loading it is not measuring
    sample = Sample.of(data.x_train[chosen], Reference.of_pack(pack, data), data.y_train[chosen])
    found = {}
    cpu, wall = time.process_time(), time.perf_counter()
    measure(Sample.of(data.x_train[:40], sample.reference), ["kid", "precision", "ndb", "authentic"])
    found[REAL] = (time.process_time() - cpu, time.perf_counter() - wall)
    for metric, line in METRICS.items():
        if line.asked is not Asked.LABELS:
            cpu, wall = time.process_time(), time.perf_counter()
            measure(sample, [metric])
            found[metric] = (time.process_time() - cpu, time.perf_counter() - wall)
    return found


def show(rounds: list[dict[str, tuple[float, float]]]) -> None:
    """Medians of the metrics, and of the sums with their range."""
    from rich.console import Console
    from rich.table import Table

    table = Table("metric", "CPU, s", "wall, s")
    for metric in rounds[0]:
        cpu, wall = (statistics.median(one[metric][i] for one in rounds) for i in (0, 1))
        table.add_row(metric, f"{cpu:.2f}", f"{wall:.2f}")
    sums = [[sum(cost[i] for what, cost in one.items() if what != REAL) for one in rounds] for i in (0, 1)]
    table.add_row("all metrics", *(f"{statistics.median(s):.1f} ({min(s):.1f}–{max(s):.1f})" for s in sums), style="bold")
    Console().print(table)


if __name__ == "__main__":
    main()
