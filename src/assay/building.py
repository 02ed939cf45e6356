"""Builds one version: makes the product, sets rows aside where a rule says so, and seals what was written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from assay.engines.duckdb import DuckDB
from assay.engines.feed import Feed, Measured
from assay.engines.making import make
from assay.fingerprint import digest
from assay.model import QUARANTINE, THIS, Part, Product
from assay.resolve import Definition
from assay.rules.quarantine import split
from assay.storage import Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What was built: its files, what they hold, and how many rows there were before some were set aside."""

    parts: tuple[Part, ...]
    measured: Measured
    rows_in: int | None = None


def build(
    product: Product,
    definition: Definition,
    feeds: Sequence[Feed],
    *,
    folder: str,
    storage: Storage,
    engine: DuckDB,
    before_sealing: Callable[[], None],
) -> Built:
    """Write the files of a version below a folder of the store. Raises whatever making it raises."""
    path = f"{folder}/{product.file or 'data.parquet'}"
    target = storage.prepare(path)
    measured = make(product, definition.recipe, feeds, target, engine)
    if not product.quarantines:
        before_sealing()
        return Built(parts=(_seal(storage, "", path, measured.rows),), measured=measured)
    tables = [feed for feed in feeds if feed.source or feed.files[0].suffix == ".parquet"]
    this = Feed(alias=THIS, name=THIS, files=(target,))
    with engine.bench([*tables, this], product.domain) as bench:
        done = split(product, target, measured.columns, bench, lambda: definition.schema)
    kept = measured if done.kept == target else engine.measure(done.kept, product.event_time)
    aside = engine.measure(done.aside)
    before_sealing()
    parts = (
        _seal(storage, "", f"{folder}/{Path(done.kept).name}", kept.rows),
        _seal(storage, QUARANTINE, f"{folder}/{Path(done.aside).name}", aside.rows),
    )
    return Built(parts=parts, measured=replace(kept, digest=digest([kept.digest, aside.digest])), rows_in=done.rows)


def _seal(storage: Storage, key: str, path: str, rows: int) -> Part:
    size, checksum = storage.seal(path)
    return Part(key=key, path=path, rows=rows, bytes=size, checksum=checksum)
