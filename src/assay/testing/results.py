"""What `products test` answers of each test, as values, and as lines of text."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from assay.testing.compare import ChangedRow, Difference
from assay.views.view import View

_MOST = 100  # rows of a kind that a result lists
_FEW = 10  # and that a text shows
_WIDE = 60  # letters of a value in a text


class ChangedRowView(View, frozen=True, kw_only=True):
    """A row with other values than expected: `key` tells which row it is."""

    key: Mapping[str, Any]
    expected: Mapping[str, Any]
    got: Mapping[str, Any]


class CaseView(View, frozen=True, kw_only=True):
    """How one test came out: `error` means that the product could not be tried."""

    product: str
    test: str
    result: Literal["passed", "failed", "error"]
    file: str
    line: int
    seconds: float
    problems: tuple[str, ...] = ()
    missing: Sequence[Mapping[str, Any]] = ()
    unexpected: Sequence[Mapping[str, Any]] = ()
    changed: Sequence[ChangedRowView] = ()
    held_by: tuple[str, ...] = ()


class GeneratedView(View, frozen=True, kw_only=True):
    """A test that was written: how many rows of each input, and the columns that were masked."""

    product: str
    test: str
    file: str
    rows: Mapping[str, int]
    masked: tuple[str, ...]


def changed_view(changed: ChangedRow) -> ChangedRowView:
    """Return a changed row as it is shown."""
    return ChangedRowView(
        key=changed.key,
        expected={name: values[0] for name, values in changed.values.items()},
        got={name: values[1] for name, values in changed.values.items()},
    )


def words_of(difference: Difference, of: str) -> list[str]:
    """Return in words how many rows differ; `of` says which rows, as it continues a sentence."""
    counts = (
        (difference.missing, "missing"),
        (difference.unexpected, "not expected"),
        (difference.changed, "of other values"),
    )
    words = [f"{_rows(len(rows))} {what}" for rows, what in counts if rows]
    if difference.out_of_order:
        words.append(f"the rows are in another order, from row {difference.out_of_order} on")
    return [f"{of}: {', '.join(words)}"] if words else []


def _rows(count: int) -> str:
    return f"{count} row{'s' if count != 1 else ''}"


def of_difference(difference: Difference) -> dict[str, Any]:
    """Return the fields of a result that list a difference."""
    return {
        "missing": tuple(difference.missing[:_MOST]),
        "unexpected": tuple(difference.unexpected[:_MOST]),
        "changed": tuple(changed_view(row) for row in difference.changed[:_MOST]),
    }


def generated_lines(view: GeneratedView) -> Iterator[str]:
    """Yield the lines about a test that was written."""
    rows = ", ".join(f"{_rows(count)} of {name}" for name, count in view.rows.items())
    yield f"  wrote   {view.file}: {rows or 'it reads nothing'}"
    if view.masked:
        yield f"          masked: {', '.join(view.masked)}"


def text_of(difference: Difference, of: str) -> Iterator[str]:
    """Yield the lines of a difference; `of` says what differs."""
    fields = of_difference(difference)
    yield from words_of(difference, of)
    for line in difference_lines(fields["changed"], fields["missing"], fields["unexpected"]):
        yield f"  {line}"


def lines_of(view: CaseView) -> Iterator[str]:
    """Yield the lines of a test that did not pass, below the line that says so."""
    yield f"{view.file}:{view.line}" if view.line else view.file
    for problem in view.problems:
        yield from problem.splitlines()
    yield from difference_lines(view.changed, view.missing, view.unexpected)


def difference_lines(
    changed: Sequence[ChangedRowView],
    missing: Sequence[Mapping[str, Any]],
    unexpected: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    """Yield a line for each of the first rows that differ; of changed rows: expected → got."""
    for row in changed[:_FEW]:
        values = (
            f"{name} {_arrow(expected, row.got[name])}" for name, expected in row.expected.items()
        )
        yield f"{_row(row.key)}: {', '.join(values)}   (expected → got)"
    for label, rows in (("missing", missing), ("not expected", unexpected)):
        yield from (f"{label}: {_row(row)}" for row in rows[:_FEW])
    if any(len(rows) > _FEW for rows in (changed, missing, unexpected)):
        yield f"… the first {_FEW} of a kind; --json lists {_MOST}"


def _arrow(expected: Any, got: Any) -> str:
    """Return two values, rounded unless they look the same then."""
    if cell(expected) == cell(got):
        return f"{expected!r} → {got!r}"
    return f"{cell(expected)} → {cell(got)}"


def _row(row: Mapping[str, Any]) -> str:
    return "  ".join(f"{name} {cell(value)}" for name, value in row.items())


def cell(value: Any) -> str:
    """Return a value as a text shows it: floats to six digits, long ones shortened."""
    match value:
        case None:
            text = "null"
        case "":
            text = '""'
        case float():
            text = f"{value:.6g}"
        case list() | tuple() | dict():
            text = json.dumps(value, ensure_ascii=False, default=str)
        case _:
            text = str(value)
    return text if len(text) <= _WIDE else f"{text[:_WIDE]}…"
