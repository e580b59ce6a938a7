import gzip
import io
import lzma
import shutil
import stat
import tarfile

import numpy as np
import pytest

from datasets import fashion_mnist
from datasets.debian import fetch_package, members
from datasets.errors import CannotWriteError, DatasetCorruptError, SourceError
from datasets.family import FILES
from datasets.idx import encode

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "x_train": RANDOM.integers(0, 256, (6, 28, 28), np.uint8),
    "y_train": np.arange(6, dtype=np.uint8),
    "x_test": RANDOM.integers(0, 256, (3, 28, 28), np.uint8),
    "y_test": np.arange(3, dtype=np.uint8),
}
PACKED = {f".{fashion_mnist.MIRROR_FOLDER}/{FILES[key]}.gz": gzip.compress(encode(array)) for key, array in ARRAYS.items()}
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no Debian system: dpkg-deb is not installed")


def silent(name, done, total):
    pass


def tar_of(contents, **kinds):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for name, target in kinds.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return lzma.compress(buffer.getvalue())


def deb_of(path, data):
    """A Debian package: an ar archive of its version, its description and its files."""
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": tar_of({"./control": b"Package: x\n"}), "data.tar.xz": data}
    content = b"!<arch>\n"
    for name, part in parts.items():
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode() + part + b"\n" * (len(part) % 2)
    path.write_bytes(content)
    return path


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder that is the whole PATH, for programs that behave as the test needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")

    def put(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(stat.S_IRWXU)

    put("dpkg-deb", "exit 0")
    return put


@needs_dpkg
def test_arrays_come_out_of_the_package(tmp_path):
    data = fashion_mnist.unpack_package(deb_of(tmp_path / "f.deb", tar_of(PACKED)))
    for key, expected in ARRAYS.items():
        assert np.array_equal(getattr(data, key), expected)


@needs_dpkg
def test_a_package_without_a_file_is_refused(tmp_path):
    name, *_ = PACKED
    others = {path: content for path, content in PACKED.items() if path != name}
    with pytest.raises(DatasetCorruptError, match=r"f\.deb: there is no /usr.*train-images-idx3-ubyte\.gz in it"):
        fashion_mnist.unpack_package(deb_of(tmp_path / "f.deb", tar_of(others)))


@needs_dpkg
def test_a_link_in_the_package_is_not_followed(tmp_path):
    package = deb_of(tmp_path / "f.deb", tar_of({}, **{"./usr/data": "/etc/passwd"}))
    with pytest.raises(DatasetCorruptError, match="no /usr/data"):
        members(package, ["/usr/data"])


@needs_dpkg
@pytest.mark.parametrize("content", [b"", b"!<arch>\n cut off", b"<html>quota</html>"])
def test_what_is_no_package_is_refused(tmp_path, content):
    (tmp_path / "f.deb").write_bytes(content)
    with pytest.raises(DatasetCorruptError, match=r"f\.deb: .*dpkg-deb"):
        members(tmp_path / "f.deb", ["/usr/data"])


@needs_dpkg
def test_a_damaged_file_in_the_package_is_named(tmp_path):
    damaged = {path: content[:-9] for path, content in PACKED.items()}
    with pytest.raises(DatasetCorruptError, match=r"ubyte\.gz: not a whole gzip file"):
        fashion_mnist.unpack_package(deb_of(tmp_path / "f.deb", tar_of(damaged)))


def test_the_package_is_fetched_with_lists_of_its_own(tmp_path, programs):
    programs("apt-get", 'echo "$@" >> said; for last; do :; done; [ "$last" = update ] || echo content > "${last}_1_all.deb"')
    found = fetch_package("a-package", tmp_path, silent)
    assert found == tmp_path / "a-package_1_all.deb"
    update, download = (tmp_path / "said").read_text().splitlines()
    assert update.endswith(" update")
    assert download.endswith(" download a-package")
    for line in (update, download):
        assert f"--option=Dir::State::Lists={tmp_path}/lists" in line


def test_apts_complaints_reach_the_message(tmp_path, programs):
    programs("apt-get", 'for last; do :; done; echo "W: first" >&2; echo "E: cannot do $last" >&2; exit 100')
    with pytest.raises(SourceError, match=r"a-package: E: cannot do a-package \(package lists: E: cannot do update\)"):
        fetch_package("a-package", tmp_path, silent)


def test_a_failed_update_does_not_matter_where_the_package_arrives(tmp_path, programs):
    programs("apt-get", 'for last; do :; done; [ "$last" = update ] && exit 100; echo content > "${last}_1_all.deb"')
    assert fetch_package("a-package", tmp_path, silent).name == "a-package_1_all.deb"


def test_apt_on_a_full_disk_is_a_full_disk(tmp_path, programs):
    programs("apt-get", 'echo "E: Write error - write (28: No space left on device)" >&2; exit 100')
    with pytest.raises(CannotWriteError, match="disk is full"):
        fashion_mnist.get(tmp_path / "data", progress=False, sources=[fashion_mnist.mirror])


def test_a_system_without_apt_is_a_failed_source(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="no Debian system"):
        fetch_package("a-package", tmp_path, silent)
