"""Fréchet distance of the images' features to a pack's reference, at a fixed number of images.

Heusel et al., NeurIPS 2017, with the pack's classifier for the Inception network. The estimate falls with the number
of images (its bias goes as 1/n), which is why that number is part of the metric's name.
"""

from __future__ import annotations

from evaluator.arrays import Features
from evaluator.frechet import Gaussian, distance_interval
from evaluator.measurement import Measurement


def fid(features: Features, to: Gaussian, name: str) -> Measurement:
    """Fréchet distance of features, (n, D), n ≥ 40, with its jackknife interval."""
    value, low, high = distance_interval(features, to)
    return Measurement(name, value, low, high, len(features))
