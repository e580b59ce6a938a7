"""Submissions an hour: notebooks that import PyTorch, load a checkpoint and generate 1,000 images, here and by plain papermill.

    python benchmarks/throughput.py [--rounds 5] [--submissions 6] [--workers 2] [--quick] [--json FILE]

Each round executes the same submissions in turn: by `python -m papermill`, a process each, without a sandbox; by the grader's execution in
each kind of the strong sandbox; and in forks with all metrics of lab 8's first task measured as well, on the warm trusted side. The
order rotates, and `--workers` are at work at a time. CPU seconds are those of all processes. What a class costs once is shown apart:
starting the process that others are forked from. otter-grader and nbgrader, which are not tried here, execute by nbclient as papermill
does, and have more to do.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from grader import threads  # noqa: E402

threads.pin()  # as the command does
torch.set_num_threads(1)

from evaluator.evaluate import measure  # noqa: E402
from evaluator.pack import public_pack  # noqa: E402
from evaluator.sample import Sample  # noqa: E402
from grader.challenge import Answers, Generate  # noqa: E402
from grader.execute import Job, checkpoint_path, execute  # noqa: E402
from grader.sandbox import Sandbox  # noqa: E402
from grader.sandbox.bubblewrap import BubblewrapSandbox, find_bwrap  # noqa: E402
from grader.sandbox.zygote import ZygoteSandbox  # noqa: E402
from grader.spec import Limits  # noqa: E402

IMAGES = 1_000
TARGET = 6.0
METRICS = (
    *("fid1k_test_indomain", "confident1k_indomain", "class_kl1k_uniform_indomain", "duplicates1k_pixels"),
    *("memorised1k_traintest_pixels", "repeats1k_pixels"),
)
CELLS = (
    "import numpy as np\nimport torch\nfrom torch import nn",
    """
net = nn.Sequential(
    nn.ConvTranspose2d(64, 64, 7), nn.BatchNorm2d(64), nn.ReLU(),
    nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
    nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Sigmoid())""",
    "net.load_state_dict(torch.load(CHECKPOINT, map_location='cpu', weights_only=True))\nnet.eval()",
    """
def generate(n):
    with torch.no_grad():
        return torch.cat([net(torch.randn(min(500, n - i), 64, 1, 1))[:, 0] for i in range(0, n, 500)])""",
)
LAST = f"np.save('images.npy', (generate({IMAGES}).numpy() * 255).round().astype(np.uint8))"


@dataclass(frozen=True)
class Cost:
    """Wall seconds of all submissions of a round, and CPU seconds of one."""

    wall_s: float
    cpu_s: float


def notebook(checkpoint: str, *more: str) -> bytes:
    cells = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for i, source in enumerate((f"CHECKPOINT = {checkpoint!r}", *CELLS, *more))
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}).encode()


def checkpoint_file(folder: Path) -> Path:
    """Weights that nobody trained: what they look like takes no time."""
    names: dict[str, object] = {}
    exec(f"{CELLS[0]}\n{CELLS[1]}", names)  # noqa: S102 (the notebook above)
    net = names["net"]
    assert isinstance(net, torch.nn.Module)
    torch.save(net.state_dict(), folder / "handin.pt")
    return folder / "handin.pt"


class Plain:
    """papermill's own command, a process for each notebook."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self._folder, self._count = folder, count()
        (folder / "in.ipynb").write_bytes(notebook(str(checkpoint), LAST))

    def __call__(self, slot: int) -> float:
        place = self._folder / f"run{next(self._count)}"
        place.mkdir()
        command = [
            sys.executable,
            "-m",
            "papermill",
            str(self._folder / "in.ipynb"),
            str(place / "out.ipynb"),
            "--cwd",
            str(place),
        ]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **dict.fromkeys(threads.VARIABLES, "1")})
        assert (place / "images.npy").stat().st_size > IMAGES * 28 * 28
        return 0.0  # counted with our children's


class Ours:
    """One execution in a sandbox; `scored`: with the metrics of the images."""

    def __init__(self, sandbox: Sandbox, checkpoint: Path, *, scored: bool = False) -> None:
        self._sandbox, self._checkpoint = sandbox, checkpoint
        self._pack = public_pack("mnist") if scored else None

    def __call__(self, slot: int) -> float:
        rounds = [tuple(Generate(f"block{seed}", 500, seed, (28, 28)) for seed in range(IMAGES // 500))]
        job = Job(notebook(checkpoint_path(self._sandbox, slot)), self._checkpoint, Limits(), slot=slot)
        found = execute(job, self._sandbox, lambda answers: rounds.pop() if rounds else None)
        if found.status != "completed" or found.answers.problems:
            raise SystemExit(f"the notebook did not run: {found.problem or dict(found.answers.problems)} {found.diagnostics}")
        if self._pack is not None:
            self._measure(found.answers)
        return found.usage.cpu_s

    def _measure(self, answers: Answers) -> None:
        assert self._pack is not None
        images = torch.cat([torch.from_numpy(array[0].copy()) for array in answers.arrays.values()]).numpy()
        measure(Sample.of(images, self._pack), METRICS)


def timed(one: Callable[[int], float], submissions: int, workers: int) -> Cost:
    """All submissions, several at a time; CPU seconds of the sandboxes, of this process, and of its children that ended."""
    before, began = _own_cpu_s(), time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        inside = sum(pool.map(lambda slot: sum(one(slot) for _ in range(slot, submissions, workers)), range(workers)))
    wall = time.perf_counter() - began
    return Cost(wall, (inside + _own_cpu_s() - before) / submissions)


def _own_cpu_s() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def show(costs: dict[str, list[Cost]], submissions: int, start_up_s: float) -> None:
    table = Table(title=f"{IMAGES} images a submission, {submissions} submissions a round: median (range)")
    for column in ("", "CPU-s a submission", "submissions an hour", "÷ papermill"):
        table.add_column(column, justify="right" if column else "left")
    for name, found in costs.items():
        hourly = [3600 * submissions / cost.wall_s for cost in found]
        ratio = [plain.wall_s / cost.wall_s for cost, plain in zip(found, costs["papermill"], strict=True)]
        rate = f"{statistics.median(hourly):.0f} ({min(hourly):.0f}–{max(hourly):.0f})"
        table.add_row(name, spread([cost.cpu_s for cost in found]), rate, spread(ratio))
    console = Console(width=120)
    console.print(table)
    console.print(f"Once a class: {start_up_s:.1f} s until the first fork. Target: forks ÷ papermill at least {TARGET:g}.")
    console.print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, torch {torch.__version__}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--submissions", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one round of two")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    submissions = 2 if options.quick else options.submissions
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = checkpoint_file(folder)
        plain = BubblewrapSandbox(find_bwrap())
        forks = ZygoteSandbox(plain)
        began = time.perf_counter()
        Ours(forks, checkpoint)(0)
        start_up_s = time.perf_counter() - began
        ways: dict[str, Callable[[int], float]] = {
            "papermill": Plain(folder, checkpoint),
            "strong, bubblewrap": Ours(plain, checkpoint),
            "strong, forks": Ours(forks, checkpoint),
            "strong, forks, and metrics": Ours(forks, checkpoint, scored=True),
        }
        for way in ways.values():
            way(0)  # fills the disk cache, and loads what is loaded once
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        names = list(ways)
        for k in range(1 if options.quick else options.rounds):
            for name in (*names[k % len(names) :], *names[: k % len(names)]):
                costs[name].append(timed(ways[name], submissions, options.workers))
    show(costs, submissions, start_up_s)
    if options.json:
        options.json.write_text(json.dumps({name: [asdict(cost) for cost in found] for name, found in costs.items()}, indent=1))


if __name__ == "__main__":
    main()
