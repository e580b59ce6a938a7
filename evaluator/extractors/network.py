"""What every classifier of a pack can do, whichever network it is.

Its penultimate layer is the feature space of every `…_indomain` metric. The features' total variance on the training images is
their number in every pack, so that a Fréchet distance means the same whatever seed the pack came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluator.arrays import Bytes, Features, Floats
from evaluator.extractors.classifier import Classifier
from evaluator.extractors.resnet import Architecture, ResNet
from evaluator.extractors.rounding import expanded
from evaluator.extractors.vgg import Vgg
from evaluator.images import Images

BATCH = 250


class Network(Protocol):
    """A `torch.nn.Module` with features before its last layer, which is called `head`; it rectifies them first."""

    head: nn.Linear

    def features(self, images: Tensor) -> Tensor:
        """Map images, float (n, channels, side, side) in [0, 1], to features (n, D)."""
        ...

    def shrink(self, variance: float) -> None:
        """Divide the features' variance by that, and leave the class scores as they are."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """The weights by name."""
        ...

    def eval(self) -> object:
        """Use the statistics of training in batch normalisation."""
        ...


def normalise(network: Network, images: Bytes) -> None:
    """Scale the features so that their total variance on the images, uint8 (n, …), is D, their number."""
    total = float(extract(network, images)[0].var(axis=0, dtype=np.float64).sum())
    network.shrink(total / network.head.in_features)


def restored(weights: Mapping[str, NDArray[np.generic]]) -> Classifier | ResNet | Vgg:
    """The network with the weights, arrays by name, that a pack keeps; ready to extract. Raises KeyError where it is none of ours."""
    state = {name: torch.from_numpy(array) for name, array in expanded(weights).items()}
    network = _network(state)
    network.to(memory_format=torch.channels_last)
    network.load_state_dict(state)
    return network.eval()


def _network(state: Mapping[str, Tensor]) -> Classifier | ResNet | Vgg:
    if "layer1.0.conv1.weight" in state:
        return ResNet(Architecture.of(state))
    if "whitening.weight" in state:
        return Vgg.of(state)
    return Classifier(fine=state["body.0.weight"].shape[-1] == 3)  # the kernel of the first layer tells the small ones apart


def extract(network: Network, images: Images) -> tuple[Features, Floats]:
    """Features, float32 (n, D), and class scores, (n, classes), of images, uint8 (n, side, side) or (n, 3, side, side).

    Batches have one size, the last being filled up with black, so that an image's features depend neither
    on the images around it nor on how many there are.
    """
    network.eval()
    weights = network.head.weight.detach().double().numpy()
    bias = network.head.bias.detach().double().numpy()
    features = np.empty((len(images), network.head.in_features), dtype=np.float32)
    channels = 1 if len(images.shape) == 3 else images.shape[1]
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            chunk = images[start : start + BATCH]
            batch = torch.zeros(BATCH, channels, *images.shape[-2:])
            rows = torch.from_numpy(np.array(chunk)).float() / 255  # a copy: the data set may be read-only
            batch[: len(chunk)] = rows.view(-1, *batch.shape[1:])
            features[start : start + len(chunk)] = network.features(batch)[: len(chunk)].numpy()
    return features, np.maximum(features, 0).astype(np.float64) @ weights.T + bias


def probabilities(scores: Floats, *, multi_label: bool) -> Floats:
    """What class scores (n, classes) say: of each label by itself if there may be several, else shares that sum to 1."""
    if multi_label:
        sigmoid: Floats = 0.5 + 0.5 * np.tanh(scores / 2)  # 1 / (1 + exp(−s)), which overflows for small s
        return sigmoid
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
