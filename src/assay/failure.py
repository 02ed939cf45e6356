"""What a user reads of an exception: ours as worded, theirs with the place in their own code."""

import os
import re
import traceback
from pathlib import Path

from msgspec.structs import replace

from assay.errors import AssayError, remedy, words_of
from assay.events import Failed
from assay.graph import Graph
from assay.model import Product
from assay.secrecy import HUSHED, masked

# Exceptions whose words are about names and places, never about values.
_QUOTE_NO_VALUES = {
    "BinderException", "CatalogException", "ParserException", "OutOfMemoryException", "ColumnNotFoundError",
    "SchemaFieldNotFoundError", "ModuleNotFoundError", "NameError", "AttributeError", "TypeRefused", "StoreError",
    "CatalogError", "Conflict", "SourceReplaced", "TimedOut", "Crashed",
}  # fmt: skip

_NOTES, _LONGEST = 1000, 4000  # letters of what others say

_FILE = re.compile(r"\s*file\s*=\s*(\S.*)")  # how DuckDB says, far below, in which CSV file something is wrong


class Elsewhere(Exception):
    """What failed in another process: the `kind` of exception, and what that process says of it.

    `again` says whether it may go better another time.
    """

    def __init__(self, kind: str, failed: Failed, *, again: bool) -> None:
        super().__init__(failed.error)
        self.kind, self.failed, self.again = kind, failed, again


def failure(error: BaseException, root: Path, graph: Graph, name: str) -> Failed:
    """Return what is said of a product that failed, without words that might quote a value that must not be shown."""
    failed = said_of(error, str(root), graph.products[name])
    kind = error.kind if isinstance(error, Elsewhere) else type(error).__name__
    if not graph.sensitive(name) or kind in _QUOTE_NO_VALUES:
        return failed
    place = failed.error.partition(": ")[0]
    place = "" if place == kind else f"{place}: "
    notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    return Failed(error=f"{place}{kind}: {HUSHED}{notes}")


def said_of(error: BaseException, root: str, product: Product) -> Failed:
    """Return what a user reads of an exception: ours as worded, theirs with the place in their own code."""
    failed = _said_of(error, root, product)
    hint = "" if isinstance(error, Elsewhere) else remedy(error)
    return replace(failed, error=f"{failed.error}\n{hint}") if hint else failed


def _said_of(error: BaseException, root: str, product: Product) -> Failed:
    notes = masked("".join(f"\n{note}" for note in getattr(error, "__notes__", ()))[:_NOTES])
    if isinstance(error, Elsewhere):
        return replace(error.failed, error=f"{error.failed.error}{notes}")
    if isinstance(error, AssayError):
        return Failed(error=f"{masked(str(error))}{notes}")
    ours = str(__file__).rpartition("/")[0]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(f"{root}/")]
    theirs = [f for f in frames if not f.filename.startswith(ours) and "site-packages" not in f.filename]
    place = f"{os.path.relpath(theirs[-1].filename, root)}:{theirs[-1].lineno}: " if theirs else f"{product.where}: "
    if not theirs and remedy(error):
        place = ""  # it is no fault of what was declared there
    whose = type(error).__module__.strip("_").partition(".")[0]
    if whose == "duckdb":  # its message says what kind of error it is
        said, *more = masked(str(error)).strip().splitlines() or [""]
        # The query stands one line further down in what is run than in what was written.
        more = [re.sub(r"^LINE (\d+):", lambda m: f"LINE {int(m[1]) - 1}:", line) for line in more]
        file = next((found[1] for line in more if (found := _FILE.fullmatch(line))), "")
        said += f" ({os.path.relpath(file, root)})" if file else ""
        detail = "\n".join(line for line in more if line.strip())
        return Failed(error=f"{place}{said[:_LONGEST]}{notes}", detail=detail[:_LONGEST])
    said = words_of(error)
    if whose in {"polars", "pyo3_runtime"}:  # below its first line is a plan
        said = said.partition("\n")[0]
    detail = masked((theirs[-1].line or "").strip()[:_LONGEST]) if theirs else ""
    return Failed(error=f"{place}{type(error).__name__}: {said}{notes}", detail=detail)
