"""When new content of sources arrived."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from assay.catalog.database import Writer
from assay.catalog.rows import decoded, moment_of, stamp
from assay.catalog.transactions import Transactions
from assay.facts import Arrival

KEPT = 400  # per source, when `gc` has run
_COLUMNS = "source, part, at, seen"
_NEWEST_FIRST = "order by at desc, part desc"
_LAST_OF_ALL = f"""
    select {_COLUMNS} from (
      select {_COLUMNS}, row_number() over (partition by source {_NEWEST_FIRST}) as place
      from arrivals
    ) numbered where place <= ? {_NEWEST_FIRST}
"""


class Arrivals:
    """The recorded arrivals of sources."""

    def __init__(self, transactions: Transactions) -> None:
        self._database, self._write = transactions.database, transactions.write

    def record(self, arrivals: Sequence[Arrival]) -> None:
        """Record arrivals; those that are recorded already stay as they are."""
        if arrivals:
            self._write(lambda writer: add_arrivals(writer, arrivals))

    def of(self, source: str, limit: int = KEPT) -> Sequence[Arrival]:
        """Return the last arrivals of a source, the newest last."""
        query = f"select {_COLUMNS} from arrivals where source = ? {_NEWEST_FIRST} limit ?"
        return self._read(query, [source, limit])

    def of_all(self, limit: int = KEPT) -> Mapping[str, Sequence[Arrival]]:
        """Return the last arrivals of every source, the newest last."""
        arrivals: dict[str, list[Arrival]] = {}
        for arrival in self._read(_LAST_OF_ALL, [limit]):
            arrivals.setdefault(arrival.source, []).append(arrival)
        return arrivals

    def _read(self, query: str, values: Sequence[Any]) -> list[Arrival]:
        rows = self._database.rows(query, values)
        with decoded(self._database.name):
            return [_arrival(row) for row in reversed(rows)]


def add_arrivals(writer: Writer, arrivals: Iterable[Arrival]) -> None:
    """Record arrivals within a transaction."""
    rows = [(a.source, a.part, stamp(a.at), stamp(a.seen)) for a in arrivals]
    query = f"insert into arrivals ({_COLUMNS}) values (?, ?, ?, ?) on conflict do nothing"
    writer.many(query, rows)


def _arrival(row: Sequence[Any]) -> Arrival:
    source, part, at, seen = row
    return Arrival(
        source=str(source),
        part=str(part),
        at=moment_of(at),
        seen=moment_of(seen),
    )
