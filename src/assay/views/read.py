"""Reads published products from Python: `read`, `connect` and `path`, without user modules."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assay.config import Config, find_config
from assay.declare.manifest import last_access
from assay.engines import polars as lazy
from assay.errors import UsageError
from assay.facts import Version
from assay.model import Access
from assay.views.frames import showing_itself
from assay.views.published import AsOf, held_back, published, table_of

if TYPE_CHECKING:
    import duckdb
    import polars as pl


class PartsHeldBack(UserWarning):
    """Parts of a product are held back: they are missing, or are those published before."""


def read(
    name: str, *, as_of: AsOf = None, env: str | None = None, project: Path | str | None = None
) -> "pl.LazyFrame":
    """Return the published version of a product as a LazyFrame.

    `as_of` is a moment (a datetime, or ISO 8601 text; UTC by default) or a release number.
    `project` is a folder in the project (by default the working directory). Raises UsageError for a
    name that is not published, or that is private or protected, and warns (PartsHeldBack) when
    parts of the product are held back.
    """
    products = published(_config(project), env, as_of, [name])
    version = products.version(name)
    _check_access(products.config, version.product)
    if not version.columns:
        raise UsageError(
            f"{version.product} is a file, not a table",
            hint=f"assay.path({version.product!r}) says where it is.",
        )
    _warn([version])
    table = table_of(version, products.storage)

    def html() -> str:
        from assay.views.notebook import html_of_version  # only where it is shown

        return html_of_version(version, table, products.config, products.environment)

    return showing_itself(lazy.parquet(table), html)


def path(
    name: str, *, as_of: AsOf = None, env: str | None = None, project: Path | str | None = None
) -> Path:
    """Return the file of the published version of a product: for a table, a Parquet file.

    Raises UsageError for a table that is stored in several files, as one in parts may be, and for a
    product that is private or protected.
    """
    products = published(_config(project), env, as_of, [name])
    _check_access(products.config, products.version(name).product)
    return products.file(name)


def connect(
    *, as_of: AsOf = None, env: str | None = None, project: Path | str | None = None
) -> "duckdb.DuckDBPyConnection":
    """Return a DuckDB connection with a view for every public table, all from one moment.

    A view is called `domain.name`, and also by the bare name if only one product has it. It is
    created when a text that is given to the connection first names it, or when a text asks which
    tables there are; StoreError if its files are damaged. The time zone is UTC, as it is for
    products.
    """
    from assay.views.connection import connection_to  # reading a product needs no views

    products = published(_config(project), env, as_of)
    access = last_access(products.config)
    public = [name for name in products.tables if _is_public(name, access)]
    held = (name for name in public if products.versions.is_held_in_part(name))
    _warn(products.versions[name] for name in held)
    return connection_to(products, public)


def _config(project: Path | str | None) -> Config:
    return find_config(Path(project) if project else Path.cwd())


def _is_public(name: str, access: Mapping[str, Access]) -> bool:
    """Return whether everyone may read a product; one that is no longer declared is public."""
    return access.get(name, Access.PUBLIC) is Access.PUBLIC


def _check_access(config: Config, name: str) -> None:
    """Raise UsageError for a product that is private or protected."""
    access = last_access(config)
    if not _is_public(name, access):
        of = "this project" if access[name] is Access.PROTECTED else name.partition(".")[0]
        raise UsageError(
            f"{name} is {access[name]}: only products of {of} read it",
            hint=f"`products show {name}` and `products query` look at it;"
            ' declared with access="public", everyone may read it.',
        )


def _warn(versions: Iterable[Version]) -> None:
    for message in filter(None, map(held_back, versions)):
        warnings.warn(message, PartsHeldBack, stacklevel=3)
