"""The declarations as last read, kept as data, so that a run with nothing to do imports neither them nor an engine.

A manifest counts only while every byte it was made from is the same: definition modules and all project-local modules
they import, SQL files, what `[tool.products] reads` names, the configuration, and the code and libraries that read
them. It holds no code: nothing in it is ever run except by reading the definitions again.
"""

import fcntl
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import UTC, date, datetime
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from assay.config import Config, definition_files
from assay.engines.sql import Parsed, Table, bare
from assay.errors import UsageError
from assay.fingerprint import changed, digest
from assay.graph import Graph
from assay.later import later
from assay.model import (
    Code,
    Column,
    Consumer,
    Contract,
    Demand,
    Freshness,
    Input,
    Kind,
    Partition,
    Product,
    Rule,
    Severity,
    Source,
    Where,
)
from assay.periods import settled_before
from assay.syntax import Known

QUERIES, FUNCTIONS = "queries.json", "functions.json"  # what is kept of reading definitions
FILE = "manifest.json"  # one JSON value a line: what deciding needs of all products, then each product whole
_NOT_READ = {"root", "catalog"}  # settings that declarations do not depend on
_LIBRARIES = ("duckdb", "polars", "pandera")


def read_manifest(config: Config) -> Graph | None:
    """Return the graph as last read, or None when anything that it was made from has changed.

    Of each product only what deciding needs is read; the rest when it is asked for.
    """
    try:
        text = (config.state / FILE).read_bytes()  # of a large project a hundred megabytes: no part of it is copied
        ends = [found.end() for found in re.finditer(b"\n", text)]
        stored = json.loads(text[: ends[0]])
        body = hashlib.sha256(memoryview(text)[ends[0] :]).hexdigest()
        if stored["made_from"] != made_from(config, stored["files"]) or stored["body"] != body:
            return None
        file = str(config.state / FILE)
        lines = zip(stored["heads"], pairwise(ends), strict=True)
        products = {head[0]: _later(head, text, place, file) for head, place in lines}
        sources = {s["name"]: source_from(s) for s in stored["sources"]}
        known = {*products, *sources}
        if not all(known.issuperset(product.reads) for product in products.values()):
            return None
        graph = Graph(products=products, sources=sources)
        names = list(products)
        graph.keep_order(names[index] for index in stored["order"])
        return graph
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def write_manifest(config: Config, graph: Graph, files: Iterable[Path], stamp: str) -> None:
    """Keep a graph for the next run; a folder that cannot be written to only makes the next run slower."""
    index = {name: number for number, name in enumerate(graph.products)}
    stored = {
        "made_from": stamp,
        "files": relative(config, files),
        "sources": list(graph.sources.values()),
        "order": [index[name] for name in graph.order],
        "heads": [head_of(p) for p in graph.products.values()],
    }
    try:
        body = b"".join(to_line(p) for p in graph.products.values())
        config.state.mkdir(parents=True, exist_ok=True)
        ignore = config.state / ".gitignore"
        if not ignore.exists() or not ignore.stat().st_size:
            ignore.write_text("*\n", encoding="utf-8")  # it is not for version control
        _put(config.state / FILE, to_line({**stored, "body": _sha(body)}) + body)
    except (OSError, UnicodeEncodeError):
        pass


def recall_queries(config: Config) -> dict[str, Parsed]:
    """Return what the queries of the definitions were parsed to when they were read last, by the same libraries.

    What would run is never taken from there: the statement is made of the text that is asked about.
    """
    with suppress(ValueError, TypeError, AttributeError):
        return {
            text: Parsed(meaning=str(meaning), statement=bare(text), tables=tuple(_table(*table) for table in tables))
            for text, (meaning, tables) in _kept(config, QUERIES).items()
            if ";" not in text
        }
    return {}


def keep_queries(config: Config, parsed: Mapping[str, Parsed]) -> None:
    """Keep what queries were parsed to for the next time that definitions are read."""
    stored = {
        text: [p.meaning, [[t.schema, t.name, t.offset] for t in p.tables]]
        for text, p in parsed.items() if ";" not in text
    }  # fmt: skip
    _keep(config, QUERIES, stored)


def recall_functions(config: Config) -> dict[str, Known]:
    """Return what the functions of each file said when they were read last, by the SHA-256 of the file."""
    with suppress(ValueError, TypeError, AttributeError):
        return {
            sha: {line: _function(*told) for line, told in of.items()} for sha, of in _kept(config, FUNCTIONS).items()
        }
    return {}


def keep_functions(config: Config, files: Mapping[str, Known]) -> None:
    """Keep what functions say for the next time that definitions are read."""
    _keep(config, FUNCTIONS, files)


def _kept(config: Config, name: str) -> dict[str, Any]:
    """Return what was kept in a file, by this code and these libraries."""
    try:
        first, _, body = (config.state / name).read_bytes().partition(b"\n")
        return dict(json.loads(body)) if json.loads(first) == [digest(_tools()), _sha(body)] else {}
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def _keep(config: Config, name: str, stored: Mapping[str, Any]) -> None:
    with suppress(OSError, UnicodeEncodeError):
        body = to_line(stored)
        _put(config.state / name, to_line([digest(_tools()), _sha(body)]) + body)


def _function(text: Any, names: Iterable[Any], roots: Mapping[str, Any]) -> tuple[str, list[str], dict[str, bool]]:
    return str(text), [str(name) for name in names], {root: bool(ours) for root, ours in roots.items()}


def _table(schema: Any, name: Any, offset: Any) -> Table:
    return Table(str(schema), str(name), int(offset))


def _put(file: Path, content: bytes) -> None:
    """Write a file as a whole, unless another is just doing that; what one who died left of it is written over."""
    temporary = file.with_name(f"{file.name}.tmp")
    with temporary.open("ab") as out:
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


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def relative(config: Config, files: Iterable[Path]) -> list[str]:
    """Return the files that are not definition modules themselves, relative to the root, sorted."""
    modules = set(definition_files(config))
    return sorted({os.path.relpath(f, config.root) for f in files if f not in modules})


def made_from(config: Config, files: Iterable[str]) -> str:
    """Return the digest of everything that the declarations follow from, `files` besides the definition modules."""
    settings = {name: str(value) for name, value in asdict(config).items() if name not in _NOT_READ}
    modules = [os.path.relpath(f, config.root) for f in definition_files(config)]
    contents = [(file, _bytes_digest(config.root / file)) for file in [*modules, *files]]
    return digest([settings, contents, reads_digest(config), _tools()])


def reads_digest(config: Config) -> str:
    """Return the digest of the files and environment variables that the definitions read while they load."""
    told = []
    for name in config.reads:
        known = os.environ.get(name[1:], "\0") if name.startswith("$") else _bytes_digest(config.root / name)
        told.append([name, hashlib.sha256(known.encode("utf-8", "surrogateescape")).hexdigest()])
    return digest(told) if told else ""


def _tools() -> list[Any]:
    """Return what tells this code and these libraries from others, without importing any."""
    ours = [_stat(file) for file in sorted(Path(__file__).parent.rglob("*.py"))]
    specs = [find_spec(name) for name in _LIBRARIES]
    return [sys.version_info[:2], ours, [_stat(Path(spec.origin)) for spec in specs if spec and spec.origin]]


def _stat(file: Path) -> list[Any]:
    stat = file.stat()
    return [str(file), stat.st_size, stat.st_mtime_ns]


def _bytes_digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "missing"  # a pipe would never end
    except OSError:
        return "missing"


# ---------------------------------------------------------------------------------------------- to JSON


_WORKED_OUT = {Product: {"reads", "rule_inputs"}, Contract: {"reads", "closes"}}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind) if f.name not in _WORKED_OUT.get(kind, ()))


def _told(value: Any) -> dict[str, Any]:
    """Return what JSON should hold of a value of ours; of rules, which are many, only what is not as by default."""
    if isinstance(value, Rule | Demand):
        return changed(value)
    return {name: getattr(value, name) for name in _names(value.__class__)}


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_told).encode  # making one is slow


def to_line(stored: Any) -> bytes:
    """Return a line of JSON for values made of JSON's types and ours; asdict() would copy every text in them."""
    return _encode(stored).encode() + b"\n"


def head_of(product: Product) -> list[Any]:
    """Return what deciding needs of a product, in the order that _later takes it."""
    code, contract = product.code, product.contract
    inputs = [[i.alias, i.name, i.grain, i.back] for i in product.inputs]
    told = [product.name, code.digest, dict(code.parts), inputs, product.release_group]
    return [*told, contract.digest, list(contract.reads), bool(contract.closes), list(product.rule_inputs)]


# ---------------------------------------------------------------------------------------------- from JSON


def source_from(stored: Mapping[str, Any]) -> Source:
    return Source(
        **{
            **stored,
            "where": Where(**stored["where"]),
            "columns": _columns(stored["columns"]),
            "null_values": tuple(stored["null_values"]),
            "partition": _partition(stored["partition"]),
            "path_columns": _columns(stored["path_columns"]),
        }
    )


def _later(head: list[Any], text: bytes, place: tuple[int, int], file: str) -> Product:
    """Return a product of which the head is known and the rest is read when it is asked for.

    Raises ValueError for a head that is none; the product, UsageError, for a rest that is none or of another head.
    """
    name, code, parts, inputs, group, contract, reads, closes, others = head
    if {str} != {type(told) for told in (name, code, group, contract, *reads, *others)}:
        raise ValueError("something is no text")
    read = tuple(Input(alias=alias, name=source, grain=grain, back=back) for alias, source, grain, back in inputs)
    whole = _Whole(head, text, place, file)
    promise: dict[str, Any] = {"digest": contract, "reads": tuple(reads)}
    if not closes:
        promise["closes"] = ()
    known = {
        "name": name,
        "code": Code(digest=code, parts=parts),
        "inputs": read,
        "release_group": group,
        "contract": later(Contract, lambda: whole().contract, promise),
        "rule_inputs": tuple(others),
        "reads": tuple(sorted({*others, *(i.name for i in read)})),
    }
    return later(Product, whole, known)


class _Whole:
    """Reads a product whole, once; made for each product of a project, so it is small."""

    __slots__ = ("file", "found", "head", "place", "text")

    def __init__(self, head: list[Any], text: bytes, place: tuple[int, int], file: str) -> None:
        self.head, self.text, self.place, self.file = head, text, place, file
        self.found: Product | None = None

    def __call__(self) -> Product:
        if self.found is None:
            product = None
            with suppress(ValueError, LookupError, TypeError, AttributeError, RecursionError):
                product = product_from(json.loads(self.text[slice(*self.place)]))
            if product is None or head_of(product) != self.head:
                told = f"the manifest {self.file} is damaged ({self.head[0]})"
                raise UsageError(told, hint="Remove it; it is made again.")
            self.found = product
        return self.found


def product_from(stored: Mapping[str, Any]) -> Product:
    contract, freshness = stored["contract"], stored["freshness"]
    if not all(isinstance(stored[told], int | float) for told in ("retries", "timeout", "isolate")):
        raise TypeError("how often or how long it may be tried is no number")
    return Product(
        **{
            **stored,
            "where": Where(**stored["where"]),
            "kind": Kind(stored["kind"]),
            "code": Code(**stored["code"]),
            "contract": Contract(
                digest=contract["digest"],
                columns=_columns(contract["columns"]),
                key=tuple(contract["key"]),
                rules=tuple(_rule(r) for r in contract["rules"]),
                sensitive=tuple(contract["sensitive"]),
            ),
            "inputs": _inputs(stored["inputs"]),
            "consumers": tuple(Consumer(**c) for c in stored["consumers"]),
            "tags": tuple(stored["tags"]),
            "freshness": Freshness(**freshness) if freshness else None,
            "partition": _partition(stored["partition"]),
        }
    )


def _rule(stored: Mapping[str, Any]) -> Rule:
    made: dict[str, Any] = {"where": Where(**stored["where"]), "inputs": _inputs(stored.get("inputs", ()))}
    if "severity" in stored:
        made["severity"] = Severity(stored["severity"])
    if "demand" in stored:
        made["demand"] = Demand(**stored["demand"])
    rule = Rule(**{**stored, **made})
    _check_rule(rule)
    return rule


def _check_rule(rule: Rule) -> None:
    """Raise ValueError, TypeError or KeyError for what no declaration could have said."""
    words = (rule.text, rule.sql, rule.tz, rule.closes, rule.dated, rule.review_by, rule.warn_above, rule.fail_above)
    if not all(isinstance(word, str) for word in words):
        raise TypeError("a rule says something that is no text")
    if rule.review_by:
        date.fromisoformat(rule.review_by)
    if rule.tz != "UTC" or rule.closes:
        settled_before(rule.closes or "start of day", datetime(2000, 1, 1, tzinfo=UTC), rule.tz)
    if rule.demand and rule.demand.kind == "condition" and not isinstance(rule.demand.arguments["sql"], str):
        raise TypeError("a condition is no text")


def _columns(stored: Iterable[Mapping[str, str]]) -> tuple[Column, ...]:
    return tuple(Column(**c) for c in stored)


def _inputs(stored: Iterable[Mapping[str, Any]]) -> tuple[Input, ...]:
    return tuple(Input(**i) for i in stored)


def _partition(stored: Mapping[str, Any] | None) -> Partition | None:
    return Partition(**{**stored, "names": tuple(stored["names"])}) if stored else None
