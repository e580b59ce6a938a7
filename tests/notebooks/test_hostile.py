"""The hostile suite: every case of hostile/cases.toml in every sandbox of this machine. `make hostile` prints the table."""

import ast
import os
import pickle
import secrets
import socket
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import jupytext
import nbformat
import numpy as np
import pytest

from grader.challenge import Generate
from grader.errors import SandboxError
from grader.execute import Execution, Job, checkpoint_path, execute
from grader.models import Level
from grader.sandbox import Sandbox, open_sandbox
from grader.spec import Limits

HERE = Path(__file__).parent / "hostile"
REPOSITORY = Path(__file__).parents[2]
PACK = "evaluator/packs/mnist/weights.safetensors"
LIMITS = Limits(cpu_s=6, wall_s=60, memory_mb=300, processes=64, disk_mb=64)
ROOMY = LIMITS.model_copy(update={"cpu_s": 20})
"""For what is not about CPU time: on a busy machine the start of a kernel takes several seconds."""
ASKED = (Generate("first", 3, 1, (2, 2)), Generate("again", 3, 1, (2, 2)), Generate("other", 4, 2, (2, 2)))
FIRST_SLOT = 1_000
"""Far from the slots of other runs on the machine, so that whatever has our user id is ours."""
SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/run")
SLACK_S = 20.0


@dataclass(frozen=True)
class Case:
    """See the head of hostile/cases.toml."""

    number: int
    name: str
    notebook: str | None = None
    refused: int = 0
    status: Literal["completed", "failed"] = "completed"
    code: str | None = None
    first: str | None = None
    other: str | None = None
    errors: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    limits: dict[str, float] = field(default_factory=dict)
    held_by: tuple[str, ...] = ()
    open: str | None = None

    def __str__(self) -> str:
        return f"{self.number}-{self.name}".replace(" ", "_").replace("/", "_")


CASES = tuple(Case(**case) for case in tomllib.loads((HERE / "cases.toml").read_text())["case"])
RUN = tuple(case for case in CASES if case.notebook)
REST = tuple(case for case in CASES if not case.notebook)


@dataclass(frozen=True)
class Neighbour:
    """What lies beside a submission that runs: another one, a report, and the sockets of a service."""

    folder: Path
    secret: str

    def words(self) -> dict[str, str]:
        """The words that notebooks name it by."""
        return {"NEIGHBOUR": str(self.folder), "SECRET": self.secret, "REPOSITORY": str(REPOSITORY), "PACK": PACK}

    def state(self) -> dict[str, bytes]:
        """All its files with their contents."""
        return {path.name: path.read_bytes() if path.is_file() else b"" for path in self.folder.iterdir()}


@dataclass(frozen=True)
class Ran:
    """What became of a case. before, after: state of the neighbour."""

    result: Execution
    seconds: float
    before: dict[str, bytes]
    after: dict[str, bytes]


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    """The strongest sandbox; more backends join here."""
    try:
        return open_sandbox()
    except SandboxError as error:
        pytest.skip(f"this machine has no sandbox: {error}")


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbour]:
    """Open to everybody: permissions must not be what protects it."""
    folder = tmp_path_factory.mktemp("neighbour")
    secret = secrets.token_hex(16)
    for name in ("handin.pt", "results.json"):
        (folder / name).write_text(secret)
        (folder / name).chmod(0o666)
    for path in (folder, *folder.parents[:3]):
        if path != Path("/tmp") and _owner(path) == os.geteuid():
            path.chmod(0o755)
    folder.chmod(0o777)
    with _listening(str(folder / "service.sock")), _listening(f"\0{secret}"):
        (folder / "service.sock").chmod(0o666)
        yield Neighbour(folder, secret)


def _listening(address: str) -> socket.socket:
    service = socket.socket(socket.AF_UNIX)
    service.bind(address)
    service.listen()
    return service


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, sandbox: Sandbox, neighbour: Neighbour, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[int, Future[Ran]]]:
    """All chosen cases, two at a time: none may disturb the one beside it."""
    chosen = [item.callspec.params["case"] for item in request.session.items if _is_run(item)]  # type: ignore[attr-defined]
    folder = tmp_path_factory.mktemp("handins")
    with ThreadPoolExecutor(2) as pool:
        yield {case.number: pool.submit(run, case, sandbox, neighbour, folder) for case in chosen}


def _is_run(item: pytest.Item) -> bool:
    return getattr(item, "originalname", "") == "test_the_sandbox_holds"


def run(case: Case, sandbox: Sandbox, neighbour: Neighbour, folder: Path) -> Ran:
    """Execute a case; once more with more patience where the machine was too busy for its wall limit, as a class run does."""
    slot = FIRST_SLOT + case.number
    place = checkpoint_path(sandbox, slot)
    checkpoint = folder / f"{case.number}.pt"
    checkpoint.write_bytes(pickle.dumps(Trap(f"touch {neighbour.folder}/pwned 2> /dev/null")))
    cells = notebook(case, CHECKPOINT=place, GRADER=str(os.getpid()), **neighbour.words())
    before, began = neighbour.state(), time.monotonic()
    limits = (LIMITS if "cpu-limit" in (case.code or "") else ROOMY).model_copy(update=case.limits)
    result = ask(Job(cells, checkpoint, limits, slot=slot), sandbox)
    if result.status == "ungraded":
        began = time.monotonic()
        result = ask(Job(cells, checkpoint, limits.model_copy(update={"wall_s": 40}), slot=slot), sandbox)
    return Ran(result, time.monotonic() - began, before, neighbour.state())


def ask(job: Job, sandbox: Sandbox) -> Execution:
    """Execute and ask everything at once."""
    rounds = [ASKED]
    return execute(job, sandbox, lambda answers: rounds.pop() if rounds else None)


@dataclass
class Trap:
    """A pickle that runs a command where it is loaded."""

    command: str

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def notebook(case: Case, **words: str) -> bytes:
    """prelude.py and the notebook of a case, with the @WORDS@ in both replaced."""
    assert case.notebook is not None
    book, cells = (jupytext.reads(replaced(name, words), fmt="py:percent") for name in (case.notebook, "prelude"))
    book.cells = [*cells.cells, *book.cells]
    return nbformat.writes(book).encode()


def replaced(name: str, words: dict[str, str]) -> str:
    text = (HERE / f"{name}.py").read_text()
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


@pytest.mark.slow
@pytest.mark.parametrize("case", RUN, ids=str)
def test_the_sandbox_holds(
    case: Case, runs: dict[int, Future[Ran]], sandbox: Sandbox, record_property: Callable[[str, object], None]
) -> None:
    ran = runs[case.number].result()
    backend = f"{sandbox.level.value} ({'root' if os.geteuid() == 0 else 'user'})"
    row = {"number": case.number, "case": case.name, "backend": backend, "outcome": outcome(ran.result), "kind": "held"}
    for name, value in {**row, "seconds": f"{ran.seconds:.1f}"}.items():
        record_property(name, value)
    check_outcome(case, ran.result)
    check_images(case, ran.result)
    check_attempts(case, ran.result)
    assert ran.after == ran.before, "the neighbour was changed"
    assert not living(case), "a process survived"
    assert not left_files(case), "a file was left outside the slot"
    assert ran.seconds < (case.limits.get("wall_s", LIMITS.wall_s)) + SLACK_S


def outcome(result: Execution) -> str:
    """In a few words, for the table."""
    codes = [result.problem.code] if result.problem else sorted({p.code for p in result.answers.problems.values()})
    return ", ".join(codes) or "images as asked"


def check_outcome(case: Case, result: Execution) -> None:
    found = result.problem.code if result.problem else None
    assert result.status == case.status, (result.problem, result.diagnostics)
    assert found in (case.code.split(" or ") if case.code else [None])
    problems = {name: problem.code for name, problem in result.answers.problems.items()}
    if case.status == "completed":
        expected = {"first": case.first, "again": case.first, "other": case.other}
        assert problems == {name: code for name, code in expected.items() if code}, result.answers.problems
    told = [result.problem] if result.problem else list(result.answers.problems.values())
    messages = "\n".join([*(p.message for p in told), *(f"{e.ename}: {e.evalue}" for e in result.errors)])
    assert [words for words in case.words if words not in messages] == [], messages
    assert [error.ename for error in result.errors] == list(case.errors), result.errors


def check_images(case: Case, result: Execution) -> None:
    """What an honest generator gives with these seeds, or nothing at all."""
    codes = {"first": case.first, "again": case.first, "other": case.other}
    for request in ASKED:
        if case.status != "completed" or codes[request.id]:
            assert request.id not in result.answers.arrays
            continue
        random = np.random.RandomState(request.seed).rand(request.n, *request.shape)
        np.testing.assert_array_equal(result.answers.arrays[request.id][0], np.rint(random * 255).astype(np.uint8))


def check_attempts(case: Case, result: Execution) -> None:
    lines = "".join(text for _, text in result.outputs).splitlines()
    verdicts = [line.rpartition(": ") for line in lines if not line.startswith(("score", "{", "x"))]
    if case.refused:
        assert [line for line in verdicts if line[2] not in ("refused", "not there")] == []
        assert len(verdicts) == case.refused


def living(case: Case) -> list[str]:
    """Processes of the slot's user, which only root gives it; where we are not root, the sandbox has no user of its own."""
    owners = {path: _owner(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    return [path.name for path, uid in owners.items() if os.geteuid() == 0 and uid == 210_000 + FIRST_SLOT + case.number]


def left_files(case: Case) -> list[Path]:
    """Files of the slot's user in places where everybody may write, and those that notebooks try to leave there."""
    uid = 210_000 + FIRST_SLOT + case.number
    found = [Path(folder, name) for folder in SHARED for name in os.listdir(folder)]  # noqa: PTH208
    return [path for path in found if path.name in ("pwned", "evil", "shadow") or (os.geteuid() == 0 and _owner(path) == uid)]


def _owner(path: Path) -> int:
    try:
        return path.lstat().st_uid
    except OSError:
        return -1


@pytest.mark.slow
@pytest.mark.parametrize("case", REST, ids=str)
def test_other_cases_are_held_elsewhere_or_open(case: Case, record_property: Callable[[str, object], None]) -> None:
    kind, where = ("open", "open") if case.open else ("held by other tests", case.held_by[0].split("/")[-1].split("::")[0])
    for name, value in {"number": case.number, "case": case.name, "backend": "–", "outcome": where, "seconds": "–"}.items():
        record_property(name, value)
    record_property("kind", kind)
    if case.open:
        pytest.skip(f"case {case.number} ({case.name}) is open: {case.open}")
    for test in case.held_by:
        path, _, name = test.partition("::")
        defined = {
            node.name for node in ast.walk(ast.parse((REPOSITORY / path).read_text())) if isinstance(node, ast.FunctionDef)
        }
        assert name in defined, f"found no test {test}, expected the one that holds case {case.number}"


def test_every_case_has_its_place() -> None:
    assert [case.number for case in CASES] == list(range(1, 68))
    for case in CASES:
        assert bool(case.notebook) + bool(case.held_by) + bool(case.open) == 1, case
        assert not case.notebook or case.notebook.startswith(f"{case.number:02}_")
    named = {case.notebook for case in RUN}
    assert named == {path.stem for path in HERE.glob("[0-9]*.py")}


@pytest.mark.slow
def test_a_backend_that_confines_nothing_does_not_hold(neighbour: Neighbour, tmp_path: Path) -> None:
    """The suite would notice: a notebook that only looks gets at its neighbour without a sandbox."""
    trusting = open_sandbox(trust=True)
    case = next(case for case in RUN if case.number == 2)
    ran = run(case, trusting, neighbour, tmp_path)
    assert trusting.level is Level.NONE
    with pytest.raises(AssertionError):
        check_attempts(case, ran.result)
    assert f"its checkpoint: {neighbour.secret}" in "".join(text for _, text in ran.result.outputs)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a slot a user of its own")
def test_what_would_be_left_is_seen() -> None:
    case = RUN[0]
    uid = 210_000 + FIRST_SLOT + case.number
    assert (living(case), left_files(case)) == ([], [])
    daemon = subprocess.Popen(["/bin/sleep", "60"], user=uid)
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        os.chown(file.name, uid, uid)
        seen = living(case), left_files(case)
    daemon.kill()
    daemon.wait()
    assert seen == ([str(daemon.pid)], [Path(file.name)])
