"""Builds a version as a whole: writes it, then quarantines rows or cuts it into parts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from assay.build.asides import Cuts, cut_both, set_aside, with_asides
from assay.build.building import BuildOrder, BuildTools, Built, combined
from assay.engines.cut import Cut, cut, write
from assay.engines.damage import damage_reported
from assay.engines.tables import Measured
from assay.facts import Part, Version
from assay.model import QUARANTINE
from assay.plan.digests import digest


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
    inputs = order.inputs(None)
    files = set_aside(tools, order, inputs, target, measured)
    order.check(inputs)
    rows, aside = files.measured, files.aside
    parts = [
        tools.sealed(f"{order.folder}/{files.passed.name}", rows),
        tools.sealed(f"{order.folder}/{files.quarantined.name}", aside, key=QUARANTINE),
    ]
    both = replace(rows, digest=digest([rows.digest, aside.digest]))
    return replace(tools.version(order, started, parts, both), rows_in=files.rows)


# ------------------------------------------------------------------------------ cut into parts


def _cut(
    tools: BuildTools, order: BuildOrder, started: float, path: str, measured: Measured
) -> Version:
    """Return a version cut into parts; parts with unchanged rows keep their stored files."""
    product, engine, inputs = order.product, tools.workers.engine, order.inputs(None)
    partition, uncut = product.partition, tools.storage.prepare(path)
    assert partition is not None
    if product.quarantines:
        cuts = cut_both(tools, order, inputs, uncut, measured)
    else:
        pieces = cut(uncut, partition, measured, product.event_time, engine)
        cuts = Cuts(file=uncut, pieces={piece.key: piece for piece in pieces})
    existing = order.steps.stored
    order.check(inputs)
    made_of = {key: cuts.made_of(key) for key in cuts.pieces}
    parts = {key: existing[of] for key, of in made_of.items() if of in existing}
    if new := [piece for key, piece in cuts.pieces.items() if key not in parts]:
        shared = f"{order.folder}/parts.parquet"
        write(cuts.file, partition, new, tools.storage.prepare(shared), engine)
        made = _parts_in(tools, shared, new, made_of)
        parts |= with_asides(tools, order, cuts, made) if cuts.asides else made
    tools.storage.remove(path)
    ordered = [parts[key] for key in sorted(parts)]
    return tools.version(order, started, ordered, combined(ordered, measured.columns))


def _parts_in(
    tools: BuildTools, path: str, pieces: Sequence[Cut], made_of: Mapping[str, str]
) -> dict[str, Part]:
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
            built_from=made_of[piece.key],
            digest=piece.digest,
            columns=piece.columns,
            data_as_of=piece.data_as_of,
            modified=modified,
        )
        start += piece.rows
    return parts
