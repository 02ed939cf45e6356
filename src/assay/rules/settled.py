"""Compares settled rows with the published version: keys that changed, are gone or are new."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from assay.engines.duckdb import keyed
from assay.engines.nested import same_type
from assay.engines.quoting import identifier, literal
from assay.engines.types import INTEGERS, exact
from assay.model import Column, Partition, Rule
from assay.rules import with_queries
from assay.rules.answers import Answer
from assay.rules.samples import SAMPLES
from assay.sensitive import secret
from assay.times import as_seen, settled_before

if TYPE_CHECKING:
    import duckdb

_TOTALS = 3  # columns with totals in a message


class Comparison(Struct, frozen=True, kw_only=True):
    """The query that compares settled rows with published ones: a row for each key that differs.

    `columns` are those that `this` and `previous` share, and rows with the same `key` are compared.
    `shows` maps each column of the result to the column that its values are from ('' for none).
    """

    rule: Rule
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition: Partition | None
    shows: Mapping[str, str]
    sql: str

    @property
    def values(self) -> list[Column]:
        """The columns that are compared: all but the key."""
        return [column for column in self.columns if column.name not in self.key]

    def hidden(self, sensitive: Collection[str]) -> set[str]:
        """Return the columns of the result that must not be shown."""
        secrets = secret({column.name for column in self.columns}, sensitive)
        return {name for name, column in self.shows.items() if column in secrets}


def compare(
    rule: Rule, columns: Sequence[Column], key: Sequence[str], partition: Partition | None
) -> Comparison:
    """Return the comparison of settled rows, by the key of the contract and the partition columns.

    Without a key, the columns that are not numbers identify a row. Rows with the same key are
    paired in an arbitrary, stable order.
    """
    lower = {column.name.lower(): column.name for column in columns}
    partition_names = partition.names if partition else ()
    split = [lower[name.lower()] for name in partition_names if name.lower() in lower]
    names = [lower[name.lower()] for name in key if name.lower() in lower]
    if not key or len(names) < len(key):
        names = [column.name for column in columns if not _is_number(column)]
    chosen = tuple(dict.fromkeys([*names, *split]))
    selected, shows = _shown(columns, chosen)
    order = f" order by {', '.join(str(n) for n in range(1, len(chosen) + 1))}" if chosen else ""
    sql = f"select {selected} from (\n{_pairs(rule, columns, chosen)}\n){order}"
    return Comparison(
        rule=rule, columns=tuple(columns), key=chosen, partition=partition, shows=shows, sql=sql
    )


def clock_of(
    rule: Rule, now: datetime, built: datetime | None, types: Mapping[str, str]
) -> dict[str, datetime]:
    """Return the ends of the settled periods: as of now, and when the published version was built.

    `built` is None when nothing is published.
    """
    zoned = types.get(rule.dated.lower()) == "TIMESTAMP WITH TIME ZONE"
    moments = {"cutoff": now} if rule.holds_new else {"cutoff": now, "seen": built or now}
    return {
        name: as_seen(settled_before(rule.closes, at, rule.tz, rule.grace), rule.tz, zoned=zoned)
        for name, at in moments.items()
    }


def _pairs(rule: Rule, columns: Sequence[Column], key: Sequence[str]) -> str:
    """Return the query of pairs of rows: before (`b1`, `b2`, ...) and after (`a1`, ...).

    `b` and `a` say whether there is such a row.
    """
    names = ", ".join(identifier(column.name) for column in columns)
    settled = f"where {identifier(rule.dated)} < $cutoff"
    this, previous = (f"select {names} from {table} {settled}" for table in ("this", "previous"))
    by = f"partition by {', '.join(map(identifier, key))}" if key else ""
    number = f"row_number() over ({by} order by hash({names})) as __n"
    on = "".join(
        f"b.{identifier(name)} is not distinct from a.{identifier(name)} and " for name in key
    )
    selected = [
        f"{side}.{identifier(c.name)} as {side}{n}"
        for side in "ba"
        for n, c in enumerate(columns, 1)
    ]
    new = ""
    if not rule.holds_new:
        new = f"where b.__n is not null or {_is_new_of_settled(rule, columns)}"
    return (
        f"with b as (select *, {number} from ({previous} except all {this})),\n"
        f"a as (select *, {number} from ({this} except all {previous}))\n"
        f"select b.__n is not null as b, a.__n is not null as a, {', '.join(selected)}\n"
        f"from b full join a on {on}b.__n = a.__n {new}"
    )


def _is_new_of_settled(rule: Rule, columns: Sequence[Column]) -> str:
    """Return the condition that is true of a new row in a period that was settled when published.

    Days after the last published one do not count.
    """
    types = {column.name.lower(): column.type for column in columns}
    name = identifier(rule.dated)
    zoned = types.get(rule.dated.lower()) == "TIMESTAMP WITH TIME ZONE"
    local = f"timezone({literal(rule.tz)}, {{}})" if zoned else "{}"
    day = f"cast({local} as date)"
    last = f"(select {day.format(f'max({name})')} from previous)"
    return f"(a.{name} < $seen and {day.format(f'a.{name}')} <= {last})"


def _shown(columns: Sequence[Column], key: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return the columns to select from pairs, as SQL, and the column that each one shows.

    They are the key, the kind of change, and each value before and after with the difference.
    """
    shows: dict[str, str] = {}
    selected: list[str] = []

    def show(sql: str, name: str, column: str) -> None:
        reserved = {existing.lower() for existing in (*shows, *key)}
        while name.lower() in reserved and name != column:
            name += "_"
        shows[name] = column
        selected.append(f"{sql} as {identifier(name)}")

    numbered = list(enumerate(columns, 1))
    for n, column in numbered:
        if column.name in key:
            show(f"case when b then b{n} else a{n} end", column.name, column.name)
    show("case when not b then 'new' when not a then 'gone' else 'changed' end", "change", "")
    for n, column in numbered:
        if column.name not in key:
            show(f"b{n}", f"{column.name}_before", column.name)
            show(f"a{n}", f"{column.name}_after", column.name)
            if _is_number(column):
                show(_difference(column, n), f"{column.name}_difference", column.name)
    return ", ".join(selected), shows


def _difference(column: Column, n: int) -> str:
    cast = "::hugeint" if column.type in INTEGERS or "HUGEINT" in column.type else ""
    return f"try(coalesce(a{n}, 0){cast} - coalesce(b{n}, 0){cast})"


def _is_number(column: Column) -> bool:
    return column.type in INTEGERS or column.type.startswith(
        ("FLOAT", "DOUBLE", "DECIMAL", "HUGEINT", "UHUGEINT")
    )


# ------------------------------------------------------------------------------ answers


def common(columns: Iterable[Column], before: Iterable[Column]) -> list[Column]:
    """Return the columns of `this` that `previous` has too; the case of names is ignored."""
    names = {column.name.lower() for column in before}
    return [column for column in columns if column.name.lower() in names]


def unlike(columns: Iterable[Column], before: Iterable[Column]) -> str:
    """Return a message on a column of `previous` that is gone or now has a narrower type, or ''."""
    types = {column.name.lower(): column.type for column in columns}
    for column in before:
        type = types.get(column.name.lower())
        if type is None:
            return f"column {column.name} is gone"
        if not same_type(type, column.type) and not exact(column.type, type):
            return f"column {column.name} was {column.type} and is {type}"
    return ""


def ask(
    compared: Comparison,
    bench: "duckdb.DuckDBPyConnection",
    clock: Mapping[str, datetime],
    sensitive: Collection[str],
) -> Answer:
    """Return the answer of a comparison; its samples, the first rows, are not masked yet."""
    answer = with_queries.ask(compared.rule, bench, compared.sql, clock)
    if not answer.failing:
        return answer
    rows = with_queries.sample(bench, compared.sql, clock, SAMPLES)
    if isinstance(rows, Answer):
        return rows
    message = _summary(compared, bench, clock, sensitive)
    digests = _digests(compared, bench, clock)
    return replace(answer, message=message, digests=digests, samples=rows)


def _summary(
    compared: Comparison,
    bench: "duckdb.DuckDBPyConnection",
    clock: Mapping[str, datetime],
    sensitive: Collection[str],
) -> str:
    """Return a message: how many keys changed, are gone or are new, and totals before and after."""
    secrets = secret({column.name for column in compared.columns}, sensitive)
    numbered = {c.name: n for n, c in enumerate(compared.columns, 1)}
    values = [c.name for c in compared.values if _is_number(c) and c.name not in secrets]
    sums = "".join(
        f", sum(coalesce(b{n}, 0)::double), sum(coalesce(a{n}, 0)::double),"
        f" count_if(b{n} is distinct from a{n})"
        for n in (numbered[name] for name in values)
    )
    [row] = bench.execute(
        f"select count_if(b and a), count_if(not a), count_if(not b){sums} from ("
        f"\n{_pairs(compared.rule, compared.columns, compared.key)}\n)",
        dict(clock),
    ).fetchall()
    changes = zip(row[:3], ("changed", "gone", "new"), strict=True)
    counts = [f"{count:,} {change}" for count, change in changes if count]
    columns = zip(values, row[3::3], row[4::3], row[5::3], strict=True)
    totals = [
        _total(name, before, after) for name, before, after, differing in columns if differing
    ]
    if len(totals) > _TOTALS:
        totals = [*totals[:_TOTALS], f"{len(totals) - _TOTALS} more columns"]
    return "; ".join([", ".join(counts), *totals])


def _total(name: str, before: float, after: float) -> str:
    sign = "+" if after >= before else ""
    return f"{name} {_number(before)} -> {_number(after)} ({sign}{_number(after - before)})"


def _number(value: float) -> str:
    return f"{value:,.12g}"


def _digests(
    compared: Comparison, bench: "duckdb.DuckDBPyConnection", clock: Mapping[str, datetime]
) -> dict[str, str]:
    """Return a digest of the rows that differ, before and after, for each part.

    The part is '' when no column of the rows names it.
    """
    partition, columns = compared.partition, {c.name.lower(): c for c in compared.columns}
    split = None
    if partition and len(partition.names) == 1:
        split = columns.get(partition.names[0].lower())
    numbered = {c.name: n for n, c in enumerate(compared.columns, 1)}
    sides = []
    for side in "ba":
        part = "''"
        if split and partition:
            key = keyed(f"{side}{numbered[split.name]}", partition.grain, split.type)
            part = f"coalesce({key}, '')"
        row = ", ".join(f"{identifier(name)} := {side}{n}" for name, n in numbered.items())
        sides.append(
            f"select {part} as part, sha256('{side} ' || cast(struct_pack({row}) as varchar)) as h "
            f"from pairs where {side}"
        )
    rows = bench.execute(
        f"with pairs as (\n{_pairs(compared.rule, compared.columns, compared.key)}\n) "
        f"select part, sha256(string_agg(h, '' order by h)) from ({' union all '.join(sides)}) "
        "group by part",
        dict(clock),
    )
    return dict(rows.fetchall())


def pruned(compared: Comparison, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of the result without the values that did not change."""
    names_by_column: dict[str, list[str]] = {}  # before, after, and the difference of a number
    for name, column in compared.shows.items():
        if column and column not in compared.key:
            names_by_column.setdefault(column, []).append(name)
    pruned_rows = []
    for row in rows:
        unchanged: set[str] = set()
        for names in names_by_column.values():
            if row[names[0]] == row[names[1]]:
                unchanged.update(names)
        pruned_rows.append({n: _rounded(value) for n, value in row.items() if n not in unchanged})
    return pruned_rows


def _rounded(value: Any) -> Any:
    """Return a value, rounded if it is a float: the last digits of a difference are noise."""
    return float(_number(value).replace(",", "")) if isinstance(value, float) else value
