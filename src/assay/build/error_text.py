"""What a user reads of an exception: ours as worded, others with their place in the user's code."""

import os
import re
import traceback
from collections.abc import Collection

from msgspec.structs import replace

from assay.config import PACKAGE
from assay.errors import AssayError, ResultRefused, TypeRefused, remedy, words_of
from assay.events import Failed
from assay.model import Product
from assay.sensitive import masked

_NOTES, _LONGEST = 1000, 4000  # characters of notes and of messages that are not ours
_LINE = re.compile(r"^LINE (\d+):")
_FILE = re.compile(r"\s*file\s*=\s*(\S.*)")  # how DuckDB names the CSV file with the error


class RemoteError(Exception):
    """An exception in another process: its class name, and what that process reports of it.

    `retryable`: another try may succeed. `words` are those of the code that the exception passed
    through.
    """

    def __init__(
        self, kind: str, failed: Failed, *, retryable: bool, words: Collection[str] = ()
    ) -> None:
        super().__init__(failed.error)
        self.kind, self.failed, self.retryable = kind, failed, retryable
        self.words = frozenset(words)


def describe_error(error: BaseException, root: str, product: Product) -> Failed:
    """Return what is shown of an exception: place, message, notes, and what to do about it."""
    failed = _without_hint(error, root, product)
    hint = "" if isinstance(error, RemoteError) else remedy(error)
    return replace(failed, error=f"{failed.error}\n{hint}") if hint else failed


def library_of(error: BaseException) -> str:
    """Return the top-level package that an exception's class is from, such as `duckdb`."""
    return type(error).__module__.strip("_").partition(".")[0]


def notes_of(error: BaseException) -> list[object]:
    """Return the notes on an exception, whatever the user's code has put there."""
    notes = getattr(error, "__notes__", ())
    return list(notes) if isinstance(notes, list | tuple) else [notes]


def _without_hint(error: BaseException, root: str, product: Product) -> Failed:
    notes = masked("".join(f"\n{note}" for note in notes_of(error))[:_NOTES])
    if isinstance(error, RemoteError):
        return replace(error.failed, error=f"{error.failed.error}{notes}")
    if isinstance(error, AssayError):
        return Failed(error=f"{_place_of_ours(error, product)}{masked(str(error))}{notes}")
    frame = _last_frame(error, root)
    place = _place(error, frame, root, product)
    if library_of(error) == "duckdb":
        message, detail = _of_duckdb(error, root)
        if product.dialect and detail:
            detail += (
                f"\nThe lines are those of the query as translated from {product.dialect}:"
                f" products show {product.name} --sql"
            )
        return Failed(error=f"{place}{message}{notes}", detail=detail)
    line = masked((frame.line or "").strip()[:_LONGEST]) if frame else ""
    return Failed(error=f"{place}{_of_python(error)}{notes}", detail=line)


def _place_of_ours(error: AssayError, product: Product) -> str:
    """Return the place of a product whose result is refused; '' for other errors."""
    is_of_result = isinstance(error, ResultRefused | TypeRefused) and not error.where
    return f"{product.where}: " if is_of_result else ""


def _last_frame(error: BaseException, root: str) -> traceback.FrameSummary | None:
    """Return the last frame of an exception that is in the user's own code."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = frame.filename
        is_installed = file.startswith(PACKAGE) or "site-packages" in file
        if file.startswith(f"{root}/") and not is_installed:
            return frame
    return None


def _place(
    error: BaseException, frame: traceback.FrameSummary | None, root: str, product: Product
) -> str:
    """Return where an exception was raised in the user's code, or where the product is declared."""
    if frame:
        return f"{os.path.relpath(frame.filename, root)}:{frame.lineno}: "
    if remedy(error):  # the machine lacks something: the declaration is not at fault
        return ""
    return f"{product.where}: "


def _of_duckdb(error: BaseException, root: str) -> tuple[str, str]:
    """Return the first line of DuckDB's message, which names the kind, and the rest as detail."""
    message, *lines = masked(str(error)).strip().splitlines() or [""]
    # We put one line above the user's query.
    lines = [_LINE.sub(lambda match: f"LINE {int(match[1]) - 1}:", line) for line in lines]
    for line in lines:
        if match := _FILE.fullmatch(line):
            message += f" ({os.path.relpath(match[1], root)})"
            break
    detail = "\n".join(line for line in lines if line.strip())
    return message[:_LONGEST], detail[:_LONGEST]


def _of_python(error: BaseException) -> str:
    """Return kind and message of an exception; of Polars' the first line, above a query plan."""
    message = words_of(error)
    if library_of(error) in {"polars", "pyo3_runtime"}:
        message = message.partition("\n")[0]
    return f"{type(error).__name__}: {message}"
