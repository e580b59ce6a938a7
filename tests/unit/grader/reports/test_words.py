import pytest

from grader.models import Status
from grader.reports import words

from .examples import unit_row


@pytest.mark.parametrize(
    ("score", "text"), [(5, "all points"), (4.999, "all points"), (2, "part of the points"), (0, "no points")]
)
def test_a_graded_row_says_how_much_it_got(score: float, text: str) -> None:
    assert words.row(unit_row("u", "", score, "")).text == text


def test_every_status_has_words_icon_and_tone() -> None:
    for status in Status:
        word, row = words.status(status), words.row(unit_row("u", "", 0, "").model_copy(update={"status": status, "score": None}))
        assert word.text and word.icon and word.tone and row.text and row.icon and row.tone
        assert words.staff(status).text == status.value


def test_students_are_told_whose_turn_it_is() -> None:
    assert "not your fault" in words.status(Status.UNGRADED).text
    assert words.status(Status.HELD).text == "Waiting for a person to look at it"


def test_a_row_without_a_score_has_lost_nothing() -> None:
    assert not words.lost(unit_row("u", "", 0, "").model_copy(update={"score": None}))
    assert words.lost(unit_row("u", "", 4.9, ""))
