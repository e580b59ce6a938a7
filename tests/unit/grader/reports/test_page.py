import re
from collections.abc import Iterator

import jinja2
import pytest

from grader.reports import page


def colours() -> Iterator[tuple[str, dict[str, str]]]:
    """The variables of the style sheet in each theme."""
    environment = page._environment()
    style, _, _ = environment.loader.get_source(environment, "style.css")
    blocks = re.findall(r":root \{(.*?)\}", style, flags=re.S)
    for theme, block in zip(("light", "dark", "print"), blocks, strict=True):
        yield theme, dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,8})", block))


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("theme", "palette"), list(colours()), ids=lambda value: value if isinstance(value, str) else "")
def test_text_can_be_read_on_every_ground(theme: str, palette: dict[str, str]) -> None:
    for ink in ("ink", "soft", "accent", "good", "part", "bad", "wait", "hold"):
        for ground in ("bg", "card", "well") if ink in ("ink", "soft") else ("bg", "card"):
            light, dark = sorted((luminance(palette[ink]), luminance(palette[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{theme}: {ink} on {ground}"
    for ground in ("add", "del"):
        light, dark = sorted((luminance(palette["ink"]), luminance(palette[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_strings_are_escaped_and_cleaned_on_their_way() -> None:
    template = page._environment().from_string('<a title="{{ text }}">{{ text }}</a>{{ markup }}{{ number }}')
    shown = template.render(text="\x1b[31m\"><b>'\u202e", markup=jinja2.utils.markupsafe.Markup("<i>"), number=3)
    body = "&#34;&gt;&lt;b&gt;&#39;\N{REPLACEMENT CHARACTER}"
    assert shown == f'<a title="{body}">{body}</a><i>3'


def test_a_name_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        page._environment().from_string("{{ nothing }}").render()
