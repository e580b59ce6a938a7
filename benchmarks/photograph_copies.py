"""Which copies of photographs the memorisation count recognises, with the public pack of CIFAR-10.

    python benchmarks/photograph_copies.py --data DIR [--quick] [--json FILE]

Real images, every thirtieth of the training set, are disguised as in `scene_copies.py`; shown is the share that passes for copies. The last
line is about what is no copy: the same images, each with the lower half of another one of its class.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "benchmarks")]

from scene_copies import DISGUISES, Bytes  # noqa: E402

from datasets import cifar10  # noqa: E402
from evaluator.neighbours import nearest  # noqa: E402
from evaluator.pack import Pack, public_pack  # noqa: E402


def recognised(images: Bytes, pack: Pack) -> float:
    """Share of images that pass for copies."""
    squared, rows = nearest(pack.projection.encode(np.ascontiguousarray(images)), pack.codes)
    return float((squared < pack.copy_limits(rows)).mean())


def joined_halves(images: Bytes, labels: Bytes) -> Bytes:
    """The upper half of each image on the lower half of the next one of its class."""
    mixed = images.copy()
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        mixed[rows, :, 16:] = images[np.roll(rows, 1), :, 16:]
    return mixed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of `grader data get`")
    parser.add_argument("--quick", action="store_true", help="every three-hundredth image")
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    pack, real = public_pack("cifar10"), cifar10.load(wanted.data)
    every = 300 if wanted.quick else 30
    some, labels = real.x_train[::every], real.y_train[::every]
    shares = {name: recognised(disguise(some), pack) for name, disguise in DISGUISES.items()}
    shares["halves of two images of a class"] = recognised(joined_halves(some, labels), pack)
    table = Table(title=f"share of {len(some):,} images that passes for copies")
    table.add_column("images")
    table.add_column("share")
    for name, share in shares.items():
        table.add_row(name, f"{share:.3f}")
    Console().print(table)
    if wanted.json:
        wanted.json.write_text(json.dumps(shares, indent=1) + "\n")


if __name__ == "__main__":
    main()
