"""The process that grades a submission on Gradescope: `python -m grader.gradescope.grade ROOT`, started by `autograde`."""

import shutil
import sys
from pathlib import Path

from grader import threads

threads.pin()  # before numpy and torch are imported

from grader.bench import open_bench  # noqa: E402
from grader.errors import GraderError, UngradedError  # noqa: E402
from grader.gradescope.handin import handin_of  # noqa: E402
from grader.gradescope.layout import COURSE, Layout  # noqa: E402
from grader.gradescope.metadata import read_metadata  # noqa: E402
from grader.gradescope.progress import Progress  # noqa: E402
from grader.models import SubmissionResult  # noqa: E402


def grade(layout: Layout) -> None:
    """Grade what lies in the tree, and leave what came of it in `layout.progress`.

    Raises:
        GraderError: nothing could be graded; the message says why.
    """
    course = layout.work / COURSE
    shutil.copytree(layout.source / COURSE, course)
    lab = layout.open_lab(course)
    handin = handin_of(read_metadata(layout.metadata), layout.submission, lab)

    def report(result: SubmissionResult, unreached: frozenset[str]) -> None:
        Progress(result=result, unreached=unreached).write(layout.progress)

    with open_bench(lab, say, progress=report) as bench:
        for hole in bench.holes:
            say(f"level {bench.grader.sandbox.level}: student code {hole}")
        report(bench.grade(handin), frozenset())


def say(text: str) -> None:
    """A line for the instructor, who alone reads what an autograder prints."""
    print(text, flush=True)


def main() -> int:
    """Exit status 0 where there is something to report."""
    try:
        grade(Layout(Path(sys.argv[1])))
    except (GraderError, OSError) as error:
        say(f"error: {error}")
        if isinstance(error, UngradedError) and error.log:
            say(error.log)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
