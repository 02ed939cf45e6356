"""What kind of value each keyword of a declaration takes; said before anything is made of it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from assay.declare.words import (
    FileDeclaration,
    PartsDeclaration,
    ProductDeclaration,
    RuleDeclaration,
    SourceDeclaration,
)
from assay.model import Consumer, Freshness
from assay.plan.moments import NEVER, TURNS
from assay.text import clean
from assay.times import MOST_RETRIES, while_of

FILE_NAME = "No folder, no dot first, no control characters, and at most 255 bytes."
Shape = tuple[Callable[[Any], bool], str]
_RETRIES = f"a whole number up to {MOST_RETRIES}"
_LONGEST = 10_000 * 3600  # seconds
_LONGEST_NAME = 255  # bytes, on the file systems of today


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(value.encode()) | True
    except UnicodeEncodeError:
        return False


def is_file_name(text: str) -> bool:
    """Say whether a text can be the name of a file, and shown as it is."""
    plain = PurePath(text).name == text and not text.startswith(".") and clean(text) == text
    return plain and len(text.encode()) <= _LONGEST_NAME


def _is_amount(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _is_while(value: Any) -> bool:
    if isinstance(value, int | float):
        return not isinstance(value, bool) and 0 <= value <= _LONGEST
    try:
        return isinstance(value, str) and bool(while_of(value))
    except ValueError:
        return False


def _list_of(fits: Callable[[Any], bool], words: str) -> Shape:
    return (
        lambda value: isinstance(value, list | tuple) and all(map(fits, value)),
        f"a list of {words}",
    )


def _or_none(shape: Shape) -> Shape:
    return lambda value: value is None or shape[0](value), shape[1]


def _is_inputs(value: Any) -> bool:
    kinds = str | SourceDeclaration | ProductDeclaration | PartsDeclaration
    return isinstance(value, Mapping) and all(
        _is_text(k) and isinstance(v, kinds) for k, v in value.items()
    )


def _is_columns(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(map(_is_text, value))


_TEXT: Shape = (_is_text, "a text")
_SHAPES: Mapping[type, Mapping[str, Shape]] = {
    ProductDeclaration: {
        "name": _TEXT,
        "make": (lambda value: isinstance(value, str) or callable(value), "a function or a query"),
        "file": _TEXT,
        "owner": _TEXT,
        "purpose": _TEXT,
        "domain": _or_none(_TEXT),
        "inputs": (_is_inputs, "a mapping of names to names"),
        "rules": _list_of(
            lambda value: type(value) is RuleDeclaration, "rule.sql(...) or another rule"
        ),
        "consumers": _list_of(
            lambda value: type(value) is Consumer, "Consumer(...), and of no kind of your own"
        ),
        "tags": _list_of(_is_text, "texts"),
        "event_time": _TEXT,
        "freshness": _or_none((lambda value: type(value) is Freshness, "Freshness(by=...)")),
        "release_group": _TEXT,
        "each": (
            lambda value: isinstance(value, str | SourceDeclaration | ProductDeclaration),
            "the name of an input",
        ),
        "partition_by": _TEXT,
        "on_failed_part": (
            lambda value: value in ("hold_product", "hold_part"),
            '"hold_product" or "hold_part"',
        ),
        "retries": _or_none(
            (lambda value: type(value) is int and 0 <= value <= MOST_RETRIES, _RETRIES)
        ),
        "timeout": _or_none((_is_while, 'a length of time such as "10m", or a number of seconds')),
        "isolate": (lambda value: isinstance(value, bool), "True or False"),
        "changes_with": (
            lambda value: value in ("", *TURNS, NEVER) and _is_text(value),
            '"hour", "day", "week", "month", "quarter", "year" or "never"',
        ),
    },
    PartsDeclaration: {
        "of": (
            lambda value: isinstance(value, str | SourceDeclaration | ProductDeclaration),
            "the name of an input",
        ),
        "back": (lambda value: type(value) is int and 0 <= value <= 10_000, "a number of parts"),
        "all": (lambda value: isinstance(value, bool), "True or False"),
    },
    SourceDeclaration: {
        "name": _or_none(_TEXT),
        "domain": _or_none(_TEXT),
        "pattern": (
            lambda value: _is_text(value) and bool(value) and "\0" not in value,
            "a glob of files",
        ),
        "columns": (_is_columns, "a mapping of each column to its Polars data type"),
        "format": _or_none(_TEXT),
        "null_values": _list_of(_is_text, "texts"),
        "delimiter": (
            lambda value: _is_text(value) and len(value) == 1 and value.isascii(),
            "one character",
        ),
        "owner": _TEXT,
        "purpose": _TEXT,
    },
    FileDeclaration: {
        "name": _or_none(_TEXT),
        "domain": _or_none(_TEXT),
        "pattern": (
            lambda value: _is_text(value) and bool(value) and "\0" not in value,
            "the path of a file",
        ),
        "owner": _TEXT,
        "purpose": _TEXT,
    },
    RuleDeclaration: {
        **dict.fromkeys(
            ("text", "severity", "because", "dimension", "owner", "review_by", "on_failure"), _TEXT
        ),
        **dict.fromkeys(
            ("warn_above", "fail_above"),
            (_is_amount, 'a number of rows, or a share such as "0.5 %"'),
        ),
    },
    Consumer: dict.fromkeys(("name", "decides", "contact"), _TEXT),
    Freshness: dict.fromkeys(("by", "tz", "on", "covers"), _TEXT),
}


def wrong_shapes(declared: Any) -> Iterator[str]:
    """Yield what is wrong with the kinds of values in a declaration, and in those inside it."""
    for keyword, (fits, words) in _SHAPES[type(declared)].items():
        value = getattr(declared, keyword)
        if not fits(value):
            yield f"{keyword}= should be {words}, and is {type(value).__name__}"
        elif type(value) in _SHAPES:
            yield from wrong_shapes(value)
        elif keyword in {"rules", "consumers"}:
            for inner in value:
                yield from wrong_shapes(inner)
        elif keyword == "inputs":
            for name, inner in value.items():
                if isinstance(inner, PartsDeclaration):
                    yield from (f"inputs {name}: parts() {wrong}" for wrong in wrong_shapes(inner))
