"""The declarations as last read, stored as data: a no-op imports neither them nor an engine.

A manifest is valid only while every byte that the declarations depend on is unchanged: definition
modules and all project-local modules they import, SQL files, the files they read and the folders
they listed when imported, what `[tool.products] reads` names, the configuration, and the code and
libraries that read them. It holds no code: nothing in it is executed without reading the
definitions again.

Three caches make it faster to read the definitions again: of parsed queries, of the functions of
each file, and of the contracts of pandera models (`CONTRACTS`). A fourth has what was found of
products without data (`BOUND`). All files have a header on the first line, with the SHA-256 of the
body that follows.
"""

import fcntl
import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

from msgspec import MsgspecError, Struct
from msgspec.json import decode

from assay.amounts import amount
from assay.budgets import budget_of
from assay.config import Config
from assay.declare.dependencies import Modules, made_from, tools
from assay.declare.pysource import DigestCache
from assay.engines.sql.reader import Parsed, bare
from assay.engines.sql.tables import SqlTable
from assay.engines.types import is_zone
from assay.jsonform import encode
from assay.model import Access, Freshness, Product, Rule, Source, WorkCalendar
from assay.plan.digests import digest
from assay.plan.due_times import wrong_cron
from assay.plan.graph import Graph
from assay.plan.window_text import covers_of, share_of
from assay.plan.windows import window_of
from assay.store.files import stamp_of
from assay.store.permissions import claim, create
from assay.times import settled_before, while_of

FILE, QUERIES, FUNCTIONS = "manifest.json", "queries.json", "functions.json"
PAST_QUERIES = "past_queries.json"
BOUND = "bound.json"
CONTRACTS = "contracts.json"
# Raised by reading a file that is missing, damaged, or was not written by this module.
_UNREADABLE = (MsgspecError, OSError, ValueError, LookupError, TypeError, RecursionError)


class _ManifestHeader(Struct):
    """`made_from` is the digest of what declarations depend on, `files` besides modules."""

    made_from: str
    files: list[str]
    body: str = ""


class _CacheHeader(Struct, array_like=True):
    """`tools` is the digest of the code and libraries that wrote a cache."""

    tools: str
    body: str = ""


class _Declared(Struct):
    """The body of the manifest; `order` has the numbers of products in the graph's order."""

    sources: list[Source]
    products: list[Product]
    order: list[int]
    calendars: list[WorkCalendar]


class _ProductAccess(Struct):
    name: str
    access: Access = Access.PUBLIC


class _DeclaredAccess(Struct):
    """What the body of the manifest says of who may read each product."""

    products: list[_ProductAccess]


_ACCESS: dict[
    Path, tuple[tuple[int, ...], Mapping[str, Access]]
] = {}  # by manifest, with its stamp
H = TypeVar("H", _ManifestHeader, _CacheHeader)
T = TypeVar("T")


# ------------------------------------------------------------------------------------ the manifest


class Manifest(Struct, frozen=True, kw_only=True):
    """What a manifest holds: the graph, and the digest of what it was `made_from`.

    - `files`: what the declarations depend on besides modules.
    - `stamp`: differs for another file, and after a change of the file.
    """

    graph: Graph
    made_from: str
    files: Sequence[str]
    stamp: tuple[int, ...]


def valid_manifest(
    config: Config, before: Manifest | None = None, modules: Modules | None = None
) -> Manifest | None:
    """Return the manifest; None when anything that it depends on has changed.

    The file is not read if it is the one that was read `before`. `modules` are the definition
    modules, if they were looked at just now.
    """
    try:
        stamp = stamp_of((config.state / FILE).stat())
        if before and before.stamp == stamp:
            is_same = before.made_from == made_from(config, before.files, modules)
            return before if is_same else None
        header, body = _read(config, FILE, _ManifestHeader)
        if header.made_from != made_from(config, header.files, modules):
            return None
        graph = _graph_of(decode(body, type=_Declared))
        return Manifest(graph=graph, made_from=header.made_from, files=header.files, stamp=stamp)
    except _UNREADABLE:
        return None


def read_manifest(config: Config) -> Graph | None:
    """Return the graph as last read; None when anything that it depends on has changed."""
    manifest = valid_manifest(config)
    return manifest.graph if manifest else None


def last_manifest(config: Config) -> tuple[Graph, datetime] | None:
    """Return the graph as last read, even if outdated, and when that was (UTC); None if damaged."""
    try:
        _, body = _read(config, FILE, _ManifestHeader)
        graph = _graph_of(decode(body, type=_Declared))
        written_at = (config.state / FILE).stat().st_mtime
        return graph, datetime.fromtimestamp(written_at, UTC)
    except _UNREADABLE:
        return None


def last_access(config: Config) -> Mapping[str, Access]:
    """Return who may read each product, as last read; of no product if that cannot be read.

    The file is read again only after it was written again.
    """
    file = config.state / FILE
    try:
        stamp = stamp_of(file.stat())
        if (known := _ACCESS.get(file)) and known[0] == stamp:
            return known[1]
        _, body = _read(config, FILE, _ManifestHeader)
        access = {each.name: each.access for each in decode(body, type=_DeclaredAccess).products}
    except _UNREADABLE:
        return {}
    _ACCESS[file] = (stamp, access)
    return access


def graph_in(file: Path) -> Graph | None:
    """Return the graph in a copy of a manifest, wherever it is; None for any other file."""
    try:
        _, body = _read_file(file, _ManifestHeader)
        return _graph_of(decode(body, type=_Declared))
    except _UNREADABLE:
        return None


def encoded_graph(graph: Graph) -> bytes:
    """Return a graph as the body of a manifest."""
    return encode(_declared(graph))


def decoded_graph(body: bytes) -> Graph | None:
    """Return the graph of `encoded_graph()`; None for an impossible one."""
    try:
        return _graph_of(decode(body, type=_Declared))
    except _UNREADABLE:
        return None


def write_manifest(config: Config, graph: Graph, files: list[str], stamp: str) -> None:
    """Store a graph for the next run; `stamp` is `made_from()` with `files`."""
    _write(config, FILE, _ManifestHeader(stamp, files), _declared(graph))


def _declared(graph: Graph) -> _Declared:
    index = {name: number for number, name in enumerate(graph.products)}
    order = [index[name] for name in graph.order]
    sources, products = [*graph.sources.values()], [*graph.products.values()]
    return _Declared(sources, products, order, [*graph.calendars.values()])


def _graph_of(declared: _Declared) -> Graph:
    """Return a stored graph; ValueError, LookupError or TypeError for an impossible one."""
    products = {product.name: product for product in declared.products}
    sources = {source.name: source for source in declared.sources}
    calendars = {calendar.name: calendar for calendar in declared.calendars}
    graph = Graph(products, sources, calendars)
    names = {*products, *graph.sources}
    for product in declared.products:
        if not (product.domain and product.bare):
            raise ValueError(f"{product.name!r} is no name of a product")
        if not names.issuperset(product.reads):
            raise LookupError(f"{product.name} reads something unknown")
        for rule in product.contract.rules:
            _check_rule(rule)
        for day in product.contract.deprecated.values():
            date.fromisoformat(day)
        if product.budget:
            budget_of(product.budget)
    for calendar in declared.calendars:
        if not calendar.weekdays or not set(range(7)).issuperset(calendar.weekdays):
            raise ValueError(f"{calendar.name} has no days of the week")
    promises = {product.freshness for product in declared.products}
    for promise in promises | {source.freshness for source in declared.sources}:
        if promise:
            _check_promise(promise, calendars)
    by_number = list(products)
    graph.keep_order(by_number[number] for number in declared.order)
    return graph


def _check_rule(rule: Rule) -> None:
    """Raise ValueError or TypeError for a rule that no declaration can produce."""
    if rule.review_by:
        date.fromisoformat(rule.review_by)
    for limit in filter(None, (rule.warn_above, rule.fail_above)):
        amount(limit)
    if rule.closes or rule.tz != "UTC":
        closes = rule.closes or "start of day"
        settled_before(closes, datetime(2000, 1, 1, tzinfo=UTC), rule.tz, rule.grace)
    demand = rule.demand
    if demand and demand.kind == "condition" and not isinstance(demand.arguments["sql"], str):
        raise TypeError("a condition is no text")


def _check_promise(promise: Freshness, calendars: Mapping[str, WorkCalendar]) -> None:
    """Raise ValueError for a promise that no declaration can produce."""
    if sum(map(bool, (promise.by, promise.every, promise.within))) != 1:
        raise ValueError("a promise falls due in one way")
    window_of(promise, calendars)  # reads its days and times
    covers_of(promise.covers)
    for length in filter(None, (promise.within, promise.warn_before)):
        if not while_of(length):
            raise ValueError(f"{length!r} is no length of time")
    if promise.at_least:
        share_of(promise.at_least)
    if not is_zone(promise.tz):
        raise ValueError(f"{promise.tz!r} is no time zone")
    if promise.every and (wrong := wrong_cron(promise.every)):
        raise ValueError(wrong)


# -------------------------------------------------------------------------------------- the caches


def read_queries(config: Config) -> dict[str, Parsed]:
    """Return the parsed queries of the last reading, if the same libraries parsed them.

    The statement that would run is never taken from the file: it is made from the text that is
    looked up.
    """
    stored = read_cache(config, QUERIES, dict[str, tuple[str, list[tuple[str, str, int]]]])
    queries = {}
    for text, (meaning, rows) in stored.items():
        if ";" not in text:
            tables = tuple(SqlTable(*row) for row in rows)
            queries[text] = Parsed(meaning=meaning, statement=bare(text), tables=tables)
    return queries


def write_queries(config: Config, queries: Mapping[str, Parsed]) -> None:
    """Store parsed queries for the next reading, except those with clocks or a semicolon."""
    stored = {
        text: [
            parsed.meaning,
            [[table.schema, table.name, table.offset] for table in parsed.tables],
        ]
        for text, parsed in queries.items()
        if ";" not in text and not parsed.moving
    }
    write_cache(config, QUERIES, stored)


def read_functions(config: Config) -> dict[str, DigestCache]:
    """Return what the functions of each file are digested to, by the SHA-256 of the file."""
    return read_cache(config, FUNCTIONS, dict[str, DigestCache])


def write_functions(config: Config, files: Mapping[str, DigestCache]) -> None:
    """Store what the functions of each file are digested to, by the SHA-256 of the file."""
    write_cache(config, FUNCTIONS, files)


def read_cache(config: Config, name: str, kind: type[dict[str, T]]) -> dict[str, T]:
    """Return what a cache holds; nothing if other code or libraries wrote it."""
    with suppress(*_UNREADABLE):
        header, body = _read(config, name, _CacheHeader)
        if header.tools == digest(tools()):
            return decode(body, type=kind)
    return {}


def write_cache(config: Config, name: str, stored: Mapping[str, Any]) -> None:
    """Store a cache for as long as the same code and libraries read it."""
    _write(config, name, _CacheHeader(digest(tools())), stored)


def read_kept(config: Config, name: str) -> dict[str, str]:
    """Return texts that stay, whatever code and libraries wrote them; none if there are none."""
    with suppress(*_UNREADABLE):
        _, body = _read(config, name, _CacheHeader)
        return decode(body, type=dict[str, str])
    return {}


def write_kept(config: Config, name: str, stored: Mapping[str, str]) -> None:
    """Store texts for good."""
    _write(config, name, _CacheHeader(""), stored)


# --------------------------------------------------------------------------------------- the files


def _read(config: Config, name: str, header_type: type[H]) -> tuple[H, memoryview]:
    """Return the header and the body (up to 100 MB) of a file; ValueError for a damaged body."""
    return _read_file(config.state / name, header_type)


def _read_file(file: Path, header_type: type[H]) -> tuple[H, memoryview]:
    content = file.read_bytes()
    end = content.index(b"\n")
    header = decode(content[:end], type=header_type)
    body = memoryview(content)[end + 1 :]
    if header.body != _sha(body):
        raise ValueError(f"the body of {file.name} is not the one that was written")
    return header, body


def _write(config: Config, name: str, header: H, body: Any) -> None:
    """Write a file, with the SHA-256 of its body in the header.

    A folder that cannot be written to only makes the next run slower.
    """
    with suppress(OSError, UnicodeEncodeError):
        content = encode(body)
        header.body = _sha(content)
        _make_state(config)
        _replace(config.state / name, encode(header) + b"\n" + content)


def _make_state(config: Config) -> None:
    """Make the folder of a project's state with the configured permissions, ignored by git."""
    claim(config.state, config.access)
    ignore = config.state / ".gitignore"
    if not ignore.exists() or not ignore.stat().st_size:
        with os.fdopen(create(ignore, os.O_WRONLY), "w") as out:
            out.write("*\n")


def _replace(file: Path, content: bytes) -> None:
    """Write a file atomically, unless another process is writing it.

    The temporary file of a killed process is overwritten.
    """
    temporary = file.with_name(f"{file.name}.tmp")
    with os.fdopen(create(temporary, os.O_WRONLY | os.O_APPEND), "ab") as out:
        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(out.fileno()), temporary.stat()):
            return  # another process has renamed it to `file` since it was opened
        try:
            out.truncate(0)
            out.write(content)
            out.flush()
            temporary.replace(file)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def _sha(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()
