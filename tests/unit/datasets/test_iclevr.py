import numpy as np
import pytest

from datasets import iclevr
from datasets.errors import CannotWriteError, DatasetCorruptError, DatasetMissingError

SMALL = iclevr.rendered(12, seed=5, workers=1)


@pytest.fixture
def stored(tmp_path):
    iclevr.store(lambda: SMALL, iclevr.folder(tmp_path))
    return tmp_path


def test_each_image_of_a_scene_has_one_label_more_than_the_one_before():
    labels = SMALL.labels.reshape(12, 3, 24).astype(int)
    assert (labels.sum(axis=2) == [1, 2, 3]).all()
    assert (np.diff(labels, axis=1) >= 0).all()


def test_labels_say_what_the_renderer_drew():
    """Red bodies make an image redder than it was before they came."""
    images = SMALL.images.reshape(12, 3, 64, 64, 3).astype(float)
    redness = (images[..., 0] - images[..., 1]).clip(0).sum(axis=(2, 3))
    red = [i for i, name in enumerate(iclevr.CLASSES) if name.startswith("red ")]
    came = np.diff(SMALL.labels.reshape(12, 3, 24)[:, :, red].any(axis=2).astype(int), axis=1) == 1
    gained = np.diff(redness, axis=1)
    assert came.any()
    assert gained[came].min() > 1000


def test_what_is_stored_is_loaded(stored):
    found = iclevr.load_collection(stored)
    assert found.digest == SMALL.digest
    assert found.origin == "rendered"


def test_the_last_sixth_of_the_scenes_is_held_out_channels_first(stored):
    data = iclevr.load(stored)
    assert data.x_train.shape == (30, 3, 64, 64)
    assert data.y_train.shape == (30, 24)
    assert data.x_test.shape == (6, 3, 64, 64)
    assert np.array_equal(data.x_test[-1].transpose(1, 2, 0), SMALL.images[-1])
    assert np.array_equal(data.y_test, SMALL.labels[-6:])


def test_the_whole_set_has_1000_test_scenes():
    whole = iclevr.Collection(
        np.zeros((3 * iclevr.SCENES, 1, 1, 3), np.uint8), np.zeros((3 * iclevr.SCENES, 24), np.uint8), *[SMALL.test] * 2, ""
    )
    data = whole.split()
    assert (len(data.x_train), len(data.x_test)) == (15_009, 3_000)


def test_a_missing_set_says_how_to_get_it(tmp_path):
    with pytest.raises(DatasetMissingError, match="run grader data get iclevr"):
        iclevr.load(tmp_path)


@pytest.mark.parametrize("damage", [lambda b: b[:2000], lambda b: b"not a zip file", lambda b: b""])
def test_a_damaged_file_is_named(stored, damage):
    path = iclevr.folder(stored) / "iclevr.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetCorruptError, match=r"iclevr\.npz.*make it again"):
        iclevr.load(stored)


def rewrite(root, **changes):
    path = iclevr.folder(root) / "iclevr.npz"
    with np.load(path) as file:
        arrays = {**{key: file[key] for key in file.files}, **changes}
    np.savez(path, **arrays)


def test_a_changed_pixel_is_found(stored):
    images = SMALL.images.copy()
    images[3, 4, 5, 0] ^= 1
    rewrite(stored, images=images)
    with pytest.raises(DatasetCorruptError, match="it changed"):
        iclevr.load(stored)


def test_a_set_that_calls_itself_the_rendered_one_must_be_it(stored):
    rewrite(stored, origin=np.array(iclevr.RENDERED))
    with pytest.raises(DatasetCorruptError, match=iclevr.SHA256[:16]):
        iclevr.load(stored)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": SMALL.images[:-1]}, r"images uint8 \(35, 64, 64, 3\)"),
        ({"images": SMALL.images.astype(np.float32)}, "images float32"),
        ({"labels": SMALL.labels[:-3]}, r"labels uint8 \(33, 24\), expected uint8 \(36, 24\)"),
        ({"labels": 2 * SMALL.labels}, "labels: rows must be 0 and 1"),
        ({"test": SMALL.test[:, :23]}, r"test uint8 \(32, 23\)"),
        ({"new_test": np.zeros((4, 24), np.uint8)}, "new_test: rows must"),
        ({"names": np.array(iclevr.CLASSES[::-1])}, "labels yellow cylinder, cyan cylinder"),
    ],
)
def test_arrays_of_another_kind_are_refused(stored, changes, message):
    rewrite(stored, **changes)
    with pytest.raises(DatasetCorruptError, match=message):
        iclevr.load(stored)


def test_getting_renders_once_and_again_when_the_file_is_damaged(tmp_path, monkeypatch):
    renderings = []

    def render(*, progress):
        renderings.append(progress)
        return SMALL

    monkeypatch.setattr(iclevr, "rendered", render)
    path = iclevr.get(tmp_path, progress=False) / "iclevr.npz"
    iclevr.get(tmp_path, progress=False)
    assert len(renderings) == 1
    path.write_bytes(b"")
    iclevr.get(tmp_path, progress=False)
    assert len(renderings) == 2
    assert iclevr.load_collection(tmp_path).digest == SMALL.digest


def test_a_place_that_cannot_be_written_is_said_before_anything_is_rendered(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWriteError):
        iclevr.store(lambda: pytest.fail("rendered"), tmp_path / "file" / "iclevr")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_prompts_differ_have_their_sizes_and_ask_for_every_label(seed):
    test, new_test = iclevr.prompts(seed)
    assert np.bincount(test.sum(axis=1)).tolist() == [0, 11, 11, 10]
    assert np.bincount(new_test.sum(axis=1)).tolist() == [0, 0, 16, 16]
    assert len(np.unique(np.concatenate([test, new_test]), axis=0)) == 64
    for rows in (test, new_test):
        assert rows.shape == (32, 24)
        assert rows.sum(axis=0).min() >= 1
        assert np.ptp(rows.sum(axis=0)) <= 3


def test_prompts_come_from_the_seed():
    assert np.array_equal(iclevr.prompts(4), iclevr.prompts(4))
    assert not np.array_equal(iclevr.prompts(4), iclevr.prompts(5))


@pytest.mark.slow
def test_the_whole_rendered_set_has_the_pinned_digest():
    assert iclevr.rendered().digest == iclevr.SHA256
