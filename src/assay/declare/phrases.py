"""What pandera cannot say: rules in business words, each turned into one query, a threshold and words for it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from assay.amounts import Amount, amount
from assay.declare.words import RuleDeclaration
from assay.engines.quoting import dotted, identifier
from assay.engines.sql.reader import is_expression
from assay.rules.with_queries import LATEST
from assay.times import before_grace, is_date, settled_before, while_of

_COLUMN = re.compile(r"[A-Za-z_]\w*")
_WEEKDAYS = re.compile(r"same weekday, last (\d+)")


class NotARule(ValueError):
    """A rule that does not say what it has to; says what is wrong."""


class Phrased(Struct, frozen=True, kw_only=True):
    """A rule as a query (or, `condition`, as what every row must meet), in words, and what it allows.

    `columns` are the offending ones; `dated` is the column whose times are compared with now.
    """

    text: str
    sql: str = ""
    condition: str = ""
    columns: tuple[str, ...] = ()
    compares: bool = False
    threshold: str = ""
    closes: str = ""
    grace: str = ""
    holds_new: bool = False
    dated: str = ""
    tz: str = "UTC"
    dimension: str = ""


def phrase(declared: RuleDeclaration, product: str, event_time: str) -> Phrased:
    """Return what a declared rule asks of a product; NotARule, with what is wrong."""
    makers: Mapping[str, Callable[..., Phrased]] = {
        "check": _check,
        "sql": _sql,
        "rows": _rows,
        "references": _references,
        "reconciles": _reconciles,
        "changes": _changes,
        "fresh_event_time": _fresh,
        "closed": _closed,
    }
    given = dict(declared.given)
    if declared.kind in {"changes", "fresh_event_time"}:
        given["event_time"] = event_time
    if declared.kind == "references":
        given["product"] = product
    return makers[declared.kind](declared.text, **given)


def read_of(declared: RuleDeclaration) -> list[str]:
    """Return the SQL that a rule was given, in the forms in which reading the rule parses it."""
    sql, check = declared.given.get("sql"), declared.given.get("check")
    forms = [_fragment(sql, "query")] if isinstance(sql, str) else []
    if isinstance(check, str):
        condition = _fragment(check, "condition")
        forms += [f"select not (\n{condition}\n)", f"select (\n{condition}\n) from this"]
    return forms


def _check(text: str, check: Any, column: str) -> Phrased:
    if not _is_text(text):
        raise NotARule("it has no words: say what has to hold")
    if column and not isinstance(column, str):
        raise NotARule(f"column= should be a name, and is {type(column).__name__}")
    if isinstance(check, str):
        if not is_expression(_fragment(check, "condition")):
            raise NotARule(f"its condition should be one expression, and is {check!r}")
        if column:
            raise NotARule("an SQL condition names its columns itself: leave column= out")
        return Phrased(text=text, condition=_fragment(check, "condition"))
    return Phrased(text=text, columns=(column,) if column else ())


def _sql(text: str, sql: str) -> Phrased:
    if not _is_text(text):
        raise NotARule("it has no words: say what has to hold")
    return Phrased(text=text, sql=_fragment(sql, "query"))


def _rows(text: str, at_least: int | None, at_most: int | None) -> Phrased:
    bounds = [(sign, n) for sign, n in ((">=", at_least), ("<=", at_most)) if n is not None]
    if not bounds or any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for _, n in bounds):
        raise NotARule("give at_least=, at_most= or both, as numbers of rows")
    if at_least is not None and at_most is not None and at_least > at_most:
        raise NotARule(f"at_least={at_least} is more than at_most={at_most}")
    threshold = " and ".join(f"at {'least' if s == '>=' else 'most'} {n:,}" for s, n in bounds)
    holds = " and ".join(f"n {sign} {n}" for sign, n in bounds)
    sql = f"select n as rows, n as __measured, not ({holds}) as __fails from (select count(*) as n from this)"
    return Phrased(
        text=text or f"there are {threshold} rows",
        sql=sql,
        compares=True,
        threshold=threshold,
        dimension="completeness",
    )


def _references(text: str, column: str, other: str, product: str) -> Phrased:
    mine, theirs = _words(column, "column"), _words(other, "other")
    owner, _, name = mine.rpartition(".")
    if owner not in {"", "this", product, product.partition(".")[2]}:
        raise NotARule(f"{mine!r} is no column of {product}")
    table, _, key = theirs.rpartition(".")
    if not table:
        raise NotARule(f'{theirs!r} should name a product and its column: "customers.id"')
    there = f"{identifier(table.rpartition('.')[2])}.{identifier(key)}"  # in full: it must not be a column of ours
    known = f"select {there} from {_table(table)} where {there} is not null"
    condition = f"{identifier(name)} is null or {identifier(name)} in ({known})"
    return Phrased(
        text=text or f"every {name} is in {theirs}",
        condition=condition,
        columns=(name,),
        dimension="consistency",
    )


def _reconciles(
    text: str,
    *,
    measure: str,
    other: str,
    other_measure: str,
    within: Any,
    by: Sequence[str] | Mapping[str, str],
) -> Phrased:
    most = _amount(within, "within")
    keys = dict(by) if isinstance(by, Mapping) else {name: name for name in _names(by, "by")}
    keys = dict(zip(_names(list(keys), "by"), _names(list(keys.values()), "by"), strict=True))
    here = _grouped(measure, list(keys), "this")
    there = _grouped(other_measure, list(keys.values()), _table(_words(other, "other")))
    on = " and ".join(f"h.__k{i} is not distinct from t.__k{i}" for i in range(len(keys))) or "true"
    named = "".join(f"__k{i} as {identifier(mine)}, " for i, mine in enumerate(keys))
    kept = "".join(f"coalesce(h.__k{i}, t.__k{i}) as __k{i}, " for i in range(len(keys)))
    differ = _difference("coalesce(h.__value, 0)", "coalesce(t.__value, 0)")
    bound = _bound(most, "coalesce(__there, 0)")
    measured = (
        "case when __by = 0 then 0 else __by / nullif(abs(__there), 0) end"
        if most.percent
        else "__by"
    )
    mine, theirs, by_how_much = _free(keys, "this", "other", "difference")
    sql = (
        f"select {named}__here as {mine}, __there as {theirs}, __by as {by_how_much}, "
        f"({measured})::double as __measured, {_beyond('__by', bound)} as __fails from ("
        f"select {kept}h.__value as __here, t.__value as __there, "
        f"{differ} as __by from ({here}) h full join ({there}) t on {on})"
    )
    grouped = f" by {', '.join(keys)}" if keys else ""
    exact = f" within {most}" if most.number else ""
    words = text or f"{measure} is {other_measure} of {other}{grouped}{exact}"
    return Phrased(
        text=words, sql=sql, compares=True, threshold=f"within {most}", dimension="consistency"
    )


def _changes(
    text: str, *, measure: str, within: Any, by: Sequence[str], against: str, event_time: str
) -> Phrased:
    most, keys = _amount(within, "within"), _names(by, "by")
    grouped = f" by {', '.join(keys)}" if keys else ""
    weekdays = _WEEKDAYS.fullmatch(str(against))
    if against == "previous":
        compared, than = _against_previous(measure, keys), "what is published"
    elif weekdays and int(weekdays[1]):
        if not event_time:
            raise NotARule("comparing weekdays needs the product's event_time=")
        compared = _against_weekdays(measure, keys, event_time, most, int(weekdays[1]))
        than = f"the same weekday's last {weekdays[1]}"
    else:
        raise NotARule(f'against={against!r} should be "previous" or "same weekday, last 4"')
    was, is_now, change = _free([*keys, "day"], "was", "is_now", "change")
    named = "".join(f"__k{i} as {identifier(name)}, " for i, name in enumerate(keys))
    named = f"__day as {_free(keys, 'day')[0]}, {named}" if weekdays else named
    by = moved = _difference("__is", "__was")
    if most.percent:
        moved = f"case when __is = __was then 0 when __was = 0 then 'inf'::double else ({by}) / abs(__was) end"
    sql = (
        f"select {named}__was as {was}, __is as {is_now}, ({moved})::double as {change}, "
        f"({moved})::double as __measured, {_beyond(by, _bound(most, '__was'))} as __fails from ({compared})"
    )
    words = text or f"{measure}{grouped} stays within {most} of {than}"
    return Phrased(
        text=words, sql=sql, compares=True, threshold=f"within ±{most}", dimension="accuracy"
    )


def _difference(here: str, there: str) -> str:
    """Return the SQL of a difference: none between NaN and NaN, or between infinities that are the same."""
    return f"case when {here} is not distinct from {there} then 0 else {here} - {there} end"


def _bound(most: Amount, total: str) -> str:
    """Return the SQL of how far a total may be from another one."""
    return f"{most.number / 100} * abs({total})" if most.percent else f"{most.number:f}"


def _beyond(difference: str, bound: str) -> str:
    """Return the SQL that is true of a difference that is too large; one that is no number always is."""
    return f"coalesce(abs({difference}) > {bound} or not isfinite(({difference})::double), true)"


def _against_previous(measure: str, keys: Sequence[str]) -> str:
    """Return the query of every group that was there, and what it is now: nothing, when it is gone."""
    on = " and ".join(f"h.__k{i} is not distinct from b.__k{i}" for i in range(len(keys))) or "true"
    kept = "".join(f"b.__k{i}, " for i in range(len(keys)))
    here, before = _grouped(measure, keys, "this"), _grouped(measure, keys, "previous")
    return (
        f"select {kept}coalesce(b.__value, 0) as __was, coalesce(h.__value, 0) as __is "
        f"from ({before}) b left join ({here}) h on {on}"
    )


def _against_weekdays(
    measure: str, keys: Sequence[str], event_time: str, most: Amount, count: int
) -> str:
    """Return the query of every group of a day that readers do not see, or saw otherwise, beside those weekdays' mean.

    "Otherwise" is by more than the rule allows: a day whose correction was held back is judged again until it is
    right, however many days have come since. Where readers see all of them, the newest day is compared.
    """
    day = f"cast({identifier(event_time)} as date)"
    kept = "".join(f"{identifier(name)} as __k{i}, " for i, name in enumerate(keys))
    totals = f"select {day} as __day, {kept}{_aggregate(measure)} as __value from"
    groups = "".join(f"b.__k{i}, " for i in range(len(keys)))
    here, seen = (
        "".join(f" and {t}.__k{i} is not distinct from b.__k{i}" for i in range(len(keys)))
        for t in "hs"
    )
    moved = _beyond(_difference("__is", "__seen"), _bound(most, "__seen"))
    return (
        f"with days as ({totals} this group by all), seen as ({totals} previous group by all), "
        "dates as (select distinct __day from days), "
        f"means as (select d.__day, {groups}avg(b.__value)::double as __was from dates d join days b on "
        f"b.__day < d.__day and b.__day >= d.__day - {7 * count} and dayofweek(b.__day) = dayofweek(d.__day) "
        f"group by {groups}d.__day), "
        f"found as (select b.*, coalesce(h.__value, 0)::double as __is, coalesce(s.__value, 0)::double as __seen, "
        "b.__day in (select __day from seen where __day is not null) as __known "
        f"from means b left join days h on h.__day = b.__day{here} left join seen s on s.__day = b.__day{seen}), "
        f"fresh as (select *, not __known or {moved} as __new, max(__day) over () as __last from found) "
        "select * from fresh where __new or __day = __last and not exists (select 1 from fresh where __new)"
    )


def _fresh(text: str, within: str, column: str, tz: str, event_time: str) -> Phrased:
    if not column and not event_time:
        raise NotARule("the product has no event_time=: give column=")
    name = _words(column or event_time, "column")
    try:
        length = while_of(_words(within, "within"))
    except ValueError:
        raise NotARule(f'within={within!r} should be a length of time such as "36 hours"') from None
    sql = (
        "select latest, age_hours, age_hours as __measured, "
        f"coalesce(age_hours > {length.total_seconds() / 3600}, true) as __fails from ("
        "select latest, (epoch($now) - epoch(latest)) / 3600.0 as age_hours "
        f"from (select {LATEST} as latest from this))"
    )
    return Phrased(
        text=text or f"the latest {name} is at most {within} old",
        sql=sql,
        compares=True,
        threshold=f"at most {within}",
        dated=name,
        tz=_zone(tz),
        dimension="timeliness",
    )


def _closed(text: str, *, column: str, before: str, grace: str, new_rows: str, tz: str) -> Phrased:
    name, told = _words(column, "column"), _words(before, "before")
    try:
        settled_before(told, datetime(2000, 1, 1, tzinfo=UTC), _zone(tz))
    except ValueError:
        raise NotARule(
            f'before={told!r} should be "start of month" (day, week, quarter, year), "7 days ago" or a date'
        ) from None
    if grace and is_date(told):
        raise NotARule(
            f"grace={grace!r} means nothing with a fixed date: write the later date in before="
        )
    try:
        before_grace(datetime(2000, 1, 1), _words(grace, "grace") if grace else "")
    except ValueError:
        raise NotARule(
            f'grace={grace!r} should be a length of time such as "5 days" or "3 working days"'
        ) from None
    if new_rows not in {"", "hold"}:
        raise NotARule(f'new_rows={new_rows!r} should be "hold", or be left out')
    settled = f"where {identifier(name)} < $cutoff"
    sql = f"select * from previous {settled} except all select * from this {settled}"  # rules/settled asks by key
    later = f", {grace} of grace" if grace else ""
    return Phrased(
        text=text or f"settled rows do not change (before {told}{later})",
        sql=sql,
        closes=told,
        grace=grace,
        holds_new=bool(new_rows),
        dated=name,
        tz=_zone(tz),
        dimension="consistency",
    )


# ---------------------------------------------------------------------------------------------- what is given


def _grouped(measure: str, keys: Sequence[str], table: str) -> str:
    kept = "".join(f"{identifier(name)} as __k{i}, " for i, name in enumerate(keys))
    return f"select {kept}{_aggregate(measure)} as __value from {table}{' group by all' if keys else ''}"


def _free(taken: Iterable[str], *wanted: str) -> list[str]:
    """Return names that no other column has."""
    lower = {name.lower() for name in taken}
    return [identifier(name if name not in lower else f"{name}_") for name in wanted]


def _aggregate(measure: str) -> str:
    told = _fragment(measure, "measure")
    if not is_expression(told):
        raise NotARule(f"its measure should be one column or aggregate, and is {told!r}")
    return f"sum({identifier(told)})" if _COLUMN.fullmatch(told) else f"(\n{told}\n)"


def _table(name: str) -> str:
    if not all(_COLUMN.fullmatch(part) for part in name.split(".")):
        raise NotARule(f"{name!r} is no name of a product")
    return dotted(name)


def _is_text(value: Any) -> bool:
    return (
        isinstance(value, str)
        and bool(value.strip())
        and "\0" not in value
        and bool(value.encode())
    )


def _words(value: Any, keyword: str) -> str:
    if not _is_text(value):
        raise NotARule(f"{keyword}= should be a text, and is {value!r}")
    return str(value).strip()


def _fragment(value: Any, what: str) -> str:
    if not _is_text(value):
        raise NotARule(f"its {what} should be SQL, and is {value!r}")
    return str(value).strip()


def _names(value: Any, keyword: str) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise NotARule(f"{keyword}= should be a list of columns, and is {value!r}")
    names = [_words(name, keyword) for name in value]
    if reserved := [name for name in names if name.startswith("__")]:
        raise NotARule(f"{keyword}= names {reserved[0]!r}: names that begin with __ are taken")
    return names


def _amount(value: Any, keyword: str) -> Amount:
    try:
        return amount(value)
    except ValueError:
        raise NotARule(f'{keyword}={value!r} should be an amount such as 0.01 or "0.1 %"') from None


def _zone(tz: Any) -> str:
    try:
        return str(ZoneInfo(tz).key)
    except (ValueError, KeyError, TypeError, OSError):
        raise NotARule(f"tz={tz!r} is no time zone") from None
