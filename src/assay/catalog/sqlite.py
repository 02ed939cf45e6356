"""The catalog in one SQLite file: write-ahead log, full sync, one transaction a write."""

import fcntl
import json
import os
import re
import socket
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from itertools import count, islice
from pathlib import Path
from typing import Any

from assay.catalog.facts import SqliteFacts
from assay.catalog.protocol import Holds, Remove
from assay.catalog.rows import (
    PART,
    VERDICT,
    VERSION,
    ids_of,
    part_of,
    part_row,
    stamp,
    to_json,
    verdict_of,
    verdict_row,
    version_of,
    version_row,
)
from assay.errors import CatalogError, Conflict
from assay.model import Judged, Move, Part, Pointer, Release, SourceFile, SourceState, Verdict, Version


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


_SCHEMA = list(_statements((Path(__file__).parent / "schema.sql").read_text(encoding="utf-8")))


def _creating(*names: str) -> list[str]:
    """Return the statements of the schema that create these."""
    return [s for s in _SCHEMA if re.search(rf"^create (?:unique )?\w+ (?:{'|'.join(names)}) ", s, re.MULTILINE)]


SCHEMA_VERSION = 3
# One entry per step up: MIGRATIONS[1] holds the statements that turn schema 1 into schema 2.
MIGRATIONS: Mapping[int, Sequence[str]] = {
    1: [
        "alter table verdicts add column restated text not null default ''",
        "alter table versions add column rows_in bigint",
    ],
    2: [
        "alter table versions add column held text not null default '{}'",
        "alter table versions add column parts text not null default ''",
        "alter table verdicts add column failed_parts text not null default '[]'",
        "drop table listings",
        "alter table parts rename to parts_2",
        *_creating("parts", "parts_place", "parts_made", "replaced", "judged_parts", "listings"),
        "insert into parts select p.rowid, v.product, p.key, '', '{}', v.digest, v.columns, p.rows, 0, v.data_as_of,"
        " p.path, 0, null, p.bytes, p.checksum from parts_2 p join versions v on v.id = p.version",
        "update versions set parts = (select group_concat(rowid) from"
        " (select rowid from parts_2 where version = versions.id order by key))",
        "drop table parts_2",
    ],
}
_CHUNK = 500  # values in one query
_LISTINGS = 5  # of each source that are kept


class SqliteCatalog:
    """A catalog file and, beside it, a folder of locks that tell living runs from dead ones."""

    def __init__(self, file: Path, *, create: bool = True) -> None:
        """Open the catalog; without `create`, a catalog that is not there yet reads as an empty one."""
        self.file, self._locks = file, file.parent / "locks"
        with _translated(file):
            if create:
                self._locks.mkdir(parents=True, exist_ok=True)
            there = create or file.exists()
            self._db = sqlite3.connect(file if there else ":memory:", isolation_level=None, timeout=60)
            self._prepare()

    def _prepare(self) -> None:
        version = self._schema_version()
        if version == SCHEMA_VERSION:
            self._db.execute("pragma synchronous = full")
            return
        if version > SCHEMA_VERSION:
            raise CatalogError(
                f"{self.file} has schema version {version}; this Assay knows {SCHEMA_VERSION}",
                hint="Upgrade Assay to use this catalog.",
            )
        with self._alone():
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            with self._transaction():
                for statement in _steps(self._schema_version()):
                    self._db.execute(statement)
                self._db.execute(
                    "insert into meta values ('schema', ?) on conflict (name) do update set value = excluded.value",
                    [str(SCHEMA_VERSION)],
                )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from preparing the file at the same time: SQLite does not wait for its journal to change."""
        if not self._locks.is_dir():
            yield
            return
        folder = os.open(self._locks, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _schema_version(self) -> int:
        if not self._db.execute("select 1 from sqlite_master where name = 'meta'").fetchone():
            return 0
        (version,) = self._db.execute("select value from meta where name = 'schema'").fetchone() or ("nothing",)
        return int(version)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
            self._db.execute("commit")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise

    def _translated(self) -> AbstractContextManager[None]:
        return _translated(self.file)

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with _translated(self.file):
            return self._db.execute(sql, values).fetchall()

    # ------------------------------------------------------------------------------------------ reading

    def facts(self, environment: str, holds: Holds) -> SqliteFacts:
        return SqliteFacts(self, environment, holds)

    def pointers(self, environment: str, as_of: datetime | int | None = None) -> Mapping[str, Pointer]:
        if as_of is None:
            rows = self._rows(
                "select p.product, p.version, p.release, r.at, p.previous, p.pinned from pointers p"
                " join releases r on r.id = p.release where p.environment = ?",
                [environment],
            )
        else:
            rows = self._rows(
                "select m.product, m.version, m.release, r.at, m.previous, 0 from moves m"
                " join releases r on r.id = m.release where r.environment = ?1 and (m.product, m.release) in"
                " (select m.product, max(m.release) from moves m join releases r on r.id = m.release"
                "  where r.environment = ?1 and r.id <= ?2 group by m.product)",
                [environment, self._last_release(environment, as_of)],
            )
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
        if isinstance(as_of, int):
            return as_of
        rows = self._rows("select max(id) from releases where environment = ? and at <= ?", [environment, stamp(as_of)])
        return int(rows[0][0] or 0)

    def version(self, id: str) -> Version:
        found = self._versions("where id = ?", [id])
        if not found:
            raise CatalogError(f"the catalog has no version {id}", hint=f"{self.file} may be damaged.")
        return found[0]

    def versions(self, product: str, limit: int | None = None) -> list[Version]:
        return self._versions("where product = ? order by seq desc limit ?", [product, -1 if limit is None else limit])

    def _versions(self, condition: str, values: Sequence[Any]) -> list[Version]:
        rows = self._rows(f"select {VERSION} from versions {condition}", values)
        with _translated(self.file):
            parts = self._parts(id for row in rows for id in ids_of(row[-1]))
            return [version_of(row, parts) for row in rows]

    def _parts(self, ids: Iterable[int]) -> dict[int, Part]:
        return {row[0]: part_of(row) for row in self._of(f"select {PART} from parts where id in", sorted(set(ids)))}

    def _of(self, query: str, values: Sequence[Any], before: Sequence[Any] = ()) -> Iterator[Any]:
        """Yield the rows of a query that ends in `in`, for these values; any number of them."""
        for start in range(0, len(values), _CHUNK):
            some = values[start : start + _CHUNK]
            yield from self._rows(f"{query} ({','.join('?' * len(some))})", [*before, *some])

    def judged(self, parts: Collection[int], rules: str) -> dict[int, Mapping[str, Any]]:
        rows = self._of("select part, results from judged_parts where rules = ? and part in", list(parts), [rules])
        with _translated(self.file):
            return {part: json.loads(results) for part, results in rows}

    def verdicts(self, version: str, environment: str = "") -> list[Verdict]:
        here = "coalesce((select environment = ? from runs where id = verdicts.run), 0)"
        rows = self._rows(
            f"select {VERDICT} from verdicts where version = ? order by {here} desc, judged_at desc, rowid desc",
            [version, environment],
        )
        with _translated(self.file):
            return [verdict_of(row) for row in rows]

    def _verdict(self, version: str, contract: str, against: str) -> Verdict | None:
        rows = self._rows(
            f"select {VERDICT} from verdicts where version = ? and contract = ? and against = ?",
            [version, contract, against],
        )
        with _translated(self.file):
            return verdict_of(rows[0]) if rows else None

    def _failed(self, version: str, contract: str) -> Verdict | None:
        rows = self._rows(
            f"select {VERDICT} from verdicts where version = ? and contract = ? and status in ('failed', 'error')"
            " order by judged_at desc limit 1",
            [version, contract],
        )
        with _translated(self.file):
            return verdict_of(rows[0]) if rows else None

    def releases(self, product: str, environment: str) -> list[Release]:
        rows = self._rows(
            "select r.id, r.environment, r.at, r.run, r.why, m.version from moves m join releases r on r.id = m.release"
            " where m.product = ? and r.environment = ? order by r.id desc",
            [product, environment],
        )
        return [
            Release(id=i, environment=e, at=datetime.fromisoformat(at), run=run, why=why, moves=((product, version),))
            for i, e, at, run, why, version in rows
        ]

    def last_release(self, environment: str) -> Release | None:
        rows = self._rows(
            "select id, environment, at, run, why from releases where environment = ? order by id desc limit 1",
            [environment],
        )
        with _translated(self.file):
            return next(
                (Release(id=i, environment=e, at=datetime.fromisoformat(a), run=r, why=w) for i, e, a, r, w in rows),
                None,
            )

    def seen(self) -> dict[str, SourceFile]:
        rows = self._rows("select path, size, mtime_ns, digest from seen")
        return {p: SourceFile(path=p, size=s, mtime_ns=m, digest=d) for p, s, m, d in rows}

    # ------------------------------------------------------------------------------------------ writing

    @contextmanager
    def run(self, id: str, environment: str, at: datetime, paths: Iterable[str], remove: Remove) -> Iterator[None]:
        lock = self._lock(id)
        try:
            with _translated(self.file), self._transaction():
                self._db.execute(
                    "insert into runs values (?, 'running', ?, ?, ?, ?)",
                    [id, stamp(at), environment, socket.gethostname(), os.getpid()],
                )
                self._db.executemany("insert into intents values (?, ?)", [(path, id) for path in paths])
            state = "interrupted"
            try:
                yield
                state = "done"
            finally:
                self._settle(id, state, remove)
        finally:
            with suppress(FileNotFoundError):
                (self._locks / id).unlink()
            os.close(lock)

    def _lock(self, run: str) -> int:
        """Return a lock that tells that a run is alive; one that was taken away as nobody's meanwhile is made again."""
        while True:
            with _translated(self.file):
                lock = os.open(self._locks / run, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(lock, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), (self._locks / run).stat()):
                    return lock
            os.close(lock)

    def _settle(self, run: str, state: str, remove: Remove) -> None:
        for (path,) in self._rows("select path from intents where run = ?", [run]):
            kept = self._rows("select path from parts where path >= ? and path < ?", [f"{path}/", f"{path}0"])
            remove(path, frozenset(file for (file,) in kept))
        with _translated(self.file), self._transaction():
            self._db.execute("delete from intents where run = ?", [run])
            self._db.execute("update runs set state = ? where id = ? and state = 'running'", [state, run])

    def recover(self, remove: Remove) -> list[str]:
        dead = [run for (run,) in self._rows("select id from runs where state = 'running'") if self._is_dead(run)]
        for run in dead:
            self._settle(run, "crashed", remove)
        alive = {run for (run,) in self._rows("select id from runs where state = 'running'")}
        for lock in [
            file.name for file in self._locks.iterdir()
        ]:  # of who died before it began, or after it was settled
            if lock not in alive:
                self._is_dead(lock, bury=True)
        return dead

    def _is_dead(self, run: str, *, bury: bool = False) -> bool:
        """Say whether nobody holds the lock of a run; take it away then, if it is to be buried."""
        try:
            lock = os.open(self._locks / run, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if bury:
                (self._locks / run).unlink(missing_ok=True)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    def record(
        self, versions: Sequence[Version], verdicts: Sequence[Verdict] = (), judged: Sequence[Judged] = ()
    ) -> list[Version]:
        with _translated(self.file), self._transaction():
            recorded = self._add_versions(versions)
            self._db.executemany(
                f"insert into verdicts ({VERDICT}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " on conflict (version, contract, against) do nothing",
                map(verdict_row, verdicts),
            )
            self._db.executemany(
                "insert into judged_parts values (?, ?, ?) on conflict (part, rules) do nothing",
                [(j.part, j.rules, to_json(j.results)) for j in judged],
            )
        return recorded

    def record_parts(self, product: str, parts: Sequence[Part]) -> list[Part]:
        with _translated(self.file), self._transaction():
            return self._add_parts([(product, part) for part in parts])

    def _add_parts(self, parts: Sequence[tuple[str, Part]]) -> list[Part]:
        """Record the parts that have no id yet, each of a product, and return all with theirs."""
        if all(part.id for _, part in parts):
            return [part for _, part in parts]
        (last,) = self._db.execute("select coalesce(max(id), 0) from parts").fetchone()
        numbers = count(last + 1)
        numbered = [(product, part if part.id else replace(part, id=next(numbers))) for product, part in parts]
        self._db.executemany(
            f"insert into parts (product, {PART}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [[product, part.id, *part_row(part)] for product, part in numbered if part.id > last],
        )
        return [part for _, part in numbered]

    def relocate(self, parts: Sequence[Part], at: datetime) -> None:
        with _translated(self.file), self._transaction():
            for part in parts:
                self._db.execute(
                    "insert into replaced select path, ? from parts where id = ? on conflict (path) do nothing",
                    [stamp(at), part.id],
                )
                self._db.execute(
                    'update parts set path = ?, start = ?, "of" = ?, bytes = ?, checksum = ? where id = ?',
                    [part.path, part.start, part.of, part.bytes, part.checksum, part.id],
                )

    def replaced(self, before: datetime) -> list[str]:
        rows = self._rows(
            "select path from replaced where since < ? and path not in (select path from parts)", [stamp(before)]
        )
        return [path for (path,) in rows]

    def forget(self, paths: Sequence[str]) -> None:
        with _translated(self.file), self._transaction():
            self._db.executemany("delete from replaced where path = ?", [(path,) for path in paths])

    def _add_versions(self, versions: Sequence[Version]) -> list[Version]:
        """Record versions that are not there yet, and return those as recorded."""
        there = {id for (id,) in self._of("select id from versions where id in", [v.id for v in versions])}
        new = [v for v in versions if v.id not in there]
        if not new:
            return []
        parts = iter(self._add_parts([(v.product, part) for v in new for part in v.parts]))
        whole = [replace(v, parts=tuple(islice(parts, len(v.parts)))) for v in new]
        (last,) = self._db.execute("select coalesce(max(seq), 0) from versions").fetchone()
        self._db.executemany(
            f"insert into versions (seq, {VERSION}) values (?{', ?' * (VERSION.count(',') + 1)})",
            [[seq, *version_row(v)] for seq, v in enumerate(whole, last + 1)],
        )
        # What another run has built of it, that run may not be done with.
        folders = {("/".join(part.path.split("/")[:2]), v.run) for v in new for part in v.parts}
        self._db.executemany("delete from intents where path = ? and run = ?", list(folders))
        return whole

    def remember(self, files: Iterable[SourceFile], listings: Sequence[SourceState]) -> None:
        with _translated(self.file), self._transaction():
            self._db.executemany(
                "insert into seen values (?, ?, ?, ?) on conflict (path) do update set"
                " size = excluded.size, mtime_ns = excluded.mtime_ns, digest = excluded.digest",
                [(f.path, f.size, f.mtime_ns, f.digest) for f in files],
            )
            self._db.executemany(
                "insert into listings values (?, ?, ?) on conflict (digest) do nothing",
                [(s.digest, s.name, to_json({f.path: f.digest for f in s.files})) for s in listings],
            )
            self._db.executemany(
                "delete from listings where source = ?1 and rowid not in"
                " (select rowid from listings where source = ?1 order by rowid desc limit ?2)",
                [(s.name, _LISTINGS) for s in listings],
            )

    def release(
        self, environment: str, moves: Sequence[Move], expects: Mapping[str, int], *, run: str, at: datetime, why: str
    ) -> Release:
        unguarded = {move.product for move in moves} - expects.keys()
        assert not unguarded, f"moved without saying what is expected: {unguarded}"
        with _translated(self.file), self._transaction():
            for product, expected in expects.items():
                self._check(environment, product, expected)
            (id,) = self._db.execute("select coalesce(max(id), 0) + 1 from releases").fetchone()
            at = self._no_earlier(environment, at)
            self._db.execute("insert into releases values (?, ?, ?, ?, ?)", [id, environment, stamp(at), run, why])
            for move in moves:
                self._move(environment, id, move)
        return Release(
            id=id, environment=environment, at=at, run=run, why=why, moves=tuple((m.product, m.version) for m in moves)
        )

    def _no_earlier(self, environment: str, at: datetime) -> datetime:
        """Return a moment, or that of the last release where a clock was set back: what was seen stays."""
        (last,) = self._db.execute("select max(at) from releases where environment = ?", [environment]).fetchone()
        return max(at, datetime.fromisoformat(last)) if last else at

    def _check(self, environment: str, product: str, expected: int) -> None:
        found = self._db.execute(
            "select release from pointers where environment = ? and product = ?", [environment, product]
        ).fetchone()
        if (found[0] if found else 0) != expected:
            raise Conflict(f"{product} was published by another run meanwhile")

    def _move(self, environment: str, release: int, move: Move) -> None:
        self._db.execute(
            "insert into pointers (environment, product, version, release, previous, pinned) values (?, ?, ?, ?, ?, ?)"
            " on conflict (environment, product) do update set version = excluded.version, release = excluded.release,"
            " previous = excluded.previous, pinned = excluded.pinned",
            [environment, move.product, move.version, release, move.previous, int(move.pinned)],
        )
        self._db.execute("insert into moves values (?, ?, ?, ?)", [release, move.product, move.version, move.previous])


@contextmanager
def _translated(file: Path) -> Iterator[None]:
    """Turn SQLite's errors, and the disk's, into ours."""
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        raise CatalogError(f"the catalog {file} is damaged: {error!r}", hint="Put back a copy of it.") from error
    except (sqlite3.Error, OSError) as error:
        hint = "Is another program holding it, the disk full or the folder read-only?"
        if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
            hint = "The file is damaged or is not a catalog. Put back a copy, or move it away to start anew."
        raise CatalogError(f"cannot use the catalog {file}: {error}", hint=hint) from error


def _steps(version: int) -> Iterator[str]:
    """Yield the statements that lead from a schema version (0: nothing there) to the one of this code."""
    if version == 0:
        yield from _SCHEMA
    else:
        for step in range(version, SCHEMA_VERSION):
            yield from MIGRATIONS[step]
