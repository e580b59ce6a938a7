"""Hand-ins one by one; none of them gets as far as running student code."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from grader.bench import open_bench
from grader.course import LabFolder, open_lab
from grader.errors import StoreError
from grader.gradescope.handin import handin_of
from grader.gradescope.metadata import Metadata
from grader.intake import Handin
from grader.models import Status, SubmissionResult
from grader.pipeline import Grader
from grader.store import Store

WHEN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def lab(tmp_path: Path, init_vanilla: Callable[[Path], None]) -> LabFolder:
    folder = tmp_path / "lab8"
    init_vanilla(folder)
    with (folder / "course.toml").open("a") as file:
        file.write("\n[lab.lab8]\ndue = 2026-11-20T12:00:00Z\npenalty_per_day = 0.5\n")
    return open_lab(folder)


@pytest.fixture
def files(tmp_path: Path, lab: LabFolder) -> Path:
    folder = tmp_path / "submission"
    folder.mkdir()
    (folder / "lab8_vanilla.ipynb").write_bytes(lab.template("lab8_vanilla.ipynb").read_bytes())
    return folder


def handed_in(lab: LabFolder, files: Path, days: int = 0) -> Handin:
    users = [{"id": 1, "email": "ada@uni.example"}]
    who = {"id": 7, "created_at": (WHEN + timedelta(days=days)).isoformat(), "users": users}
    return handin_of(Metadata.model_validate(who), files, lab)


def stored(lab: LabFolder) -> list[SubmissionResult]:
    store = Store(lab.course.database)
    try:
        return store.newest("lab8")
    finally:
        store.close()


def test_a_hand_in_is_graded_stored_and_reported(lab: LabFolder, files: Path) -> None:
    seen: list[tuple[Status, frozenset[str]]] = []
    with open_bench(lab, print, trust=True, progress=lambda result, rest: seen.append((result.status, rest))) as bench:
        result = bench.grade(handed_in(lab, files))
    assert (result.student, result.status) == ("ada@uni.example", Status.FAILED)
    assert stored(lab) == [result]
    assert (lab.results / "ada@uni.example" / "results.json").is_file()
    assert seen == [(Status.FAILED, frozenset())]


def test_what_is_settled_is_not_graded_again(lab: LabFolder, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by a bench that was opened later, as after a kill between the database's two transactions."""
    with open_bench(lab, print, trust=True) as bench:
        first = bench.grade(handed_in(lab, files))
    monkeypatch.setattr(Grader, "grade", lambda *_: pytest.fail("graded again"))
    with open_bench(lab, print, trust=True) as bench:
        assert bench.grade(handed_in(lab, files)) == first


def test_the_same_hand_in_that_comes_later_is_later(lab: LabFolder, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_bench(lab, print, trust=True) as bench:
        bench.grade(handed_in(lab, files))
        monkeypatch.setattr(Grader, "grade", lambda *_: pytest.fail("graded again"))
        late = bench.grade(handed_in(lab, files, days=1)).lateness
        assert late is not None
        assert (late.days, late.fraction) == (1, 0.5)
        assert stored(lab)[0].lateness == late


def test_other_content_is_graded(lab: LabFolder, files: Path) -> None:
    with open_bench(lab, print, trust=True) as bench:
        first = bench.grade(handed_in(lab, files))
        (files / "notes.txt").write_text("more")
        second = bench.grade(handed_in(lab, files))
    assert second.graded_at > first.graded_at
    assert stored(lab) == [second]


def test_nobody_else_grades_in_the_course_meanwhile(lab: LabFolder) -> None:
    with (
        open_bench(lab, print, trust=True),
        pytest.raises(StoreError, match="another `grader run`"),
        open_bench(lab, print, trust=True),
    ):
        pass
