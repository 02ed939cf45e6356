"""The catalog: immutable facts and the pointers that readers follow, whatever database they are in."""

import json
import os
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from assay.catalog import schema
from assay.catalog.address import put_back
from assay.catalog.claims import check_built, claim, let_go, living
from assay.catalog.database import Database, Holds, Remove, T, Writer
from assay.catalog.facts import RecordedFacts
from assay.catalog.recording import (
    add_parts,
    add_verdicts,
    add_versions,
    check,
    check_versions,
    move,
    note,
    replace_files,
    rows_of,
)
from assay.catalog.rows import (
    PART,
    VERDICT,
    VERSION,
    WAIVER,
    check_seen,
    decoded,
    files_of,
    ids_of,
    judged_of,
    part_of,
    stamp,
    to_json,
    verdict_of,
    version_of,
    waiver_of,
    waiver_row,
)
from assay.errors import CatalogDamaged, CatalogError, UsageError
from assay.events import Holder
from assay.jsonform import encode
from assay.model import (
    Move,
    Part,
    PartFindings,
    Pointer,
    Release,
    SourceFile,
    SourceState,
    Verdict,
    Version,
)
from assay.plan.observed import Facts
from assay.plan.waivers import Waiver

CLOCKS_DIFFER = timedelta(minutes=5)  # what machines that share a catalog may be apart
_SET_BACK = timedelta(
    days=7
)  # what a clock may be set back, and a later release is later all the same
_LISTINGS = 5  # of each source that are kept
_UNFINISHED = "unfinished in "  # the name of a note, before that of an environment
_ALL = 2**63 - 1  # more rows than there are
_GONE = "What it has recorded is kept; run it again."


class Catalog:
    """Immutable facts, one transaction a write. Every method raises CatalogError when the catalog cannot be used."""

    def __init__(self, database: Database) -> None:
        """Use a database, in which the tables are made, or brought up to this code, if need be."""
        self.database, self._run = database, ""
        self.listed: Mapping[
            str, Sequence[SourceFile]
        ] = {}  # the files behind contents of sources, as last read
        with decoded(database.name):
            version = database.found()
        if version > schema.SCHEMA_VERSION:
            raise _newer(database.name, version)
        if version < schema.SCHEMA_VERSION:
            database.prepare(self._upgrade)

    def _upgrade(self, writer: Writer) -> None:
        version = self.database.found()  # by now: somebody else may have been faster
        if version > schema.SCHEMA_VERSION:
            raise _newer(self.name, version)
        if version and version < min(schema.MIGRATIONS):
            told = f"{self.name} has schema version {version}, from before this Assay can read it"
            raise CatalogError(
                told, hint="Move it and the store away: what can be built is built again."
            )
        for statement in schema.steps(version, self.database.extras):
            writer.define(statement)
        note(writer, "schema", str(schema.SCHEMA_VERSION))

    @property
    def name(self) -> str:
        """What it is called when people are told of it; never with a password."""
        return self.database.name

    def close(self) -> None:
        """Let go of the catalog."""
        self.database.close()

    def write(self, work: Callable[[Writer], T]) -> T:
        """Do this in one transaction, if the schema is still this code's, and the run that is open is not settled."""

        def checked(writer: Writer) -> T:
            [(version, state, moved)] = writer.rows(
                "select value, (select state from runs where id = ?),"
                " (select value from meta where name = 'moved') from meta where name = 'schema'",
                [self._run],
            )
            if int(version) != schema.SCHEMA_VERSION:
                raise _newer(self.name, int(version))
            if moved is not None:
                raise moved_to(self.name, moved)
            if self._run and state != "running":
                raise CatalogError(
                    f"the run {self._run} was taken for dead by another, which has tidied up after it"
                    f" (state {state or 'unknown'} in the catalog {self.name})",
                    hint=f"Was this machine cut off from the catalog for long? {_GONE}",
                )
            return work(writer)

        with decoded(self.name):
            return self.database.write(checked)

    # ------------------------------------------------------------------------------------------ reading

    def facts(self, environment: str, holds: Holds) -> Facts:
        """Return what is recorded, as one environment sees it; `holds` says whether a version's files are there."""
        return RecordedFacts(self, environment, holds)

    def pointers(
        self, environment: str, as_of: datetime | int | None = None
    ) -> Mapping[str, Pointer]:
        """Return what readers see of every product, now or as of a time or a release, all from one moment."""
        if as_of is None:
            rows = self.database.rows(
                "select p.product, p.version, p.release, r.at, p.previous, p.pinned from pointers p"
                " join releases r on r.id = p.release where p.environment = ?",
                [environment],
            )
        else:
            rows = self.database.rows(
                "select m.product, m.version, m.release, r.at, m.previous, 0 from moves m"
                " join releases r on r.id = m.release"
                " where r.environment = ? and m.version <> '' and (m.product, m.release) in"
                " (select m.product, max(m.release) from moves m join releases r on r.id = m.release"
                "  where r.environment = ? and r.id <= ? group by m.product)",
                [environment, environment, self._last_release(environment, as_of)],
            )
        with decoded(self.name):
            return {
                product: Pointer(
                    product=product,
                    version=version,
                    release=release,
                    released_at=datetime.fromisoformat(at),
                    previous=previous,
                    pinned=bool(pinned),
                )
                for product, version, release, at, previous, pinned in rows
            }

    def _last_release(self, environment: str, as_of: datetime | int) -> int:
        """Return the release that readers saw then; UsageError when what they saw is not told any more."""
        last, first = as_of if isinstance(as_of, int) else 0, self.whole_since(environment)
        if isinstance(as_of, datetime):
            query = "select max(id) from releases where environment = ? and at <= ?"
            last = int(self.database.rows(query, [environment, stamp(as_of)])[0][0] or 0)
        if last < first:
            [(at,)] = self.database.rows("select at from releases where id = ?", [first])
            raise UsageError(
                f"{environment} can be seen as of release {first} ({at[:19].replace('T', ' ')} UTC) or later: gc has"
                " removed what was before",
                hint="keep_days in [tool.products] says how far back it can be asked for.",
            )
        return last

    def whole_since(self, environment: str, reader: Writer | None = None) -> int:
        """Return the first release as of which an environment can be seen; 0 when gc has removed none."""
        rows = (reader or self.database).rows(
            "select value from meta where name = ?", [f"since {environment}"]
        )
        return int(rows[0][0]) if rows else 0

    def version(self, id: str, known: dict[int, Part] | None = None) -> Version:
        """Return a version by id; parts that are `known` are not read again."""
        found = self.versions_where("where id = ?", [id], known)
        if not found:
            raise CatalogDamaged(
                f"the catalog {self.name} has no version {id}", hint=put_back(self.name)
            )
        return found[0]

    def version_seen(self, pointer: Pointer) -> Version:
        """Return the version that readers are sent to; CatalogDamaged when it is another product's."""
        version = self.version(pointer.version)
        check_seen(self.name, pointer, version)
        return version

    def versions(self, product: str, limit: int | None = None) -> Sequence[Version]:
        """Return the versions of a product, newest first."""
        most = _ALL if limit is None else limit
        return self.versions_where("where product = ? order by seq desc limit ?", [product, most])

    def versions_where(
        self, condition: str, values: Sequence[Any], known: dict[int, Part] | None = None
    ) -> list[Version]:
        """Return the versions that meet a condition in SQL; parts that are `known` are not read again."""
        rows = self.database.rows(f"select {VERSION} from versions {condition}", values)
        with decoded(self.name):
            parts = self.parts(
                id for row in rows for id in ids_of(row[-1]) if id not in (known or ())
            )
            return [version_of(row, ChainMap(parts, known or {})) for row in rows]

    def parts(self, ids: Iterable[int]) -> dict[int, Part]:
        """Return parts by their ids."""
        rows = rows_of(self.database, f"select {PART} from parts where id in", sorted(set(ids)))
        return {row[0]: part_of(row) for row in rows}

    def twins(self, part: int) -> Sequence[Part]:
        """Return the other parts of the same product, by the same name, that hold the same rows; newest first."""
        like = "select product, digest, key, rows from parts where id = ? and digest <> ''"
        query = f"select id from parts where (product, digest, key, rows) in ({like}) and id <> ? order by id desc"
        ids = [id for (id,) in self.database.rows(query, [part, part])]
        with decoded(self.name):
            found = self.parts(ids)
        return [found[id] for id in ids]

    def judged(self, parts: Collection[int], rules: str) -> Mapping[int, Mapping[str, Any]]:
        """Return how these rules about single rows came out on these parts, where that is known."""
        query = "select part, results from judged_parts where rules = ? and part in"
        with decoded(self.name):
            return {
                p: judged_of(results)
                for p, results in rows_of(self.database, query, list(parts), [rules])
            }

    def verdicts(self, version: str, environment: str = "") -> Sequence[Verdict]:
        """Return how a version was judged, newest first; before all others, in runs of this environment."""
        here = "case when exists (select 1 from runs where id = verdicts.run and environment = ?) then 1 else 0 end"
        return self.verdicts_where(
            f"where version = ? order by {here} desc, judged_at desc, rowid desc",
            [version, environment],
        )

    def verdicts_where(self, condition: str, values: Sequence[Any]) -> list[Verdict]:
        """Return the verdicts that meet a condition in SQL."""
        rows = self.database.rows(f"select {VERDICT} from verdicts {condition}", values)
        with decoded(self.name):
            return [verdict_of(row) for row in rows]

    def names(self) -> list[str]:
        """Return the products of which a version is recorded, declared or not, sorted."""
        return [
            name
            for (name,) in self.database.rows("select distinct product from versions order by 1")
        ]

    def waivers(self, environment: str) -> Sequence[Waiver]:
        """Return what may go out in an environment although it fails a rule, oldest first."""
        rows = self.database.rows(
            f"select {WAIVER} from waivers where environment = ? order by at", [environment]
        )
        with decoded(self.name):
            return [waiver_of(row) for row in rows]

    def releases(self, product: str, environment: str) -> Sequence[Release]:
        """Return the releases that moved a product, newest first; each with that product's move only."""
        rows = self.database.rows(
            "select r.id, r.environment, r.at, r.run, r.why, m.version from moves m join releases r on r.id = m.release"
            " where m.product = ? and r.environment = ? order by r.id desc",
            [product, environment],
        )
        return [self._release_of(row[:5], ((product, row[5]),)) for row in rows]

    def has_release(self, environment: str, id: int) -> bool:
        """Say whether this was a release of an environment."""
        return bool(
            self.database.rows(
                "select 1 from releases where environment = ? and id = ?", [environment, id]
            )
        )

    def last_release(self, environment: str, until: datetime | None = None) -> Release | None:
        """Return the newest release of an environment (that was made `until` a moment), without its moves."""
        rows = self.database.rows(
            "select id, environment, at, run, why from releases where environment = ? and at <= ?"
            " order by id desc limit 1",
            [environment, stamp(until) if until else "~"],
        )
        return self._release_of(rows[0]) if rows else None

    def _release_of(self, row: Sequence[Any], moves: tuple[tuple[str, str], ...] = ()) -> Release:
        id, environment, at, run, why = row
        with decoded(self.name):
            return Release(
                id=id,
                environment=environment,
                at=datetime.fromisoformat(at),
                run=run,
                why=why,
                moves=moves,
            )

    def seen(self, sources: Collection[str]) -> Mapping[str, SourceFile]:
        """Return the files that these sources were last seen to have, by path; the last of two counts."""
        newest = "rowid in (select max(rowid) from listings group by source)"
        query = f"select digest, source, files from listings where {newest} order by rowid"
        rows = [row for row in self.database.rows(query) if row[1] in sources] if sources else []
        with decoded(self.name):
            self.listed = {digest: files_of(files) for digest, _, files in rows}
        return {file.path: file for files in self.listed.values() for file in files}

    def inspected(self, reading: str) -> set[str]:
        """Return the digests of the files that were found to be as declared by sources that are read like this."""
        return {
            digest
            for (digest,) in self.database.rows(
                "select digest from inspected where reading = ?", [reading]
            )
        }

    def keep_inspected(self, found: Sequence[tuple[str, str]]) -> None:
        """Record of files that they are as declared, each by its digest, and how it was read."""
        query = "insert into inspected (digest, reading) values (?, ?) on conflict do nothing"
        self.write(lambda writer: writer.many(query, found))

    def recorded(self) -> int:
        """Return how many versions were ever recorded."""
        [(last,)] = self.database.rows("select coalesce(max(seq), 0) from versions")
        return int(last)

    def note(self, name: str) -> str:
        """Return a note about the catalog as a whole; '' for none."""
        rows = self.database.rows("select value from meta where name = ?", [name])
        return str(rows[0][0]) if rows else ""

    # ------------------------------------------------------------------------------------------ runs

    @contextmanager
    def run(
        self,
        id: str,
        environment: str,
        at: datetime,
        wanted: Mapping[str, str],
        remove: Remove,
        *,
        recorded: int,
    ) -> Iterator[Mapping[str, Holder]]:
        """Hold a run open that may build products, each for a key ('': not known yet); give those that others build.

        The folder of the store that it may write for each is recorded before; what no version names then is removed
        after. Raises Conflict when others have built one of them since so many versions were `recorded`.
        """
        intended = [f"{product}/{id}" for product in wanted]

        def begin(writer: Writer) -> dict[str, Holder]:
            check_built(writer, wanted, recorded)
            here = [id, stamp(at), environment, os.uname().nodename, os.getpid()]
            writer.execute("insert into runs values (?, 'running', ?, ?, ?, ?)", here)
            writer.many("insert into intents values (?, ?)", [(path, id) for path in intended])
            return claim(writer, id, wanted, lambda run: self.database.is_dead(run, writer))

        with self.database.hold(id):
            held = self.write(begin)
            self._run, state = id, "interrupted"
            try:
                yield held
                state = "done"
            finally:
                self._run = ""
                self._end(id, state, intended, remove)

    def _end(self, run: str, state: str, intended: Sequence[str], remove: Remove) -> None:
        """Settle a run of our own. Where others have, they know nothing of what it went on to write."""
        found = self.database.rows("select state from runs where id = ?", [run])
        if found == [("running",)]:
            self._tidy(run, remove)
            self._settle(run, state)
        else:
            self._remove(intended, remove)

    def recover(self, remove: Remove) -> Sequence[str]:
        """Settle the runs whose process is dead: remove what they intended and no version names. Returns their ids."""
        rows = self.database.rows(
            "select id, state from runs where state = 'running' or id in (select run from intents)"
        )
        dead = [run for run, state in rows if state != "running" or self._claim(run)]
        for run in dead:
            self._tidy(run, remove)
            self._settle(run, "crashed")
        self.database.bury()  # also of those who died before they were recorded, or after they were settled
        return dead

    def holders(self, products: Collection[str]) -> Mapping[str, Holder]:
        """Return those of these products that living runs may be building, with who is."""
        with decoded(self.name):
            return {
                name: who
                for name, _, who in living(self.database, self.database.is_dead)
                if name in products
            }

    def living(self, reader: Writer) -> Sequence[str]:
        """Return the runs that are under way, as seen inside a transaction."""
        runs = [run for (run,) in reader.rows("select id from runs where state = 'running'")]
        return [run for run in runs if not self.database.is_dead(run, reader)]

    def _claim(self, run: str) -> bool:
        """Take a run for dead if it is: whatever it still tries to record is refused from then on.

        Only then is anything removed, so that no run loses a file that it goes on to record.
        """

        def claim(writer: Writer) -> bool:
            dead = self.database.is_dead(run, writer)
            return dead and bool(
                writer.execute(
                    "update runs set state = 'crashed' where id = ? and state = 'running'", [run]
                )
            )

        return self.database.is_dead(run) and self.write(claim)

    def _tidy(self, run: str, remove: Remove) -> None:
        self._remove(
            [
                path
                for (path,) in self.database.rows("select path from intents where run = ?", [run])
            ],
            remove,
        )

    def _remove(self, paths: Iterable[str], remove: Remove) -> None:
        for path in paths:
            remove(path, partial(self._at, path))

    def _at(self, path: str) -> Collection[str]:
        """Return the files of parts at or below a path."""
        query = "select path from parts where path = ? or (path >= ? and path < ?)"
        return {file for (file,) in self.database.rows(query, [path, f"{path}/", f"{path}0"])}

    def _settle(self, run: str, state: str) -> None:
        def settle(writer: Writer) -> None:
            writer.execute("delete from intents where run = ?", [run])
            writer.execute("delete from claims where run = ?", [run])
            writer.execute(
                "update runs set state = ? where id = ? and state in ('running', ?)",
                [state, run, state],
            )

        self.write(settle)

    # ------------------------------------------------------------------------------------------ writing

    def record(
        self,
        versions: Sequence[Version],
        verdicts: Sequence[Verdict] = (),
        judged: Sequence[PartFindings] = (),
    ) -> Sequence[Version]:
        """Record facts, and drop the intents of their run that versions now name; return new versions as recorded."""

        def add(writer: Writer) -> list[Version]:
            recorded = add_versions(writer, versions)
            add_verdicts(writer, verdicts)
            writer.many(
                "insert into judged_parts values (?, ?, ?) on conflict (part, rules) do nothing",
                [(j.part, j.rules, to_json(j.results)) for j in judged],
            )
            return recorded

        return self.write(add)

    def waive(self, waivers: Sequence[Waiver]) -> None:
        """Record what may go out although it fails a rule."""
        query = f"insert into waivers ({WAIVER}) values (?, ?, ?, ?, ?, ?, ?, ?)"
        self.write(lambda writer: writer.many(query, map(waiver_row, waivers)))

    def record_parts(self, product: str, parts: Sequence[Part]) -> Sequence[Part]:
        """Record parts before there is a version of them, and return them with their ids; what has one stays."""
        return self.write(lambda writer: add_parts(writer, [(product, part) for part in parts]))

    def relocate(self, parts: Sequence[Part], at: datetime) -> None:
        """Record where parts are by now, all or none; the files that they were in are replaced."""

        def put(writer: Writer) -> None:
            left = rows_of(
                writer, "select distinct path from parts where id in", [part.id for part in parts]
            )
            replace_files(
                writer, [(path, stamp(at), stamp(at)) for path in {path for (path,) in left}]
            )
            for part in parts:
                writer.execute(
                    'update parts set path = ?, start = ?, "of" = ?, bytes = ?, checksum = ?, modified = ?'
                    " where id = ?",
                    [
                        part.path,
                        part.start,
                        part.of,
                        part.bytes,
                        part.checksum,
                        part.modified,
                        part.id,
                    ],
                )

        self.write(put)

    def unfinished(self, environment: str) -> list[str]:
        """Return the products that the last run of an environment did not bring to an end, sorted."""
        told = self.note(_UNFINISHED + environment)
        with decoded(self.name):
            return [str(name) for name in json.loads(told)] if told else []

    def keep_unfinished(self, environment: str, names: Sequence[str]) -> None:
        """Keep them, in place of those before."""
        self.write(lambda writer: note(writer, _UNFINISHED + environment, to_json(list(names))))

    def remember(self, listings: Sequence[SourceState]) -> None:
        """Record the files behind the content of sources: of each source, the last few."""
        told = {
            s.digest: (s.digest, s.name, encode(s.files).decode()) for s in listings
        }  # two may be of the same

        def keep(writer: Writer) -> None:
            writer.many("delete from listings where digest = ?", [(digest,) for digest in told])
            writer.many(
                "insert into listings (digest, source, files) values (?, ?, ?)", list(told.values())
            )
            writer.many(
                "delete from listings where source = ? and rowid not in"
                " (select rowid from listings where source = ? order by rowid desc limit ?)",
                [(s.name, s.name, _LISTINGS) for s in listings],
            )

        self.write(keep)

    def release(
        self,
        environment: str,
        moves: Sequence[Move],
        expects: Mapping[str, int],
        *,
        run: str,
        at: datetime,
        why: str,
    ) -> Release:
        """Move pointers, all or none, in one transaction.

        `expects` maps every product moved, and those that these were made of or judged by, to the release that its
        pointer should be of, 0 for nothing published; Conflict when one is of another by now.
        """
        unguarded = {move.product for move in moves} - expects.keys()
        assert not unguarded, f"moved without saying what is expected: {unguarded}"

        def publish(writer: Writer) -> Release:
            for product, expected in expects.items():
                check(writer, environment, product, expected)
            check_versions(writer, moves)
            [(id,)] = writer.rows("select coalesce(max(id), 0) + 1 from releases")
            [(last,)] = writer.rows(
                "select max(at) from releases where environment = ? and at <= ?",
                [environment, stamp(at + _SET_BACK)],
            )
            # Clocks differ, and are set back; a later release is later, or the past would be seen to change. One that
            # was made while a clock was far ahead does not count: what is released now is found as of now.
            moment = max(at, datetime.fromisoformat(last)) if last else at
            writer.execute(
                "insert into releases values (?, ?, ?, ?, ?)",
                [id, environment, stamp(moment), run, why],
            )
            for moved in moves:
                move(writer, environment, id, moved)
            let_go(writer, run, [m.product for m in moves])
            told = tuple((m.product, m.version) for m in moves)
            return Release(id=id, environment=environment, at=moment, run=run, why=why, moves=told)

        return self.write(publish)


def moved_to(name: str, to: str, more: str = "") -> CatalogError:
    """Return the error about a catalog that was copied to another, which the store belongs to since."""
    return CatalogError(
        f"the catalog {name} was moved to {to}",
        hint=f"Set that as `catalog` in [tool.products], or as ASSAY_CATALOG.{more}",
    )


def _newer(name: str, version: int) -> CatalogError:
    told = f"{name} has schema version {version}; this Assay knows {schema.SCHEMA_VERSION}"
    return CatalogError(told, hint="Upgrade Assay to use this catalog.")
