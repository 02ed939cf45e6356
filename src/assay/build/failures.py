"""What a user reads of an exception: ours as worded, theirs with the place in their own code."""

import os
import re
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from assay.build.definitions import Definitions
from assay.build.inputs import Inputs
from assay.config import PACKAGE
from assay.errors import AssayError, ResultRefused, SourceFault, TypeRefused, remedy, words_of
from assay.events import Failed
from assay.masking import VEILED, of_function, of_sql, of_trace, veiled
from assay.model import Product, Where
from assay.plan.graph import Graph
from assay.sensitive import masked, secret

# What only we raise, with names and numbers of files and products in it, and never a value.
_OURS = (
    "StoreError",
    "CatalogError",
    "CatalogDamaged",
    "Conflict",
    "SourceReplaced",
    "TimedOut",
    "Crashed",
)
_CARET = re.compile(r"\s*\^\s*")

_NOTES, _LONGEST = 1000, 4000  # letters of what others say

_PLACE = re.compile(r"([^\s:]+):\d+: ")
_FILE = re.compile(
    r"\s*file\s*=\s*(\S.*)"
)  # how DuckDB says, far below, in which CSV file something is wrong


class Elsewhere(Exception):
    """What failed in another process: the `kind` of exception, and what that process says of it.

    `again` says whether it may go better another time; `words` are those of the code that it came through.
    """

    def __init__(
        self, kind: str, failed: Failed, *, again: bool, words: Collection[str] = ()
    ) -> None:
        super().__init__(failed.error)
        self.kind, self.failed, self.again, self.words = kind, failed, again, frozenset(words)


class Failures(Struct, frozen=True):
    """Says of products that failed what a user reads; what may be a value that must not be shown is masked."""

    graph: Graph
    inputs: Inputs
    definitions: Definitions

    def of(self, name: str, error: BaseException) -> Failed:
        """Return what is said of a product that failed like this."""
        if isinstance(error, SourceFault):
            return Failed(error=of_source(error, self.graph))
        product = self.graph.products[name]
        failed = said_of(error, str(self.inputs.root), product)
        if not self.graph.sensitive(name) or _is_ours(error):
            return failed
        recipe = self.definitions[name].recipe if product.runs_python else None
        code = of_function(recipe.function) if recipe else frozenset()
        known = {
            *_names(self.graph, name),
            *self.inputs.names_in(product),
            *code,
            *words_behind(error),
        }
        engine = type(error).__module__.strip("_").partition(".")[0] in {"duckdb", "polars"}
        return veil(failed, known, product.where, counted=engine)

    def of_parts(
        self, name: str, errors: Mapping[str, BaseException], *, tries: int
    ) -> dict[str, Failed]:
        """Return what is said of the parts of a product that could not be made, after so many tries."""
        return {part: replace(self.of(name, error), tries=tries) for part, error in errors.items()}


def veil(failed: Failed, known: Collection[str], where: Where, *, counted: bool) -> Failed:
    """Return a failure with everything masked that may be a value, below the place in the code where it was."""
    head, text = "", failed.error
    if (found := _PLACE.match(text)) and Path(found[1]).suffix in {".py", ".sql"}:
        head, text = found[0], text[found.end() :]
    error = veiled(text, known, counted=counted)
    if error != text and not head:
        head = f"{where}: "
    detail = _without_carets(failed.detail, veiled(failed.detail, known, counted=counted))
    return replace(
        failed, error=f"{head}{error}\n{VEILED}" if error != text else failed.error, detail=detail
    )


def _without_carets(before: str, after: str) -> str:
    """Return lines without those that point into a line of which something was masked."""
    lines = after.splitlines()
    return (
        after
        if before == after
        else "\n".join(line for line in lines if not _CARET.fullmatch(line))
    )


def _is_ours(error: BaseException) -> bool:
    """Say whether an exception is one of ours that quotes no value, and was raised by our own code."""
    if isinstance(error, Elsewhere):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    raised_here = not frames or frames[-1].filename.startswith(f"{PACKAGE}/")
    return isinstance(error, AssayError) and type(error).__name__ in _OURS and raised_here


def words_behind(error: BaseException) -> frozenset[str]:
    """Return the words of the code that an exception came through."""
    if isinstance(error, Elsewhere):
        return error.words
    kind = type(error)
    known = (
        getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind
    )  # it is declared under that name
    return of_trace(error.__traceback__) | ({kind.__name__} if known else set())


def _names(graph: Graph, name: str) -> Iterator[str]:
    """Yield the names in the declarations of a product and of what it reads."""
    product = graph.products[name]
    yield from (name, product.file, *of_sql(product.sql))
    for i in product.inputs:
        yield from (i.alias, i.name)
    for read in (name, *product.reads):
        if read in graph.sources:
            source = graph.sources[read]
            yield from (
                read,
                source.pattern,
                *(c.name for c in (*source.columns, *source.path_columns)),
            )
        else:
            yield from (read, *(column.name for column in graph.products[read].contract.columns))


def of_source(fault: SourceFault, graph: Graph) -> str:
    """Return what is said of a file of a source: all, but for a value that no product made of the source shows."""
    patterns = frozenset[str]().union(
        *(graph.sensitive(name) for name in graph.downstream(fault.source))
    )
    notes = "".join(f"\n{note}" for note in _notes(fault))
    return masked(f"{fault.told(shown=not secret([fault.column], patterns))}{notes}")


def said_of(error: BaseException, root: str, product: Product) -> Failed:
    """Return what a user reads of an exception: ours as worded, theirs with the place in their own code."""
    failed = _said_of(error, root, product)
    hint = "" if isinstance(error, Elsewhere) else remedy(error)
    return replace(failed, error=f"{failed.error}\n{hint}") if hint else failed


def _notes(error: BaseException) -> list[object]:
    notes = getattr(error, "__notes__", ())
    return list(notes) if isinstance(notes, list | tuple) else [notes]


def _said_of(error: BaseException, root: str, product: Product) -> Failed:
    notes = masked("".join(f"\n{note}" for note in _notes(error))[:_NOTES])
    if isinstance(error, Elsewhere):
        return replace(error.failed, error=f"{error.failed.error}{notes}")
    if isinstance(error, AssayError):
        of_result = isinstance(error, ResultRefused | TypeRefused) and not error.where
        place = f"{product.where}: " if of_result else ""
        return Failed(error=f"{place}{masked(str(error))}{notes}")
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(f"{root}/")
    ]
    theirs = [
        f
        for f in frames
        if not f.filename.startswith(PACKAGE) and "site-packages" not in f.filename
    ]
    place = (
        f"{os.path.relpath(theirs[-1].filename, root)}:{theirs[-1].lineno}: "
        if theirs
        else f"{product.where}: "
    )
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
