"""The hostile suite: every case of hostile/cases.toml in every sandbox of this machine. `make hostile` prints the table."""

import ast
import contextlib
import os
import pickle
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import jupytext
import nbformat
import numpy as np
import pytest

from grader.challenge import Generate
from grader.execute import Execution, Job, checkpoint_path, execute
from grader.models import Level
from grader.sandbox import Sandbox, launcher, open_sandbox
from grader.sandbox.landlock import SCOPE_ABI, abi
from grader.sandbox.lease import Lease, take
from grader.spec import Limits
from tests.backends import CANDIDATES, ROOT, USER_ID, Backend, missing

HERE = Path(__file__).parent / "hostile"
REPOSITORY = Path(__file__).parents[2]
PACK = "evaluator/packs/mnist/weights.safetensors"
LIMITS = Limits(cpu_s=6, wall_s=60, memory_mb=300, processes=64, disk_mb=64)
ROOMY = LIMITS.model_copy(update={"cpu_s": 20})
"""For what is not about CPU time: on a busy machine the start of a kernel takes several seconds."""
ASKED = (Generate("first", 3, 1, (2, 2)), Generate("again", 3, 1, (2, 2)), Generate("other", 4, 2, (2, 2)))
SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/run")
SLACK_S = 20.0
ORDINARY_USER = 61_180


@dataclass(frozen=True)
class Case:
    """See the head of hostile/cases.toml."""

    number: int
    name: str
    notebook: str | None = None
    refused: int = 0
    status: Literal["completed", "failed", "ungraded"] = "completed"
    code: str | None = None
    first: str | None = None
    other: str | None = None
    errors: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    limits: dict[str, float] = field(default_factory=dict)
    held_by: tuple[str, ...] = ()
    partly: str | None = None
    open: str | None = None
    differs: tuple[dict[str, Any], ...] = ()
    gaps: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.number}-{self.name}".replace(" ", "_").replace("/", "_")

    def on(self, backend: Backend) -> "Case":
        """The case as it is to end on that backend, on this machine."""
        old = ("old Landlock", f"{backend.name} on old Landlock") if abi() < SCOPE_ABI else ()
        places = {backend.name, *old}
        case = self
        for difference in self.differs:
            if places & set(difference["where"]):
                case = replace(case, **{name: value for name, value in difference.items() if name not in ("where", "reason")})
        return case


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
    """What became of a case. before, after: state of the neighbour. left: processes and files that outlived it."""

    result: Execution
    seconds: float
    before: dict[str, bytes]
    after: dict[str, bytes]
    left: list[str]


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Neighbour]]:
    """One that everybody may change, since permissions must not be what protects it; and, behind True, one that permissions do protect,
    for the backend that has nothing else."""
    with contextlib.ExitStack() as stack:
        yield {private: stack.enter_context(_neighbour(tmp_path_factory, private)) for private in (False, True)}


@contextlib.contextmanager
def _neighbour(places: pytest.TempPathFactory, private: bool) -> Iterator[Neighbour]:
    folder = places.mktemp("neighbour")
    secret = secrets.token_hex(16)
    for name in ("handin.pt", "results.json"):
        (folder / name).write_text(secret)
        (folder / name).chmod(0o600 if private else 0o666)
    for path in (folder, *folder.parents[:3]):
        if path != Path("/tmp") and _owner(path) == os.geteuid():
            path.chmod(0o755)
    folder.chmod(0o700 if private else 0o777)
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
    request: pytest.FixtureRequest, neighbours: dict[bool, Neighbour], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, int], Future[Ran]]]:
    """All chosen cases, two at a time: none may disturb the one beside it."""
    chosen = [item.callspec.params for item in request.session.items if _is_run(item)]  # type: ignore[attr-defined]
    backends = {params["backend"]: params["backend"].make() for params in chosen if not missing(params["backend"])}
    folder = tmp_path_factory.mktemp("handins")
    with ThreadPoolExecutor(2) as pool:
        yield {
            (backend.name, case.number): pool.submit(run, case.on(backend), sandbox, neighbours[backend is USER_ID], folder)
            for backend, sandbox in backends.items()
            for case in (params["case"] for params in chosen if params["backend"] is backend)
        }


def _is_run(item: pytest.Item) -> bool:
    return getattr(item, "originalname", "") == "test_the_sandbox_holds"


def run(case: Case, sandbox: Sandbox, neighbour: Neighbour, folder: Path) -> Ran:
    """Execute a case; once more with more patience where the machine was too busy for its wall limit, as a class run does."""
    slot = case.number
    place = Path(checkpoint_path(sandbox, slot))
    checkpoint = folder / f"{case.number}.pt"
    checkpoint.write_bytes(pickle.dumps(Trap(f"exec 2> /dev/null; echo > {neighbour.folder}/pwned")))
    places = {"CHECKPOINT": str(place), "FOLDER": str(place.parent), "HOME": str(place.parent.with_name("tmp"))}
    cells = notebook(case, **places, GRADER=str(os.getpid()), **neighbour.words())
    before, began = neighbour.state(), time.monotonic()
    limits = (LIMITS if "cpu-limit" in (case.code or "") else ROOMY).model_copy(update=case.limits)
    result = ask(Job(cells, checkpoint, limits, slot=slot), sandbox)
    if result.status == "ungraded":
        began = time.monotonic()
        result = ask(Job(cells, checkpoint, limits.model_copy(update={"wall_s": 40}), slot=slot), sandbox)
    return Ran(result, time.monotonic() - began, before, neighbour.state(), _left(sandbox, slot))


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
@pytest.mark.parametrize("backend", CANDIDATES, ids=str)
@pytest.mark.parametrize("case", RUN, ids=str)
def test_the_sandbox_holds(
    case: Case, backend: Backend, runs: dict[tuple[str, int], Future[Ran]], record_property: Callable[[str, object], None]
) -> None:
    if (backend.name, case.number) not in runs:
        pytest.skip(f"this machine has no sandbox {backend}: {missing(backend)}")
    case = case.on(backend)
    ran = runs[backend.name, case.number].result()
    found = outcome(ran.result) + (f"; open: {', '.join(case.gaps)}" if case.gaps else "")
    kind = "held in part" if case.gaps else "held"
    row = {"number": case.number, "case": case.name, "backend": backend.who, "outcome": found, "kind": kind}
    for name, value in {**row, "seconds": f"{ran.seconds:.1f}"}.items():
        record_property(name, value)
    check_outcome(case, ran.result)
    check_images(case, ran.result)
    check_attempts(case, ran.result)
    assert ran.after == ran.before, "the neighbour was changed"
    assert ran.left == []
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
    if case.refused or case.gaps:
        worked = {name for name, _, got in verdicts if got not in ("refused", "not there")}
        assert worked - set(case.perhaps) == set(case.gaps), verdicts
        assert len(verdicts) == case.refused


def _left(sandbox: Sandbox, slot: int) -> list[str]:
    """What outlived an execution in that slot."""
    lease = sandbox.leases.of(slot)  # type: ignore[attr-defined]
    return [*living(lease), *left_files(lease.uid)]


def living(lease: Lease) -> list[str]:
    """Processes of the slot's user, which only root gives it; else those that work in the slot's folder."""
    processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    if lease.uid is not None:
        return [f"process {path.name}" for path in processes if _owner(path) == lease.uid]
    return [f"process {path.name}" for path in processes if _cwd(path).startswith(f"{lease.folder}/")]


def _cwd(process: Path) -> str:
    try:
        return str((process / "cwd").readlink())
    except OSError:
        return ""


def left_files(uid: int | None) -> list[str]:
    """Files of the slot's user in places where everybody may write, and those that notebooks try to leave there."""
    found = [Path(folder, name) for folder in SHARED for name in os.listdir(folder)]  # noqa: PTH208
    named = [path for path in found if path.name in ("pwned", "evil", "shadow")]
    return [str(path) for path in (*named, *(path for path in found if uid is not None and _owner(path) == uid))]


def _owner(path: Path) -> int:
    try:
        return path.lstat().st_uid
    except OSError:
        return -1


@pytest.mark.slow
@pytest.mark.parametrize("case", REST, ids=str)
def test_other_cases_are_held_elsewhere_or_open(case: Case, record_property: Callable[[str, object], None]) -> None:
    kind = "open" if case.open else "held in part" if case.partly else "held by other tests"
    where = "open" if case.open else ", ".join(dict.fromkeys(test.split("/")[-1].split("::")[0] for test in case.held_by))
    where += f"; not: {case.partly}" if case.partly else ""
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
def test_a_backend_that_confines_nothing_does_not_hold(neighbours: dict[bool, Neighbour], tmp_path: Path) -> None:
    """The suite would notice: a notebook that only looks gets at its neighbour without a sandbox."""
    trusting = open_sandbox(trust=True)
    case = next(case for case in RUN if case.number == 2)
    ran = run(case, trusting, neighbours[False], tmp_path)
    assert trusting.level is Level.NONE
    with pytest.raises(AssertionError):
        check_attempts(case, ran.result)
    assert f"its checkpoint: {neighbours[False].secret}" in "".join(text for _, text in ran.result.outputs)


@pytest.mark.slow
@pytest.mark.skipif(not ROOT, reason="it is the suite of an ordinary user that runs")
def test_the_sandboxes_of_an_ordinary_user_hold(tmp_path: Path, record_rows: Callable[[dict[str, str]], None]) -> None:
    """The suite once more as somebody else, who can still read the repository and Python."""
    home, report = tmp_path / "home", tmp_path / "home" / "report.xml"
    home.mkdir()
    os.chown(home, ORDINARY_USER, ORDINARY_USER)
    for path in tmp_path.parents[:3]:
        if path != Path("/tmp") and path.stat().st_uid == 0:
            path.chmod(0o755)
    places = [part for place in (sys.base_prefix, sys.prefix, REPOSITORY, home) for part in ("--reveal", str(place))]
    pytest_ = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "slow or not slow", "-o", "junit_family=xunit1"]
    command = [
        sys.executable,
        "-I",
        "-S",
        launcher.__file__,
        str(os.getpid()),
        *places,
        "--uid",
        str(ORDINARY_USER),
        "--",
        *pytest_,
    ]
    done = subprocess.run(
        [
            *command,
            f"--basetemp={home}/tests",
            f"--junitxml={report}",
            f"{Path(__file__).relative_to(REPOSITORY)}::test_the_sandbox_holds",
        ],
        env={"HOME": str(home), "USER": "student", "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=900,
    )
    rows = list(_reported(report)) if report.exists() else []
    for row in rows:
        record_rows(row)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert len(rows) >= len(RUN)


def _reported(report: Path) -> Iterator[dict[str, str]]:
    """The rows of the table in a report of pytest's."""
    for test in ElementTree.parse(report).iter("testcase"):
        row = {found.attrib["name"]: found.attrib["value"] for found in test.iter("property")}
        if row:
            yield row if test.find("failure") is None else {**row, "kind": "NOT HELD"}


@pytest.mark.skipif(not ROOT, reason="only root gives a slot a user of its own")
def test_what_would_be_left_is_seen() -> None:
    lease = take()
    try:
        assert (living(lease), left_files(lease.uid)) == ([], [])
        daemon = subprocess.Popen(["/bin/sleep", "60"], user=lease.uid)
        with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
            os.chown(file.name, lease.uid or 0, lease.uid or 0)
            seen = living(lease), left_files(lease.uid)
        daemon.kill()
        daemon.wait()
    finally:
        lease.release()
    assert seen == ([f"process {daemon.pid}"], [file.name])
