import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from evaluator.errors import PackError
from evaluator.extractors.network import extract, probabilities
from evaluator.packs.courses import course_network


class Evaluator(nn.Module):
    """As courses define it."""

    def __init__(self, labels=24):
        super().__init__()
        self.resnet18 = torchvision.models.resnet18(weights=None)
        self.resnet18.fc = nn.Sequential(nn.Linear(512, labels), nn.Sigmoid())


@pytest.fixture
def evaluator():
    torch.manual_seed(0)
    return Evaluator().resnet18.eval()


@pytest.fixture
def checkpoint(evaluator, tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": evaluator.state_dict(), "epoch": 3}, path)
    return path


def test_it_says_what_the_courses_own_code_says(evaluator, checkpoint):
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 64, 64)).astype(np.uint8)
    network = course_network(checkpoint)
    network.shrink(7.0)  # as packs do, for distances
    features, scores = extract(network, images)
    with torch.inference_mode():
        expected = evaluator(torch.from_numpy(images).float() / 255 * 2 - 1).numpy()
    assert features.shape == (5, 512)
    assert probabilities(scores, multi_label=True) == pytest.approx(expected, abs=1e-5)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(PackError, match="does not exist: expected the course's classifier"):
        course_network(tmp_path / "checkpoint.pth")


class Trap:
    def __reduce__(self):
        import os

        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": Trap()}, "cannot be read as tensors"),
        ({"weights": {}}, "expected a dictionary with the state dict `model`"),
        ([1, 2], "expected a dictionary"),
        ({"model": {"conv1.weight": torch.zeros(2)}}, "not a ResNet-18"),
        ({"model": torchvision.models.resnet18(num_classes=24).state_dict()}, "not a ResNet-18 with a last layer fc.0.weight"),
        ({"model": {**Evaluator().resnet18.state_dict(), "more": torch.zeros(1)}}, "not a ResNet-18.*: more"),
    ],
    ids=["code", "other key", "list", "other network", "other last layer", "one too many"],
)
def test_what_is_no_such_classifier_is_refused(tmp_path, content, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "checkpoint.pth")
    with pytest.raises(PackError, match=message):
        course_network(tmp_path / "checkpoint.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a file of tensors", b"PK\x03\x04 broken"])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "checkpoint.pth").write_bytes(content)
    with pytest.raises(PackError, match="cannot be read as tensors"):
        course_network(tmp_path / "checkpoint.pth")
