"""Samples of failing rows: which columns they have, and which of their values are masked."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assay.model import Column, Demand, Product
from assay.rules.answers import plain
from assay.rules.compile import Aggregate, Rows, Unique, Way, ways_of
from assay.sensitive import HIDDEN

if TYPE_CHECKING:
    import duckdb

SAMPLES = 5  # rows in the samples of a rule
_FIRST = 4  # columns that are shown of a table that has neither key, part nor time


class CompiledRule(Struct, frozen=True, kw_only=True):
    """A rule that is a demand, the way to judge it, and the columns of its samples."""

    text: str
    demand: Demand
    way: Way
    columns: Sequence[str]


def compiled_rules(product: Product, columns: Sequence[Column]) -> list[CompiledRule]:
    """Return the demands of a contract, except those that quarantine rows, compiled for columns."""
    ways, names = ways_of(product, columns), by_lower(columns)
    return [
        CompiledRule(
            text=rule.text,
            demand=rule.demand,
            way=ways[rule.text],
            columns=sample_columns(product, names, rule.demand, ways[rule.text]),
        )
        for rule in product.contract.rules
        if rule.demand and rule.text in ways and not rule.quarantines
    ]


def by_lower(columns: Iterable[Column]) -> dict[str, str]:
    """Return the names of columns by their lower case."""
    return {column.name.lower(): column.name for column in columns}


def sample_columns(
    product: Product, names: Mapping[str, str], demand: Demand | None, way: Way | None
) -> list[str]:
    """Return where a row is, and the columns that a demand is about; all when it names none.

    `names` are those of the columns of the table, by their lower case.
    """
    offending = [name for name in _offending(demand, way) if name.lower() in names]
    if not offending:
        return list(names.values())
    about = [names[name.lower()] for name in offending]
    return list(dict.fromkeys([*place_columns(product, names), *about]))


def place_columns(product: Product, names: Mapping[str, str]) -> list[str]:
    """Return the columns that say where a row is: the key and the part.

    Without a key, also the time; if there is nothing of all that, the first columns. `names` are
    those of the columns of the table, by their lower case.
    """
    partition = product.partition
    chosen = [*product.contract.key, *(partition.names if partition else ())]
    if not product.contract.key:
        chosen.append(product.event_time)
    places = [names[name.lower()] for name in chosen if name.lower() in names]
    return places or list(names.values())[:_FIRST]


def _offending(demand: Demand | None, way: Way | None) -> Sequence[str]:
    if isinstance(way, Rows | Aggregate | Unique):
        return way.columns
    if demand and demand.kind == "condition":
        return list(demand.arguments["columns"])
    return [demand.column] if demand and demand.column else []


def records(cursor: "duckdb.DuckDBPyConnection") -> list[dict[str, Any]]:
    """Return the remaining rows of a cursor, by the names of their columns."""
    return named_rows(cursor, cursor.fetchall())


def named_rows(
    cursor: "duckdb.DuckDBPyConnection", rows: Iterable[Sequence[Any]]
) -> list[dict[str, Any]]:
    """Return fetched rows by the names of the columns of a cursor."""
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in rows]


def masked(
    samples: Iterable[Mapping[str, Any]], hidden: Collection[str]
) -> tuple[dict[str, Any], ...]:
    """Return samples as plain data, with the values of hidden columns masked."""
    return tuple(
        {name: HIDDEN if name in hidden else plain(value) for name, value in row.items()}
        for row in samples
    )
