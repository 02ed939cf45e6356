"""Tells whether an engine stumbled over a stored file that is not what was written, and which product's it is."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from assay.engines.feed import Table, unreadable
from assay.errors import StoreError
from assay.storage import file_digest

_ENGINES = {"duckdb", "_duckdb", "polars", "pyo3_runtime", "pyarrow", "builtins"}
# What engines raise for bytes that they cannot make sense of; mistakes in a query are called otherwise.
_STUMBLES = {
    "IOException", "InvalidInputException", "SerializationException", "InternalException", "FatalException", "Error",
    "ComputeError", "PanicException", "OSError", "FileNotFoundError", "PermissionError", "ArrowInvalid",
}  # fmt: skip


@contextmanager
def blaming(tables: Iterable[Table]) -> Iterator[None]:
    """Turn the error of an engine that reads these into StoreError when a file of them is not what was written.

    Only then are the files read for it: each once, whole.
    """
    try:
        yield
    except BaseException as error:
        kind = type(error)
        if kind.__module__.partition(".")[0] in _ENGINES and kind.__name__ in _STUMBLES and (told := damaged(tables)):
            raise told from None
        raise


def damaged(tables: Iterable[Table]) -> StoreError | None:
    """Return what is to be said of the first file of these that is not what was written; None when all are."""
    for table in tables:
        if table.behind is None:
            continue
        for file, checksum in table.behind.sums.items():
            found = ""
            with suppress(OSError):
                found = file_digest(file)
            if found != checksum:
                wrong = "is not what was written: its SHA-256 is another" if found else "cannot be read"
                return unreadable(table.behind.product, table.behind.version, f"{file} {wrong}")
    return None
