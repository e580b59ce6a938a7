import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from grader.course import load_course
from grader.errors import CourseError
from grader.gradescope import build as building
from grader.gradescope.build import TRUSTED_MB, build
from grader.gradescope.layout import Layout, Manifest
from grader.models import Status, SubmissionResult, TaskResult, Usage
from grader.store import Store


def names(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_what_is_in_the_zip(lab: Path, tmp_path: Path) -> None:
    built = build(lab, tmp_path / "out")
    found = names(built.path)
    assert {"setup.sh", "run_autograder", "manifest.json", "requirements.txt", "course/course.toml"} <= found
    assert {"course/lab8/lab.toml", "course/lab8/fingerprints.toml", "course/lab8/templates/lab8_vanilla.ipynb"} <= found
    assert {
        "code/grader/cli.py",
        "code/grader/sandbox/inside/driver.py",
        "code/evaluator/packs/mnist/weights.safetensors",
    } <= found
    assert "code/evaluator/packs/cifar10/weights.safetensors" not in found  # the lab has no use for it
    assert not [name for name in found if "__pycache__" in name or "submissions" in name]
    with zipfile.ZipFile(built.path) as archive:
        manifest = Manifest.model_validate_json(archive.read("manifest.json"))
        modes = {
            name: archive.getinfo(name).external_attr >> 16 & 0o777
            for name in ("setup.sh", "run_autograder", "course/course.toml")
        }
    assert manifest.lab == "lab8"
    assert modes == {"setup.sh": 0o755, "run_autograder": 0o755, "course/course.toml": 0o600}
    assert built.path.stat().st_mode & 0o077 == 0


def test_a_private_pack_takes_the_place_of_the_public_one(lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluator.pack import PUBLIC, public_pack

    private = lab / "packs" / "mnist"
    private.mkdir(parents=True)
    for file in (PUBLIC / "mnist").iterdir():
        (private / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(building.packs, "find", lambda course, name: public_pack(name))
    built = build(lab, tmp_path)
    found = names(built.path)
    assert "course/packs/mnist/weights.safetensors" in found
    assert "code/evaluator/packs/mnist/weights.safetensors" not in found
    assert built.public == ()


def test_a_damaged_pack_is_one_message(lab: Path, tmp_path: Path) -> None:
    (lab / "packs" / "mnist").mkdir(parents=True)
    with pytest.raises(CourseError, match=r"no pack for mnist: .*grader init"):
        build(lab, tmp_path)


def test_a_folder_that_is_no_lab_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="no such folder"):
        build(tmp_path / "lab7", tmp_path)


def test_the_same_lab_makes_the_same_zip(lab: Path, tmp_path: Path) -> None:
    first = build(lab, tmp_path / "a").path.read_bytes()
    assert build(lab, tmp_path / "b").path.read_bytes() == first


def test_memory_is_measured_on_what_was_graded_here(lab: Path, tmp_path: Path) -> None:
    store = Store(load_course(lab).database)
    for student, peak, score in (("ada", 500.0, 3.0), ("bob", 700.0, 3.0), ("hog", 2900.0, 0.0)):
        task = TaskResult(
            task="vanilla",
            title="",
            status=Status.GRADED,
            score=score,
            max_score=95,
            usage=Usage(wall_s=1, cpu_s=1, peak_memory_mb=peak),
        )
        result = SubmissionResult(
            lab="lab8",
            lab_title="",
            student=student,
            attempt="1",
            status=Status.GRADED,
            score=score,
            max_score=95,
            tasks=(task,),
            graded_at=datetime.now(UTC),
        )
        store.add(result, {}, student)
    store.close()
    built = build(lab, tmp_path)
    assert (built.needed_mb, built.measured) == (TRUSTED_MB + 700, 2)
    text = "\n".join(built.lines())
    assert re.search(r"wrote .*lab8-gradescope.zip, \d\.\d MiB; setup.sh installs \d+ pinned packages", text)
    assert "measured on 2 graded tasks" in text
    assert "container: 2 CPU, 3 GB" in text
    assert "mnist: with the public pack" in text


def test_a_lab_that_forwards_needs_the_smallest_container(lab: Path, tmp_path: Path) -> None:
    with (lab / "course.toml").open("a") as file:
        file.write(f'\n[gradescope]\nforward_url = "https://gpu.uni.example"\ntoken = "{"t" * 40}"\n')
    assert "container: 0.5 CPU, 0.75 GB is enough" in "\n".join(build(lab, tmp_path).lines())


def test_a_zip_of_another_lab_is_one_message(lab: Path, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "autograder")
    with zipfile.ZipFile(build(lab, tmp_path).path) as archive:
        archive.extractall(layout.source)
    toml = layout.source / "course" / "lab8" / "lab.toml"
    toml.write_text(toml.read_text().replace('id = "lab8"', 'id = "lab9"', 1))
    with pytest.raises(CourseError, match=r"is of lab9, and the zip was built for lab8"):
        layout.open_lab(layout.source / "course")
