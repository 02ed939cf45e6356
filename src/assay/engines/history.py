"""The query of a product that is the history of its input: each row as it was, since and until when."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from assay.engines.quoting import identifier
from assay.model import Column, History, Product

ZONED = "TIMESTAMP WITH TIME ZONE"
# Stands for the moment of the step, so that the query can be read and bound before it is known.
_ANY_MOMENT = "timestamptz '1970-01-01 00:00:00+00'"
_QUERY = """\
with __step as (
  select {moment} as moment -- in its place: when the input was there
), __both as (
  select *, false as __now from previous where {until} is null
  union all by name
  select *, (from __step) as {since}, null::timestamptz as {until}, true as __now from {input}
)
select
  * exclude ({since}, {until}, __now),
  min({since}) as {since},
  case when not bool_or(__now) then (from __step) end as {until}
from __both
group by all
union all by name
select * from previous where {until} is not null"""
_ONE_OPEN = """\
select {key}, count(*) as open_rows from this where {until} is null
group by {key} having count(*) > 1"""


def history_query(input: str, history: History) -> str:
    """Return the query of a history over the input of this alias.

    Open rows that are in the input as they were stay open, the others are closed, and all other
    rows of the input are opened.
    """
    since, until = identifier(history.since), identifier(history.until)
    return _QUERY.format(input=identifier(input), since=since, until=until, moment=_ANY_MOMENT)


def more_than_one_open(history: History) -> str:
    """Return the query of the keys that have several open rows."""
    key = ", ".join(map(identifier, history.key))
    return _ONE_OPEN.format(key=key, until=identifier(history.until))


def columns_of_history(history: History, columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns of a history, given those of its input."""
    valid = (Column(name=name, type=ZONED) for name in (history.since, history.until))
    return (*columns, *valid)


def at_moment(product: Product, moment: str) -> Product:
    """Return a history whose query opens and closes rows at a moment (ISO 8601)."""
    at = datetime.fromisoformat(moment).isoformat(sep=" ", timespec="microseconds")
    return replace(product, sql=product.sql.replace(_ANY_MOMENT, f"timestamptz '{at}'"))
