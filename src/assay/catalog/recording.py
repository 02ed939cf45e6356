"""What is done inside a transaction that writes: facts are added, pointers move if they are where they should be."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Any

from msgspec.structs import replace

from assay.catalog.database import Database, Writer
from assay.catalog.rows import PART, VERDICT, VERSION, ids_of, part_row, verdict_row, version_row
from assay.errors import Conflict
from assay.model import Move, Part, Verdict, Version

_CHUNK = 500  # values in one query


def rows_of(
    asked: Database | Writer, query: str, values: Sequence[Any], before: Sequence[Any] = ()
) -> Iterator[Sequence[Any]]:
    """Yield the rows of a query that ends in `in`, for these values; any number of them."""
    for start in range(0, len(values), _CHUNK):
        some = values[start : start + _CHUNK]
        yield from asked.rows(f"{query} ({','.join('?' * len(some))})", [*before, *some])


def note(writer: Writer, name: str, value: str) -> None:
    """Keep a note about the catalog as a whole, in place of one of that name."""
    writer.execute(
        "insert into meta values (?, ?) on conflict (name) do update set value = excluded.value",
        [name, value],
    )


def check(writer: Writer, environment: str, product: str, expected: int) -> None:
    """Raise Conflict when what readers see of a product is of another release than expected."""
    found = writer.rows(
        "select release from pointers where environment = ? and product = ?", [environment, product]
    )
    if (found[0][0] if found else 0) != expected:
        raise Conflict(f"{product} was published by another run meanwhile")


def add_parts(writer: Writer, parts: Sequence[tuple[str, Part]]) -> list[Part]:
    """Record the parts that have no id yet, each of a product, and return all with theirs."""
    if all(part.id for _, part in parts):
        return [part for _, part in parts]
    [(last,)] = writer.rows("select coalesce(max(id), 0) from parts")
    numbers = count(last + 1)
    numbered = [
        (product, part if part.id else replace(part, id=next(numbers))) for product, part in parts
    ]
    writer.many(
        f"insert into parts (product, {PART}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [[product, part.id, *part_row(part)] for product, part in numbered if part.id > last],
    )
    return [part for _, part in numbered]


def replace_files(writer: Writer, files: Iterable[tuple[str, str, str]]) -> None:
    """Note files that parts have left, since when, and until when readers were sent there; the last to leave counts."""
    larger = "case when excluded.{0} > replaced.{0} then excluded.{0} else replaced.{0} end"
    later = ", ".join(f"{name} = {larger.format(name)}" for name in ("since", "seen"))
    query = f"insert into replaced (path, since, seen) values (?, ?, ?) on conflict (path) do update set {later}"
    writer.many(query, list(files))


def add_versions(writer: Writer, versions: Sequence[Version]) -> list[Version]:
    """Record versions that are not there yet, and return those as recorded."""
    there = {
        id
        for (id,) in rows_of(
            writer, "select id from versions where id in", [v.id for v in versions]
        )
    }
    new = [v for v in versions if v.id not in there]
    if not new:
        return []
    _check_parts(writer, new)
    parts = iter(add_parts(writer, [(v.product, part) for v in new for part in v.parts]))
    whole = [replace(v, parts=tuple(islice(parts, len(v.parts)))) for v in new]
    [(last,)] = writer.rows("select coalesce(max(seq), 0) from versions")
    writer.many(
        f"insert into versions (seq, {VERSION}) values (?{', ?' * (VERSION.count(',') + 1)})",
        [[seq, *version_row(v)] for seq, v in enumerate(whole, last + 1)],
    )
    # What another run has built of it, that run may not be done with.
    files = {(part.path, v.run) for v in new for part in v.parts}
    folders = {("/".join(path.split("/")[:2]), run) for path, run in files}
    writer.many("delete from intents where path = ? and run = ?", list(folders))
    return whole


def _check_parts(writer: Writer, new: Sequence[Version]) -> None:
    """Raise Conflict when one of their parts, which a run has found, is there no more; those that readers see are."""
    found: set[int] = set()
    seen = "select v.parts from pointers p join versions v on v.id = p.version where p.product = ?"
    for version in new:
        if ids := {part.id for part in version.parts if part.id}:
            found |= ids.difference(
                *(ids_of(text) for (text,) in writer.rows(seen, [version.product]))
            )
    known = list(found)
    if sum(
        count for (count,) in rows_of(writer, "select count(*) from parts where id in", known)
    ) < len(known):
        raise Conflict("gc has removed a part that this run was to use again meanwhile")


def check_versions(writer: Writer, moves: Sequence[Move]) -> None:
    """Raise Conflict when a version that readers are to see is there no more."""
    ids = {move.version: move.product for move in moves if move.version}
    gone = ids.keys() - {
        id for (id,) in rows_of(writer, "select id from versions where id in", list(ids))
    }
    if gone:
        raise Conflict(f"gc has removed {sorted(gone)[0]} of {ids[sorted(gone)[0]]} meanwhile")


def add_verdicts(writer: Writer, verdicts: Iterable[Verdict]) -> None:
    """Record how versions were judged; what was known stays."""
    writer.many(
        f"insert into verdicts ({VERDICT}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " on conflict (version, contract, against) do nothing",
        map(verdict_row, verdicts),
    )


def move(writer: Writer, environment: str, release: int, moved: Move) -> None:
    """Let readers of an environment see a version, or nothing, of a product from a release on."""
    writer.execute(
        "insert into moves values (?, ?, ?, ?)",
        [release, moved.product, moved.version, moved.previous],
    )
    if not moved.version:
        writer.execute(
            "delete from pointers where environment = ? and product = ?",
            [environment, moved.product],
        )
        return
    writer.execute(
        "insert into pointers (environment, product, version, release, previous, pinned) values (?, ?, ?, ?, ?, ?)"
        " on conflict (environment, product) do update set version = excluded.version, release = excluded.release,"
        " previous = excluded.previous, pinned = excluded.pinned",
        [environment, moved.product, moved.version, release, moved.previous, int(moved.pinned)],
    )
