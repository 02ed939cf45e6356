"""Notes whether values of tables without rows are taken into Python, which may decide what comes next."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from msgspec import Struct

_FRAME = (
    *("is_empty", "item", "iter_rows", "pivot", "row", "rows", "rows_by_key", "to_dict"),
    *("to_dicts", "to_dummies", "to_numpy", "to_pandas", "transpose", "unstack", "__len__"),
)
_SERIES = (
    *("is_empty", "item", "to_list", "to_numpy", "to_pandas", "__iter__", "__len__"),
    *("all", "any", "first", "last", "max", "mean", "min", "n_unique", "sum"),
)
_HEIGHTS = ("height", "shape")
_RELATION = (
    *("arrow", "df", "fetch_arrow_reader", "fetch_arrow_table", "fetch_record_batch", "fetchall"),
    *("fetchdf", "fetchmany", "fetchnumpy", "fetchone", "first", "iter_rows", "map", "pivot", "pl"),
    *("query", "tf", "to_arrow_reader", "to_arrow_table", "to_df", "to_dicts", "torch"),
)
_PIVOT = "pivot"  # in a query: its columns follow from values


class Values(Struct):
    """Whether values, or how many there are, were asked for: with rows, code may do other things."""

    taken: bool = False


@contextmanager
def noting_values() -> Iterator[Values]:
    """Note which values are taken out of frames and relations in this process, while the block runs.

    What engines themselves take while they compute may count too: then less is said of the code.
    """
    import duckdb
    import polars as pl

    noted = Values()
    replaced: list[tuple[Any, str, Any]] = []
    try:
        for kind, names in ((pl.DataFrame, _FRAME), (pl.Series, _SERIES)):
            for name in names:
                replaced.append((kind, name, kind.__dict__[name]))
                setattr(kind, name, _noting(kind.__dict__[name], noted))
        for name in (each for each in _RELATION if hasattr(duckdb.DuckDBPyRelation, each)):
            relation = duckdb.DuckDBPyRelation
            replaced.append((relation, name, getattr(relation, name)))
            setattr(relation, name, _noting(getattr(relation, name), noted))
        for name in _HEIGHTS:
            replaced.append((pl.DataFrame, name, pl.DataFrame.__dict__[name]))
            setattr(pl.DataFrame, name, property(_noting(pl.DataFrame.__dict__[name].fget, noted)))
        yield noted
    finally:
        for kind, name, original in replaced:
            setattr(kind, name, original)


def _noting(function: Callable[..., Any], noted: Values) -> Callable[..., Any]:
    @wraps(function)
    def note(*arguments: Any, **named: Any) -> Any:
        is_query = function.__name__ == "query"
        noted.taken |= not is_query or _PIVOT in str(arguments[1:]).lower()
        return function(*arguments, **named)

    return note
