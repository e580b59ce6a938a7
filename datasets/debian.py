"""Data sets that Debian packages: fetched with apt-get, the archive's ordinary client, and read with dpkg-deb.

Nothing is installed and no code of the package runs. apt-get works on lists and a cache of its own, so an ordinary user can
do this, and on machines whose package lists were cleared.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Collection
from pathlib import Path

from datasets.download import CONNECT_TIMEOUT_S, Report
from datasets.errors import DatasetCorruptError, SourceError


def fetch_package(package: str, folder: Path, report: Report) -> Path:
    """Download a package into `folder` with the machine's own package sources, and return the .deb's path.

    Raises SourceError with apt-get's last words where it is not installed or cannot deliver, OSError where the disk is full.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise SourceError(f"package {package}: this is no Debian system: it has no apt-get and dpkg-deb")
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    report("package lists", 0, 0)
    listed = _apt(folder, "update")
    report(package, 0, 0)
    loaded = _apt(folder, "download", package)
    found = sorted(folder.glob("*.deb"))
    if any(os.strerror(errno.ENOSPC) in said.stderr for said in (listed, loaded)):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    if loaded.returncode != 0 or not found:
        raise SourceError(f"package {package}: {_last_words(loaded)} (package lists: {_last_words(listed)})")
    return found[0]


def members(package: Path, paths: Collection[str]) -> dict[str, bytes]:
    """Contents of regular files in a .deb, by the absolute paths that they would be installed at.

    Raises DatasetCorruptError where the package cannot be read or a file is not in it.
    """
    archive = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], capture_output=True, check=False)
    if archive.returncode != 0:
        raise DatasetCorruptError(f"{package.name}: {archive.stderr.decode(errors='replace').strip()}")
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        for member in tar:
            path = member.name.removeprefix(".")
            content = tar.extractfile(member) if path in paths and member.isreg() else None
            if content is not None:
                found[path] = content.read()
    missing = sorted(set(paths) - found.keys())
    if missing:
        raise DatasetCorruptError(f"{package.name}: there is no {', '.join(missing)} in it")
    return found


def _apt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    here = folder.resolve()
    settings: dict[str, object] = {
        "Dir::State::Lists": here / "lists",
        "Dir::Cache": here / "cache",
        "Acquire::Languages": "none",
        "Acquire::Retries": 2,
        "Acquire::http::Timeout": CONNECT_TIMEOUT_S,
        "APT::Sandbox::User": "root",  # as root, apt would change to a user who cannot write here
    }
    options = [f"--option={name}={value}" for name, value in settings.items()]
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        ["apt-get", "--quiet", *options, *words], cwd=here, env=environment, capture_output=True, text=True, check=False
    )


def _last_words(finished: subprocess.CompletedProcess[str]) -> str:
    return (finished.stderr.strip().splitlines() or ["no complaint"])[-1]
