"""Counts of what is recorded of products in a period, and since when nothing of it is forgotten."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.json import decode

from assay.catalog.catalog import Catalog
from assay.catalog.incidents import KEPT_FOR, MOST_KEPT
from assay.catalog.promises import MOST_PROMISES
from assay.catalog.rows import decoded, moment_of, moment_or_none, stamp
from assay.plan.causes import Cause, Kind
from assay.plan.outcomes import PromiseOutcome
from assay.plan.record import CheckCounts, Happened, PromiseCounts, counts_of

FACTS_SINCE = "facts since"  # the note of when gc has left everything that was built and checked
_PROMISES = (
    "select name, state, count(*), min(due) from promises"
    " where environment = ? and due >= ? and due < ? group by name, state"
)
_IN_PERIOD = "r.environment = ? and r.started_at >= ? and r.started_at < ?"
# A run counts for a product by the first verdict on what it built of it. Most verdicts are of the
# run itself: they are looked for there first, which takes a quarter of the time.
_CHECKED = (
    "select v.product, count(distinct v.run) from runs r join versions v on v.run = r.id"
    f" where {_IN_PERIOD} and ("
    "  exists (select 1 from verdicts x where x.run = v.run and x.version = v.id)"
    "  or exists (select 1 from verdicts x where x.version = v.id)) group by v.product"
)
_FAILED = (
    "select v.product, count(distinct v.run) from verdicts x join versions v on v.id = x.version"
    f" join runs r on r.id = v.run where {_IN_PERIOD}"
    " and x.status in ('failed', 'error') and x.judged_at >= ?"
    " and not exists (select 1 from versions o join verdicts y on y.version = o.id"
    "  where o.run = v.run and o.product = v.product"
    "  and (y.judged_at < x.judged_at or (y.judged_at = x.judged_at and y.rowid < x.rowid)))"
    " group by v.product"
)
_VERDICTS_OF_ONE = (
    "select v.run, x.status from versions v join runs r on r.id = v.run"
    f" join verdicts x on x.version = v.id where {_IN_PERIOD} and v.product = ?"
    " order by x.judged_at, x.rowid"
)
_OF_MANY_PROMISES = (
    "select name, count(*), min(due) from promises where environment = ? and due >= ?"
    f" group by name having count(*) >= {MOST_PROMISES}"
)
_INCIDENTS = (
    "select opened, closed, cause, told from incidents where environment = ?"
    " and (closed is null or closed >= ?){of} order by id"
)
_RESTATED = (
    "select product, at, who, approved_by from restatements"
    " where environment = ? and at >= ? and at < ?{of} group by product, at, who, approved_by"
    " order by at"
)


_APPROVED = (
    "select a.product, a.release, a.approver, r.at, (select min(x.judged_at) from verdicts x"
    "  where x.version = m.version and x.status in ('passed', 'warning'))"
    " from approvals a join releases r on r.id = a.release"
    " join moves m on m.release = a.release and m.product = a.product"
    " where a.environment = ? and r.at >= ? and r.at < ?{of} order by a.release, a.approver"
)


class Approved(Struct, frozen=True, kw_only=True):
    """That people let a version out: how long it had waited since it passed, and who they are.

    `waited` is None where its verdicts are forgotten.
    """

    product: str
    waited: timedelta | None
    by: tuple[str, ...]


class Restated(Struct, frozen=True, kw_only=True):
    """That settled rows of a product were allowed to change: when, and by whom."""

    product: str
    at: datetime
    who: str


class KnownSince(Struct, frozen=True, kw_only=True):
    """The moments from which on nothing is forgotten; None where nothing ever was.

    - `checks`: what was built, checked and restated.
    - `incidents`: what people were told.
    """

    checks: datetime | None = None
    incidents: datetime | None = None


class RecordReads:
    """Counts of one environment; with `product`, of this one only."""

    def __init__(self, catalog: Catalog, environment: str, product: str = "") -> None:
        self._catalog, self._name = catalog, catalog.name
        self._environment, self._product = environment, product

    def promises(self, since: datetime, until: datetime) -> Mapping[str, PromiseCounts]:
        """Return how promises came out that fell due from `since` and before `until`, by name."""
        if self._product:
            return {self._product: counts_of(self.outcomes(since, until))}
        found: dict[str, dict[str, Any]] = defaultdict(dict)
        values = [self._environment, stamp(since), stamp(until)]
        with decoded(self._name):
            for name, state, count, first in self._catalog.database.rows(_PROMISES, values):
                counts = found[name]
                counts[state] = int(count)
                counts["first"] = min(moment_of(first), counts.get("first", until))
            return {name: PromiseCounts(**counts) for name, counts in found.items()}

    def outcomes(self, since: datetime, until: datetime) -> Sequence[PromiseOutcome]:
        """Return how the promises of the product came out that fell due in a period, in order."""
        promises, environment = self._catalog.promises, self._environment
        return promises.between(environment, self._product, since, until)

    def forgotten_promises(self, since: datetime) -> Mapping[str, datetime]:
        """Return the names of which gc may have forgotten promises that fell due after a moment.

        With each, when the first fell due that it left.
        """
        values = [self._environment, stamp(since)]
        with decoded(self._name):
            rows = self._catalog.database.rows(_OF_MANY_PROMISES, values)
            return {name: moment_of(first) for name, _, first in rows}

    def checks(self, since: datetime, until: datetime) -> Mapping[str, CheckCounts]:
        """Return the runs that began in a period and checked what they built, by product."""
        rows, values = self._catalog.database.rows, self._values(since, until)
        if self._product:
            first: dict[str, str] = {}
            for run, status in rows(_VERDICTS_OF_ONE, values):
                first.setdefault(run, status)
            failed_runs = sum(status in {"failed", "error"} for status in first.values())
            return {self._product: CheckCounts(runs=len(first), failed=failed_runs)}
        failed = dict(rows(_FAILED, [*values, stamp(since)]))
        return {
            name: CheckCounts(runs=int(count), failed=int(failed.get(name, 0)))
            for name, count in rows(_CHECKED, values)
        }

    def happened(self, since: datetime) -> Mapping[str, Sequence[Happened]]:
        """Return what people were told about products that was not over at a moment, oldest first."""
        found: dict[str, list[Happened]] = defaultdict(list)
        with decoded(self._name):
            for row in self._rows(_INCIDENTS, "about", self._values(since)):
                cause, happened = _happened(row)
                if cause.key == cause.about:  # others count over a period, beside these
                    found[cause.about].append(happened)
        return found

    def restated(self, since: datetime, until: datetime) -> Sequence[Restated]:
        """Return the restatements of a period, oldest first; one of several rules counts once."""
        with decoded(self._name):
            return [
                Restated(product=product, at=moment_of(at), who=approved_by or who)
                for product, at, who, approved_by in self._rows(
                    _RESTATED, "product", self._values(since, until)
                )
            ]

    def approved(self, since: datetime, until: datetime) -> Sequence[Approved]:
        """Return what approvals let out in a period, oldest first; several of one count once."""
        found: dict[tuple[int, str], Approved] = {}
        with decoded(self._name):
            for product, release, approver, at, passed in self._rows(
                _APPROVED, "a.product", self._values(since, until)
            ):
                waited = max(moment_of(at) - moment_of(passed), timedelta()) if passed else None
                before = found.get((release, product))
                by = (*before.by, approver) if before else (approver,)
                found[release, product] = Approved(product=product, waited=waited, by=by)
        return list(found.values())

    def known_since(self, now: datetime) -> KnownSince:
        """Return since when nothing is forgotten of the environment."""
        notes = self._catalog.database.rows("select value from meta where name = ?", [FACTS_SINCE])
        [(closed, first)] = self._catalog.database.rows(
            "select count(*), min(closed) from incidents"
            " where environment = ? and closed is not null",
            [self._environment],
        )
        with decoded(self._name):
            return KnownSince(
                checks=moment_of(notes[0][0]) if notes else None,
                incidents=moment_of(first) if closed >= MOST_KEPT else now - KEPT_FOR,
            )

    def _values(self, *moments: datetime) -> list[str]:
        product = [self._product] if self._product else []
        return [self._environment, *map(stamp, moments), *product]

    def _rows(self, query: str, column: str, values: Sequence[Any]) -> list[Any]:
        """Return the rows of a query; `{of}` in it is where it is limited to the one product."""
        of = f" and {column} = ?" if self._product else ""
        return self._catalog.database.rows(query.replace("{of}", of), values)


def _happened(row: Sequence[Any]) -> tuple[Cause, Happened]:
    """Return the last known cause in a row of _INCIDENTS, and what happened."""
    opened, closed, cause_text, told = row
    cause = decode(cause_text, type=Cause)
    facts = decode(told, type=tuple[str, ...])
    return cause, Happened(
        began=min(cause.since, moment_of(opened)),
        ended=moment_or_none(closed),
        kinds=frozenset({cause.kind, *map(Kind, _after("kind ", facts))}),
        rules=_after("rule ", facts),
    )


def _after(prefix: str, facts: Sequence[str]) -> tuple[str, ...]:
    return tuple(fact.removeprefix(prefix) for fact in facts if fact.startswith(prefix))
