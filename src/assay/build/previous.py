"""What products read as `previous`, as files: a version, a part of one, or a table without rows."""

from collections.abc import Callable, Iterable, Sequence

from assay.build.inputs import Inputs
from assay.build.run_facts import RunFacts
from assay.engines.history import columns_of_history
from assay.engines.tables import InputFiles, StoredTable, stored
from assay.errors import BuildError, StoreError
from assay.facts import Part, Version
from assay.model import PREVIOUS, Column, Product
from assay.plan.part_specs import PartSpec
from assay.plan.states import published_version


class PreviousFiles:
    """The files of what the products of one run read as `previous`."""

    def __init__(self, inputs: Inputs, facts: RunFacts) -> None:
        self.inputs, self.facts = inputs, facts

    def of_version(self, product: Product, content: str) -> InputFiles:
        """Return the version with this content ('': no rows); BuildError if it is not stored."""
        if not content:
            return self._empty(product)
        version = self.facts.with_content(product.name, content)
        if version is None:
            raise _lost(product)
        return self.inputs.files_of_version(PREVIOUS, PREVIOUS, version)

    def of_parts(
        self, product: Product, specs: Iterable[PartSpec]
    ) -> Callable[[PartSpec], InputFiles]:
        """Return a function that gives what each of these parts reads as `previous`.

        The function needs no catalog; it raises BuildError for a part that is not stored.
        """
        published, known = self._known_parts(product, specs)

        def of_part(spec: PartSpec) -> InputFiles:
            content = spec.inputs.get(PREVIOUS)
            if not content or published is None:
                return self._empty(product)
            part = known.get((spec.key, content))
            if part is None:
                raise _lost(product)
            try:
                table = stored(published, self.inputs.storage, [part])
            except StoreError:
                raise _lost(product) from None
            return InputFiles(alias=PREVIOUS, name=PREVIOUS, table=table)

        return of_part

    def without(self, product: Product, specs: Iterable[PartSpec]) -> set[str]:
        """Return the keys of the parts that cannot be built again: what they were built on is gone."""
        specs = list(specs)
        _, known = self._known_parts(product, specs)
        return {
            spec.key
            for spec in specs
            if PREVIOUS in spec.inputs and (spec.key, spec.inputs[PREVIOUS]) not in known
        }

    def _known_parts(
        self, product: Product, specs: Iterable[PartSpec]
    ) -> tuple[Version | None, dict[tuple[str, str], Part]]:
        """Return the published version, and the parts that these read, by key and content."""
        published = published_version(product.name, self.facts)
        parts = published.parts if published else ()
        known = {(part.key, part.digest): part for part in parts}
        read = {(spec.key, spec.inputs[PREVIOUS]) for spec in specs if PREVIOUS in spec.inputs}
        if others := {content for key, content in read if (key, content) not in known}:
            earlier = self.facts.parts_with_content(product.name, others)
            known |= {(part.key, part.digest): part for part in earlier}
        return published, known

    def _empty(self, product: Product) -> InputFiles:
        columns: Sequence[Column] = product.contract.columns
        if product.history:
            [read] = product.inputs
            columns = columns_of_history(product.history, self._columns(read.name))
        nothing = StoredTable(())
        return InputFiles(alias=PREVIOUS, name=PREVIOUS, table=nothing, empty=tuple(columns))

    def _columns(self, name: str) -> Sequence[Column]:
        if source := self.inputs.graph.sources.get(name):
            return (*source.columns, *source.path_columns)
        return self.inputs.version(name).columns


def _lost(product: Product) -> BuildError:
    return BuildError(
        f"{product.name} goes on from a version of which the files are lost or damaged",
        hint=f"`products verify {product.name} --repair` looks for another copy;"
        f" `products restore {product.name} VERSION` goes back to an earlier version, and on"
        f" from there; `products materialize {product.name} --from-start` begins anew.",
        where=product.where,
    )
