import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.sandbox import meters
from grader.sandbox.meters import CgroupV1, CgroupV2, Meter, ProcessWalk, longest_wait_s, open_meter

MEMORY_MB = 120


@pytest.fixture(params=[ProcessWalk, CgroupV1, CgroupV2])
def meter(request: pytest.FixtureRequest) -> Iterator[Meter]:
    if request.param is ProcessWalk:
        made: Meter = ProcessWalk()
    else:
        try:
            made = request.param(f"gan-grader-test-{os.getpid()}", MEMORY_MB, 30)
        except OSError as error:
            pytest.skip(f"this machine lets us make no such cgroup: {error}")
    yield made
    made.close()


def start(meter: Meter, code: str) -> "subprocess.Popen[bytes]":
    """Python code in a child that joined the meter; says "ready" when the code is about to run."""
    joins = "".join(f"open({file!r}, 'w').write('0')\n" for file in meter.join_files())
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", f"{joins}print('ready', flush=True)\n{code}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    meter.watch(process.pid)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    return process


BURN = "import time\nbegan = time.process_time()\nwhile time.process_time() < began + 0.4: pass\n"
"""Whatever the interpreter's start took, which is not counted: it came before the process joined."""


def test_cpu_time_of_dead_and_living_children_counts(meter: Meter) -> None:
    code = (
        f"import os\nif not os.fork():\n    exec({BURN!r})\n    os._exit(0)\nos.wait()\n{BURN}print('done', flush=True)\ninput()"
    )
    process = start(meter, code)
    assert process.stdout is not None and process.stdout.readline() == b"done\n"
    assert 0.75 < meter.cpu_s() < 1.6
    assert process.pid in meter.pids()
    process.kill()
    process.communicate()
    assert 0.75 < meter.cpu_s() < 1.6


def test_memory_counts(meter: Meter) -> None:
    process = start(meter, "kept = b'x' * 50_000_000\nprint('done', flush=True)\ninput()")
    assert process.stdout is not None and process.stdout.readline() == b"done\n"
    assert 45 < meter.memory_mb() < 90
    assert not meter.counts_everything or not meter.was_near_limit()
    process.kill()
    process.communicate()
    assert 45 < meter.peak_memory_mb() < 90
    assert not meter.out_of_memory()


@pytest.mark.parametrize("waits", [True, False], ids=["waited for", "left as zombies"])
def test_children_shorter_than_a_look_count(meter: Meter, waits: bool) -> None:
    """Ten children that compute for 0.05 s each, one after the other."""
    wait = "os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)" if not waits else "os.waitpid(pid, 0)"
    code = "import os, time\nfor _ in range(10):\n    pid = os.fork()\n    if not pid:\n"
    code += f"        while time.process_time() < 0.05: pass\n        os._exit(0)\n    {wait}\nprint('done', flush=True)\ninput()"
    process = start(meter, code)
    assert process.stdout is not None and process.stdout.readline() == b"done\n"
    assert 0.3 < meter.cpu_s() < 1.2
    process.kill()
    process.communicate()


def test_a_cgroup_enforces_its_memory_limit(meter: Meter) -> None:
    if not meter.counts_everything:
        pytest.skip("a walk over /proc enforces nothing by itself")
    process = start(meter, f"kept = b'x' * {2 * MEMORY_MB << 20}\n")
    process.communicate()
    assert process.returncode == -9
    assert meter.out_of_memory()
    assert meter.was_near_limit()


def test_closing_a_cgroup_kills_its_members(meter: Meter) -> None:
    if not meter.counts_everything:
        pytest.skip("a walk over /proc kills nothing by itself")
    process = start(meter, "import time\ntime.sleep(1000)")
    folders = [Path(file).parent for file in meter.join_files()]
    meter.close()
    process.communicate()
    assert process.returncode == -9
    assert not any(folder.exists() for folder in folders)


def test_there_is_always_a_meter() -> None:
    meter = open_meter(MEMORY_MB, 10)
    assert meter.cpu_s() == 0
    meter.close()


def test_a_sleeping_process_waits_for_no_cpu() -> None:
    process = subprocess.Popen(["sleep", "1000"])
    time.sleep(0.1)
    waited = longest_wait_s((process.pid,))
    process.kill()
    process.wait()
    assert waited is None or waited < 5
    assert longest_wait_s((process.pid,)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user may have no cgroup")
def test_cgroups_of_killed_graders_are_removed() -> None:
    try:
        living, forsaken = (
            CgroupV1(f"gan-grader-{pid}-test", MEMORY_MB, 30) for pid in (os.getpid(), 4_194_304)
        )  # no pid is so high
    except OSError as error:
        pytest.skip(f"this machine lets us make no cgroup of version 1: {error}")
    folders = [[Path(file).parent for file in meter.join_files()] for meter in (living, forsaken)]
    meters._remove_forsaken.cache_clear()
    meters._remove_forsaken()
    assert all(folder.exists() for folder in folders[0])
    assert not any(folder.exists() for folder in folders[1])
    living.close()
