"""Sets rows aside while a product is built: as a whole, in parts, or in many parts at once.

What is set aside of a part belongs to it (`Part.aside`): both are recorded together, and one is
stored for as long as the other.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from assay.build.building import BuildOrder, BuildTools
from assay.engines.cut import Cut, cut, write
from assay.engines.duckdb import keyed, parquet
from assay.engines.measure import PartCheck, measure
from assay.engines.quoting import identifier
from assay.engines.tables import InputFiles, Measured, StoredTable
from assay.facts import Part
from assay.model import THIS, Column, Product
from assay.plan.digests import digest
from assay.plan.quarantines import aside_inputs, part_built_from, quarantine_code
from assay.rules.quarantine import marked_rows, split


class SetAside(Struct, frozen=True, kw_only=True):
    """A staged file as two: the rows to publish, and the rows that were set aside.

    `rows` counts those of the staged file, and `marked` are the numbers of those set aside, if
    they were asked for.
    """

    passed: Path
    measured: Measured
    quarantined: Path
    aside: Measured
    rows: int
    marked: Sequence[int] = ()


def set_aside(
    tools: BuildTools,
    order: BuildOrder,
    inputs: Sequence[InputFiles],
    staged: Path,
    measured: Measured,
    *,
    check: PartCheck | None = None,
    target: Path | None = None,
    numbered: bool = False,
) -> SetAside:
    """Move the rows of a staged file that break a quarantining rule to a file of their own.

    That is `target`, or a file beside the staged one.

    Raises BuildError when a rule cannot be checked.
    """
    product, engine = order.product, tools.workers.engine
    reads = {i.name for rule in product.contract.rules if rule.quarantines for i in rule.inputs}
    tables = [files for files in inputs if files.is_table and files.name in reads]
    this = InputFiles(alias=THIS, name=THIS, table=StoredTable((staged,)))
    with engine.bench([*tables, this], product.domain) as bench:
        files = split(
            product,
            staged,
            measured.columns,
            bench,
            lambda: order.definition.schema,
            target=target,
        )
        marked = marked_rows(bench) if numbered else []
    rows = measured
    if files.passed != staged:
        rows = measure(engine, files.passed, product.event_time, part_check=check)
    return SetAside(
        passed=files.passed,
        measured=rows,
        quarantined=files.quarantined,
        aside=measure(engine, files.quarantined),
        rows=files.rows,
        marked=marked,
    )


# -------------------------------------------------------------------------------------- in parts


class Asides:
    """The parts of rows that are set aside while one product is built.

    Most parts have none: these share one file without rows.
    """

    def __init__(self, tools: BuildTools, order: BuildOrder) -> None:
        self.tools, self.order = tools, order
        self._empty: dict[tuple[Column, ...], Part] = {}

    def of_part(self, part: Part, path: str, found: SetAside) -> Part:
        """Seal what was set aside of a part, at this path, and return the part with it."""
        aside = self._empty.get(found.aside.columns) if not found.aside.rows else None
        if aside:
            self.tools.storage.remove(path)
        else:
            aside = self.tools.sealed(path, found.aside)
        if not found.aside.rows and found.aside.columns not in self._empty:
            aside = replace(aside, of=0)
            self._empty[found.aside.columns] = aside
        aside = replace(aside, columns=found.aside.columns)
        return replace(part, aside=aside_of(self.order.product, part, aside), rows_in=found.rows)

    def of_parts(
        self, parts: Sequence[Part], path: str, measured: Sequence[Measured], rows: Sequence[int]
    ) -> list[Part]:
        """Seal what was set aside of several parts, one after the other in a file; return them.

        `rows` are those of each part before some were set aside.
        """
        size, checksum, modified = self.tools.storage.seal(path)
        total, starts = (
            sum(m.rows for m in measured),
            accumulate((m.rows for m in measured), initial=0),
        )
        return [
            replace(
                part,
                rows_in=count,
                aside=aside_of(
                    self.order.product,
                    part,
                    Part(
                        path=path,
                        rows=own.rows,
                        bytes=size,
                        checksum=checksum,
                        modified=modified,
                        start=start,
                        of=total,
                        digest=own.digest,
                        columns=own.columns,
                    ),
                ),
            )
            for part, own, count, start in zip(parts, measured, rows, starts, strict=False)
        ]


def aside_of(product: Product, part: Part, aside: Part) -> Part:
    """Return stored rows as those that were set aside of a part of a product."""
    inputs = aside_inputs(product, aside.digest)
    return replace(
        aside,
        key=part.key,
        inputs=inputs,
        built_from=part_built_from(quarantine_code(product.name), part.key, inputs),
        data_as_of=part.data_as_of,
    )


def counts_of_ranges(numbers: Sequence[int], rows: Sequence[int]) -> list[int]:
    """Return how many of these numbers, sorted, are in each of consecutive ranges of rows."""
    places = [bisect_left(numbers, start) for start in accumulate(rows, initial=0)]
    return [after - before for before, after in pairwise(places)]


# ------------------------------------------------------------------------------ cut into parts


class Cuts(Struct, frozen=True, kw_only=True):
    """A table that is cut into pieces, by key; with the rows of each that were set aside.

    `file` holds the rows to publish, and `aside_file` the others; `rows_in` counts both by key.
    """

    file: Path
    pieces: Mapping[str, Cut]
    aside_file: Path | None = None
    asides: Mapping[str, Cut] = field(default_factory=dict)
    rows_in: Mapping[str, int] = field(default_factory=dict)

    def made_of(self, key: str) -> str:
        """Return the digest that identifies a part that was cut: that of its content."""
        own, aside = self.pieces[key], self.asides.get(key)
        return digest(["cut", key, own.digest, *([aside.digest] if aside else [])])


def cut_both(
    tools: BuildTools,
    order: BuildOrder,
    inputs: Sequence[InputFiles],
    uncut: Path,
    measured: Measured,
) -> Cuts:
    """Set rows of a staged table aside, and cut what is published and what is not by the same column.

    Raises ResultRefused for a table that cannot be cut.
    """
    product, engine = order.product, tools.workers.engine
    assert product.partition is not None
    cut(uncut, product.partition, measured, "", engine)  # all rows are of a part
    rows_in = _rows_by_key(tools, product, uncut, measured)
    files = set_aside(tools, order, inputs, uncut, measured)
    pieces, asides = (
        {
            piece.key: piece
            for piece in cut(file, product.partition, of, event_time, engine)
            if piece.rows or not rows_in
        }
        for file, of, event_time in (
            (files.passed, files.measured, product.event_time),
            (files.quarantined, files.aside, ""),
        )
    )
    keys = sorted(rows_in) or [""]
    return Cuts(
        file=files.passed,
        pieces={key: pieces.get(key) or _nothing(key, files.measured) for key in keys},
        aside_file=files.quarantined,
        asides={key: asides.get(key) or _nothing(key, files.aside) for key in keys},
        rows_in=rows_in,
    )


def _nothing(key: str, measured: Measured) -> Cut:
    return Cut(key=key, rows=0, columns=measured.columns, digest=digest(["no rows", key]))


def _rows_by_key(
    tools: BuildTools, product: Product, file: Path, measured: Measured
) -> dict[str, int]:
    """Return the number of rows of each part of a table that is not cut yet."""
    partition = product.partition
    assert partition is not None
    name = partition.names[0].lower()
    column = next(column for column in measured.columns if column.name.lower() == name)
    key = keyed(identifier(column.name), partition.grain, column.type)
    with tools.workers.engine.cursor() as cursor:
        query = f"select {key}, count(*) {parquet([file])} group by 1"
        return dict(cursor.execute(query).fetchall())


def with_asides(
    tools: BuildTools, order: BuildOrder, cuts: Cuts, parts: Mapping[str, Part]
) -> dict[str, Part]:
    """Store the rows that were set aside of new parts in one file; return the parts with them."""
    product, path = order.product, f"{order.folder}/asides.parquet"
    assert product.partition is not None and cuts.aside_file is not None
    new = [cuts.asides[key] for key in parts]
    write(
        cuts.aside_file, product.partition, new, tools.storage.prepare(path), tools.workers.engine
    )
    measured = [Measured(rows=c.rows, columns=c.columns, digest=c.digest) for c in new]
    rows = [cuts.rows_in.get(key, 0) for key in parts]
    made = Asides(tools, order).of_parts([*parts.values()], path, measured, rows)
    for file in {cuts.file, cuts.aside_file}:
        tools.storage.remove(f"{order.folder}/{file.name}")
    return {part.key: part for part in made}
