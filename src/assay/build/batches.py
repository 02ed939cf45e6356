"""Builds many small parts of a product in one query, where its query allows that.

The parts are those that building them one by one would give: each is measured by itself, and has
its own content, digest and inputs. Only their files differ: parts of one batch share one.
"""

import uuid
from collections.abc import Iterator, Sequence
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
from assay.engines.damage import damage_reported
from assay.engines.measure import PartsCheck, columns_of_file, measure_ranges
from assay.engines.sql.batching import Batched, batched
from assay.engines.tables import InputFiles, Measured
from assay.errors import AssayError, BuildError
from assay.facts import Part
from assay.model import THIS, Product
from assay.plan.part_specs import PartSpec
from assay.rules.quarantine import sees_single_rows

MOST_AT_ONCE = 1024  # parts of a batch: what a crash loses at most
_LARGEST = 1 << 20  # bytes that a part of a batch reads at most, as text
_MOST_BYTES = 32 << 20  # the same of a batch
_PACKED = 8  # how many bytes of text a byte of a packed file may be
_ROW = 64  # bytes of a stored row, as text


class NotAlike(BuildError):
    """Parts of a batch have to be built one by one."""


class PartToBuild(Struct, frozen=True):
    """A part to build: its place among all parts, and, in a batch, its inputs."""

    index: int
    spec: PartSpec
    inputs: Sequence[InputFiles] = ()


class Batches:
    """Builds parts of one product many at a time; `query` is None if they are built one by one."""

    def __init__(self, tools: BuildTools, order: BuildOrder) -> None:
        self.tools, self.order = tools, order
        self.query = _query_of(order.product)
        self._is_checked = False

    def groups(self, parts: Sequence[PartToBuild]) -> Iterator[list[PartToBuild]]:
        """Yield the parts in order: those in one list are a batch, or are built one by one."""
        if self.query is None or len(parts) < MANY:
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
        return self.query is not None and len(group) > 1 and all(part.inputs for part in group)

    def build(self, group: Sequence[PartToBuild]) -> dict[str, Part]:
        """Build and seal the parts of a group, by key, in one file.

        Parts that are not returned have to be built one by one. If this fails, the file is removed;
        the error may be of any of the parts.
        """
        folder = f"{self.order.folder}/parts-{uuid.uuid4().hex[:8]}"
        import duckdb

        try:
            return self._build(group, folder)
        except BaseException as error:
            self.tools.remove(folder)
            if isinstance(error, duckdb.ProgrammingError):  # the query, not a value
                self.query = None
            raise

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

    def _build(self, group: Sequence[PartToBuild], folder: str) -> dict[str, Part]:
        tools, order, product = self.tools, self.order, self.order.product
        started, engine, query = tools.timer(), tools.workers.engine, self.query
        assert query is not None
        path = f"{folder}/data.parquet"
        target, inputs = tools.storage.prepare(path), self._inputs(group)
        bench_inputs = ([files for files in inputs if files.is_table], product.domain)
        want = {column.name: column.type for column in product.contract.columns}
        with order.as_observed(inputs), damage_reported(files.table for files in inputs):
            tools.inspector.inspect(inputs)
            if not self._is_checked:
                one = [files for files in self._inputs(group[:1]) if files.is_table]
                if not is_exact(engine, query, product.sql, (one, product.domain)):
                    self.query = None
                    raise NotAlike(f"parts of {product.name} are built one by one")
                self._is_checked = True
            types, counts = stage_parts(engine, query, bench_inputs, target, want)
        specs = [part.spec for part in group]
        rows_in = rows = [counts[number] for number in range(len(specs))]
        found = None
        if product.quarantines:
            found = self._set_aside(inputs, target, types)
            marked = counts_of_ranges(found.marked, rows_in)
            rows = [all - aside for all, aside in zip(rows_in, marked, strict=True)]
            target, path = found.passed, f"{folder}/{found.passed.name}"
        measured = self._measured_parts(target, types, specs, rows)
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
            lengths = counts_of_ranges(found.marked, rows_in)
            of_parts = measure_ranges(engine, found.quarantined, lengths, found.aside.columns)
            aside_path = f"{folder}/{found.quarantined.name}"
            parts = Asides(tools, order).of_parts(parts, aside_path, of_parts, rows_in)
        return {
            part.key: part
            for part, own_rows in zip(parts, rows_in, strict=True)
            if own_rows or not query.has_totals
        }

    def _set_aside(
        self, inputs: Sequence[InputFiles], staged: Path, types: dict[str, str]
    ) -> SetAside:
        """Set rows of all parts of a batch aside; raises NotAlike if rules see more than single rows."""
        tools, order, engine = self.tools, self.order, self.tools.workers.engine
        columns = columns_of_file(engine, staged, types)
        if not sees_single_rows(order.product, columns):
            self.query = None
            raise NotAlike(f"rules of {order.product.name} are asked of its parts one by one")
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
            raise NotAlike(f"parts of {product.name} have a file each")
        measured = measure_ranges(engine, file, rows, columns, product.event_time, parts=check)
        if any(part.foreign_rows for part in measured):
            raise NotAlike(f"rows of {product.name} are not of the part that they were built as")
        return measured


def _query_of(product: Product) -> Batched | None:
    """Return the query of many parts of a product; None if its parts are built one by one."""
    if not product.is_query or product.incremental or product.timeout or in_own_process(product):
        return None
    followed = [i for i in product.inputs if i.grain is not None]
    if not followed or any(i.back for i in followed):
        return None
    of_rules = {i.name for rule in product.contract.rules if rule.quarantines for i in rule.inputs}
    if of_rules & {THIS, *(i.name for i in followed)}:  # they see the rows of one part
        return None
    names = {name for i in followed for name in (i.alias, i.name, f"{product.domain}.{i.alias}")}
    return batched(product.sql, frozenset(name.lower() for name in names))


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
