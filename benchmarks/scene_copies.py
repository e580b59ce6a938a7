"""How many copies of real i-CLEVR scenes the public pack recognises, by disguise and by the number of bodies that the scene shows.

    python benchmarks/scene_copies.py --data DIR [--quick] [--json FILE]

Copies are of 400 training scenes, all three images of each. The last row is of fresh scenes, from another seed, 3,000 images: the
share of them that passes for copies is the rate of false alarms; a hand-in is held from 0.3 % on, beyond the reach of chance.
"""

import argparse
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "benchmarks")]

from degradations import to_bytes, with_noise  # noqa: E402

from datasets import iclevr  # noqa: E402
from evaluator.arrays import Bytes  # noqa: E402
from evaluator.neighbours import nearest  # noqa: E402
from evaluator.pack import Pack, public_pack  # noqa: E402

BODIES = 3
EDGE = 3


def moved(images: Bytes, down: int, right: int, beyond: str = "edge") -> Bytes:
    """Moved by whole pixels; what comes in repeats the edge, or is black ("constant")."""
    wide = np.pad(images, ((0, 0), (0, 0), (EDGE, EDGE), (EDGE, EDGE)), mode=beyond)
    side = images.shape[-1]
    return wide[:, :, EDGE - down : EDGE - down + side, EDGE - right : EDGE - right + side]


def jpeg(images: Bytes, quality: int) -> Bytes:
    """Compressed and decompressed."""

    def once(image: Bytes) -> Bytes:
        buffer = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer)).transpose(2, 0, 1)

    return np.stack([once(image) for image in images])


DISGUISES: dict[str, Callable[[Bytes], Bytes]] = {
    "as they are": lambda images: images,
    "mirrored": lambda images: images[..., ::-1],
    "moved by 1 pixel": lambda images: moved(images, 0, 1),
    "moved by 2 pixels both ways": lambda images: moved(images, 2, -2),
    "20 levels brighter": lambda images: to_bytes(images.astype(float) + 20),
    "darkened to 80 %": lambda images: to_bytes(images * 0.8),
    "noise of σ = .02": lambda images: with_noise(images, 0.02 * 255),
    "JPEG 50": lambda images: jpeg(images, 50),
    "mirrored, moved by 1 pixel, JPEG 50": lambda images: jpeg(moved(images[..., ::-1], 1, 1), 50),
    "moved by 2 pixels, black at the edge": lambda images: moved(images, -2, 2, "constant"),
}


def recognised(images: Bytes, pack: Pack) -> list[float]:
    """Share of images that pass for copies, by the number of bodies; images are of scenes, in order."""
    squared, rows = nearest(pack.projection.encode(images), pack.codes)
    return (squared < pack.copy_limits(rows)).reshape(-1, BODIES).mean(axis=0).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of `grader data get`")
    parser.add_argument("--quick", action="store_true", help="40 scenes of each")
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    scenes, fresh = (40, 40) if wanted.quick else (400, 1_000)
    pack, real = public_pack("iclevr"), iclevr.load(wanted.data).x_train
    some = real.reshape(-1, BODIES, *real.shape[1:])[:: len(real) // BODIES // scenes][:scenes].reshape(-1, *real.shape[1:])
    shares = {name: recognised(disguise(some), pack) for name, disguise in DISGUISES.items()}
    new = iclevr.rendered(fresh, seed=99).images.transpose(0, 3, 1, 2)
    shares["fresh scenes"] = recognised(np.ascontiguousarray(new), pack)
    table = Table(title=f"share that passes for copies; {scenes} scenes, {fresh} fresh ones")
    for heading in ("images", *(f"{n} bod{'ies' if n > 1 else 'y'}" for n in range(1, BODIES + 1))):
        table.add_column(heading)
    for name, found in shares.items():
        table.add_row(name, *(f"{share:.4f}" if name == "fresh scenes" else f"{share:.2f}" for share in found))
    Console().print(table)
    if wanted.json:
        wanted.json.write_text(json.dumps(shares, indent=1) + "\n")


if __name__ == "__main__":
    main()
