"""`columns="as stored"`: the types of Parquet files, frozen in a lock file beside pyproject.toml.

What is frozen decides, not what files have now: a build gives the same on every machine, and a type that
changes is a fault of the file until someone takes it over.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import MsgspecError, Struct
from msgspec.json import decode

from assay.config import Config
from assay.declare.columns import Column
from assay.declare.names import Names
from assay.engines.nested import nested_column
from assay.engines.types import from_polars, source_column
from assay.model import Source, Where
from assay.plan.parts import template
from assay.store.matching import matching

if TYPE_CHECKING:
    import polars as pl

AS_STORED = "as stored"
LOCK = "columns.lock"
_HINT = f"Remove its entry from {LOCK}, and the next command freezes the types of its files again."


class Frozen(Struct, frozen=True, omit_defaults=True):
    """A column as it is frozen: its type in SQL, and whether some files lack it."""

    type: str
    optional: bool = False


_Lock = dict[str, dict[str, Frozen]]  # columns by source


def stored_columns(
    source: str, pattern: str, format: str, where: Where, names: Names
) -> Mapping[str, Column]:
    """Return the frozen columns of a source, which are frozen now if they are not; {} for problems.

    Problems are reported to `names`.
    """
    config = names.config
    if format != "parquet":
        hint = "Declare the type of each column: text has none."
        message = f'{source}: columns="{AS_STORED}" is for Parquet, and its format is {format!r}'
        names.report(message, where, hint)
        return {}
    names.files.append(config.root / LOCK)
    try:
        lock = read_lock(config)
        if source not in lock:
            lock[source] = _columns_of_files(config, pattern)
            _write(config, lock)
    except _CannotFreeze as error:
        names.report(f"{source}: {error}", where, error.hint)
        return {}
    return {name: Column(each.type, optional=each.optional) for name, each in lock[source].items()}


class _CannotFreeze(Exception):
    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


def read_lock(config: Config) -> _Lock:
    """Return what is frozen; raises an error that says what is wrong with the lock file."""
    try:
        return decode((config.root / LOCK).read_bytes(), type=_Lock)
    except FileNotFoundError:
        return {}
    except (MsgspecError, OSError, UnicodeError) as error:
        hint = "Restore it from version control, or remove it: the next command writes it again."
        raise _CannotFreeze(f"{LOCK} cannot be read: {error}", hint) from None


def _write(config: Config, lock: _Lock) -> None:
    text = json.dumps(
        {
            source: {
                name: {"type": each.type, **({"optional": True} if each.optional else {})}
                for name, each in columns.items()
            }
            for source, columns in sorted(lock.items())
        },
        indent=1,
        ensure_ascii=False,
    )
    new = config.root / f".{LOCK}.{os.getpid()}"
    try:
        new.write_text(f"{text}\n", encoding="utf-8")
        new.replace(config.root / LOCK)
    except OSError as error:
        new.unlink(missing_ok=True)
        hint = "Run a command where the project can be written, and commit the file."
        raise _CannotFreeze(f"{LOCK} cannot be written: {error.strerror}", hint) from None


def _columns_of_files(config: Config, pattern: str) -> dict[str, Frozen]:
    """Return the columns of all files of a pattern; the type of each is that in the last file with it."""
    schemas = [*_schemas(config.root, sorted(matching(config.root, template(pattern).glob)))]
    if not schemas:
        hint = f"Run a command where there is a file, and commit {LOCK}."
        raise _CannotFreeze(f"no file matches {pattern!r}, so that its columns are not known", hint)
    newest: dict[str, str] = {}
    for _, schema in reversed(schemas):
        newest = newest | {name: type for name, type in schema.items() if name not in newest}
    for name, type in newest.items():
        if not (source_column(name, type) or nested_column(name, type)):
            hint = "Declare columns= for this source, without or with a type that can be read."
            raise _CannotFreeze(f"column {name!r} is stored as {type}, which is not read", hint)
    return {
        name: Frozen(type, optional=any(name not in schema for _, schema in schemas))
        for name, type in newest.items()
    }


def _schemas(root: Path, paths: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the types of the columns of each file, as SQL."""
    import polars as pl

    for path in paths:
        try:
            with (root / path).open("rb") as content:
                schema = pl.read_parquet_schema(content)
        except (OSError, pl.exceptions.PolarsError) as error:
            hint = "Fetch the file again, or leave it out of the pattern."
            raise _CannotFreeze(f"{path} cannot be read: {error}", hint) from None
        yield path, {name: _type(dtype) for name, dtype in schema.items()}


def _type(dtype: "pl.DataType") -> str:
    """Return a stored type as sources spell it; categories are texts, as is what holds nulls only."""
    if type(dtype).__name__ in {"Categorical", "Enum", "Null"}:
        return "VARCHAR"
    type_in_sql = from_polars(dtype) or str(dtype)
    column = source_column("x", type_in_sql) or nested_column("x", type_in_sql)
    return column.type if column else type_in_sql


def differences(config: Config, source: Source) -> Iterator[tuple[str, bool]]:
    """Yield how the last file of a source differs from what is frozen, and whether that is a fault."""
    paths = sorted(matching(config.root, source.pattern))[-1:]
    try:
        found = [*_schemas(config.root, paths)]
    except _CannotFreeze as error:
        yield f"{error}. {error.hint}", True
        return
    for path, schema in found:
        for column in source.columns:
            stored = schema.get(column.name)
            if stored is None and column.name not in source.optional:
                yield f"{path} has no column {column.name!r}, which is frozen. {_HINT}", True
            elif stored not in {None, column.type}:
                text = f"{path} stores {column.name!r} as {stored}; it is frozen as {column.type}"
                yield f"{text}. {_HINT}", True
        for name in schema.keys() - {column.name for column in source.columns}:
            yield f"{path} has a column {name!r}, which is not frozen. {_HINT}", False
