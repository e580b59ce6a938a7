import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.reports.text import clean, one_line

any_text = st.text(st.characters(codec=None, categories=None) | st.sampled_from("\x1b[]0m;\r\n\t\x07\u202e\ud800"))


@given(any_text)
def test_what_is_clean_can_be_written_and_holds_no_control_character(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert not [c for c in cleaned if unicodedata.category(c) == "Cc" and c not in "\n\t"]
    assert not set(cleaned) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


@given(any_text)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(st.text("abcäλ中 \n\t.<&", max_size=40))
def test_plain_text_stays(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x07", "link"),
        (" 0%|\r 50%|#\r100%|##\n", "100%|##\n"),
        ("line\r\nnext", "line\nnext"),
        ("photo\u202egnp.exe", "photo\N{REPLACEMENT CHARACTER}gnp.exe"),
        ("a\x00b\x9bc", "abc"),
    ],
)
def test_terminal_text_reads_as_in_a_terminal(found: str, expected: str) -> None:
    assert clean(found) == expected


def test_one_line_leaves_single_spaces_only() -> None:
    assert one_line("  a\n\n b\t\rc ") == "a c"  # a carriage return starts its line anew
    assert one_line("  a\n\n b\tc ") == "a b c"


def test_a_flood_of_unfinished_escapes_takes_linear_time() -> None:
    assert clean("\x1b[" + "0" * 200_000) == "[" + "0" * 200_000
    assert clean("\x1b]" * 100_000) == ""
