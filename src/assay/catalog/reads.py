"""Reads of the catalog: pointers, releases, versions with their parts, verdicts, restated rows and waivers."""

import json
from collections import ChainMap
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from assay.catalog.address import put_back
from assay.catalog.database import Database, Reader, rows_in
from assay.catalog.rows import (
    ASIDE,
    PART,
    RESTATED,
    VERDICT,
    VERSION,
    WAIVER,
    check_product,
    decoded,
    findings_of,
    ids_of,
    moment_of,
    part_of,
    restated_of,
    stamp,
    verdict_of,
    version_of,
    waiver_of,
)
from assay.errors import CatalogDamaged, UsageError
from assay.facts import Part, Pointer, Release, Verdict, Version
from assay.model import Waiver
from assay.plan.restatements import RestatedRows
from assay.plan.waivers import waivers_of

UNFINISHED = "unfinished in "  # prefix of a note's name, before the environment
# The table `lineage`: the environments that one was created from, one from the other.
_LINEAGE = (
    "with recursive lineage(name) as (select parent from environments where name = ? union"
    " select e.parent from environments e join lineage l on l.name = e.name)"
)
_RECENT = 20  # versions among which the last verdict is looked for
_ALL = 2**63 - 1  # as a limit: every row


class CatalogReads:
    """What is recorded. Every method raises CatalogError when the catalog cannot be used."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @property
    def name(self) -> str:
        """The name for messages; without a password."""
        return self.database.name

    def names(self) -> list[str]:
        """Return the products with a recorded version, declared or not, sorted."""
        rows = self.database.rows("select distinct product from versions order by 1")
        return [product for (product,) in rows]

    def recorded(self) -> int:
        """Return how many versions were ever recorded."""
        [(last,)] = self.database.rows("select coalesce(max(seq), 0) from versions")
        return int(last)

    def unfinished(self, environment: str) -> list[str]:
        """Return the products that the last run of an environment did not finish, sorted."""
        rows = self.database.rows(
            "select value from meta where name = ?", [UNFINISHED + environment]
        )
        with decoded(self.name):
            return [str(product) for product in json.loads(rows[0][0])] if rows else []

    def watches(self, environment: str) -> bool:
        """Return whether the window of a promise is watched."""
        query = "select 1 from windows where environment = ? limit 1"
        return bool(self.database.rows(query, [environment]))

    def has_news(self, environment: str) -> bool:
        """Return whether an incident is open, or a message about one is not delivered yet."""
        query = (
            "select 1 from incidents i where i.environment = ? and (i.closed is null or exists"
            " (select 1 from notices n where n.incident = i.id and n.retry_at is not null)) limit 1"
        )
        return bool(self.database.rows(query, [environment]))

    # ------------------------------------------------------------------------------ releases

    def pointers(
        self,
        environment: str,
        as_of: datetime | int | None = None,
        products: Collection[str] | None = None,
    ) -> Mapping[str, Pointer]:
        """Return the published version of every product, now or as of a time or a release.

        With `products`, of these only; all are of one moment. Raises UsageError for a time before
        those that gc has left.
        """
        chosen = [] if products is None else [*products] or [""]  # PostgreSQL refuses `in ()`
        among = f"({', '.join('?' * len(chosen))})"
        if as_of is None:
            only = "" if products is None else f" and p.product in {among}"
            rows = self.database.rows(
                "select p.product, p.version, p.release, coalesce(p.first_at, r.at), p.previous,"
                " p.pinned from pointers p join releases r on r.id = p.release"
                f" where p.environment = ?{only}",
                [environment, *chosen],
            )
        else:
            only = "" if products is None else f" and m.product in {among}"
            rows = self.database.rows(
                "select m.product, m.version, m.release, r.at, m.previous, 0 from moves m"
                " join releases r on r.id = m.release"
                " where r.environment = ? and m.version <> '' and (m.product, m.release) in"
                " (select m.product, max(m.release)"
                "  from moves m join releases r on r.id = m.release"
                f"  where r.environment = ? and r.id <= ?{only} group by m.product)",
                [environment, environment, self._release_as_of(environment, as_of), *chosen],
            )
        with decoded(self.name):
            return {
                product: Pointer(
                    product=product,
                    version=version,
                    release=release,
                    released_at=moment_of(at),
                    previous=previous,
                    pinned=bool(pinned),
                )
                for product, version, release, at, previous, pinned in rows
            }

    def _release_as_of(self, environment: str, as_of: datetime | int) -> int:
        """Return the last release at a moment; UsageError when gc has removed it."""
        last, first = (
            as_of if isinstance(as_of, int) else 0,
            whole_since(self.database, environment),
        )
        if isinstance(as_of, datetime):
            query = "select max(id) from releases where environment = ? and at <= ?"
            last = int(self.database.rows(query, [environment, stamp(as_of)])[0][0] or 0)
        if last < first:
            [(at,)] = self.database.rows("select at from releases where id = ?", [first])
            raise UsageError(
                f"{environment} can be seen as of release {first} ({at[:19].replace('T', ' ')} UTC)"
                " or later: gc has removed what was before",
                hint="keep_days in [tool.products] says how far back it can be asked for.",
            )
        return last

    def releases(self, product: str, environment: str) -> Sequence[Release]:
        """Return the releases that moved a product, newest first, each with its move only."""
        rows = self.database.rows(
            "select r.id, r.environment, r.at, r.run, r.why, m.version from moves m"
            " join releases r on r.id = m.release"
            " where m.product = ? and r.environment = ? order by r.id desc",
            [product, environment],
        )
        with decoded(self.name):
            return [_release_of(row[:5], ((product, row[5]),)) for row in rows]

    def has_release(self, environment: str, id: int) -> bool:
        """Return whether this is the id of a release of an environment."""
        query = "select 1 from releases where environment = ? and id = ?"
        return bool(self.database.rows(query, [environment, id]))

    def last_release(self, environment: str, until: datetime | None = None) -> Release | None:
        """Return the newest release of an environment, at `until` or before, without its moves."""
        rows = self.database.rows(
            "select id, environment, at, run, why from releases where environment = ? and at <= ?"
            " order by id desc limit 1",
            [environment, stamp(until) if until else "~"],  # '~' sorts after every time
        )
        with decoded(self.name):
            return _release_of(rows[0], ()) if rows else None

    def waivers(self, environment: str | None = None) -> Sequence[Waiver]:
        """Return the waivers that count in an environment or did, or all; oldest first.

        Those of the environments that it was created from count in it.
        """
        query, values = f"select {WAIVER} from waivers", list[str]()
        if environment is not None:
            where = "where environment in ('', ?) or environment in (select name from lineage)"
            query, values = f"{_LINEAGE} {query} {where}", [environment, environment]
        with decoded(self.name):
            return [
                waiver_of(row) for row in self.database.rows(f"{query} order by at, id", values)
            ]

    def waivers_used(self, environment: str) -> set[str]:
        """Return the ids of the waivers that let something through in an environment.

        Also in those that it was created from.
        """
        rows = self.database.rows(
            f"{_LINEAGE} select waiver from waivers_used"
            " where environment = ? or environment in (select name from lineage)",
            [environment, environment],
        )
        return {id for (id,) in rows}

    def restated(self, environment: str) -> Sequence[RestatedRows]:
        """Return the restated rows of an environment and those it was created from, by time."""
        rows = self.database.rows(
            f"{_LINEAGE} select {RESTATED} from restatements"
            " where environment = ? or environment in (select name from lineage) order by at",
            [environment, environment],
        )
        with decoded(self.name):
            return [restated_of(row) for row in rows]

    # ------------------------------------------------------------------------------ versions

    def version(self, id: str, loaded: dict[int, Part] | None = None) -> Version:
        """Return a version by id; parts that are `loaded` are not read again."""
        versions = self.versions_where("where id = ?", [id], loaded)
        if not versions:
            raise CatalogDamaged(
                f"the catalog {self.name} has no version {id}", hint=put_back(self.name)
            )
        return versions[0]

    def published_version(self, pointer: Pointer) -> Version:
        """Return the version behind a pointer; CatalogDamaged when it is another product's."""
        version = self.version(pointer.version)
        check_product(self.name, pointer, version)
        return version

    def versions(self, product: str, limit: int | None = None) -> Sequence[Version]:
        """Return the versions of a product, newest first."""
        count = _ALL if limit is None else limit
        return self.versions_where("where product = ? order by seq desc limit ?", [product, count])

    def versions_where(
        self, condition: str, values: Sequence[Any], loaded: dict[int, Part] | None = None
    ) -> list[Version]:
        """Return the versions that meet a condition in SQL; `loaded` parts are not read again."""
        rows = self.database.rows(f"select {VERSION} from versions {condition}", values)
        loaded = loaded or {}
        with decoded(self.name):
            parts = self.parts(id for row in rows for id in ids_of(row[-1]) if id not in loaded)
            return [version_of(row, ChainMap(parts, loaded)) for row in rows]

    def parts(self, ids: Iterable[int]) -> dict[int, Part]:
        """Return parts by their ids, with the rows that were set aside of them."""
        rows = self._part_rows(ids)
        asides = [row[ASIDE] for row in rows if row[ASIDE] is not None]
        set_aside = {row[0]: part_of(row) for row in self._part_rows(asides)} if asides else {}
        return {row[0]: part_of(row, set_aside) for row in rows}

    def _part_rows(self, ids: Iterable[int]) -> list[Sequence[Any]]:
        """Return the values of PART of parts by their ids."""
        query = f"select {PART} from parts where id in"
        return list(rows_in(self.database, query, sorted(set(ids))))

    def twins(self, part: int) -> Sequence[Part]:
        """Return the other parts of the same product, key and rows, newest first."""
        same = "select product, digest, key, rows from parts where id = ? and digest <> ''"
        query = (
            f"select id from parts where (product, digest, key, rows) in ({same}) and id <> ?"
            " order by id desc"
        )
        ids = [id for (id,) in self.database.rows(query, [part, part])]
        with decoded(self.name):
            parts = self.parts(ids)
        return [parts[id] for id in ids]

    def judged(self, parts: Collection[int], rules: str) -> Mapping[int, Mapping[str, Any]]:
        """Return the recorded findings of a set of single-row rules, by part."""
        query = "select part, results from judged_parts where rules = ? and part in"
        with decoded(self.name):
            rows = rows_in(self.database, query, list(parts), [rules])
            return {part: findings_of(results) for part, results in rows}

    def verdicts(
        self, version: str, environment: str = "", *, brief: bool = False
    ) -> Sequence[Verdict]:
        """Return the verdicts of a version, newest first; those of the environment's runs lead.

        With `brief`, results have no failing rows: reading them takes long.

        In an environment, what waivers let through in others is left out, but for those that it was
        created from.
        """
        in_environment = (
            "case when exists (select 1 from runs where id = verdicts.run and environment = ?)"
            " then 1 else 0 end"
        )
        verdicts = self.verdicts_where(
            f"where version = ? order by {in_environment} desc, judged_at desc, rowid desc",
            [version, environment],
            brief=brief,
        )
        waived = {v.run for v in verdicts if waivers_of(v)}
        if not (environment and waived):
            return verdicts
        counting = lineage(self.database, environment)
        query = "select id, environment from runs where id in"
        others = {
            id for id, its in rows_in(self.database, query, sorted(waived)) if its not in counting
        }
        return [v for v in verdicts if v.run not in others or not waivers_of(v)]

    def last_verdict(self, product: str, environment: str, *, before_run: str) -> Verdict | None:
        """Return the newest verdict of the last versions that a run of the environment, or of one
        that it was created from, recorded; not those of `before_run`, and None for none.
        """
        counting = sorted(lineage(self.database, environment))
        marks = ", ".join("?" * len(counting))
        found = self.verdicts_where(
            "where version in (select id from versions where product = ? order by seq desc"
            f" limit {_RECENT}) and run <> ? and not exists (select 1 from runs"
            f" where id = verdicts.run and environment not in ({marks}))"
            " order by judged_at desc limit 1",
            [product, before_run, *counting],
        )
        return found[0] if found else None

    def verdicts_where(
        self, condition: str, values: Sequence[Any], *, brief: bool = False
    ) -> list[Verdict]:
        """Return the verdicts that meet a condition in SQL; with `brief`, without failing rows."""
        rows = self.database.rows(f"select {VERDICT} from verdicts {condition}", values)
        with decoded(self.name):
            return [verdict_of(row, brief=brief) for row in rows]


def lineage(reader: Reader, environment: str) -> frozenset[str]:
    """Return an environment, and those that it was created from, one from the other."""
    rows = reader.rows(f"{_LINEAGE} select name from lineage where name <> ''", [environment])
    return frozenset([environment, *(name for (name,) in rows)])


def whole_since(reader: Reader, environment: str) -> int:
    """Return the first release as of which an environment can be read; 0 if gc removed none."""
    rows = reader.rows("select value from meta where name = ?", [f"since {environment}"])
    return int(rows[0][0]) if rows else 0


def _release_of(row: Sequence[Any], moves: tuple[tuple[str, str], ...]) -> Release:
    id, environment, at, run, why = row
    moment = moment_of(at)
    return Release(id=id, environment=environment, at=moment, run=run, why=why, moves=moves)
