"""A damaged database: kept, named, and replaced by its backup."""

import re
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from grader import rescue
from grader.errors import StoreError
from grader.lock import exclusive
from grader.models import Status, SubmissionResult
from grader.rescue import open_sound, open_store, restore_if_damaged
from grader.store import Store


def result(student: str, score: float = 1) -> SubmissionResult:
    when = datetime(2026, 3, 5, tzinfo=UTC)
    return SubmissionResult(
        lab="lab8",
        lab_title="t",
        student=student,
        attempt="1",
        status=Status.GRADED,
        score=score,
        max_score=9,
        tasks=(),
        graded_at=when,
    )


def run(path: Path, *students: str) -> list[str]:
    """A run that grades these students; returns what it said."""
    said: list[str] = []
    with open_store(path, said.append) as store:
        for student in students:
            store.add(result(student), {}, student)
    return said


def students(path: Path) -> list[str]:
    store = Store(path)
    try:
        return [r.student for r in store.newest("lab8")]
    finally:
        store.close()


def garbage(path: Path) -> bytes:
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\x5a" * (len(data) - 4096))
    return path.read_bytes()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "grades.db"
    assert run(path, "ada", "bob") == []
    return path


def test_a_run_leaves_a_backup_with_all_that_it_stored(database: Path) -> None:
    assert students(database.with_suffix(".backup")) == ["ada", "bob"]


def test_a_damaged_database_is_kept_aside_and_its_backup_restored(database: Path) -> None:
    bad = garbage(database)
    Path(f"{database}-wal").write_bytes(b"log")
    said = run(database, "eve")
    assert len(said) == 1
    assert re.search(r"grades\.db: the database is damaged \(.*\); the damaged file is kept as grades\.damaged-1\.db\.", said[0])
    assert "Its backup with 2 results was restored: what was graded or fetched after that backup is done again" in said[0]
    assert students(database) == ["ada", "bob", "eve"]
    assert (database.parent / "grades.damaged-1.db").read_bytes() == bad
    assert (database.parent / "grades.damaged-1.db-wal").read_bytes() == b"log"
    assert database.stat().st_mode & 0o077 == 0
    assert run(database) == []


def test_what_is_kept_is_never_overwritten(database: Path) -> None:
    first = garbage(database)
    run(database)
    second = garbage(database)
    run(database)
    aside = [database.parent / f"grades.damaged-{n}.db" for n in (1, 2)]
    assert [file.read_bytes() for file in aside] == [first, second]


def test_damage_does_not_get_into_the_backup(database: Path) -> None:
    """A score with another digit: SQLite would copy it without a complaint."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE results SET body = replace(body, '\"score\":1.0', '\"score\":0.0') WHERE student = 'ada'")
        connection.commit()
    (said,) = run(database)
    assert "is damaged (result 1 is not what was stored)" in said
    for path in (database, database.with_suffix(".backup")):
        store = Store(path)
        assert [r.score for r in store.newest("lab8")] == [1, 1]
        store.close()


@pytest.mark.parametrize("emptied", [b"", None])
def test_a_database_that_lost_its_results_is_damaged_too(database: Path, emptied: bytes | None) -> None:
    """A file of no bytes is a sound, empty database to SQLite."""
    if emptied is None:
        database.unlink()
        Store(database).close()
    else:
        database.write_bytes(emptied)
    (said,) = run(database)
    assert "the database has lost results (it holds 0, its backup 2)" in said
    assert students(database) == ["ada", "bob"]


def test_a_database_that_is_gone_is_restored(database: Path) -> None:
    database.unlink()
    (said,) = run(database)
    assert "the database is missing. Its backup with 2 results was restored" in said
    assert students(database) == ["ada", "bob"]


def test_a_course_that_begins_has_nothing_to_restore(tmp_path: Path) -> None:
    assert restore_if_damaged(tmp_path / "grades.db") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("backup", ["missing", "damaged"])
def test_without_a_sound_backup_nothing_is_touched(database: Path, backup: str) -> None:
    garbage(database)
    file = database.with_suffix(".backup")
    if backup == "missing":
        file.unlink()
    else:
        garbage(file)
    before = {path.name: path.read_bytes() for path in database.parent.iterdir() if path.suffix in (".db", ".backup")}
    with pytest.raises(
        StoreError, match=r"it is damaged \(.*\), and its backup grades\.backup cannot replace it \(.*put a sound copy"
    ):
        run(database, "eve")
    assert {path.name: path.read_bytes() for path in database.parent.iterdir() if path.suffix in (".db", ".backup")} == before


def test_a_restore_that_was_killed_is_finished_by_the_next_run(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between setting the damaged file aside and putting the backup in its place."""
    garbage(database)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(shutil, "copyfileobj", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        run(database)
    assert not database.exists()
    run(database)
    assert students(database) == ["ada", "bob"]


def test_a_backup_that_cannot_be_checked_is_not_taken_for_damaged(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> str:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(rescue, "damage", failing)
    with pytest.raises(StoreError, match=r"cannot be used \(disk I/O error\); check that the disk"):
        run(database)
    assert not list(database.parent.glob("*damaged*"))


def test_only_one_run_opens_it(database: Path) -> None:
    with exclusive(database), pytest.raises(StoreError, match="another `grader run`"):
        run(database)


def test_a_command_that_grades_nothing_restores_nothing(database: Path) -> None:
    with open_sound(database) as store:
        assert len(store.newest("lab8")) == 2
    bad = garbage(database)
    with (
        pytest.raises(StoreError, match=r"it is damaged \(.*the file is damaged: `grader run` keeps it aside"),
        open_sound(database),
    ):
        pytest.fail("opened")
    assert database.read_bytes() == bad


def test_a_lock_that_cannot_be_had_is_explained(tmp_path: Path) -> None:
    (tmp_path / "grades.db.lock").mkdir()
    with pytest.raises(StoreError, match=r"grades\.db\.lock: cannot be locked \(.*check that the disk"):
        run(tmp_path / "grades.db")


def test_damage_that_comes_during_a_run_ends_it_and_spares_the_backup(database: Path) -> None:
    backup = database.with_suffix(".backup")
    before = backup.read_bytes()
    expected = pytest.raises(StoreError, match=r"grades\.db: the database cannot be used \(.*the file is damaged")
    with expected, open_store(database, print) as store:
        store.add(result("eve"), {}, "eve")
        store.close()
        garbage(database)
    assert backup.read_bytes() == before
    run(database, "eve")
    assert students(database) == ["ada", "bob", "eve"]
