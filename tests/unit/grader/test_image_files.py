import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grader.errors import UsageError
from grader.image_files import order, read, read_labels

N = 12


@pytest.fixture
def grey() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (N, 5, 7)).astype(np.uint8)


@pytest.fixture
def colour() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (N, 3, 5, 7)).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image if image.ndim == 2 else np.moveaxis(image, 0, 2)).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder: Path, images: np.ndarray, classes: int = 1) -> Path:
    """Pictures in folders by class, in an order of names that is the arrays' order."""
    per = len(images) // classes
    for i, image in enumerate(images):
        place = folder / f"class {i // per}" if classes > 1 else folder
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i:03}.png").write_bytes(png(image))
    return folder


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_a_folder_a_zip_and_arrays_hold_the_same_images(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    images = request.getfixturevalue(kind)
    folder = write(tmp_path / "folder", images)
    (folder / "readme.txt").write_text("not a picture")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for i, image in enumerate(images):
            archive.writestr(f"{i:03}.png", png(image))
        archive.writestr("__MACOSX/._000.png", b"a resource fork")
    np.save(tmp_path / "images.npy", images)
    last = np.moveaxis(images, 1, 3) if images.ndim == 4 else images[..., None]
    np.savez(tmp_path / "images.npz", images=last)
    for name in ("folder", "images.zip", "images.npy", "images.npz"):
        found = read(tmp_path / name)
        assert found.labels is None
        assert found.images.shape == images.shape
        assert len(found.images) == N
        assert np.array_equal(found.images[:], images[order(N)])
        assert np.array_equal(found.images[3:8], images[order(N)][3:8])
        assert len(found.images[N:]) == 0


def test_order_is_a_fixed_shuffle() -> None:
    assert sorted(order(1_000)) == list(range(1_000))
    assert not np.array_equal(order(1_000), np.arange(1_000))
    assert np.array_equal(order(1_000), order(1_000))


def test_pictures_become_what_the_reference_is(tmp_path: Path, colour: np.ndarray) -> None:
    folder = write(tmp_path, colour)
    assert read(folder, grey=True).images.shape == (N, 5, 7)
    assert read(folder, grey=False).images.shape == (N, 3, 5, 7)


def test_folders_are_classes(tmp_path: Path, grey: np.ndarray) -> None:
    found = read(write(tmp_path, grey, classes=3))
    assert found.labels is not None
    assert np.array_equal(found.labels, np.repeat([0, 1, 2], N // 3)[order(N)])
    assert np.array_equal(found.images[:], grey[order(N)])


def test_labels_lie_beside_the_images_in_an_npz(tmp_path: Path, grey: np.ndarray) -> None:
    np.savez(tmp_path / "both.npz", arr_0=grey, arr_1=np.arange(N))
    found = read(tmp_path / "both.npz")
    assert np.array_equal(found.labels, order(N))


def test_several_labels_an_image_lie_there_as_rows(tmp_path: Path, grey: np.ndarray) -> None:
    rows = np.arange(N * 4).reshape(N, 4) % 2
    np.savez(tmp_path / "s.npz", grey, rows)
    found = read(tmp_path / "s.npz")
    assert found.labels is not None
    assert np.array_equal(found.labels, rows[order(N)])


def test_labels_from_files(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.arange(3))
    (tmp_path / "labels.txt").write_text("0\n1\n2\n")
    (tmp_path / "many.csv").write_text("0,1\n1,1\n")
    assert read_labels(tmp_path / "labels.npy").tolist() == [0, 1, 2]
    assert read_labels(tmp_path / "labels.txt").tolist() == [0, 1, 2]
    assert read_labels(tmp_path / "many.csv").tolist() == [[0, 1], [1, 1]]


def test_what_holds_no_images_is_refused(tmp_path: Path, grey: np.ndarray) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("hello")
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    np.save(tmp_path / "float.npy", grey / 255)
    np.save(tmp_path / "flat.npy", grey.reshape(N, -1))
    np.save(tmp_path / "objects.npy", np.array([None]), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=grey, b=grey)
    (tmp_path / "labels.txt").write_text("cat\n")
    refused = {
        "missing": "does not exist; expected a folder",
        "empty": "holds no pictures",
        "note.txt": "neither a zip of pictures nor an npy or npz file",
        "broken.npy": "broken.npy: ",
        "broken.npz": "broken.npz: ",
        "float.npy": r"float64, expected uint8; for floats in \[0, 1\]",
        "flat.npy": r"\(12, 35\), expected \(n, h, w\)",
        "objects.npy": "objects.npy: ",
        "two.npz": r"two.npz holds a \(12, 5, 7\), b \(12, 5, 7\); expected one array of images",
    }
    for name, message in refused.items():
        with pytest.raises(UsageError, match=message):
            read(tmp_path / name)
    with pytest.raises(UsageError, match="expected one integer a line"):
        read_labels(tmp_path / "labels.txt")


def test_a_picture_that_is_none_or_has_another_size_is_named(tmp_path: Path, grey: np.ndarray) -> None:
    (write(tmp_path / "damaged", grey) / "005.png").write_bytes(b"\x89PNG")
    with pytest.raises(UsageError, match=r"005\.png: not a picture that can be read"):
        read(tmp_path / "damaged").images[:]
    (write(tmp_path / "sizes", grey) / "005.png").write_bytes(png(grey[0, :4]))
    with pytest.raises(UsageError, match="all images must have one size"):
        read(tmp_path / "sizes").images[:]
