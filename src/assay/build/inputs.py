"""The files of sources and products, as observed, as published, or as decided in a run."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from assay.build.workspace import Workspace
from assay.config import Config
from assay.decisions import Decision, Keep, Publish
from assay.engines.duckdb import DuckDB
from assay.engines.tables import InputFiles, StoredTable, stored
from assay.errors import BuildError
from assay.facts import SourceFile, SourceState, Version, short
from assay.model import QUARANTINE, Input, Kind, Product
from assay.plan.graph import Graph
from assay.plan.ladder import plan
from assay.plan.observed import Observed
from assay.plan.part_specs import PartSpec
from assay.plan.request import Request
from assay.store.files import Storage
from assay.store.permissions import make_folder
from assay.times import AHEAD


class Inputs:
    """The files of each source and product; `decisions` grows while a run goes on."""

    def __init__(
        self,
        graph: Graph,
        observed: Observed,
        storage: Storage,
        config: Config,
        decisions: Mapping[str, object],
    ) -> None:
        self.graph, self.observed, self.storage, self.config = graph, observed, storage, config
        self.root, self.decisions = config.root, decisions

    def engine(self) -> DuckDB:
        """Return a DuckDB that can access only the store and the folders of the sources."""
        with suppress(OSError):  # in a read-only folder, nothing is spilled
            make_folder(self.config.spill_folder.parent)  # DuckDB creates only the last folder
        spill, limits = self.config.spill_folder, self.config.limits
        return DuckDB(self.folders, spill, limits, until=self.until)

    @property
    def until(self) -> datetime:
        """The moment after which events do not count: they are in the future."""
        return self.observed.now + AHEAD

    @property
    def folders(self) -> list[Path]:
        """The folders that an engine may access: the store, and those of the sources."""
        files = [file for source in self.observed.sources.values() for file in source.files]
        outside = {file.path[: file.path.rfind("/") + 1] for file in files}
        return [self.storage.root, *sorted(self.root / folder for folder in outside)]

    def files_of(self, alias: str, name: str) -> InputFiles:
        """Return a source as observed, or the version of a product that this run reads."""
        if name in self.observed.sources:
            return self._of_source(alias, name, self.observed.sources[name].files)
        return self.files_of_version(alias, name, self.version(name))

    def published(self, name: str) -> InputFiles:
        """Return a source as observed, or the published version of a product."""
        pointer = self.observed.facts.pointer(name)
        if pointer is None:
            return self.files_of(name, name)
        return self.files_of_version(name, name, self.observed.facts.version(pointer.version))

    def version(self, name: str) -> Version:
        """Return the version of a product that this run reads; BuildError if there is none."""
        decision = self.decisions.get(name)
        if isinstance(decision, Publish | Keep):
            return decision.version
        pointer = self.observed.facts.pointer(name)
        if pointer is None:
            raise BuildError(f"{name} is not published, so it cannot be read")
        return self.observed.facts.version(pointer.version)

    def files_of_version(self, alias: str, name: str, version: Version) -> InputFiles:
        """Return the files of a version, without quarantined rows."""
        parts = [part for part in version.parts if version.in_parts or part.key != QUARANTINE]
        return InputFiles(alias=alias, name=name, table=stored(version, self.storage, parts))

    def inputs_of(self, product: Product) -> Callable[[PartSpec | None], list[InputFiles]]:
        """Return a function that gives the inputs of a product, or of one part of it.

        The function needs no catalog, so that any thread may call it.
        """
        if product.kind is Kind.QUARANTINE:
            set_aside = self._set_aside(product)
            return lambda _: [set_aside]
        if not product.follows:
            files = [self.files_of(i.alias, i.name) for i in product.inputs]
            return lambda _: files
        origins = {
            i.alias: self.observed.sources.get(i.name) or self.version(i.name)
            for i in product.inputs
        }

        def of_part(spec: PartSpec | None) -> list[InputFiles]:
            assert spec is not None
            return [
                self._with_parts(i, origins[i.alias], spec.uses.get(i.alias))
                for i in product.inputs
            ]

        return of_part

    def _with_parts(
        self, i: Input, origin: Version | SourceState, keys: Collection[str] | None
    ) -> InputFiles:
        """Return the parts of an input with these keys; None: all parts."""
        chosen = None if keys is None else set(keys)
        if isinstance(origin, SourceState):
            files = [file for file in origin.files if chosen is None or file.part in chosen]
            return self._of_source(i.alias, i.name, tuple(files))
        parts = [part for part in origin.parts if chosen is None or part.key in chosen]
        if not parts:  # read no rows of a part, to get a table with the input's columns
            first = origin.parts[0]
            parts = [replace(first, rows=0, start=0, of=first.of or first.rows)]
        return InputFiles(alias=i.alias, name=i.name, table=stored(origin, self.storage, parts))

    def _of_source(self, alias: str, name: str, files: tuple[SourceFile, ...]) -> InputFiles:
        return InputFiles(
            alias=alias,
            name=name,
            table=StoredTable(tuple([self.root / file.path for file in files])),
            source=self.graph.sources[name],
            root=str(self.root),
            observed=files,
        )

    def _set_aside(self, product: Product) -> InputFiles:
        """Return the quarantined rows of a product, from which its quarantine product is built."""
        [source] = product.inputs
        version = self.version(source.name)
        part = version.part(QUARANTINE)
        if part is None or version.in_parts:
            raise BuildError(f"{short(version.id)} of {source.name} set no rows aside")
        table = stored(version, self.storage, [part])
        return InputFiles(alias=source.alias, name=source.name, table=table)

    def names_in(self, product: Product) -> set[str]:
        """Return the names of columns, parts and files of all inputs of a product."""
        names: set[str] = set()
        for name in product.reads:
            if name in self.observed.sources:
                for file in self.observed.sources[name].files:
                    names |= {file.path, str(self.root / file.path), file.part}
                continue
            with suppress(BuildError, KeyError):  # it is not published
                version = self.version(name)
                names |= {column.name for column in version.columns}
                names |= {part.key for part in version.parts}
        return names - {""}


def inputs_as_of_now(
    workspace: Workspace, observed: Observed
) -> tuple[Inputs, Mapping[str, Decision]]:
    """Return the files of sources and products as observed, and the decision for each product."""
    graph, config = workspace.graph, workspace.config
    request = Request(products=frozenset(graph.products))
    steps = plan(graph, observed, request, in_parts=False).steps
    return Inputs(graph, observed, workspace.storage, config, steps), steps


def store_engine(workspace: Workspace) -> DuckDB:
    """Return a DuckDB that can access only the store."""
    config = workspace.config
    return DuckDB([workspace.storage.root], config.spill_folder, config.limits)
