"""What forks of one process have in common, and what becomes of them when that process, the grader or a supervisor dies."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grader.errors import SandboxError
from grader.execute import Job, execute
from grader.sandbox import Launch, Outcome, backends, zygote
from grader.sandbox.base import Running
from grader.sandbox.bubblewrap import BubblewrapSandbox, find_bwrap
from grader.sandbox.meters import ProcessWalk
from grader.sandbox.zygote import ZygoteSandbox
from grader.spec import Limits
from tests.backends import ZYGOTE, missing

LIMITS = Limits(cpu_s=20, wall_s=60, memory_mb=400, processes=16, disk_mb=8)
REPOSITORY = Path(__file__).parents[4]

SAY = """
import json, os, sys
channel = int(sys.argv[1])
def say(value):
    os.write(channel, json.dumps(value).encode() + b"\\n")
"""
WAIT = "os.read(channel, 1)\n"
SEARCH = """
def search(words):
    "How often words, told backwards, lie in the memory of this process, but for its code, which is files."
    wanted = [bytes(reversed(word)) for word in words]
    counts = [0] * len(words)
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps.read().splitlines():
            span, rights = line.split()[:2]
            begin, end = (int(address, 16) for address in span.split("-"))
            while rights.startswith("rw") and begin < end:
                memory.seek(begin)
                data = memory.read(min(end - begin, 8 << 20))
                counts = [count + data.count(word) for count, word in zip(counts, wanted)]
                begin += len(data)
                del data
    return counts
"""
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


@pytest.fixture(scope="module")
def sandbox() -> ZygoteSandbox:
    if reason := missing(ZYGOTE):
        pytest.skip(f"this machine has no sandbox {ZYGOTE}: {reason}")
    return ZygoteSandbox(BubblewrapSandbox(find_bwrap()))


def start(
    sandbox: ZygoteSandbox | BubblewrapSandbox, code: str, slot: int = 0, *, packages: bool = False, **files: bytes
) -> Running:
    script = SAY + code
    return sandbox.start(Launch("script.py", {"script.py": script.encode(), **files}, LIMITS, slot=slot, packages=packages))


def said(running: Running) -> Any:
    """The next thing that it says."""
    running.channel.settimeout(60)
    line = b""
    while not line.endswith(b"\n"):
        part = running.channel.recv(1 << 16)
        if not part:
            raise AssertionError(running.finish().diagnostics)
        line += part
    return json.loads(line)


def ask(sandbox: ZygoteSandbox | BubblewrapSandbox, code: str, slot: int = 0, **options: Any) -> Any:
    """What a script says before it ends well."""
    running = start(sandbox, code, slot, **options)
    answer, outcome = said(running), running.finish(10)
    assert (outcome.verdict, outcome.exit_status) == ("exited", 0), outcome
    return answer


@contextlib.contextmanager
def beside(sandbox: ZygoteSandbox, code: str, slot: int, **options: Any) -> Iterator[Any]:
    """What a script says that goes on running meanwhile."""
    running = start(sandbox, code + WAIT, slot, **options)
    try:
        yield said(running)
    finally:
        running.channel.send(b"x")
        assert running.finish(10).exit_status == 0


def inner(sandbox: ZygoteSandbox) -> int:
    """The process id of the zygote itself; there is nothing else that bwrap started."""
    process = sandbox._living()._end.peek()[2][0]  # type: ignore[index]
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())


def test_it_is_the_first_choice_where_it_can_be_had(sandbox: ZygoteSandbox) -> None:
    _, make = next(backends())
    assert isinstance(make(), ZygoteSandbox)


def test_where_memory_cannot_be_told_apart_bubblewrap_does_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What forks share would count for each of them: a watchdog that adds it up would end honest submissions."""
    monkeypatch.setattr(zygote, "open_meter", lambda *_: ProcessWalk())
    with pytest.raises(SandboxError, match="found no cgroup"):
        ZygoteSandbox(BubblewrapSandbox(find_bwrap()))
    assert isinstance(next(backends())[1](), BubblewrapSandbox)


def test_the_packages_are_there_and_were_imported_before(sandbox: ZygoteSandbox) -> None:
    code = "before = 'torch' in sys.modules\nimport torch\nsay([before, float(torch.ones(3).sum()), sys.prefix])"
    assert ask(sandbox, code, packages=True) == [True, 3.0, ask(sandbox._plain, "say(sys.prefix)")]


VIEW = """
import resource, socket
def rows(file, words):
    return [line for line in open(file).read().splitlines() if line.startswith(words)]
places = ("/", "/dev", "/in", "/tmp", "/dev/pts", "/dev/shm", "/etc")
say({
    "rights": rows("/proc/self/status", ("Cap", "NoNew", "Seccomp", "Uid", "Gid", "Groups", "NSpid", "SigBlk", "SigIgn", "Threads")),
    "mounts": sorted({(mount.split()[1], mount.split()[2], mount.split()[3].split(",")[0]) for mount in open("/proc/self/mounts")}),
    "limits": [(name, resource.getrlimit(getattr(resource, name))) for name in dir(resource) if name.startswith("RLIMIT_")],
    "files": [(place, sorted(os.listdir(place)), os.stat(place).st_mode) for place in places],
    "environment": sorted((name, value) for name, value in os.environ.items() if name != "PWD"),
    "descriptors": len(os.listdir("/proc/self/fd")),
    "flags": [str(sys.flags), sys.path, sys.executable, sys.argv[2:], os.readlink("/proc/self/exe")],
    "rest": [socket.gethostname(), os.getcwd(), os.getsid(0), os.getppid(), os.umask(0), open("/proc/self/cgroup").read()],
})
"""


def test_a_fork_is_confined_as_what_bubblewrap_starts(sandbox: ZygoteSandbox) -> None:
    """Rights, mounts, limits, environment, descriptors; where they differ, the fork has less."""
    fork, plain = ask(sandbox, VIEW), ask(sandbox._plain, VIEW)
    ours = {tuple(mount) for mount in fork.pop("mounts")} - {tuple(mount) for mount in plain.pop("mounts")}
    assert {kind for _, _, kind in ours} == {"ro"}
    assert {place for place, _, _ in ours} == {"/in", "/in/enter.py", "/in/zygote.py", "/proc/bus", "/proc/irq", "/proc/sys"}
    assert set(fork.pop("rights")) ^ set(plain.pop("rights")) == set()
    assert fork == plain


def test_every_fork_has_namespaces_of_its_own(sandbox: ZygoteSandbox) -> None:
    code = f"say({{name: os.readlink(f'/proc/self/ns/{{name}}') for name in {NAMESPACES}}})\n"
    process = inner(sandbox)
    theirs = {name: os.readlink(f"/proc/{process}/ns/{name}") for name in NAMESPACES}  # noqa: PTH115
    with beside(sandbox, code, 1) as first:
        second = ask(sandbox, code, 2)
    for name in NAMESPACES:
        assert len({first[name], second[name], theirs[name]}) == 3, name


def test_no_fork_can_make_another_user_namespace_even_without_the_filter(sandbox: ZygoteSandbox) -> None:
    assert ask(sandbox, "say(open('/proc/sys/user/max_user_namespaces').read().strip())") == "0"


def test_what_one_fork_leaves_or_holds_another_does_not_find(sandbox: ZygoteSandbox) -> None:
    look = "say([sorted(os.listdir(place)) for place in ('/tmp', '/dev/shm', '/dev/pts', '/in')])\n"
    make = "import pty\nfor place in ('/tmp/a', '/dev/shm/a'):\n    open(place, 'w').write('x')\npair = pty.openpty()\n"
    with beside(sandbox, make + look, 1) as found:
        assert found == [["a"], ["a"], ["0", "ptmx"], ["script.py"]]
        assert ask(sandbox, look, 2) == [[], [], ["ptmx"], ["script.py"]]
    assert ask(sandbox, look, 1) == [[], [], ["ptmx"], ["script.py"]]


def test_a_fork_sees_no_process_but_its_own(sandbox: ZygoteSandbox) -> None:
    with beside(sandbox, "say(1)\n", 1):
        code = f"reached = []\nfor pid in (2, 3, 4, {os.getpid()}, {inner(sandbox)}):\n    try:\n        os.kill(pid, 0)\n"
        code += "        reached.append(pid)\n    except OSError:\n        pass\n"
        code += "say([[name for name in os.listdir('/proc') if name.isdigit()], reached])"
        assert ask(sandbox, code, 2) == [["1"], []]


def test_memory_holds_nothing_of_the_grader_or_of_others(sandbox: ZygoteSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets of ours that are in our memory and environment, and what others handed in, before and meanwhile."""
    nobodys, own, ours, environment, earlier, meanwhile = words = [secrets.token_hex(16).encode() for _ in range(6)]
    monkeypatch.setenv("COURSE_SECRET", environment.decode())
    fresh = ZygoteSandbox(sandbox._plain)
    kept = "import hashlib\nheld = open('/in/notebook').read() * 2\nsay(len(held))\n"
    ask(fresh, kept, 1, notebook=earlier, packages=True)
    backwards = [word[::-1] for word in words]
    with beside(fresh, kept, 2, notebook=meanwhile, packages=True):
        code = f"{SEARCH}held = open('/in/notebook', 'rb').read()\nsay(search({backwards}))"
        counts = dict(zip(words, ask(fresh, code, 1, notebook=own, packages=True), strict=True))
    assert counts[own] > counts[nobodys], "the search finds nothing"
    assert {counts[word] for word in (ours, environment, earlier, meanwhile)} == {counts[nobodys]}, (
        "that of the word it looks for"
    )


def test_the_zygote_itself_holds_nothing_of_ours_and_has_one_thread(
    sandbox: ZygoteSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_SECRET", "hunter2-hunter2")
    fresh = ZygoteSandbox(sandbox._plain)
    secret = secrets.token_hex(16)
    ask(fresh, "say(open('/in/notebook').read())", notebook=secret.encode(), packages=True)
    process = Path(f"/proc/{inner(fresh)}")
    assert "hunter2" not in (process / "environ").read_text()
    assert len(list((process / "task").iterdir())) == 1
    assert sorted(path.name for path in (process / "root").iterdir()) == sorted(ask(sandbox._plain, "say(os.listdir('/'))"))
    assert not any(secret.encode() in part for part in _memory(process))
    links = [os.readlink(link) for link in (process / "fd").iterdir()]  # noqa: PTH115
    assert [link for link in links if not link.startswith("socket:")] == ["/dev/null", "/dev/null"]
    assert len(links) == 4, "stdin, stdout, stderr and the control socket"


def _memory(process: Path) -> Iterator[bytes]:
    """What a process may write to: its code and its libraries are files."""
    with (process / "mem").open("rb", 0) as memory:
        for line in (process / "maps").read_text().splitlines():
            span, rights = line.split()[:2]
            begin, end = (int(address, 16) for address in span.split("-"))
            if rights.startswith("rw"):
                memory.seek(begin)
                yield memory.read(end - begin)


def test_randomness_is_not_shared(sandbox: ZygoteSandbox) -> None:
    code = "import random, uuid, tempfile, numpy, multiprocessing\n"
    code += "say([random.random(), uuid.uuid4().hex, tempfile.mkdtemp(), float(numpy.random.rand()), "
    code += "multiprocessing.current_process().authkey.hex()])"
    first, second = (ask(sandbox, code, packages=True) for _ in range(2))
    assert [a for a, b in zip(first, second, strict=True) if a == b] == []


def test_a_zygote_that_died_is_replaced_and_takes_its_forks_along(sandbox: ZygoteSandbox) -> None:
    fresh = ZygoteSandbox(sandbox._plain)
    running = start(fresh, "import time\nsay(1)\ntime.sleep(60)")
    assert said(running) == 1
    os.kill(inner(fresh), signal.SIGKILL)
    outcome = running.finish(20)
    assert (outcome.verdict, outcome.exit_status) == ("killed", -signal.SIGKILL)
    assert ask(fresh, "say(2)") == 2


def test_a_zygote_that_does_not_answer_is_replaced(sandbox: ZygoteSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = ZygoteSandbox(sandbox._plain)
    assert ask(fresh, "say(1)") == 1
    monkeypatch.setattr(zygote, "_PATIENCE_S", 1.0)
    stuck = inner(fresh)
    os.kill(stuck, signal.SIGSTOP)
    assert ask(fresh, "say(2)") == 2
    assert not Path(f"/proc/{stuck}").exists()


def test_one_that_cannot_be_replaced_is_our_fault(sandbox: ZygoteSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ZygoteSandbox(sandbox._plain)
    monkeypatch.setattr(zygote, "TRUSTED", ("--no-such-option",))
    with pytest.raises(SandboxError, match=r"does not answer \(bwrap: Unknown option --no-such-option\)"):
        start(broken, "")


def test_the_verdict_is_that_of_the_script(sandbox: ZygoteSandbox) -> None:
    def ended(code: str) -> Outcome:
        return start(sandbox, code).finish(20)

    assert ended("sys.exit(3)").exit_status == 3
    assert ended("os.kill(1, 9)").exit_status == 0, "process 1 is not killed from inside"
    assert "ZeroDivisionError" in (outcome := ended("1 / 0")).diagnostics
    assert outcome.exit_status == 1
    running = start(sandbox, "import time\nsay(1)\ntime.sleep(60)")
    assert said(running) == 1
    assert running.finish().verdict == "killed"


def test_a_grader_that_is_killed_leaves_nothing(sandbox: ZygoteSandbox) -> None:
    code = f"""
import time
from tests.unit.grader.sandbox.test_zygote import *
sandbox = ZygoteSandbox(BubblewrapSandbox(find_bwrap()))
running = start(sandbox, "import time\\nsay(1)\\ntime.sleep(600)", {0})
said(running)
print(inner(sandbox), sandbox.leases.of(0).uid, flush=True)
time.sleep(600)
"""
    command = [sys.executable, "-c", code]
    grader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert grader.stdout is not None
    process, uid = map(int, grader.stdout.readline().split())
    assert Path(f"/proc/{process}").exists()
    assert _of_user(uid)
    grader.kill()
    grader.wait()
    end = time.monotonic() + 20
    while time.monotonic() < end and (Path(f"/proc/{process}").exists() or _of_user(uid)):
        time.sleep(0.05)
    assert not Path(f"/proc/{process}").exists()
    assert not _of_user(uid)


def _of_user(uid: int) -> list[str]:
    found = []
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            found += [path.name] if path.name.isdigit() and path.stat().st_uid == uid else []
    return found


CELLS = (
    "import matplotlib, matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
    "plt.figure()\nplt.plot([2, 1])\nprint(matplotlib.get_backend(), plt.get_fignums())",
    "print(plt.get_fignums())",  # figures are shown and closed at the end of their cell
    "import os, sys\nprint(os.getppid(), os.getcwd(), sys.argv[0], sys.flags.isolated, os.environ['HOME'])",
)


def test_a_notebook_does_not_see_that_its_packages_were_imported_before(sandbox: ZygoteSandbox) -> None:
    """Plots above all: pyplot looks for its kernel when it is imported."""
    cells = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for i, source in enumerate(CELLS)
    ]
    job = Job(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode(), None, Limits())
    fork, plain = (execute(job, one, lambda answers: None) for one in (sandbox, sandbox._plain))
    assert (fork.status, fork.errors) == (plain.status, plain.errors) == ("completed", ())
    shown = [[(cell, text.rpartition("(null)\n")[2]) for cell, text in result.outputs] for result in (fork, plain)]
    assert shown[0] == shown[1]  # but for what fontconfig says where the list of fonts is made
    assert "<Figure" in shown[0][1][1]


def test_a_message_has_no_word_of_the_submission(sandbox: ZygoteSandbox) -> None:
    """The zygote keeps what it received last, until it receives more."""
    launch = Launch("script.py", {"script.py": b"private", "handin.pt": b"private"}, LIMITS)
    assert b"private" not in sandbox._message(launch, {})
