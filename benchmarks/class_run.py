"""What grading costs: seconds a submission, against bare papermill running the same notebook, in one run.

    python benchmarks/class_run.py [--rounds 5] [--quick] [--json FILE]

Each round runs the sample class's typical submission by bare papermill, with a last cell that generates the same number of images,
without sandbox, unit checks, metrics or reports; and a class of `--size` copies of it by the grader, one worker. Order alternates.
CPU seconds of the grader are its own (evaluation, reports, database), the sandboxes', and those of the process that executions are
forked from, which every class starts once. Start-up of the grading process is counted once a class, and shown apart.
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
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "solutions")]

from grader import threads  # noqa: E402

threads.pin()  # as the command does

from sample_class import make_class  # noqa: E402
from students.work import Student  # noqa: E402

from grader.classrun import Selection, grade_class  # noqa: E402
from grader.course import open_lab  # noqa: E402
from grader.display import Display  # noqa: E402
from grader.notebook import parse  # noqa: E402
from grader.sandbox import open_sandbox  # noqa: E402
from grader.sandbox.zygote import ZygoteSandbox  # noqa: E402
from grader.store import Store  # noqa: E402
from grader.transplant import transplant  # noqa: E402

BARE = """
import json, sys, resource, time
start = time.perf_counter()
import papermill
papermill.execute_notebook(sys.argv[1], sys.argv[2], progress_bar=False, log_output=False, cwd=sys.argv[3], kernel_name="python3")
use = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({"wall_s": time.perf_counter() - start, "cpu_s": sum(u.ru_utime + u.ru_stime for u in use)}))
"""
LAST_CELL = """
import random
images = []
for seed in range(4):
    random.seed(seed); np.random.seed(seed); torch.manual_seed(seed)
    images.append((torch.as_tensor(generate(500)).cpu().numpy() * 255).round().astype(np.uint8))
np.save("images.npy", np.concatenate(images))
"""


@dataclass(frozen=True)
class Cost:
    """Seconds of one submission; phases are CPU seconds, where known."""

    wall_s: float
    cpu_s: float
    phases: dict[str, float]


def bare(folder: Path, submission: Path, template: Path) -> Cost:
    """Papermill alone, in a fresh process, on the notebook that the grader would execute."""
    folder.mkdir(parents=True, exist_ok=True)
    parameters = {"TRAIN": False, "CHECKPOINT": str(submission / "vanilla.pt"), "DEVICE": "cpu", "SEED": 0, "DATA_DIR": "data"}
    student = parse((submission / "lab8_vanilla.ipynb").read_bytes())
    table = json.loads(transplant(parse(template.read_bytes()), student, parameters).notebook)
    cell = {"cell_type": "code", "id": "last", "metadata": {}, "outputs": [], "execution_count": None, "source": LAST_CELL}
    table["cells"].append(cell)
    source = folder / "bare.ipynb"
    source.write_text(json.dumps(table))
    environment = {**os.environ, **dict.fromkeys(threads.VARIABLES, "1")}
    command = [sys.executable, "-c", BARE, str(source), str(folder / "out.ipynb"), str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return Cost(**json.loads(done.stdout.splitlines()[-1]), phases={})


def graded(lab: Path, *, forks: bool = False) -> Cost:
    """Mean over the submissions of a class, through everything that `grader run` does, in this process, which has its imports behind it."""
    before, start = _cpu_s(), time.perf_counter()
    with Path(os.devnull).open("w") as nowhere:
        display = Display(Console(file=nowhere))
        summary = grade_class(lab, Selection(force=True), display, workers=1, device="cpu", trust=False)
    wall = time.perf_counter() - start
    trusted, children = (after - was for after, was in zip(_cpu_s(), before, strict=True))
    usages = [result.tasks[0].usage for result in summary.results]
    executed = [usage for usage in usages if usage is not None]
    if len(executed) < len(usages):
        raise SystemExit(f"a submission was not executed: {summary.results[0].tasks[0].problems}")
    phases = {name: sum(usage.phases[name] for usage in executed) for name in executed[0].phases}
    phases |= {"trusted side": trusted, **({"imports for all forks": children} if forks else {})}
    each = {name: seconds / len(executed) for name, seconds in phases.items()}
    return Cost(wall / len(executed), sum(each.values()), each)


def _cpu_s() -> tuple[float, float]:
    """Of this process, and of its children that ended: with forks, of the one that they were forked from."""
    use = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return use[0].ru_utime + use[0].ru_stime, use[1].ru_utime + use[1].ru_stime


def keep_task(spec: Path, task: str) -> None:
    """Leave one task in lab.toml, for a cost that is a notebook's."""
    head, *tasks = spec.read_text().split("\n[[task]]\n")
    spec.write_text("\n[[task]]\n".join([head, *(text for text in tasks if text.startswith(f'id = "{task}"'))]))


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def show(bares: list[Cost], ours: list[Cost], start_up: float) -> None:
    table = Table(title="Seconds a submission: median (range)")
    for column in ("", "wall", "CPU"):
        table.add_column(column, justify="left" if not column else "right")
    for name, costs in (("bare papermill", bares), ("grader", ours)):
        table.add_row(name, spread([c.wall_s for c in costs]), spread([c.cpu_s for c in costs]))
    pairs = list(zip(ours, bares, strict=True))
    table.add_row("grader − bare", spread([a.wall_s - b.wall_s for a, b in pairs]), spread([a.cpu_s - b.cpu_s for a, b in pairs]))
    table.add_row("grader ÷ bare", spread([a.wall_s / b.wall_s for a, b in pairs]), spread([a.cpu_s / b.cpu_s for a, b in pairs]))
    for phase in ours[0].phases:
        table.add_row(f"  of it {phase}", "", spread([c.phases[phase] for c in ours]))
    console = Console()
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(
        f"Start-up of the grading process, once a class: {start_up:.2f} CPU-s. Peak memory of the trusted side: {peak:.0f} MiB."
    )
    console.print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=10, help="submissions of the class")
    parser.add_argument("--quick", action="store_true", help="one round, three submissions")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    class_ = tuple(Student(f"student{number:03}") for number in range(3 if options.quick else options.size))
    forks = isinstance(open_sandbox(), ZygoteSandbox)
    bares, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(folder) / "lab8"
        make_class(lab, class_)
        keep_task(lab / "lab.toml", "vanilla")
        submission = next((lab / "submissions" / class_[0].name).iterdir())
        template = open_lab(lab).template("lab8_vanilla.ipynb")
        graded(lab)  # loads what a class run loads once: torch, the classifier, the templates
        start_up = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        for k in range(1 if options.quick else options.rounds):
            for which in ("bare", "ours") if k % 2 else ("ours", "bare"):
                if which == "bare":
                    bares.append(bare(Path(folder) / "bare", submission, template))
                else:
                    ours.append(graded(lab, forks=forks))
        scores = {r.score for r in Store(open_lab(lab).course.database).newest("lab8")}
    show(bares, ours, start_up)
    if options.json:
        figures = {"bare": [asdict(c) for c in bares], "grader": [asdict(c) for c in ours], "start_up_cpu_s": start_up}
        options.json.write_text(json.dumps({**figures, "scores": sorted(map(str, scores))}, indent=1))


if __name__ == "__main__":
    main()
