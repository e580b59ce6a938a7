import io
import sys

import numpy as np
import pytest
from PIL import Image

from evaluator.pictures.charts import ChartError, class_histogram, confusion_chart, fid_curve, png

NAMES = {3: ["cat", "dog", "ship"], 24: [f"{colour} cylinder" for colour in "abcdefghijklmnopqrstuvwx"]}


def written(axes) -> list[tuple[tuple[float, float], str]]:
    """Where there is text in a chart, and what it says."""
    return [(text.xy if hasattr(text, "xy") else text.get_position(), text.get_text()) for text in axes.texts]


def overlap(figure, labels) -> bool:
    """Whether two of the labels lie on each other once they are drawn."""
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in labels if label.get_text()]
    return any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_rows_of_a_confusion_matrix_are_shares_of_what_was_asked_for():
    axes = confusion_chart(np.array([[3, 1, 0], [0, 0, 0], [1, 0, 399]]), NAMES[3]).axes[0]
    # 1 of 400 rounds to 0 %, and nothing is written of a class that nobody asked for
    assert written(axes) == [((0, 0), "75"), ((1, 0), "25"), ((2, 2), "100")]
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25, 0], [0, 0, 0], [0.0025, 0, 0.9975]]
    assert axes.get_xlabel() == "looks like" and axes.get_ylabel() == "asked for"


def test_bars_are_the_shares_in_order_from_the_top():
    axes = class_histogram(np.array([0.5, 0.3, 0.2]), NAMES[3]).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.5, 0.3, 0.2]
    assert [text for _, text in written(axes)] == ["50.0%", "30.0%", "20.0%"]
    assert axes.get_ylim() == (2.5, -0.5)
    assert axes.lines[0].get_xdata() == pytest.approx([1 / 3, 1 / 3])


def test_the_line_meets_the_limit_at_infinity():
    counts, values = np.array([500, 1000, 10_000]), np.array([28.0, 18.0, 9.0])
    axes = fid_curve(counts, values, np.c_[values - 1, values + 2], limit=(8.0, 7.5, 8.5), slope=10_000.0).axes[0]
    line = axes.lines[0]
    assert line.get_xdata()[0] == 0 and line.get_ydata()[0] == 8.0
    assert np.interp(1 / counts, line.get_xdata(), line.get_ydata()) == pytest.approx([28, 18, 9])
    bars = axes.containers[0].lines[2][0].get_segments()
    assert [segment[:, 1].tolist() for segment in bars] == [[27, 30], [17, 20], [8, 11]]
    assert axes.containers[1].lines[2][0].get_segments()[0][:, 1].tolist() == [7.5, 8.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["∞", "500", "1k", "10k"]


def test_counts_too_near_to_infinity_are_not_labelled():
    counts, values = np.array([1000, 2500, 20_000, 50_000]), np.ones(4)
    axes = fid_curve(counts, values, np.c_[values, values], limit=(1.0, 1.0, 1.0), slope=0.0).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["∞", "1k", "2.5k", "20k", ""]


@pytest.mark.parametrize("classes", [3, 24])
def test_labels_do_not_lie_on_each_other(classes: int):
    names = NAMES[classes]
    matrix = confusion_chart(np.eye(classes, dtype=int), names)
    assert not overlap(matrix, matrix.axes[0].get_xticklabels())
    assert not overlap(matrix, matrix.axes[0].get_yticklabels())
    bars = class_histogram(np.full(classes, 1 / classes), names)
    assert not overlap(bars, bars.axes[0].get_yticklabels())


def test_a_chart_becomes_the_same_png_twice_without_pyplot():
    first, second = (png(class_histogram(np.array([0.5, 0.3, 0.2]), NAMES[3]), dpi=50) for _ in range(2))
    assert first == second
    assert Image.open(io.BytesIO(first)).size[0] == 320
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize(
    "draw",
    [
        lambda: confusion_chart(np.zeros((3, 2), int), NAMES[3]),
        lambda: confusion_chart(np.full((3, 3), -1), NAMES[3]),
        lambda: confusion_chart(np.zeros((0, 0), int), []),
        lambda: class_histogram(np.array([0.5, 0.5]), NAMES[3]),
        lambda: class_histogram(np.array([0.5, np.nan, 0.5]), NAMES[3]),
        lambda: class_histogram(np.array([50.0, 30.0, 20.0]), NAMES[3]),
        lambda: fid_curve(np.array([100]), np.ones(1), np.ones((1, 2)), (1, 1, 1), 0),
        lambda: fid_curve(np.array([0, 100]), np.ones(2), np.ones((2, 2)), (1, 1, 1), 0),
        lambda: fid_curve(np.array([50, 100]), np.ones(2), np.ones((2, 3)), (1, 1, 1), 0),
        lambda: fid_curve(np.array([50, 100]), np.ones(2), np.ones((2, 2)), (np.nan, 1, 1), 0),
    ],
)
def test_other_figures_are_refused(draw):
    with pytest.raises(ChartError, match="expected"):
        draw()
