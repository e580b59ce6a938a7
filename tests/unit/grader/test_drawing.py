"""The pictures of `grader evaluate --pictures`, of the few real digits that the public pack holds."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluator.pack import Pack, public_pack
from evaluator.reference import Reference
from evaluator.sample import Sample
from grader.drawing import PAIRS, draw


@pytest.fixture(scope="module")
def pack() -> Pack:
    return public_pack("mnist")


def turns(pack: Pack, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Images that take turns through the classes, and their classes."""
    order = np.argsort(np.tile(np.arange(26), 10), kind="stable")
    rows = np.resize(order, n)
    return pack.samples[rows], pack.sample_labels[rows]


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def test_all_pictures_of_a_labelled_sample(pack: Pack, tmp_path: Path) -> None:
    images, labels = turns(pack, 1_300)
    drawn, missing = draw(Sample.of(images, pack, labels), tmp_path / "new" / "pictures")
    assert missing == []
    assert [path.name for path in drawn] == [
        "samples.png",
        "fid-by-n.png",
        "neighbours.png",
        "classes-seen.png",
        "classes-asked.png",
        "confusion.png",
    ]
    assert all(opened(path).format == "PNG" for path in drawn)
    samples = np.asarray(opened(drawn[0]))[::2, ::2]
    assert np.array_equal(samples[:28, :28], images[0])


def test_what_there_is_too_little_for_is_named(pack: Pack, tmp_path: Path) -> None:
    images, _ = turns(pack, 60)
    drawn, missing = draw(Sample.of(images, pack), tmp_path)
    assert [path.name for path in drawn] == ["samples.png", "neighbours.png", "classes-seen.png"]
    assert len(missing) == 1
    assert missing[0].startswith("fid-by-n.png: features of 60 images, expected at least")


def test_neighbours_are_real_images_where_they_are_at_hand(pack: Pack, tmp_path: Path) -> None:
    images, labels = turns(pack, 60)

    class Data:
        """The test set as far as it is known here; every index beyond shows the last image."""

        x_train = np.zeros((pack.card.train_images, 28, 28), np.uint8)
        y_train = np.zeros(pack.card.train_images, np.uint8)
        x_test = np.full((pack.card.test_images, 28, 28), 77, np.uint8)
        y_test = np.zeros(pack.card.test_images, np.uint8)

    def right_half(reference: Reference, folder: Path) -> np.ndarray:
        drawn, _ = draw(Sample.of(images, reference, labels), folder)
        (path,) = [path for path in drawn if path.name == "neighbours.png"]
        return np.asarray(opened(path))[::2, ::2][:28, 28:56]

    assert PAIRS <= 60
    assert (right_half(Reference.of_pack(pack, Data()), tmp_path / "real") == 77).all()
    decoded = right_half(Reference.of_pack(pack), tmp_path / "decoded")
    assert decoded.max() == 255  # drawn from the pack's numbers, its brightest pixel white
