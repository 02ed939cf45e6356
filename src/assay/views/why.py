"""Explains the decision for a product: the questions that `decide()` asks, and their answers."""

from collections.abc import Mapping
from typing import ClassVar

from assay.decisions import (
    AwaitApproval,
    Blocked,
    Build,
    Check,
    Decision,
    Held,
    Keep,
    Maybe,
    Publish,
)
from assay.declare.past_queries import SQL, text_of_query
from assay.engines.sql.changes.queries import query_changes
from assay.facts import RuleResult, Status, Version, short
from assay.model import Product
from assay.plan.as_of import AsOf, as_of
from assay.plan.graph import Graph
from assay.plan.ladder import plan
from assay.plan.observed import Facts, Observed
from assay.plan.previous import previous_of
from assay.plan.request import Request
from assay.plan.states import published_version
from assay.text import clean
from assay.views.products import ProductViews
from assay.views.results import PlanView, ResultKind
from assay.views.view import View
from assay.views.words.numbers import day, memory
from assay.views.words.results import lines

_RUNGS = (
    (Held, "can its inputs be used?"),
    (Maybe, "are its inputs known?"),
    (Build, "was it built from this code and these inputs?"),
    (Check, "was that judged under today's rules?"),
    (Blocked, "did it pass?"),
    (AwaitApproval, "did everybody who has to approve it?"),
    (Publish, "do readers see it?"),
    (Keep, "so it is kept"),
)
_MOST_CODE = 8  # names of reached code that are listed


class ExplanationView(View, frozen=True, kw_only=True):
    """The decision for a product, the rungs that lead to it, and what would change it.

    `query_changes` is how its query differs from the one that built what is published, in words;
    empty if it does not, or if that query is not known. `lines` are the whole explanation as text.
    """

    inline: ClassVar[tuple[str, ...]] = ("plan",)

    plan: PlanView
    ladder: tuple[str, ...]
    would_change: tuple[str, ...]
    query_changes: tuple[str, ...]
    lines: tuple[str, ...]


def explain(
    graph: Graph, observed: Observed, name: str, past: Mapping[str, str] | None = None
) -> ExplanationView:
    """Return the decision for a product, and why; `past` has queries by their digests."""
    steps = plan(graph, observed, Request(products=frozenset(graph.products))).steps
    decision, product = steps[name], graph.products[name]
    times = as_of(graph, observed)
    view = ProductViews(graph, observed.facts, times, observed.now).plan(name, decision)
    change = _roots(graph, name, steps) if isinstance(decision, Held) else []
    change = change or _what_would_change(graph, product, decision)
    ladder = _ladder(decision)
    query = _query_changes(product, observed.facts, past or {})
    text = [
        f"{name}  {product.purpose}",
        f"  owner {product.owner}, declared at {product.where}",
        *([f"  promised {product.freshness}"] if product.freshness else []),
        *_as_of(times, name),
        *_cost(observed.facts.latest(name)),
        "",
        *ladder,
        *(["", "What changed in its query", *(f"  {change}" for change in query)] if query else []),
        "",
        "What is next",
        *(line.rstrip() for line in lines(_next(view), 0)),
        *_built_on(product, decision, observed.facts),
        "",
        "What would change it",
        *(f"  {line}" for line in change),
    ]
    return ExplanationView(
        plan=view,
        ladder=tuple(ladder),
        would_change=tuple(change),
        query_changes=query,
        lines=tuple(map(clean, text)),
    )


def _query_changes(product: Product, facts: Facts, past: Mapping[str, str]) -> tuple[str, ...]:
    """Return how a query differs from the one that built the published, or else the last version."""
    version = published_version(product.name, facts) or facts.latest(product.name)
    before = version.key.code.reached.get(SQL, "") if version else ""
    now = product.code.reached.get(SQL, "")
    if not before or not now or before == now:
        return ()
    old, new = text_of_query(before, past), text_of_query(now, past)
    return query_changes(old, new) if old and new else ()


def _cost(version: Version | None) -> list[str]:
    """Return what the last build took, where its memory is known."""
    if version is None or not version.peak:
        return []
    return [f"  last built in {version.seconds:.1f} s with {memory(version.peak)} of memory"]


def _as_of(times: AsOf, name: str) -> list[str]:
    """Return how far the published version reaches, and the slowest of what it depends on."""
    if (at := times[name]) is None:
        return []
    path = times.slowest_path(name)
    slowest = f"; the slowest input is {path[-1]}, as of {day(times[path[-1]])}" if path else ""
    return [f"  as of {day(at)}{slowest}"]


def _built_on(product: Product, decision: Decision, facts: Facts) -> list[str]:
    """Return which version a product would read as `previous`, if it reads one."""
    if not (product.incremental and isinstance(decision, Build) and decision.key):
        return []
    content = previous_of(product.name, decision.key.inputs)
    if not content:
        return ["    `previous` has no rows: nothing was published that it could go on from"]
    version, pointer = facts.with_content(product.name, content), facts.pointer(product.name)
    if version is None:
        return ["    the version that it goes on from is lost: the build will say what can be done"]
    if pointer and pointer.version == version.id:
        return [f"    `previous` is {short(version.id)}, which is published"]
    return [
        f"    `previous` is {short(version.id)}: the step of the published version is taken again"
    ]


def _next(view: PlanView) -> PlanView:
    return view.to_publish("judged good") if view.result is ResultKind.PUBLISHED else view


def _ladder(decision: Decision) -> list[str]:
    """Return the questions up to the one that decides, each with its answer."""
    if isinstance(decision, Keep) and decision.pinned:
        return ["  it is pinned, so it is kept whatever else changes"]
    rungs = []
    for number, (kind, question) in enumerate(_RUNGS):
        decides = isinstance(decision, kind)
        answer = "no" if decides else "yes"
        if kind is Keep:
            answer = ""
        elif kind is Maybe and decides:
            answer = "not before others have run"
        rungs.append(f"  {number}  {question:<48} {answer}".rstrip())
        if decides:
            break
    return rungs


def _roots(graph: Graph, name: str, steps: Mapping[str, Decision]) -> list[str]:
    """Return the upstream products that hold a product: those that their own rules hold back."""
    upstream = graph.upstream(name)
    return [
        f"{product} {_why_held(decision)} (products why {product})"
        for product, decision in steps.items()
        if product in upstream and isinstance(decision, Blocked | AwaitApproval)
    ]


def _why_held(decision: Blocked | AwaitApproval) -> str:
    if isinstance(decision, AwaitApproval):
        return f"waits for {decision.waits_for}"
    return f"is held back: {_rule_names(decision)}"


def _rule_names(blocked: Blocked) -> str:
    """Return the rules that hold a version back."""
    return "; ".join(clean(result.text) for result in blocked.verdict.results if _fails(result))


def _fails(result: RuleResult) -> bool:
    return result.status in {Status.FAILED, Status.ERROR}


def _what_would_change(graph: Graph, product: Product, decision: Decision) -> list[str]:
    inputs = f"other data: {_inputs(graph, product)}"
    match decision:
        case Keep(pinned=True):
            return [f"`products restore {product.name} --unpin`"]
        case Blocked():
            return [
                inputs,
                f"another rule: {_rule_names(decision)} ({product.where})",
                f"look at the rows: products show {product.name} --held",
            ]
        case AwaitApproval(version=version, approvers=approvers):
            name = product.name
            who = approvers[0] if approvers else "WHO"
            return [
                f"products approve {name} {short(version.id)} --as {who} --because TEXT",
                f"look at it: products show {name} --held, products diff {name} --held",
                inputs,
            ]
        case Held(by=by):
            return [clean(why) for why in by.values()]
    reached = sorted(product.code.reached)
    code = ", ".join(map(clean, reached[:_MOST_CODE]))
    if len(reached) > _MOST_CODE:
        code += " …"
    change = [
        inputs,
        f"other code: {code} ({product.where})",
        f"other rules: {len(product.contract.rules)} of them judge it now",
    ]
    if isinstance(decision, Keep):
        change.append(f"what readers see now is {short(decision.version.id)}")
    return change


def _inputs(graph: Graph, product: Product) -> str:
    """Return what a product reads, sources with their pattern."""
    reads = [
        f"{name} ({graph.sources[name].pattern})" if name in graph.sources else name
        for name in product.reads
    ]
    return ", ".join(reads) or "it reads nothing"
