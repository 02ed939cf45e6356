"""What a user types in a definition module: `product`, `sql_product`, `source` and `rule`.

A declaration keeps exactly what was written and where; nothing is checked here, so that loading a project can report
every mistake at once. While a project loads, `collecting()` gathers the declarations in the order they are made.
"""

import difflib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack

from msgspec import Struct, field
from msgspec.structs import replace

from assay.declare.loopvars import read_now
from assay.model import Consumer, Freshness, Where

_PACKAGE = str(Path(__file__).parent.parent)
_collected: ContextVar["list[Declaration] | None"] = ContextVar("assay_declarations", default=None)


class SourceDeclaration(Struct, frozen=True, kw_only=True, eq=False):
    """Files made elsewhere. Its name is the module-level name that it is bound to, unless given."""

    where: Where
    module: str
    name: str | None
    domain: str | None
    pattern: str
    columns: Mapping[str, Any]
    format: str | None
    null_values: Sequence[str]
    delimiter: str
    owner: str
    purpose: str


class FileDeclaration(SourceDeclaration, frozen=True, kw_only=True, eq=False):
    """One file made elsewhere that is no table to us: `pattern` is its path."""


class RuleDeclaration(Struct, frozen=True, kw_only=True, eq=False):
    """A rule as it was written: which one of `rule`, what it was given, and what it says of itself.

    `variables` are those that its function read when it was declared.
    """

    where: Where
    kind: str
    given: Mapping[str, Any]
    text: str = ""
    severity: str = "error"
    because: str = ""
    dimension: str = ""
    owner: str = ""
    review_by: str = ""
    warn_above: int | str = ""
    fail_above: int | str = ""
    on_failure: str = "hold"
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def function(self) -> Any:
        """The function of the user's own that judges, if there is one."""
        check = self.given.get("check")
        with suppress(Exception):  # what is given may be anything
            return getattr(check, "_check_fn", check)
        return None


class PartsDeclaration(Struct, frozen=True, kw_only=True, eq=False):
    """An input that is followed part by part, as `parts()` was called."""

    of: Any
    back: int
    all: bool


class ProductDeclaration(Struct, frozen=True, kw_only=True, eq=False):
    """A product as it was written. `make` is a function, or the SQL (or name of the `.sql` file) that makes it.

    `variables` are those that a function read when it was declared.
    """

    where: Where
    module: str
    name: str
    make: Callable[..., Any] | str
    file: str = ""
    owner: str = ""
    purpose: str = ""
    domain: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    contract: Any = None
    rules: Sequence[RuleDeclaration] = ()
    consumers: Sequence[Consumer] = ()
    tags: Sequence[str] = ()
    event_time: str = ""
    freshness: Freshness | None = None
    release_group: str = ""
    each: Any = ""
    partition_by: str = ""
    on_failed_part: str = "hold_product"
    retries: int | None = None
    timeout: str | float | None = None
    isolate: bool = False
    changes_with: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)

    def refers(self, alias: str) -> Any:
        """Return what an alias of an input refers to: a name, or a declaration."""
        told = self.inputs.get(alias, alias)
        return (told.of or alias) if isinstance(told, PartsDeclaration) else told

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function that was declared, as it was written (for unit tests of it)."""
        if isinstance(self.make, str):
            raise TypeError(f"{self.name} is made by SQL and cannot be called")
        return self.make(*args, **kwargs)


Declaration = SourceDeclaration | ProductDeclaration
D = TypeVar("D", SourceDeclaration, ProductDeclaration)


class About(TypedDict, total=False):
    """What every product can say of itself, whatever makes it. Only `owner` must be given."""

    owner: str
    purpose: str
    domain: str | None
    inputs: Mapping[str, Any]
    contract: Any
    rules: Sequence[RuleDeclaration]
    consumers: Sequence[Consumer]
    tags: Sequence[str]
    event_time: str
    freshness: Freshness | None
    release_group: str
    each: Any
    partition_by: str
    on_failed_part: Literal["hold_product", "hold_part"]
    retries: int
    timeout: str | float
    isolate: bool
    changes_with: Literal["", "hour", "day", "week", "month", "quarter", "year", "never"]


def _known(verb: str, about: Mapping[str, Any], keywords: Collection[str]) -> None:
    """Raise TypeError for a keyword that is none of these, with the one that may be meant."""
    for keyword in about.keys() - set(keywords):
        close = difflib.get_close_matches(keyword, keywords, n=1)
        raise TypeError(
            f"{verb}() has no keyword {keyword!r}"
            + (f": did you mean {close[0]!r}?" if close else "")
        )


def product(
    function: None = None, /, *, name: str | None = None, file: str = "", **about: Unpack[About]
) -> Callable[[Callable[..., Any]], ProductDeclaration]:
    """Declare that the decorated function makes a product; the keywords are those of `About`.

    Each parameter names an input of the same domain, or what `inputs` says (`{"lines": "sales.sales_lines"}`). It is
    handed over as annotated: `pl.LazyFrame` (also without annotation), `pl.DataFrame`, `duckdb.DuckDBPyRelation` or
    `pyarrow.Table`; the function returns any of these. With `file="pack.xlsx"` it makes a file instead: it writes to
    a parameter annotated `pathlib.Path`, or returns `bytes` or `str` (written as UTF-8).
    """
    where, module = _caller()
    _known("product", about, About.__annotations__)
    if function is not None:
        raise TypeError('write @product(owner="...") above the function')

    def declare(function: Callable[..., Any]) -> ProductDeclaration:
        code = getattr(function, "__code__", None)
        line = code.co_firstlineno if code and code.co_filename == where.file else where.line
        called = name or str(getattr(function, "__name__", "?"))
        return _collect(
            ProductDeclaration(
                where=Where(where.file, line),
                module=module,
                name=called,
                make=function,
                file=file,
                variables=read_now(function),
                **about,
            )
        )

    return declare


def sql_product(name: str, sql: str, **about: Unpack[About]) -> ProductDeclaration:
    """Declare a product made by one DuckDB query; the keywords are those of `About`.

    `sql` is the query, or the name of a `.sql` file beside the module. Tables in the query are its inputs: bare names
    are of the same domain, `domain.name` of others.
    """
    where, module = _caller()
    _known("sql_product", about, About.__annotations__)
    return _collect(ProductDeclaration(where=where, module=module, name=name, make=sql, **about))


def parts(of: Any = "", *, back: int = 0, all: bool = False) -> PartsDeclaration:
    """Declare how a product in parts follows an input in parts: `inputs={"sales_lines": parts(back=6)}`.

    With each of its parts it sees the same part of the input and so many before it: days for days, months for months,
    whether there is data or not. `of` names the input where it is called otherwise; with `all`, each part sees all of
    it, and is made again when any of it changes.
    """
    return PartsDeclaration(of=of, back=back, all=all)


class source:  # noqa: N801  (a namespace that reads like the noun)
    """Data made elsewhere."""

    @staticmethod
    def files(
        pattern: str,
        *,
        columns: Mapping[str, Any],
        name: str | None = None,
        domain: str | None = None,
        format: Literal["csv", "parquet", "jsonl"] | None = None,
        null_values: Sequence[str] = (),
        delimiter: str = ",",
        owner: str = "",
        purpose: str = "",
    ) -> SourceDeclaration:
        """Declare files as an input port; `pattern` is a glob relative to the project root.

        Each file is a part of its own, or, with a placeholder in the pattern (`"retail/{day:date}.csv.gz"`,
        `"sales/shop={shop}/{month:month}.parquet"`; date, month, year, int or str), all files of the same value, which
        is then a column as well, unless `columns` has it.

        `columns` maps the columns to read to their types, of SQL (`"bigint"`) or of Polars (`pl.Int64`); they are read
        by name, exactly as declared, never sniffed, and other columns are left alone. The format follows from the
        suffix (`.csv`, `.csv.gz`, `.parquet`, `.jsonl`, `.ndjson`, `.jsonl.gz`) unless given. In CSV an empty field is
        null, and so are `null_values`.
        """
        where, module = _caller()
        return _collect(
            SourceDeclaration(
                where=where,
                module=module,
                name=name,
                domain=domain,
                pattern=pattern,
                columns=columns,
                format=format,
                null_values=null_values,
                delimiter=delimiter,
                owner=owner,
                purpose=purpose,
            )
        )

    @staticmethod
    def file(
        path: str,
        *,
        name: str | None = None,
        domain: str | None = None,
        owner: str = "",
        purpose: str = "",
    ) -> SourceDeclaration:
        """Declare one file of any kind, relative to the project root: a workbook, a model, a table of rates as YAML.

        A function that names it as an input takes it as a `pathlib.Path`, and is built again when its content changes.
        """
        where, module = _caller()
        return _collect(
            FileDeclaration(
                where=where,
                module=module,
                name=name,
                domain=domain,
                pattern=path,
                columns={},
                format=None,
                null_values=(),
                delimiter=",",
                owner=owner,
                purpose=purpose,
            )
        )


class AboutRule(TypedDict, total=False):
    """What every rule can say of itself.

    A failing rule blocks unless `severity` is "warning". `because` says why anyone cares, `dimension` what is at stake.
    `warn_above` and `fail_above` bound how many rows may fail, in rows (10) or as a share of the product's rows
    ("0.5 %"); `on_failure="quarantine"` moves the failing rows aside instead. `review_by` is a date ("2027-01-31").
    """

    severity: Literal["error", "warning"]
    because: str
    dimension: str
    owner: str
    review_by: str
    warn_above: int | str
    fail_above: int | str
    on_failure: Literal["hold", "quarantine"]


class rule:  # noqa: N801  (a namespace that reads like the noun)
    """Statements in business words that data can pass or fail; the other keywords of all are those of `AboutRule`.

    `text` are its words; those that do not ask for any first have words of their own.
    """

    @staticmethod
    def check(
        text: str, check: Any, *, column: str = "", **about: Unpack[AboutRule]
    ) -> RuleDeclaration:
        """Declare what every row must meet: an SQL condition, or a check of pandera on a `column` (or on the frame).

        `rule.check("no price is negative", "price >= 0")`; a condition that is neither true nor false is no failure, as
        in SQL's own CHECK. It may read other products in a subquery.
        """
        return _rule("check", about, text=text, check=check, column=column)

    @staticmethod
    def sql(text: str, sql: str, **about: Unpack[AboutRule]) -> RuleDeclaration:
        """Declare a rule by a query that returns the violating rows.

        `this` is the version being judged, `previous` what is published now (the rule is skipped when nothing is),
        and other tables are products, by name.
        """
        return _rule("sql", about, text=text, sql=sql)

    @staticmethod
    def rows(
        *,
        at_least: int | None = None,
        at_most: int | None = None,
        text: str = "",
        **about: Unpack[AboutRule],
    ) -> RuleDeclaration:
        """Declare how many rows there are."""
        return _rule("rows", about, text=text, at_least=at_least, at_most=at_most)

    @staticmethod
    def references(
        column: str, other: str, *, text: str = "", **about: Unpack[AboutRule]
    ) -> RuleDeclaration:
        """Declare that every value of a column is one of another product's: `("orders.customer", "customers.id")`.

        A missing value refers to nothing, and is no failure.
        """
        return _rule("references", about, text=text, column=column, other=other)

    @staticmethod
    def reconciles(
        measure: str,
        other: str,
        other_measure: str,
        *,
        within: float | str = 0,
        by: Sequence[str] | Mapping[str, str] = (),
        text: str = "",
        **about: Unpack[AboutRule],
    ) -> RuleDeclaration:
        """Declare that a total is that of another product, `within` an amount ("0.01") or a share of it ("0.1 %").

        A measure is a column, which is summed, or an SQL aggregate. `by` are columns to compare group by group (a
        mapping where the other calls them otherwise); a group that one side lacks counts as zero there.
        """
        return _rule(
            "reconciles",
            about,
            text=text,
            measure=measure,
            other=other,
            other_measure=other_measure,
            within=within,
            by=by,
        )

    @staticmethod
    def changes(
        measure: str,
        *,
        within: float | str,
        by: Sequence[str] = (),
        against: str = "previous",
        text: str = "",
        **about: Unpack[AboutRule],
    ) -> RuleDeclaration:
        """Declare by how much a total may move: `("net", within="±40 %", by=["shop"])`.

        `against="previous"` compares with what is published now, group by group. `"same weekday, last 4"` compares each
        day that readers have not seen yet with the mean of that weekday's last four; days are those of `event_time`.
        Skipped when nothing is published.
        """
        return _rule(
            "changes", about, text=text, measure=measure, within=within, by=by, against=against
        )

    @staticmethod
    def fresh_event_time(
        *,
        within: str,
        column: str = "",
        tz: str = "UTC",
        text: str = "",
        **about: Unpack[AboutRule],
    ) -> RuleDeclaration:
        """Declare how old the latest event may be when the version is judged: `within="36 hours"`.

        The column is the product's `event_time` unless given; times without a zone are those of `tz`.
        """
        return _rule("fresh_event_time", about, text=text, within=within, column=column, tz=tz)

    @staticmethod
    def closed(
        column: str,
        *,
        before: str,
        grace: str = "",
        new_rows: str = "",
        tz: str = "UTC",
        text: str = "",
        **about: Unpack[AboutRule],
    ) -> RuleDeclaration:
        """Declare that what readers saw as settled stays as it is.

        Rows are settled when `column` is before the "start of month" (or day, week, quarter, year), "7 days ago" or a
        date; with a `grace` ("5 days", "3 working days") that much later. New rows of a period that readers never saw
        settled are no change; `new_rows="hold"` holds them back too. A change that is meant is released with
        `materialize --restate NAME --because "..."`.
        """
        return _rule(
            "closed",
            about,
            text=text,
            column=column,
            before=before,
            grace=grace,
            new_rows=new_rows,
            tz=tz,
        )


def _rule(kind: str, about: Mapping[str, Any], /, *, text: str, **given: Any) -> RuleDeclaration:
    _known(f"rule.{kind}", about, AboutRule.__annotations__)
    declared = RuleDeclaration(where=_caller()[0], kind=kind, given=given, text=text, **about)
    return replace(declared, variables=read_now(declared.function)) if kind == "check" else declared


@contextmanager
def collecting() -> Iterator[list[Declaration]]:
    """Gather every declaration made inside the block, in order."""
    gathered: list[Declaration] = []
    token = _collected.set(gathered)
    try:
        yield gathered
    finally:
        _collected.reset(token)


def _collect(declaration: D) -> D:
    gathered = _collected.get()
    if gathered is not None:
        gathered.append(declaration)
    return declaration


def _caller() -> tuple[Where, str]:
    """Return the file, line and module of the user's own code that called into this package."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return Where(frame.f_code.co_filename, frame.f_lineno), frame.f_globals.get("__name__", "")
