"""Releases as a whole: what each moved, for an environment or a run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from assay.catalog.database import Reader
from assay.catalog.rows import moment_of, stamp
from assay.facts import Release

_RELEASE = "id, environment, at, run, why"


def releases_between(
    reader: Reader, environment: str, since: datetime, until: datetime, limit: int
) -> list[Release]:
    """Return the releases of an environment in a period with their moves, newest first."""
    condition = "environment = ? and at > ? and at <= ? order by at desc, id desc limit ?"
    return _releases(reader, condition, [environment, stamp(since), stamp(until), limit])


def releases_of_run(reader: Reader, run: str) -> list[Release]:
    """Return the releases of a run with their moves, in order."""
    return _releases(reader, "run = ? order by id", [run])


def release_with(reader: Reader, environment: str, id: int) -> Release | None:
    """Return a release of an environment by its number; None if there is none."""
    return next(iter(_releases(reader, "environment = ? and id = ?", [environment, id])), None)


def _releases(reader: Reader, condition: str, values: Sequence[Any]) -> list[Release]:
    rows = reader.rows(f"select {_RELEASE} from releases where {condition}", values)
    found = []
    for id, environment, at, run, why in rows:
        moves = reader.rows(
            "select product, version from moves where release = ? order by product", [id]
        )
        found.append(
            Release(
                id=id,
                environment=environment,
                at=moment_of(at),
                run=run,
                why=why,
                moves=tuple((product, version) for product, version in moves),
            )
        )
    return found
