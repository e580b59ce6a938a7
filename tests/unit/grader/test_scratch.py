import tempfile
from pathlib import Path

import pytest

from grader.scratch import clear, scratch


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_folder_lives_as_long_as_its_use(temporary: Path) -> None:
    with scratch(temporary / "lab8") as one, scratch(temporary / "lab8") as other:
        assert one != other and list(one.iterdir()) == []
        (one / "handin.pt").write_bytes(b"x")
    assert list(temporary.iterdir()) == []


def test_what_a_killed_run_left_is_removed_and_nothing_of_other_labs(temporary: Path) -> None:
    killed, other = scratch(temporary / "lab8"), scratch(temporary / "lab9")
    (killed.__enter__() / "handin.pt").write_bytes(b"x")
    kept = other.__enter__()
    (temporary / "grader-notes.txt").write_text("mine")
    clear(temporary / "lab8")
    assert set(temporary.iterdir()) == {kept, temporary / "grader-notes.txt"}
    other.__exit__(None, None, None)


def test_a_link_in_the_way_is_not_followed(temporary: Path) -> None:
    with scratch(temporary / "lab8") as folder:
        name = folder.name
    (temporary / "precious").mkdir()
    (temporary / "precious" / "file").write_text("keep")
    (temporary / name).symlink_to(temporary / "precious")
    clear(temporary / "lab8")
    assert (temporary / "precious" / "file").read_text() == "keep"
