"""LazyFrames without rows in place of the inputs of a function, which can be found in its plan again."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from assay.engines.types import of_column
from assay.model import Column
from assay.plan.flows import ROWS

if TYPE_CHECKING:
    import polars as pl


class EmptyFrames:
    """LazyFrames without rows in place of inputs, by the inputs' full names.

    `read` says that one of them was collected: what is computed from that shows no inputs.
    """

    def __init__(self) -> None:
        self.read = False
        self._names: dict[int, str] = {}  # by the id of the function that gives the rows
        self._columns: dict[str, set[str]] = {}
        self._kept: list[Any] = []
        self._asked: dict[str, set[str]] | None = None  # while it is noted

    def frame(self, name: str, columns: Sequence[Column]) -> "pl.LazyFrame":
        """Return a LazyFrame in place of the input of this name."""
        import polars as pl
        from polars.io.plugins import register_io_source

        schema = pl.Schema({column.name: of_column(column) for column in columns})

        def rows(
            with_columns: list[str] | None,
            predicate: "pl.Expr | None",
            n_rows: int | None,
            batch_size: int | None,
        ) -> Iterator["pl.DataFrame"]:
            self._note(name, with_columns or list(schema), predicate)
            empty = pl.DataFrame(schema=schema)
            yield empty.select(with_columns) if with_columns else empty

        frame = register_io_source(rows, schema=schema, is_pure=True)
        scan = node_of(frame._ldf.visit())
        self._names[id(scan.options[0])] = name
        self._columns[name] = set(schema)
        self._kept += [scan.options[0], frame]
        return frame

    def _note(self, name: str, columns: Iterable[str], predicate: "pl.Expr | None") -> None:
        self.read = True
        if self._asked is not None:
            names = predicate.meta.root_names() if predicate is not None else ()
            self._asked.setdefault(name, set()).update(columns, names)

    def name_of(self, scan: Any) -> str | None:
        """Return which input a node of a plan scans; None for another."""
        return self._names.get(id(scan.options[0]))

    def asked_for(self, frame: "pl.LazyFrame", column: str) -> set[tuple[str, str]] | None:
        """Return the columns of inputs that Polars asks for when it computes this column alone.

        An input that it asked for nothing may have been left out for being empty: it counts with
        all its columns. None if the column cannot be computed without rows, and where inputs are
        joined: one side may be left out because the other one is empty.
        """
        import polars as pl

        asked: dict[str, set[str]] = {}
        self._asked = asked
        try:
            if "JOIN" in frame.explain(optimized=False):
                return None
            frame.select(column).collect()
        except pl.exceptions.PolarsError:
            return None
        finally:
            self._asked = None
        needed = {**self._columns, **asked}
        return {(name, each) for name, names in needed.items() for each in [*names, ROWS]}


def node_of(visitor: Any) -> Any:
    """Return the node of a plan that a visitor is at."""
    visitor.set_node(visitor.get_node())
    return visitor.view_current_node()
