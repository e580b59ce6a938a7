"""The template environment: everything is escaped, and every string is cleaned before it reaches a page."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from grader.reports import figures, words
from grader.reports.text import clean


def render(template: str, **context: Any) -> str:
    """A self-contained HTML page from a template of this package."""
    return _environment().get_template(template).render(**context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("grader.reports"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "points": figures.points,
        "most": figures.most,
        "measured": figures.measured,
        "places": figures.places,
        "anchor": figures.anchor,
        "percent": figures.percent,
        "moment": figures.moment,
        "clean": clean,
    }
    environment.globals |= {"interval": figures.interval, "word": words.status, "row_word": words.row, "staff_word": words.staff}
    environment.globals["late"] = words.late
    return environment


def _finalize(value: Any) -> Any:
    """Clean text on its way into a page; what is markup already comes from our own templates."""
    return clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
