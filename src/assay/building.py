"""Builds one version: makes the product, sets rows aside where a rule says so, and seals what was written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
    """What was written: each part's path and rows, what they hold, and how many rows there were before the split."""

    files: Mapping[str, tuple[str, int]]
    measured: Measured
    rows_in: int | None = None


def build(
    product: Product, definition: Definition, feeds: Sequence[Feed], *, folder: str, storage: Storage, engine: DuckDB
) -> Built:
    """Write the files of a version below a folder of the store. Raises whatever making it raises."""
    path = f"{folder}/{product.file or 'data.parquet'}"
    target = storage.prepare(path)
    measured = make(product, definition.recipe, feeds, target, engine)
    if not product.quarantines:
        return Built(files={"": (path, measured.rows)}, measured=measured)
    tables = [feed for feed in feeds if feed.source or feed.files[0].suffix == ".parquet"]
    this = Feed(alias=THIS, name=THIS, files=(target,))
    with engine.bench([*tables, this], product.domain) as bench:
        done = split(product, target, measured.columns, bench, lambda: definition.schema)
    kept = measured if done.kept == target else engine.measure(done.kept, product.event_time)
    aside = engine.measure(done.aside)
    files = {"": (f"{folder}/{done.kept.name}", kept.rows), QUARANTINE: (f"{folder}/{done.aside.name}", aside.rows)}
    return Built(files=files, measured=replace(kept, digest=digest([kept.digest, aside.digest])), rows_in=done.rows)


def seal(built: Built, storage: Storage) -> tuple[Part, ...]:
    """Make what was built durable and read-only."""
    sealed = {key: storage.seal(path) for key, (path, _) in built.files.items()}
    return tuple(
        Part(key=key, path=path, rows=rows, bytes=sealed[key][0], checksum=sealed[key][1])
        for key, (path, rows) in built.files.items()
    )
