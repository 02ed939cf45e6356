"""Tells whether an engine stumbled over a stored file that is not what was written, and which product's it is."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from assay.engines.tables import StoredTable, unreadable
from assay.errors import StoreError, remedy
from assay.store.files import file_digest

_ENGINES = {"duckdb", "_duckdb", "polars", "pyo3_runtime", "pyarrow", "builtins"}
# What engines raise for bytes that they cannot make sense of; mistakes in a query are called otherwise.
_STUMBLES = {
    "IOException",
    "InvalidInputException",
    "SerializationException",
    "InternalException",
    "FatalException",
    "Error",
    "ComputeError",
    "PanicException",
    "OSError",
    "FileNotFoundError",
    "PermissionError",
    "ArrowInvalid",
}


@contextmanager
def damage_reported(tables: Iterable[StoredTable]) -> Iterator[None]:
    """Turn the error of an engine that reads these into StoreError when a file of them is not what was written.

    Only then are the files read for it: each once, whole.
    """
    try:
        yield
    except BaseException as error:
        kind = type(error)
        if (
            kind.__module__.partition(".")[0] in _ENGINES
            and kind.__name__ in _STUMBLES
            and (told := damaged(tables))
        ):
            raise told from None
        raise


def damaged(tables: Iterable[StoredTable]) -> StoreError | None:
    """Return what is to be said of the first file of these that is not what was written; None when all are."""
    for table in tables:
        if table.behind is None:
            continue
        for file, checksum in table.behind.sums.items():
            try:
                wrong = (
                    ""
                    if file_digest(file) == checksum
                    else "is not what was written: its SHA-256 is another"
                )
            except OSError as error:
                if remedy(error):
                    return None  # want of open files, say, is no fault of this one
                wrong = f"cannot be read: {error.strerror or error}"
            if wrong:
                return unreadable(table.behind.product, table.behind.version, f"{file} {wrong}")
    return None
