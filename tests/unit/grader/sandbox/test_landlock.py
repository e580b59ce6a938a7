import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from grader.sandbox import landlock
from grader.sandbox.landlock import DEVICE, HANDLED, LIST, OWN, READ, Right, build_ruleset

HEADER = Path("/usr/include/linux/landlock.h")
NEEDS_LANDLOCK = pytest.mark.skipif(not landlock.abi(), reason="this machine has no Landlock")

ENTER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.syscall(446, int(sys.argv[1]), 0) == 0

def tried(action):
    try:
        action()
    except OSError as error:
        return error.errno
    return 0
"""


def inside(rules: list[tuple[Path, Right]], *attempts: str) -> list[int]:
    """What each attempt (an expression) comes to in a process under that ruleset: an errno, or 0."""
    ruleset = build_ruleset(rules)
    code = ENTER + "".join(f"print(tried(lambda: {attempt}))\n" for attempt in attempts)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, str(ruleset)], pass_fds=[ruleset], capture_output=True, text=True, check=True
        )
    finally:
        os.close(ruleset)
    return list(map(int, done.stdout.split()))


EACCES = 13


@NEEDS_LANDLOCK
def test_nothing_is_allowed_but_the_rules(tmp_path: Path) -> None:
    for name in ("read", "list", "own", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    rules = [(tmp_path / "read", READ), (tmp_path / "list", LIST), (tmp_path / "own", OWN), (tmp_path / "missing", READ)]
    found = inside(
        rules,
        f"open('{tmp_path}/read/file').read()",
        f"open('{tmp_path}/read/file', 'a')",
        f"open('{tmp_path}/list/file').read()",
        f"os.listdir('{tmp_path}/list')",
        f"open('{tmp_path}/own/new', 'w').write('x')",
        f"os.rename('{tmp_path}/own/new', '{tmp_path}/own/newer')",
        f"os.rename('{tmp_path}/own/newer', '{tmp_path}/other/newer')",
        f"os.listdir('{tmp_path}/other')",
        f"os.truncate('{tmp_path}/other/file', 0)",
        f"os.unlink('{tmp_path}/read/file')",
    )
    assert found[:6] == [0, EACCES, EACCES, 0, 0, 0]
    assert found[7] == EACCES and found[9] == EACCES
    assert found[6] in (EACCES, 18)  # EXDEV before version 2
    assert found[8] == (EACCES if landlock.abi() >= 3 else 0)


@NEEDS_LANDLOCK
def test_a_file_and_a_device_can_have_rules_of_their_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("x")
    rules = [(tmp_path / "one", READ), (Path("/dev/null"), DEVICE)]
    attempts = (f"open('{tmp_path}/one').read()", f"open('{tmp_path}/two').read()", "open('/dev/null', 'w')", "open('/dev/zero')")
    assert inside(rules, *attempts) == [0, EACCES, 0, EACCES]


@pytest.mark.skipif(landlock.abi() < landlock.SCOPE_ABI, reason="this machine's Landlock does not confine signals")
def test_the_shield_keeps_signals_from_those_above_and_lets_them_go_down() -> None:
    code = f"import os, signal, sys\nsys.path.insert(0, {str(Path(landlock.__file__).parent)!r})\nimport landlock\n"
    code += "above = os.getpid()\nif not os.fork():\n    assert landlock.shield_from_descendants()\n"
    code += "    child = os.fork()\n    if not child:\n        signal.pause()\n    os.kill(child, signal.SIGKILL)\n"
    code += "    try:\n        os.kill(above, 0)\n    except PermissionError:\n        os._exit(7)\n    os._exit(0)\n"
    code += "print(os.waitstatus_to_exitcode(os.wait()[1]))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert done.stdout == "7\n", done.stderr


def test_without_landlock_there_is_no_shield_and_no_ruleset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    assert landlock.shield_from_descendants() is False
    with pytest.raises(OSError, match="landlock_create_ruleset"):
        build_ruleset([])


@NEEDS_LANDLOCK
@pytest.mark.parametrize("version", range(1, 6))
def test_older_versions_are_asked_for_no_more_than_they_know(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    if landlock.abi() < version:
        pytest.skip(f"this machine's Landlock has version {landlock.abi()}, and refuses what it does not know")
    asked: list[int] = []
    create = landlock._create
    monkeypatch.setattr(landlock, "abi", lambda: version)
    monkeypatch.setattr(landlock, "_create", lambda files, *more: asked.append(int(files)) or create(files, *more))
    os.close(build_ruleset([(Path("/usr"), READ)]))
    known = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF}  # from the table of versions in the kernel's documentation
    assert asked == [known[version]]


def test_each_right_is_handled_once_and_has_a_reason() -> None:
    handled = [right for _, rights, _ in HANDLED for right in rights]
    assert sorted(handled) == sorted(Right)
    assert all(reason for _, _, reason in HANDLED)
    assert [since for since, _, _ in HANDLED] == sorted(since for since, _, _ in HANDLED)
    assert not OWN & (Right.MAKE_CHAR | Right.MAKE_BLOCK | Right.IOCTL_DEV | Right.EXECUTE)


def test_the_bits_are_those_of_the_kernel() -> None:
    if not HEADER.exists():
        pytest.skip(f"{HEADER} is not installed (linux-libc-dev)")
    known = dict(re.findall(r"#define LANDLOCK_ACCESS_FS_(\w+)\s+\(1ULL << (\d+)\)", HEADER.read_text()))
    assert known
    for name, bit in known.items():
        assert Right[name] == 1 << int(bit)
