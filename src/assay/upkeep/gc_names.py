"""Files in which no part is any more: named until they are removed, when nobody can be reading them."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from assay.catalog.catalog import Catalog
from assay.catalog.rows import decoded, files_of
from assay.times import GRACE


class Waiting(Struct, frozen=True, kw_only=True):
    """A file in which no part is any more: when the catalog let go of it, and until when readers were sent to it."""

    path: str
    since: datetime
    seen: str


def waiting(catalog: Catalog) -> list[Waiting]:
    """Return the files in which no part is any more, and that are not removed yet."""
    rows = catalog.database.rows(
        "select path, since, seen from replaced where path not in (select path from parts) order by path"
    )
    with decoded(catalog.name):
        return [
            Waiting(path=path, since=datetime.fromisoformat(at), seen=seen)
            for path, at, seen in rows
        ]


def removable(file: Waiting, now: datetime, running: Iterable[datetime]) -> bool:
    """Say whether nobody who left no lease can be reading a file: no run, and none that was sent to it lately."""
    lately = file.seen and datetime.fromisoformat(file.seen) >= now - GRACE
    return not lately and all(began >= file.since + GRACE for began in running)


def running(catalog: Catalog) -> list[datetime]:
    """Return the moments at which the living runs began."""
    rows = catalog.database.rows("select id, started_at from runs where state = 'running'")
    with decoded(catalog.name):
        return [datetime.fromisoformat(at) for run, at in rows if not catalog.database.is_dead(run)]


def forget(catalog: Catalog, paths: Sequence[str]) -> None:
    """Drop files of the store that are removed by now."""
    if paths:
        catalog.write(
            lambda writer: writer.many(
                "delete from replaced where path = ?", [(path,) for path in paths]
            )
        )


def forget_sources(catalog: Catalog, declared: Collection[str], *, dry: bool) -> list[str]:
    """Drop what is remembered of the files of sources that are not declared any more; returns their names, sorted."""
    listed = {name for (name,) in catalog.database.rows("select distinct source from listings")}
    gone = sorted(listed.difference(declared))
    if gone and not dry:
        catalog.write(
            lambda writer: writer.many(
                "delete from listings where source = ?", [(name,) for name in gone]
            )
        )
    if not dry:
        _forget_inspected(catalog)
    return gone


def _forget_inspected(catalog: Catalog) -> None:
    """Drop what is remembered of files, by content, that no source has had lately."""
    with decoded(catalog.name):
        listed = {
            f.digest
            for (files,) in catalog.database.rows("select files from listings")
            for f in files_of(files)
        }
    inspected = {
        digest for (digest,) in catalog.database.rows("select distinct digest from inspected")
    }
    if gone := [(digest,) for digest in sorted(inspected - listed)]:
        catalog.write(lambda writer: writer.many("delete from inspected where digest = ?", gone))
