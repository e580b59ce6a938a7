import json
import subprocess
import sys

import numpy as np
import pytest

from evaluator.errors import CountError, FeaturesError, ImagesError, LabelsError, UnknownMetricError
from evaluator.evaluate import METRICS, Against, Asked, evaluate, measure, named
from evaluator.frechet import distance_of_features
from evaluator.metrics.multilabel import topk_accuracy
from evaluator.pack import public_pack
from evaluator.prompts import Prompts
from evaluator.reference import Reference
from evaluator.sample import Sample

STANDARD = Reference.of_pack(public_pack("mnist"))

FROM_A_PACK = {
    str(named(metric, 2_000, STANDARD)): line for metric, line in METRICS.items() if line.against is not Against.FEATURES
}
TWO_THOUSAND = [name for name, line in FROM_A_PACK.items() if line.asked is Asked.NOTHING] + ["fid2k_train_indomain"]
BY_CLASS = [name for name, line in FROM_A_PACK.items() if line.asked is Asked.CLASS]
TURNS = np.arange(2_000) % 10


@pytest.fixture(scope="module")
def sample(pack, fresh):
    return Sample.of(fresh, pack)


@pytest.fixture(scope="module")
def measured(sample):
    return measure(sample, TWO_THOUSAND)


def test_measurements_are_named_ordered_and_bracketed(measured):
    found = measured
    assert list(found) == TWO_THOUSAND
    for name, measurement in found.items():
        assert measurement.name == name
        assert measurement.n == 2_000
        assert measurement.low <= measurement.value <= measurement.high


def test_fresh_images_measure_about_as_real_ones(pack, measured):
    found = measured
    floor = pack.card.floor
    assert found["fid2k_test_indomain"].value < 3 * floor["fid2k_test_indomain"].high
    assert found["class_kl2k_uniform_indomain"].value < 0.1
    assert found["duplicates2k_pixels"].value == 0


def test_identical_images_measure_identically_whatever_came_before(pack, fresh, measured):
    evaluate(255 - fresh, pack, ["fid2k_test_indomain"])
    assert evaluate(fresh.copy(), pack, TWO_THOUSAND) == measured


def test_features_do_not_depend_on_order_or_company(pack, fresh, sample):
    order = np.random.default_rng(0).permutation(len(fresh))[:600]
    features = sample.indomain.features
    assert Sample.of(fresh[order], pack).indomain.features == pytest.approx(features[order], abs=1e-9)
    assert Sample.of(fresh[:7], pack).indomain.features == pytest.approx(features[:7], abs=1e-9)


def test_fid_is_the_distance_of_the_features_to_the_packs_moments(pack, sample, measured):
    found, features = measured, sample.indomain.features
    assert found["fid2k_test_indomain"].value == distance_of_features(features, pack.test)
    assert found["fid2k_train_indomain"].value == distance_of_features(features, pack.train)


def test_collapse_and_noise_measure_worse(pack, fresh, measured):
    repeated = evaluate(np.repeat(fresh[:1], 2_000, axis=0), pack, TWO_THOUSAND)
    noise = np.random.default_rng(0).integers(0, 256, fresh.shape).astype(np.uint8)
    assert repeated["duplicates2k_pixels"].value == 1
    assert repeated["class_kl2k_uniform_indomain"].value == pytest.approx(np.log(10))
    for bad in (repeated, evaluate(noise, pack, TWO_THOUSAND)):
        assert bad["fid2k_test_indomain"].low > 10 * measured["fid2k_test_indomain"].high


def test_probabilities_are_the_networks_softmax(pack, fresh):
    import torch

    with torch.inference_mode():
        scores = pack.classifier(torch.from_numpy(fresh[:5]).unsqueeze(1).float() / 255)
    expected = torch.softmax(scores, dim=1).numpy()
    assert Sample.of(fresh[:5], pack).indomain.probabilities == pytest.approx(expected, abs=1e-5)


def test_description_names_the_copies(pack, shapes, fresh):
    images = fresh.copy()
    images[12], images[1_500] = shapes.x_train[77], shapes.x_test[5]
    sample = Sample.of(images, pack)
    closest, found = sample.closest(10), sample.describe()
    assert {(near.image, near.split, near.index) for near in closest[:2]} == {(12, "train", 77), (1_500, "test", 5)}
    assert all(near.distance == 0 and near.memorised for near in closest[:2])
    assert [near.distance for near in closest] == sorted(near.distance for near in closest)
    assert len(closest) == 10
    assert found.shares.sum() == pytest.approx(1)
    assert np.array_equal(np.bincount(found.classes, minlength=10) / 2_000, found.shares)


def test_description_of_few_images(pack, fresh):
    assert len(Sample.of(fresh[:3], pack).closest(10)) == 3


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 28, 28)), "float64, expected uint8"),
        (np.full((2, 28, 28), np.nan, np.float32), "float32, expected uint8"),
        (np.zeros((2, 28, 28), np.int16), "int16, expected uint8"),
        (np.zeros((2, 1, 28, 28), np.uint8), r"shape \(2, 1, 28, 28\), expected \(n, 28, 28\)"),
        (np.zeros((2, 32, 32), np.uint8), r"shape \(2, 32, 32\)"),
        (np.zeros((0, 28, 28), np.uint8), "no images"),
        ([[0]], "a list, expected a numpy array"),
    ],
)
def test_unfit_images_are_refused(pack, images, message):
    with pytest.raises(ImagesError, match=message):
        evaluate(images, pack, TWO_THOUSAND)


def test_another_count_than_the_name_states_is_refused(pack, fresh):
    with pytest.raises(CountError, match="takes 2,000 images, but there are 1,999"):
        evaluate(fresh[:-1], pack, ["fid2k_test_indomain"])


@pytest.mark.parametrize(
    "request_", ["fud", "fid2k_best_indomain", "fid2k_test_pixels", "fid2000_test_indomain", "fid02k_test_indomain", ""]
)
def test_unknown_metric_is_refused_with_the_known_ones(pack, fresh, request_):
    with pytest.raises(UnknownMetricError, match=r"no metric is called .*fid, .*test or train.*indomain"):
        evaluate(fresh, pack, [request_])


@pytest.mark.parametrize(
    ("request_", "full"),
    [
        ("fid", "fid2k_test_indomain"),
        ("fid_train", "fid2k_train_indomain"),
        ("fid_indomain", "fid2k_test_indomain"),
        ("fid2k", "fid2k_test_indomain"),
        ("class_fid_test", "class_fid2k_test_indomain"),
        ("class_kl", "class_kl2k_uniform_indomain"),
        ("duplicates", "duplicates2k_pixels"),
        ("memorised", "memorised2k_traintest_pixels"),
        ("fid2k_train_indomain", "fid2k_train_indomain"),
    ],
)
def test_what_goes_without_saying_may_be_left_out(request_, full):
    assert str(named(request_, 2_000, STANDARD)) == full


@pytest.fixture(scope="module")
def asked(shapes):
    """2,000 real shapes in which the classes take turns."""
    rows = np.stack([np.flatnonzero(shapes.y_test == k)[:180] for k in range(10)], axis=1)
    more = np.stack([np.flatnonzero(shapes.y_train == k)[:20] for k in range(10)], axis=1)
    return np.concatenate([shapes.x_test[rows.ravel()], shapes.x_train[more.ravel()]])


@pytest.fixture(scope="module")
def measured_by_class(pack, asked):
    return evaluate(asked, pack, BY_CLASS, TURNS)


def test_real_images_of_the_classes_asked_for_measure_well(pack, measured_by_class):
    agreement, distance = (measured_by_class[name] for name in ("class_agreement2k_indomain", "class_fid2k_test_indomain"))
    assert agreement.value == pytest.approx(pack.card.classifier_accuracy, abs=0.02)
    assert agreement.low < agreement.value <= agreement.high
    assert distance.value < 2 * pack.card.floor["class_fid2k_test_indomain"].high
    assert distance.low < distance.value < distance.high
    assert distance.n == 2_000


def test_class_fid_is_the_mean_of_the_distances_by_class(pack, asked, measured_by_class):
    found = Sample.of(asked, pack, TURNS).describe()
    features = Sample.of(asked, pack).indomain.features
    expected = [distance_of_features(features[k::10], pack.test_by_class[k]) for k in range(10)]
    assert found.class_fids == pytest.approx(expected)
    assert measured_by_class["class_fid2k_test_indomain"].value == pytest.approx(np.mean(expected))


def test_confusion_counts_what_was_asked_against_what_is_seen(pack, asked, measured_by_class):
    found = Sample.of(asked, pack, TURNS).describe()
    assert found.confusion.sum(axis=1).tolist() == [200] * 10
    assert np.array_equal(found.confusion.sum(axis=0), np.bincount(found.classes, minlength=10))
    assert np.trace(found.confusion) / 2_000 == measured_by_class["class_agreement2k_indomain"].value


def test_swapped_classes_are_worse_by_class_and_the_same_all_in_all(pack, asked, measured_by_class):
    swapped = (TURNS + 1) % 10
    found = evaluate(asked, pack, ["fid2k_test_indomain", *BY_CLASS], swapped)
    assert found["fid2k_test_indomain"] == evaluate(asked, pack, ["fid2k_test_indomain"])["fid2k_test_indomain"]
    assert found["class_agreement2k_indomain"].value < 0.05
    assert found["class_fid2k_test_indomain"].low > 10 * measured_by_class["class_fid2k_test_indomain"].high
    seen = Sample.of(asked, pack, swapped).describe().confusion
    assert np.array_equal(seen, np.roll(Sample.of(asked, pack, TURNS).describe().confusion, 1, axis=0))


def test_one_image_a_class_agrees_and_is_far_by_class(pack, asked):
    found = evaluate(np.resize(asked[:10], asked.shape), pack, BY_CLASS, TURNS)
    assert found["class_agreement2k_indomain"].value >= 0.9
    assert found["class_fid2k_test_indomain"].low > 3 * pack.card.floor["class_fid2k_test_indomain"].high


def test_the_order_of_the_classes_does_not_matter(pack, asked, measured_by_class):
    order = np.argsort(TURNS, kind="stable")
    found = evaluate(asked[order], pack, BY_CLASS, TURNS[order])["class_fid2k_test_indomain"]
    expected = measured_by_class["class_fid2k_test_indomain"]
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_images_without_labels_have_no_classes_asked_for(pack, fresh):
    found = Sample.of(fresh, pack).describe()
    assert found.confusion is None
    assert found.class_fids is None
    for name in BY_CLASS:
        with pytest.raises(LabelsError, match="pass 2,000 labels"):
            evaluate(fresh, pack, [name])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (TURNS.astype(float), "labels are float64, expected a numpy array of integers"),
        (TURNS.tolist(), "labels are list, expected"),
        (TURNS[:-1], r"shape \(1999,\), expected \(2000,\)"),
        (TURNS + 1, "labels are from 1 to 10, expected 0 to 9"),
        (TURNS - 1, "labels are from -1 to 8, expected 0 to 9"),
        (np.zeros(2_000, int), r"\[2000, 0, .*expected 200 times each"),
    ],
)
def test_unfit_labels_are_refused(pack, asked, labels, message):
    with pytest.raises(LabelsError, match=message):
        evaluate(asked, pack, ["class_fid2k_test_indomain"], labels)


def test_importing_the_evaluator_does_not_import_torch():
    code = "import sys, evaluator.evaluate, evaluator.pack; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def whole(pack, shapes):
    """All there is to compare shapes with."""
    return Reference.of_pack(pack, shapes)


@pytest.fixture(scope="module")
def every(whole, asked):
    wanted = [metric for metric, line in METRICS.items() if line.asked is not Asked.LABELS]
    return evaluate(asked, whole, wanted, TURNS)


@pytest.mark.slow
def test_every_metric_brackets_its_value_and_fits_into_json(every):
    assert len(every) == len([line for line in METRICS.values() if line.asked is not Asked.LABELS])
    for name, found in every.items():
        assert (found.name, found.n) == (name, 2_000)
        assert found.low <= found.value <= found.high, name
    json.dumps([vars(found) for found in every.values()], allow_nan=False)


@pytest.mark.slow
def test_order_decides_no_value_but_those_of_runs(whole, asked, every):
    """`is` and `fd_infinity` are defined by runs of images; in all others order moves the interval alone."""
    order = np.random.default_rng(8).permutation(len(asked))
    names = [name for name in every if not name.startswith(("is2k", "fd_infinity"))]
    for name, found in evaluate(asked[order], whole, names, TURNS[order]).items():
        assert found.value == pytest.approx(every[name].value, rel=1e-9, abs=1e-9), name


@pytest.mark.slow
def test_images_read_in_pieces_measure_as_an_array_does(whole, asked, every):
    class Pieces:
        """Neither an array nor indexable by anything but slices."""

        shape, dtype = asked.shape, asked.dtype

        def __len__(self):
            return len(asked)

        def __getitem__(self, rows):
            assert isinstance(rows, slice)
            return asked[rows]

    assert evaluate(Pieces(), whole, list(every), TURNS) == every


def test_labels_of_several_objects_are_scored_by_the_labels_asked_for(pack, asked):
    one_hot = np.eye(10, dtype=np.int64)[TURNS]
    found = evaluate(asked, pack, ["topk_accuracy", "exact_match", "extra_labels"], one_hot)
    agreement = evaluate(asked, pack, ["class_agreement"], TURNS)["class_agreement2k_indomain"]
    assert found["topk_accuracy2k_indomain"].value == agreement.value
    assert found["exact_match2k_indomain"].value <= agreement.value
    with pytest.raises(LabelsError, match="a row of 0 and 1"):
        evaluate(asked, pack, ["topk_accuracy"], TURNS)
    with pytest.raises(LabelsError, match="pass 2,000 labels"):
        evaluate(asked, pack, ["class_fid"], one_hot)


def test_a_set_of_prompts_is_measured_by_its_own_images_and_the_first_of_each_are_a_single_draw(pack, asked):
    """Ten prompts in two sets, each one class: what topk_accuracy finds is the classes' agreement, and its clusters are the prompts."""
    one_hot = np.eye(10, dtype=np.uint8)
    prompts = Prompts({"odd": one_hot[:4], "new-test": one_hot[4:]})
    sample = Sample.of(asked, pack, prompts=prompts)
    agreed = np.diag(Sample.of(asked, pack, TURNS).describe().confusion)
    found = measure(sample, ["topk_accuracy800_odd_indomain", "topk_accuracy1200_new-test_indomain", "topk_accuracy2k_indomain"])
    assert [m.value for m in found.values()] == [agreed[:4].sum() / 800, agreed[4:].sum() / 1200, agreed.sum() / 2000]
    single = measure(sample, ["topk_accuracy6_new-test_indomain"])["topk_accuracy6_new-test_indomain"]
    again = evaluate(asked[4:10], pack, ["topk_accuracy"], one_hot[4:])["topk_accuracy6_indomain"]
    assert (single.value, single.low, single.high, single.n) == (again.value, again.low, again.high, 6)
    by_prompt = topk_accuracy(sample.indomain.probabilities, prompts.labels(2_000), "m", np.arange(2_000) % 10)
    assert (found["topk_accuracy2k_indomain"].low, found["topk_accuracy2k_indomain"].high) == (by_prompt.low, by_prompt.high)
    with pytest.raises(CountError, match="expected a multiple of their number, 6"):
        measure(sample, ["topk_accuracy7_new-test_indomain"])
    for name in ("topk_accuracy2k_other_indomain", "fid2k_new-test_indomain"):
        with pytest.raises(UnknownMetricError):
            measure(sample, [name])


@pytest.mark.parametrize("images", [np.zeros((60, 28, 28), np.uint8), np.full((60, 28, 28), 255, np.uint8)])
def test_constant_images_are_measured_or_refused_in_words(whole, images):
    for metric, line in METRICS.items():
        if line.asked is Asked.NOTHING:
            try:
                (found,) = evaluate(images, whole, [metric]).values()
            except FeaturesError as error:
                assert "expected at least" in str(error)
            else:
                assert np.isfinite([found.low, found.value, found.high]).all(), metric


@pytest.mark.parametrize("n", [1, 2, 39])
def test_too_few_images_are_refused_in_words(whole, fresh, n):
    measured = []
    for metric, line in METRICS.items():
        if line.asked is Asked.NOTHING:
            try:
                evaluate(fresh[:n], whole, [metric])
            except FeaturesError as error:
                assert "expected at least" in str(error)
            else:
                measured.append(metric)
    assert "fid" not in measured
    assert "confident" in measured
