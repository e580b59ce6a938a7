import shutil
import sys
from pathlib import Path

import pytest

from evaluator.pack import PUBLIC, Pack, sealed
from grader import packs
from grader.course import Course, CourseSettings
from grader.errors import CourseError, UsageError


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course(tmp_path, CourseSettings(secret="ab" * 16))


@pytest.fixture
def installed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the wheel, which brings no data sets."""
    monkeypatch.setitem(sys.modules, "datasets.mnist", None)
    monkeypatch.setitem(sys.modules, "datasets", None)


def test_raw_data_are_kept_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert packs.data_folder() == tmp_path / "gan-lab-grader" / "data"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert packs.data_folder() == tmp_path / "me" / ".cache" / "gan-lab-grader" / "data"


def test_a_data_set_that_there_is_not_is_named(course: Course, tmp_path: Path) -> None:
    for call in (
        lambda: packs.get_data("mnst", tmp_path),
        lambda: packs.build("mnst", tmp_path / "pack", tmp_path, seed=1, public=True),
        lambda: packs.build_private(course, "mnst", tmp_path),
    ):
        with pytest.raises(UsageError, match="no data set is called 'mnst'; there are: mnist, fashion_mnist"):
            call()


@pytest.mark.parametrize("dataset", packs.DATASETS)
def test_building_a_pack_without_raw_data_says_how_to_get_them(dataset: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"does not exist: run grader data get {dataset}$") as caught:
        packs.build(dataset, tmp_path / "pack", tmp_path / "data", seed=1, public=True)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pack").exists()


def test_a_course_without_raw_data_is_told_that_the_public_pack_serves(course: Course, tmp_path: Path) -> None:
    line = packs.build_private(course, "mnist", tmp_path / "data")
    assert line.startswith("mnist: graded with the public pack, since the raw data for a private one are not here (")
    assert "`grader data get mnist`" in line
    assert not (course.packs / "mnist").exists()


@pytest.mark.usefixtures("installed_alone")
def test_a_grader_without_the_repository_falls_back_to_the_public_pack(course: Course, tmp_path: Path) -> None:
    assert "need a checkout of the repository" in packs.build_private(course, "mnist", tmp_path)
    with pytest.raises(UsageError, match="need a checkout of the repository"):
        packs.get_data("mnist", tmp_path)


def test_a_rendered_folder_is_imported(tmp_path: Path) -> None:
    said = packs.render_data(tmp_path / "course", scenes=2, seed=3, metal=False)
    assert said == f"{tmp_path / 'course'}: 2 scenes, 6 pictures"
    assert packs.get_data("iclevr", tmp_path / "data", tmp_path / "course") == tmp_path / "data"
    assert (tmp_path / "data" / "iclevr" / "iclevr.npz").is_file()


def test_a_courses_classifier_is_of_one_data_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mnist: leave --evaluator out"):
        packs.build("mnist", tmp_path / "pack", tmp_path, seed=1, public=True, evaluator=tmp_path / "checkpoint.pth")


def test_a_folder_that_exists_is_not_rendered_into(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists: name a folder that does not"):
        packs.render_data(tmp_path, scenes=1, seed=0, metal=False)


def test_only_iclevr_is_imported_and_a_bad_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mnist is fetched, not imported"):
        packs.get_data("mnist", tmp_path / "data", tmp_path)
    with pytest.raises(UsageError, match=r"objects\.json does not exist"):
        packs.get_data("iclevr", tmp_path / "data", tmp_path)


def test_data_that_cannot_be_written_are_the_callers_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file"):
        packs.get_data("mnist", tmp_path / "file")


def test_a_private_pack_that_is_there_is_kept(course: Course, tmp_path: Path) -> None:
    target = course.packs / "mnist"
    shutil.copytree(PUBLIC / "mnist", target)
    before = {file.name: file.read_bytes() for file in target.iterdir()}
    assert packs.build_private(course, "mnist", tmp_path / "data") == f"mnist: private pack at {target}"
    assert {file.name: file.read_bytes() for file in target.iterdir()} == before


def test_a_new_private_pack_is_for_its_owner_alone(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "_load", lambda *_: None)
    monkeypatch.setattr(packs, "build", lambda dataset, target, *_, **__: target.mkdir(parents=True) or "built")
    assert packs.build_private(course, "mnist", tmp_path) == "built"
    assert course.packs.stat().st_mode & 0o777 == 0o700


def test_the_private_pack_comes_before_the_public_one(course: Course, pack: Pack) -> None:
    assert packs.find(course, "mnist").sha256 == pack.sha256
    target = course.packs / "mnist"
    shutil.copytree(PUBLIC / "mnist", target)
    card = target / "pack.toml"
    card.write_text(sealed(card.read_text().partition("\n")[2].replace("public = true", "public = false")))
    found = packs.find(course, "mnist")
    assert not found.card.public
    assert found.sha256 != pack.sha256


def test_a_damaged_private_pack_is_not_replaced_in_silence(course: Course) -> None:
    target = course.packs / "mnist"
    shutil.copytree(PUBLIC / "mnist", target)
    weights = target / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(
        CourseError, match=r"no pack for mnist: .*the pack is damaged.*Put a copy of .*packs/mnist back; or remove it"
    ):
        packs.find(course, "mnist")


def test_a_damaged_public_pack_came_with_the_grader(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PUBLIC / "mnist", tmp_path / "public" / "mnist")
    with (tmp_path / "public" / "mnist" / "weights.safetensors").open("r+b") as file:
        file.seek(100_000)
        file.write(b"\xff\x00")
    monkeypatch.setattr("evaluator.pack.PUBLIC", tmp_path / "public")
    with pytest.raises(CourseError, match=r"no pack for mnist: .*damaged.*It came with the grader: install that again"):
        packs.find(course, "mnist")


def test_a_data_set_without_any_pack_is_named(course: Course) -> None:
    with pytest.raises(CourseError, match=r"no pack for svhn: .*build the pack"):
        packs.find(course, "svhn")
