"""What a classifier saw in the images of each prompt, and of each label through all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluator.arrays import Floats
from evaluator.metrics.multilabel import Asked, found, unasked


@dataclass(frozen=True)
class PromptSeen:
    """The images of one prompt. Shares are of them, in [0, 1]."""

    found: dict[int, float]
    """By number of a label asked for: the share in which it is among the k highest outputs, k labels being asked for."""
    unasked: dict[int, float]
    """By number of a label not asked for: the share in which its output is above 0.5, where that is any; most often seen first."""


@dataclass(frozen=True)
class LabelSeen:
    """One label in all images."""

    asked: int
    """How many images were asked to hold it."""
    found: float | None
    """The share of them in which it is among the k highest outputs; None where it was never asked for."""
    unasked: float | None
    """The share of the others in which its output is above 0.5; None where there are none."""


def by_prompt(probabilities: Floats, asked: Asked, prompts: int) -> list[PromptSeen]:
    """Each of the prompts that take turns: image i of probabilities and asked (n, L) is of prompt i modulo their number.

    Raises LabelsError where shapes disagree, or an image was asked for without a label.
    """
    hits, extra = found(probabilities, asked), unasked(probabilities, asked)
    return [_prompt(hits[k::prompts].mean(axis=0), extra[k::prompts].mean(axis=0), asked[k]) for k in range(prompts)]


def _prompt(hits: Floats, extra: Floats, asked: Asked) -> PromptSeen:
    seen = [int(label) for label in np.argsort(-extra, kind="stable") if extra[label] > 0]
    return PromptSeen(
        found={int(label): float(hits[label]) for label in np.flatnonzero(asked)},
        unasked={label: float(extra[label]) for label in seen},
    )


def by_label(probabilities: Floats, asked: Asked) -> list[LabelSeen]:
    """Each of the L labels, in order; arguments and errors of `by_prompt`."""
    hits, extra = found(probabilities, asked).sum(axis=0), unasked(probabilities, asked).sum(axis=0)
    wanted = asked.astype(np.int64).sum(axis=0)
    others = len(asked) - wanted
    return [
        LabelSeen(int(n), float(hit / n) if n else None, float(more / rest) if rest else None)
        for n, hit, rest, more in zip(wanted, hits, others, extra, strict=True)
    ]
