"""Lets go of what retention says may go: versions, parts, and the moves, releases and runs that told of them.

The catalog forgets first, in one transaction. Files come after that, from the table `replaced`: so a file that is gone
is one that nobody can look up any more, wherever this stopped.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field

from assay.catalog.catalog import Catalog
from assay.catalog.database import Database, Writer, set_note
from assay.catalog.reads import whole_since
from assay.catalog.rows import decoded, ids_of, stamp
from assay.catalog.writes import replace_files
from assay.model import QUARANTINE
from assay.plan.retention import (
    KeepReason,
    KeepRule,
    Moved,
    Past,
    Seen,
    Sorted,
    Stock,
    Stored,
    shorten,
    since,
    sort_out,
)
from assay.upkeep.gc_names import Waiting

_STRAY = timedelta(days=1)  # for how long parts without a version wait for one
_VERSIONS = (
    "select v.id, v.product, v.key, v.digest, v.built_at, v.parts, case when exists (select 1 from verdicts where"
    " version = v.id and status in ('passed', 'warning')) then 1 else 0 end from versions v order by v.seq"
)
_MOVES = (
    "select r.environment, m.product, m.version, m.release, r.at from moves m join releases r on r.id = m.release"
    " order by m.release"
)
_RUNS = (
    "select id from runs where state <> 'running' and started_at < ? and id not in (select run from intents)"
    " and id not in (select run from versions) and id not in (select run from verdicts)"
)


class Collected(Struct, frozen=True, kw_only=True):
    """What was let go of, or would be: versions, with why each other one stays; moves, runs; files of so many bytes.

    `since` are the first releases that environments can be seen as of, where that has changed.
    """

    versions: Sequence[Stored] = ()
    stay: Mapping[str, KeepReason] = field(default_factory=dict)
    moves: int = 0
    runs: int = 0
    files: Sequence[Waiting] = ()
    bytes: int = 0
    since: Mapping[str, int] = field(default_factory=dict)


class _Parts(Struct, frozen=True, kw_only=True):
    """Parts that no version has any more, and the files that are then empty, of so many bytes."""

    ids: Sequence[int]
    files: Sequence[Waiting]
    bytes: int


def collect(catalog: Catalog, rule: KeepRule, now: datetime, *, dry: bool = False) -> Collected:
    """Let go of what may go, in one transaction that first looks what readers and runs have by then."""
    if dry:
        with decoded(catalog.name):
            return _look(catalog, catalog.database, rule, now)[0]
    return catalog.write(lambda writer: _collect(catalog, writer, rule, now))


def _look(
    catalog: Catalog, asked: Database | Writer, rule: KeepRule, now: datetime
) -> tuple[Collected, Past, _Parts, list[str]]:
    runs = {
        run: datetime.fromisoformat(at) for run, at in asked.rows("select id, started_at from runs")
    }
    living = {run for run, state in asked.rows("select id, state from runs") if state == "running"}
    if living:
        living &= set(catalog.runs.living(asked))
    rows = asked.rows(_VERSIONS)
    stock = _stock(asked, rows, living, [runs[run] for run in living])
    told, past = sort_out(stock, rule, now), shorten(stock.moves, since(rule, now, stock.running))
    young = {run: run in living or at > now - _STRAY for run, at in runs.items()}
    parts = _unused(asked, rows, told, runs=young, now=now)
    old = [run for (run,) in asked.rows(_RUNS, [stamp(since(rule, now))])]
    done = Collected(
        versions=[v for v in stock.versions if v.id in told.go],
        stay=told.stay,
        moves=len(past.moves),
        runs=len(old),
        files=parts.files,
        bytes=parts.bytes,
        since=past.first,
    )
    return done, past, parts, old


def _stock(
    asked: Database | Writer,
    rows: Iterable[Sequence[Any]],
    living: Collection[str],
    running: Sequence[datetime],
) -> Stock:
    aside = asked.rows(
        "select id, product, inputs from versions where product like ?", [f"%__{QUARANTINE}"]
    )
    of = {
        id: json.loads(inputs).get(product.removesuffix(f"__{QUARANTINE}"), "")
        for id, product, inputs in aside
    }
    versions = [
        Stored(
            id=id,
            product=product,
            key=key,
            digest=digest,
            built_at=datetime.fromisoformat(at),
            good=bool(good),
            of=of.get(id, ""),
        )
        for id, product, key, digest, at, _, good in rows
    ]
    moves = [
        Moved(
            environment=env,
            product=product,
            version=version,
            release=release,
            at=datetime.fromisoformat(at),
        )
        for env, product, version, release, at in asked.rows(_MOVES)
    ]
    seen = asked.rows("select environment, product, version, previous from pointers")
    claims = asked.rows("select product, key, run from claims")
    return Stock(
        versions=versions,
        seen=[
            Seen(environment=env, product=p, version=v, previous=before)
            for env, p, v, before in seen
        ],
        moves=moves,
        running=running,
        claimed={(product, key) for product, key, run in claims if run in living},
    )


def _unused(
    asked: Database | Writer,
    rows: Iterable[Sequence[Any]],
    told: Sorted,
    *,
    runs: Mapping[str, bool],
    now: datetime,
) -> _Parts:
    """Return the parts that only versions that go have, and those that have waited long enough for one.

    `runs` says of each run whether what it has built may be waiting for a version.
    """
    used, going = set[int](), dict[int, datetime]()
    for id, *_, parts, _ in rows:
        if id in told.stay:
            used.update(ids_of(str(parts)))
        else:
            end = told.go[str(id)]
            going |= {part: max(end, going.get(part, end)) for part in ids_of(str(parts))}
    there = asked.rows("select id, path, bytes from parts")
    newest = max((id for id, _, _ in there), default=0)  # it stays: ids are never given twice
    ids, kept, files, seen = [], set[str](), dict[str, int](), dict[str, datetime]()
    for id, path, size in there:
        run = path.partition("/")[2].partition("/")[0]
        gone = id not in used and id != newest and (id in going or not runs.get(run, False))
        if not gone:
            kept.add(path)
            continue
        ids.append(id)
        files[path] = size
        if id in going:
            seen[path] = max(going[id], seen.get(path, going[id]))
    empty = sorted(files.keys() - kept)
    return _Parts(
        ids=ids,
        files=[
            Waiting(path=path, since=now, seen=stamp(seen[path]) if path in seen else "")
            for path in empty
        ],
        bytes=sum(files[path] for path in empty),
    )


def _collect(catalog: Catalog, writer: Writer, rule: KeepRule, now: datetime) -> Collected:
    done, past, parts, runs = _look(catalog, writer, rule, now)
    versions, old = [(v.id,) for v in done.versions], [(id,) for id in parts.ids]
    writer.many("delete from versions where id = ?", versions)
    writer.many("delete from parts where id = ?", old)
    # Also those that a run recorded after what they are about was gone.
    writer.execute("delete from verdicts where version not in (select id from versions)")
    writer.execute("delete from waivers where version not in (select id from versions)")
    writer.execute("delete from judged_parts where part not in (select id from parts)")
    replace_files(writer, [(file.path, stamp(file.since), file.seen) for file in done.files])
    writer.many(
        "delete from moves where release = ? and product = ?",
        [(m.release, m.product) for m in past.moves],
    )
    for environment, first in past.first.items():
        known = whole_since(writer, environment)
        set_note(writer, f"since {environment}", str(max(known, first)))
        writer.execute(
            "delete from releases where environment = ? and id < ? and id not in (select release from moves)",
            [environment, max(known, first)],
        )
    writer.many("delete from runs where id = ?", [(run,) for run in runs])
    return done
