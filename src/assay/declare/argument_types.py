"""The type that each argument of a declaration must have, checked before the declaration is read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import PurePath
from typing import Any

from msgspec import Struct

from assay.declare.words import (
    CalendarDay,
    CalendarDeclaration,
    DeclaredFunction,
    DialectDeclaration,
    FileDeclaration,
    HistoryDeclaration,
    LayoutDeclaration,
    PartsDeclaration,
    ProductDeclaration,
    RuleDeclaration,
    SourceDeclaration,
)
from assay.model import Access, Consumer, Freshness
from assay.plan.moments import NEVER, TURNS
from assay.plan.window_text import MOST_WORKING_DAYS
from assay.text import clean
from assay.times import MOST_RETRIES, while_of

FILE_NAME_HINT = "No folder, no dot first, no control characters, and at most 255 bytes."
_LONGEST_FILE_NAME = 255  # bytes: the limit of common file systems
_LONGEST_TIMEOUT = 10_000 * 3600  # seconds
_MOST_SKIPPED = 1_000_000
_MOST_PARTS_BACK = 10_000
_MOST_APPROVALS = 100
_LONGEST_QUOTED = 40  # characters of a wrong value in a message


class _Type(Struct, frozen=True):
    """A type of argument: `accepts` checks a value, `expected` describes it in messages.

    Of a list, `element` is the type of each element.
    """

    accepts: Callable[[Any], bool]
    expected: str
    element: "_Type | None" = None


def wrong_arguments(declared: Any) -> Iterator[str]:
    """Yield a message for each argument of a declaration, and of those inside it, of a wrong type."""
    for keyword, type_ in _TYPES[type(declared)].items():
        value = getattr(declared, keyword)
        if not type_.accepts(value):
            yield f"{keyword}= should be {type_.expected}, and is {_quoted(value)}"
        elif type_.element:
            yield from _wrong_elements(keyword, value, type_.element)
        elif type(value) in _TYPES and type(value) is not CalendarDeclaration:  # it is read itself
            yield from wrong_arguments(value)
        elif keyword == "inputs":
            for name, inner in value.items():
                if isinstance(inner, PartsDeclaration):
                    for message in wrong_arguments(inner):
                        yield f"inputs {name}: parts() {message}"


def _wrong_elements(keyword: str, values: Sequence[Any], type_: _Type) -> Iterator[str]:
    for index, value in enumerate(values):
        if not type_.accepts(value):
            yield f"{keyword}[{index}] should be {type_.expected}, and is {_quoted(value)}"
        elif type(value) in _TYPES:
            yield from wrong_arguments(value)


def _quoted(value: Any) -> str:
    """Return a short plain value as it is written in Python, and the type of any other."""
    is_short_int = type(value) is int and abs(value) < 10**_LONGEST_QUOTED
    if isinstance(value, CalendarDay):
        return f"working_day({_quoted(value.n)})"
    if value is None or type(value) in {str, bool, float} or is_short_int:
        text = repr(value)
        if len(text) <= _LONGEST_QUOTED:
            return text
    return type(value).__name__


def is_file_name(text: str) -> bool:
    """Return True for a text that can be the name of a file and can be displayed unchanged."""
    is_plain = PurePath(text).name == text and not text.startswith(".") and clean(text) == text
    return is_plain and len(text.encode()) <= _LONGEST_FILE_NAME


# ------------------------------------------------------------------------------------------ checks


def is_text(value: Any) -> bool:
    """Return True for a text without surrogates."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_path(value: Any) -> bool:
    return is_text(value) and bool(value) and "\0" not in value


def _is_character(value: Any) -> bool:
    return is_text(value) and len(value) == 1 and value.isascii()


def _is_prefix(value: Any) -> bool:
    return is_text(value) and bool(value) and not set(value) & set("\r\n\0")


def _is_grouping(value: Any) -> bool:
    return is_text(value) and len(value) == 1 and not value.isalnum() and value not in "+-\r\n\0"


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_amount(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _is_duration(value: Any) -> bool:
    if isinstance(value, int | float):
        return not isinstance(value, bool) and 0 <= value <= _LONGEST_TIMEOUT
    try:
        return isinstance(value, str) and bool(while_of(value))
    except ValueError:
        return False


def _is_input(value: Any) -> bool:
    return isinstance(value, str | SourceDeclaration | ProductDeclaration)


def _is_inputs(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        is_text(name) and (_is_input(input) or isinstance(input, PartsDeclaration))
        for name, input in value.items()
    )


def _is_calendar(value: Any) -> bool:
    return is_text(value) or isinstance(value, CalendarDeclaration)


def _is_days(value: Any) -> bool:
    if isinstance(value, CalendarDay):
        return value.n is None or (type(value.n) is int and 1 <= value.n <= MOST_WORKING_DAYS)
    return _is_calendar(value)


def _is_listed(value: Any) -> bool:
    if isinstance(value, str | PurePath):
        return _is_path(str(value))
    return isinstance(value, list | tuple | set | frozenset)


def _is_columns(value: Any) -> bool:
    if isinstance(value, str):
        return value == "as stored"
    return isinstance(value, Mapping) and bool(value) and all(map(is_text, value))


def _is_renamed(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(is_text(column) and is_text(name) and name for column, name in value.items())


def _is_key(value: Any) -> bool:
    return _is_columns_listed(value if isinstance(value, list | tuple) else [value])


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and _is_columns_listed(value)


def _is_columns_listed(value: Sequence[Any]) -> bool:
    """Return True for names of columns, each once."""
    names = [name for name in value if is_text(name) and name]
    return len(names) == len(value) == len({name.lower() for name in names}) > 0


def _is_builder(value: Any) -> bool:
    return isinstance(value, str) or callable(value)


# ------------------------------------------------------------------------------------------ types


def _list_of(element: _Type, expected: str) -> _Type:
    return _Type(lambda value: isinstance(value, list | tuple), f"a list of {expected}", element)


def _exactly(kind: type) -> Callable[[Any], bool]:
    """Return a check for values of a type, without its subclasses."""
    return lambda value: type(value) is kind


def _one_of(*values: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in values


def _up_to(most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and 0 <= value <= most


def _optional(type_: _Type) -> _Type:
    return _Type(lambda value: value is None or type_.accepts(value), type_.expected)


def _is_dates(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(is_text(name) and isinstance(day, str | date) for name, day in value.items())


_TEXT = _Type(is_text, "a text")
_DAY = _Type(lambda value: is_text(value) or type(value) is date, "a day such as '2021-01-15'")
_CHARACTER = _Type(_is_character, "one character")
_BOOL = _Type(_is_bool, "True or False")
_INPUT = _Type(_is_input, "the name of an input")
_LIMIT = _Type(_is_amount, 'a number of rows, or a share such as "0.5 %"')
_RULE = _Type(_exactly(RuleDeclaration), "rule.sql(...) or another rule")
_CONSUMER = _Type(_exactly(Consumer), "Consumer(name=...), and of no class of your own")
_FRESHNESS = _optional(_Type(_exactly(Freshness), "Freshness(by=...)"))
_DURATION = _optional(_Type(_is_duration, 'a length of time such as "10m", or a number of seconds'))
_CALENDAR = _Type(_is_calendar, 'the name of a calendar, such as "GB-ENG", or calendar(...)')
_ON = _Type(
    _is_days,
    f"the name of a calendar, calendar(...), or its working_day(3), from 1 to {MOST_WORKING_DAYS}",
)
_DAYS = _Type(_is_listed, 'a list of dates such as "2011-12-24", or the path of a file')
_ACCESS = _Type(_one_of(*Access), '"private", "protected" or "public"')
_RULES = _list_of(_RULE, "rules, such as rule.sql(...)")
_PRODUCT: Mapping[str, _Type] = {
    "name": _TEXT,
    "make": _Type(_is_builder, "a function or a query"),
    "file": _TEXT,
    "owner": _TEXT,
    "purpose": _TEXT,
    "domain": _optional(_TEXT),
    "inputs": _Type(_is_inputs, "a mapping of names to names"),
    "rules": _RULES,
    "consumers": _list_of(_CONSUMER, "Consumer(name=...)"),
    "tags": _list_of(_TEXT, "texts"),
    "event_time": _TEXT,
    "freshness": _FRESHNESS,
    "release_group": _TEXT,
    "dialect": _TEXT,
    "each": _INPUT,
    "partition_by": _TEXT,
    "on_failed_part": _Type(_one_of("hold_product", "hold_part"), '"hold_product" or "hold_part"'),
    "retries": _optional(_Type(_up_to(MOST_RETRIES), f"a whole number from 0 to {MOST_RETRIES}")),
    "timeout": _DURATION,
    "isolate": _BOOL,
    "changes_with": _Type(
        _one_of("", *TURNS, NEVER),
        '"hour", "day", "week", "month", "quarter", "year" or "never"',
    ),
    "access": _ACCESS,
    "version": _TEXT,
    "budget": _optional(_TEXT),
    "deprecated": _Type(_is_dates, 'a mapping of columns to dates, such as "2026-03-01"'),
    "approval": _list_of(_TEXT, "people, such as cfo@shop.example"),
    "approvals": _Type(_up_to(_MOST_APPROVALS), "a number of approvals, at least 1"),
}
_TYPES: Mapping[type, Mapping[str, _Type]] = {
    ProductDeclaration: _PRODUCT,
    DeclaredFunction: _PRODUCT,
    HistoryDeclaration: {
        **_PRODUCT,
        "name": _optional(_TEXT),
        "of": _INPUT,
        "key": _Type(_is_key, "a column, or a list of columns"),
        "valid": _Type(_is_pair, 'the names of two columns, such as ("valid_from", "valid_to")'),
    },
    PartsDeclaration: {
        "of": _INPUT,
        "back": _Type(_up_to(_MOST_PARTS_BACK), "a number of parts"),
        "all": _BOOL,
    },
    SourceDeclaration: {
        "name": _optional(_TEXT),
        "domain": _optional(_TEXT),
        "pattern": _Type(_is_path, "a glob of files"),
        "columns": _Type(_is_columns, 'a mapping of each column to its type, or "as stored"'),
        "format": _optional(_TEXT),
        "dialect": _Type(lambda _: True, ""),
        "layouts": _list_of(
            _Type(_exactly(LayoutDeclaration), "source.layout(...)"), "source.layout(...)"
        ),
        "owner": _TEXT,
        "purpose": _TEXT,
        "freshness": _FRESHNESS,
        "event_time": _TEXT,
        "poll": _DURATION,
        "access": _ACCESS,
        "rules": _RULES,
        "keep": _BOOL,
    },
    LayoutDeclaration: {
        "pattern": _TEXT,
        "since": _DAY,
        "until": _DAY,
        "missing": _list_of(_TEXT, "names of columns"),
        "renamed": _Type(_is_renamed, "a mapping of columns to the names that these files have"),
        "dialect": _Type(lambda _: True, ""),
    },
    DialectDeclaration: {
        "separator": _CHARACTER,
        "quote_char": _optional(_CHARACTER),
        "escape": _optional(_CHARACTER),
        "header": _BOOL,
        "names": _list_of(_TEXT, "texts"),
        "skip_rows": _Type(_up_to(_MOST_SKIPPED), f"a number of lines up to {_MOST_SKIPPED:,}"),
        "comment_prefix": _optional(_Type(_is_prefix, "the text at the start of a line")),
        "null_values": _list_of(_TEXT, "texts"),
        "allow_quoted_nulls": _BOOL,
        "decimal_separator": _Type(_one_of(".", ","), '"." or ","'),
        "thousands": _optional(_Type(_is_grouping, "one character that is no digit")),
        "date_format": _TEXT,
        "timestamp_format": _TEXT,
        "encoding": _TEXT,
        "member": _TEXT,
    },
    FileDeclaration: {
        "name": _optional(_TEXT),
        "domain": _optional(_TEXT),
        "pattern": _Type(_is_path, "the path of a file"),
        "owner": _TEXT,
        "purpose": _TEXT,
        "freshness": _FRESHNESS,
        "poll": _DURATION,
        "access": _ACCESS,
    },
    CalendarDeclaration: {
        "name": _optional(_TEXT),
        "holidays": _Type(is_text, 'a text such as "GB-ENG"'),
        "weekmask": _Type(is_text, 'a text such as "Mon-Fri"'),
        "closed": _DAYS,
        "open": _DAYS,
    },
    RuleDeclaration: {
        "text": _TEXT,
        "severity": _TEXT,
        "because": _TEXT,
        "dimension": _TEXT,
        "owner": _TEXT,
        "review_by": _TEXT,
        "on_failure": _TEXT,
        "warn_above": _LIMIT,
        "fail_above": _LIMIT,
    },
    Consumer: {"name": _TEXT, "decides": _TEXT, "contact": _TEXT},
    Freshness: {
        **dict.fromkeys(("by", "every", "within", "tz", "covers"), _TEXT),
        **dict.fromkeys(("warn_before", "at_least"), _TEXT),
        "on": _ON,
        "trading": _CALENDAR,
    },
}
