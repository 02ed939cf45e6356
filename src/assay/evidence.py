"""Where what a product is made of, and judged by, is read: which version of each input, and its files."""

from collections.abc import Mapping

from assay.config import Config
from assay.decision import Keep, Publish
from assay.engines.duckdb import DuckDB
from assay.engines.feed import Feed
from assay.errors import BuildError
from assay.graph import Graph
from assay.model import PREVIOUS, QUARANTINE, THIS, Kind, Product, Version, short
from assay.plan import Observed, compared_with, judged_as_of
from assay.rules.judge import Evidence
from assay.storage import Storage


class Shelf:
    """The files behind every name, as observed and as decided so far (`decisions` may grow)."""

    def __init__(
        self, graph: Graph, observed: Observed, storage: Storage, config: Config, decisions: Mapping[str, object]
    ) -> None:
        self.graph, self.observed, self.storage, self.config = graph, observed, storage, config
        self.root, self.decisions = config.root, decisions

    def engine(self) -> DuckDB:
        """Return a DuckDB that can read and write the store, and read the sources, and nothing else."""
        outside = {(self.root / f.path).parent for s in self.observed.sources.values() for f in s.files}
        return DuckDB([self.storage.root, *sorted(outside)], self.config.state / "spill", self.config.memory)

    def feed(self, alias: str, name: str) -> Feed:
        """Return a source as observed, or the version of a product that this run goes on with."""
        if name in self.observed.sources:
            files = tuple(self.root / f.path for f in self.observed.sources[name].files)
            return Feed(alias=alias, name=name, files=files, source=self.graph.sources[name])
        return self._of(alias, name, self._version(name))

    def published(self, name: str) -> Feed:
        """Return a source as observed, or what readers see of a product."""
        pointer = self.observed.facts.pointer(name)
        return self._of(name, name, self.observed.facts.version(pointer.version)) if pointer else self.feed(name, name)

    def _version(self, name: str) -> Version:
        """Return the version of a product that this run goes on with."""
        decision = self.decisions.get(name)
        if isinstance(decision, Publish | Keep):
            return decision.version
        pointer = self.observed.facts.pointer(name)
        if pointer is None:
            raise BuildError(f"{name} is not published, so it cannot be read")
        return self.observed.facts.version(pointer.version)

    def _of(self, alias: str, name: str, version: Version, part: str = "") -> Feed:
        files = tuple(self.storage.locate(p) for p in version.parts if p.key == part)
        return Feed(alias=alias, name=name, files=files)

    def feeds(self, product: Product) -> list[Feed]:
        """Return what a product is made of; a quarantine is made of the rows that were set aside."""
        if product.kind is not Kind.QUARANTINE:
            return [self.feed(i.alias, i.name) for i in product.inputs]
        [made_of] = product.inputs
        version = self._version(made_of.name)
        if version.part(QUARANTINE) is None:
            raise BuildError(f"{short(version.id)} of {made_of.name} set no rows aside")
        return [self._of(made_of.alias, made_of.name, version, QUARANTINE)]

    def evidence(self, product: Product, version: Version, restated: str = "") -> Evidence:
        """Return what a version is judged by."""
        asked = {i.alias: i.name for rule in product.contract.rules for i in rule.inputs}
        others = [self.feed(alias, name) for alias, name in asked.items() if name in self.graph.products]
        before = compared_with(product, version, self.observed.facts) if product.uses_previous else None
        if before:
            others.append(self._of(PREVIOUS, PREVIOUS, before))
        read = [feed.name for feed in others if feed.name in self.graph.products]
        return Evidence(
            this=self.storage.locate(version.parts[0]),
            columns=version.columns,
            rows=version.rows,
            aside=self.storage.locate(aside) if (aside := version.part(QUARANTINE)) else None,
            rows_in=version.rows_in,
            others=tuple(others),
            before=before.columns if before else (),
            now=judged_as_of(version, self.observed),
            restated=restated,
            sensitive={
                name: frozenset(self.graph.sensitive(product.name if name in {THIS, PREVIOUS} else name))
                for name in {THIS, PREVIOUS, *read}
            },
        )
