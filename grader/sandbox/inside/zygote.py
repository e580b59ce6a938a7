"""The process that all executions are forked from: Python with the packages imported that notebooks need, and nothing else.

It runs in a sandbox of its own (see grader/sandbox/zygote.py) as process 1 of a process namespace, so that with it everything dies.
It holds nothing of the course and nothing of a submission: what it is sent goes to the fork unread, and from forks it reads nothing.
It has one thread. Started as `python -I zygote.py <control>`.

Each message on the control socket is one execution: `w` where it wants the packages, then JSON, see enter.Request, with descriptors.
The first of these takes what its supervisor has to say: `started`, then the exit code, once every process of the execution is dead. The
supervisor ends the execution when the other end of that socket is closed for writing. When the control socket is closed, all end.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

sys.path.insert(0, os.path.dirname(__file__))  # noqa: PTH120
if TYPE_CHECKING:
    from grader.sandbox.inside import enter
else:
    import enter
sys.path.pop(0)

PACKAGES = (
    *("numpy.random", "torch", "torch.utils.serialization.config", "torch.nn.functional", "torch.optim", "torch.utils.data"),
    *("ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "ipykernel.compiler", "IPython.core.getipython"),
    *("nbformat", "nbclient", "papermill", "papermill.clientwrap", "papermill.engines", "jupyter_client.manager"),
    *("jupyter_client.provisioning", "jupyter_client.asynchronous", "traitlets.config"),
    *("ipykernel.debugger", "IPython.core.debugger", "IPython.core.completerlib", "IPython.core.logger", "IPython.core.oinspect"),
    *("IPython.extensions.storemagic", "tornado.platform.asyncio", "tornado.queues", "faulthandler"),
    *(
        "matplotlib.figure",
        "matplotlib.font_manager",
        "matplotlib.backends.backend_agg",
        "matplotlib.image",
        "matplotlib.rcsetup",
    ),
)
"""All that a driver, a kernel and a usual notebook import. Where one is not installed, notebooks do without it as well.

Not what looks for its kernel when it is imported, as matplotlib.pyplot and its backend in notebooks do.
"""

_MESSAGE_BYTES = 128 << 10
_MOST_DESCRIPTORS = 250
_WARM = b"w"


def main(control: int) -> None:
    """Fork one supervisor a message until the grader hangs up; in the forks, this returns when the script is to be run."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for supervisors: what they say goes to the grader
    enter.mount_proc()
    listening = socket.socket(fileno=control)
    warm = False
    while True:
        message, descriptors, _, _ = socket.recv_fds(listening, _MESSAGE_BYTES, _MOST_DESCRIPTORS)
        if not message:
            os._exit(0)
        if message[:1] == _WARM and not warm:
            warm_up()
            warm = True
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            _supervise(descriptors[0], json.loads(message[1:]), descriptors[1:])
            return
        for descriptor in descriptors:
            os.close(descriptor)


def warm_up() -> None:
    """Import the packages, and see to it that forks share the memory that this took.

    Raises:
        RuntimeError: an import started a thread, whose locks a fork would find held for ever.
    """
    sys.modules["debugpy"] = None  # type: ignore[assignment]  # nobody debugs here, and it takes 0.2 s to import
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # read by the import; a kernel would have set it
    for name in PACKAGES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if nbformat := sys.modules.get("nbformat"):
        nbformat.validate(nbformat.v4.new_notebook())  # compiles the schema, for 0.08 s
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    if threads != 1:
        raise RuntimeError(f"found {threads} threads after the imports, expected one")
    gc.collect()
    gc.freeze()


def _supervise(status: int, told: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Fork the process that runs the script, in which this returns, and stay as its parent until all is over."""
    enter.separate_processes()
    program = os.fork()
    if not program:
        os.close(status)
        request = enter.Request.of(told, descriptors)
        enter.enter(request)
        _forget_the_past(request)
        return
    ended = os.pidfd_open(program)
    talk = socket.socket(fileno=os.dup2(status, 3) if status != 3 else status)
    ended = os.dup2(ended, 4)
    os.closerange(5, 1 << 20)  # whoever listens at the other end must see it close
    for standard in (0, 1, 2):
        os.close(standard)
    talk.send(b"started")
    both = select.poll()
    both.register(talk, select.POLLIN)
    both.register(ended, select.POLLIN)
    while ended not in dict(both.poll()):  # the grader sends nothing: it hung up
        os.kill(program, signal.SIGKILL)
        both.unregister(talk)
    code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])  # process 1 is waited for when all others in its namespace were
    with contextlib.suppress(OSError):
        talk.send(str(code).encode())
    os._exit(0)


def _forget_the_past(request: "enter.Request") -> None:
    """What a process just executed would find otherwise: its environment, its arguments, and randomness of its own."""
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = [f"{enter.FOLDER}/{request.script}", "3", *request.arguments]
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if processes := sys.modules.get("multiprocessing.process"):
        processes.current_process().authkey = os.urandom(32)
    del sys.modules["enter"]  # the name is not ours


if __name__ == "__main__":
    main(int(sys.argv[1]))
    runpy.run_path(sys.argv[0], run_name="__main__")
