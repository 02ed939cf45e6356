"""Checks what needs Polars: regular expressions in one pass, and lazy checks of pandera."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from assay.engines.polars import parquet
from assay.engines.tables import StoredTable
from assay.rules.answers import WHOLE, Answer, error_line
from assay.rules.compile import ByPandera, Text
from assay.rules.samples import SAMPLES, CompiledRule
from assay.rules.schema import Schema, is_built_in

if TYPE_CHECKING:
    import polars as pl

_FAILS = "fails"  # the column of booleans that is true of failing rows


class LazyCheck(Struct, frozen=True, kw_only=True):
    """A check that pandera applies to a lazy frame; `column` is '' for the whole frame."""

    check: Any
    column: str


Request = Text | LazyCheck


def answer_rules(
    rules: Sequence[CompiledRule], table: StoredTable, schema: Callable[[], Schema]
) -> dict[str, Answer]:
    """Return the answers to the rules that Polars judges, with samples, by the rule's text."""
    requests = {
        rule.text: request for rule in rules if (request := request_of(rule, schema)) is not None
    }
    if not requests:
        return {}
    scan = FileScan(table, requests)
    answers = scan.run()
    for rule in rules:
        if rule.text in answers and answers[rule.text].failing:
            rows = scan.rows(rule.text, rule.columns).head(SAMPLES).collect(engine="streaming")
            answers[rule.text] = replace(answers[rule.text], samples=rows.to_dicts())
    return answers


def request_of(rule: CompiledRule, schema: Callable[[], Schema]) -> Request | None:
    """Return what Polars is to compute for a rule; None when Polars does not judge it."""
    if isinstance(rule.way, Text):
        return rule.way
    if not isinstance(rule.way, ByPandera) or rule.demand.pattern:
        return None
    check = schema().checks.get(rule.demand.place)
    return LazyCheck(check=check, column=rule.demand.column) if check else None


class FileScan:
    """The scan of a staged file: one pass for all texts, and one for each lazy check."""

    def __init__(self, table: StoredTable, requests: Mapping[str, Request]) -> None:
        self.frame, self.height = scan(table)
        self.requests = requests
        self.failing: dict[str, pl.LazyFrame] = {}
        self.answers: dict[str, Answer] = {}

    def run(self) -> dict[str, Answer]:
        """Return the answer to each request; an error in one does not stop the others."""
        texts = {key: text for key, text in self.requests.items() if isinstance(text, Text)}
        if len(texts) < 2 or not self.height or not self._answer_together(texts):
            for key, text in texts.items():
                self._answer_alone(key, partial(self._misses, text))
        for key, request in self.requests.items():
            if isinstance(request, LazyCheck):
                self._answer_alone(key, partial(apply, request.check, self.frame, request.column))
        return self.answers

    def _answer_together(self, texts: Mapping[str, Text]) -> bool:
        """Answer all texts in one pass; False when one of them cannot be computed."""
        import polars as pl

        try:
            misses = [_fails(text).sum().alias(str(i)) for i, text in enumerate(texts.values())]
            counts = self.frame.select(misses).collect(engine="streaming").row(0)
        except pl.exceptions.PolarsError:
            return False
        for (key, text), failing in zip(texts.items(), counts, strict=True):
            self.answers[key] = Answer(how="polars", failing=failing)
            self.failing[key] = self._misses(text)
        return True

    def _misses(self, text: Text) -> "pl.LazyFrame":
        return self.frame.select(_fails(text).alias(_FAILS))

    def _answer_alone(self, key: str, apply: "Callable[[], pl.LazyFrame | bool]") -> None:
        import polars as pl

        try:
            fails = apply()
            if isinstance(fails, bool):
                self.answers[key] = Answer(
                    how="pandera", holds=fails, message="" if fails else WHOLE
                )
                return
            if not self.height:  # without rows, only this engine notices types that do not match
                fails.collect(engine="in-memory")
            counts = fails.select(pl.len().alias("rows"), pl.col(_FAILS).sum()).collect(
                engine="streaming"
            )
        except (MemoryError, OSError):
            raise
        # A check can raise anything: the exception is the result of its rule.
        except (Exception, pl.exceptions.PanicException) as error:
            self.answers[key] = Answer(how="polars", error=error_line(error))
            return
        self.failing[key] = fails
        self.answers[key] = _answer(counts, self.height)

    def numbers(self, key: str, name: str) -> "pl.LazyFrame":
        """Return the numbers (from 0) of the rows that fail a request, in a column of this name."""
        import polars as pl

        return self.failing[key].with_row_index(name).filter(pl.col(_FAILS)).select(name)

    def rows(self, key: str, columns: Sequence[str]) -> "pl.LazyFrame":
        """Return these columns of the rows that fail a request."""
        return pick(self.frame, lambda name: self.numbers(key, name), columns)


def pick(
    frame: "pl.LazyFrame", numbers: "Callable[[str], pl.LazyFrame]", columns: Sequence[str]
) -> "pl.LazyFrame":
    """Return these columns of some rows.

    `numbers` returns the numbers of the rows, in a column of a given name.
    """
    number = "row"
    while number in frame.collect_schema().names():
        number = f"_{number}"
    rows = frame.with_row_index(number).join(
        numbers(number), on=number, how="semi", maintain_order="left"
    )
    return rows.select(columns)


def scan(table: StoredTable) -> "tuple[pl.LazyFrame, int]":
    """Return a staged table as a frame for pandera, and its number of rows."""
    import polars as pl

    frame = parquet(table)
    height = int(frame.select(pl.len()).collect(engine="streaming").item())
    # Polars never computes an empty scan, and would not notice types that do not match.
    return (frame if height else frame.collect().lazy()), height


def _fails(text: Text) -> "pl.Expr":
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


def count_repeated_values(table: StoredTable, column: str) -> int:
    """Return how many values of a column of whole numbers, dates or times are repeated.

    The column is sorted in memory; nulls are equal to each other.
    """
    values = scan(table)[0].select(column).collect(engine="streaming").to_series()
    nulls = values.null_count()
    values = values.drop_nulls().sort()
    repeated_nulls = nulls if nulls > 1 else 0
    equals_previous = values == values.shift(1)
    if not equals_previous.any():
        return repeated_nulls
    equals_next = values == values.shift(-1)
    repeated = equals_previous.fill_null(False) | equals_next.fill_null(False)
    return int(repeated.sum()) + repeated_nulls


def _answer(counts: "pl.DataFrame", height: int) -> Answer:
    """Return the answer of a check: about rows, or else about the whole column.

    A check is about rows if it gave one value for each row.
    """
    rows, failing = counts.row(0)
    if not failing:
        return Answer(how="polars", failing=0 if rows == height else None)
    if rows != height:
        return Answer(how="polars", holds=False, message=WHOLE)
    return Answer(how="polars", failing=failing)


def apply(check: Any, frame: "pl.LazyFrame", column: str) -> "pl.LazyFrame | bool":
    """Return which rows fail a check, as pandera applies it: a column of booleans, or one bool."""
    import pandera.backends.polars.builtin_checks  # noqa: F401  (registers them)
    import polars as pl
    from pandera.api.checks import Check
    from pandera.api.polars.types import PolarsData
    from pandera.backends.polars.checks import PolarsCheckBackend
    from pandera.constants import CHECK_OUTPUT_KEY

    if is_built_in(check):  # a schema read before they were registered has a copy without them
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
