"""What one way of judging has to say about one rule."""

import math
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from assay.errors import words_of

WHOLE = "the check says no to the whole column"


class Answer(Struct, frozen=True, kw_only=True):
    """`failing` rows where it is about rows, whether it `holds` where it is not; `error`: it could not be judged.

    `warns`: it holds, and yet there is something to say. `holds` is None where there was nothing to judge. `measured`
    is what a rule that compares found. `how` names the way that told. `digests` are those of the failing rows, by the
    part that they belong to, where that counts.
    """

    how: str
    failing: int | None = None
    holds: bool | None = True
    measured: float | int | None = None
    message: str = ""
    warns: bool = False
    error: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)


def said(error: BaseException) -> str:
    """Return what an exception says, on one line, with its kind, and what DuckDB would rather have read."""
    meant = [line for line in str(error).splitlines() if line.startswith("Candidate bindings")]
    by_duckdb = (
        type(error).__module__.strip("_").partition(".")[0] == "duckdb"
    )  # its message begins with its kind
    kind = "" if by_duckdb else f"{type(error).__name__}: "
    return " ".join([f"{kind}{first_line(error)}", *meant])


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says."""
    return words_of(error).partition("\n")[0]


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
