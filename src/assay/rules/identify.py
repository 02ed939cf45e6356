"""Digests of the rows that fail a rule, so that a waiver can be about these rows and no others."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from hashlib import sha256
from itertools import islice
from operator import itemgetter
from typing import Any

from msgspec.structs import replace

from assay.engines.duckdb import DuckDB
from assay.errors import BuildError, UsageError
from assay.facts import RuleResult, Status
from assay.model import Partition, Product
from assay.rules.evidence import Evidence
from assay.rules.failing import failing_rows
from assay.rules.schema import Schema

MOST = 1000  # failing rows that are identified one by one
_PART_LENGTHS = {"day": 10, "month": 7, "year": 4}  # characters of an ISO date


def identified(
    results: Sequence[RuleResult],
    product: Product,
    evidence: Evidence,
    engine: DuckDB,
    schema: Callable[[], Schema],
) -> tuple[RuleResult, ...]:
    """Return results, those that fail with the digests of their failing rows, by part.

    A result with more than MOST rows, or without rows, stays as it is.
    """
    rules = {rule.text: rule for rule in product.contract.rules}
    found = []
    for result in results:
        rule = rules.get(result.text)
        few = result.status is Status.FAILED and 0 < (result.failing or 0) <= MOST
        if rule is not None and few:
            with (
                suppress(BuildError),
                failing_rows(product, rule, evidence, engine, schema, masked=False) as (
                    names,
                    rows,
                ),
            ):
                by_part = by_digest(names, islice(rows, MOST + 1), product.partition)
                if sum(map(len, by_part.values())) == result.failing:
                    result = replace(result, failing_rows=by_part)  # noqa: PLW2901
        found.append(result)
    return tuple(found)


def by_digest(
    names: Sequence[str], rows: Iterator[Sequence[Any]], partition: Partition | None
) -> Mapping[str, tuple[str, ...]]:
    """Return the digests of rows, sorted, by the part that each names; '' where it names none."""
    parts: dict[str, list[str]] = {}
    for row in rows:
        parts.setdefault(part_of(names, row, partition), []).append(digest_of(names, row))
    return {part: tuple(sorted(digests)) for part, digests in sorted(parts.items())}


def digest_of(names: Sequence[str], row: Sequence[Any]) -> str:
    """Return 16 hex digits for the names and values of a row."""
    values = sorted(zip(names, map(_plain, row), strict=True), key=itemgetter(0))
    text = json.dumps(values, ensure_ascii=True)
    return sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it, so that values that differ stay different.

    A moment is the same in every time zone; the keys of a map can be of any type.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case dict():
            pairs = [[_plain(key), _plain(inner)] for key, inner in value.items()]
            return {"map": sorted(pairs, key=repr)}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case datetime() if value.tzinfo:
            with suppress(OverflowError):
                return repr(value.astimezone(UTC))
    return repr(value)


def part_of(names: Sequence[str], row: Sequence[Any], partition: Partition | None) -> str:
    """Return the key of the part that a row is in; '' if its columns do not tell."""
    if partition is None or len(partition.names) != 1:
        return ""
    lower = [name.lower() for name in names]
    column = partition.names[0].lower()
    if column not in lower:
        return ""
    value = row[lower.index(column)]
    if not partition.grain:
        return "" if value is None else str(value)
    if isinstance(value, datetime | date) and partition.grain in _PART_LENGTHS:
        return value.isoformat()[: _PART_LENGTHS[partition.grain]]
    return ""


def rows_by_digest(
    names: Sequence[str],
    rows: Iterator[Sequence[Any]],
    partition: Partition | None,
    key: Mapping[str, str],
    parts: Sequence[str],
) -> Mapping[str, tuple[str, ...]]:
    """Return the digests by part of those rows that have these values, and are in these parts.

    Raises UsageError for more than MOST rows, and for columns that the rows do not have.
    """
    lower = [name.lower() for name in names]
    if missing := [name for name in key if name.lower() not in lower]:
        raise UsageError(
            f"failing rows have no column {missing[0]!r}", hint=f"They have {', '.join(names)}."
        )
    chosen = []
    for row in rows:
        values = {name: str(row[lower.index(name.lower())]) for name in key}
        if values == dict(key) and (not parts or part_of(names, row, partition) in parts):
            chosen.append(row)
        if len(chosen) > MOST:
            raise UsageError(
                f"more than {MOST:,} rows fail: too many to waive one by one",
                hint="--rows N waives a number of rows.",
            )
    return by_digest(names, iter(chosen), partition)
