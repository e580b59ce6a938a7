"""Damage to a database: found wherever it matters, and never seen where there is none."""

import random
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from grader.models import Artifact, Fetch, Status, SubmissionResult
from grader.soundness import damage, newest_id
from grader.store import Store

WHEN = datetime(2026, 3, 5, tzinfo=UTC)


def result(student: str, score: float = 1.25) -> SubmissionResult:
    return SubmissionResult(
        lab="lab8",
        lab_title="t",
        student=student,
        attempt="1",
        status=Status.GRADED,
        score=score,
        max_score=90,
        tasks=(),
        graded_at=WHEN,
    )


def fetch(student: str) -> Fetch:
    return Fetch(
        lab="lab8", student=student, task="a", link="https://x.test/1", at=WHEN, outcome="kept", sha256="ab" * 32, size=7
    )


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Twenty results with pictures, some of several pages, and their fetches."""
    store = Store(tmp_path / "grades.db")
    for number in range(20):
        pictures = [Artifact(name=f"{n}.png", data=random.Random(n).randbytes(n * 4000), caption="c") for n in (0, 1, 2)]
        store.add(result(f"s{number}"), {"a": pictures}, f"k{number}")
        store.add_fetch(fetch(f"s{number}"))
    store.close()
    return tmp_path / "grades.db"


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(statement).rowcount == 1
        connection.commit()


def everything(path: Path) -> object:
    store = Store(path)
    try:
        results = store.newest("lab8")
        return results, store.fetches("lab8"), store.settled_keys("lab8"), [store.artifacts("lab8", r.student) for r in results]
    finally:
        store.close()


def test_a_whole_database_is_whole(database: Path) -> None:
    assert damage(database) is None
    assert damage(database, immutable=True) is None
    assert newest_id(database) == 20


def test_what_is_committed_but_still_in_the_log_counts(tmp_path: Path) -> None:
    store = Store(tmp_path / "grades.db")
    store.add(result("ada"), {}, "k")
    assert (tmp_path / "grades.db-wal").stat().st_size > 0
    assert damage(store.path) is None
    assert newest_id(store.path) == 1


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE results SET body = replace(body, '1.25', '1.26') WHERE id = 7", "result 7 is not what was stored"),
        ("UPDATE results SET status = 'ungraded' WHERE id = 8", "result 8 is not what was stored"),
        ("UPDATE results SET created = '2027' || substr(created, 5) WHERE id = 8", "result 8 is not what was stored"),
        ("UPDATE artifacts SET data = zeroblob(8000) WHERE id = 3", "result 1 is not what was stored"),
        ("UPDATE artifacts SET result_id = 5 WHERE id = 3", "result 1 is not what was stored"),
        ("DELETE FROM artifacts WHERE id = 3", "result 1 is not what was stored"),
        ("UPDATE fetches SET sha256 = 'cd' WHERE id = 2", "fetch 2 is not what was stored"),
        ("UPDATE fetches SET size = NULL WHERE id = 2", "fetch 2 is not what was stored"),
        ("UPDATE seals SET result_id = 500 WHERE result_id = 9", "a row of seals belongs to nothing"),
        ("DELETE FROM results WHERE id = 9", "belongs to nothing"),
    ],
)
def test_a_row_that_is_not_what_was_stored_is_found(database: Path, statement: str, found: str) -> None:
    """SQLite finds nothing wrong with any of these."""
    change(database, statement)
    assert found in str(damage(database))


def test_a_value_that_differs_in_the_row_or_in_the_index_is_found(database: Path) -> None:
    """With a damaged index, the row is what was stored, and still is not found by its value."""
    whole = database.read_bytes()
    places = [match.start() for match in re.finditer(b"k13", whole)]
    assert len(places) == 2
    for at in places:
        database.write_bytes(whole[:at] + b"k93" + whole[at + 3 :])
        assert damage(database) is not None


def test_results_of_older_graders_have_no_seal(database: Path) -> None:
    change(database, "DELETE FROM seals WHERE result_id = 7")
    assert damage(database) is None
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("DROP TABLE seals; DROP TABLE fetch_seals; DROP TABLE fetches")
    assert damage(database) is None


def test_the_disk_is_not_taken_for_damage(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        damage(tmp_path / "gone.db")


@pytest.mark.parametrize("seed", range(6))
def test_damage_at_random_is_found_or_changes_nothing(database: Path, seed: int) -> None:
    """Bits that flip, pages of zeros, pages that moved, ends that are cut off: 30 a seed."""
    draw, whole, before = random.Random(seed), database.read_bytes(), everything(database)
    found = 0
    for _ in range(30):
        database.write_bytes(damaged(whole, draw))
        if damage(database) is None:
            assert everything(database) == before
        else:
            found += 1
        for part in ("-wal", "-shm"):
            Path(f"{database}{part}").unlink(missing_ok=True)
    assert found >= 20


def damaged(whole: bytes, draw: random.Random) -> bytes:
    data, at, page = bytearray(whole), draw.randrange(len(whole)), 4096
    match draw.choice(("bit", "bit", "bit", "zeros", "moved", "cut")):
        case "bit":
            data[at] ^= 1 << draw.randrange(8)
        case "zeros":
            at -= at % page
            data[at : at + page] = bytes(page)
        case "moved":
            at -= at % page
            other = draw.randrange(len(whole) // page) * page
            data[at : at + page] = whole[other : other + page]
        case "cut":
            del data[at:]
    return bytes(data)
