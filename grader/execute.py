"""Run one notebook in a sandbox, ask it the challenge, and bring back arrays, problems and what the cells printed.

The trusted half of the conversation that `sandbox/inside/driver.py` describes. Nothing that comes back is believed about itself: arrays
have exactly the shapes that were asked for, texts are capped and stripped of control characters, and answers count only after the
whole challenge was answered, the script ended with status 0, and its last process was dead.
"""

import contextlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from grader import frames
from grader.challenge import Answer, Answers, Generate, NextRound, Probe, Request, Round
from grader.errors import CheckpointError, SandboxError
from grader.links import NO_FILE
from grader.models import Problem, Usage
from grader.sandbox import Launch, LimitError, Outcome, Running, Sandbox, gpu, landlock
from grader.sandbox.disk import MOST_FILES
from grader.spec import Limits

_INSIDE = Path(__file__).parent / "sandbox" / "inside"
_CHECKPOINT = "handin.pt"
_PARAMETER_TAGS = {"parameters", "injected-parameters"}
_ALL_TEXT = 256 << 10
_MAX_ARRAYS = 64
_GRACE_S = 5.0
_LOOK_EVERY_S = 0.05
_GPU_FULL = "CUDA out of memory"

IN_CHECKPOINT = f"/in/{_CHECKPOINT}"
"""Where the notebook finds the checkpoint in a real sandbox; see `checkpoint_path`."""

Place = tuple[int, int]
"""(0-based index of a cell in the executed notebook, 1-based line)"""


@dataclass(frozen=True)
class Job:
    """What to run.

    notebook: the notebook as JSON, with the run controls already in its parameters cell (CHECKPOINT = `checkpoint_path(...)`).
    checkpoint: the hand-in's checkpoint, None where there is none; its size has been checked.
    alone: nothing else is being executed, so that a shortage is the job's own doing.
    threads: for torch and BLAS. slot: executions that run at the same time have different slots.
    """

    notebook: bytes
    checkpoint: Path | None
    limits: Limits
    device: str = "cpu"
    alone: bool = False
    threads: int = 1
    slot: int = 0


@dataclass(frozen=True)
class CellError:
    """An exception in a cell. optional: the cell is tagged so, and the error costs nothing. places: innermost last."""

    cell: int
    optional: bool
    ename: str
    evalue: str
    traceback: str
    places: tuple[Place, ...]
    advice: str | None = None


@dataclass(frozen=True)
class Execution:
    """What became of a job.

    problem: why it is not completed; stopped_in: the cell that was running then. In tracebacks, `cell[5]` is the cell with that index.
    answers: of a completed execution, and only of that one. places: where the problem of a request happened, by its id.
    outputs: (cell index, text) for cells that printed. diagnostics: stderr of the sandbox, for staff only.
    """

    status: Literal["completed", "failed", "ungraded"]
    problem: Problem | None
    answers: Answers
    errors: tuple[CellError, ...]
    outputs: tuple[tuple[int, str], ...]
    usage: Usage
    places: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)
    stopped_in: int | None = None
    diagnostics: str = ""


def checkpoint_path(sandbox: Sandbox, slot: int = 0) -> str:
    """The path to write into the notebook's CHECKPOINT parameter."""
    return f"{sandbox.folder(slot)}/{_CHECKPOINT}"


def execute(job: Job, sandbox: Sandbox, next_round: NextRound) -> Execution:
    """Run the notebook, then ask `next_round` for requests until it returns None. Thread-safe.

    Requests for mere feedback belong into the last round: when one of them breaks the execution, all earlier answers stand.

    Raises:
        SandboxError: the sandbox does not start, does not die, or cannot give access to the device.
        CheckpointError: the checkpoint is no regular file.
        Whatever `next_round` raises, after everything was killed.
    """
    with _opened(job.checkpoint) as checkpoint:
        running = sandbox.start(_launch(job, sandbox, checkpoint))
    talk = _Conversation(running, job)
    try:
        with contextlib.suppress(LimitError, frames.FrameError, ValidationError):  # told by what is missing, and by the outcome
            talk.hold(next_round)
    except BaseException:
        running.finish()
        raise
    outcome = running.finish(_GRACE_S if talk.complete or talk.hung_up else 0.0)
    return _judged(talk, outcome, job)


@contextmanager
def _opened(checkpoint: Path | None) -> Iterator[int | None]:
    """A descriptor of the checkpoint; never of a link, a pipe or a device."""
    if checkpoint is None:
        yield None
        return
    try:
        descriptor = os.open(checkpoint, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in NO_FILE:
            raise SandboxError(
                f"{checkpoint.name}: cannot be read ({error.strerror}); free some space, or check the disk"
            ) from error
        raise CheckpointError(f"{checkpoint.name}: cannot be opened ({error.strerror}); expected a regular file") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise CheckpointError(f"{checkpoint.name} is a folder, pipe or device; expected a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _launch(job: Job, sandbox: Sandbox, checkpoint: int | None) -> Launch:
    files: dict[str, bytes | int] = {name: (_INSIDE / name).read_bytes() for name in ("driver.py", "kernel.py", "forked.py")}
    files |= {"frames.py": Path(frames.__file__).read_bytes(), "landlock.py": Path(landlock.__file__).read_bytes()}
    files["notebook.ipynb"] = job.notebook
    if checkpoint is not None:
        files[_CHECKPOINT] = checkpoint
    graphics = None if job.device == "cpu" else gpu.of_slot(job.slot)
    processes = str(sandbox.most_processes(job.limits))
    return Launch("driver.py", files, job.limits, (processes,), graphics, job.threads, job.slot, packages=True)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _clean(text: str) -> str:
    """Without control characters, which terminals would obey."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


_ShortText = Annotated[str, Field(max_length=200), AfterValidator(_clean)]
_Message = Annotated[str, Field(max_length=2_000), AfterValidator(_clean)]
_LongText = Annotated[str, Field(max_length=20_000), AfterValidator(_clean)]
_Places = Annotated[tuple[tuple[int, int], ...], Field(max_length=20)]


class _Error(BaseModel):
    """An exception as the driver reports it."""

    ename: _ShortText
    evalue: _Message
    traceback: _LongText
    places: _Places = ()


class _Event(BaseModel):
    """A milestone of the driver."""

    event: Literal["kernel", "cell", "cell-end", "died", "ready", "end"]
    cell: int = -1
    text: _LongText = ""
    error: _Error | None = None


class _Fault(BaseModel):
    """Why a request has no answer."""

    code: str = Field(pattern=r"^[a-z-]{1,40}$")
    message: _Message = ""
    advice: _Message | None = None
    ename: _ShortText = ""
    evalue: _Message = ""
    traceback: _LongText | None = None
    places: _Places = ()


class _Reply(BaseModel):
    """What precedes the arrays of an answer."""

    problem: _Fault | None
    count: int = Field(ge=0, le=_MAX_ARRAYS)


class _Conversation:
    """The talk with one driver, and all that it has said so far."""

    def __init__(self, running: Running, job: Job) -> None:
        self._running = running
        self._cells: list[dict[str, Any]] = json.loads(job.notebook)["cells"]
        self._sent = 0
        self._marks: dict[str, float] = {}
        self._room = _ALL_TEXT
        self.errors: list[CellError] = []
        self.outputs: list[tuple[int, str]] = []
        self.arrays: dict[str, Answer] = {}
        self.problems: dict[str, Problem] = {}
        self.places: dict[str, tuple[Place, ...]] = {}
        self.started = False
        self.cell: int | None = None
        self.request: Request | None = None
        self.waiting: tuple[Request, ...] = ()
        self.asked: list[Request] = []
        self.died = False
        self.complete = False
        self.hung_up = False

    @property
    def answers(self) -> Answers:
        """A copy that later rounds do not change."""
        return Answers(dict(self.arrays), dict(self.problems))

    def phases(self, total: float) -> dict[str, float]:
        """CPU seconds up to each milestone, as far as it was reached."""
        phases: dict[str, float] = {}
        before = 0.0
        for name in ("startup", "imports"):
            if name in self._marks:
                phases[name] = self._marks[name] - before
                before = self._marks[name]
        return {**phases, "student" if phases else "startup": total - before}

    def hold(self, next_round: NextRound) -> None:
        """Follow the cells, then ask round after round. Returns early where the kernel died in a cell."""
        self._follow_cells()
        if self.died:
            return
        while (requests := self._next(next_round)) is not None:
            self._ask(requests)
        self._send(frames.encode_json(0, {"requests": None}))
        self._expect(self._event(), "end")
        self.complete = True

    def _next(self, next_round: NextRound) -> Round | None:
        began = time.monotonic()
        requests = next_round(self.answers)
        self._running.exclude(time.monotonic() - began)
        return requests

    def _follow_cells(self) -> None:
        self._expect(self._event(), "kernel")
        self.started = True
        self._mark("startup")
        last = -1
        while (event := self._event()).event != "ready":
            self._expect(event, "cell")
            if not last < event.cell < len(self._cells):
                raise frames.FrameError(f"found cell {event.cell} after cell {last}, expected one of {len(self._cells)} in order")
            self.cell = last = event.cell
            end = self._event()
            if end.event == "died":
                self.died = True
                return
            self._expect(end, "cell-end")
            self._note(last, end)
        self.cell = None

    def _note(self, index: int, end: _Event) -> None:
        tags = set(self._cells[index].get("metadata", {}).get("tags", ()))
        if not tags & _PARAMETER_TAGS:
            self._mark("imports")
        if text := end.text[: self._room]:
            self._room -= len(text)
            self.outputs.append((index, text))
        if (error := end.error) is not None:
            advice = advice_for(error.ename, error.evalue)
            places = _inside(error.places, len(self._cells)) or ((index, 1),)
            self.errors.append(CellError(index, "optional" in tags, error.ename, error.evalue, error.traceback, places, advice))

    def _ask(self, requests: Round) -> None:
        numbered = [(self._sent + i, request) for i, request in enumerate(requests, 1)]
        self._sent += len(numbered)
        self.asked += requests
        self.waiting = requests
        self._send(frames.encode_json(0, {"requests": [_described(number, request) for number, request in numbered]}))
        for number, request in numbered:
            for array in request.inputs:
                self._send(frames.encode_array(number, array))
        for i, (number, request) in enumerate(numbered):
            self.request = request
            self._receive(number, request)
            self.waiting = requests[i + 1 :]
        self.request = None

    def _receive(self, number: int, request: Request) -> None:
        reply = _Reply.model_validate(frames.read_json(self._read, number))
        if reply.problem is not None:
            self.problems[request.id] = _as_problem(reply.problem, request)
            self.places[request.id] = _inside(reply.problem.places, len(self._cells))
            return
        if isinstance(request, Generate):
            if reply.count != 1:
                raise frames.FrameError(f"found {reply.count} arrays, expected 1")
            shape = (request.n, *request.shape)
            room = int(np.prod(shape))
            self.arrays[request.id] = (frames.read_array(self._read, number, frames.Kind.U8, shape=shape, max_bytes=room),)
            return
        room, arrays = request.max_bytes, []
        for _ in range(reply.count):
            array = frames.read_array(self._read, number, frames.Kind.F32, max_bytes=room)
            room -= array.nbytes
            arrays.append(array)
        self.arrays[request.id] = tuple(arrays)

    def _mark(self, name: str) -> None:
        self._marks.setdefault(name, self._running.cpu_s())

    def _event(self) -> _Event:
        return _Event.model_validate(frames.read_json(self._read, 0))

    @staticmethod
    def _expect(event: _Event, name: str) -> None:
        if event.event != name:
            raise frames.FrameError(f"found event {event.event}, expected {name}")

    def _read(self, count: int) -> bytearray:
        """Exactly that many bytes; looks at the limits while it waits."""
        data = bytearray(count)
        view, channel = memoryview(data), self._running.channel
        channel.settimeout(_LOOK_EVERY_S)
        while view:
            self._running.check()
            try:
                got = channel.recv_into(view)
            except TimeoutError:
                continue
            except ConnectionError:
                got = 0
            if not got:
                self.hung_up = True
                raise frames.FrameError("found the end of the stream, expected a frame")
            view = view[got:]
        return data

    def _send(self, data: bytes) -> None:
        view, channel = memoryview(data), self._running.channel
        channel.settimeout(_LOOK_EVERY_S)
        while view:
            self._running.check()
            try:
                view = view[channel.send(view) :]
            except TimeoutError:
                continue
            except ConnectionError:
                self.hung_up = True
                raise frames.FrameError("found the stream closed, expected it to take a request") from None


def _described(number: int, request: Request) -> dict[str, Any]:
    """A request as the driver gets it; its id stays here."""
    common = {"number": number, "seed": request.seed, "inputs": len(request.inputs)}
    if isinstance(request, Probe):
        return {**common, "kind": "probe", "code": request.code, "max_bytes": request.max_bytes}
    return {
        **common,
        "kind": "generate",
        "call": request.call,
        "n": request.n,
        "shape": request.shape,
        "arguments": request.arguments,
        "weights": request.weights,
    }


def _inside(places: Sequence[Place], cells: int) -> tuple[Place, ...]:
    return tuple((cell, line) for cell, line in places if 0 <= cell < cells and line > 0)


def _call(request: Request) -> str:
    """The request in the student's words."""
    if isinstance(request, Generate):
        return request.call
    return f"the check {request.id}"


def _as_problem(fault: _Fault, request: Request) -> Problem:
    if fault.code == "exception":
        message, advice = f"{_call(request)} raised {fault.ename}: {fault.evalue}", advice_for(fault.ename, fault.evalue)
        return Problem(code=fault.code, message=message, advice=advice, traceback=fault.traceback)
    if fault.code == "kernel-died":
        return Problem(code=fault.code, message=f"the notebook's process ended during {_call(request)}", advice=_DIED_ADVICE)
    if fault.code == "no-answer":
        message = f"{_call(request)} left no answer, expected its result"
        return Problem(
            code=fault.code, message=message, advice="do not end or interrupt the kernel, and leave files in /tmp alone"
        )
    return Problem(code=fault.code, message=fault.message, advice=fault.advice)


_DIED_ADVICE = "remove calls such as os._exit, exit() or quit(); where there are none, it crashed in compiled code"

_ADVICE: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"Torch not compiled with CUDA|No CUDA GPUs|no NVIDIA driver|deserialize object on a CUDA device|CUDA-capable device"
        ),
        "the grader has no GPU: write .to(device) instead of .cuda(), and load with map_location=device",
    ),
    (
        re.compile(r"StdinNotImplemented|raw_input was called"),
        "nobody can type an answer while the notebook is graded: set the value in the code instead of calling input()",
    ),
    (re.compile(r"/content/(drive|gdrive)"), "your Google Drive does not exist here: load the checkpoint from CHECKPOINT"),
    (re.compile(r"Expected all tensors to be on the same device"), "create new tensors with device=device"),
    (
        re.compile(r"Missing key\(s\) in state_dict|Unexpected key\(s\) in state_dict|size mismatch for"),
        "the checkpoint belongs to another network than the notebook defines: hand in the handin.pt that this notebook wrote",
    ),
    (
        re.compile(r"Temporary failure in name resolution|Network is unreachable|URLError|ConnectionError|Max retries exceeded"),
        "there is no network while the notebook is graded: guard downloads by TRAIN",
    ),
    (
        re.compile(_GPU_FULL),
        "the GPU's memory is used up, with nothing else running on it: generate in smaller batches, use torch.no_grad()",
    ),
    (re.compile(r"^MemoryError"), "generate in smaller batches, and do not keep what is not needed"),
    (
        re.compile(r"^ModuleNotFoundError"),
        "only the packages listed in the handout are installed: remove the import or do without",
    ),
    (re.compile(r"^NameError"), "define the name in a cell above; an error in an earlier cell may be the cause"),
)


def advice_for(ename: str, evalue: str) -> str | None:
    """What to do about frequent slips, by the exception's name and text."""
    text = f"{ename}: {evalue}"
    return next((advice for pattern, advice in _ADVICE if pattern.search(text)), None)


def _judged(talk: _Conversation, outcome: Outcome, job: Job) -> Execution:
    ended_well = talk.complete and outcome.verdict == "exited" and outcome.exit_status == 0
    problem = None if ended_well else _problem(talk, outcome, job.limits)
    if problem is None and not job.alone and _gpu_was_full(talk):
        message = f"the memory of the GPU ran out {_where(talk)}, while other submissions used it"
        problem = Problem(code="gpu-shortage", message=message, advice="nothing to do: it will be run again")
    status: Literal["completed", "failed", "ungraded"] = "completed"
    if problem is not None:
        status = "ungraded" if problem.code in _OURS else "failed"
    if problem is not None and status == "failed" and (lost := _only_feedback_lost(talk)):
        talk.problems.update({request.id: problem for request in lost})
        status, problem = "completed", None
    return Execution(
        status=status,
        problem=problem,
        answers=talk.answers if status == "completed" else Answers(),
        errors=tuple(talk.errors),
        outputs=tuple(talk.outputs),
        usage=Usage(
            wall_s=outcome.wall_s, cpu_s=outcome.cpu_s, peak_memory_mb=outcome.peak_memory_mb, phases=talk.phases(outcome.cpu_s)
        ),
        places=dict(talk.places) if status == "completed" else {},
        stopped_in=talk.cell,
        diagnostics=_clean(outcome.diagnostics),
    )


def _only_feedback_lost(talk: _Conversation) -> tuple[Request, ...]:
    """The requests that the end cost an answer, where all of them are worth no points; else none."""
    died = [request for request in talk.asked if (p := talk.problems.get(request.id)) and p.code == "kernel-died"]
    lost = (*died, *talk.waiting)
    return lost if all(isinstance(request, Probe) and request.feedback for request in lost) else ()


SHORTAGES = frozenset({"overloaded", "memory-shortage", "gpu-shortage"})
"""Problems that may go away where the execution has the machine to itself."""

_OURS = SHORTAGES | {"sandbox-broke", "unexplained-kill"}


def _gpu_was_full(talk: _Conversation) -> bool:
    """Whether anything failed since no memory was left on the GPU."""
    raised = [error.evalue for error in talk.errors if not error.optional]
    return any(_GPU_FULL in text for text in (*raised, *(problem.message for problem in talk.problems.values())))


def _problem(talk: _Conversation, outcome: Outcome, limits: Limits) -> Problem:
    """Why the execution did not end well, in words for the student."""
    where = _where(talk)
    if outcome.verdict in _LIMITS:
        message, advice = _LIMITS[outcome.verdict](limits)
        return Problem(code=outcome.verdict, message=f"{message} {where}", advice=advice)
    if outcome.verdict == "overloaded":
        message = f"the wall time of {limits.wall_s:g} s ran out {where}, while the machine was busy with other work"
        return Problem(code="overloaded", message=message, advice="nothing to do: it will be run again")
    if outcome.verdict == "memory-shortage":
        message = f"the machine ran out of memory {where}"
        return Problem(code="memory-shortage", message=message, advice="nothing to do: it will be run again")
    if talk.died:
        return Problem(code="kernel-died", message=f"the notebook's process ended {where}", advice=_DIED_ADVICE)
    if not talk.started:
        message = f"the sandbox ended before the first cell (exit status {outcome.exit_status}), expected a running notebook"
        return Problem(
            code="sandbox-broke", message=message, advice="nothing to do: the class report shows staff what the sandbox said"
        )
    if outcome.exit_status is not None and outcome.exit_status < 0 and talk.hung_up:
        message = f"the sandbox was killed by signal {-outcome.exit_status} {where}, for no reason that we know"
        return Problem(code="unexplained-kill", message=message, advice="nothing to do: it will be run again")
    message = f"the process that runs the notebook broke off {where} (exit status {outcome.exit_status})"
    return Problem(
        code="driver-died", message=message, advice="do not send signals to other processes, and leave files in /tmp alone"
    )


def _where(talk: _Conversation) -> str:
    if talk.cell is not None:
        return "while a cell was running"
    if talk.request is not None:
        return f"during {_call(talk.request)}"
    return "after all cells had run" if talk.started else "before the first cell"


_LIMITS: dict[str, Callable[[Limits], tuple[str, str]]] = {
    "cpu-limit": lambda limits: (
        f"the CPU time of {limits.cpu_s:g} s was used up",
        "look for an endless loop, and for training outside `if TRAIN:`",
    ),
    "wall-limit": lambda limits: (
        f"it took longer than {limits.wall_s:g} s without computing",
        "look for sleep(), for waiting on a download, a lock or another process",
    ),
    "disk-limit": lambda limits: (
        f"more than {limits.disk_mb} MB or {MOST_FILES:,} files were written",
        "write less, and remove what is not needed; images are returned by generate(), not saved",
    ),
    "process-limit": lambda limits: (
        f"more than the {limits.processes} processes and threads were started",
        "start fewer, and load data with num_workers=0",
    ),
    "memory-limit": lambda limits: (
        f"more than the {limits.memory_mb} MB of memory were needed",
        "generate in smaller batches, use torch.no_grad(), and do not keep what is not needed",
    ),
}
