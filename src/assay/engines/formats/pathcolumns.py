"""Columns of a source that come from the paths of its files; `__file` is the column of paths."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from assay.engines.quoting import identifier, literal
from assay.engines.tables import InputFiles, PartRows
from assay.engines.types import to_polars
from assay.plan.parts import NULL, unescaped
from assay.plan.path_dates import ISO, iso_texts, kind_of

if TYPE_CHECKING:
    import polars as pl


def by_path(files: InputFiles) -> str:
    """Return the columns that come from paths, as SQL to append to a select list."""
    source = files.source
    assert source is not None
    columns, formats = "", dict(source.path_formats)
    for column, group in source.path_groups:
        value = f"regexp_extract(__file, {literal(files.path_regex)}, {group})"
        if column.name in source.path_escaped:
            value = f"url_decode(nullif({value}, {literal(NULL)}))"
        if format := formats.get(column.name):
            iso = literal(ISO[kind_of(format)])
            value = f"strftime(strptime({value}, {literal(format)}), {iso})"
        columns += f", cast({value} as {column.type}) as {identifier(column.name)}"
    if files.part_rows:
        columns += f", {part_of_file(files.part_rows)} as __part"
    return columns


def part_of_file(part_rows: Sequence[PartRows]) -> str:
    """Return the SQL of the number of the part that `__file`, one of these whole files, is of."""
    files = ", ".join(literal(str(rows.file)) for rows in part_rows)
    place = f"enum_code(cast(__file as ENUM({files})))"
    numbers = [rows.part for rows in part_rows]
    if numbers == list(range(len(numbers))):
        return f"cast({place} as bigint)"
    return f"cast([{', '.join(map(str, numbers))}][{place} + 1] as bigint)"


def path_columns(files: InputFiles) -> "list[pl.Expr]":
    """Return the columns that come from paths, as expressions of Polars."""
    import polars as pl

    source = files.source
    assert source is not None
    columns = []
    for column, group in source.path_groups:
        value = pl.col("__file").str.extract(files.path_regex, group)
        if values := _values(files, column.name, group):
            value = value.replace([*values], [*values.values()])
        is_day = column.type == "DATE"  # Polars casts no text to a day
        value = value.str.to_date("%Y-%m-%d") if is_day else value.cast(to_polars(column.type))
        columns.append(value.alias(column.name))
    return columns


def _values(files: InputFiles, name: str, group: int) -> dict[str, str | None]:
    """Return the texts in paths that are not the values that they stand for, with these values."""
    source = files.source
    assert source is not None
    format, is_escaped = dict(source.path_formats).get(name), name in source.path_escaped
    if not format and not is_escaped:
        return {}
    matches = [re.match(files.path_regex, str(file)) for file in files.paths]
    texts = {match[group] for match in matches if match}
    values = {text: unescaped(text) if is_escaped else text for text in texts}
    if format:
        values = iso_texts(values, format)
    return {text: value for text, value in values.items() if value != text}
