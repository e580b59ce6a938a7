"""Temporary folders for hand-ins; those that a killed run leaves are removed by the next one."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch(lab: Path) -> Iterator[Path]:
    """An empty folder for one hand-in of the lab at `lab`, removed at the end.

    Raises:
        OSError: it cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix=_prefix(lab)) as folder:
        yield Path(folder)


def clear(lab: Path) -> None:
    """Remove what killed runs of this lab left; only while no other run is at work. What cannot be removed stays."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix(lab)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _prefix(lab: Path) -> str:
    return f"grader-{hashlib.sha256(str(lab.resolve()).encode()).hexdigest()[:12]}-"
