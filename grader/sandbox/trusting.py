"""No sandbox: a plain subprocess in a fresh folder with rlimits, for `--trust-submissions` only."""

import os
import shutil
import socket
import sys
import tempfile
import weakref
from pathlib import Path

from grader.models import Level
from grader.sandbox.base import Launch, Outcome, Running
from grader.sandbox.meters import open_meter
from grader.sandbox.process import Process, environment, rlimits, start_process


class TrustingSandbox:
    """Level none: the script runs with the grader's own rights. Limits hold for well-meaning code."""

    level = Level.NONE

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="gan-grader-"))
        weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)

    def folder(self, slot: int) -> str:
        return str(self._root / f"slot{slot}" / "in")

    def start(self, launch: Launch) -> Running:
        folder = Path(self.folder(launch.slot))
        home = folder.parent / "tmp"
        shutil.rmtree(folder.parent, ignore_errors=True)
        for new in (folder, home):
            new.mkdir(parents=True)
        largest = 0
        for name, content in launch.files.items():
            largest = max(largest, _place(folder / name, content))
        meter = open_meter(launch.limits.memory_mb, launch.limits.processes)
        channel = socket.socketpair()
        argv = [sys.executable, "-I", str(folder / launch.script), str(channel[1].fileno()), *launch.arguments]
        process = start_process(
            argv,
            environment=environment(str(home), os.environ.get("PATH", os.defpath), launch.threads),
            launcher_options=rlimits(launch.limits, largest, meter),
            descriptors=(),
            channel=channel,
            meter=meter,
            limits=launch.limits,
            folder=str(home),
        )
        return _Emptied(process, folder.parent)


class _Emptied:
    """A process whose folder is removed when it is finished."""

    def __init__(self, process: Process, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.check = process.check
        self.cpu_s = process.cpu_s
        self.exclude = process.exclude

    @property
    def channel(self) -> socket.socket:
        return self._process.channel

    def finish(self, grace_s: float = 0.0) -> Outcome:
        try:
            return self._process.finish(grace_s)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


def _place(target: Path, content: bytes | int) -> int:
    """Write a file of the launch; its size in bytes."""
    if isinstance(content, bytes):
        target.write_bytes(content)
    else:
        os.lseek(content, 0, os.SEEK_SET)
        with open(content, "rb", closefd=False) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    return target.stat().st_size
