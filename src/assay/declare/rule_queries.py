"""Declared rules to queries: each rule becomes one query or condition, a threshold and a name."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from assay.amounts import Amount
from assay.declare import comparisons
from assay.declare.rule_arguments import (
    IDENTIFIER,
    NotARule,
    amount_argument,
    columns_argument,
    name_of_rule,
    product_table,
    sql_argument,
    text_argument,
    zone_argument,
)
from assay.declare.words import RuleDeclaration
from assay.engines.quoting import identifier
from assay.engines.sql.reader import is_expression
from assay.rules.with_queries import LATEST
from assay.times import before_grace, is_date, settled_before, while_of

_WEEKDAYS = re.compile(r"same weekday, last (\d+)")


class RuleQuery(Struct, frozen=True, kw_only=True):
    """A rule as a query, or as a `condition` that every row must meet.

    `text` is its name, `threshold` what it allows, in words, and `least` and `most` the same as
    numbers; `columns` are the columns that a
    failing row shows; `dated` is the column whose times are compared with now, of which the
    latest has to be `within` so many seconds of it. `measure` is the column whose totals are
    compared, `by` the columns that group them.
    """

    text: str
    sql: str = ""
    condition: str = ""
    columns: tuple[str, ...] = ()
    compares: bool = False
    threshold: str = ""
    least: float | None = None
    most: float | None = None
    closes: str = ""
    grace: str = ""
    holds_new: bool = False
    dated: str = ""
    within: float | None = None
    tz: str = "UTC"
    measure: str = ""
    by: tuple[str, ...] = ()
    dimension: str = ""


def query_of(declared: RuleDeclaration, product: str, event_time: str) -> RuleQuery:
    """Return a declared rule of a product as a query; NotARule for wrong arguments."""
    kinds: Mapping[str, Callable[..., RuleQuery]] = {
        "check": _check,
        "sql": _sql,
        "rows": _rows,
        "references": _references,
        "reconciles": _reconciles,
        "changes": _changes,
        "fresh_event_time": _fresh_event_time,
        "closed": _closed,
    }
    given = dict(declared.given)
    if declared.kind in {"changes", "fresh_event_time"}:
        given["event_time"] = event_time
    if declared.kind == "references":
        given["product"] = product
    return kinds[declared.kind](declared.text, **given)


def given_sql(declared: RuleDeclaration) -> list[str]:
    """Return the SQL that a rule was given, in the forms that are parsed when the rule is read."""
    sql, check = declared.given.get("sql"), declared.given.get("check")
    texts = [sql_argument(sql, "query")] if isinstance(sql, str) else []
    if isinstance(check, str):
        condition = sql_argument(check, "condition")
        texts += [f"select not (\n{condition}\n)", f"select (\n{condition}\n) from this"]
    return texts


def _check(text: str, check: Any, column: str) -> RuleQuery:
    name = name_of_rule(text)
    if column and not isinstance(column, str):
        raise NotARule(f"column= should be a name, and is {type(column).__name__}")
    if not isinstance(check, str):
        return RuleQuery(text=name, columns=(column,) if column else ())
    condition = sql_argument(check, "condition")
    if not is_expression(condition):
        raise NotARule(f"its condition should be one expression, and is {check!r}")
    if column:
        raise NotARule("an SQL condition names its columns itself: leave column= out")
    return RuleQuery(text=name, condition=condition)


def _sql(text: str, sql: str) -> RuleQuery:
    return RuleQuery(text=name_of_rule(text), sql=sql_argument(sql, "query"))


def _rows(text: str, at_least: int | None, at_most: int | None) -> RuleQuery:
    given = [(">=", "at least", at_least), ("<=", "at most", at_most)]
    bounds = [(sign, words, count) for sign, words, count in given if count is not None]
    if not bounds or not all(_is_count(count) for _, _, count in bounds):
        raise NotARule("give at_least=, at_most= or both, as numbers of rows")
    if at_least is not None and at_most is not None and at_least > at_most:
        raise NotARule(f"at_least={at_least} is more than at_most={at_most}")
    threshold = " and ".join(f"{words} {count:,}" for _, words, count in bounds)
    condition = " and ".join(f"n {sign} {count}" for sign, _, count in bounds)
    return RuleQuery(
        text=text or f"there are {threshold} rows",
        sql=f"select n as rows, n as __measured, not ({condition}) as __fails"
        " from (select count(*) as n from this)",
        compares=True,
        threshold=threshold,
        least=at_least,
        most=at_most,
        dimension="completeness",
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _references(text: str, column: str, other: str, product: str) -> RuleQuery:
    ours, theirs = text_argument(column, "column"), text_argument(other, "other")
    owner, _, name = ours.rpartition(".")
    if owner not in {"", "this", product, product.partition(".")[2]}:
        raise NotARule(f"{ours!r} is no column of {product}")
    table, _, key = theirs.rpartition(".")
    if not table:
        raise NotARule(f'{theirs!r} should name a product and its column: "customers.id"')
    # Qualified, so that it cannot be read as a column of this product.
    qualified = f"{identifier(table.rpartition('.')[2])}.{identifier(key)}"
    values = f"select {qualified} from {product_table(table)} where {qualified} is not null"
    return RuleQuery(
        text=text or f"every {name} is in {theirs}",
        condition=f"{identifier(name)} is null or {identifier(name)} in ({values})",
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
) -> RuleQuery:
    allowed = amount_argument(within, "within")
    if isinstance(by, Mapping):
        ours, theirs = list(by), list(by.values())
    else:
        ours = theirs = columns_argument(by, "by")
    pairs = zip(columns_argument(ours, "by"), columns_argument(theirs, "by"), strict=True)
    keys = dict(pairs)
    grouped = f" by {', '.join(keys)}" if keys else ""
    inexact = f" within {allowed}" if allowed.number else ""
    return RuleQuery(
        text=text or f"{measure} is {other_measure} of {other}{grouped}{inexact}",
        sql=comparisons.reconciles(measure, other, other_measure, allowed, keys),
        compares=True,
        threshold=f"within {allowed}",
        least=-_number(allowed),
        most=_number(allowed),
        measure=_column(measure),
        by=tuple(keys),
        dimension="consistency",
    )


def _number(allowed: Amount) -> float:
    """Return an amount in the unit of what is measured: a percentage as a share of 1."""
    return float(allowed.number) / (100 if allowed.percent else 1)


def _column(measure: str) -> str:
    """Return the column that a measure adds up; '' for another aggregate."""
    return measure.strip() if IDENTIFIER.fullmatch(measure.strip()) else ""


def _changes(
    text: str, *, measure: str, within: Any, by: Sequence[str], against: str, event_time: str
) -> RuleQuery:
    allowed, keys = amount_argument(within, "within"), columns_argument(by, "by")
    weekdays = _WEEKDAYS.fullmatch(str(against))
    if against == "previous":
        sql = comparisons.changes(measure, keys, allowed)
        compared = "what is published"
    elif weekdays and int(weekdays[1]):
        if not event_time:
            raise NotARule("comparing weekdays needs the product's event_time=")
        count = int(weekdays[1])
        sql = comparisons.weekday_changes(measure, keys, allowed, event_time, count)
        compared = f"the same weekday's last {weekdays[1]}"
    else:
        raise NotARule(f'against={against!r} should be "previous" or "same weekday, last 4"')
    grouped = f" by {', '.join(keys)}" if keys else ""
    return RuleQuery(
        text=text or f"{measure}{grouped} stays within {allowed} of {compared}",
        sql=sql,
        compares=True,
        threshold=f"within ±{allowed}",
        least=-_number(allowed),
        most=_number(allowed),
        measure=_column(measure),
        by=tuple(keys),
        dimension="accuracy",
    )


def _fresh_event_time(text: str, within: str, column: str, tz: str, event_time: str) -> RuleQuery:
    if not column and not event_time:
        raise NotARule("the product has no event_time=: give column=")
    name = text_argument(column or event_time, "column")
    try:
        seconds = while_of(text_argument(within, "within")).total_seconds()
    except ValueError:
        raise NotARule(f'within={within!r} should be a length of time such as "36 hours"') from None
    sql = (
        "select latest, age_hours, age_hours as __measured, "
        f"coalesce(age_hours > {seconds / 3600}, true) as __fails from ("
        "select latest, (epoch($now) - epoch(latest)) / 3600.0 as age_hours "
        f"from (select {LATEST} as latest from this))"
    )
    return RuleQuery(
        text=text or f"the latest {name} is at most {within} old",
        sql=sql,
        compares=True,
        threshold=f"at most {within}",
        most=seconds / 3600,
        dated=name,
        within=seconds,
        tz=zone_argument(tz),
        dimension="timeliness",
    )


def _closed(
    text: str, *, column: str, before: str, grace: str, new_rows: str, tz: str
) -> RuleQuery:
    name, closes = text_argument(column, "column"), text_argument(before, "before")
    _check_closes(closes, grace, tz)
    if new_rows not in {"", "hold"}:
        raise NotARule(f'new_rows={new_rows!r} should be "hold", or be left out')
    settled = f"where {identifier(name)} < $cutoff"
    after_grace = f", {grace} of grace" if grace else ""
    return RuleQuery(
        text=text or f"settled rows do not change (before {closes}{after_grace})",
        # assay.rules.settled asks the same by key, where the contract has one.
        sql=f"select * from previous {settled} except all select * from this {settled}",
        closes=closes,
        grace=grace,
        holds_new=bool(new_rows),
        dated=name,
        tz=zone_argument(tz),
        dimension="consistency",
    )


def _check_closes(closes: str, grace: str, tz: str) -> None:
    """Raise NotARule for a `before=`, `grace=` or `tz=` that cannot be used."""
    zone = zone_argument(tz)  # raises NotARule, a ValueError, with a message about tz=
    try:
        settled_before(closes, datetime(2000, 1, 1, tzinfo=UTC), zone)
    except ValueError:
        raise NotARule(
            f'before={closes!r} should be "start of month" (day, week, quarter, year),'
            ' "7 days ago" or a date'
        ) from None
    if grace and is_date(closes):
        raise NotARule(
            f"grace={grace!r} means nothing with a fixed date: write the later date in before="
        )
    try:
        before_grace(datetime(2000, 1, 1), text_argument(grace, "grace") if grace else "")
    except ValueError:
        raise NotARule(
            f'grace={grace!r} should be a length of time such as "5 days" or "3 working days"'
        ) from None
