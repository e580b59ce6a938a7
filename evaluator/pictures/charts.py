"""Charts: confusion of classes, shares of classes, FID against the number of images.

Each returns a matplotlib Figure of its own, made without pyplot, so that nothing is global and no window opens; a notebook shows
it where it is the last thing in a cell, and `png` makes a file of it. Colours can be told apart with any colour vision, and in grey.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluator.arrays import Floats
from evaluator.errors import EvaluatorError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#5f6b76"
"""Okabe and Ito's blue and vermilion, which differ in lightness as well."""
_LEAST_SHARE = 0.005
"""A share that rounds to 0 % stays unwritten."""
_ROOM = 36
"""Characters that fit below a matrix side by side; where all names together have more, they are written upright."""
_TICKS_APART = 0.04
"""Of the axis: a tick closer to the one before it stays without a label."""


class ChartError(EvaluatorError):
    """The figures to be drawn have the wrong shape, are not finite, or do not go together."""


def confusion_chart(counts: NDArray[np.integer], names: Sequence[str]) -> Figure:
    """The confusion matrix as shares of each row, in per cent; a share that rounds to 0 is left empty.

    Args:
        counts: (classes, classes), images asked for as the row's class that look like the column's.
        names: of the classes.

    Raises:
        ChartError: no square matrix of counts, or not a name a class.
    """
    classes = len(names)
    if counts.shape != (classes, classes) or not classes or counts.min() < 0:
        raise ChartError(
            f"counts have shape {counts.shape}, expected {(classes, classes)}, none negative: a row and column a name"
        )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    from matplotlib.ticker import PercentFormatter

    side = max(1.6 + 0.36 * classes, 3.6)
    figure, axes = _figure(side + 0.9, side)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        if share > _LEAST_SHARE:
            colour = "white" if share > 0.5 else "black"
            axes.text(int(column), int(row), f"{share * 100:.0f}", ha="center", va="center", color=colour, fontsize=8)
    upright = classes * max(map(len, names)) > _ROOM
    axes.set_xticks(range(classes), names, rotation=90 if upright else 0)
    axes.set_yticks(range(classes), names)
    axes.set_xlabel("looks like")
    axes.set_ylabel("asked for")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _separate(axes, classes)
    figure.colorbar(image, ax=axes, label="share of the row", format=PercentFormatter(1), shrink=0.8, ticks=[0, 0.5, 1])
    return figure


def class_histogram(shares: Floats, names: Sequence[str]) -> Figure:
    """The share of the images in each class, beside the even share.

    Args:
        shares: (classes,), from 0 to 1.
        names: of the classes.

    Raises:
        ChartError: not a share a name, or a value that is none.
    """
    classes = len(names)
    if shares.shape != (classes,) or not classes or not (np.isfinite(shares) & (shares >= 0) & (shares <= 1)).all():
        raise ChartError(f"shares are {_brief(shares)}, expected {classes} values from 0 to 1: one a name")
    from matplotlib.ticker import PercentFormatter

    figure, axes = _figure(6.4, 1.3 + 0.26 * classes)
    places = np.arange(classes)
    axes.barh(places, shares, color=BLUE, height=0.72)
    for place, share in zip(places, shares, strict=True):
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        axes.annotate(f"{share:.1%}", (share, place), (4, 0), textcoords="offset points", va="center", fontsize=9, bbox=box)
    axes.axvline(1 / classes, color=ORANGE, linestyle="--", linewidth=1.5, label=f"even share, {1 / classes:.1%}")
    axes.set_yticks(places, names)
    axes.set_ylim(classes - 0.5, -0.5)  # the first class on top
    axes.set_xlim(0, 1.15 * max(shares.max(), 1 / classes))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share of the images")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper right", frameon=False)
    return figure


def fid_curve(
    counts: NDArray[np.integer], values: Floats, intervals: Floats, limit: tuple[float, float, float], slope: float
) -> Figure:
    """FID against 1 / N, on which its bias lies on a line, down to N = ∞.

    Args:
        counts: (k,), numbers of images N ≥ 1, k ≥ 2.
        values: (k,), the FID of so many.
        intervals: (k, 2), lower and upper end.
        limit: FID∞ with its lower and upper end.
        slope: of the line, FID per 1 / N.

    Raises:
        ChartError: shapes that do not go together, or a value that is not finite.
    """
    figures = np.concatenate([values, intervals.ravel(), limit, [slope]])
    if counts.ndim != 1 or len(counts) < 2 or values.shape != counts.shape or intervals.shape != (len(counts), 2):
        raise ChartError(
            f"{counts.shape} counts, {values.shape} values and {intervals.shape} intervals do not go together: "
            "expected (k,), (k,) and (k, 2), k ≥ 2"
        )
    if not np.isfinite(figures).all() or counts.min() < 1:
        raise ChartError(f"counts {_brief(counts)}, values {_brief(values)}: expected counts of at least 1 and finite values")
    figure, axes = _figure(6.4, 4.2)
    inverse = 1 / counts
    ends = np.array([0, 1.06 * inverse.max()])
    axes.plot(ends, limit[0] + slope * ends, color=GREY, linewidth=1.5, zorder=1, label="line in 1 / N")
    _with_interval(axes, inverse, values, intervals, BLUE, "o", "FID of N images")
    bounds = np.array([limit[1:]])
    _with_interval(axes, np.zeros(1), np.array(limit[:1]), bounds, ORANGE, "D", f"FID∞ = {limit[0]:.2f}")
    axes.set_xticks([0, *inverse], ["∞", *_labels(counts)])
    axes.set_xlim(-0.03 * ends[1], ends[1])
    axes.set_xlabel("number of images N, spaced as 1 / N")
    axes.set_ylabel("FID")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    return figure


def png(figure: Figure, dpi: int = 120) -> bytes:
    """The bytes of a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches with its axes."""
    from matplotlib.figure import Figure  # half a second to import, which grading need not wait for

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _labels(counts: NDArray[np.integer]) -> list[str]:
    """The counts as labels of ticks at their inverses; empty where the last label, seen from ∞, is too near."""
    labels, last = [""] * len(counts), 0.0
    for k in np.argsort(-counts):
        place = counts.min() / counts[k]
        if place - last >= _TICKS_APART:
            labels[k], last = _short(int(counts[k])), place
    return labels


def _with_interval(axes: Axes, x: Floats, values: Floats, intervals: Floats, colour: str, marker: str, label: str) -> None:
    """Points with bars from the lower to the upper end."""
    lengths = np.abs(intervals - values[:, None]).T
    axes.errorbar(x, values, lengths, fmt=marker, color=colour, capsize=4, markersize=6, label=label, clip_on=False)


def _separate(axes: Axes, classes: int) -> None:
    """White lines between the cells of a matrix."""
    edges = np.arange(1, classes) - 0.5
    axes.hlines(edges, -0.5, classes - 0.5, color="white", linewidth=1)
    axes.vlines(edges, -0.5, classes - 0.5, color="white", linewidth=1)


def _short(n: int) -> str:
    """500, 2k, 2.5k."""
    return f"{n / 1000:g}k" if n >= 1000 else str(n)


def _brief(array: NDArray[np.generic]) -> str:
    """Shape and the first values, for a message."""
    return f"{array.shape} {np.array2string(array.ravel()[:6], precision=3)}"
