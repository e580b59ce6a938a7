import json
from pathlib import Path

import pytest

from grader.errors import StoreError
from grader.models import Artifact, SubmissionResult
from grader.reports.redact import for_student
from grader.reports.write import is_written, write_class, write_submission

from .examples import graded, held, ungraded


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_submission_gets_its_three_files(tmp_path: Path, pictures: dict[str, list[Artifact]]) -> None:
    folder = tmp_path / "results" / "alice"
    write_submission(graded(), pictures, folder)
    assert names(folder) == {"report.html", "report.json", "results.json"}
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert SubmissionResult.model_validate_json((folder / "report.json").read_bytes()) == for_student(graded())
    assert json.loads((folder / "results.json").read_bytes())["score"] == 85.41


def test_an_essay_in_pdf_lies_beside_the_report_as_it_is(tmp_path: Path) -> None:
    essay = Artifact(name="reflection.pdf", media_type="application/pdf", data=b"%PDF-1.7 \xff\r\n")
    write_submission(graded(), {"": [essay]}, tmp_path)
    assert (tmp_path / "reflection.pdf").read_bytes() == essay.data


def test_nothing_in_the_folder_speaks_of_others_but_the_hidden_test(tmp_path: Path) -> None:
    write_submission(held(), {}, tmp_path)
    assert "mallory" not in (tmp_path / "report.html").read_text(encoding="utf-8") + (tmp_path / "report.json").read_text(
        encoding="utf-8"
    )


def test_an_ungraded_submission_leaves_no_score_for_gradescope(tmp_path: Path) -> None:
    write_submission(graded(), {}, tmp_path)
    write_submission(ungraded(), {}, tmp_path)
    assert names(tmp_path) == {"report.html", "report.json"}


def test_the_class_gets_its_two_files(tmp_path: Path) -> None:
    write_class([graded(), held()], {}, "Lab", tmp_path / "results")
    assert names(tmp_path / "results") == {"index.html", "gradebook.csv"}
    assert (tmp_path / "results" / "gradebook.csv").read_bytes().count(b"\r\n") == 3


def test_a_crash_leaves_the_old_file_whole_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_class([graded()], {}, "Lab", tmp_path)
    before = (tmp_path / "index.html").read_bytes()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_class([held()], {}, "Lab", tmp_path)
    assert (tmp_path / "index.html").read_bytes() == before and names(tmp_path) == {"index.html", "gradebook.csv"}


def test_a_link_in_the_way_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep")
    folder = tmp_path / "alice"
    folder.mkdir()
    (folder / "report.html").symlink_to(victim)
    write_submission(graded(), {}, folder)
    assert victim.read_text() == "keep" and not (folder / "report.html").is_symlink()


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "alice").write_text("a file")
    with pytest.raises(StoreError, match=r"alice: reports cannot be written .*grader run"):
        write_submission(graded(), {}, tmp_path / "alice")
    with pytest.raises(StoreError, match="reports cannot be written"):
        write_class([], {}, "Lab", tmp_path / "alice")


def test_a_report_is_written_when_it_says_all_that_the_result_does(tmp_path: Path) -> None:
    """Two results can have the same time where a clock was set back between them."""
    assert not is_written(graded(), tmp_path)
    write_submission(graded(), {}, tmp_path)
    assert is_written(graded(), tmp_path)
    assert not is_written(graded().model_copy(update={"score": 1.0}), tmp_path)
    report = tmp_path / "report.json"
    report.write_bytes(report.read_bytes()[:-3])
    assert not is_written(graded(), tmp_path)
    report.write_bytes(b"\xff\xfe")
    assert not is_written(graded(), tmp_path)


def test_what_a_killed_run_left_half_written_is_overwritten(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep")
    folder = tmp_path / "alice"
    folder.mkdir()
    (folder / ".report.html.part").write_text("half")
    (folder / ".report.json.part").symlink_to(victim)
    write_submission(graded(), {}, folder)
    assert names(folder) == {"report.html", "report.json", "results.json"}
    assert victim.read_text() == "keep"
