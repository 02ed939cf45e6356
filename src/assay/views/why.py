"""Says what is next for a product rung by rung, from what `decide()` sees, and what would change it."""

from collections.abc import Mapping
from typing import Any

from assay.decisions import (
    Blocked,
    Build,
    Check,
    Decision,
    Held,
    InputState,
    Keep,
    Maybe,
    Publish,
    UnusableInput,
)
from assay.errors import UsageError
from assay.model import Part, Product, Version, short
from assay.plan.graph import Graph
from assay.plan.ladder import plan, planned
from assay.plan.observed import Facts, Observed
from assay.plan.part_specs import PartSpec, PartSteps, part_steps
from assay.plan.request import Request
from assay.plan.states import current
from assay.text import clean
from assay.views.words import Story, lines

_RUNGS = (
    (Held, "can what it is made of be used?"),
    (Maybe, "is it known what it would be made of?"),
    (Build, "was it built from this code and these inputs?"),
    (Check, "was that judged under today's rules?"),
    (Blocked, "did it pass?"),
    (Publish, "do readers see it?"),
    (Keep, "so it is kept"),
)


def explain(graph: Graph, observed: Observed, name: str) -> dict[str, Any]:
    """Return the decision for a product as data, with `lines` that tell it."""
    steps = plan(graph, observed, Request(products=frozenset(graph.products))).steps
    decision = steps[name]
    story = Story(graph, observed.facts)
    told = story.decided(name, decision)
    product = graph.products[name]
    said = [
        clean(f"{name}  {product.purpose}"),
        clean(f"  owner {product.owner}, declared at {product.where}"),
    ]
    if product.freshness:
        said.append(f"  promised {product.freshness}")
    said += ["", *_ladder(decision), "", "What is next"]
    said += [line.rstrip() for line in lines(_next(told), 0)]
    change = _roots(graph, name, steps) if isinstance(decision, Held) else []
    change = change or _what_would_change(graph, name, decision)
    said += ["", "What would change it", *(f"  {line}" for line in change)]
    return {
        **told,
        "ladder": _ladder(decision),
        "would_change": change,
        "lines": [clean(line) for line in said],
    }


def explain_part(graph: Graph, observed: Observed, name: str, key: str) -> dict[str, Any]:
    """Return what one part of a product is made of and what is next for it as data, with `lines` that tell it.

    Raises UsageError for a product that is not in parts, or has none that is called so.
    """
    product, facts = graph.products[name], observed.facts
    if product.partition is None:
        raise UsageError(f"{name} is not in parts")
    made, states = planned(graph, observed, Request(products=frozenset(graph.products)))
    seen = current(name, facts)
    steps = _part_steps(product, states, facts)
    want = next((spec for spec in steps.specs if spec.key == key), None)
    have = seen.part(key) if seen else None
    if want is None and have is None:
        raise UsageError(f"{name} has no part {key!r}", hint=_some_parts(seen))
    there = steps.stored.get(want.made_of) if want else None
    held = seen.key.held if seen else {}
    told = {
        "product": name,
        "part": key,
        "result": _of_part(product, want, have, there, held=key in held, next=made.steps[name]),
        "uses": {alias: list(keys) for alias, keys in want.uses.items()} if want else {},
        "changed": _changed_inputs(want, have),
        "readers": {"rows": have.rows, "digest": have.digest, "path": have.path} if have else None,
    }
    return {**told, "lines": [clean(line) for line in _lines_of_part(product, told)]}


def _part_steps(product: Product, states: Mapping[str, InputState], facts: Facts) -> PartSteps:
    usable = all(not isinstance(states[i.name], UnusableInput) for i in product.inputs)
    return part_steps(product, states, facts) if product.follows and usable else PartSteps()


def _some_parts(seen: Version | None) -> str:
    keys = [part.key for part in seen.parts] if seen else []
    return (
        f"It has {len(keys)}, from {keys[0]} to {keys[-1]}."
        if keys
        else "Nothing of it is published."
    )


def _of_part(
    product: Product,
    want: PartSpec | None,
    have: Part | None,
    there: Part | None,
    *,
    held: bool,
    next: Decision,
) -> str:
    """Return what is next for a part, in words."""
    if isinstance(next, Held):
        return f"its product is held: {'; '.join(next.by.values())}"
    if held:
        kept = "readers keep what they had of it" if have else "readers have nothing of it yet"
        return f"it is held back by a rule; {kept}"
    if not product.follows:
        return "its product is made as a whole and cut; it moves when its rows differ"
    if want is None:
        return "it goes with the next run: no input has it any more"
    if not want.made_of:
        return "it depends on what becomes of its inputs"
    if there is None:
        return "it will be built" if have is None else "it will be built again"
    if have and have.made_of == there.made_of:
        return "readers see it as it should be"
    return (
        "built; its product is held back"
        if isinstance(next, Blocked)
        else "built, not published yet"
    )


def _changed_inputs(want: PartSpec | None, have: Part | None) -> list[str]:
    """Return the inputs that differ from what the part that readers see was made of."""
    if want is None or have is None or not have.inputs:
        return []
    return sorted(a for a, told in want.inputs.items() if have.inputs.get(a) != told)


def _lines_of_part(product: Product, told: Mapping[str, Any]) -> list[str]:
    said = [f"{told['product']}  part {told['part']}", f"  {told['result']}"]
    if told["changed"]:
        said.append(f"  because of {', '.join(told['changed'])}")
    elif told["result"] == "it will be built again":
        said.append("  because its code, or what it uses of its inputs, changed")
    if readers := told["readers"]:
        said.append(f"  readers see {readers['rows']:,} rows of it, in {readers['path']}")
    for i in product.inputs:
        keys = told["uses"].get(i.alias)
        if keys is None:
            said.append(f"  uses all of {i.name}")
        else:
            shown = ", ".join(keys[:7]) + (f" and {len(keys) - 7} more" if len(keys) > 7 else "")
            said.append(f"  uses {shown or 'nothing'} of {i.name}")
    return said


def _next(told: dict[str, Any]) -> dict[str, Any]:
    return (
        {**told, "result": "publish", "reasons": ["judged good"]}
        if told["result"] == "published"
        else told
    )


def _ladder(decision: Decision) -> list[str]:
    if isinstance(decision, Keep) and decision.pinned:
        return ["  it is pinned, so it is kept whatever else changes"]
    said = []
    for rung, (kind, question) in enumerate(_RUNGS):
        here = isinstance(decision, kind)
        answer = "" if kind is Keep else ("no" if here else "yes")
        if kind is Maybe and here:
            answer = "not before others have run"
        said.append(f"  {rung}  {question:<48} {answer}".rstrip())
        if here:
            return said
    return said


def _roots(graph: Graph, name: str, steps: Mapping[str, Decision]) -> list[str]:
    """Return what a held product waits for in the end: products held back by their own rules, with those."""
    above = graph.upstream(name)
    found = [(n, d) for n, d in steps.items() if n in above and isinstance(d, Blocked)]
    return [
        f"{n} is held back: {'; '.join(clean(r.text) for r in d.verdict.results if r.status in {'failed', 'error'})}"
        f" (products why {n})"
        for n, d in found
    ]


def _what_would_change(graph: Graph, name: str, decision: Decision) -> list[str]:
    product = graph.products[name]
    if isinstance(decision, Keep) and decision.pinned:
        return [f"`products restore {name} --unpin`"]
    if isinstance(decision, Blocked):
        failed = [r for r in decision.verdict.results if r.status in {"failed", "error"}]
        return [
            f"other data: {_inputs(graph, name)}",
            f"another rule: {'; '.join(clean(r.text) for r in failed)} ({product.where})",
            f"look at the rows: products show {name} --held",
        ]
    if isinstance(decision, Held):
        return [clean(why) for why in decision.by.values()]
    parts = sorted(product.code.reached)
    return [
        f"other data: {_inputs(graph, name)}",
        f"other code: {', '.join(clean(p) for p in parts[:8])}{' …' if len(parts) > 8 else ''} ({product.where})",
        f"other rules: {len(product.contract.rules)} of them judge it now",
    ] + (
        [f"what readers see now is {short(decision.version.id)}"]
        if isinstance(decision, Keep)
        else []
    )


def _inputs(graph: Graph, name: str) -> str:
    reads = graph.products[name].reads
    sources = {r: f" ({graph.sources[r].pattern})" for r in reads if r in graph.sources}
    return ", ".join(f"{r}{sources.get(r, '')}" for r in reads) or "it reads nothing"
