"""Which file counts for a link, from a server that changes its mind."""

import hashlib
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from grader import snapshot as snapshots
from grader.fetching.fetcher import Fetcher
from grader.snapshot import Again, Snapshot, Wanted, clean
from grader.store import Store
from solutions import drive_server as on
from solutions.drive_server import DriveServer

from .clients import MB, Client

OLD, NEW = b"the old file", b"the new one"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "grades.db")


@pytest.fixture
def fetcher(client: Client) -> Fetcher:
    return client.fetcher


@pytest.fixture
def wanted(drive: DriveServer) -> Wanted:
    drive.shared["a"] = on.file(OLD)
    return Wanted("ada", "cwgan", drive.link("a"), MB)


@pytest.fixture
def snapshot(folder: Path, store: Store) -> Snapshot:
    return Snapshot(folder, "lab8", store)


def test_what_came_is_kept_by_content_with_its_record(
    snapshot: Snapshot, fetcher: Fetcher, wanted: Wanted, store: Store, folder: Path
) -> None:
    entry = snapshot.take(wanted, fetcher)
    assert (entry.outcome, entry.sha256, entry.size, entry.host) == ("kept", sha256(OLD), len(OLD), "127.0.0.1")
    assert (entry.student, entry.task, entry.link) == ("ada", "cwgan", wanted.link)
    path = snapshot.path(entry)
    assert path == folder / sha256(OLD)
    assert path.read_bytes() == OLD
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert store.fetches("lab8") == [entry]
    assert store.fetches("lab9") == []
    assert entry.at.utcoffset() is not None


def test_a_second_run_fetches_nothing(
    snapshot: Snapshot, fetcher: Fetcher, wanted: Wanted, store: Store, drive: DriveServer
) -> None:
    entry = snapshot.take(wanted, fetcher)
    asked = drive.asked("a")
    again = Snapshot(snapshot.path(entry).parent, "lab8", store)
    assert again.kept(wanted) == again.take(wanted, fetcher) == entry
    assert drive.asked("a") == asked
    assert again.kept(Wanted("ada", "cwgan", wanted.link + "&x", MB)) is None
    assert again.kept(Wanted("bob", "cwgan", wanted.link, MB)) is None


def test_failures_are_logged_and_tried_again(
    snapshot: Snapshot, fetcher: Fetcher, wanted: Wanted, drive: DriveServer, store: Store, folder: Path
) -> None:
    for answer, outcome in ((on.missing(), "failed"), (on.quota(), "ungraded"), (on.file(OLD), "kept")):
        drive.shared["a"] = answer
        assert snapshot.take(wanted, fetcher).outcome == outcome
    log = store.fetches("lab8")
    assert [entry.outcome for entry in log] == ["failed", "ungraded", "kept"]
    assert "(404)" in log[0].message and "quota" in log[1].message
    assert log[0].sha256 is None
    assert [file.name for file in folder.iterdir()] == [sha256(OLD)]


def test_looking_again_reports_a_change_and_lets_the_snapshot_count(
    snapshot: Snapshot, fetcher: Fetcher, wanted: Wanted, drive: DriveServer, store: Store
) -> None:
    first = snapshot.take(wanted, fetcher)
    before = snapshot.identity(wanted)
    assert snapshot.take(wanted, fetcher, Again.LOOK).outcome == "seen"
    assert snapshot.warning(wanted) is None
    assert snapshot.identity(wanted) == before
    drive.shared["a"] = on.file(NEW)
    seen = snapshot.take(wanted, fetcher, Again.LOOK)
    assert (seen.outcome, seen.sha256) == ("seen", sha256(NEW))
    assert snapshot.kept(wanted) == first
    assert snapshot.path(seen).read_bytes() == NEW
    for each in (snapshot, Snapshot(snapshot.path(seen).parent, "lab8", store)):
        assert each.warning(wanted) == (
            f"the file at the link of task cwgan changed since the snapshot of {first.at:%Y-%m-%d %H:%M} UTC (seen "
            f"{seen.at:%Y-%m-%d %H:%M} UTC); the snapshot counts"
        )
        assert each.identity(wanted) != before
    drive.shared["a"] = on.missing()
    assert snapshot.take(wanted, fetcher, Again.LOOK).outcome == "failed"
    assert snapshot.kept(wanted) == first


def test_replacing_is_visible(snapshot: Snapshot, fetcher: Fetcher, wanted: Wanted, drive: DriveServer) -> None:
    first = snapshot.take(wanted, fetcher)
    before = snapshot.identity(wanted)
    drive.shared["a"] = on.file(NEW)
    entry = snapshot.take(wanted, fetcher, Again.REPLACE)
    assert (entry.outcome, snapshot.kept(wanted)) == ("kept", entry)
    assert snapshot.warning(wanted) == (
        f"task cwgan: this file replaced that of the snapshot of {first.at:%Y-%m-%d %H:%M} UTC, on purpose"
    )
    assert snapshot.identity(wanted) != before
    assert snapshot.take(wanted, fetcher, Again.REPLACE).message == ""


def test_a_record_without_its_file_is_fetched_again(
    snapshot: Snapshot, fetcher: Fetcher, wanted: Wanted, drive: DriveServer
) -> None:
    path = snapshot.path(snapshot.take(wanted, fetcher))
    before = snapshot.identity(wanted)
    path.unlink()
    assert snapshot.kept(wanted) is None
    assert snapshot.identity(wanted) == before
    assert snapshot.take(wanted, fetcher).outcome == "kept"
    assert snapshot.warning(wanted) is None
    path.write_bytes(OLD[:-1])
    drive.shared["a"] = on.file(NEW)
    assert snapshot.take(wanted, fetcher).sha256 == sha256(NEW)
    assert str(snapshot.warning(wanted)).endswith("because that was lost")


def test_nothing_half_written_is_left(
    snapshot: Snapshot, fetcher: Fetcher, wanted: Wanted, drive: DriveServer, folder: Path
) -> None:
    drive.shared["a"] = on.cut_off(bytes(1000))
    assert snapshot.take(wanted, fetcher).outcome == "ungraded"
    assert list(folder.iterdir()) == []
    (folder / "killed.part").write_bytes(b"x")
    (folder / sha256(OLD)).write_bytes(OLD)
    clean(folder)
    assert [file.name for file in folder.iterdir()] == [sha256(OLD)]
    clean(folder / "nowhere")


def test_a_full_disk_is_not_the_students_fault(
    snapshot: Snapshot, fetcher: Fetcher, wanted: Wanted, monkeypatch: pytest.MonkeyPatch, drive: DriveServer
) -> None:
    monkeypatch.setattr(snapshots, "SPARE_DISK", 2**62)
    entry = snapshot.take(wanted, fetcher)
    assert entry.outcome == "ungraded"
    assert "the disk is nearly full" in entry.message
    assert drive.requests == []


@pytest.mark.skipif(os.geteuid() != 0 and not Path("/dev/full").exists(), reason="needs a path that cannot be a folder")
def test_a_folder_that_cannot_be_written_is_not_the_students_fault(
    snapshot: Snapshot, fetcher: Fetcher, wanted: Wanted, folder: Path
) -> None:
    folder.write_bytes(b"a file")
    entry = snapshot.take(wanted, fetcher)
    assert (entry.outcome, str(folder) in entry.message) == ("ungraded", True)


def test_what_breaks_in_the_grader_is_not_the_students_fault(
    snapshot: Snapshot, fetcher: Fetcher, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fetcher, "fetch", lambda *_: 1 / 0)
    entry = snapshot.take(wanted, fetcher)
    assert entry.outcome == "ungraded"
    assert "ZeroDivisionError" in entry.message


def test_a_database_of_before_gets_the_log(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    Store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE fetches")
        connection.commit()
    assert Store(path).fetches("lab8") == []
