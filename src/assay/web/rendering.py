"""Templates to text: everything that is put into one is escaped, and its control characters shown."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from assay.errors import UsageError
from assay.facts import short
from assay.text import clean
from assay.views.words.numbers import count_of, day, second
from assay.web.links import Links
from assay.web.look import Look

FOLDER = Path(__file__).parent
_LONGEST = 120  # characters of one cell


class Page(Struct, frozen=True, kw_only=True):
    """A page: its path (without a suffix), title, template, and the values that it shows."""

    path: str
    title: str
    template: str
    values: dict[str, Any]


def rendered(
    page: Page, look: Look | None, links: Links, *, layout: str = "base.html", styles: str = ""
) -> str:
    """Return the HTML of a page. `links` are as seen from the front page.

    `layout` is the template around it; `bare.html` needs no look, and has `styles` in it.
    """
    template = _environment().get_template(page.template)
    html: str = template.render(
        page=page,
        look=look,
        url=links.below(page.path),
        layout=layout,
        styles=_as_it_is(styles),
        **page.values,
    )
    return html


def _as_it_is(html: str) -> Any:
    """Return HTML of our own, which is not escaped."""
    from markupsafe import Markup  # of Jinja

    return Markup(html)


@cache
def _environment() -> Any:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise UsageError("pages need the package jinja2", hint="pip install 'assay[web]'") from None
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_shown,
    )
    environment.filters |= {
        "day": day,
        "second": second,
        "short": short,
        "count": count_of,
        "cell": cell,
        "lines": _lines,
    }
    return environment


def _shown(value: Any) -> Any:
    """Return a value as it is put into a page: text with its control characters made visible."""
    if type(value) is str:
        return clean(value, keep_lines=True)
    return "" if value is None else value


def cell(value: Any) -> str:
    """Return a cell of the data as text, not longer than a line or two."""
    match value:
        case None:
            return "–"
        case bool():
            text = str(value).lower()
        case int():
            text = str(value)
        case float():
            text = f"{value:.6g}" if abs(value) < 1e-3 or abs(value) >= 1e15 else f"{value:,.4f}"
            text = text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
        case datetime():
            text = second(value)
        case _:
            text = clean(str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _lines(texts: Sequence[str]) -> str:
    return "\n".join(texts)
