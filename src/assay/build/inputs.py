"""Where what a product is made of, and judged by, is read: which version of each input, and its files."""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from assay.config import Config
from assay.decisions import Keep, Publish
from assay.engines.duckdb import DuckDB
from assay.engines.sql.totals import TotalsQuery
from assay.engines.tables import InputFiles, StoredTable, stored
from assay.errors import BuildError, StoreError
from assay.model import (
    PREVIOUS,
    QUARANTINE,
    THIS,
    Input,
    Kind,
    Product,
    SourceFile,
    SourceState,
    Version,
    short,
)
from assay.plan.graph import Graph
from assay.plan.ladder import Observed, compared_with, judged_as_of
from assay.plan.parts import PartSpec
from assay.rules.hiding import Evidence
from assay.rules.incremental.totals import PartTotals, TableTotals, asked_of, splits, totals_digest
from assay.rules.judge import PartEvidence
from assay.rules.likeness import Secrets, alike
from assay.sensitive import secret
from assay.store.files import Storage
from assay.store.permissions import make_folder

_NOWHERE = StoredTable(())


class Inputs:
    """The files behind every name, as observed and as decided so far (`decisions` may grow)."""

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
        """Return a DuckDB that can read and write the store, and read the sources, and nothing else."""
        with suppress(
            OSError
        ):  # DuckDB makes one folder, not two; where nothing may be written nothing is spilled
            make_folder(self.config.spill_folder.parent)
        return DuckDB(self.folders, self.config.spill_folder, self.config.limits)

    @property
    def folders(self) -> list[Path]:
        """The folders that an engine may look into: the store, and those of the sources."""
        outside = {
            f.path[: f.path.rfind("/") + 1] for s in self.observed.sources.values() for f in s.files
        }
        return [self.storage.root, *sorted(self.root / folder for folder in outside)]

    def feed(self, alias: str, name: str) -> InputFiles:
        """Return a source as observed, or the version of a product that this run goes on with."""
        if name in self.observed.sources:
            return self._source(alias, name, self.observed.sources[name].files)
        return self._of(alias, name, self._version(name))

    def _source(self, alias: str, name: str, files: tuple[SourceFile, ...]) -> InputFiles:
        return InputFiles(
            alias=alias,
            name=name,
            table=StoredTable(tuple([self.root / file.path for file in files])),
            source=self.graph.sources[name],
            root=str(self.root),
            observed=files,
        )

    def published(self, name: str) -> InputFiles:
        """Return a source as observed, or what readers see of a product."""
        pointer = self.observed.facts.pointer(name)
        return (
            self._of(name, name, self.observed.facts.version(pointer.version))
            if pointer
            else self.feed(name, name)
        )

    def _version(self, name: str) -> Version:
        """Return the version of a product that this run goes on with."""
        decision = self.decisions.get(name)
        if isinstance(decision, Publish | Keep):
            return decision.version
        pointer = self.observed.facts.pointer(name)
        if pointer is None:
            raise BuildError(f"{name} is not published, so it cannot be read")
        return self.observed.facts.version(pointer.version)

    def _of(self, alias: str, name: str, version: Version, *, aside: bool = False) -> InputFiles:
        parts = [
            part
            for part in version.parts
            if (part.key == QUARANTINE and not version.in_parts) == aside
        ]
        return InputFiles(alias=alias, name=name, table=stored(version, self.storage, parts))

    def feeds(self, product: Product) -> Callable[[PartSpec | None], list[InputFiles]]:
        """Return a function that gives what a product, or one part of it, is made of; it asks the catalog nothing."""
        if product.kind is Kind.QUARANTINE:
            aside = self._aside(product)
            return lambda _: aside
        whole = [] if product.follows else [self.feed(i.alias, i.name) for i in product.inputs]
        if not product.follows:
            return lambda _: whole
        behind = {i.alias: self._behind(i) for i in product.inputs}

        def of_part(wanted: PartSpec | None) -> list[InputFiles]:
            assert wanted is not None
            return [
                self._some(i, behind[i.alias], wanted.uses.get(i.alias)) for i in product.inputs
            ]

        return of_part

    def _behind(self, i: Input) -> Version | SourceState:
        return self.observed.sources.get(i.name) or self._version(i.name)

    def _some(
        self, i: Input, behind: Version | SourceState, keys: Collection[str] | None
    ) -> InputFiles:
        """Return the parts of these keys of an input; all of it for None."""
        wanted = None if keys is None else set(keys)
        if isinstance(behind, SourceState):
            files = (
                behind.files
                if wanted is None
                else tuple([f for f in behind.files if f.part in wanted])
            )
            return self._source(i.alias, i.name, files)
        parts = [part for part in behind.parts if wanted is None or part.key in wanted]
        if not parts:  # no part of it, and yet a table of its columns
            parts = [
                replace(
                    behind.parts[0], rows=0, start=0, of=behind.parts[0].of or behind.parts[0].rows
                )
            ]
        return InputFiles(alias=i.alias, name=i.name, table=stored(behind, self.storage, parts))

    def _aside(self, product: Product) -> list[InputFiles]:
        """Return the rows that were set aside, of which a quarantine is made."""
        [made_of] = product.inputs
        version = self._version(made_of.name)
        if version.part(QUARANTINE) is None:
            raise BuildError(f"{short(version.id)} of {made_of.name} set no rows aside")
        return [self._of(made_of.alias, made_of.name, version, aside=True)]

    def parts(
        self, version: Version, judged: Mapping[int, Mapping[str, Any]]
    ) -> list[PartEvidence]:
        """Return the parts of a version, with what is remembered of each (by id), or else where it is read."""
        return [
            PartEvidence(
                key=p.key,
                id=p.id,
                table=_NOWHERE if p.id in judged else stored(version, self.storage, [p]),
                rows=p.rows,
                remembered=judged.get(p.id),
            )
            for p in version.parts
        ]

    def table_of(self, version: Version) -> Callable[[str], StoredTable]:
        """Return a function that says where a part of a version is read."""
        parts = {part.key: part for part in version.parts}
        return lambda key: stored(version, self.storage, [parts[key]])

    def tallies(
        self,
        product: Product,
        version: Version,
        judged: Callable[[Collection[int], str], Mapping[int, Mapping[str, Any]]],
    ) -> PartTotals:
        """Return what the totals of a version in parts are judged by; `judged` says what is remembered, by part."""
        rules, tables = self.totals(product, version)
        asked = (
            rules.values()
        )  # those that wait for something to compare with, too: what is remembered stays the same
        if product.uses_previous and not self._before(product, version):
            later = {
                rule.text
                for rule in product.contract.rules
                if any(i.name == PREVIOUS for i in rule.inputs)
            }
            rules = {text: told for text, told in rules.items() if text not in later}
        read = {block.table for told in rules.values() for block in told.blocks}
        found = {}
        for alias in sorted(read):
            here = tables[alias]
            queries = asked_of(asked, {THIS, PREVIOUS} if alias in {THIS, PREVIOUS} else {alias})
            digest = totals_digest(queries, here.columns)
            parts = self.parts(here, judged([part.id for part in here.parts], digest))
            found[alias] = TableTotals(rules=digest, queries=queries, parts=parts)
        return PartTotals(rules=rules, tables=found)

    def totals(
        self, product: Product, version: Version
    ) -> tuple[dict[str, TotalsQuery], dict[str, Version]]:
        """Return the rules whose totals are put together from those of parts, and all that rules read, by alias."""
        if not version.in_parts:
            return {}, {}
        tables = {THIS: version, PREVIOUS: self._before(product, version) or version}
        asked = {i.alias: i.name for rule in product.contract.rules for i in rule.inputs}
        for alias, name in asked.items():
            if name in self.graph.products:
                with suppress(BuildError):  # it is not published yet
                    tables[alias] = self._version(name)
        return splits(product, tables, self._sensitive(product, set(asked.values()))), tables

    def _before(self, product: Product, version: Version) -> Version | None:
        """Return the version that rules compare with.

        Files of it that are lost give way to those of the version to be judged that hold the very same rows: what was
        published and lost is built again, and compared with what it was.
        """
        before = (
            compared_with(product, version, self.observed.facts) if product.uses_previous else None
        )
        if before is None or self.storage.holds(before.parts):
            return before
        same = {(part.key, part.digest): part for part in version.parts}
        parts = [
            p if self.storage.holds([p]) else same.get((p.key, p.digest), p) for p in before.parts
        ]
        return replace(before, parts=tuple(parts))

    def _previous(self, before: Version) -> InputFiles:
        """Return the version that rules compare with as a table; StoreError when it is lost for good."""
        try:
            return self._of(PREVIOUS, PREVIOUS, before)
        except StoreError as error:
            name = before.product
            raise StoreError(
                f"rules of {name} compare with the published version {short(before.id)}, which is lost: {error.what}",
                hint=f"`products verify {name} --repair` looks for another copy. Without one, `products restore {name}"
                " VERSION` publishes an earlier version to compare with, and `products retire"
                f" {name}` lets the next run publish without comparing.",
            ) from None

    def _sensitive(self, product: Product, names: Iterable[str]) -> dict[str, frozenset[str]]:
        """Return the columns never to be shown of all that is read, by name."""
        return {
            name: frozenset(
                self.graph.sensitive(product.name if name in {THIS, PREVIOUS} else name)
            )
            for name in names
        }

    def secrets(self, product: Product) -> tuple[Secrets, ...]:
        """Return the sensitive columns that a product, or what its rules read, may hold under other names.

        None where only queries stand between: they tell what they call a column.
        """
        graph, names = self.graph, {product.name, *product.rule_inputs}
        names |= {above for name in names for above in graph.upstream(name)}
        behind = [graph.products[name] for name in sorted(names) if name in graph.products]
        functions = (p for p in behind if p.kind is Kind.FUNCTION)
        if not any(graph.sensitive(i.name) for p in functions for i in p.inputs):
            return ()
        found = []
        for marked in (p for p in behind if p.contract.sensitive):
            with suppress(BuildError, StoreError):  # it is not published, or not there
                version = self._version(marked.name)
                columns = secret(
                    [column.name for column in version.columns], graph.sensitive(marked.name)
                )
                found.append(
                    Secrets(self._of(THIS, marked.name, version).table, tuple(sorted(columns)))
                )
        return tuple(found)

    def never_shown(self, product: Product, table: StoredTable) -> frozenset[str]:
        """Return patterns of the columns of a product that must not be shown, by name or by what they hold there."""
        patterns = self.graph.sensitive(product.name)
        if not patterns or not (secrets := self.secrets(product)):
            return patterns
        engine = self.engine()
        try:
            with engine.cursor() as cursor:
                return patterns | alike(cursor, table, secrets)
        finally:
            engine.close()

    def names_in(self, product: Product) -> set[str]:
        """Return the names of columns, parts and files in all that a product reads."""
        found: set[str] = set()
        for name in product.reads:
            with suppress(BuildError, KeyError):  # it is not published
                behind = self.observed.sources.get(name) or self._version(name)
                if isinstance(behind, Version):
                    found |= {column.name for column in behind.columns} | {
                        part.key for part in behind.parts
                    }
                else:
                    paths = [file.path for file in behind.files]
                    found |= {
                        *paths,
                        *(str(self.root / path) for path in paths),
                        *(f.part for f in behind.files),
                    }
        return found - {""}

    def settled(self, version: Version, good: frozenset[str]) -> Evidence:
        """Return the evidence of a version of which all rules are known to find nothing: no file is looked at."""
        return Evidence(
            this=StoredTable(()),
            columns=version.columns,
            rows=version.rows,
            now=self.observed.now,
            good=good,
        )

    def evidence(self, product: Product, version: Version) -> Evidence:
        """Return what a version is judged by."""
        asked = {i.alias: i.name for rule in product.contract.rules for i in rule.inputs}
        others = [
            self.feed(alias, name) for alias, name in asked.items() if name in self.graph.products
        ]
        before = self._before(product, version)
        if before:
            others.append(self._previous(before))
        read = [feed.name for feed in others if feed.name in self.graph.products]
        return Evidence(
            this=self._of(THIS, THIS, version).table,
            columns=version.columns,
            rows=version.rows,
            aside=stored(version, self.storage, [aside]).files[0]
            if (aside := version.part(QUARANTINE))
            else None,
            rows_in=version.rows_in,
            others=tuple(others),
            before=before.columns if before else (),
            built=before.built_at if before else None,
            now=judged_as_of(version, self.observed),
            sensitive=self._sensitive(product, {THIS, PREVIOUS, *read}),
            secrets=self.secrets(product),
        )
