"""The answer to one rule, before it is known whether the rule allows it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from assay.engines.sql.unbound import problem_of
from assay.errors import words_of
from assay.facts import PartCount

WHOLE = "the check says no to the whole column"


class Answer(Struct, frozen=True, kw_only=True):
    """The answer to a rule: `failing` rows, or whether a rule that is not about rows `holds`.

    `how` names the strategy. `holds` is None when there was nothing to judge, `error` says why a
    rule could not be judged, and `warns` marks a rule that passes with a message. `measured` is the
    value that a comparing rule found. `samples` are the first failing rows, `counts` the failing
    rows of each part, and `digests` identify the failing rows by part, for rules that restatements refer
    to.
    """

    how: str
    failing: int | None = None
    holds: bool | None = True
    measured: float | int | None = None
    message: str = ""
    warns: bool = False
    error: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    samples: Sequence[Mapping[str, Any]] = ()
    counts: Sequence[PartCount] = ()


def error_line(error: BaseException) -> str:
    """Return an exception's message on one line.

    The type comes first; a message of DuckDB begins with its own kind. That a name is not found is
    said in the words of `products check`.
    """
    is_from_duckdb = type(error).__module__.strip("_").partition(".")[0] == "duckdb"
    if is_from_duckdb and type(error).__name__ == "BinderException":
        what = problem_of(words_of(error).removeprefix("Binder Error: "), "", -1, {}).what
        return f"{what}; `products check` shows the place"
    kind = "" if is_from_duckdb else f"{type(error).__name__}: "
    return f"{kind}{first_line(error)}"


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message."""
    return words_of(error).partition("\n")[0]


def plain(value: Any) -> Any:
    """Return a value in a form that JSON can hold."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
