"""What builds took: the seconds of the last ones with checking, and the memory of the newest."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, convert

from assay.catalog.database import Reader, rows_in
from assay.catalog.rows import decoded
from assay.facts import BuildCost

_AT_ONCE = 500  # products in one query; of more, the last builds of all products are read
_MOST = 200_000  # builds that are read in all
_SECOND = 19  # characters of a time down to the second
_COLUMNS = "v.product, v.seconds, v.built_at, v.seq, c.judged_at"
_CHECKED = "left join verdicts c on c.version = v.id and c.run = v.run"


class _Build(Struct, array_like=True, gc=False):
    """A row of _COLUMNS."""

    product: str
    seconds: float
    built_at: str
    seq: int
    judged_at: str | None


def durations(
    catalog: str, reader: Reader, products: Collection[str], limit: int
) -> Mapping[str, Sequence[float]]:
    """Return the seconds that the last builds of products took, newest last.

    At most `limit` of each product; products that were never built are missing. `catalog` is the
    name for messages. What another run checked counts without the time of checking.
    """
    seconds: dict[str, dict[int, float]] = {}
    with decoded(catalog):
        for row in _rows(reader, products, limit):
            build = convert(row, _Build)
            of_product = seconds.setdefault(build.product, {})
            took = build.seconds + _checking(build)
            of_product[build.seq] = max(took, of_product.get(build.seq, 0.0))
    return {name: list(took.values())[-limit:] for name, took in seconds.items()}


def costs(catalog: str, reader: Reader, products: Collection[str]) -> dict[str, BuildCost]:
    """Return what the newest version of each of these products took to build."""
    query = "select product, seq from versions where product in"
    newest: dict[str, int] = {}
    with decoded(catalog):
        for product, seq in rows_in(reader, query, sorted(products)):
            newest[product] = max(seq, newest.get(product, seq))
        query = "select product, seconds, peak from versions where seq in"
        rows = rows_in(reader, query, sorted(newest.values()))
        return {product: BuildCost(seconds=seconds, peak=peak) for product, seconds, peak in rows}


def _rows(reader: Reader, products: Collection[str], limit: int) -> Iterator[Sequence[Any]]:
    """Yield the last builds of products, in the order of recording."""
    if not products:
        return
    if len(products) <= _AT_ONCE:
        marks = ",".join("?" * len(products))
        numbered = (
            "select id, product, seconds, built_at, seq, run, row_number() over"
            f" (partition by product order by seq desc) as place from versions"
            f" where product in ({marks})"
        )
        query = f"select {_COLUMNS} from ({numbered}) v {_CHECKED} where place <= ? order by v.seq"
        yield from reader.rows(query, [*products, limit])
        return
    wanted = set(products)
    count = min(_MOST, limit * len(wanted))
    last = "select id, product, seconds, built_at, seq, run from versions order by seq desc limit ?"
    query = f"select {_COLUMNS} from ({last}) v {_CHECKED} order by v.seq"
    yield from (row for row in reader.rows(query, [count]) if row[0] in wanted)


def _checking(build: _Build) -> float:
    """Return how long checking took after the build, to the second; 0 if it was not checked."""
    judged_at = build.judged_at
    if judged_at is None or judged_at[:_SECOND] == build.built_at[:_SECOND]:
        return 0.0
    taken = datetime.fromisoformat(judged_at) - datetime.fromisoformat(build.built_at)
    return max(taken.total_seconds(), 0.0)
