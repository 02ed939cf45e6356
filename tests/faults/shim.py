"""Numbers everything that a process does to the world, and kills it at one of these: nothing of this is in the product.

`install` wraps SQLite's and PostgreSQL's statements, file operations, flushes, DuckDB's COPY and Polars' sinks from outside. An operation
is numbered as it begins; the process dies (SIGKILL, by its own hand) before it or after it.
"""

import builtins
import ctypes
import fcntl
import io
import json
import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
NOT_OURS = ("built.log",)  # what the tests' own project writes to tell what ran


class Shim:
    """Counts operations below a folder; at number `at` (0: never) the process dies, before it or `after` it.

    With `words` only operations that are told with them count.
    """

    def __init__(self, root: Path, at: int = 0, *, after: bool = False, words: str = "") -> None:
        self.root, self.at, self.after, self.words, self._count = f"{root}/", at, after, words, 0
        self.told: list[list[Any]] = []
        self._lock, self._busy = threading.Lock(), threading.local()

    def begin(self, what: str, detail: Any) -> int:
        with self._lock:
            self.told.append([what, detail])
            self._count += self.words in str(self.told[-1])
            number = self._count if self.words in str(self.told[-1]) else -1
            if number == self.at and not self.after:
                die()
        return number

    def end(self, number: int) -> None:
        if number == self.at and self.after:
            with self._lock:
                die()

    def around(self, what: str, detail: Any, call: Callable[[], Any]) -> Any:
        """Do one operation; what it does inside itself is part of it."""
        if detail is None or getattr(self._busy, "now", False):
            return call()
        self._busy.now = True
        try:
            number = self.begin(what, detail)
            result = call()
            self.end(number)
            return result
        finally:
            self._busy.now = False

    def place(self, path: Any, folder: int | None = None) -> str | None:
        """Return a path (or a descriptor's) relative to the root; None for what is elsewhere, or not to be counted."""
        try:
            if isinstance(path, int):
                path = os.readlink(f"/proc/self/fd/{path}")
            full = (
                os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
                if folder is not None
                else path
            )
        except OSError:
            return None
        full = os.path.abspath(os.fspath(full))
        ours = full.startswith(self.root) and not full.endswith(NOT_OURS)
        return full.removeprefix(self.root) if ours else None

    def save(self, file: Path) -> None:
        with REAL_OPEN(file, "w") as out:
            json.dump(self.told, out, default=str)


REAL_OPEN = io.open


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def install(shim: Shim) -> None:
    """Wrap what this process does from now on."""
    _files(shim)
    _database(shim)
    _engines(shim)


def _files(shim: Shim) -> None:
    for name in (
        "unlink",
        "remove",
        "rmdir",
        "mkdir",
        "chmod",
        "fsync",
        "truncate",
        "ftruncate",
        "link",
        "symlink",
    ):
        _wrap(shim, os, name, lambda path, *_, dir_fd=None, **__: shim.place(path, dir_fd))
    for name in ("replace", "rename"):
        _wrap(
            shim,
            os,
            name,
            lambda old, new, **_: shim.place(new) and [shim.place(old), shim.place(new)],
        )
    _wrap(
        shim,
        os,
        "open",
        lambda path, flags, *_, **__: shim.place(path) if flags & WRITING else None,
    )
    _wrap(shim, fcntl, "flock", lambda descriptor, *_: shim.place(descriptor))
    for name in ("copyfile", "copyfileobj", "copy", "copy2"):
        _wrap(
            shim,
            shutil,
            name,
            lambda *paths, **_: shim.place(paths[1]) if isinstance(paths[1], str | Path) else None,
        )

    def written(file: Any, mode: str = "r", *_: Any, **__: Any) -> str | None:
        return shim.place(file) if set(mode) & set("wax+") else None

    for module in (builtins, io):
        _wrap(shim, module, "open", written)
    real = ctypes.CDLL

    def library(name: str | None, *given: Any, **named: Any) -> Any:
        found = real(name, *given, **named)
        return _Library(shim, found) if name is None else found

    ctypes.CDLL = library  # type: ignore[misc, assignment]


class _Library:
    """The C library, of which `syncfs` is watched."""

    def __init__(self, shim: Shim, real: Any) -> None:
        self._shim, self._real = shim, real

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name != "syncfs":
            return found
        return lambda descriptor: self._shim.around(
            "syncfs", self._shim.place(descriptor), lambda: found(descriptor)
        )


def _database(shim: Shim) -> None:
    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> Any:
            return shim.around(
                "sql", [sql, *values], lambda: super(Connection, self).execute(sql, *values)
            )

        def executemany(self, sql: str, rows: Iterable[Any]) -> Any:
            def each() -> Iterator[Any]:
                for row in rows:
                    shim.begin("sql", [sql, list(row)])
                    yield row

            number = shim.begin("sql", [sql, "many"])
            result = super().executemany(sql, each())
            shim.end(number)
            return result

    import psycopg

    def asked(_: Any, query: bytes | str, *values: Any, **__: Any) -> list[Any]:
        return [query if isinstance(query, str) else query.decode(), *map(str, values)]

    _wrap(shim, psycopg.Connection, "execute", asked, "sql")
    _wrap(shim, psycopg.Cursor, "executemany", asked, "sql")
    real = sqlite3.connect
    sqlite3.connect = lambda *given, **named: real(*given, **named, factory=Connection)  # type: ignore[assignment]


def _engines(shim: Shim) -> None:
    import duckdb
    import polars as pl

    def copying(connection: Any, query: Any, *_: Any, **__: Any) -> str | None:
        return str(query)[:80] if str(query).lstrip().lower().startswith("copy") else None

    _wrap(shim, duckdb.DuckDBPyConnection, "execute", copying)
    _wrap(shim, pl.LazyFrame, "sink_parquet", lambda frame, path, *_, **__: str(path))


def _wrap(shim: Shim, owner: Any, name: str, detail: Callable[..., Any], told_as: str = "") -> None:
    if not hasattr(owner, name):
        return
    real = getattr(owner, name)

    @wraps(real)
    def call(*given: Any, **named: Any) -> Any:
        try:
            told = detail(*given, **named)
        except (TypeError, ValueError):
            told = None
        return shim.around(told_as or name, told, lambda: real(*given, **named))

    setattr(owner, name, call)
