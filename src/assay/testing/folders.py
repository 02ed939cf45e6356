"""Folders in which tests build, which are removed afterwards."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def folder() -> Iterator[Path]:
    """Give a folder that is removed afterwards, with everything that was built in it."""
    path = Path(tempfile.mkdtemp(prefix="assay-test-"))
    try:
        yield path.resolve()
    finally:
        shutil.rmtree(path, ignore_errors=True)
