import errno
import io
import os
import shutil
import socket
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader import untrusted
from grader.errors import IntakeError, UngradedError
from grader.untrusted import open_files

REGULAR = stat.S_IFREG | 0o644


def archive(path: Path, *entries: tuple[str, bytes], mode: int = REGULAR, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            info.filename = name  # as it is: the constructor would tidy it up
            info.compress_type = method
            info.external_attr = mode << 16
            file.writestr(info, data)
    return path


def read(path: Path, name: str, limit: int = 1000) -> bytes:
    with open_files(path) as files:
        return b"".join(files.chunks(name, limit))


def names(path: Path) -> tuple[str, ...]:
    with open_files(path) as files:
        return files.names()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "handin"
    (path / "deep").mkdir(parents=True)
    (path / "a.txt").write_bytes(b"A")
    (path / "deep" / "b.txt").write_bytes(b"B")
    return path


def test_reads_a_folder(folder: Path) -> None:
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "x.ipynb").touch()
    (folder / ".DS_Store").touch()
    assert names(folder) == ("a.txt", "deep/b.txt")
    assert read(folder, "deep/b.txt") == b"B"


def test_reads_an_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", ("a.txt", b"A"), ("deep/", b""), ("deep/b.txt", b"B"), ("__MACOSX/._a.txt", b"x"))
    assert names(path) == ("a.txt", "deep/b.txt")
    assert read(path, "deep/b.txt") == b"B"


def test_a_folder_with_nothing_but_an_archive_is_the_archive(tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    archive(tmp_path / "h" / "upload.zip", ("a.txt", b"A"))
    assert names(tmp_path / "h") == ("a.txt",)
    (tmp_path / "h" / "x.ipynb").touch()
    assert names(tmp_path / "h") == ("upload.zip", "x.ipynb")


@pytest.mark.parametrize(("limit", "allowed"), [(0, False), (1, True)])
def test_the_cap_counts_the_bytes_that_come_out(folder: Path, tmp_path: Path, limit: int, allowed: bool) -> None:
    for path in (folder, archive(tmp_path / "x.zip", ("a.txt", b"A"))):
        if allowed:
            assert read(path, "a.txt", limit) == b"A"
        else:
            with pytest.raises(IntakeError, match="too large"):
                read(path, "a.txt", limit)


def test_a_missing_file_is_the_students(folder: Path, tmp_path: Path) -> None:
    for path in (folder, archive(tmp_path / "x.zip")):
        with pytest.raises(IntakeError, match="not in the"):
            read(path, "no.txt")
    with pytest.raises(IntakeError, match="not in the hand-in"):
        read(folder, "a.txt/b")


def hard_link(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("x")
    path.hardlink_to(other)


def unix_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's address is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.symlink_to("/etc/passwd"), "symbolic link"),
        (lambda path: path.symlink_to("nowhere"), "symbolic link"),
        (lambda path: os.mkfifo(path), "a pipe"),
        (hard_link, "hard link"),
        (unix_socket, "not a plain file"),
        (lambda path: path.mkdir(), "a folder"),
    ],
)
def test_only_plain_files_are_opened(folder: Path, make: Callable[[Path], None], what: str) -> None:
    make(folder / "trap")
    with pytest.raises(IntakeError, match=what):
        read(folder, "trap")


def test_no_way_through_a_linked_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "b.txt").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    assert "link/b.txt" not in names(folder)
    with pytest.raises(IntakeError, match="symbolic link"):
        read(folder, "link/b.txt")


def test_a_linked_hand_in_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(IntakeError, match="symbolic link"):
        names(tmp_path / "link")
    (tmp_path / "link.zip").symlink_to(archive(tmp_path / "real.zip"))
    with pytest.raises(IntakeError, match="symbolic link"):
        names(tmp_path / "link.zip")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_missing_permissions_are_not_the_students(folder: Path) -> None:
    (folder / "a.txt").chmod(0)
    with pytest.raises(UngradedError, match="permissions"):
        read(folder, "a.txt")


def test_too_many_files(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted, "MAX_ENTRIES", 1)
    for path in (folder, archive(tmp_path / "x.zip", ("a", b""), ("b", b""))):
        with pytest.raises(IntakeError, match="data set"):
            names(path)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("../evil", "leads out"),
        ("a/../../evil", "leads out"),
        ("/etc/passwd", "absolute"),
        ("C:/evil", "absolute"),
        ("..\\evil", "backslash"),
        ("a//b", "not plain"),
        ("./a", "not plain"),
        ("a\nb", "not plain"),
        ("x" * 300, "too long"),
        ("x/" * 600, "too long"),
    ],
)
def test_unsafe_names_make_the_archive_unsafe(tmp_path: Path, name: str, what: str) -> None:
    path = archive(tmp_path / "x.zip", ("good.txt", b"A"), (name, b"x"))
    with pytest.raises(IntakeError, match=what):
        names(path)


@pytest.mark.parametrize("pair", [("a.txt", "A.TXT"), ("a", "a"), ("é", "e\u0301"), ("a/b", "A/B")])
def test_names_that_some_systems_hold_for_equal(tmp_path: Path, pair: tuple[str, str]) -> None:
    with pytest.warns(UserWarning) if pair[0] == pair[1] else nullcontext():
        path = archive(tmp_path / "x.zip", (pair[0], b""), (pair[1], b""))
    with pytest.raises(IntakeError, match="twice"):
        names(path)


def test_a_file_that_is_a_folder_too(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="below something"):
        names(archive(tmp_path / "x.zip", ("a", b""), ("A/b", b"")))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_entries_that_are_no_files(tmp_path: Path, kind: int) -> None:
    with pytest.raises(IntakeError, match="link or device"):
        names(archive(tmp_path / "x.zip", ("a", b"/etc/passwd"), mode=kind | 0o777))


def test_unusual_compression(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="unusual"):
        names(archive(tmp_path / "x.zip", ("a", b"x"), method=zipfile.ZIP_LZMA))


def test_encrypted_entries(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", ("a", b"x"))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(IntakeError, match="encrypted"):
        names(path)


def test_a_bomb_is_stopped_by_what_comes_out_not_by_what_it_says(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", ("a", bytes(5_000_000)))
    data = path.read_bytes().replace(struct.pack("<I", 5_000_000), struct.pack("<I", 10))
    path.write_bytes(data)
    with pytest.raises(IntakeError):
        read(path, "a", 2_000_000)
    with pytest.raises(IntakeError, match="too large"):
        read(archive(tmp_path / "y.zip", ("a", bytes(5_000_000))), "a", 2_000_000)


def test_a_huge_table_of_contents_is_not_read(tmp_path: Path) -> None:
    size = untrusted.MAX_DIRECTORY + 1000
    path = tmp_path / "x.zip"
    path.write_bytes(bytes(size) + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1000, 1000, size, 0, 0))
    with pytest.raises(IntakeError, match="too many entries"):
        names(path)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"Rar!\x1a\x07", b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(IntakeError, match="not a sound zip"):
        names(tmp_path / "x.zip")


def _sample() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a.txt", b"A" * 100)
        out.writestr("deep/b.txt", b"B" * 100)
    return file.getvalue()


SAMPLE = _sample()


@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_damage_never_leads_to_anything_but_an_intake_error(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    data = bytearray(SAMPLE)
    for at, value in damage:
        data[at] = value
    path = tmp_path_factory.mktemp("zip") / "x.zip"
    path.write_bytes(data)
    try:
        with open_files(path) as files:
            for name in files.names():
                assert not name.startswith("/")
                assert ".." not in name.split("/")
                assert sum(map(len, files.chunks(name, 1000))) <= 1000
    except IntakeError:
        pass


class FailingDisk(io.FileIO):
    """Gives back so many pieces and no more."""

    pieces = 0

    def readinto(self, buffer: Any) -> int | None:
        if not FailingDisk.pieces:
            raise OSError(errno.EIO, "Input/output error")
        FailingDisk.pieces -= 1
        return super().readinto(buffer)


@pytest.mark.parametrize("pieces", [0, 1, 2, 4])
def test_a_disk_that_fails_does_not_make_an_archive_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    """At its end, where the table of contents is, and in the middle of a file."""
    path = archive(tmp_path / "x.zip", ("a.txt", os.urandom(100_000)), method=zipfile.ZIP_STORED)
    monkeypatch.setattr(untrusted.io, "FileIO", FailingDisk)
    monkeypatch.setattr(FailingDisk, "pieces", pieces)
    with pytest.raises(UngradedError, match=r"the archive cannot be read \(Input/output error\); check the disk"):
        read(path, "a.txt", 200_000)


def test_a_disk_that_fails_does_not_make_a_file_bad(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "read", failing)
    with pytest.raises(UngradedError, match=r"'a.txt' cannot be read \(Input/output error\); check the disk"):
        read(folder, "a.txt")


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an ordinary user: root lists everything."""
    hand_in = Path(tempfile.mkdtemp())
    try:
        (hand_in / "work").mkdir(mode=0o700)
        (hand_in / "work" / "lab8.ipynb").write_text("{}")
        hand_in.chmod(0o755)
        if os.geteuid() == 0:
            os.seteuid(65534)
        else:
            (hand_in / "work").chmod(0)
        with pytest.raises(UngradedError, match=r"'work' cannot be read \(Permission denied\); check its permissions"):
            names(hand_in)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        (hand_in / "work").chmod(0o700)
        shutil.rmtree(hand_in)
