"""Finds out whether an engine failed because of a damaged file, and names the file."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from assay.engines.tables import StoredTable, unreadable
from assay.errors import StoreError, remedy
from assay.store.files import file_digest

_ENGINES = {"duckdb", "_duckdb", "polars", "pyo3_runtime", "pyarrow", "builtins"}
# What engines raise for bytes that they cannot read; mistakes in a query have other classes.
_READ_ERRORS = {
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
    """Turn an engine's error into StoreError if a file of the tables that it reads is damaged.

    Each file is read once, whole, and only after such an error.
    """
    try:
        yield
    except BaseException as error:
        if _may_be_damage(error) and (damage := damaged(tables)):
            raise damage from None
        raise


def damaged(tables: Iterable[StoredTable]) -> StoreError | None:
    """Return the error for the first damaged file of these tables; None if there is none."""
    for table in tables:
        if table.origin is None:
            continue
        for file, checksum in table.origin.sums.items():
            try:
                intact = file_digest(file) == checksum
                problem = "" if intact else "is not what was written: its SHA-256 is another"
            except OSError as error:
                if remedy(error):
                    return None  # the machine lacks something, open files, say: no file is damaged
                problem = f"cannot be read: {error.strerror or error}"
            if problem:
                origin = table.origin
                return unreadable(origin.product, origin.version, f"{file} {problem}")
    return None


def _may_be_damage(error: BaseException) -> bool:
    kind = type(error)
    return kind.__module__.partition(".")[0] in _ENGINES and kind.__name__ in _READ_ERRORS
