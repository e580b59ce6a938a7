import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image

from datasets import iclevr, iclevr_folder
from datasets.errors import DatasetCorruptError, DatasetMissingError

SCENES = 2


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course") / "iclevr"
    iclevr_folder.write(folder, SCENES, seed=5, workers=1)
    return folder


@pytest.fixture
def folder(rendered, tmp_path):
    return shutil.copytree(rendered, tmp_path / "iclevr")


def edit(path, change):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content)))


def test_a_written_folder_has_the_layout_that_courses_hand_out(rendered):
    names = sorted(path.name for path in rendered.iterdir())
    pictures = [f"CLEVR_train_{scene:06d}_{k}.png" for scene in range(SCENES) for k in range(3)]
    assert names == [*pictures, "new_test.json", "objects.json", "test.json", "train.json"]
    with Image.open(rendered / pictures[0]) as picture:
        assert (picture.size, picture.mode) == ((320, 240), "RGB")
    listed = json.loads((rendered / "train.json").read_text())
    assert [len(listed[name]) for name in pictures] == [1, 2, 3, 1, 2, 3]
    objects = json.loads((rendered / "objects.json").read_text())
    assert (objects["gray cube"], objects["yellow cylinder"], len(objects)) == (0, 23, 24)


def test_an_imported_folder_is_the_set_that_was_rendered_into_it(rendered):
    found, direct = iclevr_folder.read(rendered), iclevr.rendered(SCENES, seed=5, workers=1)
    assert np.array_equal(found.labels, direct.labels)
    assert np.array_equal(found.test, direct.test)
    assert np.array_equal(found.new_test, direct.new_test)
    error = np.mean((found.images.astype(float) - direct.images) ** 2)
    assert 10 * math.log10(255**2 / error) > 42


def test_importing_replaces_what_was_there(rendered, tmp_path):
    iclevr.store(lambda: iclevr.rendered(1, seed=9, workers=1), iclevr.folder(tmp_path))
    iclevr.get(tmp_path, progress=False, source=rendered)
    found = iclevr.load_collection(tmp_path)
    assert found.origin == "imported"
    assert found.digest == iclevr_folder.read(rendered).digest


@pytest.mark.parametrize("inside", ["images", "iclevr"])
def test_pictures_may_lie_in_a_folder_beside_the_lists(folder, inside):
    expected = iclevr_folder.read(folder).digest
    (folder / inside).mkdir()
    for picture in folder.glob("*.png"):
        picture.rename(folder / inside / picture.name)
    assert iclevr_folder.read(folder).digest == expected


def test_pictures_with_transparency_are_read_as_they_look(folder):
    """The official pictures are RGBA."""
    expected = iclevr_folder.read(folder).digest
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            opaque = picture.convert("RGBA")
        opaque.save(path)
    assert iclevr_folder.read(folder).digest == expected


@pytest.mark.parametrize("name", ["objects.json", "train.json", "test.json", "new_test.json"])
def test_a_missing_list_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(DatasetMissingError, match=f"{name} does not exist: point to the folder"):
        iclevr_folder.read(folder)


def test_a_missing_picture_is_named(folder):
    (folder / "CLEVR_train_000001_1.png").unlink()
    with pytest.raises(DatasetMissingError, match=r"CLEVR_train_000001_1\.png does not exist, and train\.json lists it"):
        iclevr_folder.read(folder)


def test_pictures_that_are_nowhere_are_said(folder):
    for path in folder.glob("*.png"):
        path.unlink()
    with pytest.raises(DatasetMissingError, match=r"neither in .* nor in its folders images and iclevr"):
        iclevr_folder.read(folder)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"words"])
def test_a_picture_that_is_none_is_named(folder, content):
    (folder / "CLEVR_train_000001_1.png").write_bytes(content)
    with pytest.raises(DatasetCorruptError, match=r"CLEVR_train_000001_1\.png"):
        iclevr_folder.read(folder)


def test_a_truncated_picture_is_named(folder):
    path = folder / "CLEVR_train_000000_2.png"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DatasetCorruptError, match=r"CLEVR_train_000000_2\.png"):
        iclevr_folder.read(folder)


def test_a_picture_of_another_size_is_named(folder):
    Image.new("RGB", (64, 64)).save(folder / "CLEVR_train_000000_0.png")
    with pytest.raises(DatasetCorruptError, match=r"CLEVR_train_000000_0\.png: 64×64 pixels, expected 320×240"):
        iclevr_folder.read(folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("objects.json", lambda found: {**found, "pink cube": 24}, "expected the 24 labels"),
        ("objects.json", lambda found: {**found, "red cube": 0}, "expected the 24 labels"),
        ("train.json", lambda found: [], "expected an object of pictures"),
        ("train.json", lambda found: {**found, "cat.png": ["red cube"]}, "'cat.png' is not called CLEVR_train"),
        ("train.json", lambda found: {**found, "CLEVR_train_000002_0.png": ["red cube"]}, "CLEVR_train_000002_0, 1 and 2"),
        ("train.json", lambda found: {**found, "CLEVR_train_000000_0.png": ["pink cube"]}, "there is no label 'pink cube'"),
        ("train.json", lambda found: {**found, "CLEVR_train_000000_0.png": "red cube"}, "expected a list of labels"),
        ("train.json", lambda found: {**found, "CLEVR_train_000000_0.png": [["red cube"]]}, "there is no label"),
        ("test.json", lambda found: {}, "expected a list of prompts"),
        ("test.json", lambda found: [*found, []], "prompt 32: expected a list of labels"),
        ("new_test.json", lambda found: [["red cube", "red ball"]], "prompt 0: there is no label 'red ball'"),
    ],
)
def test_lists_that_do_not_fit_are_refused_by_name(folder, name, change, message):
    edit(folder / name, change)
    with pytest.raises(DatasetCorruptError, match=f"{name}.*{message}"):
        iclevr_folder.read(folder)


def test_a_list_that_is_no_json_is_named(folder):
    (folder / "train.json").write_text("{")
    with pytest.raises(DatasetCorruptError, match=r"train\.json"):
        iclevr_folder.read(folder)
