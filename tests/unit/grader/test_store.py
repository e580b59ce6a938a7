import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from grader.errors import StoreError
from grader.lock import exclusive
from grader.models import Artifact, Status, SubmissionResult
from grader.store import Store

ROOT = Path(__file__).parents[3]


def result(student: str = "ada", score: float | None = 1, status: Status = Status.GRADED, lab: str = "lab8") -> SubmissionResult:
    when = datetime(2026, 3, 5, tzinfo=UTC)
    return SubmissionResult(
        lab=lab, lab_title="t", student=student, attempt="1", status=status, score=score, max_score=90, tasks=(), graded_at=when
    )


def picture(name: str, data: bytes = b"png") -> Artifact:
    return Artifact(name=name, data=data, caption=f"picture {name}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "grades.db")


def rows(path: Path, table: str = "results") -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)


KILLED_RUN = """
import os, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.orm import Session
from grader.models import Artifact, SubmissionResult
from grader.lock import exclusive
from grader.store import Store

store = Store(Path(sys.argv[1]))
bob = SubmissionResult.model_validate_json(sys.argv[2])
with exclusive(store.path):
    store.add(bob, {}, "k2")
    print("held", flush=True)
    sys.stdin.read()
    event.listen(Session, "after_flush", lambda *_: os._exit(42))
    store.add(bob.model_copy(update={"student": "eve"}), {"a": [Artifact(name="x", data=bytes(10_000_000))]}, "k3")
"""


@pytest.fixture
def killed_run(store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock; when its input ends, it dies in the middle of writing eve's result."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_RUN, str(store.path), result("bob").model_dump_json()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        yield process


def test_the_newest_result_of_each_student_is_in_force(store: Store) -> None:
    for student, score in (("bob", 1.0), ("ada", 2.0), ("bob", 3.0)):
        store.add(result(student, score), {}, f"{student}-{score}")
    store.add(result("ada", 9.0, lab="lab9"), {}, "other lab")
    assert [(r.student, r.score) for r in store.newest("lab8")] == [("ada", 2), ("bob", 3)]
    assert store.newest("lab10") == []


def test_results_are_appended_and_never_overwritten(store: Store) -> None:
    for score in (1.0, 2.0, 2.0):
        store.add(result(score=score), {"vanilla": [picture("samples.png")]}, "same key")
    assert rows(store.path) == 3
    assert rows(store.path, "artifacts") == 3


def test_results_come_back_whole_from_another_process(store: Store) -> None:
    one = result("ada")
    store.add(one, {}, "k")
    store.close()
    assert Store(store.path).newest("lab8") == [one]


def test_pictures_are_those_of_the_newest_result(store: Store) -> None:
    store.add(result(), {"a": [picture("samples.png", b"old")], "b": [picture("old.png")]}, "k1")
    new = {"a": [picture("samples.png", b"new"), picture("real.png", bytes(range(256)))]}
    store.add(result(), new, "k2")
    store.add(result("bob"), {"a": [picture("samples.png", b"bob's")]}, "k3")
    assert store.artifacts("lab8", "ada") == new
    assert store.artifacts("lab8", "eve") == {}
    store.add(result(), {}, "k4")
    assert store.artifacts("lab8", "ada") == {}


def test_settled_are_the_keys_of_results_in_force(store: Store) -> None:
    store.add(result("ada"), {}, "old")
    store.add(result("ada"), {}, "new")
    store.add(result("bob", None, Status.UNGRADED), {}, "disk full")
    store.add(result("eve", 0, Status.FAILED), {}, "exception")
    store.add(result("ada", lab="lab9"), {}, "other lab")
    assert store.settled_keys("lab8") == {"new", "exception"}
    assert store.settled_keys("lab8", {Status.UNGRADED, Status.FAILED}) == {"new"}


def test_what_became_ungraded_is_graded_again_although_it_once_was_settled(store: Store) -> None:
    store.add(result("ada"), {}, "k")
    store.add(result("ada", None, Status.UNGRADED), {}, "k")
    assert store.settled_keys("lab8") == set()


def test_a_second_run_is_kept_out_until_the_first_dies_and_then_finds_all_or_nothing(
    store: Store, killed_run: subprocess.Popen[str]
) -> None:
    store.add(result("ada"), {"a": [picture("samples.png")]}, "k1")
    assert killed_run.stdout is not None
    assert killed_run.stdout.readline() == "held\n"
    with pytest.raises(StoreError, match="another `grader run` is at work on this course"), exclusive(store.path):
        pytest.fail("two runs at once")
    killed_run.communicate(timeout=120)
    assert killed_run.returncode == 42
    with closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    again = Store(store.path)
    with exclusive(again.path):
        assert [r.student for r in again.newest("lab8")] == ["ada", "bob"]
        assert again.settled_keys("lab8") == {"k1", "k2"}
        assert again.artifacts("lab8", "eve") == {}
        again.add(result("eve"), {}, "k3")
    assert [r.student for r in again.newest("lab8")] == ["ada", "bob", "eve"]


def test_the_lock_is_free_after_an_error(store: Store) -> None:
    with pytest.raises(KeyError), exclusive(store.path):
        raise KeyError
    with exclusive(store.path), pytest.raises(StoreError), exclusive(store.path):
        pytest.fail("two runs at once")


def test_readers_see_what_is_committed_while_a_run_holds_the_lock(store: Store) -> None:
    with exclusive(store.path):
        store.add(result("ada"), {}, "k")
        assert [r.student for r in Store(store.path).newest("lab8")] == ["ada"]


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "grades.db"
    path.write_bytes(b"student,grade\n" * 100)
    with pytest.raises(StoreError, match=r"grades\.db: the database cannot be used \(file is not a database\).*backup"):
        Store(path)


def test_a_damaged_database_is_named(store: Store) -> None:
    for number in range(50):
        store.add(result(f"s{number}"), {"a": [picture("x", bytes(5000))]}, str(number))
    store.close()
    data = bytearray(store.path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    store.path.write_bytes(data)
    with pytest.raises(StoreError, match=r"grades\.db: the database cannot be used \(.*malformed"):
        Store(store.path).newest("lab8")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"gone/grades\.db: the database cannot be used \(.*No such file"):
        Store(tmp_path / "gone" / "grades.db")


def test_a_backup_is_a_whole_database_of_that_moment(store: Store) -> None:
    store.add(result("ada"), {"a": [picture("samples.png")]}, "k1")
    backup = store.back_up()
    store.add(result("bob"), {}, "k2")
    assert backup.parent == store.path.parent
    restored = Store(backup)
    assert [r.student for r in restored.newest("lab8")] == ["ada"]
    assert restored.artifacts("lab8", "ada") == {"a": [picture("samples.png")]}
    restored.close()
    store.back_up()
    assert len(Store(backup).newest("lab8")) == 2


def test_a_backup_that_cannot_be_written_is_named(store: Store) -> None:
    store.path.with_suffix(".part").mkdir()
    with pytest.raises(StoreError, match="the database cannot be used"):
        store.back_up()


def test_a_result_of_another_version_is_named(store: Store) -> None:
    store.add(result("ada"), {}, "k")
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("UPDATE results SET body = replace(body, 'max_score', 'most')")
        connection.commit()
    with pytest.raises(StoreError, match=r"ada.*another version.*--force"):
        store.newest("lab8")


def test_grades_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "grades.db")
    backup = store.back_up()
    store.close()
    assert [path.stat().st_mode & 0o077 for path in (tmp_path / "grades.db", backup)] == [0, 0]
