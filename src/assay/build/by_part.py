"""Builds a product that follows its inputs: each missing part, then the version of all parts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from msgspec.structs import replace

from assay.build.asides import Asides, set_aside
from assay.build.batches import Batch, Batches, PartToBuild
from assay.build.building import BuildOrder, BuildTools, Built, combined
from assay.build.substitutes import without_unbuilt_parts
from assay.build.workers import Make
from assay.engines.damage import damage_reported
from assay.engines.duckdb import keyed
from assay.engines.measure import PartCheck, measure
from assay.engines.quoting import identifier, literal
from assay.engines.tables import Measured
from assay.errors import BuildError, is_of_the_machine
from assay.events import PART_NOTE, Unfinished
from assay.facts import Part
from assay.model import Column, Product
from assay.plan.part_specs import PartSpec
from assay.plan.parts import NULL, coarsen

_NO_FOLDER_NAME = {"", "NULL", NULL}  # readers of Hive folders would take these for null
_LONGEST = 100  # most characters of a value in the name of a folder


def build_parts(tools: BuildTools, order: BuildOrder) -> Built | Unfinished:
    """Build the missing parts, and the version of all parts if all of them exist then.

    Parts that were built are recorded even if a later part fails.
    """
    started = tools.timer()
    existing, errors = _existing_parts(tools, order)
    if order.holds:
        errors |= _parts_unlike_most(order.product, existing)
    specs = order.steps.specs
    parts = [existing[s.key] for s in specs if s.key in existing and s.key not in errors]
    complete = len(parts) + len(errors) == len(specs)
    if errors and (not complete or not parts):
        raise next(iter(errors.values()))
    if not complete:
        return Unfinished(parts_built=len(parts), of=len(specs))
    measured = combined(parts, _columns_of(order.product, parts))
    version = tools.version(order, started, parts, measured)
    if errors:
        version = without_unbuilt_parts(order, version, errors)
    return Built(version=version, unbuilt=errors)


def _existing_parts(
    tools: BuildTools, order: BuildOrder
) -> tuple[dict[str, Part], dict[str, Exception]]:
    """Build the missing parts; return all parts that exist then, and the errors of the others."""
    stored, to_build = order.steps.stored, list[PartToBuild]()
    existing: dict[str, Part] = {}
    for index, spec in enumerate(order.steps.specs):
        if order.steps.is_to_build(spec):
            to_build.append(PartToBuild(index, spec))
        elif part := stored.get(spec.built_from):
            existing[spec.key] = part
    errors: dict[str, Exception] = {}
    batches = Batches(tools, order)
    for all_at_once in batches.groups(to_build):
        remaining = [all_at_once]
        while remaining and not tools.workers.stopping.is_set():
            group = remaining.pop()
            if not batches.is_batch(group):
                _build_singly(tools, order, group, existing, errors)
            elif (built := _build_batch(tools, order, batches, group)) is not None:
                existing |= built.parts
                later = {part.spec.key for group in built.later for part in group}
                alone = [p for p in group if p.spec.key not in built.parts.keys() | later]
                remaining += [*reversed(built.later), *([part] for part in reversed(alone))]
            else:
                middle = len(group) // 2
                remaining += [group[middle:], group[:middle]]
    return existing, errors


def _build_batch(
    tools: BuildTools, order: BuildOrder, batches: Batches, group: Sequence[PartToBuild]
) -> Batch | None:
    """Build parts together, and return the batch; None if that failed for any of them."""
    try:
        built = batches.build(group)
    except Exception as error:
        lacks_memory = "OutOfMemory" in type(error).__name__ or isinstance(error, MemoryError)
        if tools.workers.stopping.is_set() or (is_of_the_machine(error) and not lacks_memory):
            raise
        return None
    for part in built.parts.values():
        tools.recorder.part_built(order.product.name, part)
    return built


def _build_singly(
    tools: BuildTools,
    order: BuildOrder,
    parts: Sequence[PartToBuild],
    existing: dict[str, Part],
    errors: dict[str, Exception],
) -> None:
    """Build parts one by one; add them to those that exist, or else their errors."""
    remaining, stopping = list(parts)[::-1], tools.workers.stopping
    asides = Asides(tools, order)
    while remaining and not stopping.is_set():
        with tools.workers.at(order.product, order.definition.recipe) as make:
            while remaining and not stopping.is_set():
                spec = (part := remaining.pop()).spec
                try:
                    built = _build_part(tools, order, part, make, asides)
                except Exception as error:
                    if not order.holds or stopping.is_set() or is_of_the_machine(error):
                        raise
                    errors[spec.key] = error
                    break  # go on with a new process, as this one may have hung or crashed
                tools.recorder.part_built(order.product.name, built)
                existing[spec.key] = built


def _build_part(
    tools: BuildTools, order: BuildOrder, to_build: PartToBuild, make: Make, asides: Asides
) -> Part:
    """Build and seal one part; if that fails, remove its files and raise the error."""
    started, product, spec = tools.timer(), order.product, to_build.spec
    folder = f"{order.folder}/{_folder(product, spec.key, to_build.index)}"
    # Rows that are set aside need not be of the part that the name of a folder says.
    aside_folder = f"{order.folder}/aside-{to_build.index}"
    target = tools.storage.prepare(f"{folder}/data.parquet")
    try:
        inputs, part_check, found = order.inputs(spec), _part_check(product, spec), None
        with order.as_observed(inputs), damage_reported(files.table for files in inputs):
            tools.inspector.inspect(inputs)
            measured = make(inputs, target, part_check=part_check)
        if any(i.back for i in product.inputs):
            measured = _own_rows(tools, product, spec, target, measured)
        if product.quarantines:
            aside_target = tools.storage.prepare(f"{aside_folder}/data.parquet")
            found = set_aside(
                tools, order, inputs, target, measured, check=part_check, target=aside_target
            )
            measured, target = found.measured, found.passed
        if measured.foreign_rows and part_check:
            raise _foreign_rows(product, spec, measured.foreign_rows, part_check.column)
        order.check(inputs)
        part = replace(
            tools.sealed(f"{folder}/{target.name}", measured, key=spec.key),
            built_from=spec.built_from,
            inputs=spec.inputs,
            columns=measured.columns,
            data_as_of=measured.data_as_of or order.data_as_of(spec),
        )
        if found:
            part = asides.of_part(part, f"{aside_folder}/data.parquet", found)
    except BaseException as error:
        tools.remove(folder)
        tools.remove(aside_folder)
        if isinstance(error, Exception):
            error.add_note(f"{PART_NOTE}{spec.key}.")
        raise
    return replace(part, seconds=round(tools.timer() - started, 3))


def _part_check(product: Product, spec: PartSpec) -> PartCheck | None:
    """Return the check that rows belong to a part; None if no column gives the part of a row."""
    partition = product.partition
    if partition is None or not partition.in_rows:
        return None
    return PartCheck(partition.names[0], partition.grain, spec.key)


def _foreign_rows(product: Product, spec: PartSpec, count: int, column: str) -> BuildError:
    """Return the error for rows of a part that belong to another part."""
    hint = "A part holds rows of its own alone. Filter them, or follow no parts of that input."
    if spec.key == NULL:
        advice = "leave them out, or write each= instead."
        hint = f"Rows whose {column} is null are of no part: {advice}"
    return BuildError(
        f"{count:,} rows of {product.name} that were made as {spec.key} belong elsewhere:"
        f" they say so by {column}",
        hint=hint,
        where=product.where,
    )


def _own_rows(
    tools: BuildTools, product: Product, spec: PartSpec, target: Path, measured: Measured
) -> Measured:
    """Remove rows of earlier parts, which were built from incomplete windows."""
    assert product.partition is not None
    [name], grain = product.partition.names, product.partition.grain
    column = next((c for c in measured.columns if c.name.lower() == name.lower()), None)
    if column is None:
        raise BuildError(
            f"{product.name} sees parts before its own,"
            " and its rows do not say of which part they are",
            hint=f"Give it a column {name}.",
            where=product.where,
        )
    if not measured.foreign_rows:
        return measured
    if zoned := [f"{c.name} ({c.logical})" for c in measured.columns if c.logical]:
        raise BuildError(
            f"a part with {', '.join(zoned)} cannot be told from those before",
            where=product.where,
        )
    before = ", ".join(literal(key) for key in _keys_before(product, spec, grain)) or "null"
    engine, window = tools.workers.engine, target.with_name("window.parquet")
    target.rename(window)
    is_before = f"{keyed(identifier(column.name), grain, column.type)} in ({before})"
    engine.copy_where(window, f"({is_before}) is not true", target)
    window.unlink()
    return measure(engine, target, product.event_time, part_check=_part_check(product, spec))


def _keys_before(product: Product, spec: PartSpec, grain: str) -> list[str]:
    """Return the keys of the earlier parts whose inputs this part reads, sorted."""
    grains = {i.alias: i.grain or "" for i in product.inputs if i.back}
    used = {
        coarsen(key, grains[alias], grain)
        for alias, keys in spec.uses.items()
        if alias in grains
        for key in keys
    }
    return sorted(used - {spec.key})


def _folder(product: Product, key: str, index: int) -> str:
    """Return the folder of a part: `column=value`, as in Hive, if a column holds the part's key."""
    partition = product.partition
    says = partition and partition.in_rows and partition.grain in {"", "day"}
    if partition and says and key not in _NO_FOLDER_NAME:
        name, value = partition.names[0], quote(key, safe="")
        if len(value) <= _LONGEST and name.isascii():
            return f"{name}={value}"
    return f"part-{index}"


# ---------------------------------------------------------------------------- columns of parts


def _parts_unlike_most(product: Product, parts: Mapping[str, Part]) -> dict[str, Exception]:
    """Return an error for each part whose columns are not those of most parts."""
    if len({part.columns for part in parts.values()}) < 2:
        return {}
    usual, _ = Counter(part.columns for part in parts.values()).most_common(1)[0]
    model = next(part for part in parts.values() if part.columns == usual)
    return {
        key: _unlike(product, part, model) for key, part in parts.items() if part.columns != usual
    }


def _columns_of(product: Product, parts: Sequence[Part]) -> tuple[Column, ...]:
    """Return the columns that all parts have; BuildError when they differ."""
    if not parts:
        raise BuildError(
            f"{product.name} has no parts: none of its inputs has any", where=product.where
        )
    for part in parts:
        if part.columns != parts[0].columns:
            raise _unlike(product, part, parts[0])
    return parts[0].columns


def _unlike(product: Product, part: Part, model: Part) -> BuildError:
    """Return the error for a part that has other columns than another."""
    columns, model_columns = _spelled(part), _spelled(model)
    differences = [
        f"{key} has {', '.join(sorted(extra))}"
        for key, extra in (
            (part.key, columns - model_columns),
            (model.key, model_columns - columns),
        )
        if extra
    ]
    difference = "; ".join(differences) or "their columns are in another order"
    return BuildError(
        f"the parts of {product.name} are not alike: {difference}",
        hint="Cast to one type, or declare a contract.",
        where=product.where,
    )


def _spelled(part: Part) -> set[str]:
    return {f"{column.name} {column.logical or column.type}" for column in part.columns}
