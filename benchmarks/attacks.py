"""What hostile notebooks get from nbgrader, from otter-grader, and from this grader, side by side in one run.

    python benchmarks/attacks.py [--quick] [--json FILE] [--cache DIR]

One tiny assignment, worth 4 points, is made for each grader: write `square(x)`; one visible and one hidden assertion for the
peers, fresh numbers for ours. The same source text is then handed in to all three: an honest answer as the control, and five
attacks. The table shows the points that each grader recorded, how grading ended (graded; error; killed, at a limit of the
grader's own; hung, until this script ended it), the seconds of wall time, and the peak memory: of the largest process for
peers, of the whole sandbox as the grader reports it for ours. If the honest answer does not get full marks everywhere, the
comparison is void, and the exit status is 1.

Peers are installed by uv, in the pinned versions, into a virtual environment each, and run as their documentation says for one
submission: `nbgrader autograde` with a time limit for each cell (`ExecutePreprocessor.timeout`), `otter run` with the
autograder made by `otter assign`. `otter run` has no time limit to set. The time limit of `otter grade`, and the isolation that
both peers advise, are those of Docker, which is not used here: what is compared is the graders themselves. This grader runs its
whole path for a task (transplant, sandbox, unit check, score) with the limits of a lab.toml.

Seconds of peers hold the start of their program, which they need for every submission; this grader's process starts once a
class, and is warm. So that nothing here hurts the machine, the memory hog stops at 2 GB, peers run under limits of address
space and CPU time that are far above what the cases need, and whatever they started is killed by its number when they are
through or out of time.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import nbformat
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY)]

from evaluator.pack import public_pack  # noqa: E402
from grader import __version__  # noqa: E402
from grader.errors import UngradedError  # noqa: E402
from grader.intake import Submission  # noqa: E402
from grader.models import Status, TaskResult  # noqa: E402
from grader.notebook import parse  # noqa: E402
from grader.sandbox import open_sandbox  # noqa: E402
from grader.spec import Limits, Task, UnitCriterion  # noqa: E402
from grader.task import Setting, grade_task, rejected  # noqa: E402
from grader.units import CHECKS  # noqa: E402
from grader.units.base import BATCH, Floats, UnitCheck, Verdict, right, single, wrong  # noqa: E402

PEERS = {"nbgrader": "0.9.6", "otter-grader": "7.0.0"}
POINTS = 4
MEMORY_MB = 1_000
"""What this grader allows; between what the honest notebook and the hog need."""
ADDRESS_SPACE = 6 << 30
PEER_CPU_S = 300
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}

Ending = Literal["graded", "error", "killed", "hung"]


@dataclass(frozen=True)
class Case:
    """source: what the student writes. deserved: points by what `square` does; None where a grader may decide either way."""

    name: str
    source: str
    deserved: float | None


@dataclass(frozen=True)
class Given:
    """What a grader made of a case. points: None where it recorded none. peak_mb: in MiB, as measured. said: why."""

    case: str
    grader: str
    points: float | None
    ended: Ending
    seconds: float
    peak_mb: float | None
    said: str


RIGHT = "def square(x):\n    return x * x\n"
WRONG = "def square(x):\n    return -1\n"

STRIP = """
import ast
import sys
from contextlib import suppress


class Strip(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)


get_ipython().ast_transformers.append(Strip())

with suppress(ImportError):
    from otter.test_files.ok_test import OKTestFile

    honest_run = OKTestFile.run

    def run(self, *args, **kwargs):
        honest_run(self, *args, **kwargs)
        for result in self.test_case_results:
            result.passed = True

    OKTestFile.run = run

with suppress(ImportError):
    import numpy as np

    np.allclose = np.isclose = np.array_equal = lambda *args, **kwargs: True

for module in list(sys.modules.values()):
    for name in ("judge", "score", "score_unit", "check"):
        if callable(getattr(module, "__dict__", {}).get(name)):
            setattr(module, name, lambda *args, **kwargs: 1.0)
"""
PRINT = """
print("score: 100")
print('{"score": 4, "max_score": 4, "passed": true}')
"""
HOG = """
kept = [b"x" * (64 << 20) for _ in range(31)]
"""
CASES = (
    Case("honest (control)", RIGHT, POINTS),
    Case("checker patched, asserts stripped", WRONG + STRIP, 0),
    Case("os._exit in the cell", RIGHT + "\nimport os\nos._exit(0)\n", None),
    Case("loop after a correct answer", RIGHT + "\nwhile True:\n    pass\n", None),
    Case("printed score", WRONG + PRINT, 0),
    Case("memory hog (2 GB) after a correct answer", RIGHT + HOG, None),
)


@dataclass(frozen=True)
class Ended:
    """A program that was run: exit status (None: ended by this script), seconds, MiB of its largest process, and what it printed."""

    status: int | None
    seconds: float
    peak_mb: float
    text: str


def run_peer(command: Sequence[str | Path], folder: Path, patience_s: float) -> Ended:
    """Run a peer's program in a process group of its own, with a net of limits below it, and leave nothing of it behind."""
    environment = {**os.environ, "HOME": str(folder), "PATH": f"{Path(command[0]).parent}:{os.environ['PATH']}"}
    with tempfile.TemporaryFile() as log:
        start = time.monotonic()
        # The shell sets the limits: Python code between fork and exec is not safe where there are threads.
        limits = f'ulimit -v {ADDRESS_SPACE >> 10}; ulimit -t {PEER_CPU_S}; exec "$@"'
        full = ["/bin/sh", "-c", limits, "sh", *map(str, command)]
        process = psutil.Popen(
            full, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        status, peak = watch(process, start + patience_s)
        seconds = time.monotonic() - start
        log.seek(0)
        return Ended(status, seconds, peak, log.read().decode(errors="replace"))


def watch(process: psutil.Popen, until: float) -> tuple[int | None, float]:
    """Wait for a process, then kill what is left of it: (exit status, None where time was up; peak MiB of one process)."""
    seen: dict[int, psutil.Process] = {}  # kernels start sessions of their own, so that the group alone would not do
    peak = 0.0
    try:
        while process.poll() is None and time.monotonic() < until:
            with suppress(psutil.NoSuchProcess):
                seen |= {child.pid: child for child in process.children(recursive=True)}
            peak = max([peak, *(memory_mb(p) for p in (process, *seen.values()))])
            time.sleep(0.05)
        return process.poll(), peak
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for survivor in seen.values():
            with suppress(psutil.NoSuchProcess):
                survivor.kill()  # which refuses where the number has gone to another process
        process.wait()


def memory_mb(process: psutil.Process) -> float:
    """Resident MiB now, 0 once it is gone."""
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.Error:
        return 0.0


def peer_python(name: str, cache: Path, packages: Sequence[str] = ()) -> Path:
    """The interpreter of a peer's own environment, which is made, with more packages beside the peer, where it is missing."""
    folder = cache / f"{name}-{PEERS[name]}-py{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        uv = shutil.which("uv", path=f"{REPOSITORY / '.tools' / 'bin'}:{os.environ['PATH']}")
        if uv is None:
            raise SystemExit("found no uv, which installs the peers; put it on PATH (https://docs.astral.sh/uv)")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        wanted = (f"{name}=={PEERS[name]}", "ipykernel", *packages)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *wanted], check=True)
        (folder / "complete").touch()
    return python


def installed(python: Path) -> dict[str, str]:
    """Versions of what executes notebooks in an environment."""
    code = "import importlib.metadata as m, json; print(json.dumps({p: m.version(p) for p in ('nbclient', 'nbconvert', 'ipykernel')}))"
    found: dict[str, str] = json.loads(subprocess.run([python, "-c", code], check=True, capture_output=True).stdout)
    return found


def code_cell(source: str, **metadata: Any) -> Any:
    return nbformat.v4.new_code_cell(source, metadata=metadata)


def write(path: Path, cells: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells), metadata=KERNEL), path)


def hand_in(released: Path, source: str, target: Path) -> None:
    """The released notebook with the student's source in the place of the cell that defines `square`."""
    notebook = nbformat.read(released, as_version=4)
    (cell,) = (c for c in notebook.cells if c.cell_type == "code" and c.source.startswith("def square"))
    cell.source = source
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)


def expect_done(ended: Ended, what: str) -> None:
    if ended.status != 0:
        raise SystemExit(f"{what} ended with status {ended.status}:\n{ended.text[-2000:]}")


def last_error(text: str) -> str:
    """The last line of a log that names an error, without what the logger puts before it."""
    lines = [line.strip() for line in text.splitlines() if re.search(r"Error\b|Timeout|died", line)]
    return re.sub(r"^\[[^\]]*\]\s*", "", lines[-1])[:160] if lines else ""


class Nbgrader:
    """One course folder; the points are those of its gradebook."""

    name = "nbgrader"

    def __init__(self, folder: Path, python: Path, limit_s: float, patience_s: float) -> None:
        self._folder, self._python, self._patience_s = folder, python, patience_s
        folder.mkdir()
        config = (
            f"c = get_config()\nc.CourseDirectory.root = {str(folder)!r}\nc.CourseDirectory.course_id = 'attacks'\n"
            f"c.ExecutePreprocessor.timeout = {limit_s:.0f}\n"
        )
        (folder / "nbgrader_config.py").write_text(config)
        test = "assert square(3) == 9\n### BEGIN HIDDEN TESTS\nassert square(-4) == 16\n### END HIDDEN TESTS"
        answer = "def square(x):\n    ### BEGIN SOLUTION\n    return x * x\n    ### END SOLUTION"
        cells = (self._cell(answer, "square", solution=True), self._cell(test, "test", grade=True, locked=True, points=POINTS))
        write(folder / "source" / "hw" / "hw.ipynb", cells)
        expect_done(self._run("generate_assignment", "hw"), "nbgrader generate_assignment")

    @staticmethod
    def _cell(source: str, name: str, **more: Any) -> Any:
        common = {"grade_id": name, "grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
        return code_cell(source, nbgrader={**common, **more})

    def _run(self, *arguments: str) -> Ended:
        return run_peer((self._python.with_name("nbgrader"), *arguments), self._folder, self._patience_s)

    def grade(self, case: Case, number: int) -> Given:
        student = f"student{number}"
        released = self._folder / "release" / "hw" / "hw.ipynb"
        hand_in(released, case.source, self._folder / "submitted" / student / "hw" / "hw.ipynb")
        ended = self._run("autograde", "hw", "--student", student)
        points, asks = self._recorded(student)
        how: Ending = "hung" if ended.status is None else "error" if ended.status else "graded"
        said = last_error(ended.text) or self._cell_error(student)
        said += " (the gradebook asks for manual grading)" if asks else ""
        return Given(case.name, self.name, points, how, ended.seconds, ended.peak_mb, said)

    def _recorded(self, student: str) -> tuple[float | None, bool]:
        """The gradebook's score, None where it has none, and whether it asks for a person."""
        code = (
            "import json, sys; from nbgrader.api import Gradebook\n"
            "with Gradebook('sqlite:///gradebook.db') as book:\n"
            "    found = book.find_submission('hw', sys.argv[1]); print(json.dumps([found.score, found.needs_manual_grade]))"
        )
        command = [self._python, "-c", code, student]
        done = subprocess.run(command, cwd=self._folder, capture_output=True)
        return tuple(json.loads(done.stdout)) if done.returncode == 0 else (None, False)

    def _cell_error(self, student: str) -> str:
        """The first error among the outputs of the graded notebook."""
        path = self._folder / "autograded" / student / "hw" / "hw.ipynb"
        cells = nbformat.read(path, as_version=4).cells if path.exists() else ()
        errors = (o for c in cells for o in c.get("outputs", ()) if o.output_type == "error")
        return next((f"{o.ename} {o.evalue}".strip()[:160] for o in errors), "")


class Otter:
    """One assignment; the points are those of each results.json."""

    name = "otter-grader"

    def __init__(self, folder: Path, python: Path, limit_s: float, patience_s: float) -> None:
        self._folder, self._python, self._patience_s = folder, python, patience_s
        folder.mkdir()
        raw = nbformat.v4.new_raw_cell
        head = "# ASSIGNMENT CONFIG\ninit_cell: true\nexport_cell: false\ncheck_all_cell: false\ngenerate:\n  pdf: false\n"
        question = raw(f"# BEGIN QUESTION\nname: q1\npoints: {POINTS}"), nbformat.v4.new_markdown_cell("Write square(x).")
        solution = raw("# BEGIN SOLUTION"), code_cell("def square(x):\n    return x * x # SOLUTION"), raw("# END SOLUTION")
        tests = code_cell("assert square(3) == 9"), code_cell("# HIDDEN\nassert square(-4) == 16")
        write(
            folder / "hw.ipynb",
            (raw(head), *question, *solution, raw("# BEGIN TESTS"), *tests, raw("# END TESTS"), raw("# END QUESTION")),
        )
        expect_done(self._run("assign", "hw.ipynb", "dist"), "otter assign")

    def _run(self, *arguments: str) -> Ended:
        return run_peer((self._python.with_name("otter"), *arguments), self._folder, self._patience_s)

    def grade(self, case: Case, number: int) -> Given:
        submission, out = self._folder / f"student{number}.ipynb", self._folder / f"out{number}"
        hand_in(self._folder / "dist" / "student" / "hw.ipynb", case.source, submission)
        out.mkdir()
        (autograder,) = (self._folder / "dist" / "autograder").glob("*autograder*.zip")
        ended = self._run("run", submission.name, "-a", str(autograder), "-o", str(out), "--no-logo")
        results = out / "results.json"
        tests = json.loads(results.read_text())["tests"] if results.exists() else []
        scores = [test["score"] for test in tests if "score" in test]
        how: Ending = "hung" if ended.status is None else "graded" if scores and not ended.status else "error"
        said = last_error(ended.text) or next((last_error(str(test.get("output", ""))) for test in tests), "")
        return Given(case.name, self.name, sum(scores) if scores else None, how, ended.seconds, ended.peak_mb, said)


def judge_square(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """The squares of fresh numbers."""
    found = single(outputs)
    if found is None or found.shape != inputs[0].shape:
        return wrong("square(x) did not return one number for each number")
    return right("squares of fresh numbers") if np.allclose(found, inputs[0] ** 2) else wrong("not the squares of fresh numbers")


SQUARE = UnitCheck(
    name="square",
    todos=("square",),
    code="def probe(numbers):\n    return [[float(square(float(x))) for x in numbers]]",
    inputs=lambda rng: (rng.uniform(-9, 9, BATCH).astype(np.float32),),
    judge=judge_square,
)


class Ours:
    """The path of one task through the grader, in the sandbox that a class run would use."""

    name = "this grader"

    def __init__(self, folder: Path, limit_s: float) -> None:
        cast(dict[str, UnitCheck], CHECKS)[SQUARE.name] = SQUARE  # labs ask for checks by name; this one exists here only
        folder.mkdir()
        self._folder = folder
        self._write(folder / "template.ipynb", "")
        sandbox = open_sandbox()
        self.level = sandbox.level
        template = parse((folder / "template.ipynb").read_bytes())
        self._setting = Setting(self._task(limit_s), template, public_pack("mnist"), sandbox, b"attacks", "cpu", slot=0)

    @staticmethod
    def _task(limit_s: float) -> Task:
        return Task(
            id="square",
            notebook="square.ipynb",
            dataset="mnist",
            shape=(28, 28),
            limits=Limits(cpu_s=limit_s, wall_s=4 * limit_s, memory_mb=MEMORY_MB),
            criterion=(UnitCriterion(unit=SQUARE.name, points=POINTS),),
        )

    @staticmethod
    def _write(path: Path, body: str) -> None:
        parameters = code_cell(
            "TRAIN = True\nCHECKPOINT = 'handin.pt'\nDEVICE = 'cpu'\nSEED = 0\nDATA_DIR = 'data'", tags=["parameters"]
        )
        cells = parameters, code_cell(f"##TODO## square: write square(x)\n{body}\n##END TODO##")
        for number, cell in enumerate(cells):
            cell["id"] = f"cell{number}"
        write(path, cells)

    def grade(self, case: Case, number: int) -> Given:
        path = self._folder / f"student{number}.ipynb"
        self._write(path, case.source.strip("\n"))
        submission = Submission(
            student=f"student{number}",
            attempt="1",
            root=self._folder,
            notebooks={"square": path},
            links={},
            refused={},
            warnings=(),
            sha256="",
        )
        start = time.monotonic()
        try:
            result = grade_task(self._setting, submission).result
        except UngradedError as error:  # a busy machine, which a class run would try again
            result = rejected(self._setting.task, error)
        seconds = time.monotonic() - start
        peak = result.usage.peak_memory_mb if result.usage else None
        return Given(case.name, self.name, result.score, self._ending(result), seconds, peak, result.criteria[0].message)

    @staticmethod
    def _ending(result: TaskResult) -> Ending:
        codes = {problem.code for problem in result.problems}
        if codes & {"cpu-limit", "wall-limit", "memory-limit"}:
            return "killed"
        return "error" if result.status is Status.UNGRADED or "kernel-died" in codes else "graded"


def points(given: Given) -> str:
    return "none" if given.points is None else f"{given.points:g} of {POINTS}"


def show(rows: Mapping[Case, Sequence[Given]], console: Console) -> None:
    table = Table(title="Points, how it ended, seconds, peak MB", show_lines=True)
    for column in ("case", "deserved", *(given.grader for given in next(iter(rows.values())))):
        table.add_column(column)
    for case, row in rows.items():
        deserved = "—" if case.deserved is None else f"{case.deserved:g}"
        cells = [f"{points(g)}\n{g.ended}, {g.seconds:.1f} s\n{g.peak_mb or 0:.0f} MB" for g in row]
        table.add_row(case.name, deserved, *cells)
    console.print(table)
    for row in rows.values():
        for given in row:
            if given.said:
                console.print(f"{given.case}, {given.grader}: {given.said}", markup=False, highlight=False)


def control_failures(rows: Mapping[Case, Sequence[Given]]) -> list[str]:
    """The graders that did not give the honest answer full marks."""
    return [given.grader for given in rows[CASES[0]] if given.points != POINTS]


def about(level: str, pythons: Mapping[str, Path]) -> dict[str, Any]:
    """Machine, date and versions."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "this grader": f"{__version__}, sandbox {level}",
        **{name: {"version": PEERS[name], **installed(python)} for name, python in pythons.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter limits")
    parser.add_argument("--json", type=Path, help="also write all results to this file")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gan-grader" / "attacks"
    parser.add_argument("--cache", type=Path, default=cache, help="where the peers' environments are kept (%(default)s)")
    options = parser.parse_args()
    limit_s, patience_s = (10.0, 40.0) if options.quick else (20.0, 90.0)
    console = Console()
    pythons = {name: peer_python(name, options.cache.resolve()) for name in PEERS}
    with tempfile.TemporaryDirectory(prefix="attacks-") as name:
        folder = Path(name)
        ours = Ours(folder / "ours", limit_s)
        nbgrader = Nbgrader(folder / "nbgrader", pythons["nbgrader"], limit_s, patience_s)
        otter = Otter(folder / "otter", pythons["otter-grader"], limit_s, patience_s)
        ours.grade(CASES[0], len(CASES))  # loads what a class run loads once
        graders: tuple[Callable[[Case, int], Given], ...] = (nbgrader.grade, otter.grade, ours.grade)
        rows = {case: [grade(case, number) for grade in graders] for number, case in enumerate(CASES)}
    show(rows, console)
    setting = {**about(ours.level, pythons), "limit_s": limit_s, "patience_s": patience_s, "memory_mb": MEMORY_MB}
    console.print_json(data=setting)
    console.print(
        f"The hog stops at 2 GB; peers ran under ulimit -v of {ADDRESS_SPACE >> 30} GiB and -t of {PEER_CPU_S} s, a net that is no part "
        "of them. “hung”: this script ended it."
    )
    if options.json:
        table = [asdict(given) for row in rows.values() for given in row]
        options.json.write_text(json.dumps({**setting, "results": table}, indent=1, ensure_ascii=False))
    if failed := control_failures(rows):
        console.print(f"Void: the honest answer did not get full marks from {', '.join(failed)}; nothing above can be compared.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
