"""Loads the library `sqlglot`, which reads other dialects and compares queries; an extra."""

import logging
from types import ModuleType

from assay.errors import UsageError


def library(purpose: str) -> ModuleType:
    """Return the package `sqlglot`; raise UsageError, which says how to install it, if it is absent.

    `purpose` is what needs it, and begins the message.
    """
    try:
        import sqlglot
    except ModuleNotFoundError as error:
        if error.name != "sqlglot":
            raise
        message = f"{purpose} needs the package sqlglot"
        raise UsageError(message, hint="pip install 'assay[sql]'") from None
    _hush()
    return sqlglot


def _hush() -> None:
    """Keep what the library logs, about text that it cannot read, off the terminal."""
    logger = logging.getLogger("sqlglot")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
