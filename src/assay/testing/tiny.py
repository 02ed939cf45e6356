"""A project of one product and what it reads: the graph and the code that a test runs.

What the product reads are products and sources of the same names that hold the rows of the test.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from assay.declare.resolve import Definition
from assay.engines.make import LAZY_FRAME, Recipe
from assay.errors import UsageError
from assay.model import Code, Column, Contract, Input, Kind, Partition, Product, Source
from assay.plan.digests import digest
from assay.plan.graph import Graph
from assay.testing import files
from assay.testing.given import frame_of
from assay.testing.pieces import in_parts
from assay.testing.rows import Table

if TYPE_CHECKING:
    import polars as pl


class Given(Struct, frozen=True, kw_only=True):
    """What a test gives for an input.

    - `of`: the product or source whose place the rows take.
    - `columns`: its columns; none when they are not known, and any may be given.
    - `followed`: whether its parts count: the tested product is built of them, part by part.
    """

    of: Product | Source
    table: Table
    columns: Sequence[Column]
    followed: bool = False

    def frame(self, in_paths: Sequence[Column] = (), parts: Sequence[str] = ()) -> "pl.DataFrame":
        """Return the rows in the types of the columns, and of those in paths where they are given.

        Columns called as one of `parts` may be given besides. Raises UsageError for wrong rows.
        """
        in_paths = [column for column in in_paths if column.name in self.table.columns]
        columns = [*self.columns, *in_paths]
        return frame_of(self.of.name, self.table, columns, free=parts if self.columns else None)


class TinyProject:
    """The products and sources of one test; files of what is given are written to a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.products: dict[str, Product] = {}
        self.sources: dict[str, Source] = {}
        self.definitions: dict[str, Definition] = {}

    def graph(self, calendars: Mapping[str, Any]) -> Graph:
        """Return all that was added, as the graph of a project."""
        return Graph(products=dict(self.products), sources=dict(self.sources), calendars=calendars)

    def add(self, product: Product, definition: Definition) -> None:
        """Add the product that is tested, or replace what has its name."""
        self.products[product.name], self.definitions[product.name] = product, definition

    def give(self, given: Given) -> None:
        """Add a source or a product with these rows; UsageError for rows that it cannot have."""
        of, file = given.of, given.table.file
        if isinstance(of, Source):
            self.sources[of.name] = self._source(given, of)
        elif of.kind is Kind.FILE:
            if file is None:
                raise UsageError(f"{of.name} is a file: give the path of one")
            content = file.read_bytes()
            self._stand_in(of, lambda: content)
        elif of.partition and given.followed:
            self._give_parts(given, of, of.partition)
        else:
            frame = given.frame()
            self._stand_in(replace(of, partition=None), frame.lazy, frame)

    def _give_parts(self, given: Given, of: Product, partition: Partition) -> None:
        """Add a product in parts: cut by a column, or else it follows a source in parts."""
        known = {column.name for column in given.columns}
        parts = [name for name in partition.names if known and name not in known]
        frame = given.frame(parts=parts)
        if partition.in_rows and not parts and set(partition.names) <= set(frame.columns):
            return self._stand_in(of, frame.lazy, frame)
        pieces = in_parts(of, frame)
        frames = {key: frame.drop(parts, strict=False) for key, frame in pieces.items()}
        source = files.source_in_parts(of, frames, self.folder)
        self.sources[source.name] = source
        following = Input(alias="given", name=source.name, grain=partition.grain)
        return self._stand_in(of, _as_given, next(iter(frames.values())), following)

    def _stand_in(
        self,
        of: Product,
        make: Any,
        frame: "pl.DataFrame | None" = None,
        *inputs: Input,
    ) -> None:
        """Add a product in the place of another: what `make` returns, without rules."""
        columns = files.columns_of(frame) if frame is not None else ()
        names = {column.name for column in columns}
        # Parts of a version that is split alike may take the place of those that fail.
        split = {name: of.code.reached[name] for name in ("partition",) if name in of.code.reached}
        product = Product(
            name=of.name,
            where=of.where,
            kind=Kind.FILE if of.kind is Kind.FILE else Kind.FUNCTION,
            code=Code(digest=digest(["given", of.name]), reached=split),
            contract=Contract(digest=digest(["given"]), columns=columns),
            owner=of.owner,
            inputs=inputs,
            event_time=of.event_time if of.event_time in names else "",
            file=of.file,
            partition=of.partition,
        )
        recipe = Recipe(function=make, handovers={i.alias: LAZY_FRAME for i in inputs})
        self.add(product, Definition(recipe=recipe))

    def _source(self, given: Given, source: Source) -> Source:
        """Return a source of the file that a test names, or of its rows."""
        file = given.table.file
        if file and file.name.lower().endswith(files.suffixes(source)):
            return files.source_as_declared(source, file, self.folder)
        if source.is_file:
            raise UsageError(f"{source.name} is a file: give the path of one")
        frame = given.frame(source.path_columns)
        if not source.path_regex or not given.followed:
            return files.source_of_rows(source, frame, self.folder)
        return files.source_with_placeholders(source, in_parts(source, frame), self.folder)


def _as_given(given: "pl.LazyFrame") -> "pl.LazyFrame":
    return given


def tested(product: Product, skipped: frozenset[str]) -> Product:
    """Return the product that a test builds: as declared, without promises, approval, retries and time limit.

    Its values are the test's own, so none is hidden. `skipped` are rules (by text) to leave out.
    """
    rules = tuple(rule for rule in product.contract.rules if rule.text not in skipped)
    contract = replace(product.contract, rules=rules, sensitive=(), cleared=())
    return replace(
        product,
        contract=contract,
        renamed=(),
        freshness=None,
        release_group="",
        approvers=(),
        retries=0,
        timeout=0.0,
    )
