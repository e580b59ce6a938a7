"""Whether images hold the objects asked for, where several are asked for at once.

Top-k accuracy is the rule of the courses that use i-CLEVR: for an image of k labels, the k highest outputs of the classifier are
its answers; the share of labels asked for among them, hits of all images ÷ labels of all images. Between 0 and 1, chance being
the share of labels asked for. It does not see an object too many, nor outputs that are all low: `exact_match` and
`extra_labels` take an output above 0.5 for an object that is there.

Where several outputs are equal, the label of the lower number goes first: outputs that do not tell labels apart get what
that order gives.

The labels of one image are hit or missed together, and images of one prompt are alike: the interval is that of a ratio of
means over clusters (Cochran, Sampling Techniques, 1977, chapter 6), an image or a prompt each, linearised, with Student's t.
Of 32 prompts it is wide; more images of the same prompts do not make it narrow. Where all clusters agree and no spread shows,
it is Wilson's of as many trials as there are clusters.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evaluator.arrays import Floats, Integers
from evaluator.errors import LabelsError
from evaluator.features import check_features
from evaluator.interval import LEVEL, wilson
from evaluator.measurement import Measurement

THERE = 0.5

Asked = NDArray[np.integer] | NDArray[np.bool_]
"""(n, L), 1 where the image was asked to hold the label's object, 0 elsewhere."""


def topk_accuracy(probabilities: Floats, asked: Asked, name: str, clusters: Integers | None = None) -> Measurement:
    """Share of the labels asked for that are among an image's k highest outputs, probabilities (n, L); k labels were asked for.

    `clusters` (n,): the prompt that several images share; each image is its own without. Raises LabelsError where an image was
    asked for without a label, the labels are not 0 or 1, shapes disagree, or there are fewer than two clusters.
    """
    wanted = _checked(probabilities, asked)
    hits = found(probabilities, asked).sum(axis=1)
    return _share(hits, wanted.sum(axis=1), clusters, name)


def found(probabilities: Floats, asked: Asked) -> NDArray[np.bool_]:
    """Labels asked for that are among the image's k highest outputs, (n, L); arguments and errors of `topk_accuracy`."""
    wanted = _checked(probabilities, asked)
    rank = np.argsort(np.argsort(-probabilities, axis=1, kind="stable"), axis=1)
    among: NDArray[np.bool_] = (rank < wanted.sum(axis=1, keepdims=True)) & wanted
    return among


def unasked(probabilities: Floats, asked: Asked) -> NDArray[np.bool_]:
    """Labels not asked for whose output is above 0.5, (n, L); arguments and errors of `topk_accuracy`."""
    return (probabilities > THERE) & ~_checked(probabilities, asked)


def exact_match(probabilities: Floats, asked: Asked, name: str, clusters: Integers | None = None) -> Measurement:
    """Share of images whose outputs above 0.5 are exactly the labels asked for; arguments and errors of `topk_accuracy`."""
    wanted = _checked(probabilities, asked)
    exact = ((probabilities > THERE) == wanted).all(axis=1)
    return _share(exact.astype(np.int64), np.ones(len(exact), dtype=np.int64), clusters, name)


def extra_labels(probabilities: Floats, asked: Asked, name: str, clusters: Integers | None = None) -> Measurement:
    """Outputs above 0.5 an image of labels not asked for, from 0 to L; arguments and errors of `topk_accuracy`."""
    extra = unasked(probabilities, asked).sum(axis=1)
    value, half, _ = _ratio(extra, np.ones(len(extra), dtype=np.int64), clusters)
    return Measurement(name, value, max(value - half, 0.0), min(value + half, float(asked.shape[1])), len(extra))


def _checked(probabilities: Floats, asked: Asked) -> NDArray[np.bool_]:
    check_features(probabilities, least=1)
    if asked.shape != probabilities.shape:
        raise LabelsError(f"labels have shape {asked.shape}, expected {probabilities.shape}: a row for each image, 0 or 1 each")
    if not np.isin(asked, (0, 1)).all():
        raise LabelsError(
            f"labels are from {asked.min()} to {asked.max()}, expected 1 where a label is asked for and 0 elsewhere"
        )
    wanted = asked.astype(bool)
    if not wanted.any(axis=1).all():
        raise LabelsError(f"image {int(wanted.any(axis=1).argmin())} was asked for without any label, expected one at least")
    return wanted


def _share(hits: Integers, of: Integers, clusters: Integers | None, name: str) -> Measurement:
    value, half, groups = _ratio(hits, of, clusters)
    if value in (0.0, 1.0):
        low, high = wilson(round(value * groups), groups)
    else:
        low, high = max(value - half, 0.0), min(value + half, 1.0)
    return Measurement(name, value, low, high, len(hits))


def _ratio(hits: Integers, of: Integers, clusters: Integers | None) -> tuple[float, float, int]:
    """Σ hits ÷ Σ of, half the width of its interval, and the number of clusters."""
    if clusters is not None and clusters.shape != hits.shape:
        raise LabelsError(f"clusters have shape {clusters.shape}, expected {hits.shape}: the prompt of each image")
    groups = np.arange(len(hits)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    count = int(groups.max()) + 1
    if count < 2:
        raise LabelsError("there is a single image or prompt, expected at least two: one shows no spread")
    value = float(hits.sum() / of.sum())
    residuals = np.bincount(groups, hits - value * of)
    deviation = math.sqrt(count / (count - 1) * float(np.square(residuals).sum())) / float(of.sum())
    return value, float(special.stdtrit(count - 1, 0.5 + LEVEL / 2)) * deviation, count
