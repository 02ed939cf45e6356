"""Explains what is next for one part of a product, and what it depends on."""

from collections.abc import Mapping
from enum import StrEnum

from assay.decisions import AwaitApproval, Blocked, Decision, Held, InputState, UnusableInput
from assay.errors import UsageError
from assay.facts import Part, Version
from assay.model import PREVIOUS, Product
from assay.plan.graph import Graph
from assay.plan.ladder import planned
from assay.plan.observed import Facts, Observed
from assay.plan.part_specs import PartSpec, PartSteps, part_steps
from assay.plan.request import Request
from assay.plan.states import published_version
from assay.text import clean
from assay.views.view import View

_FEW = 7  # parts of an input that are listed


class PartNext(StrEnum):
    """What is next for a part."""

    PRODUCT_HELD = "its product is held"
    HELD_BACK = "it is held back by a rule"
    CUT = "its product is made as a whole and cut; it moves when its rows differ"
    GOES = "it goes with the next run: no input has it any more"
    UNKNOWN = "it depends on what becomes of its inputs"
    BUILD = "it will be built"
    BUILD_AGAIN = "it will be built again"
    UP_TO_DATE = "readers see it as it should be"
    PRODUCT_HELD_BACK = "built; its product is held back"
    PRODUCT_AWAITS = "built; its product awaits approval"
    PUBLISH = "built, not published yet"


class PartReadersView(View, frozen=True, kw_only=True):
    """The published rows of a part."""

    rows: int
    digest: str
    path: str


class PartExplanationView(View, frozen=True, kw_only=True):
    """What is next for a part.

    `uses` lists the parts of each input that the part follows.
    """

    product: str
    part: str
    result: str
    uses: Mapping[str, list[str]]
    changed: tuple[str, ...]
    readers: PartReadersView | None
    lines: tuple[str, ...]


def explain_part(graph: Graph, observed: Observed, name: str, key: str) -> PartExplanationView:
    """Return what one part of a product depends on, and what is next for it.

    Raises UsageError for a product that is not in parts, or that has no part of this name.
    """
    product, facts = graph.products[name], observed.facts
    if product.partition is None:
        raise UsageError(f"{name} is not in parts")
    plan, states = planned(graph, observed, Request(products=frozenset(graph.products)))
    version = published_version(name, facts)
    steps = _part_steps(product, states, facts)
    spec = next((spec for spec in steps.specs if spec.key == key), None)
    published = version.part(key) if version else None
    if spec is None and published is None:
        raise UsageError(f"{name} has no part {key!r}", hint=_range_of_parts(version))
    decision = plan.steps[name]
    is_held = version is not None and key in version.key.held
    stored = steps.stored.get(spec.built_from) if spec else None
    next_step = _next_step(product, spec, published, stored, decision, is_held=is_held)
    result = _result(next_step, decision, published)
    uses = {alias: list(keys) for alias, keys in spec.uses.items()} if spec else {}
    changed = _changed_inputs(spec, published)
    text = [
        f"{name}  part {key}",
        f"  {result}",
        *_reason_lines(next_step, changed),
        *_reader_lines(published),
        *_input_lines(product, uses),
    ]
    return PartExplanationView(
        product=name,
        part=key,
        result=result,
        uses=uses,
        changed=changed,
        readers=(
            PartReadersView(rows=published.rows, digest=published.digest, path=published.path)
            if published
            else None
        ),
        lines=tuple(map(clean, text)),
    )


def _part_steps(product: Product, states: Mapping[str, InputState], facts: Facts) -> PartSteps:
    usable = not any(isinstance(states[i.name], UnusableInput) for i in product.inputs)
    return part_steps(product, states, facts) if product.follows and usable else PartSteps()


def _range_of_parts(version: Version | None) -> str:
    keys = [part.key for part in version.parts] if version else []
    if not keys:
        return "Nothing of it is published."
    return f"It has {len(keys)}, from {keys[0]} to {keys[-1]}."


def _next_step(
    product: Product,
    spec: PartSpec | None,
    published: Part | None,
    stored: Part | None,
    decision: Decision,
    *,
    is_held: bool,
) -> PartNext:
    if isinstance(decision, Held):
        return PartNext.PRODUCT_HELD
    if is_held:
        return PartNext.HELD_BACK
    if not product.follows:
        return PartNext.CUT
    if spec is None:
        return PartNext.GOES
    if not spec.built_from:
        return PartNext.UNKNOWN
    if stored is None:
        return PartNext.BUILD if published is None else PartNext.BUILD_AGAIN
    if published and published.built_from == stored.built_from:
        return PartNext.UP_TO_DATE
    if isinstance(decision, AwaitApproval):
        return PartNext.PRODUCT_AWAITS
    return PartNext.PRODUCT_HELD_BACK if isinstance(decision, Blocked) else PartNext.PUBLISH


def _result(next_step: PartNext, decision: Decision, published: Part | None) -> str:
    """Return what is next for a part, in words."""
    if isinstance(decision, Held):
        return f"{next_step}: {'; '.join(decision.by.values())}"
    if next_step is PartNext.HELD_BACK:
        readers = "readers have nothing of it yet"
        if published:
            readers = "readers keep what they had of it"
        return f"{next_step}; {readers}"
    return str(next_step)


def _changed_inputs(spec: PartSpec | None, published: Part | None) -> tuple[str, ...]:
    """Return the inputs that differ from those of the published part."""
    if spec is None or published is None or not published.inputs:
        return ()
    before = published.inputs
    return tuple(
        sorted(
            alias
            for alias, digest in spec.inputs.items()
            if before.get(alias) != digest and alias != PREVIOUS
        )
    )


def _reason_lines(next_step: PartNext, changed: tuple[str, ...]) -> list[str]:
    if changed:
        return [f"  because of {', '.join(changed)}"]
    if next_step is PartNext.BUILD_AGAIN:
        return ["  because its code, or what it uses of its inputs, changed"]
    return []


def _reader_lines(published: Part | None) -> list[str]:
    if published is None:
        return []
    return [f"  readers see {published.rows:,} rows of it, in {published.path}"]


def _input_lines(product: Product, uses: Mapping[str, list[str]]) -> list[str]:
    lines = []
    for i in product.inputs:
        keys = uses.get(i.alias)
        if keys is None:
            lines.append(f"  uses all of {i.name}")
            continue
        parts = ", ".join(keys[:_FEW])
        if len(keys) > _FEW:
            parts += f" and {len(keys) - _FEW} more"
        lines.append(f"  uses {parts or 'nothing'} of {i.name}")
    return lines
