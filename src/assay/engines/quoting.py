"""Quotes names, texts and paths for SQL."""

import re
from collections.abc import Sequence
from pathlib import Path

_GLOB = re.compile(r"[*?\[]")


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def dotted(name: str) -> str:
    """Quote the parts of `domain.name` for SQL."""
    return ".".join(identifier(part) for part in name.split("."))


def literal(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


def file_list(files: Sequence[Path]) -> str:
    """Return the SQL list of these paths."""
    return f"[{', '.join(literal(str(file)) for file in files)}]::varchar[]"


def source_files(files: Sequence[Path]) -> str:
    """Return the user's files as DuckDB reads them, wildcards in their names escaped."""
    names = [literal(as_named(file)) for file in files]
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]::varchar[]"


def as_named(path: Path) -> str:
    """Return a path with its wildcards escaped, so that it matches itself only."""
    name = str(path)
    return _GLOB.sub(r"[\g<0>]", name) if _GLOB.search(name) else name


def files_of(files: Sequence[Path]) -> str:
    """Return these paths as SQL; one path without a list, which DuckDB binds faster."""
    return literal(str(files[0])) if len(files) == 1 else file_list(files)
