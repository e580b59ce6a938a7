"""What run_autograder runs: `python -m grader.gradescope.autograde [ROOT]`.

It watches the time and writes results.json; the grading is a process of its own, which it ends when the time is nearly used up, or another
machine's. Exit status 0: results.json is there. 1: it is not, Gradescope shows staff an autograder error, and they run it again.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from grader.course import LabFolder
from grader.errors import GraderError, UngradedError
from grader.gradescope.container import TIERS, memory_mb
from grader.gradescope.layout import COURSE, Layout
from grader.gradescope.metadata import Metadata, read_metadata
from grader.gradescope.progress import Progress
from grader.gradescope.rate import graded_before, refused, with_ledger
from grader.models import JSON
from grader.reports.gradescope import results_json

ROOT = Path("/autograder")
GRADE = ("-m", "grader.gradescope.grade")
"""Arguments of the interpreter for the process that grades."""
SHARE = 0.8
"""Of Gradescope's time limit that is used: beyond the limit everything would be lost."""


def autograde(layout: Layout, started: float) -> None:
    """Grade the submission in the tree and write results.json. started: on the monotonic clock.

    Raises:
        GraderError: there is nothing to report; the message says why.
    """
    layout.results.unlink(missing_ok=True)
    _shield(layout)
    metadata = read_metadata(layout.metadata)
    lab = layout.open_lab(layout.source / COURSE)
    settings = lab.course.file.gradescope
    if again := refused(metadata, settings.rate_limit):
        _write(layout, again)
        print("rate limit: gave out the results of before once more")
        return
    deadline = started + SHARE * settings.minutes * 60
    found = _forwarded(layout, lab, metadata, deadline) if settings.forward_url else _graded_here(layout, deadline)
    report = results_json(found.result, lab.spec.gradescope, found.unreached)
    if report is None:
        raise UngradedError(_why(found))
    report["extra_data"] = with_ledger(report, [*graded_before(metadata), metadata.created_at])
    _write(layout, report)
    if found.unreached:
        print(f"not reached in time: {', '.join(sorted(found.unreached))}")


def _shield(layout: Layout) -> None:
    """Nobody but root reads the secret, the packs, or what Gradescope says of the student, which holds notes for staff.

    The sandbox has copies of what it needs; where nothing but a user id keeps student code in, permissions are all that there is.
    """
    course = layout.source / COURSE
    for path in (layout.source, course, *course.rglob("*"), layout.metadata):
        if path.exists() and not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o600)


def _graded_here(layout: Layout, deadline: float) -> Progress:
    """Grade in this container, until the deadline."""
    needed, there = layout.manifest().needed_mb, memory_mb()
    if there < needed:
        raise UngradedError(
            f"this container has {there} MB and grading takes {needed} MB: choose a larger one in the autograder's settings (there are "
            f"{'; '.join(map(str, TIERS))}), or set forward_url in course.toml and build the zip again"
        )
    shutil.rmtree(layout.work, ignore_errors=True)
    layout.work.mkdir(mode=0o700)
    command = [sys.executable, *GRADE, str(layout.root)]
    with subprocess.Popen(command, start_new_session=True) as process:
        status = _wait(process, deadline)
    found = Progress.read(layout.progress)
    if status is None and found is None:
        raise UngradedError(
            "the time was used up before the first task was graded: raise the time limit at Gradescope, and `minutes`"
        )
    if found is None or status:  # also after a task: a process that was killed may have left another task half done
        raise UngradedError(f"grading ended with status {status}; what it printed says why")
    return found


def _wait(process: subprocess.Popen[bytes], deadline: float) -> int | None:
    """The exit status; None where the process was ended at the deadline. Its sandboxes end with it."""
    try:
        return process.wait(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def _forwarded(layout: Layout, lab: LabFolder, metadata: Metadata, deadline: float) -> Progress:
    """Have a GPU grader grade it, and wait for that until the deadline."""
    from grader.service.client import Client  # requests takes a moment to import

    settings = lab.course.file.gradescope
    client = Client(settings.forward_url or "", settings.token or "", deadline)
    return Progress(result=client.grade(lab.spec.lab.id, metadata, layout.submission))


def _why(found: Progress) -> str:
    problems = [
        f"{task.task}: {problem.message}" for task in found.result.tasks for problem in task.problems if task.score is None
    ]
    return "not graded; run the autograder again: " + ("; ".join(problems) or "no reason recorded")


def _write(layout: Layout, report: JSON) -> None:
    layout.results.parent.mkdir(parents=True, exist_ok=True)
    part = layout.results.with_suffix(".part")
    part.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    part.replace(layout.results)


def _started() -> float:
    """Now; a function of its own, so that a test can begin late."""
    return time.monotonic()


def main() -> int:
    """Entry point; a message of one line for whatever goes wrong."""
    started = _started()
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    try:
        autograde(Layout(root), started)
    except (GraderError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
