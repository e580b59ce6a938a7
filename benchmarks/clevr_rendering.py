"""What rendering i-CLEVR costs: images a second with one process and with one for each core, of rubber and of metal.

    python benchmarks/clevr_rendering.py [--rounds 3] [--quick] [--json FILE]

Each round renders the same scenes in all four ways, in an order that rotates; the start of the processes counts. The bytes of
a way must be those of the others of its material, or the script stops. Blender, which made the official set, isn't run here.
"""

import argparse
import hashlib
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from datasets.clevr.collection import collect
from datasets.clevr.scene import PER_SCENE
from datasets.iclevr import SCENES


@dataclass(frozen=True)
class Way:
    """A material, and a number of processes."""

    metal: bool
    workers: int

    @property
    def name(self) -> str:
        return f"{'metal' if self.metal else 'rubber'}, {self.workers} process{'es' if self.workers > 1 else ''}"


def rendered(way: Way, scenes: int) -> tuple[float, str]:
    """Seconds, and the digest of the bytes."""
    total = hashlib.sha256()
    began = time.perf_counter()
    for _, pixels in collect(scenes, seed=0, metal=way.metal, workers=way.workers):
        total.update(pixels.tobytes())
    return time.perf_counter() - began, total.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scenes", type=int, default=600)
    parser.add_argument("--quick", action="store_true", help="one round of 20 scenes")
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    rounds, scenes = (1, 20) if wanted.quick else (wanted.rounds, wanted.scenes)
    cores = os.cpu_count() or 1
    ways = [Way(metal, workers) for metal in (False, True) for workers in sorted({1, cores})]
    seconds: dict[Way, list[float]] = {way: [] for way in ways}
    digests: dict[bool, set[str]] = {False: set(), True: set()}
    for turn in range(rounds):
        for way in ways[turn % len(ways) :] + ways[: turn % len(ways)]:
            took, digest = rendered(way, scenes)
            seconds[way].append(took)
            digests[way.metal].add(digest)
    if any(len(found) > 1 for found in digests.values()):
        raise SystemExit("the ways gave different bytes")
    table = Table(title=f"{scenes} scenes, {PER_SCENE * scenes} images of 64×64, {rounds} rounds, {cores} cores")
    for heading in ("way", "images a second", "spread", f"all {PER_SCENE * SCENES:,} images"):
        table.add_column(heading)
    rows = []
    for way in ways:
        rates = sorted(PER_SCENE * scenes / took for took in seconds[way])
        middle = statistics.median(rates)
        rows.append({**asdict(way), "images_per_s": middle, "low": rates[0], "high": rates[-1]})
        table.add_row(way.name, f"{middle:.0f}", f"{rates[0]:.0f}–{rates[-1]:.0f}", f"{PER_SCENE * SCENES / middle:.0f} s")
    Console().print(table)
    if wanted.json:
        report = {"machine": platform.processor() or platform.machine(), "cores": cores, "scenes": scenes, "rows": rows}
        wanted.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
