"""A class graded here, by otter-grader and by nbgrader, and executed by plain papermill: submissions an hour, side by side in one run.

    python benchmarks/vs_peers.py [--submissions 24] [--rounds 3] [--quick] [--json FILE] [--cache DIR]

A submission is the plain student's first task of lab 8: import PyTorch, load a checkpoint, generate 1,000 images. For all others it is the
notebook that this grader makes of it and executes, with a cell at the end that generates the images. Each is run as one would for a class,
start-up included:

* this grader: `grader run --force --workers 2`, in the sandbox, with unit checks, metrics of the images, reports and database;
* nbgrader: `nbgrader autograde` over all students, one after the other, as it does; the images' shape and range are asserted;
* otter-grader: `otter.api.grade_submission` in a pool of 2 processes, with the autograder that `otter assign` makes of the same assertions;
* papermill: `python -m papermill`, a process for each notebook, 2 at a time; nothing is graded.

The peers and papermill run without a sandbox and look at no image. The order rotates from round to round. Peers are installed by uv, in the
pinned versions, into a virtual environment each, with the PyTorch that runs here.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import nbformat
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "solutions"), str(REPOSITORY / "benchmarks")]

from attacks import KERNEL, PEERS, code_cell, peer_python  # noqa: E402
from class_run import keep_task, spread  # noqa: E402
from sample_class import make_class  # noqa: E402
from students.work import Student  # noqa: E402

from grader import threads  # noqa: E402
from grader.course import open_lab  # noqa: E402
from grader.notebook import parse  # noqa: E402
from grader.store import Store  # noqa: E402
from grader.transplant import transplant  # noqa: E402

WORKERS = 2
IMAGES = 1_000
POINTS = 4
OURS = "this grader"
GENERATE = f"images = np.concatenate([torch.as_tensor(generate(500)).cpu().numpy() for _ in range({IMAGES // 500})])"
ASSERT = f"assert images.shape == ({IMAGES}, 28, 28) and 0 <= images.min() < images.max() <= 1"
POOL = f"""
import sys
from concurrent.futures import ProcessPoolExecutor
from otter.api import grade_submission

def total(path):
    return grade_submission(path, sys.argv[1], quiet=True).total

if __name__ == "__main__":
    with ProcessPoolExecutor({WORKERS}) as pool:
        points = list(pool.map(total, sys.argv[2:]))
    sys.exit(0 if points and set(points) == {{{POINTS}}} else str(points))
"""


SCORES = """
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    points = [found.score for found in book.assignment_submissions("hw")]
raise SystemExit(0 if points and set(points) == {POINTS} else str(points))
""".replace("POINTS", str(POINTS))


@dataclass(frozen=True)
class Cost:
    """Of a whole class: wall seconds, and CPU seconds of all processes."""

    wall_s: float
    cpu_s: float


def run(*command: str | Path, folder: Path) -> None:
    """Run a program with one thread a process; raises SystemExit with what it printed where it fails."""
    path = f"{Path(command[0]).parent}:{os.environ['PATH']}"
    environment = {**os.environ, **dict.fromkeys(threads.VARIABLES, "1"), "HOME": str(folder), "PATH": path}
    done = subprocess.run([*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with status {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")


def timed(grade: Callable[[], float]) -> Cost:
    """`grade` returns the CPU seconds of processes that are nobody's children here."""
    before, began = _children_cpu_s(), time.perf_counter()
    others = grade()
    return Cost(time.perf_counter() - began, others + _children_cpu_s() - before)


def _children_cpu_s() -> float:
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def make_lab(lab: Path, submissions: int) -> None:
    """A class of lab 8's first task, asked for 1,000 images."""
    make_class(lab, tuple(Student(f"student{number:03}") for number in range(submissions)))
    spec = lab / "lab.toml"
    keep_task(spec, "vanilla")
    spec.write_text(spec.read_text().replace("samples = 2000", f"samples = {IMAGES}").replace("2k_", "1k_"))


def cells_of(lab: Path) -> list[str]:
    """The code of the notebook that the grader makes of a submission, ready to run on its own."""
    submission = next(next((lab / "submissions").iterdir()).iterdir())
    parameters = {"TRAIN": False, "CHECKPOINT": str(submission / "vanilla.pt"), "DEVICE": "cpu", "SEED": 0, "DATA_DIR": "data"}
    template = parse(open_lab(lab).template("lab8_vanilla.ipynb").read_bytes())
    notebook = json.loads(transplant(template, parse((submission / "lab8_vanilla.ipynb").read_bytes()), parameters).notebook)
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def write(path: Path, cells: list[nbformat.NotebookNode]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), path)
    return path


class Ours:
    """`grader run` over the class; its own processes are our children, executions are those of the process they are forked from."""

    def __init__(self, lab: Path) -> None:
        self._lab = lab

    def __call__(self) -> float:
        command = (sys.executable, "-m", "grader", "run", self._lab, "--force", "--workers", str(WORKERS))
        run(*command, folder=self._lab.parent)
        store = Store(open_lab(self._lab).course.database)
        usages = [result.tasks[0].usage for result in store.newest("lab8")]
        store.close()
        if None in usages:
            raise SystemExit("a submission was not executed here")
        return sum(usage.cpu_s for usage in usages if usage is not None)


class Papermill:
    """A process for each notebook."""

    def __init__(self, folder: Path, cells: list[str], submissions: int) -> None:
        self._folder, self._submissions = folder, submissions
        self._source = write(folder / "in.ipynb", [code_cell(source) for source in (*cells, GENERATE, ASSERT)])

    def __call__(self) -> float:
        def one(number: int) -> None:
            run(sys.executable, "-m", "papermill", self._source, self._folder / f"out{number}.ipynb", folder=self._folder)

        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(one, range(self._submissions)))
        return 0.0


class Nbgrader:
    """A course folder with everybody's notebook in it."""

    def __init__(self, folder: Path, python: Path, cells: list[str], submissions: int) -> None:
        self._folder, self._python, self._command = folder, python, python.with_name("nbgrader")
        test = {"grade_id": "test", "grade": True, "solution": False, "locked": True, "task": False, "schema_version": 3}
        graded = code_cell(f"{GENERATE}\n{ASSERT}", nbgrader={**test, "points": POINTS})
        write(folder / "source" / "hw" / "hw.ipynb", [*(code_cell(source) for source in cells), graded])
        config = f"c = get_config()\nc.CourseDirectory.root = {str(folder)!r}\nc.CourseDirectory.course_id = 'peers'\n"
        (folder / "nbgrader_config.py").write_text(f"{config}c.ExecutePreprocessor.timeout = 600\n")
        run(self._command, "generate_assignment", "hw", folder=folder)
        for number in range(submissions):
            target = folder / "submitted" / f"student{number:03}" / "hw" / "hw.ipynb"
            target.parent.mkdir(parents=True)
            shutil.copyfile(folder / "release" / "hw" / "hw.ipynb", target)

    def __call__(self) -> float:
        run(self._command, "autograde", "hw", "--force", folder=self._folder)
        return 0.0

    def check(self) -> None:
        """Raises SystemExit where somebody did not get all points."""
        run(self._python, "-c", SCORES, folder=self._folder)


class Otter:
    """An assignment, and a process for each of two submissions at a time."""

    def __init__(self, folder: Path, python: Path, cells: list[str], submissions: int) -> None:
        self._folder, self._python = folder, python
        raw = nbformat.v4.new_raw_cell
        head = raw("# ASSIGNMENT CONFIG\ninit_cell: false\nexport_cell: false\ncheck_all_cell: false\ngenerate:\n  pdf: false\n")
        question = raw(f"# BEGIN QUESTION\nname: q1\npoints: {POINTS}"), nbformat.v4.new_markdown_cell("Generate images.")
        solution = raw("# BEGIN SOLUTION"), code_cell(f"{GENERATE} # SOLUTION"), raw("# END SOLUTION")
        tests = raw("# BEGIN TESTS"), code_cell(ASSERT), raw("# END TESTS"), raw("# END QUESTION")
        write(folder / "hw.ipynb", [head, *(code_cell(source) for source in cells), *question, *solution, *tests])
        run(python.with_name("otter"), "assign", "hw.ipynb", "dist", folder=folder)
        (self._autograder,) = (folder / "dist" / "autograder").glob("*autograder*.zip")
        self._submitted = [folder / f"student{number:03}.ipynb" for number in range(submissions)]
        for target in self._submitted:
            shutil.copyfile(folder / "dist" / "autograder" / "hw.ipynb", target)  # the one with the solution
        (folder / "pool.py").write_text(POOL)

    def __call__(self) -> float:
        run(self._python, "pool.py", self._autograder, *self._submitted, folder=self._folder)
        return 0.0


def imported() -> tuple[str, ...]:
    """What the notebooks import, in the versions that run here."""
    return (*(f"{name}=={metadata.version(name).partition('+')[0]}" for name in ("torch", "numpy")), "matplotlib")


def show(costs: Mapping[str, list[Cost]], submissions: int) -> float:
    """Print the table; returns how many times the submissions an hour of the fastest peer."""
    table = Table(title=f"{submissions} submissions, {IMAGES} images each: median (range)")
    for column in ("", "CPU-s a submission", "submissions an hour", "this grader is faster by"):
        table.add_column(column, justify="right" if column else "left")
    ratios = {
        name: [other.wall_s / ours.wall_s for other, ours in zip(found, costs[OURS], strict=True)]
        for name, found in costs.items()
    }
    for name, found in costs.items():
        hourly = [3600 * submissions / cost.wall_s for cost in found]
        rate = f"{statistics.median(hourly):.0f} ({min(hourly):.0f}–{max(hourly):.0f})"
        table.add_row(name, spread([cost.cpu_s / submissions for cost in found]), rate, spread(ratios[name]))
    console = Console(width=120)
    console.print(table)
    console.print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}; {PEERS}")
    return min(statistics.median(ratios[name]) for name in ratios if name != OURS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of four")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache" / "gan-grader" / "peers",
        help="where the peers' environments are kept",
    )
    options = parser.parse_args()
    submissions = 4 if options.quick else options.submissions
    pythons = {name: peer_python(name, options.cache.resolve(), imported()) for name in PEERS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_lab(folder / "lab8", submissions)
        cells = cells_of(folder / "lab8")
        nbgrader = Nbgrader(folder / "nbgrader", pythons["nbgrader"], cells, submissions)
        ways: dict[str, Callable[[], float]] = {
            OURS: Ours(folder / "lab8"),
            "papermill": Papermill(folder / "papermill", cells, submissions),
            "otter-grader": Otter(folder / "otter", pythons["otter-grader"], cells, submissions),
            "nbgrader": nbgrader,
        }
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        names = list(ways)
        for k in range(1 if options.quick else options.rounds):
            for way in (*names[k % len(names) :], *names[: k % len(names)]):
                costs[way].append(timed(ways[way]))
        nbgrader.check()
    ratio = show(costs, submissions)
    if options.json:
        figures = {name: [asdict(cost) for cost in found] for name, found in costs.items()}
        options.json.write_text(json.dumps({"ratio_vs_fastest_peer": ratio, "submissions": submissions, **figures}, indent=1))


if __name__ == "__main__":
    main()
