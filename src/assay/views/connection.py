"""A DuckDB connection whose views of published tables are created when a text names them.

A view of each of ten thousand tables would take seconds to create, for a query that reads two.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from assay.engines import duckdb as duck
from assay.engines.damage import damage_reported
from assay.engines.quoting import dotted, identifier
from assay.views.published import Published

if TYPE_CHECKING:
    import duckdb

_WORD = re.compile(r"\w+")
# A text with one of these words may ask which tables there are, or read one by a name that is
# computed. A transaction does not see views that are created on another connection after it began.
_ASKS_FOR_ALL = {
    *("show", "pragma", "information_schema", "pg_catalog", "sqlite_master", "sqlite_schema"),
    *("query", "query_table", "export", "begin", "transaction"),
}
_ASKS_FOR_ALL_PREFIX = "duckdb_"


def connection_to(products: Published, names: Iterable[str]) -> "duckdb.DuckDBPyConnection":
    """Return a connection to these tables, by full names; a bare name is one if it is unique."""
    import duckdb

    connection = duckdb.connect()
    duck.in_utc(connection)
    views = _Views(products, names)
    views.create_schemas(connection)
    return _with(connection, views)


class _Views:
    """The views of an instance of DuckDB that were created, and those that may be."""

    def __init__(self, products: Published, names: Iterable[str]) -> None:
        self._products, self._lock = products, Lock()
        self._missing: dict[
            str, list[str]
        ] = {}  # full names of tables without a view, by bare name
        for name in names:
            self._missing.setdefault(name.partition(".")[2], []).append(name)

    def create_schemas(self, connection: "duckdb.DuckDBPyConnection") -> None:
        """Create a schema for each domain."""
        domains = {name.partition(".")[0] for names in self._missing.values() for name in names}
        for domain in sorted(domains):
            connection.execute(f"create schema if not exists {identifier(domain)}")

    def create(
        self, texts: Iterable[str], cursor: "Callable[[], duckdb.DuckDBPyConnection]"
    ) -> None:
        """Create the missing views that these texts may need, also when they only look like it.

        `cursor` returns a connection of its own.
        """
        with self._lock:
            if not self._missing:
                return
            words = {word for text in texts for word in _WORD.findall(text.lower())}
            if words & _ASKS_FOR_ALL or any(w.startswith(_ASKS_FOR_ALL_PREFIX) for w in words):
                words = set(self._missing)
            if wanted := [word for word in words if word in self._missing]:
                apart = cursor()  # a rollback must not drop them
                try:
                    for bare in sorted(wanted):
                        self._create(bare, apart)
                finally:
                    apart.close()

    def _create(self, bare: str, connection: "duckdb.DuckDBPyConnection") -> None:
        tables = self._products.stored(self._missing[bare])
        views = {name: duck.parquet(table) for name, table in tables.items()}
        if len(views) == 1:
            views[bare] = f"from {dotted(*views)}"
        with damage_reported(tables.values()):
            duck.create_views(connection, views)
        del self._missing[bare]


_VIEWS: "WeakKeyDictionary[Any, _Views]" = WeakKeyDictionary()


def _with(connection: "duckdb.DuckDBPyConnection", views: _Views) -> "duckdb.DuckDBPyConnection":
    _VIEWS[connection] = views
    connection.__class__ = _kind()  # DuckDB has no constructor that could be called instead
    return connection


@cache
def _kind() -> Any:
    """Return the class of connections that create views before DuckDB reads a text."""
    import duckdb

    class Connection(duckdb.DuckDBPyConnection):
        __slots__ = ()  # the layout of its instances is that of DuckDB's

        def cursor(self) -> "duckdb.DuckDBPyConnection":
            """Return another connection to the same instance, with the same views."""
            return _with(super().cursor(), _VIEWS[self])

        def duplicate(self) -> "duckdb.DuckDBPyConnection":
            """Return another connection to the same instance, with the same views."""
            return _with(super().duplicate(), _VIEWS[self])

        def begin(self) -> "duckdb.DuckDBPyConnection":
            """Begin a transaction, which sees all views."""
            _VIEWS[self].create(["begin"], super().cursor)
            return super().begin()

    def reading(name: str) -> Any:
        plain = getattr(duckdb.DuckDBPyConnection, name)

        def read(self: Any, *given: Any, **named: Any) -> Any:
            texts = _texts([*given[:1], *named.values()])
            _VIEWS[self].create(texts, super(Connection, self).cursor)
            return plain(self, *given, **named)

        read.__name__, read.__doc__ = name, plain.__doc__
        return read

    for name in ("execute", "executemany", "sql", "query", "from_query", "table", "view"):
        setattr(Connection, name, reading(name))
    return Connection


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """Yield the texts among these values, and those of statements."""
    for value in values:
        text = value if isinstance(value, str) else getattr(value, "query", "")
        if isinstance(text, str):
            yield text
