"""A project: its configuration, its graph, and, once something has to run, its definitions."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from assay.config import Config, find_config
from assay.declare.manifest import last_manifest, read_manifest
from assay.engines.sql import reader
from assay.engines.types import readable, storable
from assay.errors import Conflict, DeclarationError, UsageError
from assay.model import PREVIOUS, THIS, Input, Product
from assay.plan.graph import Graph
from assay.plan.moments import graph_at

if TYPE_CHECKING:
    from assay.declare.resolve import Definition, Resolved


class Outdated(Struct, frozen=True, kw_only=True):
    """Declarations that cannot be read now (`problem`): those last read without a mistake, `at` that time, stand in."""

    problem: UsageError
    at: datetime

    def __str__(self) -> str:
        mistakes = self.problem.problems if isinstance(self.problem, DeclarationError) else ()
        first = str(mistakes[0] if mistakes else self.problem).partition("\n")[0]
        more = f", and {len(mistakes) - 1} more" if len(mistakes) > 1 else ""
        return (
            f"the declarations cannot be read now ({first}{more}): this goes by those of"
            f" {self.at:%Y-%m-%d %H:%M:%S} UTC. `products plan` lists every mistake."
        )


class Project(Struct):
    """A project as declared. `definitions()` imports the user's modules, if the manifest spared that so far."""

    config: Config
    graph: Graph
    resolved: "Resolved | None" = None
    outdated: Outdated | None = None
    now: datetime | None = None

    def set_clock(self, now: datetime) -> None:
        """Take this for the moment of all that changes with time."""
        self.now, self.graph = now, graph_at(self.graph, now)

    def definitions(self) -> "Mapping[str, Definition]":
        """Return what runs for each product; Conflict when that is no longer what was planned with."""
        if self.outdated:
            raise self.outdated.problem
        if self.resolved is None:
            planned = self.graph
            self.resolved = _read(self.config)
            self.graph = (
                graph_at(self.resolved.graph, self.now) if self.now else self.resolved.graph
            )
            if self.graph != planned:
                raise Conflict(
                    "the definitions changed while they were being used", hint="Run it again."
                )
        return self.resolved.definitions

    def vouch(self, names: Iterable[str]) -> None:
        """Raise UsageError when what the manifest says of these products is more than queries over what they read."""
        if self.resolved is not None:
            return
        products = [self.graph.products[name] for name in names]
        with reader.read_ahead(query for product in products for query, _ in product.queries):
            for product in products:
                self._vouch_for(product)

    def _vouch_for(self, product: Product) -> None:
        sources = [
            self.graph.sources[i.name] for i in product.inputs if i.name in self.graph.sources
        ]
        types = [column.type for column in product.contract.columns if not storable(column.type)]
        types += [
            c.logical or c.type
            for source in sources
            for c in source.columns
            if not readable(c.type, c.logical)
        ]
        wrong = f"a type {types[0]!r}" if types else ""
        for query, inputs in product.queries:
            wrong = wrong or _not_a_query(query, inputs)
        if wrong:
            told = f"the manifest {self.config.state / 'manifest.json'} is damaged ({product.name}: {wrong})"
            raise UsageError(told, hint="Remove it; it is made again.")


def _not_a_query(query: str, inputs: Iterable[Input]) -> str:
    """Return what is wrong with a text that should only read these inputs; '' for nothing."""
    try:
        parsed = reader.parse(query)
    except reader.Unreadable as error:
        return error.what
    allowed = {i.alias.lower() for i in inputs} | {THIS, PREVIOUS}
    foreign = [str(table) for table in parsed.tables if str(table).lower() not in allowed]
    return f"it reads {foreign[0]}" if foreign else ""


def open_project(start: Path | None = None, *, last_good: bool = False) -> Project:
    """Open the project at or above a folder (the working directory unless given).

    With `last_good`, declarations that cannot be read give way to those that were last read without a mistake, if they
    are kept: for who only looks at what is published. Raises UsageError when there is no project, DeclarationError with
    every mistake in its declarations.
    """
    config = find_config(start or Path.cwd())
    if graph := read_manifest(config):
        return Project(config=config, graph=graph)
    try:
        resolved = _read(config)
    except UsageError as problem:
        kept = last_manifest(config) if last_good else None
        if kept is None:
            raise
        return Project(config=config, graph=kept[0], outdated=Outdated(problem=problem, at=kept[1]))
    return Project(config=config, graph=resolved.graph, resolved=resolved)


def _read(config: Config) -> "Resolved":
    from assay.declare.reading import (
        read_definitions,  # and all that makes products of them: the manifest spares it
    )

    return read_definitions(config)
