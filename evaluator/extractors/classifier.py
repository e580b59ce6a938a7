"""The in-domain extractor: a small convolutional classifier of 28×28 grey images.

Its penultimate layer, 128 numbers, is the feature space of every `…_indomain` metric. The features' total variance on
the training images is 128 in every pack, so that a Fréchet distance means the same whatever seed the pack came from.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluator.arrays import Bytes, Features, Floats
from evaluator.images import Images

DIMENSION = 128
CLASSES = 10
BATCH = 250


def _stage(channels_in: int, channels_out: int) -> list[nn.Module]:
    """A convolution with batch normalisation, halving the resolution."""
    return [
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]


class Classifier(nn.Module):
    """Three convolutions, one hidden layer of 128 features, ten classes; about 240,000 parameters.

    A fine one looks at every pixel; the other's first layer takes steps of two, which is cheaper and suffices for strokes.
    """

    def __init__(self, *, fine: bool) -> None:
        super().__init__()
        coarse = [nn.Conv2d(1, 32, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
        stem = _stage(1, 32) if fine else coarse
        self.body = nn.Sequential(*stem, *_stage(32, 64), *_stage(64, 128), nn.Flatten())
        self.neck = nn.Sequential(nn.Linear(128 * 3 * 3, DIMENSION, bias=False), nn.BatchNorm1d(DIMENSION, affine=False))
        self.head = nn.Linear(DIMENSION, CLASSES)

    def features(self, images: Tensor) -> Tensor:
        """Map images, float (n, 1, 28, 28) in [0, 1], to features (n, 128)."""
        normalised: Tensor = self.neck(self.body(images))
        return normalised

    def logits(self, features: Tensor) -> Tensor:
        """Map features (n, 128) to class scores (n, 10)."""
        scores: Tensor = self.head(torch.relu(features))
        return scores

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (n, 10) of images, float (n, 1, 28, 28) in [0, 1]."""
        return self.logits(self.features(images))


def normalise(classifier: Classifier, images: Bytes) -> None:
    """Scale the features so that their total variance on the images, uint8 (n, 28, 28), is 128.

    The head is scaled the other way, so the class scores stay as they were.
    """
    scale = float(extract(classifier, images)[0].var(axis=0, dtype=np.float64).sum()) / DIMENSION
    weights = classifier.state_dict()
    weights["neck.1.running_var"] *= scale
    weights["head.weight"] *= scale**0.5


def restored(weights: Mapping[str, NDArray[np.generic]]) -> Classifier:
    """A classifier with the weights, arrays by name, that a pack keeps; ready to extract."""
    fine = weights["body.0.weight"].shape[-1] == 3  # the kernel of the first layer tells the networks apart
    classifier = Classifier(fine=fine).to(memory_format=torch.channels_last)
    classifier.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return classifier.eval()


def extract(classifier: Classifier, images: Images) -> tuple[Features, Floats]:
    """Features, float32 (n, 128), and class probabilities, (n, 10), of images, uint8 (n, 28, 28).

    Batches have one size, the last being filled up with black, so that an image's features depend neither
    on the images around it nor on how many there are.
    """
    classifier.eval()
    weights = classifier.head.weight.detach().double().numpy()
    bias = classifier.head.bias.detach().double().numpy()
    features = np.empty((len(images), DIMENSION), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            chunk = images[start : start + BATCH]
            batch = torch.zeros(BATCH, 1, 28, 28)
            batch[: len(chunk), 0] = torch.from_numpy(np.array(chunk)).float() / 255  # a copy: the data set may be read-only
            features[start : start + len(chunk)] = classifier.features(batch)[: len(chunk)].numpy()
    scores = np.maximum(features, 0).astype(np.float64) @ weights.T + bias
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return features, exponentials / exponentials.sum(axis=1, keepdims=True)
