"""How values show themselves in a notebook: as HTML, where a package above this one says how."""

from collections.abc import Callable, Iterable
from html import escape
from typing import Any, TypeVar

from assay.errors import UsageError
from assay.text import clean

T = TypeVar("T")
_HOW: dict[type, Callable[[Any], str]] = {}


def shown_by(kind: type[T], html: Callable[[T], str]) -> None:
    """Let values of a kind show themselves as `html` returns."""
    _HOW[kind] = html


def html_of(value: object) -> str | None:
    """Return a value as HTML; None if nothing says how, so that a notebook shows it as text.

    Without the package that makes pages, it is the text and what to install.
    """
    how = _HOW.get(type(value))
    if how is None:
        return None
    try:
        return how(value)
    except UsageError as error:
        text = escape(clean(repr(value), keep_lines=True))
        return f"<pre>{text}</pre><p>{escape(clean(f'{error.what}: {error.hint}'))}</p>"


class Several(tuple[T, ...]):
    """Values that show themselves one below the other."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        return joined(map(html_of, self))


def joined(parts: Iterable[str | None]) -> str | None:
    """Return parts of HTML one below the other; None if one cannot be shown so, or there is none."""
    all_parts = list(parts)
    known = [part for part in all_parts if part is not None]
    return "\n".join(known) if known and len(known) == len(all_parts) else None
