"""Metrics of a shipped reference model, written into its model card.

    python benchmarks/reference_model.py lab8/lab8_vanilla --data DIR [--quick]

10,000 images come from the solution notebook with the shipped checkpoint. Measured: FID by the official Inception features against the
10,000 test images (`fid10k_test_inception`, comparable with publications; 30 CPU-minutes), the in-domain FID, and the smallest and
largest share of a class. --quick leaves the Inception out and changes no card. Needs the extra `inception`.
"""

import argparse
import sys
import tomllib
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "solutions"), str(REPOSITORY / "benchmarks")]

from generate import SOLUTIONS, samples  # noqa: E402
from inception_fid import CACHE, extract, network, reference_features  # noqa: E402

from evaluator.evaluate import Sample  # noqa: E402
from evaluator.frechet import distance_interval, moments, reference  # noqa: E402
from evaluator.pack import public_pack  # noqa: E402

N = 10_000


def indomain(images: np.ndarray) -> dict[str, float]:
    """FID in the public pack's features, and the extremes of the class shares."""
    sample = Sample.of(images, public_pack("mnist"))
    shares = sample.describe(0).shares
    fid = sample.measure(["fid10k_test_indomain"])["fid10k_test_indomain"].value
    return {"fid10k_test_indomain": fid, "smallest_class_share": float(shares.min()), "largest_class_share": float(shares.max())}


def inception(images: np.ndarray, data: Path, cache: Path) -> dict[str, float]:
    """FID in the official Inception features, with its 95 % interval."""
    run, _ = network()
    real = reference(moments(reference_features(data, cache, run)))
    value, low, high = distance_interval(extract(images, run, "generated images"), real)
    return {"fid10k_test_inception": value, "fid10k_test_inception_low": low, "fid10k_test_inception_high": high}


def write_metrics(card: Path, metrics: dict[str, float]) -> None:
    """Replace the card's [metrics] table."""
    training = card.read_text().partition("\n[metrics]")[0].rstrip("\n")
    lines = [f"{name} = {value:.4g}" for name, value in metrics.items()]
    card.write_text(f"{training}\n\n[metrics]\n" + "\n".join(lines) + "\n")
    tomllib.loads(card.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", help="lab and notebook, for example lab8/lab8_vanilla")
    parser.add_argument("--data", type=Path, required=True, help="folder of `grader data get`")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where features of the real images are kept")
    parser.add_argument("--quick", action="store_true", help="in-domain metrics only; the card stays as it is")
    options = parser.parse_args()
    script = SOLUTIONS / f"{options.notebook}.py"
    checkpoint = script.parent / "checkpoints" / f"{script.stem}.pt"
    images = samples(script, checkpoint, N)
    metrics = indomain(images)
    if not options.quick:
        metrics = {**inception(images, options.data, options.cache), **metrics}
        write_metrics(checkpoint.with_suffix(".toml"), metrics)
    for name, value in metrics.items():
        print(f"{name} = {value:.4g}")


if __name__ == "__main__":
    main()
