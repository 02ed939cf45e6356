"""What a user reads of products that failed: possible values of sensitive columns are masked."""

import re
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from assay.build.definitions import Definitions
from assay.build.error_text import RemoteError, describe_error, library_of, notes_of
from assay.build.inputs import Inputs
from assay.config import PACKAGE
from assay.errors import AssayError, SourceFault
from assay.events import Failed
from assay.masking import VEILED, of_function, of_sql, of_trace, veiled
from assay.model import Product, Where
from assay.plan.graph import Graph
from assay.sensitive import masked, secret

# Errors that only we raise, and that quote names and numbers of files and products, but no value.
_WITHOUT_VALUES = (
    "StoreError",
    "CatalogError",
    "CatalogDamaged",
    "Conflict",
    "SourceReplaced",
    "TimedOut",
    "Crashed",
)
_CARET = re.compile(r"\s*\^\s*")
_PLACE = re.compile(r"([^\s:]+):\d+: ")


class Failures(Struct, frozen=True):
    """Describes the failures of products, without what may be a sensitive value."""

    graph: Graph
    inputs: Inputs
    definitions: Definitions

    def of(self, name: str, error: BaseException) -> Failed:
        """Return the failure of a product with this exception."""
        if isinstance(error, SourceFault):
            return Failed(error=of_source(error, self.graph))
        product = self.graph.products[name]
        failed = describe_error(error, str(self.inputs.root), product)
        if not self.graph.sensitive(name) or _quotes_no_value(error):
            return failed
        words = self._public_words(product, error)
        is_of_engine = library_of(error) in {"duckdb", "polars"}
        return veil(failed, words, product.where, counted=is_of_engine)

    def of_parts(
        self, name: str, errors: Mapping[str, BaseException], *, tries: int
    ) -> dict[str, Failed]:
        """Return the failures of parts of a product after so many tries, by part."""
        return {part: replace(self.of(name, error), tries=tries) for part, error in errors.items()}

    def _public_words(self, product: Product, error: BaseException) -> set[str]:
        """Return the words that are in declarations and code, and so are no values."""
        words = {*_declared_names(self.graph, product), *self.inputs.names_in(product)}
        recipe = self.definitions[product.name].recipe if product.runs_python else None
        if recipe:
            words |= of_function(recipe.function)
        return words | words_of_code(error)


def veil(failed: Failed, words: Collection[str], where: Where, *, counted: bool) -> Failed:
    """Mask what may be a value in a failure: all but its place and these `words`.

    With `counted`, numbers that count lines, rows or columns stay.
    """
    detail = veiled(failed.detail, words, counted=counted)
    if detail != failed.detail:
        detail = _without_carets(detail)
    place, message = _split_place(failed.error)
    veiled_message = veiled(message, words, counted=counted)
    if veiled_message == message:
        return replace(failed, detail=detail)
    place = place or f"{where}: "
    return replace(failed, error=f"{place}{veiled_message}\n{VEILED}", detail=detail)


def _split_place(error: str) -> tuple[str, str]:
    """Return the place in the user's code that an error begins with, and the message after it."""
    match = _PLACE.match(error)
    if match and Path(match[1]).suffix in {".py", ".sql"}:
        return match[0], error[match.end() :]
    return "", error


def _without_carets(text: str) -> str:
    """Return a text without lines of carets, which point into a line that masking has changed."""
    lines = text.splitlines()
    return "\n".join(line for line in lines if not _CARET.fullmatch(line))


def _quotes_no_value(error: BaseException) -> bool:
    """Return whether an exception is ours, was raised by our own code, and quotes no value."""
    if not isinstance(error, AssayError) or type(error).__name__ not in _WITHOUT_VALUES:
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return not frames or frames[-1].filename.startswith(f"{PACKAGE}/")


def words_of_code(error: BaseException) -> frozenset[str]:
    """Return the words of the code that an exception passed through, and its class name."""
    if isinstance(error, RemoteError):
        return error.words
    words = of_trace(error.__traceback__)
    kind = type(error)
    is_declared = getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind
    return words | {kind.__name__} if is_declared else words


def _declared_names(graph: Graph, product: Product) -> Iterator[str]:
    """Yield the names in the declarations of a product and of what it reads."""
    yield from (product.name, product.file, *of_sql(product.sql))
    for item in product.inputs:
        yield from (item.alias, item.name)
    for name in (product.name, *product.reads):
        yield name
        if name in graph.sources:
            source = graph.sources[name]
            yield source.pattern
            columns = (*source.columns, *source.path_columns)
        else:
            columns = graph.products[name].contract.columns
        yield from (column.name for column in columns)


def of_source(fault: SourceFault, graph: Graph) -> str:
    """Return the message of a fault in a source's file.

    The value at fault is shown unless a product downstream of the source declares its column as
    sensitive.
    """
    patterns = graph.sensitive_in_source(fault.source)
    notes = "".join(f"\n{note}" for note in notes_of(fault))
    told = fault.texts(shown=lambda column: not secret([column], patterns))
    return masked(f"{told}{notes}")
