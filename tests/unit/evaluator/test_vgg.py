"""The network of small photographs: what its parts compute."""

import numpy as np
import pytest
import torch

from evaluator.extractors.network import extract, normalise, restored
from evaluator.extractors.rounding import in_bytes
from evaluator.extractors.vgg import PATCH, Vgg
from evaluator.packs.recipes import mirrored_photographs

WIDTHS = (8, 12, 16, 20)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (60, 3, 32, 32)).astype(np.uint8)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Vgg(WIDTHS).eval()


def test_features_and_scores_have_the_sizes_asked_for(network, images):
    features, scores = extract(network, images)
    assert features.shape == (60, 20) and scores.shape == (60, 10)
    assert features.min() >= 0


def test_an_image_and_its_mirror_image_have_the_same_features(network, images):
    plain, _ = extract(network, images)
    mirrored, _ = extract(network, np.ascontiguousarray(images[..., ::-1]))
    assert np.allclose(plain, mirrored, atol=1e-5)


def test_in_training_an_image_is_seen_one_way(network, images):
    x = torch.from_numpy(images).float() / 255
    network.train()
    assert not torch.allclose(network.features(x), network.features(x.flip(3)), atol=1e-3)


def test_whitened_patches_have_unit_variance_and_no_correlation(network):
    smooth = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    x = torch.nn.functional.interpolate(smooth, size=32, mode="bilinear")
    network.whiten(x)
    found = network.whitening(2 * x - 1).transpose(0, 1).flatten(1)
    half = len(found) // 2
    assert torch.allclose(found[:half], -found[half:], atol=1e-4)
    covariance = torch.cov(found[:half])
    correlation = covariance / covariance.diagonal().clamp(min=1e-9).sqrt().outer(covariance.diagonal().clamp(min=1e-9).sqrt())
    assert (correlation - torch.eye(half)).abs().max() < 0.1
    assert 0.9 < covariance.diagonal().max() < 1.1
    assert len(found) == 2 * 3 * PATCH**2


def test_a_pack_restores_the_network_in_bytes(network, images):
    network.whiten(torch.from_numpy(images).float() / 255)
    kept = restored(in_bytes(network.state_dict()))
    assert isinstance(kept, Vgg)
    before, after = extract(network, images)[0], extract(kept, images)[0]
    assert np.abs(before - after).max() < 0.05 * before.max()


def test_normalised_features_have_a_variance_of_one_each_and_the_same_scores(network, images):
    _, scores = extract(network, images)
    normalise(network, images)
    features, after = extract(network, images)
    assert features.var(axis=0).sum() == pytest.approx(20, rel=1e-4)
    assert np.allclose(scores, after, atol=1e-4)


def test_distorted_photographs_lose_at_most_a_square_of_eight_pixels():
    images = torch.rand(50, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 0.4
    shown = mirrored_photographs(images, torch.Generator().manual_seed(3))
    hidden = (shown == 0.5).all(1).flatten(1).sum(1)
    assert shown.shape == images.shape
    assert hidden.max() == 64 and hidden.min() >= 1
