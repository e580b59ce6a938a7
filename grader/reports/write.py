"""Reports on disk: each file is replaced in one piece, so that a reader never sees half of one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from grader.errors import StoreError
from grader.models import Artifact, SubmissionResult
from grader.reports import gradescope, index, student
from grader.reports.gradebook import gradebook_csv
from grader.reports.redact import for_student


def write_submission(result: SubmissionResult, artifacts: Mapping[str, Sequence[Artifact]], folder: Path) -> None:
    """Write report.html, report.json, results.json and essays in PDF into `folder`, which is made where it is missing.

    The folder may be handed to the student: report.json holds what `for_student` leaves of the record. Where the
    submission is ungraded there is no results.json, and one of an earlier run is removed.

    Raises:
        StoreError: the folder cannot be written.
    """
    gradescope_results = gradescope.results_json(result)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for essay in artifacts.get("", ()):
            if essay.media_type == "application/pdf":
                _replace(folder / essay.name, essay.data)
        _replace(folder / "report.html", student.render(result, artifacts))
        if gradescope_results is None:
            (folder / "results.json").unlink(missing_ok=True)
        else:
            _replace(folder / "results.json", json.dumps(gradescope_results, indent=1, allow_nan=False) + "\n")
        _replace(folder / "report.json", _report_json(result))  # last, see `is_written`
    except OSError as error:
        raise _cannot_write(folder, error) from error


def is_written(result: SubmissionResult, folder: Path) -> bool:
    """Whether `folder` holds all reports of just this result: report.json is written last, and compared whole.

    Not by its time alone: a clock that was set back can give two results the same.
    """
    try:
        return (folder / "report.json").read_text(encoding="utf-8") == _report_json(result)
    except (OSError, ValueError):
        return False


def _report_json(result: SubmissionResult) -> str:
    return for_student(result).model_dump_json(indent=1) + "\n"


def write_class(
    results: Sequence[SubmissionResult],
    thumbnails: Mapping[tuple[str, str], Artifact | None],
    lab_title: str,
    folder: Path,
) -> None:
    """Write index.html and gradebook.csv into the results folder of a lab; arguments as for `index.render`.

    Raises:
        StoreError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / "index.html", index.render(results, thumbnails, lab_title))
        _replace(folder / "gradebook.csv", gradebook_csv(results))
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _replace(path: Path, content: str | bytes) -> None:
    """Write to a file beside `path`, then rename it: the old file stays whole until the new one is.

    Its name is always the same, so that what a killed run leaves of it is overwritten; whoever writes reports holds the course's lock.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        with part.open("xb") as file:  # never through a link
            file.write(content if isinstance(content, bytes) else content.encode())
        part.chmod(0o644)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _cannot_write(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{error.filename or folder}: reports cannot be written ({error.strerror}); check that the disk is neither full nor read-only "
        "and that the folder is yours, then run `grader run` again: what was graded is safe in the database and is not repeated"
    )
