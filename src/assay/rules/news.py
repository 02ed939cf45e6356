"""Which failing rows are new since the last verdict, and samples that show these first."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from assay.facts import RuleResult, Status, Verdict
from assay.model import Product, Rule
from assay.rules.samples import SAMPLES, place_columns

_ORDERED = re.compile(r"\border\s+by\b", re.IGNORECASE)
_REPORTED = {Status.FAILED, Status.WARNING}


class FoundRow(Struct, frozen=True):
    """A failing row: its digest, its part ('' if unknown), and what is shown of it, masked."""

    digest: str
    part: str
    shown: Mapping[str, Any]


def columns_to_show(product: Product, rule: Rule, names: Sequence[str]) -> list[str]:
    """Return the columns of failing rows that samples show.

    Of rows of the table: the key, the part, and the columns that the rule is about. All columns of
    a query that the rule is.
    """
    if rule.demand is None:
        return list(names)
    lower = {name.lower(): name for name in names}
    about = rule.demand.arguments.get("columns") or (rule.demand.column,)
    offending = [lower[name.lower()] for name in about if name and name.lower() in lower]
    if not offending:
        return list(names)
    return list(dict.fromkeys([*place_columns(product, lower), *offending]))


def in_order(rule: Rule, rows: Sequence[FoundRow]) -> list[FoundRow]:
    """Return rows by part and by what is shown of them; in the order of a query that has one."""
    if rule.compares or _ORDERED.search(rule.sql):
        return list(rows)
    return sorted(rows, key=lambda row: (row.part, [_sortable(v) for v in row.shown.values()]))


def _sortable(value: Any) -> tuple[int, float, str]:
    """Return a value of JSON so that it can be compared with any other: nothing, numbers, text."""
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return 2, 0.0, str(value)


def with_news(
    verdict: Verdict, found: Mapping[str, Sequence[FoundRow]], last: Verdict | None
) -> Verdict:
    """Return a verdict whose results say which failing rows are new since the last verdict.

    `found` has the failing rows of rules, by the rule's text, in order. Samples show rows of failed
    parts first, and then new ones.
    """
    before = {result.text: result for result in last.results} if last else {}
    results = []
    for result in verdict.results:
        earlier, rows = before.get(result.text), found.get(result.text)
        if result.status in _REPORTED and rows:
            since = _since(earlier, last)
            ordered = sorted(
                rows,
                key=lambda row: (row.part not in verdict.failed_parts, row.digest in (since or ())),
            )
            news = _compared(result, rows, since) if since is not None else result
            results.append(replace(news, samples=_samples(ordered)))
        else:
            results.append(_repeated(result, earlier, last))
    return replace(verdict, results=tuple(results))


def _compared(result: RuleResult, rows: Sequence[FoundRow], since: Mapping[str, str]) -> RuleResult:
    """Return a result that says which of its rows are new, and since when the others fail."""
    known: dict[str, list[str]] = {}
    for row in rows:
        if row.digest in since:
            known.setdefault(since[row.digest], []).append(row.digest)
    return replace(
        result,
        new=sum(row.digest not in since for row in rows),
        known={at: tuple(sorted(digests)) for at, digests in sorted(known.items())},
    )


def _since(earlier: RuleResult | None, last: Verdict | None) -> Mapping[str, str] | None:
    """Return since when each row fails that failed at the last verdict; None if it is not known."""
    if earlier is None or last is None:
        return None
    rows = [digest for digests in earlier.failing_rows.values() for digest in digests]
    if len(rows) != (earlier.failing or 0) or earlier.status is Status.ERROR:
        return None
    known = {digest: at for at, digests in earlier.known.items() for digest in digests}
    return dict.fromkeys(rows, last.judged_at.isoformat()) | known


def _repeated(result: RuleResult, earlier: RuleResult | None, last: Verdict | None) -> RuleResult:
    """Return a result whose rows are not known with the moment of the first of equal warnings."""
    if earlier is None or last is None or result.status is not Status.WARNING:
        return result
    is_more = (result.failing or 0) > (earlier.failing or 0)
    if earlier.status is not Status.WARNING or is_more or result.message != earlier.message:
        return result
    return replace(result, known={min(earlier.known, default=last.judged_at.isoformat()): ()})


def _samples(rows: Sequence[FoundRow]) -> tuple[Mapping[str, Any], ...]:
    """Return what is shown of the first rows that are not shown alike."""
    distinct: list[Mapping[str, Any]] = []
    for row in rows:
        if row.shown not in distinct:
            distinct.append(row.shown)
        if len(distinct) == SAMPLES:
            break
    return tuple(distinct)
