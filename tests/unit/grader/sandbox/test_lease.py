import os
import subprocess
import sys
from pathlib import Path

import pytest

from grader.errors import SandboxError
from grader.sandbox import lease
from grader.sandbox.lease import Leases, take

ROOT = os.geteuid() == 0


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lease, "_place", lambda: tmp_path)
    return tmp_path


def test_nobody_has_the_same_slot(place: Path) -> None:
    first, second = take(), take()
    assert (first.folder, second.folder) == (place / "0", place / "1")
    assert first.uid is None if not ROOT else first.uid != second.uid
    first.release()
    assert take().folder == first.folder


def test_another_grader_on_the_machine_takes_others(place: Path) -> None:
    held = take()
    code = "import sys\nfrom pathlib import Path\nfrom grader.sandbox import lease\nlease._place = lambda: Path(sys.argv[1])\n"
    code += "print(lease.take().folder)"
    done = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(place / "1")
    held.release()


def test_a_dead_grader_holds_nothing(place: Path) -> None:
    code = "import os, signal, sys\nfrom pathlib import Path\nfrom grader.sandbox import lease\nlease._place = lambda: Path(sys.argv[1])\n"
    code += "held = lease.take()\n(held.folder / 'left').write_text('x')\nos.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", code, str(place)])
    assert (place / "0" / "left").exists()
    assert take().folder == place / "0"
    assert not (place / "0" / "left").exists()


def test_leases_keep_a_slots_lease_and_give_it_back_with_themselves(place: Path) -> None:
    leases = Leases()
    assert leases.of(5) is leases.of(5)
    assert leases.of(6) is not leases.of(5)
    del leases
    assert take().folder == place / "0"


def test_no_free_slot_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_SLOTS", 1)
    held = take()
    with pytest.raises(SandboxError, match=r"found all 1 slots in .* in use, expected a free one"):
        take()
    held.release()


@pytest.mark.skipif(not ROOT, reason="only root makes files of others")
def test_what_the_user_left_elsewhere_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setattr(lease, "_SHARED", (shared, tmp_path / "missing"))
    held = take()
    for name, owner in (("stray", held.uid), ("other", 12345)):
        (shared / name).write_text("x")
        os.chown(shared / name, owner or 0, owner or 0)
    held.empty()
    assert [path.name for path in shared.iterdir()] == ["other"]


@pytest.mark.skipif(not ROOT, reason="only root starts processes of others")
def test_processes_whose_launcher_was_killed_are_ended() -> None:
    held = take()
    stray = subprocess.Popen(["/bin/sleep", "1000"], user=held.uid)
    other = subprocess.Popen(["/bin/sleep", "1000"], user=12345)
    held.empty()
    assert (stray.wait(5), other.poll()) == (-9, None)
    other.kill()
    other.wait()


@pytest.mark.skipif(not ROOT, reason="only root gives slots a user")
def test_the_id_of_somebody_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_is_somebody", lambda uid: uid < lease._FIRST_UID + 3)
    assert take().uid == lease._FIRST_UID + 3


def test_an_umask_that_closes_everything_does_not_close_the_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(lease.tempfile, "gettempdir", lambda: str(tmp_path))
    before = os.umask(0o077)
    try:
        held = take()
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (held.folder.parent, held.folder)] == [0o711, 0o711]


def test_a_place_that_is_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(lease.tempfile, "gettempdir", lambda: str(tmp_path))
    planted = tmp_path / f"gan-grader-{os.geteuid()}"
    planted.symlink_to("/usr")
    with pytest.raises(SandboxError, match="to be somebody else's"):
        take()
    planted.unlink()
    planted.mkdir()
    planted.chmod(0o777)
    with pytest.raises(SandboxError, match="to be somebody else's"):
        take()
