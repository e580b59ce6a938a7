import dataclasses
import hashlib
import tomllib

import numpy as np
import pytest

from evaluator.errors import PackError
from evaluator.evaluate import evaluate
from evaluator.extractors.classifier import Classifier
from evaluator.extractors.network import extract, restored
from evaluator.extractors.resnet import ResNet
from evaluator.extractors.vgg import Vgg
from evaluator.frechet import moments
from evaluator.metrics.memorisation import flagged
from evaluator.pack import CARD, PUBLIC, WEIGHTS, Pack, public_pack, sealed
from evaluator.packs.build import build, build_around, card_text
from evaluator.packs.recipes import RECIPES, mirrored, mirrored_scenes, wobbled
from evaluator.packs.train import train


def copy(folder, tmp_path):
    target = tmp_path / "copy"
    target.mkdir()
    for name in (CARD, WEIGHTS):
        (target / name).write_bytes((folder / name).read_bytes())
    return target


def test_build_returns_what_load_gives(pack, pack_folder):
    assert Pack.load(pack_folder).sha256 == pack.sha256
    assert sorted(path.name for path in pack_folder.iterdir()) == [CARD, WEIGHTS]
    assert [path.name for path in pack_folder.parent.iterdir()] == [pack_folder.name]


def test_sha256_is_of_both_files(pack, pack_folder):
    content = (pack_folder / CARD).read_bytes() + (pack_folder / WEIGHTS).read_bytes()
    assert pack.sha256 == hashlib.sha256(content).hexdigest()


def test_card_says_what_it_was_built_from(pack, shapes):
    card = pack.card
    assert (card.name, card.dataset, card.seed, card.public) == ("shapes-public", "shapes", 1, True)
    assert (card.train_images, card.test_images) == (3_000, 2_200)
    assert card.data_sha256["x_test"] == hashlib.sha256(shapes.x_test.tobytes()).hexdigest()
    assert card.classifier_accuracy > 0.9
    assert tomllib.loads(card_text(card)).keys() == card.model_dump().keys() - {"label_accuracy"}


def test_moments_and_accuracy_are_those_of_the_weights_in_the_pack(pack, shapes):
    features, scores = extract(pack.classifier, shapes.x_test)
    expected = moments(features)
    assert pack.test.mean == pytest.approx(expected.mean)
    assert pack.test.factor @ pack.test.factor.T == pytest.approx(expected.covariance)
    assert (scores.argmax(axis=1) == shapes.y_test).mean() == pack.card.classifier_accuracy


def test_moments_by_class_are_those_of_the_test_images_of_the_class(pack, shapes):
    assert len(pack.test_by_class) == 10
    for k, found in enumerate(pack.test_by_class):
        expected = moments(extract(pack.classifier, shapes.x_test[shapes.y_test == k])[0])
        assert found.mean == pytest.approx(expected.mean, abs=1e-5)
        assert found.factor @ found.factor.T == pytest.approx(expected.covariance, abs=1e-4)


def test_samples_are_real_test_images_of_every_class(pack, shapes):
    assert pack.sample_labels.tolist() == [k for k in range(10) for _ in range(26)]
    for image, label in zip(pack.samples, pack.sample_labels, strict=True):
        same = np.flatnonzero((shapes.x_test == image).all(axis=(1, 2)))
        assert shapes.y_test[same].tolist() == [label]


def test_rows_of_the_codes_lead_back_to_their_images(pack, shapes):
    assert pack.origin(0) == ("train", 0)
    assert pack.origin(2_999) == ("train", 2_999)
    assert pack.origin(3_000) == ("test", 0)
    assert np.array_equal(pack.projection.encode(shapes.x_test), pack.codes[3_000:])
    assert np.array_equal(pack.labels[3_000:], shapes.y_test)


def test_thresholds_are_calibrated_on_the_hold_out(pack, shapes):
    flat = shapes.x_test.reshape(len(shapes.x_test), -1).astype(float)
    squares = np.square(flat).sum(axis=1)
    every = squares[:, None] + squares - 2 * flat @ flat.T
    np.fill_diagonal(every, np.inf)
    assert pack.card.thresholds.near_duplicate == pytest.approx(np.quantile(np.sqrt(every.min(axis=1)), 0.001) / 2)
    codes, tenth = pack.codes.astype(int), np.arange(5_200) % 10
    apart = [np.square(codes[tenth != k] - code).sum(axis=1).min() for code, k in zip(codes, tenth, strict=True)]
    assert pack.card.thresholds.memorised == pytest.approx(np.quantile(apart, 0.001))


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_missing_file_is_named(pack_folder, tmp_path, name):
    folder = copy(pack_folder, tmp_path)
    (folder / name).unlink()
    with pytest.raises(PackError, match=f"{name}: No such file.*grader pack build"):
        Pack.load(folder)


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:500] + b"\1" + data[501:], lambda _: b""])
def test_damaged_weights_are_refused(pack_folder, tmp_path, damage):
    folder = copy(pack_folder, tmp_path)
    (folder / WEIGHTS).write_bytes(damage((folder / WEIGHTS).read_bytes()))
    with pytest.raises(PackError, match="damaged"):
        Pack.load(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format = 4", "format = 2", "format"),
        ("public = true", "public = ", "damaged"),
        ("seed = 1\n", "", "seed: Field required"),
        ("[thresholds]", "[limits]", "thresholds"),
        ("seed = 1\n", "seed = 1\nextra = 2\n", "extra"),
    ],
)
def test_unreadable_card_is_refused(pack_folder, tmp_path, old, new, message):
    folder = copy(pack_folder, tmp_path)
    text = (folder / CARD).read_text()
    assert old in text
    (folder / CARD).write_text(text.replace(old, new))
    with pytest.raises(PackError, match=message):
        Pack.load(folder)


def test_a_card_with_another_digit_is_damaged(pack_folder, tmp_path):
    folder = copy(pack_folder, tmp_path)
    text = (folder / CARD).read_text()
    changed = text.replace("seed = 1\n", "seed = 3\n")
    assert changed != text
    (folder / CARD).write_text(changed)
    with pytest.raises(PackError, match=r"pack\.toml: not what was written .*damaged; build or copy it again"):
        Pack.load(folder)
    (folder / CARD).write_text(sealed(changed.partition("\n")[2]))
    assert Pack.load(folder).card.seed == 3


def test_a_card_of_before_has_no_hash_of_its_own(pack, pack_folder, tmp_path):
    folder = copy(pack_folder, tmp_path)
    (folder / CARD).write_text((folder / CARD).read_text().partition("\n")[2])
    assert Pack.load(folder).card == pack.card


def test_no_single_bit_of_a_card_can_flip_unnoticed(pack, pack_folder, tmp_path):
    folder = copy(pack_folder, tmp_path)
    whole = (folder / CARD).read_bytes()
    noticed = 0
    for at in range(0, 8 * len(whole), 7):
        text = bytearray(whole)
        text[at // 8] ^= 1 << at % 8
        (folder / CARD).write_bytes(text)
        try:
            assert Pack.load(folder).card == pack.card  # a flip in the hash's own line changes nothing of the pack
        except PackError:
            noticed += 1
    assert noticed > len(whole)


@pytest.mark.parametrize("content", [b"not safetensors", None])
def test_weights_that_are_no_pack_are_refused_though_their_hash_is_right(pack, pack_folder, tmp_path, content):
    from safetensors.numpy import save

    folder = copy(pack_folder, tmp_path)
    weights = content or save({"other": np.zeros(1)})
    (folder / WEIGHTS).write_bytes(weights)
    card = pack.card.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    (folder / CARD).write_text(card_text(card))
    with pytest.raises(PackError, match="not a pack of this version"):
        Pack.load(folder)


def test_scale_of_the_features_does_not_depend_on_the_seed(pack):
    # total variance 128 up to the rounding to half precision
    assert pack.train.trace == pytest.approx(128, rel=0.01)


def test_unknown_data_set_has_no_public_pack():
    with pytest.raises(PackError, match=r"nothing.pack\.toml"):
        public_pack("nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.zeros((3_000, 28, 28))}, "training images of shapes: images are float64"),
        ({"y_test": np.zeros(2_200, np.int64)}, "test labels of shapes: int64"),
        ({"y_test": np.zeros(7, np.uint8)}, r"\(7,\), expected uint8 \(2200,\)"),
        ({"y_train": np.zeros(3_000, np.uint8)}, r"training labels of shapes are \[0\]"),
        ({"y_train": np.repeat(np.arange(10, dtype=np.uint8), [2901, *[11] * 9])}, "only 11 training images of a class"),
        ({"x_test": np.zeros((50, 28, 28), np.uint8), "y_test": np.zeros(50, np.uint8)}, "50 test images"),
    ],
)
def test_unfit_data_are_refused_before_training(shapes, tmp_path, change, message):
    with pytest.raises(PackError, match=message):
        build("shapes", dataclasses.replace(shapes, **change), tmp_path / "p", seed=0, public=True)
    assert not (tmp_path / "p").exists()


def test_name_that_is_no_folder_name_is_refused(shapes, tmp_path):
    with pytest.raises(PackError, match="lower-case letters"):
        build("../shapes", shapes, tmp_path / "p", seed=0, public=True)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_training_is_decided_by_the_seed_and_reports_progress(shapes, recipe):
    import torch

    steps = []
    images, labels = shapes.x_train[:500], shapes.y_train[:500]
    if isinstance(recipe.network(), ResNet):
        images = np.repeat(images[:, None, :16, :16], 3, axis=1)[: 4 * recipe.batch]
        labels = np.eye(24, dtype=np.uint8)[labels[: len(images)]]
    elif isinstance(recipe.network(), Vgg):
        images = np.repeat(images[:, None], 3, axis=1)

    def run(seed):
        report = lambda what, done, total: steps.append((done, total))  # noqa: E731
        once = dataclasses.replace(recipe, epochs=1)
        return train(images, labels, once, seed=seed, progress=report)

    before = torch.random.get_rng_state()
    weights = [run(seed).head.weight for seed in (3, 3, 4)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert steps[:4] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_pack_can_be_built_around_the_classifier_of_another(pack, shapes, tmp_path):
    again = build_around(pack.classifier_weights, "shapes", shapes, tmp_path / "p", seed=1, public=True)
    assert again.card == pack.card


@pytest.mark.parametrize("fine", [False, True])
def test_a_classifier_comes_back_from_its_weights_alone(fine):
    made = Classifier(fine=fine)
    back = restored({name: tensor.numpy() for name, tensor in made.state_dict().items()})
    assert str(back) == str(made)
    assert not back.training


def test_an_unknown_data_set_has_no_recipe(shapes, tmp_path):
    with pytest.raises(PackError, match=r"no recipe for the data set 'shapes'; there are: mnist, fashion_mnist, iclevr"):
        build("shapes", shapes, tmp_path / "p", seed=0, public=True)


@pytest.mark.parametrize("distorted", [wobbled, mirrored, mirrored_scenes])
def test_distortions_differ_from_image_to_image_and_keep_most_of_each(shapes, distorted):
    import torch

    images = torch.from_numpy(shapes.x_train[:1]).float().div(255).expand(64, 28, 28).unsqueeze(1)
    found = distorted(images, torch.Generator().manual_seed(0))
    assert found.shape == images.shape
    assert len({image.numpy().tobytes() for image in found}) > 30
    assert found.sum(dim=(1, 2, 3)).min() > 0.6 * images[0].sum()


def test_scenes_go_on_beyond_the_frame_in_all_colours_alike():
    import torch

    ramp = torch.linspace(0, 1, 16).expand(200, 3, 16, 16)  # brighter to the right
    for image in mirrored_scenes(ramp, torch.Generator().manual_seed(0)):
        assert torch.equal(image[0], image[1])
        assert torch.equal(image[0], image[2])
        row = image[0, 0] if image[0, 0, -1] > image[0, 0, 0] else image[0, 0].flip(0)
        steps = (row.diff() * 15).round()
        assert set(steps.tolist()) <= {0.0, 1.0}
        assert steps.sum() >= 15 - 3


def test_clothes_are_mirrored_and_moved_by_whole_pixels():
    import torch

    dot = torch.zeros(400, 1, 28, 28)
    dot[:, 0, 14, 10] = 1
    found = mirrored(dot, torch.Generator().manual_seed(0))
    places = {tuple(place) for place in torch.nonzero(found[:, 0])[:, 1:].tolist()}
    assert found.sum() == 400
    assert places == {(row, column) for row in range(12, 17) for column in [*range(8, 13), *range(15, 20)]}


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "accuracy", "sure"), [("mnist", 0.994, 0.9), ("fashion_mnist", 0.93, 0.7)])
def test_public_packs_suffice_for_grading(dataset, accuracy, sure):
    pack = public_pack(dataset)
    size = sum(path.stat().st_size for path in (PUBLIC / dataset).iterdir())
    random = np.random.default_rng(0)
    assert size < 3_100_000
    assert pack.card.classifier_accuracy >= accuracy
    real = np.resize(pack.samples, (2_000, 28, 28))
    real = np.clip(real + random.integers(-1, 2, real.shape), 0, 255).astype(np.uint8)
    copied = evaluate(real, pack, ["confident2k_indomain", "duplicates2k_pixels", "memorised2k_traintest_pixels"])
    assert copied["confident2k_indomain"].value > sure
    assert copied["duplicates2k_pixels"].value == 1
    assert copied["memorised2k_traintest_pixels"].value > 0.99
    assert flagged(copied["memorised2k_traintest_pixels"])
    noise = random.integers(0, 256, (2_000, 28, 28)).astype(np.uint8)
    assert evaluate(noise, pack, ["fid2k_test_indomain"])["fid2k_test_indomain"].value > 100
