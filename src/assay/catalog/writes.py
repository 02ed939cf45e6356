"""Writes to the catalog: adds facts, and moves pointers that are still as expected."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count, islice

from msgspec.structs import replace

from assay.catalog.database import Writer, rows_in
from assay.catalog.rows import (
    PART,
    VERDICT,
    VERSION,
    ids_of,
    part_row,
    stamp,
    to_json,
    verdict_row,
    version_row,
)
from assay.errors import Conflict, UsageError
from assay.facts import Move, Part, PartFindings, Release, Verdict, Version
from assay.model import QUARANTINE
from assay.plan.waivers import waivers_of

_SET_BACK = timedelta(days=7)  # a clock that is set back by less makes no release earlier


# ------------------------------------------------------------------------------ facts


def add_parts(writer: Writer, parts: Sequence[tuple[str, Part]]) -> list[Part]:
    """Record the parts without an id, each given with its product; return all with ids.

    The rows that were set aside of a part are recorded with it, before it.
    """
    if all(part.id for _, part in parts):
        return [part for _, part in parts]
    parts = _with_asides(writer, parts)
    [(last,)] = writer.rows("select coalesce(max(id), 0) from parts")
    ids = count(last + 1)
    numbered = [
        (product, part if part.id else replace(part, id=next(ids))) for product, part in parts
    ]
    writer.many(
        f"insert into parts (product, {PART}) values (?{', ?' * (PART.count(',') + 1)})",
        [[product, part.id, *part_row(part)] for product, part in numbered if part.id > last],
    )
    return [part for _, part in numbered]


def _with_asides(writer: Writer, parts: Sequence[tuple[str, Part]]) -> Sequence[tuple[str, Part]]:
    """Record the rows that were set aside of new parts; return the parts with them."""
    new = [(product, part) for product, part in parts if part.aside and not part.id]
    asides = [(f"{product}__{QUARANTINE}", part.aside) for product, part in new if part.aside]
    recorded = {
        (product, part.path, part.key): aside
        for (product, part), aside in zip(new, add_parts(writer, asides), strict=True)
    }
    return [
        (product, replace(part, aside=recorded.get((product, part.path, part.key), part.aside)))
        for product, part in parts
    ]


def add_versions(writer: Writer, versions: Sequence[Version]) -> list[Version]:
    """Record the versions that are new, and return them with the ids of their parts."""
    query = "select id from versions where id in"
    existing = {id for (id,) in rows_in(writer, query, [v.id for v in versions])}
    new = [v for v in versions if v.id not in existing]
    if not new:
        return []
    _check_parts(writer, new)
    parts = iter(add_parts(writer, [(v.product, part) for v in new for part in v.parts]))
    recorded = [replace(v, parts=tuple(islice(parts, len(v.parts)))) for v in new]
    [(last,)] = writer.rows("select coalesce(max(seq), 0) from versions")
    writer.many(
        f"insert into versions (seq, {VERSION}) values (?{', ?' * (VERSION.count(',') + 1)})",
        [[seq, *version_row(v)] for seq, v in enumerate(recorded, last + 1)],
    )
    # Which files a source had is kept for as long as something was built from them.
    built_from = {digest for v in new for digest in v.key.inputs.values()}
    query = "update listings set used = 1 where used = 0 and digest = ?"
    writer.many(query, [(digest,) for digest in sorted(built_from)])
    # An intent goes only with its own run: another run that built the same may still be writing.
    files = {(part.path, v.run) for v in new for part in v.parts}
    folders = {("/".join(path.split("/")[:2]), run) for path, run in files}
    writer.many("delete from intents where path = ? and run = ?", list(folders))
    return recorded


def _check_parts(writer: Writer, versions: Sequence[Version]) -> None:
    """Raise Conflict when gc has removed a recorded part that one of these versions uses again.

    Parts of a published version always exist, so they are not looked up.
    """
    reused: set[int] = set()
    query = "select v.parts from pointers p join versions v on v.id = p.version where p.product = ?"
    for version in versions:
        if ids := {part.id for part in version.parts if part.id}:
            published = writer.rows(query, [version.product])
            reused |= ids.difference(*(ids_of(text) for (text,) in published))
    counts = rows_in(writer, "select count(*) from parts where id in", list(reused))
    if sum(rows for (rows,) in counts) < len(reused):
        raise Conflict("gc has removed a part that this run was to use again meanwhile")


def add_verdicts(writer: Writer, verdicts: Iterable[Verdict]) -> None:
    """Record verdicts, and the waivers that they use; one that exists is not changed."""
    verdicts = list(verdicts)
    writer.many(
        f"insert into verdicts ({VERDICT}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " on conflict (version, contract, against) do nothing",
        map(verdict_row, verdicts),
    )
    used = [(id, stamp(v.judged_at), v.run) for v in verdicts for id in waivers_of(v)]
    if used:
        writer.many(
            "insert into waivers_used select environment, ?, ? from runs where id = ?"
            " on conflict (environment, waiver) do nothing",
            used,
        )


def add_findings(writer: Writer, findings: Iterable[PartFindings]) -> None:
    """Record what rules found in parts; findings that exist are not changed."""
    writer.many(
        "insert into judged_parts values (?, ?, ?) on conflict (part, rules) do nothing",
        [(f.part, f.rules, to_json(f.results)) for f in findings],
    )


def relocate(writer: Writer, parts: Sequence[Part], at: datetime) -> None:
    """Record the new files of parts; the files that they were in are replaced."""
    query = "select distinct path from parts where id in"
    paths = {path for (path,) in rows_in(writer, query, [part.id for part in parts])}
    replace_files(writer, [(path, stamp(at), stamp(at)) for path in paths])
    for part in parts:
        place = [part.path, part.start, part.of, part.bytes, part.checksum, part.modified]
        writer.execute(
            'update parts set path = ?, start = ?, "of" = ?, bytes = ?, checksum = ?, modified = ?'
            " where id = ?",
            [*place, part.id],
        )


def replace_files(writer: Writer, files: Iterable[tuple[str, str, str]]) -> None:
    """Record files that hold no part now: path, since when, and until when they were published.

    Where a file is recorded already, the later times count.
    """
    larger = "case when excluded.{0} > replaced.{0} then excluded.{0} else replaced.{0} end"
    update = ", ".join(f"{column} = {larger.format(column)}" for column in ("since", "seen"))
    writer.many(
        "insert into replaced (path, since, seen) values (?, ?, ?)"
        f" on conflict (path) do update set {update}",
        list(files),
    )


# ------------------------------------------------------------------------------ releases


def publish(
    writer: Writer, release: Release, moves: Sequence[Move], expects: Mapping[str, int]
) -> Release:
    """Record a release and move its pointers; return it with its id and its final time.

    Raises Conflict when a pointer is not of the release that is expected, a version no longer
    exists, or a waiver or an approval that let one through was withdrawn.
    """
    environment = release.environment
    check_not_dropped(writer, environment)
    for product, expected in expects.items():
        check_pointer(writer, environment, product, expected)
    _check_versions(writer, moves)
    _check_waivers(writer, moves)
    release = add_release(writer, release)
    for move in moves:
        move_pointer(writer, environment, release.id, move)
    if any(move.approvals for move in moves):
        from assay.catalog.approvals import use_approvals  # most products ask for none

        use_approvals(writer, release, moves)
    # The run has built these products: others may claim them.
    writer.many(
        "delete from claims where run = ? and product = ?",
        [(release.run, move.product) for move in moves],
    )
    return release


def add_release(writer: Writer, release: Release) -> Release:
    """Record a release without its moves; return it with its id and its final time."""
    environment = release.environment
    [(id,)] = writer.rows("select coalesce(max(id), 0) + 1 from releases")
    [(last,)] = writer.rows(
        "select max(at) from releases where environment = ? and at <= ?",
        [environment, stamp(release.at + _SET_BACK)],
    )
    # Clocks differ, and are set back, but a later release must have a later time, or the past would
    # change. A release that was made while a clock was far ahead does not count: what is released
    # now is to be found as of now.
    at = max(release.at, datetime.fromisoformat(last)) if last else release.at
    writer.execute(
        "insert into releases values (?, ?, ?, ?, ?)",
        [id, environment, stamp(at), release.run, release.why],
    )
    return replace(release, id=id, at=at)


def check_not_dropped(writer: Writer, environment: str) -> None:
    """Raise UsageError when an environment was dropped."""
    query = "select 1 from environments where name = ? and dropped_at is not null"
    if writer.rows(query, [environment]):
        raise UsageError(
            f"the environment {environment} was dropped",
            hint=f"`products env create {environment}` creates it anew.",
        )


def check_pointer(writer: Writer, environment: str, product: str, expected: int) -> None:
    """Raise Conflict when a product's pointer is not of the expected release (0: no pointer)."""
    rows = writer.rows(
        "select release from pointers where environment = ? and product = ?", [environment, product]
    )
    if (rows[0][0] if rows else 0) != expected:
        raise Conflict(f"{product} was published by another run meanwhile")


def _check_versions(writer: Writer, moves: Sequence[Move]) -> None:
    """Raise Conflict when gc has removed a version that is to be published."""
    products = {move.version: move.product for move in moves if move.version}
    rows = rows_in(writer, "select id from versions where id in", list(products))
    missing = sorted(products.keys() - {id for (id,) in rows})
    if missing:
        raise Conflict(f"gc has removed {missing[0]} of {products[missing[0]]} meanwhile")


def _check_waivers(writer: Writer, moves: Sequence[Move]) -> None:
    """Raise Conflict when a waiver was withdrawn that let through what is to be published."""
    products = {id: move.product for move in moves for id in move.waivers}
    query = "select id from waivers where withdrawn is not null and id in"
    if withdrawn := sorted(id for (id,) in rows_in(writer, query, list(products))):
        raise Conflict(f"{withdrawn[0]} of {products[withdrawn[0]]} was withdrawn meanwhile")


def move_pointer(writer: Writer, environment: str, release: int, move: Move) -> None:
    """Publish a version of a product in an environment, or withdraw the product."""
    writer.execute(
        "insert into moves values (?, ?, ?, ?)",
        [release, move.product, move.version, move.previous],
    )
    if not move.version:
        writer.execute(
            "delete from pointers where environment = ? and product = ?",
            [environment, move.product],
        )
        return
    writer.execute(
        "insert into pointers (environment, product, version, release, previous, pinned)"
        " values (?, ?, ?, ?, ?, ?)"
        " on conflict (environment, product) do update set version = excluded.version,"
        " release = excluded.release, previous = excluded.previous, pinned = excluded.pinned,"
        " first_at = null",
        [environment, move.product, move.version, release, move.previous, int(move.pinned)],
    )
