"""Builds a version as a whole: writes it, then quarantines rows or cuts it into parts."""

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from assay.build.building import BuildOrder, BuildTools, Built, combined
from assay.engines.cut import Cut, cut, write
from assay.engines.damage import damage_reported
from assay.engines.measure import measure
from assay.engines.tables import InputFiles, Measured, StoredTable
from assay.facts import Part, Version
from assay.model import QUARANTINE, THIS
from assay.plan.digests import digest
from assay.rules.quarantine import split


def build_whole(tools: BuildTools, order: BuildOrder) -> Built:
    """Build a version as a whole; if that fails, remove its files and raise the error."""
    started = tools.timer()
    try:
        return Built(version=_build(tools, order, started))
    except BaseException:
        tools.remove(order.folder)
        raise


def _build(tools: BuildTools, order: BuildOrder, started: float) -> Version:
    product = order.product
    path = f"{order.folder}/{product.file or 'data.parquet'}"
    target, inputs = tools.storage.prepare(path), order.inputs(None)
    with (
        tools.workers.at(product, order.definition.recipe) as make,
        order.as_observed(inputs),
        damage_reported(files.table for files in inputs),
    ):
        tools.inspector.inspect(inputs)
        measuring = order.early.measure if order.early else None
        measured = make(inputs, target, measuring=measuring)
    if product.partition:
        return _cut(tools, order, started, path, measured)
    if product.quarantines:
        return _without_quarantine(tools, order, started, target, measured)
    order.check(inputs)
    return tools.version(order, started, [tools.sealed(path, measured)], measured)


def _without_quarantine(
    tools: BuildTools, order: BuildOrder, started: float, target: Path, measured: Measured
) -> Version:
    """Return a version in two parts: its rows, and the rows that its rules quarantine."""
    product, engine = order.product, tools.workers.engine
    inputs = order.inputs(None)
    tables = [files for files in inputs if files.is_table]
    this = InputFiles(alias=THIS, name=THIS, table=StoredTable((target,)))
    with engine.bench([*tables, this], product.domain) as bench:
        files = split(product, target, measured.columns, bench, lambda: order.definition.schema)
    rows = measured
    if files.passed != target:
        rows = measure(engine, files.passed, product.event_time)
    quarantine = measure(engine, files.quarantined)
    order.check(inputs)
    parts = [
        tools.sealed(f"{order.folder}/{files.passed.name}", rows),
        tools.sealed(f"{order.folder}/{files.quarantined.name}", quarantine, key=QUARANTINE),
    ]
    both = replace(rows, digest=digest([rows.digest, quarantine.digest]))
    return replace(tools.version(order, started, parts, both), rows_in=files.rows)


# ------------------------------------------------------------------------------ cut into parts


def _cut(
    tools: BuildTools, order: BuildOrder, started: float, path: str, measured: Measured
) -> Version:
    """Return a version cut into parts; parts with unchanged rows keep their stored files."""
    partition, engine = order.product.partition, tools.workers.engine
    assert partition is not None
    uncut = tools.storage.prepare(path)
    pieces = cut(uncut, partition, measured, order.product.event_time, engine)
    existing = order.steps.stored
    order.check(order.inputs(None))
    parts = {
        piece.key: existing[_made_of(piece)] for piece in pieces if _made_of(piece) in existing
    }
    new = [piece for piece in pieces if piece.key not in parts]
    if new:
        shared = f"{order.folder}/parts.parquet"
        write(uncut, partition, new, tools.storage.prepare(shared), engine)
        parts |= _parts_in(tools, shared, new)
    tools.storage.remove(path)
    ordered = [parts[key] for key in sorted(parts)]
    return tools.version(order, started, ordered, combined(ordered, measured.columns))


def _parts_in(tools: BuildTools, path: str, pieces: Sequence[Cut]) -> dict[str, Part]:
    """Seal a file that contains pieces one after the other, and return the parts by key."""
    size, checksum, modified = tools.storage.seal(path)
    start, total = 0, sum(piece.rows for piece in pieces)
    parts = {}
    for piece in pieces:
        parts[piece.key] = Part(
            key=piece.key,
            path=path,
            rows=piece.rows,
            bytes=size,
            checksum=checksum,
            start=start,
            of=total,
            built_from=_made_of(piece),
            digest=piece.digest,
            columns=piece.columns,
            data_as_of=piece.data_as_of,
            modified=modified,
        )
        start += piece.rows
    return parts


def _made_of(piece: Cut) -> str:
    """Return the digest that identifies a part that was cut: that of its content."""
    return digest(["cut", piece.key, piece.digest])
