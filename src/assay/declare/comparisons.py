"""Queries of rules that compare totals: with another product, or with the published version.

Every query returns, for each group, its key columns, both totals, their difference, `__measured`
and `__fails`. The text of a query is part of the contract's digest: changing it makes every such
rule run again.
"""

from collections.abc import Iterable, Mapping, Sequence

from assay.amounts import Amount
from assay.declare.rule_arguments import (
    IDENTIFIER,
    NotARule,
    product_table,
    sql_argument,
    text_argument,
)
from assay.engines.quoting import identifier
from assay.engines.sql.reader import is_expression


def reconciles(
    measure: str, other: str, other_measure: str, within: Amount, by: Mapping[str, str]
) -> str:
    """Return the query that compares a total of this product with one of another.

    `by` maps the key columns of this product to those of the other.
    """
    ours = _totals(measure, list(by), "this")
    table = product_table(text_argument(other, "other"))
    theirs = _totals(other_measure, list(by.values()), table)
    keys = range(len(by))
    on = " and ".join(f"h.__k{i} is not distinct from t.__k{i}" for i in keys) or "true"
    named = "".join(f"__k{i} as {identifier(column)}, " for i, column in enumerate(by))
    merged = "".join(f"coalesce(h.__k{i}, t.__k{i}) as __k{i}, " for i in keys)
    difference = _difference("coalesce(h.__value, 0)", "coalesce(t.__value, 0)")
    bound = _bound(within, "coalesce(__there, 0)")
    measured = "__by"
    if within.percent:
        share = "coalesce(__by / nullif(abs(__there), 0), 'inf'::double)"
        measured = f"case when __by = 0 then 0 else {share} end"
    our_name, their_name, difference_name = _free(by, "this", "other", "difference")
    return (
        f"select {named}__here as {our_name}, __there as {their_name}, __by as {difference_name}, "
        f"({measured})::double as __measured, {_exceeds('__by', bound)} as __fails from ("
        f"select {merged}h.__value as __here, t.__value as __there, "
        f"{difference} as __by from ({ours}) h full join ({theirs}) t on {on})"
    )


def changes(measure: str, keys: Sequence[str], within: Amount) -> str:
    """Return the query that compares a total with that of the published version."""
    named = _named(keys)
    return _changes_of(_since_published(measure, keys), named, keys, within)


def weekday_changes(
    measure: str, keys: Sequence[str], within: Amount, event_time: str, count: int
) -> str:
    """Return the query that compares a day's total with the mean of its weekday's last ones."""
    [day] = _free(keys, "day")
    compared = _since_weekdays(measure, keys, event_time, within, count)
    return _changes_of(compared, f"__day as {day}, {_named(keys)}", keys, within)


def _changes_of(compared: str, named: str, keys: Sequence[str], within: Amount) -> str:
    was, is_now, change = _free([*keys, "day"], "was", "is_now", "change")
    moved = difference = _difference("__is", "__was")
    if within.percent:
        moved = (
            "case when __is = __was then 0 when __was = 0 then 'inf'::double"
            f" else ({difference}) / abs(__was) end"
        )
    fails = _exceeds(difference, _bound(within, "__was"))
    return (
        f"select {named}__was as {was}, __is as {is_now}, ({moved})::double as {change}, "
        f"({moved})::double as __measured, {fails} as __fails from ({compared})"
    )


def _since_published(measure: str, keys: Sequence[str]) -> str:
    """Return the query of every published group, with its total now: 0 for a missing group."""
    numbers = range(len(keys))
    on = " and ".join(f"h.__k{i} is not distinct from b.__k{i}" for i in numbers) or "true"
    listed = "".join(f"b.__k{i}, " for i in numbers)
    now, published = _totals(measure, keys, "this"), _totals(measure, keys, "previous")
    return (
        f"select {listed}coalesce(b.__value, 0) as __was, coalesce(h.__value, 0) as __is "
        f"from ({published}) b left join ({now}) h on {on}"
    )


def _since_weekdays(
    measure: str, keys: Sequence[str], event_time: str, within: Amount, count: int
) -> str:
    """Return the query of every group of a new or changed day, with the mean of its weekday.

    A day is new if it is not published, and changed if its total differs from the published one by
    more than the rule allows: a correction that is held back is checked again in each later
    version. Without such a day, the newest day is compared.
    """
    day = f"cast({identifier(event_time)} as date)"
    selected = "".join(f"{identifier(name)} as __k{i}, " for i, name in enumerate(keys))
    totals = f"select {day} as __day, {selected}{_aggregate(measure)} as __value from"
    groups = "".join(f"b.__k{i}, " for i in range(len(keys)))
    on_now = _same_keys("h", "b", keys)
    on_published = _same_keys("s", "b", keys)
    moved = _exceeds(_difference("__is", "__seen"), _bound(within, "__seen"))
    return (
        f"with days as ({totals} this group by all), seen as ({totals} previous group by all), "
        "dates as (select distinct __day from days), "
        f"means as (select d.__day, {groups}avg(b.__value)::double as __was"
        " from dates d join days b on "
        f"b.__day < d.__day and b.__day >= d.__day - {7 * count}"
        " and dayofweek(b.__day) = dayofweek(d.__day) "
        f"group by {groups}d.__day), "
        "found as (select b.*, coalesce(h.__value, 0)::double as __is,"
        " coalesce(s.__value, 0)::double as __seen, "
        "b.__day in (select __day from seen where __day is not null) as __known "
        f"from means b left join days h on h.__day = b.__day{on_now}"
        f" left join seen s on s.__day = b.__day{on_published}), "
        f"fresh as (select *, not __known or {moved} as __new,"
        " max(__day) over () as __last from found) "
        "select * from fresh where __new or __day = __last"
        " and not exists (select 1 from fresh where __new)"
    )


# ----------------------------------------------------------------------------------- pieces of SQL


def _totals(measure: str, keys: Sequence[str], table: str) -> str:
    """Return the query of the total of a measure in each group of a table."""
    selected = "".join(f"{identifier(name)} as __k{i}, " for i, name in enumerate(keys))
    group_by = " group by all" if keys else ""
    return f"select {selected}{_aggregate(measure)} as __value from {table}{group_by}"


def _aggregate(measure: str) -> str:
    """Return the SQL of a measure: the sum of a column, or the aggregate itself."""
    sql = sql_argument(measure, "measure")
    if not is_expression(sql):
        raise NotARule(f"its measure should be one column or aggregate, and is {sql!r}")
    return f"sum({identifier(sql)})" if IDENTIFIER.fullmatch(sql) else f"(\n{sql}\n)"


def _named(keys: Sequence[str]) -> str:
    """Return the select list of the key columns under their own names."""
    return "".join(f"__k{i} as {identifier(name)}, " for i, name in enumerate(keys))


def _same_keys(left: str, right: str, keys: Sequence[str]) -> str:
    """Return the SQL condition of equal key columns, to go behind another condition."""
    return "".join(
        f" and {left}.__k{i} is not distinct from {right}.__k{i}" for i in range(len(keys))
    )


def _free(taken: Iterable[str], *names: str) -> list[str]:
    """Return names as identifiers, each changed if a column that is taken has the name."""
    lower = {name.lower() for name in taken}
    return [identifier(f"{name}_" if name in lower else name) for name in names]


def _difference(left: str, right: str) -> str:
    """Return the SQL of a difference: 0 for equal values, also for NaN and infinities."""
    return f"case when {left} is not distinct from {right} then 0 else {left} - {right} end"


def _bound(within: Amount, total: str) -> str:
    """Return the SQL of how far a total may be from another one."""
    return f"{within.number / 100} * abs({total})" if within.percent else f"{within.number:f}"


def _exceeds(difference: str, bound: str) -> str:
    """Return the SQL of whether a difference is above a bound; NaN and infinities always are."""
    return f"coalesce(abs({difference}) > {bound} or not isfinite(({difference})::double), true)"
