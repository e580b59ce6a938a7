import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator import interval
from grader import reports
from grader.models import Status, TaskResult
from grader.reports import classes

from .examples import CLOTHES, CONFUSION, criteria, cwgan, task


def view(result: TaskResult) -> classes.ClassView:
    found = classes.view(result)
    assert found is not None
    return found


def test_the_cells_are_those_of_the_result() -> None:
    matrix = view(cwgan()).confusion
    assert tuple(tuple(cell.count for cell in row.cells) for row in matrix.rows) == CONFUSION
    assert [row.name for row in matrix.rows] == list(matrix.names) == list(CLOTHES)
    assert (matrix.agreed, matrix.total) == (1653, 2000)
    assert [[cell.asked_for for cell in row.cells].index(True) for row in matrix.rows] == list(range(10))


def test_each_cell_says_in_words_what_its_shade_shows() -> None:
    rows = view(cwgan()).confusion.rows
    assert rows[6].cells[0].words == "58 of 200 images asked for as “Shirt” look like “T-shirt/top” (29.0 %)"
    assert rows[6].cells[0].share == 0.29


def test_the_largest_confusions_are_put_in_words() -> None:
    shirt, coat, pullover = view(cwgan()).confusion.mistakes
    assert shirt.startswith("58 of 200 images asked for as “Shirt”")
    assert coat.startswith("31 of 200 images asked for as “Coat” look like “Pullover”")
    assert pullover.startswith("27 of 200 images asked for as “Pullover” look like “Coat”")
    perfect = cwgan(confusion=tuple(tuple(200 * (i == j) for j in range(10)) for i in range(10)))
    assert view(perfect).confusion.mistakes == ()


@given(st.lists(st.lists(st.integers(0, 300), min_size=3, max_size=3), min_size=3, max_size=3))
def test_more_images_never_get_a_lighter_shade(counts: list[list[int]]) -> None:
    shown = view(cwgan(confusion=tuple(map(tuple, counts))))
    for row in shown.confusion.rows:
        cells = sorted(row.cells, key=lambda cell: cell.count)
        assert [cell.shade for cell in cells] == sorted(cell.shade for cell in cells)
        assert all((cell.shade == 0) == (cell.count == 0) and cell.shade <= classes.SHADES for cell in cells)
    for bar in shown.recognised.bars:
        assert bar.whisker is not None and bar.whisker[0] <= bar.length <= bar.whisker[1]


@pytest.mark.parametrize(("hits", "n"), [(0, 200), (1, 200), (90, 200), (200, 200), (1, 1)])
def test_intervals_are_those_of_the_evaluator(hits: int, n: int) -> None:
    assert classes.wilson(hits, n) == pytest.approx(interval.wilson(hits, n))


def test_bars_stand_for_the_diagonal_and_its_interval() -> None:
    shown = view(cwgan())
    assert [bar.value for bar in shown.recognised.bars] == [row[i] / 200 for i, row in enumerate(CONFUSION)]
    low, high = interval.wilson(90, 200)
    assert shown.recognised.bars[6].whisker == (round(100 * low, 2), round(100 * high, 2))
    assert shown.distances is not None and [bar.value for bar in shown.distances.bars] == list(cwgan().class_fids)


def test_a_class_never_asked_for_has_no_share_and_any_interval() -> None:
    bars = view(cwgan(confusion=((0, 0), (1, 3)), class_names=("a",))).recognised.bars
    assert (bars[0].value, bars[0].whisker, bars[1].label) == (0, (0, 100), "1")


@pytest.mark.parametrize("counts", [(), ((1, 2),), ((1,), (2,))])
def test_nothing_without_a_square_matrix(counts: tuple[tuple[int, ...], ...]) -> None:
    assert classes.view(cwgan(confusion=counts)) is None
    assert classes.view(task(Status.GRADED, criteria())) is None


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_shade_can_be_read_in_light_dark_and_print() -> None:
    """The cells' colours as the style sheet has them, against the text on them: 4.5 to 1 at the least (WCAG AA)."""
    style = (Path(reports.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for name, colour in re.findall(r"--(shade-\d|on-light|on-dark|soft): (#[0-9a-f]{6})", style):
        found.setdefault(name, []).append(colour)
    for theme in range(3):
        for shade in range(classes.SHADES + 1):
            text = "soft" if shade == 0 else "on-dark" if shade >= 5 else "on-light"
            light, dark = sorted((_luminance(found[f"shade-{shade}"][theme]), _luminance(found[text][theme])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (theme, shade)
