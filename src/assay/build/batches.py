"""Builds many small parts of a product at once: in one query where that allows it, or by calls.

The parts are those that building them one by one would give: each is measured by itself, and has
its own content, digest and inputs. Only their files differ: parts of one batch share one.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from assay.build.asides import Asides, SetAside, counts_of_ranges, set_aside
from assay.build.building import BuildOrder, BuildTools
from assay.build.pack import MANY
from assay.build.shared_files import may_share
from assay.build.workers import in_own_process
from assay.engines.batches import is_exact, stage_parts, together
from assay.engines.calls import Called, call_parts, may_be_called_together
from assay.engines.damage import damage_reported
from assay.engines.make import Recipe
from assay.engines.measure import PartsCheck, columns_of_file, measure_ranges
from assay.engines.sql.batching import Batched, batched
from assay.engines.tables import InputFiles, Measured
from assay.errors import AssayError, BuildError
from assay.facts import Part
from assay.model import THIS, Kind, Product
from assay.plan.part_specs import PartSpec
from assay.rules.quarantine import sees_single_rows

MOST_AT_ONCE = 1024  # parts of a batch: what a crash loses at most
_LARGEST = 1 << 20  # bytes that a part of a batch reads at most, as text
_MOST_BYTES = 32 << 20  # the same of a batch
_PACKED = 8  # how many bytes of text a byte of a packed file may be
_CALLING = 2.0  # seconds in which a function is called before what it returned is written
_FEWEST = 16  # parts of a batch after one for which calls took that long
_ROW = 64  # bytes of a stored row, as text


class NotAlike(BuildError):
    """Parts of a batch have to be built one by one."""


class PartToBuild(Struct, frozen=True):
    """A part to build: its place among all parts, and, in a batch, its inputs."""

    index: int
    spec: PartSpec
    inputs: Sequence[InputFiles] = ()


class Batch(Struct, frozen=True):
    """The parts that were built together, by key, and those that were not tried: lists of each batch.

    All others have to be built one by one.
    """

    parts: Mapping[str, Part]
    later: Sequence[list[PartToBuild]] = ()


class Batches:
    """Builds parts of one product many at a time: by one query, or by calls of its function.

    Without `query` and `recipe`, they are built one by one.
    """

    def __init__(self, tools: BuildTools, order: BuildOrder) -> None:
        self.tools, self.order = tools, order
        self.query = _query_of(order.product)
        self.recipe = _recipe_of(order)
        self._is_checked = False

    @property
    def builds_together(self) -> bool:
        """Whether parts of this product may be built together."""
        return self.query is not None or self.recipe is not None

    def groups(self, parts: Sequence[PartToBuild]) -> Iterator[list[PartToBuild]]:
        """Yield the parts in order: those in one list are a batch, or are built one by one."""
        if not self.builds_together or len(parts) < MANY:
            yield list(parts)
            return
        group: list[PartToBuild] = []
        size = 0
        for part, own_size in map(self._sized, parts):
            is_full = size + own_size > _MOST_BYTES or len(group) == MOST_AT_ONCE
            if group and (is_full or bool(part.inputs) != bool(group[0].inputs)):
                yield group
                group, size = [], 0
            group.append(part)
            size += own_size
        if group:
            yield group

    def is_batch(self, group: Sequence[PartToBuild]) -> bool:
        """Return whether to build these parts together."""
        return self.builds_together and len(group) > 1 and all(part.inputs for part in group)

    def build(self, group: Sequence[PartToBuild]) -> Batch:
        """Build and seal the parts of a group in one file.

        If this fails, the file is removed; the error may be of any of the parts.
        """
        folder = f"{self.order.folder}/parts-{uuid.uuid4().hex[:8]}"
        import duckdb

        try:
            built = self._build(group, folder)
        except BaseException as error:
            self.tools.remove(folder)
            if isinstance(error, duckdb.ProgrammingError):  # the query, not a value
                self.query = None
            raise
        if not built.parts:
            self.tools.remove(folder)
        return built

    def _sized(self, part: PartToBuild) -> tuple[PartToBuild, int]:
        """Return a part with its inputs, and their size; without them if it is built by itself."""
        try:
            inputs = self.order.inputs(part.spec)
            size = sum(
                _size_of(files)
                for i, files in zip(self.order.product.inputs, inputs, strict=True)
                if i.grain is not None
            )
        except (AssayError, OSError):
            return part, 0  # the error is raised again when the part is built
        return (part, 0) if size > _LARGEST else (replace(part, inputs=inputs), size)

    def _build(self, group: Sequence[PartToBuild], folder: str) -> Batch:
        tools, order, product = self.tools, self.order, self.order.product
        started, path = tools.timer(), f"{folder}/data.parquet"
        target, inputs = tools.storage.prepare(path), self._inputs(group)
        with order.as_observed(inputs), damage_reported(files.table for files in inputs):
            tools.inspector.inspect(inputs)
            made = self._called(group, target) if self.recipe else self._queried(group, target)
        rest = group[made.count :]
        size = max(made.count, _FEWEST)
        later = [[*rest[at : at + size]] for at in range(0, len(rest), size)]
        if not made.rows:
            return Batch({}, later)
        specs = [group[number].spec for number in made.rows]
        rows_in = rows = [*made.rows.values()]
        found = None
        if product.quarantines:
            found = self._set_aside(inputs, target, made.types)
            marked = counts_of_ranges(found.marked, rows_in)
            rows = [all - aside for all, aside in zip(rows_in, marked, strict=True)]
            target, path = found.passed, f"{folder}/{found.passed.name}"
        measured = self._measured_parts(target, made.types, specs, rows)
        order.check(inputs)
        size, checksum, modified = tools.storage.seal(path)
        seconds = round((tools.timer() - started) / len(specs), 3)
        starts = accumulate(rows, initial=0)
        parts = [
            Part(
                key=spec.key,
                path=path,
                rows=own.rows,
                bytes=size,
                checksum=checksum,
                modified=modified,
                start=start,
                of=sum(rows),
                digest=own.digest,
                built_from=spec.built_from,
                inputs=spec.inputs,
                columns=own.columns,
                seconds=seconds,
                data_as_of=own.data_as_of or order.data_as_of(spec),
            )
            for spec, own, start in zip(specs, measured, starts, strict=False)
        ]
        if found:
            lengths, engine = counts_of_ranges(found.marked, rows_in), tools.workers.engine
            of_parts = measure_ranges(engine, found.quarantined, lengths, found.aside.columns)
            aside_path = f"{folder}/{found.quarantined.name}"
            parts = Asides(tools, order).of_parts(parts, aside_path, of_parts, rows_in)
        has_totals = self.query is not None and self.query.has_totals
        built = {
            part.key: part
            for part, own_rows in zip(parts, rows_in, strict=True)
            if own_rows or not has_totals
        }
        return Batch(built, later)

    def _queried(self, group: Sequence[PartToBuild], target: Path) -> Called:
        """Write the rows of all parts by one query."""
        product, engine, query = self.order.product, self.tools.workers.engine, self.query
        assert query is not None
        inputs = [files for files in self._inputs(group) if files.is_table]
        want = {column.name: column.type for column in product.contract.columns}
        if not self._is_checked:
            one = [files for files in self._inputs(group[:1]) if files.is_table]
            if not is_exact(engine, query, product.sql, (one, product.domain)):
                raise self._never_together("they depend on the order of rows")
            self._is_checked = True
        types, counts = stage_parts(engine, query, (inputs, product.domain), target, want)
        rows = {number: counts[number] for number in range(len(group))}
        return Called(rows, types, len(group))

    def _called(self, group: Sequence[PartToBuild], target: Path) -> Called:
        """Write the rows of parts for which the function was called, until that takes long."""
        tools, recipe = self.tools, self.recipe
        assert recipe is not None
        until: list[float] = []

        def goes_on() -> bool:
            if not until:  # the first call begins
                until.append(tools.timer() + _CALLING)
            return tools.timer() < until[0] and not tools.workers.stopping.is_set()

        inputs = [part.inputs for part in group]
        engine = tools.workers.engine
        return call_parts(self.order.product, recipe, engine, inputs, target, goes_on=goes_on)

    def _never_together(self, why: str) -> NotAlike:
        """Build no more parts together, and return the error that says why."""
        self.query = self.recipe = None
        return NotAlike(f"parts of {self.order.product.name} are built one by one: {why}")

    def _set_aside(
        self, inputs: Sequence[InputFiles], staged: Path, types: dict[str, str]
    ) -> SetAside:
        """Set rows of all parts of a batch aside; raises NotAlike if rules see more than single rows."""
        tools, order, engine = self.tools, self.order, self.tools.workers.engine
        columns = columns_of_file(engine, staged, types)
        if not sees_single_rows(order.product, columns):
            raise self._never_together("its rules are asked of each")
        measured = Measured(rows=0, columns=columns, digest="")
        return set_aside(tools, order, inputs, staged, measured, numbered=True)

    def _inputs(self, group: Sequence[PartToBuild]) -> list[InputFiles]:
        """Return the inputs of a group: those that are followed of all of its parts."""
        return [
            files[0] if i.grain is None else together(files)
            for i, *files in zip(
                self.order.product.inputs, *(part.inputs for part in group), strict=True
            )
        ]

    def _measured_parts(
        self, file: Path, types: dict[str, str], specs: Sequence[PartSpec], rows: Sequence[int]
    ) -> list[Measured]:
        product, engine = self.order.product, self.tools.workers.engine
        columns = columns_of_file(engine, file, types)
        partition, check = product.partition, None
        if partition and partition.in_rows:
            keys = [spec.key for spec in specs]
            check = PartsCheck(partition.names[0], partition.grain, keys)
        if not may_share(columns):
            raise self._never_together("they have a file each")
        measured = measure_ranges(engine, file, rows, columns, product.event_time, parts=check)
        if any(part.foreign_rows for part in measured):
            raise NotAlike(f"rows of {product.name} are not of the part that they were built as")
        return measured


def _query_of(product: Product) -> Batched | None:
    """Return the query of many parts of a product; None if its parts are built one by one."""
    if not product.is_query or not _may_build_together(product):
        return None
    followed = [i for i in product.inputs if i.grain is not None]
    names = {name for i in followed for name in (i.alias, i.name, f"{product.domain}.{i.alias}")}
    return batched(product.sql, frozenset(name.lower() for name in names))


def _recipe_of(order: BuildOrder) -> Recipe | None:
    """Return the function to call for many parts of a product; None if they are built one by one."""
    product, recipe = order.product, order.definition.recipe
    if product.kind is not Kind.FUNCTION or recipe is None or not _may_build_together(product):
        return None
    return recipe if may_be_called_together(recipe) else None


def _may_build_together(product: Product) -> bool:
    """Return whether parts of a product may be built together, as far as it says itself."""
    if product.incremental or product.timeout or in_own_process(product):
        return False
    followed = [i for i in product.inputs if i.grain is not None]
    of_rules = {i.name for rule in product.contract.rules if rule.quarantines for i in rule.inputs}
    sees_parts = of_rules & {THIS, *(i.name for i in followed)}  # the rows of one part
    return bool(followed) and not any(i.back for i in followed) and not sees_parts


def _size_of(files: InputFiles) -> int:
    """Return about how many bytes the rows of an input have as text."""
    if files.source:
        packed = files.source.format == "parquet"
        return sum(
            file.size * (_PACKED if packed or file.path.endswith(".gz") else 1)
            for file in files.observed
        )
    cuts = files.table.cuts
    rows = sum(n for ranges in cuts.values() for _, n in ranges)
    whole = sum(file.stat().st_size for file in files.paths if file not in cuts)
    return rows * _ROW + whole * _PACKED
