"""What a run costs that finds nothing new: seconds for each submission that did not change, and once for the class.

    python benchmarks/unchanged.py [--rounds 7] [--quick] [--json FILE]

Two classes of copies of the plain submission to lab 8's first task are graded once, a small and a large one. Then `grader run`
has nothing to do: each round runs both once more in this process, in turn. A submission costs the difference divided by that of their
sizes; the rest is the class's. `grader --help` is timed beside it, in a process of its own.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "solutions"), str(REPOSITORY / "benchmarks")]

from grader import threads  # noqa: E402

threads.pin()  # as the command does

from class_run import keep_task  # noqa: E402
from sample_class import make_class  # noqa: E402
from students.work import Student  # noqa: E402

from grader.classrun import Selection, grade_class  # noqa: E402
from grader.display import Display  # noqa: E402

TARGET_MS, TARGET_HELP_S = 5.0, 0.3


@dataclass(frozen=True)
class Round:
    """Wall and CPU seconds of a run over the small and the large class, and wall seconds of `grader --help`."""

    small: tuple[float, float]
    large: tuple[float, float]
    help_s: float


def made(lab: Path, size: int) -> Path:
    """A lab folder with that many hand-ins, graded."""
    make_class(lab, tuple(Student(f"student{number:03}") for number in range(size)))
    keep_task(lab / "lab.toml", "vanilla")
    run(lab)
    return lab


def run(lab: Path) -> tuple[float, float]:
    """Wall and CPU seconds of `grader run`, without its start."""
    began, cpu = time.perf_counter(), time.process_time()
    with Path(os.devnull).open("w") as nowhere:
        grade_class(lab, Selection(), Display(Console(file=nowhere)), workers=2, device="cpu", trust=False)
    return time.perf_counter() - began, time.process_time() - cpu


def helped() -> float:
    """Wall seconds of `grader --help`."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "grader", "--help"], check=True, capture_output=True, cwd=REPOSITORY)
    return time.perf_counter() - began


def spread(values: list[float], unit: float = 1.0) -> str:
    """Median and range."""
    return f"{statistics.median(values) * unit:.2f} ({min(values) * unit:.2f}–{max(values) * unit:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", type=int, nargs=2, default=(4, 24), help="hand-ins of the two classes")
    parser.add_argument("--quick", action="store_true", help="one round, smaller classes")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    few, many = (1, 3) if options.quick else options.sizes
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        small, large = made(Path(folder) / "small" / "lab8", few), made(Path(folder) / "large" / "lab8", many)
        for _ in range(1 if options.quick else options.rounds):
            rounds.append(Round(run(small), run(large), helped()))
    table = Table(title=f"A run with nothing to do, {few} and {many} submissions: median (range)")
    for column in ("", "wall", "CPU"):
        table.add_column(column, justify="right" if column else "left")
    each = [[(r.large[i] - r.small[i]) / (many - few) for r in rounds] for i in range(2)]
    rest = [[r.small[i] - few * one for r, one in zip(rounds, each[i], strict=True)] for i in range(2)]
    table.add_row("a submission, ms", *(spread(values, 1e3) for values in each))
    table.add_row("the class besides, s", *(spread(values) for values in rest))
    table.add_row("grader --help, s", spread([r.help_s for r in rounds]), "")
    console = Console()
    console.print(table)
    console.print(f"targets: {TARGET_MS} ms a submission, {TARGET_HELP_S} s for the help")
    console.print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {len(rounds)} rounds")
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in rounds], indent=1))


if __name__ == "__main__":
    main()
