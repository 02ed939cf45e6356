"""Releases with the first of their moves and the number of all, for an environment or a run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from assay.catalog.database import Reader
from assay.catalog.rows import moment_of, stamp

_RELEASE = "id, at, run, why"


class ReleaseHead(Struct, frozen=True, kw_only=True):
    """A release: when it was, by which run ('' for none), and why.

    `moves` are the first products that it published, with the version (withdrawn: ''); `count` is
    how many there are.
    """

    id: int
    at: datetime
    run: str
    why: str
    moves: tuple[tuple[str, str], ...]
    count: int

    @property
    def more(self) -> int:
        """How many products it published beside those of `moves`."""
        return self.count - len(self.moves)


def releases_between(
    reader: Reader, environment: str, since: datetime, until: datetime, limit: int, *, moves: int
) -> list[ReleaseHead]:
    """Return the last releases of an environment in a period, newest first; of each, so many moves."""
    condition = "environment = ? and at > ? and at <= ? order by at desc, id desc limit ?"
    return _releases(reader, condition, [environment, stamp(since), stamp(until), limit], moves)


def releases_of_run(reader: Reader, run: str, limit: int, *, moves: int) -> list[ReleaseHead]:
    """Return the first releases of a run, in order; of each, so many moves."""
    return _releases(reader, "run = ? order by id limit ?", [run, limit], moves)


def release_with(reader: Reader, environment: str, id: int, *, moves: int) -> ReleaseHead | None:
    """Return a release of an environment by its number; None if there is none."""
    found = _releases(reader, "environment = ? and id = ?", [environment, id], moves)
    return found[0] if found else None


def _releases(
    reader: Reader, condition: str, values: Sequence[Any], most: int
) -> list[ReleaseHead]:
    rows = reader.rows(f"select {_RELEASE} from releases where {condition}", values)
    found = []
    for id, at, run, why in rows:
        [(count,)] = reader.rows("select count(*) from moves where release = ?", [id])
        moves = reader.rows(
            "select product, version from moves where release = ? order by product limit ?",
            [id, most],
        )
        found.append(
            ReleaseHead(
                id=id,
                at=moment_of(at),
                run=run,
                why=why,
                moves=tuple((product, version) for product, version in moves),
                count=count,
            )
        )
    return found
