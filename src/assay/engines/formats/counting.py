"""Counts what is in text files of a source, in one query: rows, wrong values, and which keys are there."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from assay.engines.duckdb import DuckDB
from assay.engines.formats import jsonlines
from assay.engines.formats.events import event_column, last_event
from assay.engines.formats.textvalues import faulty, value
from assay.engines.quoting import identifier, literal
from assay.engines.tables import InputFiles

# DuckDB plans a query in a time that grows with the square of its aggregates: the wrong values of
# very many columns are counted together.
_MOST_SINGLY, _TOGETHER = 64, 16


class Counts(Struct, frozen=True):
    """What a query counts in one file: rows, those ill as a whole, and two numbers per column.

    Those are `wrong`, its values that are not of the declared type (or those of columns that were
    counted together with it), and `present`, its values that are not null. `event` is the last
    event, in microseconds since 1970; `early` counts JSON objects with a key that they must not have,
    and `keys` are all keys of JSON objects.
    """

    rows: int = 0
    ill: int = 0
    event: int | None = None
    early: int = 0
    keys: frozenset[str] = frozenset()
    wrong: tuple[int, ...] = ()
    present: tuple[int, ...] = ()


def counts_of(
    files: InputFiles, table: str, engine: DuckDB, until: datetime
) -> Mapping[str, Counts]:
    """Return the counts of each file of a table of text (SQL)."""
    source = files.source
    assert source is not None
    columns = [
        (faulty(c, identifier(c.name), source.dialect), identifier(c.name)) for c in source.columns
    ]
    ill = f"count(*) filter (where {jsonlines.ill('__line')})" if source.format != "csv" else "0"
    early = "0"
    if source.format != "csv" and files.shape and files.shape.absent:
        names = ", ".join(map(literal, files.shape.absent))
        early = f"count(*) filter (where list_has_any(json_keys(__line), [{names}]))"
    event = "null"
    if dated := event_column(source):
        event = last_event(dated, value(dated, identifier(dated.name), source.dialect), until)
    # What is present matters of lines with keys; of a CSV file, that every column is read.
    together = _TOGETHER if source.format == "csv" and len(columns) > _MOST_SINGLY else 1
    groups = [columns[at : at + together] for at in range(0, len(columns), together)]
    wrong = [" or ".join(condition for condition, _ in group) for group in groups]
    present = [f"count(coalesce({', '.join(name for _, name in group)}))" for group in groups]
    counted = [f"count(*) filter (where {condition})" for condition in wrong]
    keys = "null" if source.format == "csv" else "list(distinct json_keys(__line))"
    selected = ", ".join(["__file", "count(*)", ill, event, early, keys, *counted, *present])
    with engine.cursor() as cursor:
        rows = cursor.execute(f"select {selected} from {table} group by __file").fetchall()
    middle = 6 + len(wrong)
    return {
        row[0]: Counts(
            row[1],
            row[2],
            row[3],
            row[4],
            frozenset(key for keys in row[5] or () for key in keys or ()),
            tuple(count for count in row[6:middle] for _ in range(together)),
            tuple(row[middle:] if together == 1 else ()),
        )
        for row in rows
    }
