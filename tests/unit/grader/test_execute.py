"""Executions in the real sandbox, with the hostile notebooks of tests/notebooks/hostile. No notebook here imports torch."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import numpy as np
import pytest

from grader.challenge import Answers, Generate, NextRound, Probe, Round
from grader.errors import CheckpointError, SandboxError
from grader.execute import IN_CHECKPOINT, SHORTAGES, Execution, Job, advice_for, checkpoint_path, execute
from grader.models import Level
from grader.sandbox import Sandbox, open_sandbox
from grader.sandbox.gpu import visible
from grader.spec import Limits
from tests.backends import CANDIDATES, Backend, missing

HOSTILE = Path(__file__).parents[2] / "notebooks" / "hostile"
LIMITS = Limits(cpu_s=20, wall_s=90, memory_mb=700, processes=64, disk_mb=64)
GENERATE = "import numpy as np\ndef generate(n):\n    return np.random.rand(n, 2, 2)"


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    try:
        return open_sandbox()
    except SandboxError as error:
        pytest.skip(f"this machine has no sandbox: {error}")


@pytest.fixture
def trusting() -> Iterator[Sandbox]:
    yield open_sandbox(trust=True)


def notebook(*cells: str | tuple[str, str]) -> bytes:
    """A notebook of code cells; a pair is (source, tag)."""
    made = [(cell, []) if isinstance(cell, str) else (cell[0], [cell[1]]) for cell in cells]
    nodes = [nbformat.v4.new_code_cell(source, metadata={"tags": tags}) for source, tags in made]
    return nbformat.writes(nbformat.v4.new_notebook(cells=nodes)).encode()


def hostile(name: str, **replacements: str) -> bytes:
    """A notebook of tests/notebooks/hostile, with @WORDS@ replaced."""
    text = (HOSTILE / f"{name}.py").read_text()
    for word, value in replacements.items():
        text = text.replace(f"@{word.upper()}@", value)
    return nbformat.writes(jupytext.reads(text, fmt="py:percent")).encode()


def asking(*rounds: Round) -> NextRound:
    """Ask these rounds, whatever is answered."""
    left = list(rounds)
    return lambda answers: left.pop(0) if left else None


def images(n: int, name: str = "images", seed: int = 1) -> Generate:
    return Generate(name, n, seed, (2, 2))


def run(sandbox: Sandbox, cells: bytes, *rounds: Round, limits: Limits = LIMITS, slot: int = 0) -> Execution:
    return execute(Job(cells, None, limits, slot=slot), sandbox, asking(*rounds))


def test_an_honest_notebook_answers_and_says_what_it_cost(sandbox: Sandbox) -> None:
    cells = notebook(("CHECKPOINT = None", "parameters"), "print('hello')\n6 * 7", GENERATE)
    rounds = asking((images(3, "a", seed=1), images(3, "b", seed=2)), (images(3, "c", seed=1),))

    def slowly(answers: Answers) -> Round | None:
        time.sleep(0.3)  # our own time, not the student's
        return rounds(answers)

    began = time.monotonic()
    result = execute(Job(cells, None, LIMITS), sandbox, slowly)
    assert result.usage.wall_s < time.monotonic() - began - 0.85
    assert (result.status, result.problem, result.errors) == ("completed", None, ())
    assert result.outputs == ((1, "hello\n42\n"),)
    arrays = {name: answer[0] for name, answer in result.answers.arrays.items()}
    np.random.seed(1)
    np.testing.assert_array_equal(arrays["a"], np.rint(np.random.rand(3, 2, 2) * 255).astype(np.uint8))
    np.testing.assert_array_equal(arrays["a"], arrays["c"])
    assert (arrays["a"] != arrays["b"]).any()
    assert set(result.usage.phases) == {"startup", "imports", "student"}
    assert sum(result.usage.phases.values()) == pytest.approx(result.usage.cpu_s)
    assert 0 < result.usage.cpu_s < LIMITS.cpu_s
    assert result.usage.peak_memory_mb is not None and 20 < result.usage.peak_memory_mb < LIMITS.memory_mb


def test_errors_name_their_place_and_later_cells_still_run(sandbox: Sandbox) -> None:
    cells = notebook(
        "def f(x):\n    return 1 / x",
        "y = 1\n\nf(0)",
        ("plot()", "optional"),
        "def g(:\n    pass",
        "net.cuda = 1",
        GENERATE,
    )
    result = run(sandbox, cells, (images(1),))
    assert result.status == "completed"
    division, plot, syntax, name = result.errors
    assert (division.cell, division.optional, division.ename, division.evalue) == (
        1,
        False,
        "ZeroDivisionError",
        "division by zero",
    )
    assert division.places == ((1, 3), (0, 2))
    assert 'File "cell[1]", line 3' in division.traceback
    assert (plot.cell, plot.optional) == (2, True)
    assert (syntax.cell, syntax.ename, syntax.places) == (3, "SyntaxError", ((3, 1),))
    assert name.advice is not None and "earlier cell" in name.advice
    assert result.answers.arrays["images"][0].shape == (1, 2, 2)


def test_snooping_finds_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("secret")
    for folder in (tmp_path, *tmp_path.parents[:2]):
        if folder.owner() == canary.owner():
            folder.chmod(0o755)  # permissions must not be what protects it
    repository = Path(__file__).parents[3]
    result = run(sandbox, hostile("snoop", canary=str(canary), repository=str(repository)), (images(2),))
    assert (result.status, result.errors) == ("completed", ())
    text = "".join(text for _, text in result.outputs)
    found = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line and not line.startswith(("score", "{")))
    outside = {"read canary", "read repository", "write beside canary"}
    harmless = {"inherited channels": "[]", "processes seen": "True"}
    assert {name for name, answer in found.items() if answer == "not there"} == outside
    assert {name: found.pop(name) for name in harmless} == harmless
    assert {name for name, answer in found.items() if answer != "refused"} == outside
    assert len(found) == 20
    assert not (tmp_path / "canary.stolen").exists()
    assert "score: 100" in text  # shown, and nothing else
    np.testing.assert_array_equal(result.answers.arrays["images"][0], np.zeros((2, 2, 2), np.uint8))


@pytest.fixture(scope="module")
def bad_answers(sandbox: Sandbox) -> Execution:
    return run(sandbox, hostile("bad_answers"), tuple(images(n, str(n)) for n in range(1, 15)))


@pytest.mark.parametrize(
    ("n", "code", "words"),
    [
        (1, "no-array", "generate(1) returned nothing (None): is there a return?"),
        (2, "wrong-shape", "shape (2, 1, 2, 2); expected (2, 2, 2)"),
        (3, "not-finite", "1 of 12 values that are NaN"),
        (4, "out-of-range", "values from −0.90 to −0.90: this looks like tanh output in [−1, 1]"),
        (5, "wrong-type", "an array of objects"),
        (6, "wrong-shape", "shape (1000000, 1000000); expected (6, 2, 2)"),
        (7, "no-array", "returned a list"),
        (8, "out-of-range", "values from 100.00 to 100.00: this looks like grey levels"),
        (10, "exception", "generate(10) raised IndexError: index 10 is out of bounds"),
        (11, "exception", "StdinNotImplementedError"),
        (12, "wrong-type", "returned type int64"),
        (13, "wrong-shape", "shape (14, 2, 2); expected (13, 2, 2)"),
        (14, "not-finite", "56 of 56 values"),
    ],
)
def test_a_bad_answer_is_a_problem_in_plain_words(bad_answers: Execution, n: int, code: str, words: str) -> None:
    assert bad_answers.status == "completed"
    problem = bad_answers.answers.problems[str(n)]
    assert problem.code == code
    assert words in problem.message
    assert str(n) not in bad_answers.answers.arrays


def test_a_bad_answer_comes_with_advice_and_place(bad_answers: Execution) -> None:
    problems = bad_answers.answers.problems
    assert problems["2"].advice == "drop the channel dimension with .squeeze(1)"
    assert problems["4"].advice == "map it to [0, 1] with (x + 1) / 2"
    assert "input()" in (problems["11"].advice or "")
    assert bad_answers.places["10"][-1][0] == 0
    assert 'File "cell[0]"' in (problems["10"].traceback or "")


def test_an_array_subclass_is_accepted(bad_answers: Execution) -> None:
    np.testing.assert_array_equal(bad_answers.answers.arrays["9"][0], np.full((9, 2, 2), 128, np.uint8))


def test_an_endless_loop_ends_at_the_cpu_limit(sandbox: Sandbox) -> None:
    limits = LIMITS.model_copy(update={"cpu_s": 3})
    result = run(sandbox, hostile("endless_loop"), (images(1),), limits=limits)
    assert (result.status, result.stopped_in) == ("failed", 1)
    assert result.problem is not None
    assert result.problem.code == "cpu-limit"
    assert result.problem.message == "the CPU time of 3 s was used up while a cell was running"
    assert result.usage.cpu_s < 4
    assert result.answers == Answers()


def test_a_sleeping_notebook_ends_at_the_wall_limit(sandbox: Sandbox) -> None:
    for wall_s in (6, 40):  # where other work holds the start up for too long, it is run again, as in a class run
        result = run(sandbox, hostile("sleep"), limits=LIMITS.model_copy(update={"wall_s": wall_s}))
        if result.status != "ungraded":
            break
    assert (result.status, result.stopped_in) == ("failed", 0)
    assert result.problem is not None
    assert result.problem.code == "wall-limit"
    assert f"longer than {wall_s} s without computing" in result.problem.message


def test_a_memory_hog_ends_at_the_memory_limit(sandbox: Sandbox) -> None:
    limits = LIMITS.model_copy(update={"memory_mb": 300})
    result = run(sandbox, hostile("memory_hog"), limits=limits)
    assert result.status == "failed"
    assert result.problem is not None
    assert result.problem.code == "memory-limit"
    assert result.problem.message == "more than the 300 MB of memory were needed while a cell was running"


def test_leaving_in_a_cell_is_a_failure_with_a_reason(sandbox: Sandbox) -> None:
    result = run(sandbox, hostile("exit_in_cell"), (images(1),))
    assert (result.status, result.stopped_in) == ("failed", 1)
    assert result.problem is not None
    assert (result.problem.code, result.problem.message) == (
        "kernel-died",
        "the notebook's process ended while a cell was running",
    )
    assert "os._exit" in (result.problem.advice or "")
    assert result.outputs == ((0, "before\n"),)


def test_leaving_in_generate_loses_that_answer_and_the_later_ones(sandbox: Sandbox) -> None:
    result = run(sandbox, hostile("exit_in_generate"), (images(1, "a"), images(2, "b"), images(3, "c")))
    assert result.status == "completed"
    assert set(result.answers.arrays) == {"a"}
    assert {name: problem.code for name, problem in result.answers.problems.items()} == {"b": "kernel-died", "c": "kernel-died"}
    assert result.answers.problems["b"].message == "the notebook's process ended during generate(2)"


def test_killing_everything_kills_only_the_notebook(sandbox: Sandbox) -> None:
    result = run(sandbox, hostile("kill_everything"), (images(1),))
    assert result.status == "failed"
    assert result.problem is not None
    assert result.problem.code == "kernel-died"
    assert result.outputs == ((0, "the driver is still there\n"),)


def test_a_daemon_is_dead_afterwards(sandbox: Sandbox) -> None:
    mark = f"daemon-{os.getpid()}"
    seen: list[bool] = []

    def next_round(answers: Answers) -> Round | None:
        seen.append(_alive(mark))
        return None if answers.arrays else (images(1),)

    result = execute(Job(hostile("daemon", mark=mark), None, LIMITS), sandbox, next_round)
    assert result.status == "completed"
    assert seen == [True, True]
    assert not _alive(mark)


def _alive(mark: str) -> bool:
    lines = (path / "cmdline" for path in Path("/proc").iterdir() if path.name.isdigit())
    return any(mark.encode() in _content(line) for line in lines)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_flood_of_output_is_cut_and_harmless(sandbox: Sandbox) -> None:
    result = run(sandbox, hostile("flood"), (images(1),))
    assert (result.status, result.errors) == ("completed", ())
    texts = dict(result.outputs)
    assert 10_000 < len(texts[0]) <= 16 << 10
    assert "\x1b" not in texts[1] and "\x07" not in texts[1]


@pytest.mark.slow
def test_a_fork_bomb_is_refused(sandbox: Sandbox) -> None:
    result = run(sandbox, hostile("fork_bomb"))
    assert result.outputs == ((0, "refused after fewer than 64: True, BlockingIOError\n"),)


def test_a_looping_feedback_probe_keeps_earlier_answers(sandbox: Sandbox) -> None:
    endless = Probe("smoke", "def probe():\n    while True: pass", 1, feedback=True)
    limits = LIMITS.model_copy(update={"cpu_s": 4})
    result = run(sandbox, notebook(GENERATE), (images(2),), (endless,), limits=limits)
    assert (result.status, result.problem) == ("completed", None)
    assert result.answers.arrays["images"][0].shape == (2, 2, 2)
    assert result.answers.problems["smoke"].message == "the CPU time of 4 s was used up during the check smoke"


def test_a_feedback_probe_without_memory_keeps_earlier_answers(sandbox: Sandbox) -> None:
    code = "import time\ndef probe():\n    kept = []\n    while True:\n        kept.append(b'x' * 20_000_000)\n        time.sleep(0.02)"
    limits = LIMITS.model_copy(update={"memory_mb": 300})
    result = run(sandbox, notebook(GENERATE), (images(2),), (Probe("smoke", code, 1, feedback=True),), limits=limits)
    assert (result.status, result.problem) == ("completed", None)
    assert result.answers.arrays["images"][0].shape == (2, 2, 2)
    assert result.answers.problems["smoke"].code == "memory-limit"


@pytest.mark.slow
def test_a_looping_probe_that_counts_does_not(sandbox: Sandbox) -> None:
    endless = Probe("unit", "def probe():\n    while True: pass", 1)
    limits = LIMITS.model_copy(update={"cpu_s": 4})
    result = run(sandbox, notebook(GENERATE), (images(2), endless), limits=limits)
    assert (result.status, result.answers) == ("failed", Answers())
    assert result.problem is not None and result.problem.code == "cpu-limit"


def test_probes_return_floats_and_are_capped(sandbox: Sandbox) -> None:
    good = Probe("good", "def probe():\n    return [scale * np.arange(3), 7]", 1)
    large = Probe("large", "def probe():\n    return [np.zeros(1000)]", 1, max_bytes=100)
    broken = Probe("broken", "def probe():\n    return [missing]", 1)
    result = run(sandbox, notebook("import numpy as np\nscale = 2"), (good, large, broken, images(1)))
    first, second = result.answers.arrays["good"]
    np.testing.assert_array_equal(first, np.array([0, 2, 4], np.float32))
    assert (first.dtype, second.shape, float(second)) == (np.float32, (), 7.0)
    assert result.answers.problems["large"].code == "too-much"
    assert result.answers.problems["broken"].message == "the check broken raised NameError: name 'missing' is not defined"
    assert result.answers.problems["images"].code == "missing-generate"


def test_the_checkpoint_is_there_to_read(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "private.pt"
    file.write_bytes(b"weights")
    file.chmod(0o600)  # whoever runs the sandbox may be unable to read the original
    cells = notebook(f"print(open({IN_CHECKPOINT!r}).read())\nopen({IN_CHECKPOINT!r}, 'a')")
    assert checkpoint_path(sandbox) == IN_CHECKPOINT
    result = execute(Job(cells, file, LIMITS), sandbox, asking())
    assert result.outputs == ((0, "weights\n"),)
    assert result.errors[0].ename in ("PermissionError", "OSError")


@pytest.mark.parametrize(
    "make", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo, Path.mkdir], ids=["link", "pipe", "folder"]
)
def test_a_checkpoint_that_is_no_file_is_refused(sandbox: Sandbox, tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "handin.pt")
    with pytest.raises(CheckpointError, match="expected a regular file"):
        execute(Job(notebook("x = 1"), tmp_path / "handin.pt", LIMITS), sandbox, asking())


def test_two_at_once_do_not_disturb_each_other(sandbox: Sandbox) -> None:
    results: dict[int, Execution] = {}

    def one(slot: int) -> None:
        cells = notebook(f"import numpy as np\ndef generate(n):\n    return np.full((n, 2, 2), {slot}, np.uint8)")
        results[slot] = run(sandbox, cells, (images(1),), slot=slot)

    threads = [threading.Thread(target=one, args=(slot,)) for slot in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [int(results[slot].answers.arrays["images"][0].max()) for slot in (1, 2)] == [1, 2]


def test_an_error_on_our_side_kills_the_execution(sandbox: Sandbox) -> None:
    mark = f"orphan-{os.getpid()}"

    def next_round(answers: Answers) -> Round | None:
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        execute(Job(hostile("daemon", mark=mark), None, LIMITS), sandbox, next_round)
    assert not _alive(mark)


def test_without_a_gpu_there_is_no_execution_on_one(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grader.sandbox.gpu.visible", lambda: visible(Path("/nonexistent")))
    with pytest.raises(SandboxError, match="grade with --device cpu"):
        execute(Job(notebook("x = 1"), None, LIMITS, device="cuda"), sandbox, asking())


FULL = "class OutOfMemoryError(RuntimeError): pass\ndef fill(*_): raise OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')"


@pytest.mark.parametrize("where", ["fill()", "generate = fill"], ids=["in a cell", "in generate"])
def test_a_full_gpu_is_the_students_only_where_nobody_else_was_there(sandbox: Sandbox, where: str) -> None:
    cells = notebook(FULL, GENERATE, where)
    beside = execute(Job(cells, None, LIMITS), sandbox, asking((images(1),)))
    assert (beside.status, beside.answers) == ("ungraded", Answers())
    assert beside.problem is not None and beside.problem.code == "gpu-shortage" and beside.problem.code in SHORTAGES
    alone = execute(Job(cells, None, LIMITS, alone=True), sandbox, asking((images(1),)))
    assert (alone.status, alone.problem) == ("completed", None)
    told = [error.advice for error in alone.errors] + [problem.advice for problem in alone.answers.problems.values()]
    assert [advice for advice in told if advice and "smaller batches" in advice] != []


def test_the_trusting_backend_runs_the_same_conversation(trusting: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "handin.pt").write_bytes(b"weights")
    cells = notebook(f"print(open({checkpoint_path(trusting)!r}).read())", GENERATE)
    result = execute(Job(cells, tmp_path / "handin.pt", LIMITS), trusting, asking((images(2),)))
    assert trusting.level is Level.NONE
    assert (result.status, result.outputs) == ("completed", ((0, "weights\n"),))
    assert result.answers.arrays["images"][0].shape == (2, 2, 2)
    assert not Path(checkpoint_path(trusting)).exists()


def vanilla(*replacements: tuple[str, str], checkpoint: str = IN_CHECKPOINT) -> bytes:
    """The solution notebook of lab8_vanilla with the grader's run controls."""
    book = jupytext.read(Path(__file__).parents[3] / "solutions" / "lab8" / "lab8_vanilla.py")
    for cell in book.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source = f"TRAIN, CHECKPOINT, DEVICE, SEED, DATA_DIR = False, {checkpoint!r}, 'cpu', 0, ''"
        for old, new in replacements:
            cell.source = cell.source.replace(old, new)
    return nbformat.writes(book).encode()


@pytest.mark.slow
@pytest.mark.parametrize("backend", CANDIDATES, ids=str)
def test_the_solution_notebook_generates_from_its_weights(backend: Backend, tmp_path: Path) -> None:
    """Two executions: one without a checkpoint gives us the weights of an untrained generator, the other loads them."""
    if reason := missing(backend):
        pytest.skip(f"this machine has no sandbox {backend}: {reason}")
    sandbox = backend.make()
    names = Probe("names", "def probe():\n    return [v.shape for v in Generator().state_dict().values()]", 1)
    first = execute(Job(vanilla(), None, Limits()), sandbox, asking((names,)))
    assert [error.ename for error in first.errors] == ["FileNotFoundError"]
    assert first.answers.arrays["names"][0].tolist() == [100, 128, 7, 7]

    import torch

    shapes = [tuple(int(size) for size in array.tolist()) for array in first.answers.arrays["names"]]
    keys = [f"{layer}.{name}" for layer, name in _generator_keys()]
    torch.manual_seed(0)
    states = {key: torch.rand(shape) * 0.1 if shape else torch.tensor(0) for key, shape in zip(keys, shapes, strict=True)}
    torch.save(states, tmp_path / "handin.pt")

    def digits(name: str, seed: int, **options: Any) -> Generate:
        return Generate(name, 7, seed, (28, 28), **options)

    asked = (digits("a", 1), digits("random", 1, weights="random"), digits("again", 1), digits("other", 2))
    result = execute(Job(vanilla(checkpoint=checkpoint_path(sandbox)), tmp_path / "handin.pt", Limits()), sandbox, asking(asked))
    assert (result.status, result.errors, dict(result.answers.problems)) == ("completed", (), {})
    images = {name: answer[0] for name, answer in result.answers.arrays.items()}
    np.testing.assert_array_equal(images["a"], images["again"])
    assert (images["a"] != images["random"]).any()
    assert (images["a"] != images["other"]).any()


def _generator_keys() -> Iterator[tuple[str, str]]:
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    for layer, names in (
        ("project", ("weight",)),
        ("norm1", norm),
        ("up1", ("weight",)),
        ("norm2", norm),
        ("up2", ("weight", "bias")),
    ):
        for name in names:
            yield layer, name


@pytest.mark.slow
def test_a_hard_cuda_call_is_named(sandbox: Sandbox) -> None:
    hard = ("network = Generator().to(device)", "network = Generator().cuda()")
    result = execute(Job(vanilla(hard), None, Limits()), sandbox, asking())
    assert result.errors[0].advice is not None and "instead of .cuda()" in result.errors[0].advice


@pytest.mark.parametrize(
    ("ename", "evalue", "word"),
    [
        ("AssertionError", "Torch not compiled with CUDA enabled", ".to(device)"),
        ("RuntimeError", "Found no NVIDIA driver on your system.", ".to(device)"),
        ("RuntimeError", "Attempting to deserialize object on a CUDA device but ...", "map_location=device"),
        ("FileNotFoundError", "[Errno 2] No such file: '/content/drive/MyDrive/x.pt'", "CHECKPOINT"),
        ("RuntimeError", 'Error(s) in loading state_dict for G:\n\tMissing key(s) in state_dict: "a"', "another network"),
        ("ModuleNotFoundError", "No module named 'lightning'", "handout"),
    ],
)
def test_frequent_slips_get_advice(ename: str, evalue: str, word: str) -> None:
    assert word in (advice_for(ename, evalue) or "")


def test_other_errors_get_none() -> None:
    assert advice_for("ValueError", "x") is None
