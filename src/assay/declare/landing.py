"""Sources that are judged or kept: the product that stores their rows, and the files it reads."""

import re
from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from assay.declare.words import ProductDeclaration, SourceDeclaration
from assay.engines.types import of_column
from assay.model import Column, Product, Rule, Source
from assay.rules.schema import Schema, dtype_of

FILES = "files"  # the alias of the files, and how their name ends


def landed(source: SourceDeclaration, bare: str) -> tuple[ProductDeclaration, SourceDeclaration]:
    """Return the product that a declared source is, and the source that its files are.

    The product is called as the source (`bare`), and is in parts: one for each part of the files.
    """
    files = replace(source, name=f"{bare}__{FILES}", contract=None, rules=(), keep=False)
    product = ProductDeclaration(
        where=source.where,
        module=source.module,
        name=bare,
        make=f"select * from {FILES}",
        inputs={FILES: files},
        each=files,
        on_failed_part="hold_part",
        owner=source.owner,
        purpose=source.purpose,
        domain=source.domain,
        contract=source.contract,
        rules=source.rules,
        event_time=source.event_time if _has_event_time(source) else "",
        access=source.access,
        lands=source,
    )
    return product, files


def _has_event_time(source: SourceDeclaration) -> bool:
    """Return whether the business time is in a column of the files, not in their paths."""
    if isinstance(source.columns, str):
        in_path = re.findall(r"\{(\w+)", source.pattern)
        return bool(source.event_time) and source.event_time not in in_path
    return source.event_time in source.columns


def with_columns(product: Product, sources: Mapping[str, Source], schema: Schema) -> Product:
    """Return a source whose rows are stored with all columns of its files, also without a contract.

    A column is as its contract has it; else of the type in which it is stored.
    """
    if product.files not in sources:
        return product
    files, contract = sources[product.files], product.contract
    declared = {column.name: column for column in contract.columns}
    columns = []
    for column in (*files.columns, *files.path_columns):
        own = declared.pop(column.name, None) or _stored(column)
        columns.append(replace(own, description=own.description or column.description))
    columns += declared.values()  # which no file has: the schema says so
    known = _known_enums(files.columns, schema)
    rules = tuple(rule for rule in contract.rules if not _is_type_of(rule, known))
    return replace(product, contract=replace(contract, columns=tuple(columns), rules=rules))


def _known_enums(columns: Iterable[Column], schema: Schema) -> set[str]:
    """Return the columns that are of the enum that the contract asks for when they are read."""
    enums = [column for column in columns if column.type.startswith("ENUM")]
    if schema.pandera is None:
        return set()
    asked = schema.pandera.columns
    return {
        c.name
        for c in enums
        if c.name in asked and str(dtype_of(schema.pandera, asked[c.name])) == str(of_column(c))
    }


def _is_type_of(rule: Rule, columns: Collection[str]) -> bool:
    """Return whether a rule asks for the type of one of these columns.

    A value that is not of a declared enum is an error when its file is read; it is stored as text.
    """
    demand = rule.demand
    return demand is not None and demand.kind == "type" and demand.column in columns


def _stored(column: Column) -> Column:
    """Return a column in the type in which queries store it."""
    type = "VARCHAR" if column.type.startswith("ENUM") else column.type
    return Column(name=column.name, type=type, description=column.description)
