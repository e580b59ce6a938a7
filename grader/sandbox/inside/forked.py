"""The kernel's process where everything is imported already: forked from the driver before that has opened or read anything.

The fork waits until the driver knows how the kernel is to be started, and then runs kernel.py as a new process would. It has none of the
driver's descriptors, and no more in its memory than the driver had then: the modules.
"""

import ctypes
import json
import os
import runpy
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

_PR_SET_DUMPABLE = 4
_STDERR = 2


class ForkedKernel:
    """A process that is going to be the kernel, with those methods of subprocess.Popen that Jupyter calls."""

    stdin = stdout = stderr = None

    def __init__(self, script: Path, channel: int) -> None:
        """Fork it; `channel` is closed there."""
        self.returncode: int | None = None
        self._ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            self._ours.close()
            os.close(channel)
            _wait_and_run(script, theirs)
        theirs.close()

    def begin(self, arguments: list[str], environment: dict[str, str], folder: str) -> None:
        """Let it run the script."""
        told = {"arguments": arguments, "environment": {**environment, "JPY_PARENT_PID": str(os.getpid())}, "folder": folder}
        self._ours.sendall(json.dumps(told).encode())
        self._ours.close()

    def poll(self) -> int | None:
        if self.returncode is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        while (code := self.poll()) is None:
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(15)

    def kill(self) -> None:
        self.send_signal(9)


class ForkProvisioner(LocalProvisioner):
    """Jupyter's way to a kernel's process, with one that is there already."""

    waiting: ForkedKernel | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """cmd: python, its option -I, the script, and the script's arguments."""
        kernel, self.waiting = self.waiting, None
        if kernel is None:
            raise RuntimeError("found the kernel's process used up: there is one for a notebook")
        folder = str(kwargs.get("cwd") or Path.cwd())
        kernel.begin(cmd[3:], kwargs["env"], folder)
        process: Any = kernel
        self.process, self.pid, self.pgid, self.cwd = process, kernel.pid, kernel.pid, folder
        return self.connection_info


def _wait_and_run(script: Path, ears: socket.socket) -> NoReturn:
    """What the fork does, to its end: none of the driver's code must run here."""
    status = 1
    try:
        os.setsid()
        told = json.loads(_all(ears))
        ears.close()
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as a program just executed is
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in range(_STDERR + 1):
            os.dup2(nowhere, standard)
        os.close(nowhere)
        os.environ.clear()
        os.environ.update(told["environment"])
        os.chdir(told["folder"])
        sys.argv = [str(script), *told["arguments"]]
        runpy.run_path(str(script), run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    os._exit(status)


def _all(ears: socket.socket) -> bytes:
    """What is said until the other end is closed; ends the process where nothing was."""
    data = b""
    while part := ears.recv(1 << 16):
        data += part
    return data or os._exit(0)
