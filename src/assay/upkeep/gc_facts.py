"""Removes old facts from the catalog: versions, parts, moves, releases, runs and incidents.

The catalog forgets first, in one transaction, and names the files that are then obsolete. Those are
removed later: so wherever this stops, no file is removed that the catalog still refers to.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field

from assay.catalog.catalog import Catalog
from assay.catalog.codes import forget_codes
from assay.catalog.database import Reader, Writer, set_note
from assay.catalog.incidents import forget, old_incidents
from assay.catalog.promises import MOST_PROMISES
from assay.catalog.reads import whole_since
from assay.catalog.record import FACTS_SINCE
from assay.catalog.rows import decoded, ids_of, stamp
from assay.catalog.writes import replace_files
from assay.model import PREVIOUS, QUARANTINE
from assay.plan.previous import previous_of
from assay.plan.retention import (
    ForgottenMoves,
    KeepReason,
    KeepRule,
    PointerMove,
    PublishedVersion,
    Retention,
    RetentionInput,
    StoredVersion,
    kept_since,
    moves_to_forget,
    plan_retention,
)
from assay.upkeep.gc_files import ObsoleteFile

_STRAY = timedelta(days=1)  # how long a part without a version is stored for a run to use it
_LISTED = 100  # how many runs `products runs` can always list
_VERSIONS = (
    "select v.id, v.product, v.key, v.digest, v.built_at, v.parts, case when exists ("
    " select 1 from verdicts where version = v.id and status in ('passed', 'warning')"
    ") then 1 else 0 end from versions v order by v.seq"
)
_MOVES = (
    "select r.environment, m.product, m.version, m.release, r.at"
    " from moves m join releases r on r.id = m.release order by m.release"
)
_APPROVED = (  # those that may still be used
    "select a.version from approvals a where a.withdrawn is null and a.release = 0"
    " and not exists (select 1 from moves m join releases r on r.id = m.release"
    " where m.product = a.product and r.environment = a.environment and r.at >= a.at)"
)
_RUNS = (
    "select id from runs where state <> 'running' and started_at < ?"
    " and id not in (select run from intents)"
    " and id not in (select run from versions) and id not in (select run from verdicts)"
    " and id not in (select id from runs where asked <> '' order by started_at desc limit ?)"
)
_DROPPED = "select name, dropped_at from environments where dropped_at is not null"
_OLD_PROMISES = """
    delete from promises where (environment, name, due) in (
      select environment, name, due from (
        select environment, name, due,
          row_number() over (partition by environment, name order by due desc) as n
        from promises) as numbered
      where n > ?)
"""


class Collected(Struct, frozen=True, kw_only=True):
    """What was removed from the catalog, or would be, and why each other version stays.

    `moves`, `runs` and `incidents` are counts, `bytes` the size of the obsolete `files`. `since` are the first
    releases as of which environments can still be read, where that has changed.
    """

    versions: Sequence[StoredVersion] = ()
    stay: Mapping[str, KeepReason] = field(default_factory=dict)
    moves: int = 0
    runs: int = 0
    incidents: int = 0
    files: Sequence[ObsoleteFile] = ()
    bytes: int = 0
    since: Mapping[str, int] = field(default_factory=dict)


class _Parts(Struct, frozen=True, kw_only=True):
    """Parts without a version, and the files that are then obsolete, of so many bytes."""

    ids: Sequence[int]
    files: Sequence[ObsoleteFile]
    bytes: int


class _Removal(Struct, frozen=True, kw_only=True):
    """The rows that can be removed from the catalog."""

    versions: Sequence[StoredVersion]
    stay: Mapping[str, KeepReason]
    past: ForgottenMoves
    parts: _Parts
    runs: Sequence[str]
    incidents: Sequence[int]

    def summary(self) -> Collected:
        return Collected(
            versions=self.versions,
            stay=self.stay,
            moves=len(self.past.moves),
            runs=len(self.runs),
            incidents=len(self.incidents),
            files=self.parts.files,
            bytes=self.parts.bytes,
            since=self.past.first,
        )


def collect(catalog: Catalog, rule: KeepRule, now: datetime, *, dry: bool = False) -> Collected:
    """Remove what `rule` does not keep, in one transaction that first reads what is in use."""
    if dry:
        with decoded(catalog.name):
            return _removal(catalog, catalog.database, rule, now).summary()

    def remove(writer: Writer) -> Collected:
        removal = _removal(catalog, writer, rule, now)
        _remove(writer, removal)
        return removal.summary()

    return catalog.write(remove)


# ------------------------------------------------------------------------------ what can be removed


def _removal(catalog: Catalog, reader: Reader, rule: KeepRule, now: datetime) -> _Removal:
    rows = reader.rows("select id, started_at, state from runs")
    starts = {run: datetime.fromisoformat(at) for run, at, _ in rows}
    living = {run for run, _, state in rows if state == "running"}
    if living:
        living &= set(catalog.runs.living(reader))
    versions = reader.rows(_VERSIONS)
    retention_input = _retention_input(reader, versions, living, [starts[run] for run in living])
    decided = plan_retention(retention_input, rule, now)
    may_use = {run for run, start in starts.items() if run in living or start > now - _STRAY}
    return _Removal(
        versions=[version for version in retention_input.versions if version.id in decided.go],
        stay=decided.stay,
        past=moves_to_forget(
            retention_input.moves,
            kept_since(rule, now, retention_input.running),
            {name: datetime.fromisoformat(at) for name, at in reader.rows(_DROPPED)},
        ),
        parts=_unused_parts(reader, versions, decided, may_use=may_use, now=now),
        runs=[run for (run,) in reader.rows(_RUNS, [stamp(kept_since(rule, now)), _LISTED])],
        incidents=old_incidents(reader, now),
    )


def _retention_input(
    reader: Reader,
    rows: Iterable[Sequence[Any]],
    living: Collection[str],
    running: Sequence[datetime],
) -> RetentionInput:
    """Return what retention decides on; `rows` are those of `_VERSIONS`."""
    pointers = reader.rows("select environment, product, version, previous from pointers")
    bases = _built_on(reader)
    published = [
        PublishedVersion(
            environment=environment,
            product=product,
            version=version,
            previous=previous,
            built_on=bases.get(version, ""),
        )
        for environment, product, version, previous in pointers
    ]
    claims = reader.rows("select product, key, run from claims")
    return RetentionInput(
        versions=_versions(rows, _origins(reader)),
        published=published,
        moves=_moves(reader),
        running=running,
        approved=[str(version) for (version,) in reader.rows(_APPROVED)],
        claimed={(product, key) for product, key, run in claims if run in living},
    )


def _versions(rows: Iterable[Sequence[Any]], origins: Mapping[str, str]) -> list[StoredVersion]:
    return [
        StoredVersion(
            id=id,
            product=product,
            key=key,
            digest=digest,
            built_at=datetime.fromisoformat(built_at),
            passed=bool(passed),
            of=origins.get(id, ""),
        )
        for id, product, key, digest, built_at, _, passed in rows
    ]


def _moves(reader: Reader) -> list[PointerMove]:
    return [
        PointerMove(
            environment=environment,
            product=product,
            version=version,
            release=release,
            at=datetime.fromisoformat(at),
        )
        for environment, product, version, release, at in reader.rows(_MOVES)
    ]


def _origins(reader: Reader) -> dict[str, str]:
    """Return by id of a quarantine version the content digest of the version it belongs to."""
    suffix = f"__{QUARANTINE}"
    rows = reader.rows(
        "select id, product, inputs from versions where product like ?", [f"%{suffix}"]
    )
    return {
        id: json.loads(inputs).get(product.removesuffix(suffix), "") for id, product, inputs in rows
    }


def _built_on(reader: Reader) -> dict[str, str]:
    """Return by id of a published version the content digest of the version it was built on."""
    rows = reader.rows(
        "select distinct v.id, v.product, v.inputs from pointers p"
        " join versions v on v.id = p.version"
        " where v.inputs like cast(? as text) || v.product || cast(? as text)",
        ['%"', '":%'],
    )
    return {id: previous_of(product, json.loads(inputs)) for id, product, inputs in rows}


def _unused_parts(
    reader: Reader,
    versions: Iterable[Sequence[Any]],
    decided: Retention,
    *,
    may_use: Collection[str],
    now: datetime,
) -> _Parts:
    """Return the parts whose versions all go, and the parts that no version and no run uses.

    `versions` are the rows of `_VERSIONS`; `may_use` are the runs that may still record a version
    of their parts.
    """
    used, last_seen = _use_of_parts(versions, decided)
    used |= _read_as_previous(reader, used)
    rows = reader.rows("select id, path, bytes, aside from parts")
    newest = max((id for id, *_ in rows), default=0)  # it stays: no id is assigned twice
    for id, path, _, aside in rows:  # a part that stays needs the rows that were set aside of it
        if aside is None:
            continue
        if id in used or id == newest or (id not in last_seen and _run_of(path) in may_use):
            used.add(aside)
        elif id in last_seen:
            last_seen[aside] = max(last_seen[id], last_seen.get(aside, last_seen[id]))
    ids: list[int] = []
    paths_in_use: set[str] = set()
    sizes: dict[str, int] = {}
    file_seen: dict[str, datetime] = {}
    for id, path, size, _ in rows:
        is_awaited = id not in last_seen and _run_of(path) in may_use
        if id in used or id == newest or is_awaited:
            paths_in_use.add(path)
            continue
        ids.append(id)
        sizes[path] = size
        if id in last_seen:
            file_seen[path] = max(last_seen[id], file_seen.get(path, last_seen[id]))
    obsolete = sorted(sizes.keys() - paths_in_use)
    files = [
        ObsoleteFile(
            path=path,
            since=now,
            last_seen=stamp(file_seen[path]) if path in file_seen else "",
        )
        for path in obsolete
    ]
    return _Parts(ids=ids, files=files, bytes=sum(sizes[path] for path in obsolete))


def _read_as_previous(reader: Reader, used: Collection[int]) -> set[int]:
    """Return the parts that those in use were built on, so that they can be built again."""
    rows = reader.rows(
        "select id, product, key, inputs from parts where inputs like ?", [f'%"{PREVIOUS}":%']
    )
    read = {
        (product, key, json.loads(inputs).get(PREVIOUS))
        for id, product, key, inputs in rows
        if id in used
    }
    found: set[int] = set()
    for name in sorted({product for product, _, _ in read}):
        query = "select id, key, digest from parts where product = ?"
        found |= {
            id for id, key, digest in reader.rows(query, [name]) if (name, key, digest) in read
        }
    return found


def _use_of_parts(
    versions: Iterable[Sequence[Any]], decided: Retention
) -> tuple[set[int], dict[int, datetime]]:
    """Return the parts of versions that stay, and until when the other parts were published."""
    used: set[int] = set()
    last_seen: dict[int, datetime] = {}
    for id, *_, ranges, _ in versions:
        parts = ids_of(str(ranges))
        if id in decided.stay:
            used.update(parts)
            continue
        until = decided.go[str(id)]
        for part in parts:
            last_seen[part] = max(until, last_seen.get(part, until))
    return used, last_seen


def _run_of(path: str) -> str:
    """Return the run that wrote a file: the second folder of its path."""
    return path.partition("/")[2].partition("/")[0]


# -------------------------------------------------------------------------------------- removing it


def _remove(writer: Writer, removal: _Removal) -> None:
    versions = [(version.id,) for version in removal.versions]
    _note_forgotten(writer, removal.versions)
    writer.many("delete from versions where id = ?", versions)
    writer.many("delete from parts where id = ?", [(id,) for id in removal.parts.ids])
    # Also the rows that a run recorded after their version or part was removed.
    writer.execute("delete from verdicts where version not in (select id from versions)")
    writer.execute("delete from restatements where version not in (select id from versions)")
    writer.execute("delete from differences where after not in (select id from versions)")
    writer.execute("delete from judged_parts where part not in (select id from parts)")
    files = [(file.path, stamp(file.since), file.last_seen) for file in removal.parts.files]
    replace_files(writer, files)
    moves = [(move.release, move.product) for move in removal.past.moves]
    writer.many("delete from moves where release = ? and product = ?", moves)
    for environment, first in removal.past.first.items():
        release = max(whole_since(writer, environment), first)
        set_note(writer, f"since {environment}", str(release))
        writer.execute(
            "delete from releases where environment = ? and id < ?"
            " and id not in (select release from moves)",
            [environment, release],
        )
    for name in removal.past.environments:
        _forget_environment(writer, name)
    writer.many("delete from runs where id = ?", [(run,) for run in removal.runs])
    forget_codes(writer)
    forget(writer, removal.incidents)
    writer.execute(_OLD_PROMISES, [MOST_PROMISES])


def _forget_environment(writer: Writer, name: str) -> None:
    """Remove the releases of an environment that was dropped, and the mark that it was.

    The newest release of the catalog stays, and the mark with it: no number is given twice.
    """
    writer.execute(
        "delete from releases where environment = ? and id <> (select max(id) from releases)",
        [name],
    )
    writer.execute("delete from meta where name = ?", [f"since {name}"])
    writer.execute(
        "delete from environments where name = ? and name not in (select environment from releases)",
        [name],
    )


def _note_forgotten(writer: Writer, versions: Sequence[StoredVersion]) -> None:
    """Record until when what was built is forgotten: `products record` counts nothing before."""
    rows = writer.rows("select value from meta where name = ?", [FACTS_SINCE])
    forgotten = [stamp(version.built_at) for version in versions]
    if forgotten:
        set_note(writer, FACTS_SINCE, max([*forgotten, *(value for (value,) in rows)]))
