"""The declarations as last read, kept as data, so that a run with nothing to do imports neither them nor an engine.

A manifest counts only while every byte it was made from is the same: definition modules and all project-local modules
they import, SQL files, the files they read and the folders they listed as they were imported, what `[tool.products]
reads` names, the configuration, and the code and libraries that read them. It holds no code: nothing in it is ever run
except by reading the definitions again.
"""

import fcntl
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import cache
from glob import glob
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from msgspec import MsgspecError, Struct
from msgspec.json import decode
from msgspec.structs import asdict

from assay.config import PACKAGE, Config
from assay.declare.files import definition_files
from assay.declare.pysource import Known
from assay.engines.sql.reader import Parsed, SqlTable, bare
from assay.jsonform import encode
from assay.model import Product, Rule, Source
from assay.plan.digests import digest
from assay.plan.graph import Graph
from assay.store.files import stamp_of
from assay.store.permissions import claim, create
from assay.times import settled_before

QUERIES, FUNCTIONS = "queries.json", "functions.json"  # what is kept of reading definitions
FILE = "manifest.json"
_NOT_READ = {"root", "catalog"}  # settings that declarations do not depend on
_LIBRARIES = ("duckdb", "polars", "pandera", "msgspec")
_UNLIKE = (
    MsgspecError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    RecursionError,
)  # nothing that was written here
T = TypeVar("T")


class _MadeFrom(Struct):
    """The first line: the digest of what the rest was made from, the files besides definition modules, its SHA-256."""

    made_from: str
    files: list[str]
    body: str


class _Declared(Struct):
    """The second line: what is declared, and where each product comes in the order of the graph."""

    sources: list[Source]
    products: list[Product]
    order: list[int]


def read_manifest(config: Config) -> Graph | None:
    """Return the graph as last read, or None when anything that it was made from has changed."""
    try:
        first, body = _split((config.state / FILE).read_bytes())
        told = decode(first, type=_MadeFrom)
        if told.made_from != made_from(config, told.files) or told.body != _sha(body):
            return None
        return _graph_of(decode(body, type=_Declared))
    except _UNLIKE:
        return None


def last_manifest(config: Config) -> tuple[Graph, datetime] | None:
    """Return the graph as it was last read without a mistake, whatever changed since, and when that was (UTC)."""
    file = config.state / FILE
    try:
        first, body = _split(file.read_bytes())
        if decode(first, type=_MadeFrom).body != _sha(body):
            return None
        return _graph_of(decode(body, type=_Declared)), datetime.fromtimestamp(
            file.stat().st_mtime, UTC
        )
    except _UNLIKE:
        return None


def _graph_of(declared: _Declared) -> Graph:
    """Return the graph that was declared; ValueError, LookupError or TypeError for what no declaration could say."""
    products = {product.name: product for product in declared.products}
    graph = Graph(products, {source.name: source for source in declared.sources})
    known = {*products, *graph.sources}
    for product in declared.products:
        if not (product.domain and product.bare):
            raise ValueError(f"{product.name!r} is no name of a product")
        if not known.issuperset(product.reads):
            raise LookupError(f"{product.name} reads something unknown")
        for rule in product.contract.rules:
            _check(rule)
    names = list(products)
    graph.keep_order(names[index] for index in declared.order)
    return graph


def _check(rule: Rule) -> None:
    if rule.review_by:
        date.fromisoformat(rule.review_by)
    if rule.closes or rule.tz != "UTC":
        settled_before(
            rule.closes or "start of day", datetime(2000, 1, 1, tzinfo=UTC), rule.tz, rule.grace
        )
    if (
        rule.demand
        and rule.demand.kind == "condition"
        and not isinstance(rule.demand.arguments["sql"], str)
    ):
        raise TypeError("a condition is no text")


def write_manifest(config: Config, graph: Graph, files: Iterable[Path | str], stamp: str) -> None:
    """Keep a graph for the next run; a folder that cannot be written to only makes the next run slower."""
    index = {name: number for number, name in enumerate(graph.products)}
    order = [index[name] for name in graph.order]
    try:
        body = encode(_Declared([*graph.sources.values()], [*graph.products.values()], order))
        first = encode(_MadeFrom(stamp, relative(config, files), _sha(body)))
        _make_state(config)
        _put(config.state / FILE, first + b"\n" + body)
    except (OSError, UnicodeEncodeError):
        pass


def _make_state(config: Config) -> None:
    """Make the folder of a project's state, for whom the settings say, and keep it from version control."""
    claim(config.state, config.access)
    ignore = config.state / ".gitignore"
    if not ignore.exists() or not ignore.stat().st_size:
        with os.fdopen(create(ignore, os.O_WRONLY), "w") as out:
            out.write("*\n")


def recall_queries(config: Config) -> dict[str, Parsed]:
    """Return what the queries of the definitions were parsed to when they were read last, by the same libraries.

    What would run is never taken from there: the statement is made of the text that is asked about.
    """
    return {
        text: Parsed(
            meaning=meaning,
            statement=bare(text),
            tables=tuple(SqlTable(*table) for table in tables),
        )
        for text, (meaning, tables) in _kept(
            config, QUERIES, dict[str, tuple[str, list[tuple[str, str, int]]]]
        ).items()
        if ";" not in text
    }


def keep_queries(config: Config, parsed: Mapping[str, Parsed]) -> None:
    """Keep what queries were parsed to for the next time that definitions are read."""
    stored = {
        text: [p.meaning, [[t.schema, t.name, t.offset] for t in p.tables]]
        for text, p in parsed.items()
        if ";" not in text and not p.moving
    }
    _keep(config, QUERIES, stored)


def recall_functions(config: Config) -> dict[str, Known]:
    """Return what the functions of each file said when they were read last, by the SHA-256 of the file."""
    return _kept(config, FUNCTIONS, dict[str, Known])


def keep_functions(config: Config, files: Mapping[str, Known]) -> None:
    """Keep what functions say for the next time that definitions are read."""
    _keep(config, FUNCTIONS, files)


def _kept(config: Config, name: str, kind: type[dict[str, T]]) -> dict[str, T]:
    """Return what was kept in a file, by this code and these libraries."""
    with suppress(*_UNLIKE):
        first, body = _split((config.state / name).read_bytes())
        if decode(first) == [digest(_tools()), _sha(body)]:
            return decode(body, type=kind)
    return {}


def _keep(config: Config, name: str, stored: Mapping[str, Any]) -> None:
    with suppress(OSError, UnicodeEncodeError):
        body = encode(stored)
        _make_state(config)
        _put(config.state / name, encode([digest(_tools()), _sha(body)]) + b"\n" + body)


def _split(text: bytes) -> tuple[bytes, memoryview]:
    """Return the first line and the rest, which may be a hundred megabytes; ValueError where there is no second."""
    end = text.index(b"\n")
    return text[:end], memoryview(text)[end + 1 :]


def _put(file: Path, content: bytes) -> None:
    """Write a file as a whole, unless another is just doing that; what one who died left of it is written over."""
    temporary = file.with_name(f"{file.name}.tmp")
    with os.fdopen(create(temporary, os.O_WRONLY | os.O_APPEND), "ab") as out:
        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(out.fileno()), temporary.stat()):
            return  # it was put in its place by now
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


def relative(config: Config, files: Iterable[Path | str]) -> list[str]:
    """Return the files, and folders (with a / behind), besides definition modules, relative to the root, sorted."""
    modules = {str(file) for file in definition_files(config)}
    return sorted({from_root(config, file) for file in {str(file) for file in files} - modules})


def from_root(config: Config, path: str) -> str:
    """Return a path relative to the root, a folder with a / behind."""
    return os.path.relpath(path, config.root) + ("/" if path.endswith("/") else "")


def made_from(config: Config, files: Iterable[str]) -> str:
    """Return the digest of everything that the declarations follow from, `files` besides the definition modules."""
    settings = {name: str(value) for name, value in asdict(config).items() if name not in _NOT_READ}
    modules = [os.path.relpath(f, config.root) for f in definition_files(config)]
    contents = content_digests(config, [*modules, *files])
    return digest([settings, contents, reads_digest(config), package_versions(config), _tools()])


def content_digests(config: Config, paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return each path with a digest of what is there: of a file's bytes, of a folder (with a / behind) its names."""
    root = config.root
    return [
        (p, _names_digest(config, root / p) if p.endswith("/") else _bytes_digest(root / p))
        for p in paths
    ]


def package_versions(config: Config) -> dict[str, str]:
    """Return the versions of the installed packages that count as code, '' for one that is not installed."""
    if not config.packages:
        return {}
    from importlib import metadata  # which takes a tenth of a no-op

    versions: dict[str, str] = {}
    for name in config.packages:
        with suppress(metadata.PackageNotFoundError, ValueError):
            versions[name] = metadata.version(name)
    return {name: versions.get(name, "") for name in config.packages}


def reads_digest(config: Config) -> str:
    """Return the digest of the files and environment variables that the definitions are said to read."""
    told = []
    for name in config.reads:
        known = os.environ.get(name[1:], "\0") if name.startswith("$") else _reads_of(config, name)
        told.append([name, hashlib.sha256(known.encode("utf-8", "surrogateescape")).hexdigest()])
    return digest(told) if told else ""


def _reads_of(config: Config, name: str) -> str:
    if (config.root / name).is_file():
        return _bytes_digest(config.root / name)
    return digest(
        content_digests(config, [from_root(config, file) for file in reads_files(config, name)])
    )


def reads_files(config: Config, name: str) -> list[str]:
    """Return the files that a name in `reads` means: one, those below a folder, or those that a glob matches."""
    root = config.root
    if (root / name).is_file():
        return [str(root / name)]
    matched = (
        [name] if name and (root / name).is_dir() else glob(name, root_dir=root, recursive=True)  # noqa: PTH207 (absolute, too)
    )
    files = {root / file for place in matched for file in [Path(place), *_below(root, place)]}
    return sorted(str(f) for f in files if f.is_file() and not f.is_relative_to(config.state))


def _below(root: Path, folder: str) -> Iterator[Path]:
    """Yield what is below a folder, except what is hidden or was compiled there."""
    for place in (root / folder).rglob("*"):
        below = place.relative_to(root / folder)
        if not any(part.startswith(".") or part == "__pycache__" for part in below.parts):
            yield Path(folder) / below


@cache
def _tools() -> list[Any]:
    """Return what tells this code and these libraries from others, without importing any."""
    ours = [_stat(file) for file in sorted(Path(PACKAGE).rglob("*.py"))]
    specs = [find_spec(name) for name in _LIBRARIES]
    return [
        sys.version_info[:2],
        ours,
        [_stat(Path(spec.origin)) for spec in specs if spec and spec.origin],
    ]


def _stat(file: Path) -> list[Any]:
    return [
        str(file),
        *stamp_of(file.stat()),
    ]  # whoever builds an image may give all files one mtime


def _names_digest(config: Config, folder: Path) -> str:
    """Return a digest of the names in a folder, except what is hidden, was compiled, or is the store."""
    try:
        names = [path.name for path in folder.iterdir() if path != config.state]
    except OSError:
        return "missing"
    return digest(
        sorted(name for name in names if not name.startswith(".") and name != "__pycache__")
    )


def _bytes_digest(file: Path) -> str:
    try:
        return (
            hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "missing"
        )  # a pipe would never end
    except OSError:
        return "missing"
