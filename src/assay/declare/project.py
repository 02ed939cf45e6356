"""A project: its configuration, its graph and, when code has to run, its definitions."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from assay.config import Config, find_config
from assay.declare.dependencies import Modules, modules_now
from assay.declare.manifest import Manifest, last_manifest, valid_manifest
from assay.engines.sql import reader
from assay.engines.sql.tables import Unreadable
from assay.engines.types import readable, storable
from assay.errors import Conflict, DeclarationError, UsageError
from assay.model import PREVIOUS, THIS, Input, Product
from assay.plan.graph import Graph
from assay.plan.moments import graph_at

if TYPE_CHECKING:
    from assay.declare.resolve import Definition, Resolved


class Outdated(Struct, frozen=True, kw_only=True):
    """Why a project uses declarations read `at` an earlier time: the `problem` with the current."""

    problem: UsageError
    at: datetime

    def __str__(self) -> str:
        problems = self.problem.problems if isinstance(self.problem, DeclarationError) else ()
        first = str(problems[0] if problems else self.problem).partition("\n")[0]
        count = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        return (
            f"the declarations cannot be read now ({first}{count}): this goes by those of"
            f" {self.at:%Y-%m-%d %H:%M:%S} UTC. `products plan` lists every mistake."
        )


class AsRead(Struct, frozen=True, kw_only=True):
    """The declarations as read: the graph, and the digest of what it was `made_from`.

    `files` are what it depends on besides definition modules.
    """

    graph: Graph
    made_from: str
    files: Sequence[str]


class Project(Struct):
    """A project as declared; `resolved` is None while its graph is from the `manifest`."""

    config: Config
    graph: Graph
    resolved: "Resolved | None" = None
    outdated: Outdated | None = None
    now: datetime | None = None
    manifest: Manifest | None = None

    @property
    def as_read(self) -> AsRead | None:
        """The declarations as read; None where it is not known what they were made from."""
        if self.outdated:
            return None
        if read := self.manifest:
            return AsRead(graph=read.graph, made_from=read.made_from, files=read.files)
        if (resolved := self.resolved) and resolved.made_from:
            made_from, files = resolved.made_from, resolved.files_read
            return AsRead(graph=resolved.graph, made_from=made_from, files=files)
        return None

    def set_clock(self, now: datetime) -> None:
        """Use this moment for every product that changes with time."""
        self.now, self.graph = now, graph_at(self.graph, now)

    def definitions(self) -> "Mapping[str, Definition]":
        """Return what runs for each product; imports the user's modules the first time.

        Raises Conflict if the declarations have changed since the graph was read.
        """
        if self.outdated:
            raise self.outdated.problem
        if self.resolved is None:
            planned = self.graph
            self.resolved = _read(self.config, modules_now(self.config))
            self.graph = (
                graph_at(self.resolved.graph, self.now) if self.now else self.resolved.graph
            )
            if self.graph != planned:
                raise Conflict(
                    "the definitions changed while they were being used", hint="Run it again."
                )
        return self.resolved.definitions

    def vouch(self, names: Iterable[str]) -> None:
        """Raise UsageError if the SQL of products in the manifest does more than read their inputs.

        The manifest is a file that anyone with access may have edited: its SQL must not do more
        than read.
        """
        if self.resolved is not None:
            return
        products = [self.graph.products[name] for name in names]
        with reader.read_ahead(query for product in products for query, _ in product.queries):
            for product in products:
                self._vouch_for(product)

    def _vouch_for(self, product: Product) -> None:
        problem = self._wrong_type(product)
        for query, inputs in product.queries:
            problem = problem or _wrong_query(query, inputs)
        if problem:
            file = self.config.state / "manifest.json"
            message = f"the manifest {file} is damaged ({product.name}: {problem})"
            raise UsageError(message, hint="Remove it; it is made again.")

    def _wrong_type(self, product: Product) -> str:
        """Return what is wrong with the types of a product and its sources; '' for nothing."""
        for column in product.contract.columns:
            if not storable(column.type):
                return f"a type {column.type!r}"
        for input in product.inputs:
            source = self.graph.sources.get(input.name)
            for column in source.columns if source else ():
                if not readable(column.type, column.logical):
                    return f"a type {(column.logical or column.type)!r}"
        return ""


def _wrong_query(query: str, inputs: Iterable[Input]) -> str:
    """Return what is wrong with a text that should only read these inputs; '' for nothing."""
    try:
        parsed = reader.parse(query)
    except Unreadable as error:
        return error.what
    allowed = {i.alias.lower() for i in inputs} | {THIS, PREVIOUS}
    foreign = [str(table) for table in parsed.tables if str(table).lower() not in allowed]
    return f"it reads {foreign[0]}" if foreign else ""


def open_project(
    start: Path | None = None, *, last_good: bool = False, before: Manifest | None = None
) -> Project:
    """Open the project at or above a folder (the working directory unless given).

    With `last_good`, declarations with problems are replaced by the last ones without, if those are
    stored: for commands that only look at what is published. `before` is a manifest that this
    process has read: it is not read again while it is valid. Raises UsageError when there is no
    project, DeclarationError with every problem in its declarations.
    """
    config = find_config(start or Path.cwd())
    modules = modules_now(config)
    if manifest := valid_manifest(config, before, modules):
        return Project(config=config, graph=manifest.graph, manifest=manifest)
    try:
        resolved = _read(config, modules)
    except UsageError as problem:
        stored = last_manifest(config) if last_good else None
        if stored is None:
            raise
        graph, at = stored
        return Project(config=config, graph=graph, outdated=Outdated(problem=problem, at=at))
    return Project(config=config, graph=resolved.graph, resolved=resolved)


def _read(config: Config, modules: Modules) -> "Resolved":
    # Imported late: with a valid manifest, neither the user's modules nor their reader is loaded.
    from assay.declare.reading import read_definitions

    return read_definitions(config, modules)
