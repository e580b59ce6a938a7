"""What confining a submission costs: the same notebook in every sandbox of this machine and in none, in one run.

    python benchmarks/sandbox_overhead.py [--rounds 12] [--quick] [--json FILE]

Each round executes the sample class's typical submission of the first task once in each sandbox and once in none (`--trust-submissions`):
papermill, kernel, checkpoint, 2,000 images; the order rotates. Frames come back over the same channel each time, and nothing is scored.
The ratio is that of the two executions of a round, so that what else the machine does in that minute is in both.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "solutions")]

from sample_class import make_class  # noqa: E402
from students.work import Student  # noqa: E402

from grader.challenge import Generate  # noqa: E402
from grader.course import open_lab  # noqa: E402
from grader.errors import SandboxError  # noqa: E402
from grader.execute import Job, checkpoint_path, execute  # noqa: E402
from grader.notebook import parse  # noqa: E402
from grader.sandbox import Sandbox, backends, self_test  # noqa: E402
from grader.sandbox.trusting import TrustingSandbox  # noqa: E402
from grader.sandbox.zygote import ZygoteSandbox  # noqa: E402
from grader.spec import Limits  # noqa: E402
from grader.transplant import transplant  # noqa: E402

NONE = "none"
TARGET = 1.05
BLOCKS = tuple(Generate(f"block{seed}", 500, seed, (28, 28)) for seed in range(4))


@dataclass(frozen=True)
class Cost:
    """Seconds of one execution, as the sandbox's caller sees them."""

    wall_s: float
    cpu_s: float


def sandboxes(console: Console) -> dict[str, Sandbox]:
    """Every kind that passes its self-test here, and none at all."""
    found: dict[str, Sandbox] = {NONE: TrustingSandbox()}
    for level, make in backends():
        try:
            sandbox = make()
            self_test(sandbox)
        except SandboxError as error:
            console.print(f"{level}: not here ({error})")
            continue
        found[f"{level} (forks)" if isinstance(sandbox, ZygoteSandbox) else str(level)] = sandbox
    return found


def measured(sandbox: Sandbox, template: Path, submission: Path) -> Cost:
    """One execution, from its start to its last process's end."""
    place = checkpoint_path(sandbox)
    parameters = {"TRAIN": False, "CHECKPOINT": place, "DEVICE": "cpu", "SEED": 0, "DATA_DIR": "data"}
    moved = transplant(parse(template.read_bytes()), parse((submission / "lab8_vanilla.ipynb").read_bytes()), parameters)
    rounds = [BLOCKS]
    began = time.perf_counter()
    result = execute(
        Job(moved.notebook, submission / "vanilla.pt", Limits()), sandbox, lambda answers: rounds.pop() if rounds else None
    )
    wall = time.perf_counter() - began
    if result.status != "completed" or result.answers.problems:
        raise SystemExit(f"the notebook did not run: {result.problem or dict(result.answers.problems)}")
    return Cost(wall, result.usage.cpu_s)


def spread(values: Sequence[float]) -> str:
    """Median, and the middle half."""
    if len(values) < 4:
        return f"{statistics.median(values):.3f} ({min(values):.3f}–{max(values):.3f})"
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3f} ({low:.3f}–{high:.3f})"


def ratios(costs: dict[str, list[Cost]], name: str) -> list[float]:
    """Wall time of a sandbox's executions over those without one, round by round."""
    return [a.wall_s / b.wall_s for a, b in zip(costs[name], costs[NONE], strict=True)]


def show(console: Console, costs: dict[str, list[Cost]]) -> None:
    table = Table(title="Seconds of an execution: median (middle half)")
    for column in ("level", "wall", "CPU", "wall ÷ none", "CPU − none"):
        table.add_column(column, justify="right")
    for name, found in costs.items():
        more = [a.cpu_s - b.cpu_s for a, b in zip(found, costs[NONE], strict=True)]
        row = [spread([cost.wall_s for cost in found]), spread([cost.cpu_s for cost in found])]
        table.add_row(name, *row, *([spread(ratios(costs, name)), spread(more)] if name != NONE else ["", ""]))
    console.print(table)
    if "strong" in costs:
        middle = statistics.median(ratios(costs, "strong"))
        console.print(f"strong ÷ none: {middle:.3f}; target: at most {TARGET} ({'met' if middle <= TARGET else 'missed'})")
    console.print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {len(costs[NONE])} rounds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    console = Console(width=120)
    found = sandboxes(console)
    costs: dict[str, list[Cost]] = {name: [] for name in found}
    plain = Student("plain")
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(folder) / "lab8"
        make_class(lab, (plain,))
        submission = next((lab / "submissions" / plain.name).iterdir())
        template = open_lab(lab).template("lab8_vanilla.ipynb")
        for sandbox in found.values():
            measured(sandbox, template, submission)  # fills the disk cache, and makes what forks are made from
        names = list(found)
        for k in range(1 if options.quick else options.rounds):
            for name in (*names[k % len(names) :], *names[: k % len(names)]):
                costs[name].append(measured(found[name], template, submission))
    show(console, costs)
    if options.json:
        options.json.write_text(json.dumps({name: [asdict(cost) for cost in found] for name, found in costs.items()}, indent=1))


if __name__ == "__main__":
    main()
