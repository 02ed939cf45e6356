"""The environments: each created from the pointers of another, its parent, and dropped when done with."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from assay.catalog.database import Writer
from assay.catalog.reads import UNFINISHED
from assay.catalog.rows import decoded, moment_of, moment_or_none, stamp
from assay.catalog.runs import Runs
from assay.catalog.transactions import Transactions
from assay.catalog.writes import add_release, check_not_dropped, check_pointer, publish
from assay.errors import UsageError
from assay.facts import Environment, Move, Release

# Those without a row are the one of the settings, or an earlier one of the settings.
_ALL = """
    select name, parent, created_at from environments where dropped_at is null
    union all
    select environment, '', min(at) from releases
    where environment not in (select name from environments) group by environment
    order by 1
"""
# What is recorded for one environment only, besides its moves and releases.
_OWN = (
    "approvals",
    "bases",
    "restatements",
    "waivers",
    "waivers_used",
    "windows",
    "promises",
)


class Promotion(Struct, frozen=True, kw_only=True):
    """What is promoted: the release to make in `to`, and the pointers that it relies on.

    `expects` and `expects_from` map products to the release that their pointer in `to`, and in
    `source`, should be of (0: nothing is published).
    """

    source: str
    release: Release
    moves: Sequence[Move]
    expects: Mapping[str, int]
    expects_from: Mapping[str, int]


class Environments:
    """The environments of a catalog. Every change is one transaction."""

    def __init__(self, transactions: Transactions, runs: Runs) -> None:
        self._database, self._write = transactions.database, transactions.write
        self._runs = runs

    def all(self) -> Sequence[Environment]:
        """Return the environments that were created or published to, sorted by name."""
        with decoded(self._database.name):
            return [
                Environment(name=name, parent=parent, created_at=moment_of(at))
                for name, parent, at in self._database.rows(_ALL)
            ]

    def names(self) -> list[str]:
        """Return the names of the environments that were created or published to, sorted."""
        return [environment.name for environment in self.all()]

    def publishing(self) -> list[str]:
        """Return the environments in which something is published, sorted."""
        rows = self._database.rows("select distinct environment from pointers order by 1")
        return [name for (name,) in rows]

    def bases(self, name: str) -> Mapping[str, str]:
        """Return the versions that the parent published when they were copied or promoted last."""
        query = "select product, version from bases where environment = ?"
        return dict(self._database.rows(query, [name]))

    def last_runs(self) -> Mapping[str, datetime]:
        """Return when the last run of each environment that is listed began."""
        query = "select environment, max(started_at) from runs where asked <> '' group by 1"
        with decoded(self._database.name):
            rows = self._database.rows(query)
            return {name: at for name, last in rows if (at := moment_or_none(last))}

    def create(self, environment: Environment, *, again: bool = False) -> Release | None:
        """Create an environment with the pointers of its parent; return the release that did.

        With `again`, an environment that exists gets those that its parent has now. None if there
        is no pointer to move. Raises UsageError if the environment exists (without `again`), a run
        is alive in it, or its parent was dropped.
        """
        name, parent = environment.name, environment.parent

        def work(writer: Writer) -> Release | None:
            check_not_dropped(writer, parent)
            query = "select 1 from environments where name = ? and dropped_at is null"
            if writer.rows(query, [name]) and not again:
                raise UsageError(f"there is an environment {name} already")
            self._check_idle(writer, name)
            writer.execute(
                "insert into environments (name, parent, created_at) values (?, ?, ?)"
                " on conflict (name) do update set parent = excluded.parent,"
                " created_at = excluded.created_at, dropped_at = null",
                [name, parent, stamp(environment.created_at)],
            )
            return _copy_pointers(writer, environment)

        return self._write(work)

    def drop(self, name: str, at: datetime, why: str) -> Release | None:
        """Drop an environment: its pointers, and all that is recorded for it alone.

        Its moves stay until gc forgets them: so its versions are kept as long as those that readers
        saw lately. Returns the release that withdrew its products, None if it had none. Raises
        UsageError if it does not exist, a run is alive in it, or it is the parent of another.
        """

        def work(writer: Writer) -> Release | None:
            check_not_dropped(writer, name)
            self._check_idle(writer, name)
            query = "select name from environments where parent = ? and dropped_at is null"
            if children := [child for (child,) in writer.rows(query, [name])]:
                raise UsageError(
                    f"{name} is the parent of {', '.join(sorted(children))}",
                    hint=f"Drop {'it' if len(children) == 1 else 'them'} first.",
                )
            release = _withdraw_all(writer, name, at, why)
            for table in _OWN:
                writer.execute(f"delete from {table} where environment = ?", [name])
            own_incidents = "(select id from incidents where environment = ?)"
            writer.execute(f"delete from notices where incident in {own_incidents}", [name])
            writer.execute("delete from incidents where environment = ?", [name])
            writer.execute("delete from meta where name = ?", [UNFINISHED + name])
            writer.execute("update runs set asked = '' where environment = ?", [name])
            writer.execute(
                "insert into environments (name, parent, created_at, dropped_at)"
                " values (?, '', ?, ?) on conflict (name) do update"
                " set dropped_at = excluded.dropped_at",
                [name, stamp(at), stamp(at)],
            )
            return release

        return self._write(work)

    def promote(self, promotion: Promotion) -> Release:
        """Publish what an environment publishes in its parent, in one release.

        What is promoted is what the environment is compared with from then on. Raises Conflict if a
        pointer in one of the two has moved.
        """
        source = promotion.source

        def work(writer: Writer) -> Release:
            for product, expected in promotion.expects_from.items():
                check_pointer(writer, source, product, expected)
            release = publish(writer, promotion.release, promotion.moves, promotion.expects)
            writer.many(
                "insert into bases (environment, product, version) values (?, ?, ?)"
                " on conflict (environment, product) do update set version = excluded.version",
                [(source, move.product, move.version) for move in promotion.moves],
            )
            return release

        return self._write(work)

    def _check_idle(self, writer: Writer, name: str) -> None:
        query = "select id from runs where environment = ? and state = 'running'"
        running = {run for (run,) in writer.rows(query, [name])}
        if alive := running.intersection(self._runs.living(writer) if running else ()):
            raise UsageError(
                f"the run {min(alive)} is working in {name}", hint="Let it finish, or stop it."
            )


def _copy_pointers(writer: Writer, environment: Environment) -> Release | None:
    """Replace the pointers of an environment by those of its parent, in one release."""
    name, parent = environment.name, environment.parent
    writer.execute("delete from bases where environment = ?", [name])
    writer.execute(
        "insert into bases (environment, product, version)"
        " select cast(? as text), product, version from pointers where environment = ?",
        [name, parent],
    )
    any_pointer = "select 1 from pointers where environment in (?, ?) limit 1"
    if not writer.rows(any_pointer, [name, parent]):
        return None
    at, why = environment.created_at, f"created from {parent}"
    release = add_release(writer, Release(id=0, environment=name, at=at, run="", why=why))
    writer.execute(
        "insert into moves (release, product, version, previous)"
        " select cast(? as bigint), p.product, p.version, coalesce(o.version, '') from pointers p"
        " left join pointers o on o.environment = ? and o.product = p.product"
        " where p.environment = ?",
        [release.id, name, parent],
    )
    only_own = (
        "environment = ? and product not in (select product from bases where environment = ?)"
    )
    _withdraw(writer, release.id, only_own, [name, name])
    writer.execute("delete from pointers where environment = ?", [name])
    writer.execute(
        "insert into pointers"
        " (environment, product, version, release, previous, pinned, first_at)"
        " select cast(? as text), p.product, p.version, cast(? as bigint), p.previous, p.pinned,"
        " coalesce(p.first_at, r.at)"
        " from pointers p join releases r on r.id = p.release where p.environment = ?",
        [name, release.id, parent],
    )
    return release


def _withdraw_all(writer: Writer, name: str, at: datetime, why: str) -> Release | None:
    if not writer.rows("select 1 from pointers where environment = ? limit 1", [name]):
        return None
    release = add_release(writer, Release(id=0, environment=name, at=at, run="", why=why))
    _withdraw(writer, release.id, "environment = ?", [name])
    writer.execute("delete from pointers where environment = ?", [name])
    return release


def _withdraw(writer: Writer, release: int, condition: str, values: Sequence[str]) -> None:
    """Record that a release withdraws the products of the pointers that meet a condition."""
    writer.execute(
        "insert into moves (release, product, version, previous)"
        f" select cast(? as bigint), product, '', version from pointers where {condition}",
        [release, *values],
    )
