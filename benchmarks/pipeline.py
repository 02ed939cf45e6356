"""One description of a project of SQL products, and how it is written for Assay and as a raw DuckDB script.

`benchmarks.peers` writes the same for other tools. The raw script writes the same Parquet files and checks them; it
pays for no durability and keeps no evidence.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

MODULE = 100  # products a definition module
FORMAT = "(format parquet, compression zstd, parquet_version v2)"


@dataclass(frozen=True)
class Check:
    """What has to hold of a column: `null` (it has none), `unique`, `range`, `set` or `reference` (model, column)."""

    kind: str
    column: str
    allowed: tuple[object, ...] = ()


@dataclass(frozen=True)
class Model:
    """A table: its columns by expression, and what comes after them, where `{name}` is another table."""

    name: str
    columns: Mapping[str, str]
    tail: str
    checks: tuple[Check, ...] = ()

    @property
    def reads(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.tail)

    def query(
        self, named: Callable[[str], str], notes: Mapping[str, Iterable[str]] = MappingProxyType({})
    ) -> str:
        """Return the query; `named` says how another table is called, `notes` what comments go above a column."""
        lines = []
        for name, expression in self.columns.items():
            lines.append(
                "".join(f"\n    -- {note}" for note in notes.get(name, ()))
                + f"\n    {expression} as {name}"
            )
        tail = re.sub(r"\{(\w+)\}", lambda found: named(found[1]), self.tail)
        return f"select{','.join(lines)}\n{tail}"


@dataclass(frozen=True)
class Table:
    """A table made elsewhere: one CSV or Parquet file, and its columns with their types."""

    file: str
    columns: Mapping[str, str]

    def read(self, folder: str = "") -> str:
        """Return the call by which DuckDB reads it."""
        file = f"{folder}{self.file}"
        if file.endswith(".parquet"):
            return f"read_parquet('{file}')"
        types = ", ".join(f"'{name}': '{type}'" for name, type in self.columns.items())
        return f"read_csv('{file}', columns={{{types}}}, header=true)"


@dataclass(frozen=True)
class Pipeline:
    """A project: tables made elsewhere, and models in the order of their lineage."""

    name: str
    tables: Mapping[str, Table]
    models: Sequence[Model]


def failing(this: str, check: Check, named: Callable[[str], str]) -> str:
    """Return a query for the rows that a check is about."""
    column, allowed = check.column, check.allowed
    match check.kind:
        case "null":
            return f"select {column} from {this} where {column} is null"
        case "unique":
            return f"select {column} from {this} group by {column} having count(*) > 1"
        case "range":
            return f"select {column} from {this} where {column} < {allowed[0]} or {column} > {allowed[1]}"
        case "set":
            return f"select {column} from {this} where {column} not in ({_listed(allowed)})"
    return (
        f"select x.{column} from {this} as x left join {named(str(allowed[0]))} as y"
        f" on x.{column} = y.{allowed[1]} where x.{column} is not null and y.{allowed[1]} is null"
    )


def fused(check: Check, named: Callable[[str], str]) -> str:
    """Return a check as an aggregate over the whole table, 0 when it holds."""
    column, allowed = check.column, check.allowed
    match check.kind:
        case "null":
            return f"count(*) filter ({column} is null)"
        case "unique":
            return f"count({column}) - count(distinct {column})"
        case "range":
            return f"count(*) filter ({column} < {allowed[0]} or {column} > {allowed[1]})"
        case "set":
            return f"count(*) filter ({column} not in ({_listed(allowed)}))"
    return f"count(*) filter ({column} not in (select {allowed[1]} from {named(str(allowed[0]))}))"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(repr(value) for value in values)


def put(file: Path, text: str) -> None:
    """Write a file, unless it says that already."""
    if not file.exists() or file.read_text() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


# ---------------------------------------------------------------------------------------------- Assay


def write_assay(
    root: Path, pipeline: Pipeline, settings: str = "", *, contracts: bool = False
) -> None:
    """Write it for Assay; checks become queries of their own (`rule.sql`), or, with `contracts`, a pandera schema."""
    put(root / "pyproject.toml", f"[tool.products]\n{settings}")
    write = contract_product if contracts else rule_product
    write_modules(root, pipeline, [write(model, pipeline.name) for model in pipeline.models])


def write_modules(root: Path, pipeline: Pipeline, products: Sequence[str]) -> None:
    """Write definition modules of a hundred products each, the sources in the first."""
    for start in range(0, len(products), MODULE):
        lines = ["from assay import product, rule, source, sql_product"]
        if any("pl." in text for text in products):
            lines.insert(0, "import polars as pl")
        if any("pa." in text for text in products):
            lines.insert(0, "import pandera.polars as pa")
        if start == 0:
            lines += [
                _source(name, table, pipeline.name) for name, table in pipeline.tables.items()
            ]
        put(
            root / f"products/m{start // MODULE}.py",
            "\n".join([*lines, *products[start : start + MODULE]]) + "\n",
        )


def _source(name: str, table: Table, domain: str) -> str:
    return f"{name} = source.files({table.file!r}, columns={table.columns!r}, domain={domain!r})"


def rule_product(model: Model, domain: str) -> str:
    """Return the declaration of a product whose checks are queries of their own."""
    query = model.query(str)
    rules = "".join(
        f"\n    rule.sql({_words(c)!r}, {failing('this', c, str)!r})," for c in model.checks
    )
    return (
        f"sql_product({model.name!r}, {query!r}, domain={domain!r}, owner='bench', rules=[{rules}])"
    )


def contract_product(model: Model, domain: str) -> str:
    """Return the declaration of a product whose checks are a contract, and references."""
    columns: dict[str, list[str]] = {}
    for check in model.checks:
        if check.kind != "reference":
            columns.setdefault(check.column, []).append(_demand(check))
    told = ", ".join(f"{name!r}: {_column(demands)}" for name, demands in columns.items())
    contract = f", contract=pa.DataFrameSchema({{{told}}})" if told else ""
    rules = [c for c in model.checks if c.kind == "reference"]
    listed = ", ".join(
        f"rule.references({c.column!r}, '{c.allowed[0]}.{c.allowed[1]}')" for c in rules
    )
    query = model.query(str)
    return f"sql_product({model.name!r}, {query!r}, domain={domain!r}, owner='bench', rules=[{listed}]{contract})"


def _words(check: Check) -> str:
    return f"{check.column}: {check.kind}"


def _demand(check: Check) -> str:
    match check.kind:
        case "range":
            return f"pa.Check.in_range({check.allowed[0]}, {check.allowed[1]})"
        case "set":
            return f"pa.Check.isin({list(check.allowed)!r})"
    return check.kind


def _column(demands: Sequence[str]) -> str:
    checks = ", ".join(d for d in demands if d.startswith("pa."))
    return f"pa.Column(nullable={'null' not in demands}, unique={'unique' in demands}, checks=[{checks}])"


# ---------------------------------------------------------------------------------------------- a raw script


def write_raw(root: Path, pipeline: Pipeline, *, one_query: bool) -> None:
    """Write `raw.py`, which makes and checks all tables, or those it is told of; one query checks a table, or many."""
    steps = {
        model.name: [_copy(model, pipeline.tables), *_checks(model, one_query=one_query)]
        for model in pipeline.models
    }
    lines = [
        "import os, sys, duckdb",
        "os.makedirs('out', exist_ok=True)",
        "run = duckdb.connect().execute",
    ]
    lines += [f"run({f'create view {n} as from {t.read()}'!r})" for n, t in pipeline.tables.items()]
    lines.append(
        f"STEPS = {{\n{''.join(f'    {name!r}: {told!r},{chr(10)}' for name, told in steps.items())}}}"
    )
    lines += [
        "for name in sys.argv[1:] or STEPS:",
        "    copy, *checks = STEPS[name]",
        "    run(copy)",
    ]
    lines += ["    for check in checks:", "        assert not any(run(check).fetchone()), check"]
    put(root / "raw.py", "\n".join(lines) + "\n")


def _out(name: str) -> str:
    return f"'out/{name}.parquet'"


def _copy(model: Model, tables: Iterable[str]) -> str:
    query = model.query(lambda name: name if name in tables else _out(name))
    return f"copy ({query}) to {_out(model.name)} {FORMAT}"


def _checks(model: Model, *, one_query: bool) -> list[str]:
    if one_query and model.checks:
        told = ", ".join(fused(check, _out) for check in model.checks)
        return [f"select {told} from {_out(model.name)}"]
    return [
        f"select count(*) from ({failing(_out(model.name), check, _out)})" for check in model.checks
    ]
