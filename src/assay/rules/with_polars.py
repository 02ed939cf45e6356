"""Judges what needs Polars: regular expressions in one pass over the file, and checks that pandera applies lazily."""

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct

from assay.engines import polars as lazy
from assay.engines.tables import StoredTable
from assay.rules.answers import WHOLE, Answer, said
from assay.rules.compile import Text
from assay.rules.schema import is_built_in

if TYPE_CHECKING:
    import polars as pl

K = TypeVar("K", bound=Hashable)
_FAILS = "fails"


class Lazy(Struct, frozen=True, kw_only=True):
    """A check of pandera's on a column ('' is the frame), which pandera itself applies to the lazy frame."""

    check: Any
    column: str


class Pass(Generic[K]):
    """One pass over a staged file for all texts, and one for each check of pandera's that answers lazily."""

    def __init__(self, table: StoredTable, asked: Mapping[K, Text | Lazy]) -> None:
        self.frame, self.height = scan(table)
        self.asked = asked
        self.failing: dict[K, pl.LazyFrame] = {}
        self.answers: dict[K, Answer] = {}

    def run(self) -> dict[K, Answer]:
        """Return the answer to each; one that cannot be judged does not keep the others from being."""
        texts = {key: ask for key, ask in self.asked.items() if isinstance(ask, Text)}
        if len(texts) < 2 or not self.height or not self._together(texts):
            for key, text in texts.items():
                self._alone(key, partial(self._missing, text))
        for key, ask in self.asked.items():
            if isinstance(ask, Lazy):
                self._alone(key, partial(apply, ask.check, self.frame, ask.column))
        return self.answers

    def _together(self, texts: Mapping[K, Text]) -> bool:
        """Answer all texts in one pass; False when one of them cannot be judged."""
        import polars as pl

        try:
            misses = [_misses(text).sum().alias(str(i)) for i, text in enumerate(texts.values())]
            found = self.frame.select(misses).collect(engine="streaming").row(0)
        except pl.exceptions.PolarsError:
            return False
        for (key, text), failing in zip(texts.items(), found, strict=True):
            self.answers[key] = Answer(how="polars", failing=failing)
            self.failing[key] = self._missing(text)
        return True

    def _missing(self, text: Text) -> "pl.LazyFrame":
        return self.frame.select(_misses(text).alias(_FAILS))

    def _alone(self, key: K, apply: "Callable[[], pl.LazyFrame | bool]") -> None:
        import polars as pl

        try:
            fails = apply()
            if isinstance(fails, bool):
                self.answers[key] = Answer(
                    how="pandera", holds=fails, message="" if fails else WHOLE
                )
                return
            if not self.height:  # of no rows, only this engine notices types that do not fit
                fails.collect(engine="in-memory")
            counts = fails.select(pl.len().alias("rows"), pl.col(_FAILS).sum()).collect(
                engine="streaming"
            )
        except (MemoryError, OSError):
            raise
        except (
            Exception,
            pl.exceptions.PanicException,
        ) as error:  # a check can raise anything; it is its result
            self.answers[key] = Answer(how="polars", error=said(error))
            return
        self.failing[key] = fails
        self.answers[key] = _answer(counts, self.height)

    def numbers(self, key: K, name: str) -> "pl.LazyFrame":
        """Return the numbers of the failing rows (from 0) of one that was asked, in a column of this name."""
        import polars as pl

        return self.failing[key].with_row_index(name).filter(pl.col(_FAILS)).select(name)

    def rows(self, key: K, columns: Sequence[str]) -> "pl.LazyFrame":
        """Return these columns of the failing rows of one that was asked."""
        return pick(self.frame, lambda name: self.numbers(key, name), columns)


def pick(
    frame: "pl.LazyFrame", numbers: "Callable[[str], pl.LazyFrame]", columns: Sequence[str]
) -> "pl.LazyFrame":
    """Return these columns of some rows; `numbers` gives which (from 0), in a column that is called as it is told."""
    number = "row"
    while number in frame.collect_schema().names():
        number = f"_{number}"
    found = frame.with_row_index(number).join(
        numbers(number), on=number, how="semi", maintain_order="left"
    )
    return found.select(columns)


def scan(table: StoredTable) -> "tuple[pl.LazyFrame, int]":
    """Return a staged table as pandera gets to see it, and how many rows it has."""
    import polars as pl

    frame = lazy.parquet(table)
    height = int(frame.select(pl.len()).collect(engine="streaming").item())
    # An empty scan is never computed, and types that do not fit would go unnoticed.
    return (frame if height else frame.collect().lazy()), height


def _misses(text: Text) -> "pl.Expr":
    import polars as pl

    column = pl.col(text.column)
    match text.kind:
        case "starts_with":
            fits = column.str.starts_with(text.value)
        case "ends_with":
            fits = column.str.ends_with(text.value)
        case "length":
            length, (low, high) = column.str.len_chars(), text.bounds
            if low is None or high is None:
                fits = length >= low if high is None else length <= high
            else:
                fits = length.is_between(low, high)
        case _:
            fits = column.str.contains(text.value)
    return fits.not_() if text.ignore_na else fits.not_().fill_null(True)


def alike(table: StoredTable, column: str) -> int:
    """Return how many values of a column of whole numbers, dates or times are not the only one of their kind.

    The column is held in memory, and sorted there; nulls are alike.
    """

    values = scan(table)[0].select(column).collect(engine="streaming").to_series()
    nulls = values.null_count()
    values = values.drop_nulls().sort()
    after = values == values.shift(1)
    if not after.any():
        return nulls if nulls > 1 else 0
    repeated = after.fill_null(False) | (values == values.shift(-1)).fill_null(False)
    return int(repeated.sum()) + (nulls if nulls > 1 else 0)


def _answer(counted: "pl.DataFrame", height: int) -> Answer:
    """Return the answer in rows, or for the column as a whole when what was answered is not about its rows."""
    rows, failing = counted.row(0)
    if not failing:
        return Answer(how="polars", failing=0 if rows == height else None)
    if rows != height:
        return Answer(how="polars", holds=False, message=WHOLE)
    return Answer(how="polars", failing=failing)


def apply(check: Any, frame: "pl.LazyFrame", column: str) -> "pl.LazyFrame | bool":
    """Return what fails a check, as pandera applies it: a lazy frame of one column of booleans, or one answer."""
    import pandera.backends.polars.builtin_checks  # noqa: F401  (registers them)
    import polars as pl
    from pandera.api.checks import Check
    from pandera.api.polars.types import PolarsData
    from pandera.backends.polars.checks import PolarsCheckBackend
    from pandera.constants import CHECK_OUTPUT_KEY

    if is_built_in(check):  # a schema made before they were registered holds a copy without them
        check = copy.copy(check)
        check._check_fn = Check.get_builtin_check_fn(check._check_fn.__name__)
    out = PolarsCheckBackend(check).apply(PolarsData(frame, column or "*"))
    if isinstance(out, bool):
        return out
    if not isinstance(out, pl.LazyFrame):
        raise TypeError(
            f"the check returned {type(out).__name__}; return a LazyFrame of booleans, or one bool"
        )
    answer = pl.col(CHECK_OUTPUT_KEY)
    passes = answer | answer.is_null() if check.ignore_na else answer.fill_null(False)
    return out.select(passes.not_().alias(_FAILS))
