"""Faults of the machine and of ours: kills at 50 random moments, disks that are full or read-only, damage, clocks that jump.

Whatever happens, the next run ends with the gradebook of an undisturbed one, and nobody gets a 0 for it.
"""

import contextlib
import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from faults import UNTOUCHED, Commands, gradebook, make_class, results

from evaluator.pack import PUBLIC
from grader.sandbox.zygote import obstacle
from grader.soundness import damage

pytestmark = pytest.mark.slow

KILLS_OF_RUNS, KILLS_OF_SHORT_RUNS, KILLS_OF_SANDBOXES, KILLS_OF_WRITERS = 8, 16, 8, 18
"""50 in all."""
SOME = ("ada", "bob", "dan", "eve")
"""Two of them run in the sandbox."""


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return Commands(tmp_path_factory.mktemp("temporary"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, commands: Commands) -> Callable[[Sequence[str]], "Undisturbed"]:
    """A class that was graded without any fault, for each set of students once."""
    made: dict[tuple[str, ...], Undisturbed] = {}

    def graded(students: Sequence[str]) -> Undisturbed:
        students = tuple(students)
        if students not in made:
            fresh = make_class(tmp_path_factory.mktemp("fresh") / "toy", students)
            done = Path(shutil.copytree(fresh, tmp_path_factory.mktemp("done") / "toy"))
            began = time.monotonic()
            status, text = commands.run("run", done, log=done / "log")
            assert status == 0, text
            made[students] = Undisturbed(fresh, gradebook(done), results(done), time.monotonic() - began)
        return made[students]

    return graded


class Undisturbed:
    """fresh: the lab folder before it was graded, with the secret that all copies share; and what grading it comes to."""

    def __init__(self, fresh: Path, book: bytes, found: dict[str, Any], seconds: float) -> None:
        self.fresh, self.gradebook, self.results, self.seconds = fresh, book, found, seconds

    def copy(self, to: Path) -> Path:
        return Path(shutil.copytree(self.fresh, to, dirs_exist_ok=True))

    def expect(self, lab: Path) -> None:
        """The class of `lab` came to the same, and no settled result was worked out twice."""
        assert gradebook(lab) == self.gradebook
        assert results(lab) == self.results
        assert damage(lab / "grades.db") is None
        twice = {name: n for name, n in settled(lab).items() if n != 1}
        assert not twice
        assert {path.name for path in (lab / "results").iterdir()} == {*self.results, "index.html", "gradebook.csv"}
        for student in self.results:
            assert {path.name for path in (lab / "results" / student).iterdir()} == {"report.html", "report.json", "results.json"}


Made = Callable[[Sequence[str]], Undisturbed]


def reading(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True)


def settled(lab: Path) -> Counter[str]:
    """How often each student got a result that needs no other."""
    with contextlib.suppress(sqlite3.OperationalError), closing(reading(lab / "grades.db")) as connection:
        return Counter(name for (name,) in connection.execute("SELECT student FROM results WHERE status != 'ungraded'"))
    return Counter()  # killed before there was a table


def statuses(lab: Path) -> set[str]:
    """Every status that was ever stored."""
    with closing(reading(lab / "grades.db")) as connection:
        return {status for (status,) in connection.execute("SELECT DISTINCT status FROM results")}


def killed_at(process: BaseProcess, seconds: float) -> bool:
    """SIGKILL after that time; False where the process had ended by itself."""
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def interrupted(commands: Commands, whole: Undisturbed, folder: Path, draw: random.Random, kills: int, *options: str) -> str:
    """Run class after class, killed and resumed until each is finished; says how far the killed runs had come."""
    left: list[int] = []
    for number in itertools.count():
        lab = whole.copy(folder / str(number) / "toy")
        while len(left) < kills and killed_at(
            commands.start("run", lab, *options, log=lab / "log"), draw.uniform(0.01, whole.seconds)
        ):
            left.append(stored(lab))
        status, text = commands.run("run", lab, log=lab / "log")
        assert status == 0, text
        whole.expect(lab)
        if len(left) == kills:
            return f"{kills} kills in {number + 1} classes, with so many results stored: {left}"
    raise AssertionError


def stored(lab: Path) -> int:
    return sum(settled(lab).values())


def test_runs_that_are_killed_at_random_moments_end_in_the_same_gradebook(
    commands: Commands, undisturbed: Made, tmp_path: Path
) -> None:
    """Most moments lie in the sandbox and in the measurement."""
    whole = undisturbed(SOME)
    assert {name: result["score"] for name, result in whole.results.items()} == {"ada": 10, "bob": 0, "dan": 0, "eve": 0}
    print(interrupted(commands, whole, tmp_path, random.Random(1), KILLS_OF_RUNS))
    assert not list(commands.temporary.glob("grader-*"))


def test_runs_that_are_killed_among_their_writes_end_in_the_same_gradebook(
    commands: Commands, undisturbed: Made, tmp_path: Path
) -> None:
    """Nothing runs in the sandbox: most moments lie between the check, backups, results and reports."""
    print(interrupted(commands, undisturbed(UNTOUCHED), tmp_path, random.Random(2), KILLS_OF_SHORT_RUNS))


PROCESSES = (
    (b"bwrap", b"zygote.py", b"zygote.py", b"zygote.py")
    if obstacle() is None
    else (b"/in/driver.py", b"/in/driver.py", b"/in/driver.py", b"/in/kernel.py")
)
"""Of an execution, each the parent of the next: bubblewrap, the process that others are forked from, the execution's supervisor, and the
first process inside; without forks the launcher, bubblewrap, the first process inside, and the notebook's."""


def sandbox_of(process: BaseProcess) -> list[int]:
    """As many of PROCESSES as have started."""
    found, parent = [], process.pid
    for name in PROCESSES:
        parent = next((pid for pid in children_of(parent) if name in command_of(pid)), None)
        if parent is None:
            break
        found.append(parent)
    return found


def children_of(pid: int | None) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_sandbox_that_is_killed_costs_nobody_points(commands: Commands, undisturbed: Made, tmp_path: Path) -> None:
    """Not by the student and not by us: as by the system, or by an administrator."""
    whole, draw = undisturbed(("ada",)), random.Random(3)
    lab, killed, runs = whole.copy(tmp_path / "toy"), Counter[int](), itertools.count()
    while killed.total() < KILLS_OF_SANDBOXES:
        which, log = killed.total() % len(PROCESSES), tmp_path / f"log{next(runs)}"
        process = commands.start("run", lab, "--force", log=log)
        while process.is_alive() and not (log.exists() and "to grade" in log.read_text() and len(sandbox_of(process)) > which):
            time.sleep(0.01)  # after the self-test, whose processes look alike where there are forks
        process.join(draw.uniform(0, 1))
        with contextlib.suppress(ProcessLookupError, IndexError):  # it had ended
            os.kill(sandbox_of(process)[which], signal.SIGKILL)
            killed[which] += 1
        process.join(60)
        assert process.exitcode in (0, 1)
    print(f"kills by process, see PROCESSES: {dict(killed)}")
    assert "failed" not in statuses(lab)
    assert commands.run("run", lab, log=lab / "log")[0] == 0
    assert gradebook(lab) == whole.gradebook
    assert without_advice(results(lab)) == without_advice(whole.results)


def without_advice(found: dict[str, Any]) -> dict[str, Any]:
    """A kill during the smoke run of train(), which is worth no points, shows in its advice, and nothing is run again for that."""
    return {name: {**result, "tasks": [{**task, "advice": ()} for task in result["tasks"]]} for name, result in found.items()}


def test_writers_that_are_killed_lose_nothing_that_they_said_was_stored(commands: Commands, tmp_path: Path) -> None:
    """Results in a tight loop, with a backup after each seventh; the next writer begins with the check of a run."""
    draw, total = random.Random(4), 0
    for number in range(KILLS_OF_WRITERS):
        if number % 5 == 0:
            database, stored = tmp_path / f"grades{number}.db", 0
        log = tmp_path / f"log{number}"
        writer = commands.start_writer(database, stored, log)
        while not log.exists() or not log.stat().st_size:
            assert writer.is_alive()
            time.sleep(0.002)
        assert killed_at(writer, draw.uniform(0, 0.3))
        lines = log.read_text().splitlines()
        assert lines == [str(n) for n in range(stored, stored + len(lines))]  # and no word of a restored backup
        with closing(reading(database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            found = {name for (name,) in connection.execute("SELECT student FROM results")}
        assert {f"s{n}" for n in range(stored + len(lines))} <= found
        assert len(found) <= stored + len(lines) + 1  # the last may have been stored and not yet said
        assert damage(database) is None
        assert damage(database.with_suffix(".backup"), immutable=True) is None
        total, stored = total + len(found) - stored, len(found)
    print(f"{KILLS_OF_WRITERS} kills, {total} results")
    assert total > 3 * KILLS_OF_WRITERS


def test_a_run_beside_another_is_refused_and_one_after_a_kill_is_not(
    commands: Commands, undisturbed: Made, tmp_path: Path
) -> None:
    whole = undisturbed(SOME)
    lab = whole.copy(tmp_path / "toy")
    first = commands.start("run", lab, log=tmp_path / "first")
    while not (tmp_path / "first").exists() or "to grade" not in (tmp_path / "first").read_text():
        assert first.is_alive()
        time.sleep(0.01)
    for command in ("run", "report", "fetch"):
        status, text = commands.run(command, lab, log=tmp_path / "second")
        assert (status, text) == (
            1,
            f"error: {lab}/grades.db: another `grader run` is at work on this course; wait for it to end, then run again\n",
        )
    assert killed_at(first, 0)
    status, text = commands.run("run", lab, log=tmp_path / "third")
    assert status == 0, text
    whole.expect(lab)


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[None]:
    """A mount of our own, where the machine allows it."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine lets us mount nothing: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[None]:
    with mounted(place, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs"):
        yield


def leave(disk: Path, pages: int) -> None:
    """Fill a disk but for so many pages of 4 KB."""
    filler = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(filler, bytes(4096))
    os.truncate(filler, max(0, os.fstat(filler).st_size - 4096 * pages))
    os.close(filler)


FULL = ("No space left on device", "database or disk is full", "disk I/O error")


def test_a_full_disk_ends_the_run_with_a_clear_error_and_the_next_one_finishes(
    commands: Commands, undisturbed: Made, tmp_path: Path
) -> None:
    """At many degrees of fullness, so that it is now the database, now the backup, now a report that does not fit."""
    whole, disk, where = undisturbed(UNTOUCHED), tmp_path / "disk", Counter[str]()
    for number, pages in enumerate((0, 6, 30, 54, 60, 72, 90, 96, 108)):
        with small_disk(disk, 8):
            lab = whole.copy(disk / "toy")
            leave(disk, pages)
            status, text = commands.run("run", lab, log=tmp_path / f"log{number}")
            if status:
                (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
                assert status == 1 and "Traceback" not in text
                assert any(reason in line for reason in FULL), line
                assert "check that the disk is neither full" in line and str(lab) in line
                where[line.partition(" ")[2].partition(": ")[0].removeprefix(str(lab))] += 1
            (disk / "filler").unlink()
            status, text = commands.run("run", lab, log=tmp_path / f"log{number}")
            assert status == 0, text
            whole.expect(lab)
    print(f"the disk was full {sum(where.values())} times: {dict(where)}")
    assert where["/grades.db"] and len(where) >= 4


def test_a_full_temporary_folder_costs_nobody_points(commands: Commands, undisturbed: Made, tmp_path: Path) -> None:
    whole, disk = undisturbed(UNTOUCHED), tmp_path / "disk"
    lab = whole.copy(tmp_path / "toy")
    with small_disk(disk, 1):
        full = Commands(disk)
        leave(disk, 1)  # enough for Python to take the folder for one that can be written
        status, text = full.run("run", lab, log=tmp_path / "log")
    assert status == 1 and "Traceback" not in text
    assert statuses(lab) == {"ungraded"}
    assert "No space left on device); free some space" in text
    assert commands.run("run", lab, log=tmp_path / "log")[0] == 0
    whole.expect(lab)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder that cannot be written, by root either where that is whom we are."""
    if os.geteuid() == 0:
        with mounted(folder, "--bind", "-o", "ro", str(folder)):
            subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
            yield
        return
    mode = folder.stat().st_mode
    folder.chmod(0o555)
    try:
        yield
    finally:
        folder.chmod(mode)


def test_results_that_cannot_be_written_are_written_by_the_next_run(
    commands: Commands, undisturbed: Made, tmp_path: Path
) -> None:
    whole = undisturbed(UNTOUCHED)
    lab = whole.copy(tmp_path / "toy")
    (lab / "results").mkdir()
    with read_only(lab / "results"):
        status, text = commands.run("run", lab, log=tmp_path / "log")
        assert status == 1 and "Traceback" not in text
        assert f"error: {lab}/results/dan: reports cannot be written (" in text
        assert "what was graded is safe in the database and is not repeated" in text
    assert settled(lab) == Counter({"dan": 1})
    assert commands.run("run", lab, log=tmp_path / "log")[0] == 0
    whole.expect(lab)


def test_a_course_that_cannot_be_written_is_named(commands: Commands, undisturbed: Made, tmp_path: Path) -> None:
    whole = undisturbed(UNTOUCHED)
    lab = whole.copy(tmp_path / "toy")
    for _ in range(2):  # before anything was graded, and after
        with read_only(lab):
            for command in ("run", "report", "fetch"):
                status, text = commands.run(command, lab, log=tmp_path / "log")
                assert status == 1, text
                assert text.startswith(f"error: {lab}/grades.db") and "neither full nor read-only" in text
                assert text.count("\n") == 1
        assert commands.run("run", lab, log=tmp_path / "log")[0] == 0
        whole.expect(lab)


@pytest.mark.parametrize("kind", ["pages", "digit", "cut", "emptied", "gone"])
def test_a_damaged_database_is_restored_and_nothing_is_graded_twice(
    commands: Commands, undisturbed: Made, tmp_path: Path, kind: str
) -> None:
    whole = undisturbed(UNTOUCHED)
    lab = whole.copy(tmp_path / "toy")
    assert commands.run("run", lab, log=tmp_path / "log")[0] == 0
    database = lab / "grades.db"
    damage_database(database, kind)
    found = database.read_bytes() if database.exists() else None
    if kind != "gone":
        status, text = commands.run("report", lab, log=tmp_path / "log")
        assert status == 1 and "`grader run` keeps it aside and restores the newest backup" in text
    status, text = commands.run("run", lab, log=tmp_path / "log")
    assert status == 0, text
    assert "restored: what was graded or fetched after that backup is done again" in text
    assert "4 submissions, 0 to grade" in text
    assert (lab / "grades.damaged-1.db").exists() == (found is not None)
    assert found is None or (lab / "grades.damaged-1.db").read_bytes() == found
    whole.expect(lab)


def damage_database(database: Path, kind: str) -> None:
    whole = database.read_bytes()
    match kind:
        case "pages":
            database.write_bytes(whole[:4096] + random.Random(5).randbytes(len(whole) - 4096))
        case "digit":  # a status that SQLite has no objection to
            database.write_bytes(whole.replace(b'"status":"failed","score":0.0', b'"status":"failed","score":9.0', 1))
            assert database.read_bytes() != whole
        case "cut":
            database.write_bytes(whole[: len(whole) // 2])
        case "emptied":
            database.write_bytes(b"")
        case "gone":
            database.unlink()


@pytest.mark.parametrize("file", ["weights.safetensors", "pack.toml"])
@pytest.mark.parametrize("kind", ["bit", "cut"])
def test_a_damaged_pack_ends_the_run_before_anybody_is_graded(
    commands: Commands, undisturbed: Made, tmp_path: Path, file: str, kind: str
) -> None:
    lab = undisturbed(UNTOUCHED).copy(tmp_path / "toy")
    shutil.copytree(PUBLIC / "mnist", lab / "packs" / "mnist")
    part = lab / "packs" / "mnist" / file
    data = bytearray(part.read_bytes())
    if kind == "bit":
        at = data.index(b"near_duplicate = 1") + 18 if file == "pack.toml" else len(data) // 2
        data[at] ^= 1
    part.write_bytes(data if kind == "bit" else data[: len(data) // 2])
    status, text = commands.run("run", lab, log=tmp_path / "log")
    assert status == 2
    assert text.startswith(f"error: no pack for mnist: {part}: ") and text.count("\n") == 1
    assert f"Put a copy of {lab / 'packs' / 'mnist'} back; or remove it, and `grader init`" in text
    assert not (lab / "grades.db").exists()
    shutil.copyfile(PUBLIC / "mnist" / file, part)
    assert commands.run("run", lab, log=tmp_path / "log")[0] == 0


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <sys/time.h>
static long jumped(void) {
    static long calls;
    return atol(getenv("CLOCK_IS_OFF_BY_S")) + (++calls % 2 ? -100000000L : calls % 3 * 50000000L);
}
int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int r = real(id, t);
    if (id == CLOCK_REALTIME) t->tv_sec += jumped();
    return r;
}
int gettimeofday(struct timeval *t, void *z) {
    struct timespec s; int r = clock_gettime(CLOCK_REALTIME, &s);
    t->tv_sec = s.tv_sec; t->tv_usec = s.tv_nsec / 1000; return r;
}
time_t time(time_t *t) { struct timespec s; clock_gettime(CLOCK_REALTIME, &s); if (t) *t = s.tv_sec; return s.tv_sec; }
"""
"""A clock that is three years slow at one look and up to three years fast at the next; the monotonic one stays."""


def test_a_clock_that_jumps_changes_nothing(commands: Commands, undisturbed: Made, tmp_path: Path) -> None:
    whole, compiler = undisturbed(("ada",)), shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler here to build a clock that jumps")
    (tmp_path / "clock.c").write_text(CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "clock.so", tmp_path / "clock.c", "-ldl"], check=True)
    jumping = {
        **os.environ,
        "LD_PRELOAD": str(tmp_path / "clock.so"),
        "CLOCK_IS_OFF_BY_S": "0",
        "PYTHONPATH": str(Path.cwd()),
    }
    now = [sys.executable, "-c", "import time; print(len({time.time() // 10**7 for _ in range(6)}))"]
    assert int(subprocess.run(now, capture_output=True, text=True, env=jumping, check=True).stdout) >= 3
    lab = whole.copy(tmp_path / "toy")
    command = [sys.executable, "-m", "grader", "run", str(lab)]
    first = subprocess.run(command, capture_output=True, text=True, env=jumping, timeout=120, check=False)
    assert first.returncode == 0, first.stderr
    whole.expect(lab)
    shutil.copyfile(lab / "templates" / "toy.ipynb", lab / "submissions" / "ada" / "toy.ipynb")
    back = {**jumping, "CLOCK_IS_OFF_BY_S": "-900000000"}  # 28 years
    second = subprocess.run(command, capture_output=True, text=True, env=back, timeout=120, check=False)
    assert "1 to grade" in second.stdout
    assert b"ada,toy,failed,0.00,10.00,0.00,0.00,,none of the TODOs is filled in" in gradebook(lab)
