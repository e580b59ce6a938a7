"""How often the public pack's classifier of CIFAR-10 is right about test images that were blurred, made noisy or compressed.

    python benchmarks/classifier_robustness.py --data DIR [--quick] [--json FILE]

Generated pictures are softer or rougher than real ones: a classifier that is right about clean photographs alone gives all pictures of a
weak generator one name, and says nothing of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "benchmarks")]

from scene_copies import DISGUISES, Bytes  # noqa: E402

from datasets import cifar10  # noqa: E402
from evaluator.extractors.network import extract  # noqa: E402
from evaluator.pack import public_pack  # noqa: E402


def blurred(sigma: float) -> Callable[[Bytes], Bytes]:
    """With a Gaussian blur of that standard deviation, in pixels."""
    return lambda images: np.rint(gaussian_filter(images.astype(float), (0, 0, sigma, sigma))).astype(np.uint8)


SPOILT: dict[str, Callable[[Bytes], Bytes]] = {
    "as they are": DISGUISES["as they are"],
    **{f"blur of σ = {sigma}": blurred(sigma) for sigma in (0.7, 1.0, 1.5)},
    "noise of σ = .02": DISGUISES["noise of σ = .02"],
    "JPEG 50": DISGUISES["JPEG 50"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of `grader data get`")
    parser.add_argument("--quick", action="store_true", help="200 images in place of 1,000")
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    network, real = public_pack("cifar10").classifier, cifar10.load(wanted.data)
    images, labels = (a[: 200 if wanted.quick else 1000] for a in (real.x_test, real.y_test))
    shares = {
        name: float((extract(network, change(images))[1].argmax(axis=1) == labels).mean()) for name, change in SPOILT.items()
    }
    table = Table(title=f"share of {len(images):,} test images that is named rightly")
    table.add_column("images")
    table.add_column("share")
    for name, share in shares.items():
        table.add_row(name, f"{share:.3f}")
    Console().print(table)
    if wanted.json:
        wanted.json.write_text(json.dumps(shares, indent=1) + "\n")


if __name__ == "__main__":
    main()
