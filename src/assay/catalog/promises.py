"""The recorded promises: since when each window is watched, and how promises came out."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from assay.catalog.database import Writer, rows_in
from assay.catalog.rows import decoded, event_or_none, moment_of, moment_or_none, stamp, to_json
from assay.catalog.transactions import Transactions
from assay.plan.outcomes import PromiseOutcome, Reach
from assay.plan.promise_state import State
from assay.plan.shares import Tally

MOST_PROMISES = 1000  # that gc leaves of each product and source: those that fell due last
_OUTCOME = "name, due, state, came, as_of, cause, basis"
_WATCHED = """
    select w.name, w.freshness, w.since, (
      select max(p.due) from promises p where p.environment = w.environment and p.name = w.name
    ) from windows w where w.environment = ?
"""
_REACHES = (
    "select m.product, r.at, v.data_as_of from moves m join releases r on r.id = m.release"
    " left join versions v on v.id = m.version where r.environment = ?"
)


class Watched(Struct, frozen=True, kw_only=True):
    """A window that is watched.

    - `freshness`: the promise as declared, as JSON.
    - `since`: since when; promises that fell due earlier do not count.
    - `last`: when the newest recorded promise fell due; None when none is recorded.
    """

    name: str
    freshness: str
    since: datetime
    last: datetime | None = None

    @property
    def recorded_until(self) -> datetime:
        """The moment up to which all promises are recorded."""
        return max(self.since, self.last) if self.last else self.since


class Promises:
    """What the catalog records of promises: facts, which are never changed."""

    def __init__(self, transactions: Transactions) -> None:
        self._database, self._write = transactions.database, transactions.write

    def watched(self, environment: str, name: str = "") -> Mapping[str, Watched]:
        """Return the watched windows, or the one of a name, by the name of product or source."""
        query, values = _WATCHED, [environment]
        if name:
            query, values = f"{_WATCHED} and w.name = ?", [environment, name]
        rows = self._database.rows(query, values)
        with decoded(self._database.name):
            return {
                name: Watched(
                    name=name,
                    freshness=freshness,
                    since=moment_of(since),
                    last=moment_or_none(last),
                )
                for name, freshness, since, last in rows
            }

    def record(
        self,
        environment: str,
        outcomes: Sequence[PromiseOutcome],
        watch: Sequence[Watched] = (),
        forget: Collection[str] = (),
    ) -> None:
        """Record in one transaction how promises came out, and which windows are watched.

        A promise that another run has recorded stays as it is. The windows to `watch` replace
        earlier ones of their names; those to `forget` are not watched any more.
        """

        def add(writer: Writer) -> None:
            gone = [(environment, name) for name in (*forget, *(w.name for w in watch))]
            writer.many("delete from windows where environment = ? and name = ?", gone)
            windows = [(environment, w.name, w.freshness, stamp(w.since)) for w in watch]
            writer.many("insert into windows values (?, ?, ?, ?)", windows)
            writer.many(
                f"insert into promises (environment, {_OUTCOME}) values (?, ?, ?, ?, ?, ?, ?, ?)"
                " on conflict do nothing",
                [(environment, *_row(outcome)) for outcome in outcomes],
            )

        self._write(add)

    def of(self, environment: str, name: str, limit: int = 1000) -> Sequence[PromiseOutcome]:
        """Return how the promises of a product or source came out, newest first."""
        query = (
            f"select {_OUTCOME} from promises where environment = ? and name = ?"
            " order by due desc limit ?"
        )
        rows = self._database.rows(query, [environment, name, limit])
        with decoded(self._database.name):
            return [_outcome(row) for row in rows]

    def between(
        self, environment: str, name: str, since: datetime, until: datetime
    ) -> Sequence[PromiseOutcome]:
        """Return how promises came out that fell due from `since` and before `until`, in order."""
        query = (
            f"select {_OUTCOME} from promises where environment = ? and name = ?"
            " and due >= ? and due < ? order by due"
        )
        rows = self._database.rows(query, [environment, name, stamp(since), stamp(until)])
        with decoded(self._database.name):
            return [_outcome(row) for row in rows]

    def tallies(self, environment: str, since: datetime, until: datetime) -> Mapping[str, Tally]:
        """Return by name how many promises were kept, of how many that fell due in a period."""
        query = (
            "select name, sum(case when state = 'kept' then 1 else 0 end), count(*) from promises"
            " where environment = ? and due >= ? and due <= ? group by name"
        )
        rows = self._database.rows(query, [environment, stamp(since), stamp(until)])
        with decoded(self._database.name):
            return {name: Tally(kept=int(kept), promised=int(count)) for name, kept, count in rows}

    def reaches(
        self, environment: str, products: Sequence[str], since: datetime
    ) -> Mapping[str, Sequence[Reach]]:
        """Return how far readers' data reached from when on, in order of time, by product.

        Of what was published before `since`, only the last is returned.
        """
        last_before = (
            " and (m.product, m.release) in (select m.product, max(m.release) from moves m"
            " join releases r on r.id = m.release where r.environment = ? and r.at <= ?"
            " group by m.product) and m.product in"
        )
        first = [environment, stamp(since)]
        rows = [
            *rows_in(self._database, f"{_REACHES}{last_before}", products, [environment, *first]),
            *rows_in(self._database, f"{_REACHES} and r.at > ? and m.product in", products, first),
        ]
        histories: dict[str, list[Reach]] = defaultdict(list)
        with decoded(self._database.name):
            for product, at, as_of in rows:
                histories[product].append(Reach(moment_of(at), event_or_none(as_of)))
        for history in histories.values():
            history.sort(key=lambda reach: reach.at)
        return histories

    def failures(self, products: Sequence[str]) -> Sequence[tuple[str, datetime, Sequence[str]]]:
        """Return when versions of products were held back, in order, and the rules that failed."""
        query = (
            "select v.product, x.judged_at, x.results from verdicts x"
            " join versions v on v.id = x.version where x.status in ('failed', 'error')"
            " and v.product in"
        )
        rows = list(rows_in(self._database, query, products))
        with decoded(self._database.name):
            failures = [(product, moment_of(at), _failed(results)) for product, at, results in rows]
        return sorted(failures, key=lambda failure: failure[1])

    def awaited(self, environment: str, products: Sequence[str]) -> Sequence[tuple[str, datetime]]:
        """Return when versions passed that nobody could read then, in order.

        Of products that ask for approval, these awaited it until they were published.
        """
        query = (
            "select v.product, x.judged_at from verdicts x join versions v on v.id = x.version"
            " where x.status in ('passed', 'warning') and not exists ("
            "  select 1 from moves m join releases r on r.id = m.release"
            "  where r.environment = ? and m.version = v.id and r.at <= x.judged_at)"
            " and v.product in"
        )
        rows = list(rows_in(self._database, query, products, [environment]))
        with decoded(self._database.name):
            passed = [(str(product), moment_of(at)) for product, at in rows]
        return sorted(passed, key=lambda each: each[1])


def _failed(results: str) -> list[str]:
    """Return the rules that failed, or could not be checked, of the results of a verdict."""
    failing = ("failed", "error")
    return [result["text"] for result in json.loads(results) if result["status"] in failing]


def _row(outcome: PromiseOutcome) -> Sequence[Any]:
    return (
        outcome.name,
        stamp(outcome.due),
        str(outcome.state),
        stamp(outcome.came) if outcome.came else None,
        outcome.as_of.isoformat() if outcome.as_of else None,
        outcome.cause,
        to_json(outcome.basis),
    )


def _outcome(row: Sequence[Any]) -> PromiseOutcome:
    name, due, state, came, as_of, cause, basis = row
    return PromiseOutcome(
        name=name,
        due=moment_of(due),
        state=State(state),
        came=moment_or_none(came),
        as_of=event_or_none(as_of),
        cause=cause,
        basis=json.loads(basis),
    )
