"""What a user types in a definition module: `product`, `sql_product`, `source`, `rule`, `calendar`.

A declaration holds the arguments as they were written, and where. Their values are not checked
here, so that loading a project can report every mistake at once. While a project loads,
`collecting()` gathers its declarations in order.
"""

import difflib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import date
from pathlib import Path
from typing import Any, Generic, Literal, ParamSpec, TypedDict, TypeVar, Unpack, cast

from msgspec import Struct, field
from msgspec.structs import replace

from assay.declare.loopvars import read_now
from assay.engines.history import history_query, more_than_one_open
from assay.model import Consumer, Freshness, History, Where

# As assay.config.PACKAGE, whose module a user's `from assay import product` need not load.
_PACKAGE = str(Path(__file__).parent.parent)
P = ParamSpec("P")
R = TypeVar("R")
_collected: ContextVar["list[Collected] | None"] = ContextVar("assay_declarations", default=None)


class CalendarDeclaration(Struct, frozen=True, kw_only=True, eq=False):
    """A calendar. A `name` of None stands for the module-level name that it is bound to."""

    where: Where
    module: str
    name: str | None
    holidays: str
    weekmask: str
    closed: Any
    open: Any

    def working_day(self, n: int) -> "CalendarDay":
        """Return working day `n` of each month, counted from 1, for `Freshness(on=...)`."""
        return CalendarDay(calendar=self, n=n)

    def last_working_day(self) -> "CalendarDay":
        """Return the last working day of each month, for `Freshness(on=...)`."""
        return CalendarDay(calendar=self, n=None)


class CalendarDay(Struct, frozen=True, kw_only=True, eq=False):
    """A working day of each month of a calendar, counted from 1; None is the last."""

    calendar: CalendarDeclaration
    n: int | None


class DialectDeclaration(Struct, frozen=True, kw_only=True, eq=False):
    """How the text of a source's files is written, as the arguments of `source.files` say it."""

    separator: str = ","
    quote_char: str | None = '"'
    escape: str | None = None
    header: bool = True
    names: Sequence[str] = ()
    skip_rows: int = 0
    comment_prefix: str | None = None
    null_values: Sequence[str] = ()
    allow_quoted_nulls: bool = True
    decimal_separator: str = "."
    thousands: str | None = None
    date_format: str = ""
    timestamp_format: str = ""
    encoding: str = "utf-8"
    member: str = ""


class LayoutDeclaration(Struct, frozen=True, kw_only=True, eq=False):
    """How some files of a source differ from the others; of `dialect`, only what is `given` counts."""

    pattern: str
    since: str | date
    until: str | date
    missing: Sequence[str]
    renamed: Mapping[str, str]
    dialect: DialectDeclaration
    given: frozenset[str]


class SourceDeclaration(Struct, frozen=True, kw_only=True, eq=False):
    """A source. A `name` of None stands for the module-level name that the source is bound to."""

    where: Where
    module: str
    name: str | None
    domain: str | None
    pattern: str
    columns: Mapping[str, Any] | str
    format: str | None
    owner: str
    purpose: str
    freshness: Freshness | None = None
    event_time: str = ""
    poll: str | float | None = None
    access: str = "public"
    dialect: DialectDeclaration | None = None
    layouts: Sequence[LayoutDeclaration] = ()
    contract: Any = None
    rules: Sequence["RuleDeclaration"] = ()
    keep: bool = False

    @property
    def is_landed(self) -> bool:
        """Whether its rows are stored and judged before products read them."""
        return self.keep or self.contract is not None or bool(self.rules)


class FileDeclaration(SourceDeclaration, frozen=True, kw_only=True, eq=False):
    """A source that is one file instead of a table; `pattern` is its path."""


class RuleDeclaration(Struct, frozen=True, kw_only=True, eq=False):
    """A rule. `kind` is the function of `rule` that was called, `given` the arguments of its kind.

    `variables` are the values, when the rule was declared, of the variables that its function
    reads.
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
        """The function that checks the data; None for a rule in SQL."""
        check = self.given.get("check")
        with suppress(Exception):  # the argument may be any object, which may raise anything
            return getattr(check, "_check_fn", check)
        return None


class PartsDeclaration(Struct, frozen=True, kw_only=True, eq=False):
    """The arguments of `parts()`: how an input is followed part by part."""

    of: Any
    back: int
    all: bool


class ProductDeclaration(Struct, frozen=True, kw_only=True, eq=False):
    """A product. `make` is the function, the SQL, or the name of the `.sql` file that builds it.

    `variables` are the values, when the product was declared, of the variables that the function
    reads. `lands` is the source, as a user declared it, whose rows the product stores.
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
    access: str = "public"
    dialect: str = ""
    version: str = ""
    deprecated: Mapping[str, str | date] = field(default_factory=dict)
    approval: Sequence[str] = ()
    approvals: int = 1
    budget: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    lands: SourceDeclaration | None = None

    def refers(self, alias: str) -> Any:
        """Return what a parameter or a table refers to: a name, or a declaration."""
        reference = self.inputs.get(alias, alias)
        if isinstance(reference, PartsDeclaration):
            return reference.of or alias
        return reference

    def __repr__(self) -> str:
        return f"<product {self.name}, declared at {self.where}>"


class HistoryDeclaration(ProductDeclaration, frozen=True, kw_only=True, eq=False):
    """What `history_of()` was given. A `name` of None is that which the declaration is bound to.

    `history` is None, and `make` empty, if `key` or `valid` is of a wrong type.
    """

    name: str | None  # type: ignore[assignment]
    of: Any
    key: Any
    valid: Any
    history: History | None


class DeclaredFunction(
    ProductDeclaration, Generic[P, R], frozen=True, kw_only=True, eq=False, dict=True
):
    """A product that a function builds. It can be called like that function, for unit tests."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what the function returns for these inputs."""
        return cast("R", self.make(*args, **kwargs))  # type: ignore[operator]


Declaration = SourceDeclaration | ProductDeclaration


class WaiverDeclaration(Struct, frozen=True, kw_only=True, eq=False):
    """What `waiver()` was given."""

    where: Where
    module: str
    product: Any
    rule: Any
    until: Any
    because: Any
    approved_by: Any
    rows: Any
    measured: Any
    parts: Any
    environment: Any


class ApprovalDeclaration(Struct, frozen=True, kw_only=True, eq=False):
    """What `approval()` was given."""

    where: Where
    module: str
    product: Any
    version: Any
    by: Any
    because: Any
    environment: Any


Collected = Declaration | CalendarDeclaration | WaiverDeclaration | ApprovalDeclaration
D = TypeVar(
    "D",
    SourceDeclaration,
    ProductDeclaration,
    CalendarDeclaration,
    WaiverDeclaration,
    ApprovalDeclaration,
)


class ProductKeywords(TypedDict, total=False):
    """The keywords of every product, as `help(assay.product)` explains. `owner` is required."""

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
    access: Literal["private", "protected", "public"]
    version: str
    deprecated: Mapping[str, str | date]
    approval: Sequence[str]
    approvals: int
    budget: str


def _check_keywords(function: str, given: Mapping[str, Any], keywords: Collection[str]) -> None:
    """Raise TypeError for a keyword that a function does not have, with the closest that it has."""
    for keyword in given.keys() - set(keywords):
        close = difflib.get_close_matches(keyword, keywords, n=1)
        hint = f": did you mean {close[0]!r}?" if close else ""
        raise TypeError(f"{function}() has no keyword {keyword!r}{hint}")


def product(
    function: None = None,
    /,
    *,
    name: str | None = None,
    file: str = "",
    **about: Unpack[ProductKeywords],
) -> Callable[[Callable[P, R]], DeclaredFunction[P, R]]:
    """Declare a product that the decorated function builds.

        @product(owner="finance@shop.example", event_time="day")
        def daily_revenue(sales_lines: pl.LazyFrame) -> pl.LazyFrame: ...

    Each parameter is an input: the product or source of that name. Its annotation decides what it
    is given: `pl.LazyFrame` (the default), `pl.DataFrame`, `duckdb.DuckDBPyRelation` or
    `pyarrow.Table`; `pathlib.Path` for an input that is a file; with `changes_with`, `date` or
    `datetime` for the moment (UTC) of the build. A parameter with a default that matches no input
    keeps its default. The function returns any of those tables.

    name (str): the name of the product; by default that of the function.
    file (str): a file name such as "pack.xlsx". The product is then this file instead of a table:
        the function writes it to a parameter annotated `pathlib.Path`, or returns its content as
        `bytes` or `str` (stored as UTF-8).

    The keywords of every product, also with `sql_product`:

    owner (str): who answers for the product; required.
    purpose (str): what the product is for. Default "".
    domain (str): the first part of the full name. Default: the module, or its folder.
    inputs (mapping of str): what a parameter, or a table of the SQL, refers to, if not to the input
        of its own name: a name (`{"lines": "sales.sales_lines"}`), a declaration, or `parts(...)`.
    contract (pandera.polars model or schema): columns, types and checks. Default None.
    rules (list): `rule.check(...)` and the other functions of `rule`. Default ().
    consumers (list of Consumer): who decides something from the product. Default ().
    tags (list of str): labels to select products by. Default ().
    event_time (str): the column that says how far the data reaches. Default "".
    freshness (Freshness): by when the data has to reach how far; see `help(assay.Freshness)`.
        Default None: the tightest of the products that read it.
    release_group (str): products with the same text are published all or none. Default "".
    each (str or declaration): the input whose parts are those of this product. Default "".
    partition_by (str): the column of the parts: "day", or "month(invoiced_at)". Default "".
    on_failed_part ("hold_product" or "hold_part"): what is held back when a part fails a rule.
        Default "hold_product".
    retries (int, 0 to 100): how often a failed build is tried again. Default: as in pyproject.toml.
    timeout (str or seconds): the longest that one try may take, such as "10m"; 0 for no limit.
        Default: as in pyproject.toml.
    isolate (bool): whether the function runs in a process of its own. Default False.
    changes_with ("hour", "day", "week", "month", "quarter", "year" or "never"): when a product that
        reads the clock is built again, in UTC. Default "": it may not read the clock.
    access ("private", "protected" or "public"): who may read the product: products of its own
        domain, products of this project, or everyone, also `assay.read`. Default "public".
    version (str): the semantic version of the contract, such as "1.4.0": a change that breaks it
        needs a new major version (`products check --against`). Default "".
    deprecated (mapping of str): until which day a column is kept, such as
        `{"amount": "2026-03-01"}`; removing it from then on breaks nothing. Default none.
    approval (list of str): who may approve a version before it is published, such as
        `["cfo@shop.example"]`; nobody approves what they built. Default (): nobody has to.
    approvals (int): how many of them have to. Default 1.
    budget (str): how often a promise may be missed, or the product be held back, such as "1 miss a
        month", "3 late a week" or "2 held back a quarter"; "" for none. Default: as in
        pyproject.toml.
    """
    where, module = _caller()
    _check_keywords("product", about, ProductKeywords.__annotations__)
    if function is not None:
        raise TypeError('write @product(owner="...") above the function')

    def declare(function: Callable[P, R]) -> DeclaredFunction[P, R]:
        code = getattr(function, "__code__", None)
        line = code.co_firstlineno if code and code.co_filename == where.file else where.line
        declared: DeclaredFunction[P, R] = DeclaredFunction(
            where=Where(where.file, line),
            module=module,
            name=name or str(getattr(function, "__name__", "?")),
            make=function,
            file=file,
            variables=read_now(function),
            **about,
        )
        _collect(declared)
        declared.__dict__.update(  # for `help(orders)` and `inspect.signature(orders)`
            __doc__=function.__doc__, __name__=declared.name, __wrapped__=function
        )
        return declared

    return declare


def sql_product(
    name: str, sql: str, *, dialect: str = "", **about: Unpack[ProductKeywords]
) -> ProductDeclaration:
    """Declare a product that one DuckDB query builds, in the time zone UTC.

        query = "select day, sum(net) as net from sales_lines group by day"
        sql_product("daily", query, owner="bi@shop.example")

    name (str): the name of the product.
    sql (str): the query, or the name of a `.sql` file in the folder of the module. Its tables are
        the inputs: `name` is an input of the same domain, `domain.name` one of another. A query
        that writes, or reads files, is refused.
    dialect (str): the dialect that the query is written in, such as "snowflake", "bigquery" or
        "postgres". It is translated to DuckDB's when it is declared (`pip install 'assay[sql]'`),
        or refused. Default "": DuckDB's own.

    `help(assay.product)` explains the other keywords; `owner` is required.
    """
    where, module = _caller()
    _check_keywords("sql_product", about, {*ProductKeywords.__annotations__, "dialect"})
    return _collect(
        ProductDeclaration(
            where=where, module=module, name=name, make=sql, dialect=dialect, **about
        )
    )


def history_of(
    input: Any,
    /,
    *,
    key: str | Sequence[str],
    valid: tuple[str, str],
    name: str | None = None,
    **about: Unpack[ProductKeywords],
) -> ProductDeclaration:
    """Declare the history of a table: each row as it was, since when and until when.

        customer_history = history_of(
            "customers", key="customer_id", valid=("valid_from", "valid_to"),
            owner="crm@shop.example",
        )

    A row that is new or differs is opened, one that differs or is gone is closed, at the moment
    when the input was there.

    input (str or declaration): the product or source whose rows are kept.
    key (str or list of str): the columns that identify a row of the input.
    valid (pair of str): the columns with the moments (UTC) since when and until when a row was like
        that; the second is null for a row that still is.
    name (str): the name of the product; by default the module-level name that it is bound to.

    `help(assay.product)` explains the other keywords; `owner` is required.
    """
    where, module = _caller()
    _check_keywords("history_of", about, {*ProductKeywords.__annotations__} - {"inputs", "each"})
    history, alias = _history(key, valid), _alias_of(input)
    about["inputs"] = {alias: input}
    if history and isinstance(about.get("rules", ()), list | tuple):
        about["rules"] = [*about.get("rules", ()), _one_open_row(history)]
    return _collect(
        HistoryDeclaration(
            where=where,
            module=module,
            name=name,
            make=history_query(alias, history) if history else "",
            of=input,
            key=key,
            valid=valid,
            history=history,
            **about,
        )
    )


def _history(key: Any, valid: Any) -> History | None:
    """Return how rows are kept; None for arguments of wrong types, which are reported later."""
    keys = [key] if isinstance(key, str) else key
    if not all(isinstance(each, list | tuple) for each in (keys, valid)) or len(valid) != 2:
        return None
    if not keys or not all(isinstance(name, str) for name in (*keys, *valid)):
        return None
    return History(key=tuple(keys), since=valid[0], until=valid[1])


def _alias_of(input: Any) -> str:
    """Return the name of an input in the query of its history."""
    name = input if isinstance(input, str) else getattr(input, "name", None)
    return str(name or "input").rpartition(".")[2]


def _one_open_row(history: History) -> RuleDeclaration:
    return rule.sql(
        f"at most one open row for each {', '.join(history.key)}",
        more_than_one_open(history),
        dimension="uniqueness",
    )


def parts(of: Any = "", *, back: int = 0, all: bool = False) -> PartsDeclaration:
    """Declare which parts of an input each part of a product reads.

        sql_product("weekly", ..., partition_by="day", inputs={"daily": parts(back=6)})

    of (str or declaration): the input; by default the one that has the name of the parameter or the
        table.
    back (int, 0 to 10,000): how many parts before the same part are read, too: days for days,
        months for months, whether they have data or not. Default 0.
    all (bool): whether each part reads all of the input, and is built again when any of it changes.
        Default False.
    """
    return PartsDeclaration(of=of, back=back, all=all)


class TextKeywords(TypedDict, total=False):
    """The keywords of `source.files` that say how text is written."""

    separator: str
    quote_char: str | None
    escape: str | None
    header: bool
    names: Sequence[str]
    skip_rows: int
    comment_prefix: str | None
    null_values: Sequence[str]
    allow_quoted_nulls: bool
    decimal_separator: str
    thousands: str | None
    date_format: str
    timestamp_format: str
    encoding: str
    member: str


class source:  # noqa: N801  (a namespace that reads like the noun)
    """Declares sources: files that are read, and never built."""

    @staticmethod
    def files(
        pattern: str,
        *,
        columns: Mapping[str, Any] | Literal["as stored"],
        name: str | None = None,
        domain: str | None = None,
        format: Literal["csv", "parquet", "jsonl", "json"] | None = None,
        separator: str = ",",
        quote_char: str | None = '"',
        escape: str | None = None,
        header: bool = True,
        names: Sequence[str] = (),
        skip_rows: int = 0,
        comment_prefix: str | None = None,
        null_values: Sequence[str] = (),
        allow_quoted_nulls: bool = True,
        decimal_separator: str = ".",
        thousands: str | None = None,
        date_format: str = "",
        timestamp_format: str = "",
        encoding: str = "utf-8",
        member: str = "",
        layouts: Sequence[LayoutDeclaration] = (),
        owner: str = "",
        purpose: str = "",
        freshness: Freshness | None = None,
        event_time: str = "",
        poll: str | float | None = None,
        access: Literal["private", "protected", "public"] = "public",
        contract: Any = None,
        rules: Sequence[RuleDeclaration] = (),
        keep: bool = False,
    ) -> SourceDeclaration:
        """Declare files as one table that products can read.

            columns = {"InvoiceNo": "varchar", "Quantity": "bigint"}
            raw_sales = source.files("retail/{day:date}.csv.gz", columns=columns)

        pattern (str): a glob relative to the project; `**` goes into folders. Each file is a part,
            or, with a placeholder such as `{day:date}`, all files with the same value are one; the
            value is a column, too, unless `columns` has it. Placeholders are `{name}` for text and
            `{name:int}`, `{name:date}` (2011-12-09), `{name:month}` (2011-12) and `{name:year}`.
        columns (mapping of str): the type of each column to read, of SQL ("bigint", "decimal(18,
            2)") or Polars (`pl.Int64`); a pair of the type and a description; or `Column(type,
            description=..., format="%d.%m.%Y", since="2021-01-15", until=..., was="old name",
            optional=True, sensitive=True)`. Columns are read by name; other columns of the files
            are ignored. A name that is twice in a header is declared as "x" and "x_1". "as stored":
            those of Parquet files, frozen in `columns.lock`.
        name (str): the name of the source; by default the module-level name that it is bound to.
        domain (str): the first part of the full name; by default the module or folder of the
            declaration.
        format ("csv", "parquet", "jsonl" or "json"): by default what the suffix says: .csv,
            .parquet, .jsonl, .ndjson or .json (a list of objects), also with .gz, .zst or .zip for
            text.
        separator (str, one character): what separates the fields of CSV. Default ",".
        quote_char (str, one character): what encloses fields of CSV; None: nothing does. Default
            a double quote.
        escape (str, one character): what stands before a quote in a quoted field. Default: the
            quote itself, which is doubled.
        header (bool): whether the first line of CSV names the columns. Default True. Without,
            `names` or the order of `columns` names them.
        names (list of str): the name of each column of CSV by position, instead of the header's.
        skip_rows (int): how many lines are left out at the start of each file. Default 0.
        comment_prefix (str): lines that begin with it are left out. Default None.
        null_values (list of str): the texts in CSV that mean null, besides the empty field. Default
            ().
        allow_quoted_nulls (bool): whether they mean null in quotes, too. Default True.
        decimal_separator (str): "." or ",", in the numbers of CSV. Default ".".
        thousands (str, one character): what groups the digits of numbers in CSV. Default None.
        date_format, timestamp_format (str): how days and times are written, such as "%d.%m.%Y".
            Default: as in ISO 8601.
        encoding (str): such as "utf-16", "latin-1" or "cp1252". Default "utf-8".
        member (str): a glob of the files in each .zip that are read. Default: the only one.
        layouts (list of source.layout): how some of the files differ. Default ().
        owner (str), purpose (str): who delivers the files, and what for. Default "".
        freshness (Freshness): by when new files are promised. Default None.
        event_time (str): the column or placeholder that says how far the data reaches. Default "":
            the time of the newest file.
        poll (str or seconds): how often `products run` looks for new files, such as "5m". Default:
            as in pyproject.toml.
        access ("private", "protected" or "public"): "private" lets only products of its own domain
            read the source. Default "public".
        contract (pandera.polars model or schema): what the rows of every file have to be. Files are
            judged when they arrive; one that fails is held back alone. Default None.
        rules (list): `rule.check(...)` and the other functions of `rule`, as of a product. Default
            ().
        keep (bool): whether the rows are stored as versions, so that what was read stays although
            the files are overwritten. A source with a contract or rules is kept, too. Needs
            `owner`. Default False.
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
                owner=owner,
                purpose=purpose,
                freshness=freshness,
                event_time=event_time,
                poll=poll,
                access=access,
                contract=contract,
                rules=rules,
                keep=keep,
                layouts=layouts,
                dialect=DialectDeclaration(
                    separator=separator,
                    quote_char=quote_char,
                    escape=escape,
                    header=header,
                    names=names,
                    skip_rows=skip_rows,
                    comment_prefix=comment_prefix,
                    null_values=null_values,
                    allow_quoted_nulls=allow_quoted_nulls,
                    decimal_separator=decimal_separator,
                    thousands=thousands,
                    date_format=date_format,
                    timestamp_format=timestamp_format,
                    encoding=encoding,
                    member=member,
                ),
            )
        )

    @staticmethod
    def layout(
        pattern: str = "",
        *,
        since: str | date = "",
        until: str | date = "",
        missing: Sequence[str] = (),
        renamed: Mapping[str, str] | None = None,
        **text: Unpack[TextKeywords],
    ) -> LayoutDeclaration:
        """Declare how some files of a source differ; each file has the first layout that fits it.

            old = source.layout(until="2019-12-31", separator=";", decimal_separator=",")
            sales = source.files("sales/{day:date}.csv", columns=columns, layouts=[old])

        pattern (str): a glob of the paths of these files, as that of the source. Default "": all.
        since, until (str or date): the first and the last day of these files, which the pattern of
            the source has a placeholder for. Default "": any.
        missing (list of str): columns that these files do not have; they are null. Default ().
        renamed (mapping of str): what these files call columns, by column. Default None.

        Other keywords are those of `source.files` for text, such as `separator`, `null_values` or
        `encoding`; what is not given is as for the other files.
        """
        _check_keywords("source.layout", text, {*TextKeywords.__annotations__})
        return LayoutDeclaration(
            pattern=pattern,
            since=since,
            until=until,
            missing=missing,
            renamed={} if renamed is None else renamed,
            dialect=DialectDeclaration(**text),
            given=frozenset(text),
        )

    @staticmethod
    def file(
        path: str,
        *,
        name: str | None = None,
        domain: str | None = None,
        owner: str = "",
        purpose: str = "",
        freshness: Freshness | None = None,
        poll: str | float | None = None,
        access: Literal["private", "protected", "public"] = "public",
    ) -> SourceDeclaration:
        """Declare one file of any kind as an input of functions: a workbook, a model, a YAML file.

            budget = source.file("board/budget.xlsx", owner="board@shop.example")

        A function takes it as a parameter annotated `pathlib.Path`, and is built again when its
        content changes.

        path (str): the file, relative to the project.
        name (str): the name of the source; by default the module-level name that it is bound to.
        domain (str): the first part of the full name; by default the module or folder of the
            declaration.
        owner (str), purpose (str): who delivers the file, and what for. Default "".
        freshness (Freshness): by when a new file is promised. Default None.
        poll (str or seconds): how often `products run` looks for a new file, such as "5m". Default:
            as in pyproject.toml.
        access ("private", "protected" or "public"): "private" lets only products of its own domain
            read the file. Default "public".
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
                owner=owner,
                purpose=purpose,
                freshness=freshness,
                poll=poll,
                access=access,
            )
        )


def calendar(
    *,
    holidays: str = "",
    weekmask: str = "",
    closed: Any = (),
    open: Any = (),
    name: str | None = None,
) -> CalendarDeclaration:
    """Declare a calendar of working days, for promises of freshness.

        SHOP = calendar(holidays="GB-ENG", weekmask="Sun Mon Tue Wed Thu Fri", closed=["2011-12-24"])
        Freshness(by="21:30", tz="Europe/London", on=SHOP, covers="today")
        Freshness(by="08:00", on=SHOP.working_day(3), covers="previous month")

    holidays (str): a country ("GB"), subdivision ("GB-ENG", "US-CA") or market ("XNYS") of the
        library `holidays`, whose public holidays are days off. Half-days are working days. Default
        "": no holidays.
    weekmask (str): the days of the week that are worked on, such as "Sun Mon Tue Wed Thu" or
        "Mon-Fri". Default "": those of the country or market, or Monday to Friday.
    closed (list of dates, or path): other days off, as "2011-12-24", or a text file with such dates
        in its first column, relative to the project. Without `holidays`, nothing is known about
        years before the first and after the last of these dates. Default ().
    open (list of dates, or path): working days, although a holiday or the weekmask says otherwise.
        Default ().
    name (str): the name of the calendar; by default the module-level name that it is bound to.
    """
    where, module = _caller()
    return _collect(
        CalendarDeclaration(
            where=where,
            module=module,
            name=name,
            holidays=holidays,
            weekmask=weekmask,
            closed=closed,
            open=open,
        )
    )


def waiver(
    product: str,
    *,
    rule: str,
    until: Any,
    because: str,
    approved_by: str = "",
    rows: int | None = None,
    measured: float | None = None,
    parts: Sequence[str] = (),
    environment: str = "",
) -> WaiverDeclaration:
    """Declare what is let through although a rule fails, with a reason, until a day.

        waiver("finance.orders", rule="no large line", rows=1, parts=["2011-12-09"],
               until="2012-01-31", because="the full drop follows", approved_by="cfo@shop.example")

    product (str): the full name of the product.
    rule (str): the rule: its name, or part of it.
    until (date or str): the last day on which it counts, in UTC, as "2012-01-31".
    because (str): why.
    approved_by (str): who answers for it. Default "": nobody but the author of the change.
    rows (int): how many failing rows are let through. Default None.
    measured (float): the largest measured value that is let through, of a rule that compares.
        Default None. Give this or `rows`; anything beyond is held back.
    parts (list of str): the only parts that it is about. Default (): all.
    environment (str): the only environment in which it counts. Default "": every one.

    `products waive` records one for the very rows that fail.
    """
    where, module = _caller()
    return _collect(
        WaiverDeclaration(
            where=where,
            module=module,
            product=product,
            rule=rule,
            until=until,
            because=because,
            approved_by=approved_by,
            rows=rows,
            measured=measured,
            parts=parts,
            environment=environment,
        )
    )


def approval(
    product: str, *, version: str, by: str, because: str, environment: str = ""
) -> ApprovalDeclaration:
    """Declare that somebody agrees that a version of a product is published.

        approval("finance.month_close", version="v2c1d4e", by="cfo@shop.example",
                 because="agreed with the bank")

    product (str): the full name of the product, which asks for approval.
    version (str): the version, or its content digest: the first characters, at least 7.
    by (str): who agrees, of the list that the product declares.
    because (str): why.
    environment (str): where it counts. Default "": the environment of the settings.

    `products approve` records one without a change of the code.
    """
    where, module = _caller()
    return _collect(
        ApprovalDeclaration(
            where=where,
            module=module,
            product=product,
            version=version,
            by=by,
            because=because,
            environment=environment,
        )
    )


class RuleKeywords(TypedDict, total=False):
    """The keywords of every rule; `help(assay.rule)` explains them."""

    severity: Literal["error", "warning"]
    because: str
    dimension: str
    owner: str
    review_by: str
    warn_above: int | str
    fail_above: int | str
    on_failure: Literal["hold", "quarantine"]


class rule:  # noqa: N801  (a namespace that reads like the noun)
    """Declares rules: what the data of a product must meet to be published.

        rules=[rule.check("no price is negative", "price >= 0"), rule.rows(at_least=1_000)]

    The keywords of every rule:

    text (str): the name of the rule. `rule.check` and `rule.sql` require one; the others have a
        default.
    severity ("error" or "warning"): whether a failing rule holds the version back. Default "error".
    warn_above, fail_above (int, or str such as "0.5 %"): above how many failing rows, or which
        share of the product's rows, the rule warns or fails. Default: it fails with one row. With
        `warn_above` alone it never fails.
    on_failure ("hold" or "quarantine"): with "quarantine", failing rows are moved to the product
        `NAME__quarantine` and the other rows are published; only for `rule.check` and
        `rule.references`, with `fail_above`. Default "hold".
    because (str): why the rule matters, shown when it fails. Default "".
    dimension (str): accuracy, completeness, conformity, consistency, coverage, timeliness or
        uniqueness. Default "", or the one of the kind of rule.
    owner (str): who answers for the rule, shown when it fails. Default "".
    review_by (str, such as "2027-01-31"): the date after which `products status` asks to review it.
        Default "".
    """

    @staticmethod
    def check(
        text: str, check: Any, *, column: str = "", **about: Unpack[RuleKeywords]
    ) -> RuleDeclaration:
        """Declare a condition on every row, in SQL or as a check of pandera.

            rule.check("no price is negative", "price >= 0")

        text (str): the name of the rule.
        check (str or pandera.polars.Check): the condition. Rows where it is NULL pass, as in an SQL
            CHECK. It may read other products in a subquery.
        column (str): the column that a check of pandera is given; by default it is given the whole
            frame.
        """
        return _rule("check", about, text=text, check=check, column=column)

    @staticmethod
    def sql(text: str, sql: str, **about: Unpack[RuleKeywords]) -> RuleDeclaration:
        """Declare a rule by a query that returns the failing rows.

        text (str): the name of the rule.
        sql (str): the query. `this` is the version that is checked, `previous` the published one;
            without one, a rule that reads `previous` is skipped. Other tables are products, by
            name.
        """
        return _rule("sql", about, text=text, sql=sql)

    @staticmethod
    def rows(
        *,
        at_least: int | None = None,
        at_most: int | None = None,
        text: str = "",
        **about: Unpack[RuleKeywords],
    ) -> RuleDeclaration:
        """Declare how many rows a product has: `rule.rows(at_least=1_000)`.

        at_least, at_most (int): the smallest and the largest number of rows; give one or both.
        """
        return _rule("rows", about, text=text, at_least=at_least, at_most=at_most)

    @staticmethod
    def references(
        column: str, other: str, *, text: str = "", **about: Unpack[RuleKeywords]
    ) -> RuleDeclaration:
        """Declare that every value of a column exists in another product; NULL passes.

            rule.references("customer", "customers.id")

        column (str): the column, also with its product in front ("orders.customer").
        other (str): the other product and its column: "customers.id" or "crm.customers.id".
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
        **about: Unpack[RuleKeywords],
    ) -> RuleDeclaration:
        """Declare that a total equals one of another product.

            rule.reconciles("net", "finance.ledger", "sum(amount)", within="0.01", by=["day"])

        measure (str): a column, which is summed, or an SQL aggregate.
        other (str): the other product.
        other_measure (str): its column or aggregate.
        within (number or str): the largest difference that passes: an amount ("0.01") or a share
            ("0.1 %"). Default 0.
        by (list, or mapping of str): the columns to compare group by group; a mapping if the other
            product has other names for them. A group that is missing on one side counts as 0 there.
            Default (): one total.
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
        **about: Unpack[RuleKeywords],
    ) -> RuleDeclaration:
        """Declare how far a total may move from the published version; skipped without one.

            rule.changes("net", within="±40 %", by=["shop"])

        measure (str): a column, which is summed, or an SQL aggregate.
        within (number or str): the largest change that passes: an amount ("10") or a share ("±40
            %").
        by (list of str): the columns to compare group by group. A group that disappears counts as
            -100 %; new groups are not compared. Default (): one total.
        against (str): "previous", the default, compares with the published version. "same weekday,
            last 4" compares each new day, by `event_time`, with the mean of the four days before
            with the same weekday.
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
        **about: Unpack[RuleKeywords],
    ) -> RuleDeclaration:
        """Declare how old the latest event may be when a version is checked.

            rule.fresh_event_time(within="36 hours")

        within (str): the largest age that passes, such as "90 minutes", "36 hours" or "2 days".
        column (str): the column of the event's time; by default the product's `event_time`.
        tz (str): the time zone of times without one. Default "UTC".
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
        **about: Unpack[RuleKeywords],
    ) -> RuleDeclaration:
        """Declare that published rows of a closed period do not change.

            rule.closed("day", before="start of month", grace="3 working days")

        column (str): the column with the time of a row.
        before (str): the end of closed time: "start of month" (or day, week, quarter, year), "7
            days ago" or a date.
        grace (str): how much later a period closes: "5 days" or "3 working days". Default "": at
            once.
        new_rows (str): "hold" counts every new row of closed time as a change. Default "": only
            those of a period that was closed in the published version.
        tz (str): the time zone of the clock. Default "UTC".

        To publish an intended change, use `products materialize --restate NAME --because "..."`.
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
    _check_keywords(f"rule.{kind}", about, RuleKeywords.__annotations__)
    declared = RuleDeclaration(where=_caller()[0], kind=kind, given=given, text=text, **about)
    if kind == "check":
        return replace(declared, variables=read_now(declared.function))
    return declared


@contextmanager
def collecting() -> Iterator[list[Collected]]:
    """Gather the declarations that are made inside the block, in order."""
    gathered: list[Collected] = []
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
    """Return the file, line and module of the user's code that called into this package."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return Where(frame.f_code.co_filename, frame.f_lineno), frame.f_globals.get("__name__", "")
