"""Columns of the files of sources that are not declared: which, and since which file."""

from collections.abc import Iterable, Mapping

from assay.catalog.database import Writer
from assay.catalog.rows import decoded, moment_of, stamp
from assay.catalog.transactions import Transactions
from assay.facts import UndeclaredColumn

_COLUMNS = "source, reading, name, part, file, seen"
# The first file stays, also when files are inspected in another order.
_ADD = f"""
    insert into undeclared_columns ({_COLUMNS}) values (?, ?, ?, ?, ?, ?)
    on conflict (source, reading, name) do update set part = excluded.part, file = excluded.file
    where excluded.part < undeclared_columns.part
    or (excluded.part = undeclared_columns.part and excluded.file < undeclared_columns.file)
"""


class UndeclaredColumns:
    """The recorded columns that sources do not declare."""

    def __init__(self, transactions: Transactions) -> None:
        self._database, self._write = transactions.database, transactions.write

    def of(self, readings: Mapping[str, str]) -> list[UndeclaredColumn]:
        """Return those of sources as they are read now (source: reading), by source and name."""
        query = f"select {_COLUMNS} from undeclared_columns order by source, part, name"
        with decoded(self._database.name):
            return [
                UndeclaredColumn(
                    source=source, name=name, part=part, file=file, seen=moment_of(seen)
                )
                for source, reading, name, part, file, seen in self._database.rows(query)
                if readings.get(source) == reading
            ]

    def any(self) -> bool:
        """Return whether any column is recorded."""
        return bool(
            self._database.rows("select 1 from undeclared_columns where name <> '' limit 1")
        )

    def forget(self, readings: Mapping[str, str]) -> None:
        """Drop those of sources that are not read so any more (source: reading)."""
        rows = self._database.rows("select distinct source, reading from undeclared_columns")
        gone = [(source, reading) for source, reading in rows if readings.get(source) != reading]
        statement = "delete from undeclared_columns where source = ? and reading = ?"
        if gone:
            self._write(lambda writer: writer.many(statement, gone))


def add_undeclared(writer: Writer, columns: Iterable[tuple[str, UndeclaredColumn]]) -> None:
    """Record columns, each after the reading of its source, within a transaction."""
    rows = [(c.source, reading, c.name, c.part, c.file, stamp(c.seen)) for reading, c in columns]
    if rows:
        writer.many(_ADD, rows)
