"""A small class that is graded in seconds, and grader commands in processes that can be killed at any moment.

The commands run in children of a server that has imported everything once: the whole of a run is work, none of it start.
"""

import json
import multiprocessing
import os
import pickle
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import evaluator.extractors.classifier  # noqa: F401 - for the server
import grader.classrun
import grader.display  # noqa: F401
from grader import cli, threads
from grader.course import init
from grader.models import Artifact, Status, SubmissionResult
from grader.release import fill, template_notebook
from grader.rescue import open_store
from grader.store import Store

SPEC = """
[lab]
id = "toy"
title = "Noise"
files = ["toy.ipynb", "handin.pt"]

[[task]]
id = "toy"
title = "Noise"
notebook = "toy.ipynb"
dataset = "mnist"
samples = 2000
shape = [28, 28]
classes = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
limits = { cpu_s = 60, wall_s = 120, memory_mb = 2000, processes = 64, disk_mb = 64, checkpoint_mb = 1 }

[[task.criterion]]
metric = "duplicates2k_pixels"
title = "No repeated images"
points = 10
full = 0.01
zero = 0.99
"""
SCRIPT = """
# %% tags=["parameters"]
TRAIN = True
CHECKPOINT = "handin.pt"
DEVICE = "cpu"
SEED = 0
DATA_DIR = "data"

# %%
import sys

import numpy as np

sys.modules["torch"] = None  # nothing here needs it, and to import it takes longer than all the rest

# %%
### BEGIN SOLUTION generate: n images
def generate(n):
    return np.zeros((n, 28, 28), np.uint8)
### END SOLUTION
"""
BODIES = {
    "ada": "def generate(n):\n    return np.random.randint(0, 256, (n, 28, 28)).astype(np.uint8)",
    "bob": "def generate(n):\n    return images[n]",
}
"""What two hand in; it runs in the sandbox. They get all points, and none."""
UNTOUCHED = ("dan", "eve", "fay", "gus")
"""Four who hand in the template, which costs no time."""


def make_class(lab: Path, students: Sequence[str]) -> Path:
    """A lab folder with its own course settings, and a hand-in of each of these students."""
    init(lab)
    (lab / "lab.toml").write_text(SPEC)
    script = lab / "toy.py"
    script.write_text(SCRIPT)
    template = template_notebook(script)
    (lab / "templates").mkdir()
    (lab / "templates" / "toy.ipynb").write_bytes(template)
    for student in students:
        folder = lab / "submissions" / student
        folder.mkdir(parents=True)
        (folder / "toy.ipynb").write_bytes(fill(template, {"generate": BODIES[student]}) if student in BODIES else template)
        (folder / "handin.pt").write_bytes(pickle.dumps({"w": 1}, protocol=2))
    return lab


def _command(arguments: tuple[str, ...], log: Path, temporary: Path) -> None:
    """A grader command, as in a terminal; in the child."""
    os.environ["TMPDIR"] = str(temporary)
    tempfile.tempdir = None  # the server has asked for it already
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["grader", *arguments]
    cli.main()


def _write(database: Path, first: int, log: Path) -> None:
    """Store results in a tight loop, with a backup after each seventh, and say of each that it is stored; in the child."""
    with log.open("a", buffering=1) as file, open_store(database, lambda line: print("said", line, file=file)) as store:
        for number in range(first, first + 10_000):
            result = SubmissionResult(
                lab="toy",
                lab_title="t",
                student=f"s{number}",
                attempt="1",
                status=Status.GRADED,
                score=1,
                max_score=1,
                tasks=(),
                graded_at=datetime.now(UTC),
            )
            store.add(result, {"a": [Artifact(name="x", data=bytes([number % 256]) * 3_000_000)]}, str(number))
            print(number, file=file)
            if number % 7 == 6:
                store.back_up()


class Commands:
    """Grader commands in forked processes, with a temporary folder of their own."""

    def __init__(self, temporary: Path) -> None:
        threads.pin()
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["pytest", "faults"])
        self.temporary = temporary
        self.run("--version", log=temporary / "log")  # the server starts and imports; no run that is timed should wait for it

    def start(self, *arguments: str | Path, log: Path) -> BaseProcess:
        """A command under way."""
        process = self._context.Process(target=_command, args=(tuple(map(str, arguments)), log, self.temporary))
        process.start()
        return process

    def start_writer(self, database: Path, first: int, log: Path) -> BaseProcess:
        """A process that stores results s<first>, s<first + 1>, … until it is killed."""
        process = self._context.Process(target=_write, args=(database, first, log))
        process.start()
        return process

    def run(self, *arguments: str | Path, log: Path) -> tuple[int, str]:
        """Exit status and output of a command."""
        before = log.stat().st_size if log.exists() else 0
        process = self.start(*arguments, log=log)
        process.join(120)
        assert process.exitcode is not None, "the command hangs"
        return process.exitcode, log.read_bytes()[before:].decode()


def gradebook(lab: Path) -> bytes:
    return (lab / "results" / "gradebook.csv").read_bytes()


def results(lab: Path) -> dict[str, dict[str, Any]]:
    """What the database says of each student, but for times."""
    store = Store(lab / "grades.db")
    try:
        return {result.student: timeless(result) for result in store.newest("toy")}
    finally:
        store.close()


def timeless(result: SubmissionResult) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(result.model_dump_json())
    del table["graded_at"]
    for task in table["tasks"]:
        del task["usage"]
        for name in ("started", "finished"):
            del task["provenance"][name]
    return table
