"""Compares settled rows with what readers see: which keys changed, are gone or are new, and their values."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from assay.engines.duckdb import keyed
from assay.engines.quoting import identifier, literal
from assay.engines.types import INTEGERS, exact
from assay.model import Column, Partition, Rule
from assay.rules import with_queries
from assay.rules.answers import Answer
from assay.sensitive import secret
from assay.times import as_seen, settled_before

if TYPE_CHECKING:
    import duckdb

_TOTALS = 3  # columns of which totals are shown
_SAMPLES = 5


class Comparison(Struct, frozen=True, kw_only=True):
    """The query that compares settled rows: a row for each key that is not as readers see it.

    `columns` are those that `this` and `previous` share, `key` those by which a row before and one after are the same
    row's; `shows` maps each column of the result to the one that its values are from ('' for none).
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
    """Return how settled rows are compared: over the `columns` of both, by the `key` of the contract, part by part.

    Without a key, rows are told apart by all that is no number. Rows with the same key are paired as they come.
    """
    lower = {column.name.lower(): column.name for column in columns}
    split = [
        lower[name.lower()]
        for name in (partition.names if partition else ())
        if name.lower() in lower
    ]
    found = [lower[name.lower()] for name in key if name.lower() in lower]
    whole = bool(key) and len(found) == len(key)
    chosen = tuple(
        dict.fromkeys(
            [*(found if whole else [c.name for c in columns if not _is_number(c)]), *split]
        )
    )
    selected, shows = _shown(columns, chosen)
    order = f" order by {', '.join(str(n) for n in range(1, len(chosen) + 1))}" if chosen else ""
    sql = f"select {selected} from (\n{_pairs(rule, columns, chosen)}\n){order}"
    return Comparison(
        rule=rule, columns=tuple(columns), key=chosen, partition=partition, shows=shows, sql=sql
    )


def clock_of(
    rule: Rule, now: datetime, built: datetime | None, types: Mapping[str, str]
) -> dict[str, datetime]:
    """Return the ends of what is settled: now, and when what readers see was `built` (None: nothing is published)."""
    zoned = types.get(rule.dated.lower()) == "TIMESTAMP WITH TIME ZONE"
    moments = {"cutoff": now} if rule.holds_new else {"cutoff": now, "seen": built or now}
    return {
        name: as_seen(settled_before(rule.closes, at, rule.tz, rule.grace), rule.tz, zoned=zoned)
        for name, at in moments.items()
    }


def _pairs(rule: Rule, columns: Sequence[Column], key: Sequence[str]) -> str:
    """Return the query of rows before (`b1`, `b2`, ...) and after (`a1`, ...), and whether there is one (`b`, `a`)."""
    names = ", ".join(identifier(column.name) for column in columns)
    settled = f"where {identifier(rule.dated)} < $cutoff"
    this, previous = (f"select {names} from {table} {settled}" for table in ("this", "previous"))
    by = ", ".join(map(identifier, key))
    number = (
        f"row_number() over ({f'partition by {by}' if by else ''} order by hash({names})) as __n"
    )
    on = "".join(
        f"b.{identifier(name)} is not distinct from a.{identifier(name)} and " for name in key
    )
    kept = [
        f"{side}.{identifier(c.name)} as {side}{n}"
        for side in "ba"
        for n, c in enumerate(columns, 1)
    ]
    new = (
        "" if rule.holds_new else f"where b.__n is not null or {_is_new_of_settled(rule, columns)}"
    )
    return (
        f"with b as (select *, {number} from ({previous} except all {this})),\n"
        f"a as (select *, {number} from ({this} except all {previous}))\n"
        f"select b.__n is not null as b, a.__n is not null as a, {', '.join(kept)}\n"
        f"from b full join a on {on}b.__n = a.__n {new}"
    )


def _is_new_of_settled(rule: Rule, columns: Sequence[Column]) -> str:
    """Return the SQL that is true of a new row of a period that readers saw settled, up to the last day they have."""
    types = {column.name.lower(): column.type for column in columns}
    name = identifier(rule.dated)
    zoned = types.get(rule.dated.lower()) == "TIMESTAMP WITH TIME ZONE"
    here = f"timezone({literal(rule.tz)}, {{}})" if zoned else "{}"
    day = f"cast({here} as date)"
    last = f"(select {day.format(f'max({name})')} from previous)"
    return f"(a.{name} < $seen and {day.format(f'a.{name}')} <= {last})"


def _shown(columns: Sequence[Column], key: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return what is selected of pairs: the key, what became of it, each value before and after, the difference."""
    shows: dict[str, str] = {}
    selected: list[str] = []

    def show(sql: str, name: str, column: str) -> None:
        while name.lower() in {taken.lower() for taken in (*shows, *key)} and name != column:
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


# ---------------------------------------------------------------------------------------------- what is found


def common(columns: Iterable[Column], before: Iterable[Column]) -> list[Column]:
    """Return the columns of `this` that `previous` has too, whatever the case of their names."""
    names = {column.name.lower() for column in before}
    return [column for column in columns if column.name.lower() in names]


def unlike(columns: Iterable[Column], before: Iterable[Column]) -> str:
    """Return which column of `previous` is gone, or of a type that may not hold what it held; '' for none."""
    now = {column.name.lower(): column.type for column in columns}
    for column in before:
        type = now.get(column.name.lower())
        if type is None:
            return f"column {column.name} is gone"
        if type != column.type and not exact(column.type, type):
            return f"column {column.name} was {column.type} and is {type}"
    return ""


def ask(
    compared: Comparison,
    bench: "duckdb.DuckDBPyConnection",
    clock: Mapping[str, datetime],
    sensitive: Collection[str],
) -> tuple[Answer, list[dict[str, Any]]]:
    """Return how the comparison came out, and some of its rows."""
    answer = with_queries.ask(compared.rule, bench, compared.sql, clock)
    if not answer.failing:
        return answer, []
    found = with_queries.sample(bench, compared.sql, clock, _SAMPLES)
    if isinstance(found, Answer):
        return found, []
    message = _totals(compared, bench, clock, sensitive)
    return replace(answer, message=message, digests=_digests(compared, bench, clock)), found


def _totals(
    compared: Comparison,
    bench: "duckdb.DuckDBPyConnection",
    clock: Mapping[str, datetime],
    sensitive: Collection[str],
) -> str:
    """Return in words how many keys changed, are gone, or are new, and what numbers were and are in all."""
    secrets = secret({column.name for column in compared.columns}, sensitive)
    numbered = {c.name: n for n, c in enumerate(compared.columns, 1)}
    values = [c.name for c in compared.values if _is_number(c) and c.name not in secrets]
    sums = "".join(
        f", sum(coalesce(b{n}, 0)::double), sum(coalesce(a{n}, 0)::double), count_if(b{n} is distinct from a{n})"
        for n in (numbered[name] for name in values)
    )
    [row] = bench.execute(
        f"select count_if(b and a), count_if(not a), count_if(not b){sums} from ("
        f"\n{_pairs(compared.rule, compared.columns, compared.key)}\n)",
        dict(clock),
    ).fetchall()
    counted = [
        f"{n:,} {what}" for n, what in zip(row[:3], ("changed", "gone", "new"), strict=True) if n
    ]
    found = zip(values, row[3::3], row[4::3], row[5::3], strict=True)
    told = [_total(name, before, after) for name, before, after, differing in found if differing]
    more = [f"{len(told) - _TOTALS} more columns"] if len(told) > _TOTALS else []
    return "; ".join([", ".join(counted), *told[:_TOTALS], *more])


def _total(name: str, before: float, after: float) -> str:
    return f"{name} {_number(before)} -> {_number(after)} ({'+' if after >= before else ''}{_number(after - before)})"


def _number(value: float) -> str:
    return f"{value:,.12g}"


def _digests(
    compared: Comparison, bench: "duckdb.DuckDBPyConnection", clock: Mapping[str, datetime]
) -> dict[str, str]:
    """Return a digest of the rows that are not as they were, before and after, by the part that they belong to.

    The part is '' where rows do not say which one it is.
    """
    partition, columns = (
        compared.partition,
        {column.name.lower(): column for column in compared.columns},
    )
    split = (
        columns.get(partition.names[0].lower()) if partition and len(partition.names) == 1 else None
    )
    numbered = {c.name: n for n, c in enumerate(compared.columns, 1)}
    sides = []
    for side in "ba":
        part = "''"
        if split and partition:
            part = f"coalesce({keyed(f'{side}{numbered[split.name]}', partition.grain, split.type)}, '')"
        row = ", ".join(f"{identifier(name)} := {side}{n}" for name, n in numbered.items())
        sides.append(
            f"select {part} as part, sha256('{side} ' || cast(struct_pack({row}) as varchar)) as h "
            f"from pairs where {side}"
        )
    found = bench.execute(
        f"with pairs as (\n{_pairs(compared.rule, compared.columns, compared.key)}\n) "
        f"select part, sha256(string_agg(h, '' order by h)) from ({' union all '.join(sides)}) group by part",
        dict(clock),
    )
    return dict(found.fetchall())


def pruned(compared: Comparison, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of the result without the values that are as they were."""
    trios: dict[str, list[str]] = {}
    for name, column in compared.shows.items():
        if column and column not in compared.key:
            trios.setdefault(column, []).append(name)
    kept = []
    for row in rows:
        same = {
            name
            for before, after, *more in trios.values()
            if row[before] == row[after]
            for name in (before, after, *more)
        }
        kept.append({name: _rounded(value) for name, value in row.items() if name not in same})
    return kept


def _rounded(value: Any) -> Any:
    """Return a number without the last digits, in which a difference of floating-point numbers is seldom right."""
    return float(_number(value).replace(",", "")) if isinstance(value, float) else value
