from dataclasses import dataclass, field

import numpy as np
import pytest

from evaluator.errors import ImagesError, LabelsError, RealImagesError, UnknownMetricError
from evaluator.evaluate import evaluate
from evaluator.extractors.extractor import Extraction
from evaluator.frechet import distance_of_features, factored, moments
from evaluator.pack import PUBLIC
from evaluator.reference import RealImages, Reference


@dataclass
class Rows:
    """Sums of the rows of an image: an extractor whose answer can be worked out, and which keeps count of what it was asked."""

    seen: list = field(default_factory=list)
    fails_at: int | None = None
    name = "rows"
    identity = "0123"
    dimension = 8

    def extract(self, images):
        if self.fails_at is not None and len(self.seen) == self.fails_at:
            raise KeyboardInterrupt
        self.seen.append(len(images))
        return Extraction(np.asarray(images[:]).sum(axis=2, dtype=np.float32), None)


@pytest.fixture
def real():
    random = np.random.default_rng(3)
    return RealImages(random.integers(0, 256, (2_500, 8, 8)).astype(np.uint8), (np.arange(2_500) % 2).astype(np.uint8))


def reference_of(real, rows, cache=None):
    return Reference.of_images("drawn", real, {"rows": lambda: rows}, cache=cache)


def test_images_without_a_pack_are_measured_by_any_extractor(real):
    images = np.random.default_rng(4).integers(0, 256, (500, 8, 8)).astype(np.uint8)
    found = evaluate(images, reference_of(real, Rows()), ["fid"])
    to = factored(moments(real.images.sum(axis=2, dtype=np.float64)))
    assert list(found) == ["fid500_drawn_rows"]
    assert found["fid500_drawn_rows"].value == pytest.approx(distance_of_features(images.sum(axis=2, dtype=np.float64), to))


def test_features_are_worked_out_once_and_kept(real, tmp_path):
    rows = Rows()
    first = reference_of(real, rows, tmp_path).features("drawn", "rows")
    assert sum(rows.seen) == 2_500
    again = Rows(fails_at=0)
    kept = reference_of(real, again, tmp_path).features("drawn", "rows")
    assert np.array_equal(first, kept)
    assert np.array_equal(kept, real.images.sum(axis=2))


def test_an_interrupted_extraction_goes_on_where_it_was(real, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        reference_of(real, Rows(fails_at=2), tmp_path).features("drawn", "rows")
    rows = Rows()
    found = reference_of(real, rows, tmp_path).features("drawn", "rows")
    assert rows.seen == [500]
    assert np.array_equal(found, real.images.sum(axis=2))


def test_kept_features_are_those_of_these_images_and_this_network(real, tmp_path):
    reference_of(real, Rows(), tmp_path).features("drawn", "rows")
    changed = real.images.copy()
    changed[7, 3, 3] ^= 1
    other = Rows()
    reference_of(RealImages(changed), other, tmp_path).features("drawn", "rows")
    assert sum(other.seen) == 2_500
    renamed = Rows()
    renamed.identity = "4567"
    reference_of(real, renamed, tmp_path).features("drawn", "rows")
    assert sum(renamed.seen) == 2_500


def test_damaged_features_are_refused(real, tmp_path):
    reference_of(real, Rows(), tmp_path).features("drawn", "rows")
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(file.read_bytes()[:1_000])
    with pytest.raises(RealImagesError, match=r"damaged; remove the file"):
        reference_of(real, Rows(), tmp_path).features("drawn", "rows")


def test_moments_by_class_are_those_of_the_class(real):
    features = real.images.sum(axis=2, dtype=np.float64)
    for k, found in enumerate(reference_of(real, Rows()).gaussians_by_class("drawn", "rows")):
        assert found.mean == pytest.approx(features[k::2].mean(axis=0))
    with pytest.raises(RealImagesError, match="no labels"):
        reference_of(RealImages(real.images), Rows()).gaussians_by_class("drawn", "rows")


def test_moments_of_a_pack_need_no_images(pack, fresh):
    assert Reference.of_pack(pack).gaussian("train", "indomain") is pack.train
    with pytest.raises(RealImagesError, match="features of the test images, which a pack does not hold"):
        Reference.of_pack(pack).features("test", "indomain")


def test_features_of_a_packs_images_agree_with_its_moments(pack, shapes):
    found = Reference.of_pack(pack, shapes).features("test", "indomain")
    assert moments(found).mean == pytest.approx(pack.test.mean, abs=1e-5)


def test_what_is_not_there_is_named(real):
    reference = reference_of(real, Rows())
    with pytest.raises(RealImagesError, match="no split called 'test'; it has drawn"):
        reference.real("test")
    with pytest.raises(UnknownMetricError, match="no extractor is called 'inception' here; there are rows"):
        reference.extractor("inception")
    with pytest.raises(RealImagesError, match="drawn has none"):
        evaluate(real.images, reference, ["memorised"])
    with pytest.raises(ImagesError, match=r"shape \(3, 9, 9\), expected \(n, 8, 8\)"):
        evaluate(np.zeros((3, 9, 9), np.uint8), reference, ["fid"])
    with pytest.raises(LabelsError, match="expected 0 or more"):
        evaluate(real.images, reference, ["class_fid"], np.full(2_500, -1))


def test_public_packs_have_the_names_of_their_data_sets():
    assert {folder.name for folder in PUBLIC.iterdir() if (folder / "pack.toml").exists()} == {
        "mnist",
        "fashion_mnist",
        "iclevr",
        "cifar10",
    }
