"""What a user types in a definition module: `product`, `sql_product`, `source` and `rule`.

A declaration keeps exactly what was written and where; nothing is checked here, so that loading a project can report
every mistake at once. While a project loads, `collecting()` gathers the declarations in the order they are made.
"""

import difflib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack

from assay.model import Consumer, Freshness, Where

_PACKAGE = str(Path(__file__).parent)
_collected: ContextVar["list[Declaration] | None"] = ContextVar("assay_declarations", default=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceDeclaration:
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RuleDeclaration:
    """A rule in SQL: the rows it returns are the violations."""

    where: Where
    text: str
    sql: str
    severity: str
    because: str
    dimension: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProductDeclaration:
    """A product as it was written. `make` is a function, or the SQL (or name of the `.sql` file) that makes it."""

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


def _known(verb: str, about: Mapping[str, Any]) -> None:
    """Raise TypeError for a keyword that a product does not have, with the one that may be meant."""
    for keyword in about.keys() - About.__annotations__.keys():
        close = difflib.get_close_matches(keyword, About.__annotations__, n=1)
        raise TypeError(f"{verb}() has no keyword {keyword!r}" + (f": did you mean {close[0]!r}?" if close else ""))


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
    _known("product", about)
    if function is not None:
        raise TypeError('write @product(owner="...") above the function')

    def declare(function: Callable[..., Any]) -> ProductDeclaration:
        code = getattr(function, "__code__", None)
        line = code.co_firstlineno if code and code.co_filename == where.file else where.line
        called = name or str(getattr(function, "__name__", "?"))
        return _collect(
            ProductDeclaration(
                where=Where(where.file, line), module=module, name=called, make=function, file=file, **about
            )
        )

    return declare


def sql_product(name: str, sql: str, **about: Unpack[About]) -> ProductDeclaration:
    """Declare a product made by one DuckDB query; the keywords are those of `About`.

    `sql` is the query, or the name of a `.sql` file beside the module. Tables in the query are its inputs: bare names
    are of the same domain, `domain.name` of others.
    """
    where, module = _caller()
    _known("sql_product", about)
    return _collect(ProductDeclaration(where=where, module=module, name=name, make=sql, **about))


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

        `columns` maps the columns to read to Polars data types; they are read by name, exactly as declared, never
        sniffed, and other columns are left alone. The format follows from the suffix (`.csv`, `.csv.gz`, `.parquet`,
        `.jsonl`, `.ndjson`, `.jsonl.gz`) unless given. In CSV an empty field is null, and so are `null_values`.
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


class rule:  # noqa: N801  (a namespace that reads like the noun)
    """Statements in business words that data can pass or fail."""

    @staticmethod
    def sql(
        text: str,
        sql: str,
        *,
        severity: Literal["error", "warning"] = "error",
        because: str = "",
        dimension: str = "",
        owner: str = "",
    ) -> RuleDeclaration:
        """Declare a rule by a query that returns the violating rows.

        `this` is the version being judged, `previous` what is published now (the rule is skipped when nothing is),
        and other tables are products, by name.
        """
        return RuleDeclaration(
            where=_caller()[0],
            text=text,
            sql=sql,
            severity=severity,
            because=because,
            dimension=dimension,
            owner=owner,
        )


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
