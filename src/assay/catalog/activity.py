"""What a run has recorded since it was last asked: versions, check results and releases."""

import json
from datetime import datetime

from msgspec import Struct

from assay.catalog.database import Database
from assay.catalog.releases import ReleaseHead, releases_of_run
from assay.catalog.rows import decoded, moment_of, stamp

_RELEASES, _MOVES = 1000, 1000  # of one run, and of one release


class BuiltRow(Struct, frozen=True, kw_only=True):
    """A version that a run has built, with its number in the order of all; `seconds` it took.

    `rows` is None for a file, which has `bytes`.
    """

    number: int
    version: str
    product: str
    at: datetime
    rows: int | None
    bytes: int
    seconds: float


class CheckedRow(Struct, frozen=True, kw_only=True):
    """A check result that a run has recorded, with the rules that failed."""

    version: str
    product: str
    at: datetime
    status: str
    failed: tuple[str, ...]


def built_by(database: Database, run: str, after: int) -> list[BuiltRow]:
    """Return the versions that a run has built, in order, of those after this number."""
    query = (
        "select seq, id, product, built_at, columns, rows, bytes, seconds from versions"
        " where run = ? and seq > ? order by seq"
    )
    with decoded(database.name):
        return [
            BuiltRow(
                number=seq,
                version=id,
                product=name,
                at=moment_of(at),
                rows=rows if columns != "[]" else None,
                bytes=bytes,
                seconds=seconds,
            )
            for seq, id, name, at, columns, rows, bytes, seconds in database.rows(
                query, [run, after]
            )
        ]


def checked_by(database: Database, run: str, since: datetime) -> list[CheckedRow]:
    """Return the check results that a run has recorded at or after a moment, in order."""
    query = (
        "select d.version, v.product, d.judged_at, d.status, d.results from verdicts d"
        " join versions v on v.id = d.version where d.run = ? and d.judged_at >= ?"
        " order by d.judged_at, v.seq"
    )
    with decoded(database.name):
        return [
            CheckedRow(
                version=version, product=name, at=moment_of(at), status=status, failed=_bad(results)
            )
            for version, name, at, status, results in database.rows(query, [run, stamp(since)])
        ]


def released_by(database: Database, run: str) -> list[ReleaseHead]:
    """Return the releases of a run, in order, with the products that each published."""
    with decoded(database.name):
        return releases_of_run(database, run, _RELEASES, moves=_MOVES)


def _bad(results: str) -> tuple[str, ...]:
    """Return the rules among the results of a check (JSON) that failed, or could not be asked."""
    found = json.loads(results)
    return tuple(each["text"] for each in found if each["status"] in {"failed", "error"})
