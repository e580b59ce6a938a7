"""Runs inside the sandbox: executes the notebook with papermill, then serves the challenge over the channel.

It imports nothing of the grader but frames.py, which lies beside it. It is process 1 of the sandbox, not dumpable, and its kernel does
not inherit the channel; still, the trusted side takes nothing that it says on trust. Started as `python -I driver.py <channel>`.

Conversation (all frames of frames.py; request 0 unless said otherwise):
    driver → grader   {"event": "kernel"}; for each code cell {"event": "cell", "cell": i} and
                      {"event": "cell-end", "cell": i, "text": …, "error": …}; {"event": "died", "cell": i}; {"event": "ready"}
    grader → driver   {"requests": [...]}, then the f32 inputs of its probes in order; {"requests": null} ends it
    driver → grader   for each request, under its number: {"problem": …, "count": k} and k arrays; at last {"event": "end"}
"""

import ctypes
import json
import os
import re
import resource
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

_FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(_FOLDER))
if TYPE_CHECKING:
    from grader import frames
    from grader.sandbox.inside import forked
else:
    import forked
    import frames
sys.path.pop(0)

import nbformat  # noqa: E402
import numpy as np  # noqa: E402
import papermill  # noqa: E402
from jupyter_client.kernelspec import KernelSpec  # noqa: E402
from jupyter_client.manager import AsyncKernelManager  # noqa: E402
from nbclient.exceptions import CellExecutionError, DeadKernelError  # noqa: E402
from papermill.clientwrap import PapermillNotebookClient  # noqa: E402
from papermill.engines import Engine, papermill_engines  # noqa: E402
from traitlets.config import Config  # noqa: E402

_CELL_TEXT = 16 << 10
_ALL_TEXT = 256 << 10
_REPORT_BYTES = 256 << 10
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CELL_FILE = re.compile(r"/cells/(\d+)\.py")
_PR_SET_DUMPABLE = 4
_MAX_DESCRIPTOR = 1 << 20
_WARM = "ipykernel.kernelapp"
"""A module that only a kernel needs: where it is imported already, this process was forked from one that has all of them."""
_START_TIMEOUT_S = 600  # the grader's own limits decide
_OUTPUT_TIMEOUT_S = 10
"""How long a cell's output may still take to arrive after its end; of a flood, some is dropped on the way, perhaps the last word."""


class Channel:
    """The driver's end: whole frames, blocking."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)

    def read(self, count: int) -> bytes:
        """Exactly that many bytes; ends the driver where the grader has hung up."""
        data = bytearray()
        while len(data) < count:
            part = self._socket.recv(min(count - len(data), 1 << 20))
            if not part:
                os._exit(3)
            data += part
        return bytes(data)

    def send(self, frame: bytes) -> None:
        self._socket.sendall(frame)

    def event(self, name: str, **details: object) -> None:
        self.send(frames.encode_json(0, {"event": name, **details}))


class KernelManager(AsyncKernelManager):
    """Starts our kernel, whatever kernel the notebook names."""

    forked: "forked.ForkedKernel | None" = None

    async def _async_pre_start_kernel(self, **kwargs: Any) -> Any:
        """With the process that was forked for it, where there is one."""
        if self.forked is not None and self.provisioner is None:
            self.provisioner = forked.ForkProvisioner(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)
            self.provisioner.waiting = self.forked
        return await super()._async_pre_start_kernel(**kwargs)

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-I", str(_FOLDER / "kernel.py"), "-f", "{connection_file}", "--HistoryManager.enabled=False"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


class Client(PapermillNotebookClient):  # type: ignore[misc]
    """Runs all cells, past errors, and then serves the challenge with the same kernel."""

    channel: Channel

    def __init__(self, *args: Any, channel: Channel, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.channel = channel
        self._cells: dict[int, int] = {}
        self._printed = 0
        self._reported = 0
        self._alive = True
        self._answers = Path(tempfile.mkdtemp(prefix="answers-"))
        self._count = 0

    def papermill_execute_cells(self) -> None:
        self.channel.event("kernel")
        cells = list(self.nb.cells)
        # nbclient stores each executed cell, and papermill looks at its status in the end; the grader's own go here
        own = nbformat.v4.new_code_cell(metadata={"papermill": {"status": "completed"}})  # type: ignore[no-untyped-call]
        self.nb.cells.append(own)
        for index, cell in enumerate(cells):
            if self._alive and cell.cell_type == "code" and cell.source.strip():
                self._run_cell(index, cell)
        self.channel.event("ready")
        while (requests := frames.read_json(self.channel.read, 0)["requests"]) is not None:
            self._serve(requests)
        self.channel.event("end")
        os._exit(0)  # the kernel dies with us; what it would do at exit does not matter

    def _run_cell(self, index: int, cell: Any) -> None:
        self.channel.event("cell", cell=index)
        self._printed = 0
        error = None
        try:
            self.execute_cell(cell, index)
        except CellExecutionError as failure:
            self._cells[cell.execution_count or 0] = index
            error = self._error(failure, index)
        except DeadKernelError:
            self._alive = False
            self.channel.event("died", cell=index)
            return
        self._cells[cell.execution_count or 0] = index
        text = _text(cell.outputs)[: max(0, _ALL_TEXT - self._reported)]
        self._reported += len(text)
        self.channel.event("cell-end", cell=index, text=text, error=error)

    def _error(self, failure: CellExecutionError, index: int) -> dict[str, Any]:
        """What the kernel knows of the error; what the message said where the kernel cannot be asked any more."""
        path = self._new_path()
        try:
            self._ask("describe", str(path))
            found = self._translated(json.loads(_read_file(path, _REPORT_BYTES)))
        except (CellExecutionError, DeadKernelError, OSError, ValueError, KeyError, TypeError):
            found = {"ename": failure.ename, "evalue": failure.evalue, "traceback": _plain(failure.traceback), "places": []}
        return found

    def _serve(self, requests: list[dict[str, Any]]) -> None:
        jobs = []
        for request in requests:
            path = self._new_path()
            inputs = []
            for number in range(request.pop("inputs", 0)):
                array = frames.read_array(self.channel.read, request["number"], frames.Kind.F32, max_bytes=1 << 30)
                array.tofile(f"{path}.in{number}")
                inputs.append((f"{path}.in{number}", array.shape))
            jobs.append({**request, "path": str(path), "inputs": inputs})
        for job in jobs:
            self._answer(job)

    def _answer(self, job: dict[str, Any]) -> None:
        number = job["number"]
        try:
            self._ask("answer", json.dumps(job))
            report = json.loads(_read_file(Path(f"{job['path']}.json"), _REPORT_BYTES))
            if "problem" in report:
                answer = {"problem": self._translated(report["problem"]), "count": 0}
                arrays: list[bytes] = []
            else:
                arrays = list(self._arrays(job, report["shapes"]))
                answer = {"problem": None, "count": len(arrays)}
        except DeadKernelError:
            self._alive = False
            answer, arrays = {"problem": {"code": "kernel-died"}, "count": 0}, []
        except (CellExecutionError, frames.FrameError, OSError, ValueError, KeyError, TypeError):
            answer, arrays = {"problem": {"code": "no-answer"}, "count": 0}, []
        self.channel.send(frames.encode_json(number, answer))
        for array in arrays:
            self.channel.send(array)

    def _arrays(self, job: dict[str, Any], shapes: list[list[int]]) -> Any:
        dtype = np.dtype("u1" if job["kind"] == "generate" else "<f4")
        for i, shape in enumerate(shapes):
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            data = _read_file(Path(f"{job['path']}.{i}.raw"), size)
            yield frames.encode_array(job["number"], np.frombuffer(data, dtype).reshape(shape))

    def _ask(self, function: str, argument: str) -> None:
        """Call a function of kernel.py in the kernel."""
        if not self._alive:
            raise DeadKernelError("Kernel died")
        self._printed = 0
        source = f"__import__('sys').modules['grader_kernel'].{function}({argument!r})"
        cell = nbformat.v4.new_code_cell(source)  # type: ignore[no-untyped-call]
        self.execute_cell(cell, len(self.nb.cells) - 1, store_history=False)

    def _translated(self, found: dict[str, Any]) -> dict[str, Any]:
        """With the notebook's cell indices in place of execution counts; `File "/cells/7.py"` becomes `File "cell[5]"`."""
        places = [(self._cell(count), line) for count, line in found.get("places", ())]
        text = _CELL_FILE.sub(lambda match: f"cell[{self._cell(int(match[1]))}]", found.get("traceback", ""))
        text = text.replace(f"{sys.prefix}/", "").replace(f"{sys.base_prefix}/", "")  # where things lie is nobody's business
        return {**found, "places": places, "traceback": _plain(text)}

    def _cell(self, count: int) -> int:
        return self._cells.get(count, -1)

    def _new_path(self) -> Path:
        self._count += 1
        return self._answers / str(self._count)

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        """Keep text only, and no more of it than is shown."""
        content = msg["content"]
        room = _CELL_TEXT - self._printed
        if room <= 0 and msg["msg_type"] != "error":
            return None
        if "data" in content:
            content["data"] = {"text/plain": str(content["data"].get("text/plain", ""))[:room]}
            self._printed += len(content["data"]["text/plain"]) + 1
        if "text" in content:
            content["text"] = content["text"][:room]
            self._printed += len(content["text"])
        return super().output(outs, msg, display_id, cell_index)

    def handle_comm_msg(self, outs: list[Any], msg: dict[str, Any], cell_index: int) -> None:
        """Widgets do not exist here."""


class GraderEngine(Engine):  # type: ignore[misc]
    """papermill's way to run a notebook, with our client."""

    channel: Channel

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> None:
        client = Client(
            nb_man,
            channel=cls.channel,
            kernel_name=kernel_name,
            kernel_manager_class=KernelManager,
            config=Config({"KernelManager": {"transport": "ipc"}}),
            startup_timeout=_START_TIMEOUT_S,
            timeout=None,
            iopub_timeout=_OUTPUT_TIMEOUT_S,
            raise_on_iopub_timeout=False,  # a cell that ended has ended, whatever of its output got lost
        )
        client.execute(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _read_file(path: Path, size: int) -> bytes:
    """Up to `size` bytes of a regular file that the kernel wrote; OSError where it is a link, a pipe or longer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:  # noqa: PTH123
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > size:
            raise OSError(f"{path} is no regular file of {size} bytes at most")
        return stream.read(size)


def _text(outputs: list[Any]) -> str:
    """Everything printed or displayed as text."""
    parts = [
        output.get("text", "") or output.get("data", {}).get("text/plain", "") + "\n"
        for output in outputs
        if output.output_type != "error"
    ]
    return _plain("".join(parts))[:_CELL_TEXT]


def _plain(text: str) -> str:
    return _ANSI.sub("", text)


def _shield(channel: int, processes: int) -> None:
    """No other process may look into this one or take its descriptors; none is inherited."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.closerange(3, channel)
    os.closerange(channel + 1, _MAX_DESCRIPTOR)
    os.set_inheritable(channel, False)
    if processes:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


def main(channel: int, processes: int) -> None:
    """Run the notebook beside this file. processes: limit for this user namespace, 0 for none."""
    _shield(channel, processes)
    if _WARM in sys.modules:
        KernelManager.forked = forked.ForkedKernel(_FOLDER / "kernel.py", channel)
    work = Path.home() / "work"
    work.mkdir()
    GraderEngine.channel = Channel(channel)
    papermill_engines.register("grader", GraderEngine)
    papermill.execute_notebook(
        str(_FOLDER / "notebook.ipynb"),
        None,
        engine_name="grader",
        kernel_name="python3",
        progress_bar=False,
        autosave_cell_every=0,
        cwd=str(work),
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
