"""What must hold of a project after any fault, stated once.

- `snapshot`: what readers see is one release: all of it carries one generation, and every file is whole.
- `complete`: every file that is recorded is there, byte for byte.
- `acknowledged`: what a command said that it published is there.
- `tidy`: nothing lies about that the catalog does not name: no file, folder, lock, intent, running run or spilled block.
- `resumed`, `built_once`: nothing that was recorded was built or judged again.
- `durable`: files were flushed before what names them was recorded (read off a trace: a kill does not lose pages).
"""

import hashlib
import json
import sqlite3
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import psycopg

from assay import catalog as catalogs
from assay.catalog import Catalog
from assay.catalog.owner import MARK
from assay.catalog.rows import ids_of
from assay.facts import Version
from assay.model import QUARANTINE
from assay.store.files import LocalStorage

# What is held back of the second generation, or awaits approval, and what never changes.
APART = {
    *("t.strict", "t.after_strict", "t.signed", "t.after_signed"),
    *("t.steady", "t.below_steady"),
}
KEPT = {
    "catalog.db",
    "catalog.db-wal",
    "catalog.db-shm",
    "manifest.json",
    "contracts.json",
    "queries.json",
    "functions.json",
    "past_queries.json",
    ".gitignore",
}


class Wrong(AssertionError):
    """Something that must hold does not."""


@dataclass(frozen=True)
class Snapshot:
    """What readers see at one moment: of every product its content, and the generation it is of."""

    contents: Mapping[str, str] = field(default_factory=dict)
    generations: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What the catalog held at one moment."""

    versions: frozenset[tuple[str, str]]  # product, key
    parts: frozenset[tuple[str, str]]  # product, what it is made of
    judged: frozenset[str]  # versions that have a verdict
    releases: int
    log: tuple[str, ...]  # what functions said that they ran


def address(root: Path) -> str:
    """Return the address of a project's catalog, '' where that is a file."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["products"]
    return str(settings.get("catalog", ""))


def open_catalog(root: Path) -> Catalog:
    """The catalog of a project, as a reader opens it."""
    return catalogs.open_catalog(address(root) or root / ".products/catalog.db", create=False)


def rows(root: Path, query: str) -> list[tuple[Any, ...]]:
    """Ask the catalog directly; nothing when it has no tables yet."""
    if there := address(root):
        with psycopg.connect(there, options="-c search_path=assay") as connection:
            try:
                return connection.execute(query.encode()).fetchall()
            except psycopg.errors.UndefinedTable:
                return []
    if not (root / ".products/catalog.db").exists():
        return []
    with closing(sqlite3.connect(root / ".products/catalog.db")) as db:
        try:
            return db.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise


# ---------------------------------------------------------------------------------------------- readers


def snapshot(root: Path, *, mixed: bool = False) -> Snapshot:
    """Return what readers see, or raise Wrong where it is of two releases (unless `mixed`), or not whole."""
    with closing(open_catalog(root)) as catalog:
        pointers = catalog.pointers("prod")
        versions = {name: catalog.version(pointer.version) for name, pointer in pointers.items()}
    storage = LocalStorage(root / ".products/store")
    generations = {}
    for name, version in versions.items():
        whole(version, storage)
        found = _generation(name, version, storage)
        if found is not None:
            generations[name] = found
    for name, version in versions.items():
        reconciled(version)
        if not mixed:
            paired(version, versions.get(f"{name}__{QUARANTINE}"))
    told = {n: g for n, g in generations.items() if n not in APART}
    if len(set(told.values())) > 1 and not mixed:
        raise Wrong(f"readers see two releases at once: {told}")
    return Snapshot({name: version.digest for name, version in versions.items()}, generations)


def reconciled(version: Version) -> None:
    """Raise Wrong when a row of a part is neither published nor set aside, or both."""
    for part in version.parts if version.in_parts else ():
        if part.aside and part.rows_in != part.rows + part.aside.rows:
            raise Wrong(f"{version.product}, {part.key}: rows are lost of {part}")


def paired(version: Version, quarantine: Version | None) -> None:
    """Raise Wrong when readers see other rows set aside of a part than were set aside of it."""
    for part in version.parts if version.in_parts else ():
        if part.aside and part.aside != (quarantine and quarantine.part(part.key)):
            raise Wrong(f"readers see two releases at once: of {version.product}, {part.key}")


def complete(root: Path) -> None:
    """Raise Wrong when a file that is recorded, published or not, is not there, byte for byte."""
    for path, size, checksum in rows(root, "select distinct path, bytes, checksum from parts"):
        _whole(root / ".products/store" / path, size, checksum)


def coded(root: Path) -> None:
    """Raise Wrong when a version is there without all the code that it was built by, as text."""
    codes = {
        digest: [*json.loads(files).values(), *json.loads(declared).values()]
        for digest, files, declared in rows(root, "select digest, files, declared from codes")
    }
    texts = dict(rows(root, "select digest, content from texts"))
    for id, code in rows(root, "select v.id, r.code from versions v join runs r on r.id = v.run"):
        if code not in codes:
            raise Wrong(f"the code of {id} is not recorded")
    for digest in {digest for digests in codes.values() for digest in digests}:
        if hashlib.sha256(texts.get(digest, "").encode()).hexdigest() != digest:
            raise Wrong(f"the text {digest} is recorded, and is not whole")
    if loose := texts.keys() - {digest for digests in codes.values() for digest in digests}:
        raise Wrong(f"texts that no code has: {sorted(loose)}")


def whole(version: Version, storage: LocalStorage) -> None:
    """Raise Wrong when a file of a version is not there, byte for byte."""
    parts = [*version.parts, *version.asides]
    for path, size, checksum in {(p.path, p.bytes, p.checksum) for p in parts}:
        _whole(storage.root / path, size, checksum)


def _whole(file: Path, size: int, checksum: str) -> None:
    content = file.read_bytes() if file.is_file() else b""
    if len(content) != size or hashlib.sha256(content).hexdigest() != checksum:
        raise Wrong(f"{file} is recorded, and is not whole")
    if file.stat().st_mode & 0o222:
        raise Wrong(f"{file} is recorded, and can be written to")


def _generation(name: str, version: Version, storage: LocalStorage) -> int | None:
    parts = [p for p in version.parts if version.in_parts or p.key != QUARANTINE]
    if not version.columns:
        return int((storage.root / parts[0].path).read_text())
    if not any(column.name == "gen" for column in version.columns):
        return None
    frames = [
        pl.read_parquet(storage.root / p.path)["gen"][p.start : p.start + p.rows] for p in parts
    ]
    return max((int(frame.max()) for frame in frames if len(frame)), default=None)  # type: ignore[arg-type]


def one_of(seen: Snapshot, *allowed: Snapshot) -> None:
    """Raise Wrong when readers see neither of these states, each of one release."""
    if seen.contents not in [state.contents for state in allowed]:
        odd = {
            n: d[:6]
            for n, d in seen.contents.items()
            if any(s.contents.get(n) != d for s in allowed)
        }
        raise Wrong(f"readers see two releases at once, or none of these: {odd}")


# ---------------------------------------------------------------------------------------------- promises


def acknowledged(root: Path, events: Iterable[Mapping[str, Any]]) -> None:
    """Raise Wrong when something that was said to be published is not, or not any more."""
    moved = set(rows(root, "select product, version, release from moves"))
    for event in events:
        if (
            event.get("result") == "published"
            and (event["product"], event["version"], event["release"]) not in moved
        ):
            raise Wrong(
                f"{event['product']} was said to be published in #{event['release']}, and is lost"
            )


def tidy(root: Path, *, replaced: bool = True) -> None:
    """Raise Wrong when anything lies about; `replaced` files may stay for those who read them."""
    state = root / ".products"
    named = {path for (path,) in rows(root, "select path from parts")}
    if replaced:
        named |= {path for (path,) in rows(root, "select path from replaced")}
    below = [
        f for f in (state / "store").rglob("*") if ".readers" not in f.parts and f.name != MARK
    ]  # leases end with their process
    files = {f.relative_to(state / "store").as_posix() for f in below if f.is_file()}
    folders = {f.relative_to(state / "store").as_posix() for f in below if f.is_dir()}
    found = {
        "files that the catalog does not name": files - named,
        "files that are not there": named - files,
        "empty folders": {
            f for f in folders if not any(name.startswith(f"{f}/") for name in files)
        },
        "locks": {f.name for f in (state / "locks").rglob("*")},
        "spilled blocks": {f.name for f in (state / "spill").rglob("*") if f.is_file()},
        "other files": {f.name for f in state.iterdir() if f.is_file()} - KEPT,
        "intents": {path for (path,) in rows(root, "select path from intents")},
        "runs that seem to run": {
            run for (run,) in rows(root, "select id from runs where state = 'running'")
        },
        "parts without a version": _loose(root),
    }
    if left := {what: sorted(names) for what, names in found.items() if names}:
        raise Wrong(f"left behind: {left}")
    if (state / ".gitignore").read_text() != "*\n":
        raise Wrong("left behind: half of .gitignore")


def _loose(root: Path) -> set[str]:
    """Return the parts that belong to no version, and that no version of this code could ever take up again."""
    used: set[int] = set()
    for (told,) in rows(root, "select parts from versions"):
        used.update(ids_of(told))
    return {
        f"{id}"
        for id, made in rows(root, "select id, made_of from parts")
        if id not in used and not made
    }


def same_pointers(root: Path, environment: str, other: str) -> None:
    """Raise Wrong when two environments differ, or one differs from what its last releases say.

    `other` is '' for one that was dropped: nothing of it may be left.
    """
    query = "select product, version from pointers where environment = '{}' order by 1"
    expected = rows(root, query.format(environment))
    if rows(root, query.format("try")) != (expected if other else []):
        raise Wrong(f"what try publishes is not what {environment} does")
    bases = rows(root, "select product, version from bases where environment = 'try' order by 1")
    if bases != (expected if other else []):
        raise Wrong("try is compared with something else")
    moved = rows(
        root,
        "select m.product, m.version from moves m join releases r on r.id = m.release"
        " where r.environment = 'try' and m.version <> '' and m.release = (select max(n.release)"
        "  from moves n join releases q on q.id = n.release"
        "  where q.environment = 'try' and n.product = m.product) order by 1",
    )
    if moved != (expected if other else []):
        raise Wrong("the releases of try say something else")


def promises(root: Path) -> list[tuple[Any, ...]]:
    """Return the recorded promises."""
    return rows(root, "select name, due, state, came, as_of, cause from promises order by 1, 2")


def same_promises(root: Path, expected: list[tuple[Any, ...]]) -> None:
    """Raise Wrong when promises are lost, recorded otherwise, or not expected."""
    if wrong := set(promises(root)) ^ set(expected):
        raise Wrong(f"promises came out otherwise: {sorted(wrong)}")


def facts(root: Path) -> Facts:
    log = root / "built.log"
    [(releases,)] = rows(root, "select count(*) from releases") or [(0,)]
    return Facts(
        versions=frozenset(rows(root, "select product, key from versions")),
        parts=frozenset(
            rows(root, "select product, made_of || '/' || key from parts where made_of <> ''")
        ),
        judged=frozenset(version for (version,) in rows(root, "select version from verdicts")),
        releases=releases,
        log=tuple(log.read_text().splitlines()) if log.exists() else (),
    )


def resumed(start: Facts, middle: Facts, end: Facts, events: Iterable[Mapping[str, Any]]) -> None:
    """Raise Wrong when the command that came after a kill did again what the killed one had recorded.

    `start` is from before the killed command, `middle` from after the kill, `end` from after the next command.
    """
    ready = {product for product, _ in middle.versions - start.versions}
    parts = {(product, made.rpartition("/")[2]) for product, made in middle.parts - start.parts}
    for event in events:
        if event.get("built") and event["product"] in ready:
            raise Wrong(f"{event['product']} was recorded, and was built again")
        if event.get("judged") and event.get("version") in middle.judged:
            raise Wrong(f"{event['product']} was judged, and was judged again")
    for line in end.log[len(middle.log) :]:
        product, _, part = line.partition(" ")
        if (product, part) in parts or (not part and product in ready):
            raise Wrong(f"{line} was recorded, and its function ran again")


def built_once(root: Path) -> None:
    """Raise Wrong when there are two versions, or two parts, made of the very same."""
    for table, key, of in (("versions", "key", "key"), ("parts", "made_of || key", "made_of")):
        query = f"select product, {key}, count(*) from {table} where {of} <> '' group by 1, 2 having count(*) > 1"
        if twice := [product for product, *_ in rows(root, query)]:
            raise Wrong(f"built twice of the very same: {twice}")


# ---------------------------------------------------------------------------------------------- flushes


def durable(trace: Iterable[tuple[str, Any]]) -> int:
    """Raise Wrong when a file was recorded before it, and the folders to it, were flushed; return how many were."""
    flushed: set[str] = set()
    named: list[str] = []
    count = 0
    for what, detail in trace:
        if what == "fsync":
            flushed.add(detail)
        elif what == "syncfs":
            flushed.add("*")
        elif (
            what == "sql"
            and detail[0].startswith("insert into parts")
            and isinstance(detail[1], list)
        ):
            named.append(
                next(v for v in detail[1] if isinstance(v, str) and v.count("/") >= 2 and "." in v)
            )
        elif what == "sql" and detail[0] == "commit":
            count += len(named)
            for path in named:
                folders = [
                    f".products/store/{path}".rsplit("/", n)[0] for n in range(path.count("/") + 2)
                ]
                if "*" not in flushed and (missing := [f for f in folders if f not in flushed]):
                    raise Wrong(f"{path} was recorded before {missing} was flushed")
            named = []
            flushed.discard("*")
    return count
