"""Says what is next for a product rung by rung, from what `decide()` sees, and what would change it."""

from collections.abc import Mapping
from typing import Any

from assay.decision import Blocked, Build, Check, Decision, Held, Keep, Maybe, Publish
from assay.graph import Graph
from assay.model import short
from assay.plan import Observed, Request, plan
from assay.story import Story, clean, lines

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
    said = [clean(f"{name}  {product.purpose}"), clean(f"  owner {product.owner}, declared at {product.where}")]
    if product.freshness:
        said.append(f"  promised {product.freshness}")
    said += ["", *_ladder(decision), "", "What is next"]
    said += [line.rstrip() for line in lines(_next(told), 0)]
    change = _roots(graph, name, steps) if isinstance(decision, Held) else []
    change = change or _what_would_change(graph, name, decision)
    said += ["", "What would change it", *(f"  {line}" for line in change)]
    return {**told, "ladder": _ladder(decision), "would_change": change, "lines": said}


def _next(told: dict[str, Any]) -> dict[str, Any]:
    return {**told, "result": "publish", "reasons": ["judged good"]} if told["result"] == "published" else told


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
    parts = sorted(product.code.parts)
    return [
        f"other data: {_inputs(graph, name)}",
        f"other code: {', '.join(clean(p) for p in parts[:8])}{' …' if len(parts) > 8 else ''} ({product.where})",
        f"other rules: {len(product.contract.rules)} of them judge it now",
    ] + ([f"what readers see now is {short(decision.version.id)}"] if isinstance(decision, Keep) else [])


def _inputs(graph: Graph, name: str) -> str:
    reads = graph.products[name].reads
    sources = {r: f" ({graph.sources[r].pattern})" for r in reads if r in graph.sources}
    return ", ".join(f"{r}{sources.get(r, '')}" for r in reads) or "it reads nothing"
