"""Names, texts and paths as SQL spells them."""

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
    """Return a list of paths."""
    return f"[{', '.join(literal(str(file)) for file in files)}]::varchar[]"


def source_files(files: Sequence[Path]) -> str:
    """Return files of the user's as DuckDB takes them: no letter of their names stands for others."""
    return files_of([Path(as_named(file)) for file in files])


def as_named(path: Path) -> str:
    """Return a path in which no letter stands for others."""
    return _GLOB.sub(r"[\g<0>]", str(path))


def files_of(files: Sequence[Path]) -> str:
    """Return what to read; a list takes DuckDB longer to bind."""
    return literal(str(files[0])) if len(files) == 1 else file_list(files)
