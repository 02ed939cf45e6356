"""Columns of a source that come from the paths of its files; `__file` is the column of paths."""

import re
from typing import TYPE_CHECKING

from assay.engines.quoting import identifier, literal
from assay.engines.tables import InputFiles
from assay.engines.types import to_polars
from assay.plan.parts import NULL, unescaped

if TYPE_CHECKING:
    import polars as pl


def by_path(files: InputFiles) -> str:
    """Return the columns that come from paths, as SQL to append to a select list."""
    source = files.source
    assert source is not None
    columns = ""
    for column, group in source.path_groups:
        value = f"regexp_extract(__file, {literal(files.path_regex)}, {group})"
        if column.name in source.path_escaped:
            value = f"url_decode(nullif({value}, {literal(NULL)}))"
        columns += f", cast({value} as {column.type}) as {identifier(column.name)}"
    return columns


def path_columns(files: InputFiles) -> "list[pl.Expr]":
    """Return the columns that come from paths, as expressions of Polars."""
    import polars as pl

    source = files.source
    assert source is not None
    columns = []
    for column, group in source.path_groups:
        value = pl.col("__file").str.extract(files.path_regex, group)
        if column.name in source.path_escaped and (
            unescaped_by_text := _escaped_values(files, group)
        ):
            value = value.replace([*unescaped_by_text], [*unescaped_by_text.values()])
        is_day = column.type == "DATE"  # Polars casts no text to a day
        value = value.str.to_date("%Y-%m-%d") if is_day else value.cast(to_polars(column.type))
        columns.append(value.alias(column.name))
    return columns


def _escaped_values(files: InputFiles, group: int) -> dict[str, str | None]:
    """Return the values that are escaped in paths, each with the value that it stands for."""
    matches = [re.match(files.path_regex, str(file)) for file in files.paths]
    values = {match[group] for match in matches if match}
    return {text: value for text in values if (value := unescaped(text)) != text}
