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
from assay.engines.tables import StoredTable
from assay.errors import BuildError, UsageError
from assay.facts import RuleResult, Status
from assay.model import Partition, Product, Rule
from assay.rules.answers import plain
from assay.rules.evidence import Evidence
from assay.rules.failing import FailingRows, failing_rows
from assay.rules.hiding import HiddenValues
from assay.rules.news import FoundRow, columns_to_show, in_order
from assay.rules.schema import Schema
from assay.sensitive import HIDDEN

MOST = 1000  # failing rows that are identified one by one
_PART_LENGTHS = {"day": 10, "month": 7, "year": 4}  # characters of an ISO date


def identified(
    results: Sequence[RuleResult],
    product: Product,
    evidence: Evidence,
    engine: DuckDB,
    schema: Callable[[], Schema],
    *,
    tables: Mapping[str, StoredTable],
) -> tuple[tuple[RuleResult, ...], dict[str, list[FoundRow]]]:
    """Return results, with the digests of their failing rows, and these rows by the rule's text.

    That is for results that failed or warn. One with more than MOST rows, or without rows, stays as
    it is. `tables` has, for some rules, the parts that have all failing rows.
    """
    rules = {rule.text: rule for rule in product.contract.rules}
    hiding = HiddenValues(evidence, engine)
    changed, found = [], dict[str, list[FoundRow]]()
    for result in results:
        rule = rules.get(result.text)
        is_reported = result.status in {Status.FAILED, Status.WARNING}
        if rule is not None and is_reported and 0 < (result.failing or 0) <= MOST:
            narrowed = replace(evidence, this=tables.get(rule.text, evidence.this))
            with (
                suppress(BuildError),
                failing_rows(product, rule, narrowed, engine, schema, hiding=hiding) as failing,
            ):
                rows = _found(product, rule, failing)
                if len(rows) == result.failing:
                    result = replace(result, failing_rows=_by_part(rows))  # noqa: PLW2901
                    if not rule.closes:  # its samples are of two tables
                        found[rule.text] = in_order(rule, rows)
        changed.append(result)
    return tuple(changed), found


def _found(product: Product, rule: Rule, failing: FailingRows) -> list[FoundRow]:
    """Return the first failing rows, up to one more than MOST."""
    names, rows = failing.names, list(islice(failing.rows, MOST + 1))
    hidden = failing.hidden()
    columns = [(name, names.index(name)) for name in columns_to_show(product, rule, names)]
    return [
        FoundRow(
            digest_of(names, row),
            part_of(names, row, product.partition),
            {name: HIDDEN if name in hidden else plain(row[index]) for name, index in columns},
        )
        for row in rows
    ]


def _by_part(rows: Sequence[FoundRow]) -> Mapping[str, tuple[str, ...]]:
    parts: dict[str, list[str]] = {}
    for row in rows:
        parts.setdefault(row.part, []).append(row.digest)
    return {part: tuple(sorted(digests)) for part, digests in sorted(parts.items())}


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
