import errno
import gzip
import hashlib
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from datasets import download
from datasets.errors import CannotWriteError, DatasetCorruptError, DatasetMissingError, NoSourceError, SourceError
from datasets.family import FILES, Images, Member
from datasets.idx import encode

RANDOM = np.random.default_rng(0)
IMAGES = Images(
    x_train=RANDOM.integers(0, 256, (6, 28, 28), np.uint8),
    y_train=np.arange(6, dtype=np.uint8),
    x_test=RANDOM.integers(0, 256, (3, 28, 28), np.uint8),
    y_test=np.arange(3, dtype=np.uint8),
)


def silent(name, done, total):
    pass


SMALL = Member("small", "Small", {key: hashlib.sha256(getattr(IMAGES, key).tobytes()).hexdigest() for key in FILES})


def deliver(scratch, report):
    report("all", 5, 10)
    return IMAGES


def refuse(scratch, report):
    raise SourceError("no route to host")


def assert_nothing_left(root):
    assert [path for path in Path(root).rglob("*") if path.is_file()] == []
    assert not (Path(root) / "Small" / "raw").exists()


def write_cache(root, **replaced):
    folder = Path(root) / "Small" / "raw"
    folder.mkdir(parents=True)
    for key, name in FILES.items():
        (folder / name).write_bytes(replaced.get(key, encode(getattr(IMAGES, key))))
    return folder


def serve(tmp_path, monkeypatch, **replaced):
    """A folder of gz files, listed the way torchvision lists its addresses."""
    folder = tmp_path / "server"
    folder.mkdir()
    for key, name in FILES.items():
        packed = gzip.compress(encode(getattr(IMAGES, key)))
        (folder / f"{name}.gz").write_bytes(replaced.get(key, packed))
    listing = types.ModuleType("torchvision.datasets")
    listing.Small = types.SimpleNamespace(
        mirrors=[(tmp_path / "absent").as_uri() + "/", folder.as_uri() + "/"],
        resources=[(f"{name}.gz", "md5") for name in reversed(FILES.values())],
    )
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", listing)


def test_get_then_load_gives_the_arrays(tmp_path):
    folder = SMALL.get(tmp_path, [deliver], progress=False)
    loaded = SMALL.load(tmp_path)
    assert folder == tmp_path / "Small" / "raw"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES.values())
    assert [path.name for path in folder.parent.iterdir()] == ["raw"]
    for key in FILES:
        assert np.array_equal(getattr(loaded, key), getattr(IMAGES, key))


def test_progress_is_drawn_on_standard_error(tmp_path, capsys):
    SMALL.get(tmp_path, [deliver], progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "all" in captured.err


def test_verified_cache_is_not_fetched_again(tmp_path):
    write_cache(tmp_path)
    assert SMALL.get(tmp_path, [], progress=False) == tmp_path / "Small" / "raw"


@pytest.mark.parametrize("damage", [b"", b"\0\0\x08\x03", encode(IMAGES.x_train)[:-1], encode(255 - IMAGES.x_train)])
def test_damaged_cache_does_not_load_and_is_replaced(tmp_path, damage):
    folder = write_cache(tmp_path, x_train=damage)
    (folder / "note.txt").write_text("mine")
    with pytest.raises(DatasetCorruptError):
        SMALL.load(tmp_path)
    SMALL.get(tmp_path, [deliver], progress=False)
    assert np.array_equal(SMALL.load(tmp_path).x_train, IMAGES.x_train)
    assert (folder / "note.txt").read_text() == "mine"


def test_missing_file_is_named(tmp_path):
    (write_cache(tmp_path) / FILES["y_test"]).unlink()
    with pytest.raises(DatasetMissingError, match=r"t10k-labels-idx1-ubyte does not exist: run grader data get small"):
        SMALL.load(tmp_path)


def test_second_source_is_used_where_the_first_fails(tmp_path):
    SMALL.get(tmp_path, [refuse, deliver], progress=False)
    assert len(SMALL.load(tmp_path).x_train) == 6


def test_source_with_wrong_data_is_refused(tmp_path):
    def forged(scratch, report):
        return Images(IMAGES.x_train, IMAGES.y_train[::-1].copy(), IMAGES.x_test, IMAGES.y_test)

    with pytest.raises(NoSourceError, match=r"forged: .*y_train.*sha256"):
        SMALL.get(tmp_path, [forged], progress=False)
    assert_nothing_left(tmp_path)


def test_no_network_names_every_source_and_keeps_nothing(tmp_path):
    with pytest.raises(NoSourceError, match=r"(?s)Check the network.*refuse: no route to host"):
        SMALL.get(tmp_path, [refuse, refuse], progress=False)
    assert_nothing_left(tmp_path)


def test_interruption_keeps_nothing(tmp_path):
    def interrupted(scratch, report):
        (scratch / "half").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SMALL.get(tmp_path, [interrupted, deliver], progress=False)
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("failing", list(FILES.values()))
def test_full_disk_is_said_and_keeps_nothing(tmp_path, monkeypatch, failing):
    write = Path.write_bytes

    def full(path, data):
        if path.name == failing:
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CannotWriteError, match="disk is full"):
        SMALL.get(tmp_path, [deliver], progress=False)
    assert_nothing_left(tmp_path)


def test_full_disk_during_the_download_does_not_blame_the_source(tmp_path):
    def full(scratch, report):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(CannotWriteError, match="disk is full"):
        SMALL.get(tmp_path, [full, deliver], progress=False)
    assert_nothing_left(tmp_path)


def test_folder_that_is_a_file_is_said(tmp_path):
    (tmp_path / "Small").write_text("a file")
    with pytest.raises(CannotWriteError, match="choose another folder"):
        SMALL.get(tmp_path, [deliver], progress=False)


def test_official_files_come_from_the_second_address(tmp_path, monkeypatch):
    serve(tmp_path, monkeypatch)
    seen = []
    SMALL.get(tmp_path / "root", [SMALL.official], progress=False)
    data = SMALL.official(tmp_path, lambda *step: seen.append(step))
    assert np.array_equal(data.x_test, IMAGES.x_test)
    assert {name for name, _, _ in seen} == {f"{name}.gz" for name in FILES.values()}
    assert all(done == total for _, done, total in seen)


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (gzip.compress(encode(IMAGES.x_train))[:-30], "not a whole gzip file"),
        (b"<html>quota exceeded</html>", "not a whole gzip file"),
        (gzip.compress(b"not idx"), "not an idx file"),
        (gzip.compress(encode(IMAGES.x_train)[:-1]), "truncated or damaged"),
    ],
)
def test_damaged_official_file_is_refused(tmp_path, monkeypatch, served, reason):
    serve(tmp_path, monkeypatch, x_train=served)
    with pytest.raises(NoSourceError, match=reason):
        SMALL.get(tmp_path / "root", [SMALL.official], progress=False)
    assert_nothing_left(tmp_path / "root")


def test_official_source_needs_torchvision(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(SourceError, match="torchvision"):
        SMALL.official(tmp_path, silent)


def test_connection_that_closes_early_is_a_failed_source(tmp_path, monkeypatch):
    class Short:
        def __init__(self):
            self.headers = {"Content-Length": "10"}
            self.chunks = iter([b"1234", b""])

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def read(self, size):
            return next(self.chunks)

    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *args, **options: Short())
    with pytest.raises(SourceError, match="4 of 10 bytes"):
        download.fetch("http://example.invalid/x", tmp_path / "x", silent)
