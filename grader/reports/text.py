"""Text that students control, made fit to be shown: no terminal escapes, no invisible or reordering characters."""

import re

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def _table() -> dict[int, str | None]:
    """What becomes of each character that must not be shown as it is."""
    table: dict[int, str | None] = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)))
    del table[ord("\n")], table[ord("\t")]
    table |= dict.fromkeys((0x0B, 0x0C, 0x85, 0x2028, 0x2029), "\n")  # other ways to end a line
    table |= dict.fromkeys((0x061C, 0x200E, 0x200F, 0xFEFF, 0xFFF9, 0xFFFA, 0xFFFB))  # invisible marks
    table |= dict.fromkeys(range(0xE0000, 0xE0080))  # invisible tag characters
    # Embeddings, overrides and isolates make a line read otherwise than it is; show that something stood there.
    table |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), _REPLACEMENT)
    table |= dict.fromkeys((*range(0xD800, 0xE000), 0xFFFE, 0xFFFF), _REPLACEMENT)  # cannot be written as UTF-8
    return table


_TABLE = _table()


def clean(text: str) -> str:
    """The text as a terminal would leave it, without anything that could mislead a reader or break a file.

    Colour codes and control characters vanish, a progress bar that was redrawn with carriage returns keeps its last
    state, bidirectional overrides and lone surrogates become U+FFFD. Newlines and tabs stay. Idempotent. HTML is not
    escaped here: the templates do that.
    """
    text = _ANSI.sub("", text)
    if "\r" in text:
        text = "\n".join(_last_state(line) for line in text.replace("\r\n", "\n").split("\n"))
    return text.translate(_TABLE)


def one_line(text: str) -> str:
    """`clean` text with every run of white space made a single space."""
    return " ".join(clean(text).split())


def _last_state(line: str) -> str:
    """What is left of a line after carriage returns: the last part that is not empty."""
    return next((part for part in reversed(line.split("\r")) if part), "")
