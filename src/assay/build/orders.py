"""Build orders: all that a builder needs, so that it needs no catalog."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec.structs import replace

from assay.build.building import BuildOrder
from assay.build.inputs import Inputs
from assay.build.observe import changed_since
from assay.build.previous import PreviousFiles
from assay.build.reaches import InputReaches
from assay.build.run_facts import RunFacts
from assay.decisions import InputState, KnownInput
from assay.declare.resolve import Definition
from assay.engines.history import at_moment
from assay.engines.tables import InputFiles
from assay.errors import BuildError, SourceReplaced
from assay.facts import Key, Part, SourceState, Version
from assay.model import Product
from assay.plan.digests import key_of
from assay.plan.part_specs import PartSpec, PartSteps, check_range, part_steps
from assay.plan.previous import MOMENT, is_from_start, previous_of
from assay.plan.reach import LatestEvent
from assay.plan.states import published_version
from assay.text import clean


class Orders:
    """Writes the orders of one run; `states` grows while the run goes on."""

    def __init__(
        self,
        run: str,
        inputs: Inputs,
        states: Mapping[str, InputState],
        facts: RunFacts,
        latest_event: LatestEvent,
    ) -> None:
        self.run, self.inputs, self.states, self.facts = run, inputs, states, facts
        self.previous = PreviousFiles(inputs, facts)
        self.reaches = InputReaches(inputs.graph, inputs.observed, latest_event)

    def whole(self, product: Product, key: Key, definition: Definition) -> BuildOrder:
        """Return the order to build a product as a whole.

        If the result is cut into parts, parts with unchanged rows keep their stored files.
        """
        cut = product.partition is not None and not product.follows
        existing = self._published_parts(product) if cut else ()
        return BuildOrder(
            product=product if product.history is None else at_moment(product, key.inputs[MOMENT]),
            key=key,
            run=self.run,
            definition=definition,
            inputs=self._inputs(product, key),
            check=self._check_sources,
            steps=PartSteps(stored={part.built_from: part for part in existing}),
            inherited=self.reaches.of_product(product, self.states),
        )

    def parts(
        self, product: Product, key: Key, definition: Definition, *, part_range: str, forced: bool
    ) -> BuildOrder:
        """Return the order to build the missing parts of a product that follows its inputs.

        Raises UsageError when the product has no part in `part_range`.
        """
        published = published_version(product.name, self.facts)
        steps = part_steps(
            product,
            self.states,
            self.facts,
            forced=forced,
            part_range=part_range,
            from_start=is_from_start(product, key),
        )
        if product.incremental:
            steps = self._parts_on_parts(product, steps, forced=forced)
        check_range(product, [spec.key for spec in steps.specs], part_range)
        # An earlier try of this run may have built some of these parts, even with `forced`.
        built = self.facts.parts_of_run(product.name, [spec.built_from for spec in steps.specs])
        steps = replace(steps, stored={**steps.stored, **built})
        order = self.whole(product, key, definition)
        if product.incremental:
            order = replace(order, inputs=self._inputs_of_parts(product, steps))
        return replace(
            order,
            steps=steps,
            holds=product.holds_parts and not forced,
            before=published,
            data_as_of=self.reaches.of_parts(product, self.states),
        )

    def without_failed_parts(
        self, product: Product, key: Key, built: Version | None
    ) -> tuple[BuildOrder, Version, Version | None]:
        """Return the order to hold parts back, the version with them, and the published version.

        `built` is a version that this run has built without some other parts.
        """
        version = built or self.facts.find(product.name, key_of(key.code, key.inputs).digest)
        assert version is not None
        order = self.whole(product, key, Definition())
        return order, version, published_version(product.name, self.facts)

    def _inputs(
        self, product: Product, key: Key
    ) -> Callable[[PartSpec | None], Sequence[InputFiles]]:
        """Return a function that gives the inputs of a product, with what it reads as `previous`."""
        inputs_of = self.inputs.inputs_of(product)
        if not product.incremental or product.follows:  # see `_inputs_of_parts`
            return inputs_of
        before = self.previous.of_version(product, previous_of(product.name, key.inputs))
        files = [*inputs_of(None), before]
        return lambda _: files

    def _inputs_of_parts(
        self, product: Product, steps: PartSteps
    ) -> Callable[[PartSpec | None], Sequence[InputFiles]]:
        inputs_of = self.inputs.inputs_of(product)
        previous_of_part = self.previous.of_parts(product, filter(steps.is_to_build, steps.specs))

        def of_part(spec: PartSpec | None) -> Sequence[InputFiles]:
            assert spec is not None
            return [*inputs_of(spec), previous_of_part(spec)]

        return of_part

    def _parts_on_parts(self, product: Product, steps: PartSteps, *, forced: bool) -> PartSteps:
        """Return the steps of a product whose parts read `previous`.

        With `forced`, parts stay that cannot be built again, since what they were built on is gone.
        Raises BuildError if what is published has no parts.
        """
        published = published_version(product.name, self.facts)
        if published and not published.in_parts and not steps.from_start:
            raise BuildError(
                f"{product.name} is published as a whole, so its parts have no `previous`",
                hint=f"`products materialize {product.name} --from-start` builds them from their"
                " inputs alone.",
                where=product.where,
            )
        if not forced:
            return steps
        stay = self.previous.without(product, steps.specs)
        digests = [spec.built_from for spec in steps.specs if spec.key in stay]
        return replace(steps, stored={**steps.stored, **self.facts.parts(product.name, digests)})

    def _published_parts(self, product: Product) -> Iterable[Part]:
        """Return the parts of the published version, or else of the newest."""
        version = published_version(product.name, self.facts) or self.facts.latest(product.name)
        if version is None or not version.in_parts:
            return ()
        return version.parts if self.inputs.storage.holds(version.parts) else ()

    def _check_sources(self, inputs: Sequence[InputFiles]) -> None:
        """Raise SourceReplaced if a file of these inputs was replaced since it was observed."""
        for files in inputs:
            if not files.source:
                continue
            changed = changed_since(self.inputs.root, files.observed, self.inputs.observed.now)
            if changed:
                raise SourceReplaced(
                    f"{files.name}: {clean(changed)} was replaced while it was being read",
                    hint="Let files be finished elsewhere and then moved here.",
                )


def bytes_of(state: InputState) -> int:
    """Return the stored size of an input in bytes."""
    match state:
        case KnownInput(origin=Version() as version):
            return version.bytes
        case KnownInput(origin=SourceState() as source):
            return sum(file.size for file in source.files)
    return 0
