import errno
import io
import os
import pickle
from pathlib import Path

import pytest
import torch

from grader.errors import CheckpointError, GraderError, UngradedError
from grader.intake import Handin, take
from grader.links import checkpoint
from grader.spec import Lab, LabSpec, Limits, Task, UnitCriterion


def task(id: str) -> Task:
    criterion = (UnitCriterion(unit="generator_shape", points=1),)
    limits = Limits(checkpoint_mb=1)
    return Task(id=id, notebook=f"lab8_{id}.ipynb", dataset="mnist", shape=(28, 28), criterion=criterion, limits=limits)


def saved(*, zip_format: bool = True, numbers: int = 3) -> bytes:
    file = io.BytesIO()
    torch.save({"w": torch.zeros(numbers)}, file, _use_new_zipfile_serialization=zip_format)
    return file.getvalue()


GOOD = saved()
LONG = saved(numbers=100_000)
VANILLA, CWGAN = task("vanilla"), task("cwgan")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "h"
    path.mkdir()
    return path


def found(folder: Path, *tasks: Task, trust: bool = False, fetched: Path | GraderError | None = None, name: str = "copy") -> str:
    """The checkpoint of the first task, relative to the submission where it lies in it."""
    tasks = tasks or (VANILLA,)
    spec = LabSpec(lab=Lab(id="lab8", title="Lab", files=()), task=tuple(sorted(tasks, key=lambda t: t.id, reverse=True)))
    submission = take(Handin("s", "s", "1", folder, ("1",)), folder.parent / name, spec)
    path = checkpoint(submission, tasks[0], trust=trust, fetched=fetched)
    return str(path.relative_to(submission.root)) if path.is_relative_to(submission.root) else str(path)


def put(folder: Path, **files: bytes | str) -> Path:
    for name, data in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


def link(folder: Path, text: str) -> Path:
    (folder / "checkpoint_links.txt").write_text(text)
    return folder


def test_the_named_file_is_taken(folder: Path) -> None:
    put(folder, runs__best_DOT_pt=GOOD, handin_DOT_pt=GOOD)
    assert found(link(folder, "runs/best.pt")) == "runs/best.pt"


def test_links_belong_to_tasks_in_order_or_by_name(folder: Path) -> None:
    put(folder, a_DOT_pt=GOOD, b_DOT_pt=GOOD)
    assert found(link(folder, "cwgan: a.pt\nb.pt"), VANILLA, CWGAN) == "b.pt"


@pytest.mark.parametrize("name", ["handin.pt", "lab8_vanilla.pt", "vanilla.pt", "anything.pth"])
def test_without_a_link_the_one_checkpoint_beside_the_notebook_counts(folder: Path, name: str) -> None:
    (folder / name).write_bytes(GOOD)
    (folder / "resume.pt").write_bytes(GOOD)
    assert found(folder) == name


def test_of_several_the_one_with_the_tasks_name_counts(folder: Path) -> None:
    put(folder, handin_DOT_pt=GOOD, lab8_vanilla_DOT_pt=GOOD)
    assert found(folder) == "lab8_vanilla.pt"


def test_of_several_unnamed_ones_none_is_guessed(folder: Path) -> None:
    put(folder, x_DOT_pt=GOOD, y_DOT_pt=GOOD)
    with pytest.raises(CheckpointError, match=r"2 checkpoints \(x\.pt, y\.pt\).*`vanilla: handin\.pt`"):
        found(folder)


def test_a_checkpoint_without_a_tasks_name_serves_no_lab_of_two_tasks(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no line for task vanilla.*lab8_vanilla\.pt|vanilla\.pt"):
        found(put(folder, handin_DOT_pt=GOOD), VANILLA, CWGAN)


def test_no_checkpoint_at_all(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no checkpoint.*handin\.pt"):
        found(folder)


def test_a_link_to_nothing_is_named(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"names 'handin\.pt', but 'handin\.pt' is not in the hand-in"):
        found(link(folder, "handin.pt"))


def test_a_link_to_a_folder_is_no_checkpoint(folder: Path) -> None:
    (folder / "runs").mkdir()
    with pytest.raises(CheckpointError, match="is a folder"):
        found(link(folder, "runs"))


def test_a_symbolic_link_is_said_to_be_one(folder: Path) -> None:
    (folder / "handin.pt").symlink_to("/etc/passwd")
    with pytest.raises(CheckpointError, match="symbolic link"):
        found(link(folder, "handin.pt"))


@pytest.mark.parametrize("target", ["/etc/passwd", "../other/handin.pt", "file:///etc/passwd", "C:\\handin.pt"])
def test_links_out_of_the_hand_in_are_refused(folder: Path, target: str) -> None:
    with pytest.raises(CheckpointError, match="leads out of the hand-in"):
        found(link(folder, target))


@pytest.mark.parametrize("prefix", ["", "file:", "file://"])
def test_trusted_submissions_may_point_anywhere(folder: Path, tmp_path: Path, prefix: str) -> None:
    (tmp_path / "my model.pt").write_bytes(GOOD)
    assert found(link(folder, f"{prefix}{tmp_path}/my%20model.pt"), trust=True) == str(tmp_path / "my model.pt")


WEB = "https://drive.google.com/file/d/1/view"


def test_a_link_to_the_web_leads_to_what_was_fetched(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "aaaa").write_bytes(GOOD)
    put(folder, handin_DOT_pt=b"not this one")
    assert found(link(folder, WEB), fetched=tmp_path / "aaaa") == str(tmp_path / "aaaa")


def test_why_nothing_was_fetched_is_passed_on(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        found(link(folder, WEB), fetched=CheckpointError("no such file"))
    with pytest.raises(UngradedError, match="quota"):
        found(link(folder, WEB), fetched=UngradedError("quota"), name="2")
    with pytest.raises(UngradedError, match="fetched by `grader run` and `grader fetch` alone"):
        found(link(folder, WEB), name="3")


def test_what_was_fetched_is_diagnosed_under_its_links_name(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "aaaa").write_bytes(b"<html>")
    with pytest.raises(CheckpointError, match=r"the file at https://drive\.google\.com/file/d/1/view is an HTML page"):
        found(link(folder, WEB), fetched=tmp_path / "aaaa")


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_an_upload_that_was_cut_off_is_named(folder: Path, share: float) -> None:
    with pytest.raises(CheckpointError, match=r"handin\.pt is the beginning of a checkpoint \([\d,]+ bytes\)"):
        found(put(folder, handin_DOT_pt=LONG[: int(len(LONG) * share)]))
    assert found(put(folder, handin_DOT_pt=LONG), name="again") == "handin.pt"


def test_a_large_checkpoint_is_refused_with_its_limit(folder: Path) -> None:
    put(folder, handin_DOT_pt=GOOD + bytes(2**20))
    with pytest.raises(CheckpointError, match="more than 1 MB"):
        found(folder)


def test_a_large_checkpoint_is_not_copied_for_a_link(folder: Path) -> None:
    put(folder, handin_DOT_pt=GOOD + bytes(2**20))
    with pytest.raises(CheckpointError, match=r"names 'handin\.pt', but 'handin\.pt' is too large"):
        found(link(folder, "handin.pt"))


def test_the_limit_holds_for_trusted_files_elsewhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "big.pt").write_bytes(GOOD + bytes(2**20))
    with pytest.raises(CheckpointError, match=r"big\.pt has 1\.0 MB, more than 1 MB"):
        found(link(folder, f"file:{tmp_path}/big.pt"), trust=True)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"\n<!DOCTYPE html><html>Sign in", "an HTML page"),
        (b'{"cells": []}', "a JSON file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b'\x40\0\0\0\0\0\0\0{"w": {}}', "a safetensors file"),
        (b"PK\x03\x04" + bytes(22) + b"\x09\0\0\0handin.pt", "a zip archive"),
        (b"\x93NUMPY", "not a file of PyTorch"),
        (pickle.dumps({}, protocol=0), "not a file of PyTorch"),
    ],
)
def test_what_is_no_checkpoint_is_named(folder: Path, data: bytes, what: str) -> None:
    with pytest.raises(CheckpointError, match=rf"handin\.pt is {what}.*torch\.save"):
        found(put(folder, handin_DOT_pt=data))


@pytest.mark.parametrize("zip_format", [True, False])
def test_both_formats_of_torch_are_checkpoints(folder: Path, zip_format: bool) -> None:
    assert found(put(folder, handin_DOT_pt=saved(zip_format=zip_format))) == "handin.pt"


def test_a_file_that_torch_wrote_to_disk_is_one(folder: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), folder / "handin.pt")
    assert found(folder) == "handin.pt"


def test_a_fetched_file_that_is_gone_is_not_the_students_fault(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UngradedError, match="gone since the run began; it is fetched again by the next run"):
        found(link(folder, WEB), fetched=tmp_path / "gone")


def test_a_copy_that_the_system_fails_to_read_is_not_the_students_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, handin_DOT_pt=GOOD)
    spec = LabSpec(lab=Lab(id="lab8", title="Lab", files=()), task=(VANILLA,))
    submission = take(Handin("s", "s", "1", folder, ("1",)), folder.parent / "copy", spec)

    def failing(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(UngradedError, match=r"handin\.pt cannot be read \(Too many open files\)"):
        checkpoint(submission, VANILLA)
