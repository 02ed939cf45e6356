"""Runs: which live, which products each may build, and what a dead run leaves to remove."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial

from msgspec.structs import replace

from assay.catalog.database import Reader, Remove, Writer
from assay.catalog.rows import decoded, moment_of, stamp
from assay.catalog.run_rows import RUN, recorded_run, summary_row
from assay.catalog.transactions import Transactions
from assay.catalog.writes import check_not_dropped
from assay.errors import Conflict
from assay.events import Holder
from assay.facts import RecordedRun, RunSummary
from assay.users import user

_CLAIMS = (
    "select c.product, c.key, r.id, r.environment, r.started_at, r.host, r.pid from claims c"
    " join runs r on r.id = c.run where r.state = 'running' order by r.started_at"
)


_INSERT = (
    "insert into runs (id, state, started_at, environment, host, pid, asked, who)"
    " values (?, 'running', ?, ?, ?, ?, ?, ?)"
)
_SUMMARIZE = "update runs set ended_at = ?, seconds = ?, results = ? where id = ?"
_LIST = (
    f"select {RUN} from runs where environment = ? and asked <> ''"
    " order by started_at desc, id desc limit ?"
)
_KILLED = (  # what is recorded of a run that could not say how it ended
    "select (select count(distinct product) from versions where run = ?),"
    " (select count(*) from moves where release in (select id from releases where run = ?))"
)


class Runs:
    """The runs of a catalog. A living run has claimed the products that it may build."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._database, self._write = transactions.database, transactions.write

    @contextmanager
    def open(
        self,
        id: str,
        environment: str,
        at: datetime,
        keys: Mapping[str, str],
        remove: Remove,
        *,
        recorded: int,
        asked: str = "",
        summary: Callable[[], RunSummary] | None = None,
    ) -> Iterator[Mapping[str, Holder]]:
        """Hold a run open that may build products; yield those that other runs have claimed.

        `asked` is the command in words; a run without is not listed. `summary` is called at the end.

        `keys` maps each product to the key it is built for ('': not known yet). The folder in the
        store that the run may write for each product is recorded first; at the end, files in it
        that no version names are removed. Raises Conflict when another run has recorded a version
        of a product since there were `recorded` versions.
        """
        intended = [f"{product}/{id}" for product in keys]

        def begin(writer: Writer) -> dict[str, Holder]:
            check_not_dropped(writer, environment)
            _check_not_built(writer, keys, recorded)
            row = [id, stamp(at), environment, os.uname().nodename, os.getpid(), asked, user()]
            writer.execute(_INSERT, row)
            writer.many("insert into intents values (?, ?)", [(path, id) for path in intended])
            return _claim(writer, id, keys, lambda run: self._database.is_dead(run, writer))

        with self._database.hold(id):
            claimed = self._write(begin)
            self._transactions.run, state = id, "interrupted"
            try:
                yield claimed
                state = "done"
            finally:
                self._transactions.run = ""
                self._end(id, state, intended, remove, summary)

    def _end(
        self,
        run: str,
        state: str,
        intended: Sequence[str],
        remove: Remove,
        summary: Callable[[], RunSummary] | None,
    ) -> None:
        """Settle this process's run.

        If another process has settled it, only remove what the run wrote since.
        """
        rows = self._database.rows("select state from runs where id = ?", [run])
        if rows == [("running",)]:
            self._remove_intended(run, remove)
            self._settle(run, state, summary() if summary else None)
        else:
            self._remove(intended, remove)

    def recover(self, remove: Remove) -> Sequence[str]:
        """Settle dead runs, remove their files that no version names, and return the runs' ids."""
        rows = self._database.rows(
            "select id, state from runs where state = 'running' or id in (select run from intents)"
        )
        dead = [run for run, state in rows if state != "running" or self._mark_dead(run)]
        for run in dead:
            self._remove_intended(run, remove)
            self._settle(run, "crashed")
        # Locks may also be left of runs that were never recorded, or are settled.
        self._database.remove_dead_locks()
        return dead

    def any_open(self) -> bool:
        """Return whether a run is recorded as running, or may have left files."""
        query = "select 1 from runs where state = 'running' or id in (select run from intents)"
        return bool(self._database.rows(f"{query} limit 1"))

    def holders(self, products: Collection[str]) -> Mapping[str, Holder]:
        """Return those of these products that living runs may be building, with who builds each."""
        with decoded(self._database.name):
            claims = _living_claims(self._database, self._database.is_dead)
            return {product: holder for product, _, holder in claims if product in products}

    def listed(self, environment: str, limit: int) -> list[RecordedRun]:
        """Return the last runs of an environment that had something to do, newest first.

        A run that was killed is `crashed`, also before another run has noticed.
        """
        with decoded(self._database.name):
            runs = list(map(recorded_run, self._database.rows(_LIST, [environment, limit])))
            return [
                replace(run, state="crashed")
                if run.state == "running" and self._database.is_dead(run.id)
                else run
                for run in runs
            ]

    def recorded(self, id: str) -> RecordedRun | None:
        """Return the run with an id; None where it is not recorded."""
        with decoded(self._database.name):
            rows = self._database.rows(f"select {RUN} from runs where id = ?", [id])
            return recorded_run(rows[0]) if rows else None

    def work_of(self, run: str) -> tuple[int, int]:
        """Return how many products a run has built, and how many it has published."""
        with decoded(self._database.name):
            [(built, published)] = self._database.rows(_KILLED, [run, run])
            return int(built), int(published)

    def living(self, reader: Reader) -> Sequence[str]:
        """Return the ids of the living runs, as seen inside a transaction."""
        runs = [run for (run,) in reader.rows("select id from runs where state = 'running'")]
        return [run for run in runs if not self._database.is_dead(run, reader)]

    def _mark_dead(self, run: str) -> bool:
        """Mark a run as crashed if it is dead, so that its writes are refused; return whether so.

        Files are removed only after this, so no run loses a file that it then records.
        """

        def mark(writer: Writer) -> bool:
            if not self._database.is_dead(run, writer):
                return False
            query = "update runs set state = 'crashed' where id = ? and state = 'running'"
            return bool(writer.execute(query, [run]))

        return self._database.is_dead(run) and self._write(mark)

    def _remove_intended(self, run: str, remove: Remove) -> None:
        rows = self._database.rows("select path from intents where run = ?", [run])
        self._remove([path for (path,) in rows], remove)

    def _remove(self, paths: Iterable[str], remove: Remove) -> None:
        for path in paths:
            remove(path, partial(self._files_below, path))

    def _files_below(self, path: str) -> Collection[str]:
        """Return the files of recorded parts at or below a path."""
        query = "select path from parts where path = ? or (path >= ? and path < ?)"
        rows = self._database.rows(query, [path, f"{path}/", f"{path}0"])  # '0' comes after '/'
        return {file for (file,) in rows}

    def _settle(self, run: str, state: str, summary: RunSummary | None = None) -> None:
        def settle(writer: Writer) -> None:
            writer.execute("delete from intents where run = ?", [run])
            writer.execute("delete from claims where run = ?", [run])
            writer.execute(
                "update runs set state = ? where id = ? and state in ('running', ?)",
                [state, run, state],
            )
            if summary:
                writer.execute(_SUMMARIZE, [*summary_row(summary), run])

        self._write(settle)


def _check_not_built(writer: Writer, products: Collection[str], recorded: int) -> None:
    """Raise Conflict if one of these products got a version after `recorded` versions."""
    rows = writer.rows("select product from versions where seq > ?", [recorded])
    built = sorted({product for (product,) in rows}.intersection(products))
    if built:
        raise Conflict(f"{built[0]} was built by another run meanwhile")


def _claim(
    writer: Writer, run: str, keys: Mapping[str, str], is_dead: Callable[[str], bool]
) -> dict[str, Holder]:
    """Claim products for a run; return those that other living runs have claimed.

    Runs that build different keys of a product (in two environments, say) do not block each other;
    a key that is not known yet ('') blocks, and is blocked by, every key.
    """
    claimed = {
        product: holder
        for product, key, holder in _living_claims(writer, is_dead)
        if product in keys and (not key or not keys[product] or key == keys[product])
    }
    rows = [(product, key, run) for product, key in keys.items() if product not in claimed]
    writer.many("insert into claims values (?, ?, ?)", rows)
    return claimed


def _living_claims(reader: Reader, is_dead: Callable[[str], bool]) -> list[tuple[str, str, Holder]]:
    """Return what living runs have claimed: product, key, and who."""
    dead = cache(is_dead)
    claims: list[tuple[str, str, Holder]] = []
    for product, key, run, environment, at, host, pid in reader.rows(_CLAIMS):
        if not dead(run):
            since = moment_of(at)
            holder = Holder(run=run, environment=environment, since=since, host=host, pid=pid)
            claims.append((product, key, holder))
    return claims
