"""The files of sources and products, as observed, as published, or as decided in a run."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from assay.build.workspace import Workspace
from assay.config import Config
from assay.decisions import Decision, Keep, Publish
from assay.engines.duckdb import DuckDB
from assay.engines.tables import InputFiles, StoredTable, stored, stored_singly
from assay.errors import BuildError
from assay.facts import Part, SourceFile, SourceState, Version, short
from assay.model import QUARANTINE, Column, Input, Kind, Product
from assay.plan.graph import Graph
from assay.plan.ladder import plan
from assay.plan.observed import Observed
from assay.plan.part_specs import PartSpec
from assay.plan.request import Request
from assay.store.files import Storage
from assay.store.permissions import make_folder
from assay.store.spill import copies_of
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
        """The folders that an engine may access: those of the store, and of the sources."""
        files = [file for source in self.observed.sources.values() for file in source.files]
        outside = {file.path[: file.path.rfind("/") + 1] for file in files}
        own = [self.storage.root, copies_of(self.config)]
        return [*own, *sorted(self.root / folder for folder in outside)]

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
        table = stored(version, self.storage, parts)
        return InputFiles(alias=alias, name=name, table=table, declared=self._declared(name))

    def _declared(self, name: str) -> tuple[Column, ...]:
        """Return the columns of a stored source whose types are not stored: enums and zones."""
        product = self.graph.products.get(name)
        if product is None or not product.files:
            return ()
        columns = self.graph.sources[product.files].columns
        return tuple(c for c in columns if c.logical or c.type.startswith("ENUM"))

    def inputs_of(self, product: Product) -> Callable[[PartSpec | None], list[InputFiles]]:
        """Return a function that gives the inputs of a product, or of one part of it.

        The function needs no catalog, so that any thread may call it.
        """
        if product.kind is Kind.QUARANTINE and product.partition:
            return self._set_aside_of_part(product)
        if product.kind is Kind.QUARANTINE:
            set_aside = self._set_aside(product)
            return lambda _: [set_aside]
        if not product.follows:
            files = [self.files_of(i.alias, i.name) for i in product.inputs]
            return lambda _: files
        origins = {
            i.alias: _ByPart(
                self.observed.sources.get(i.name) or self.version(i.name), self.storage
            )
            for i in product.inputs
        }

        def of_part(spec: PartSpec | None) -> list[InputFiles]:
            assert spec is not None
            return [
                self._with_parts(i, origins[i.alias], spec.uses.get(i.alias))
                for i in product.inputs
            ]

        return of_part

    def _with_parts(self, i: Input, all: "_ByPart", keys: Sequence[str] | None) -> InputFiles:
        """Return the parts of an input with these keys; None: all parts."""
        if isinstance(all.origin, SourceState):
            files = all.origin.files if keys is None else all.files_of(keys)
            return self._of_source(i.alias, i.name, tuple(files))
        parts = all.origin.parts if keys is None else all.parts_of(keys)
        if not parts:  # read no rows of a part, to get a table with the input's columns
            first = all.origin.parts[0]
            parts = [replace(first, rows=0, start=0, of=first.of or first.rows)]
        assert all.table_of is not None
        table, declared = all.table_of(parts), self._declared(i.name)
        return InputFiles(alias=i.alias, name=i.name, table=table, declared=declared)

    def _of_source(self, alias: str, name: str, files: tuple[SourceFile, ...]) -> InputFiles:
        return InputFiles(
            alias=alias,
            name=name,
            table=StoredTable(tuple([self.root / file.path for file in files])),
            source=self.graph.sources[name],
            root=str(self.root),
            observed=files,
            copies=str(copies_of(self.config)),
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

    def _set_aside_of_part(self, product: Product) -> Callable[[PartSpec | None], list[InputFiles]]:
        """Return a function that gives the rows that were set aside of one part of a product."""
        [source] = product.inputs
        version = self.version(source.name)
        asides = {part.key: part.aside for part in version.parts}

        def of_part(spec: PartSpec | None) -> list[InputFiles]:
            assert spec is not None
            if not (aside := asides.get(spec.key)):
                raise BuildError(f"{short(version.id)} of {source.name} set no rows aside")
            table = stored(version, self.storage, [aside])
            return [InputFiles(alias=source.alias, name=source.name, table=table)]

        return of_part

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


class _ByPart:
    """A source or version by its parts; a search through all of them for each would be quadratic."""

    def __init__(self, origin: Version | SourceState, storage: Storage) -> None:
        self.origin = origin
        self.table_of = stored_singly(origin, storage) if isinstance(origin, Version) else None
        self._by_key: dict[str, list[int]] = {}  # the places of files or parts in their order
        for place, key in enumerate(_keys(origin)):
            self._by_key.setdefault(key, []).append(place)

    def files_of(self, keys: Iterable[str]) -> list[SourceFile]:
        assert isinstance(self.origin, SourceState)
        return [self.origin.files[place] for place in self._places(keys)]

    def parts_of(self, keys: Iterable[str]) -> list[Part]:
        assert isinstance(self.origin, Version)
        return [self.origin.parts[place] for place in self._places(keys)]

    def _places(self, keys: Iterable[str]) -> list[int]:
        return sorted(place for key in set(keys) for place in self._by_key.get(key, ()))


def _keys(origin: Version | SourceState) -> list[str]:
    """Return the key of the part of each file, or of each part."""
    if isinstance(origin, SourceState):
        return [file.part for file in origin.files]
    return [part.key for part in origin.parts]


def inputs_as_of_now(
    workspace: Workspace, observed: Observed, products: Collection[str] | None = None
) -> tuple[Inputs, Mapping[str, Decision]]:
    """Return the files of sources and products as observed, and the decision for each product.

    With `products`, for these and those that their decisions follow from alone.
    """
    graph, config = workspace.graph, workspace.config
    chosen = graph.products.keys() if products is None else _decided_with(graph, products)
    request = Request(products=frozenset(chosen))
    steps = plan(graph, observed, request, in_parts=False).steps
    return Inputs(graph, observed, workspace.storage, config, steps), steps


def _decided_with(graph: Graph, products: Iterable[str]) -> set[str]:
    """Return products, what they depend on, and what is published together with any of these."""
    groups: dict[str, list[str]] = {}
    for product in graph.products.values():
        if product.release_group:
            groups.setdefault(product.release_group, []).append(product.name)
    found, left = set[str](), [*products]
    while left:
        name = left.pop()
        if name in graph.products and name not in found:
            found.add(name)
            left += graph.products[name].reads
            left += groups.get(graph.products[name].release_group, ())
    return found


def store_engine(workspace: Workspace) -> DuckDB:
    """Return a DuckDB that can access only the store."""
    config = workspace.config
    return DuckDB([workspace.storage.root], config.spill_folder, config.limits)
