"""Requests from what the user gives: selectors, parts, and restatements."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from assay.build.workspace import Workspace
from assay.decisions import AwaitApproval, Blocked, Build, Check, Held, Maybe, Publish
from assay.errors import UsageError
from assay.plan.graph import Graph
from assay.plan.ladder import plan
from assay.plan.names import rule_of
from assay.plan.observed import Observed
from assay.plan.parts import parts_in_range
from assay.plan.request import Request
from assay.plan.restatements import Restatement, with_failing_rows
from assay.plan.select import select_products, select_sources
from assay.plan.verdicts import held_back_verdict

_STATES = {"stale", "blocked", "state"}  # selectors that need a plan


def everything(graph: Graph) -> Request:
    """Return the request for all products."""
    return Request(products=frozenset(graph.products))


def request_for(
    workspace: Workspace,
    observed: Observed,
    select: Iterable[str] = (),
    exclude: Iterable[str] = (),
    *,
    force: bool = False,
    part_range: str = "",
    from_start: bool = False,
) -> Request:
    """Return the request for the selected products; without selectors, for all products.

    `part_range` are the parts to build, `A..B`; `from_start`: those that read `previous` are built
    without it. Raises UsageError for a selector that matches nothing, or a range that the products
    do not have.
    """
    graph, states = workspace.graph, _states_for(workspace, observed, [*select, *exclude])
    chosen = frozenset(select_products(graph, select, exclude, states))
    if part_range:
        _check_range(graph, chosen, part_range)
    forced = chosen if force else frozenset[str]()
    begun = frozenset(n for n in chosen if graph.products[n].incremental and from_start)
    if from_start and not begun:
        raise UsageError(
            f"none of {', '.join(sorted(chosen)[:5])} reads `previous`",
            hint="--from-start is for products that do; --force builds any product again.",
        )
    return Request(products=chosen, forced=forced, from_start=begun, part_range=part_range)


def names_for(
    workspace: Workspace,
    observed: Observed,
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> frozenset[str]:
    """Return the selected products and sources; without selectors, all.

    Raises UsageError for a selector that matches nothing.
    """
    graph, states = workspace.graph, _states_for(workspace, observed, [*select, *exclude])
    products = select_products(graph, select, exclude, states)
    return frozenset(products | select_sources(graph, select, exclude, states))


def _states_for(
    workspace: Workspace, observed: Observed, selectors: Sequence[str]
) -> dict[str, set[str]] | None:
    """Return the products by state, if one of the selectors asks for a state."""
    terms = " ".join(selectors).replace(",", " ").split()
    needs_plan = any(_method_of(term) in _STATES for term in terms)
    return products_by_state(workspace, observed) if needs_plan else None


def with_restatements(
    request: Request,
    graph: Graph,
    observed: Observed,
    names: Iterable[str],
    *,
    reason: Restatement,
    rules: Sequence[str],
) -> Request:
    """Return a request that allows publishing failing rows of these products, for a reason.

    They are the rows that fail `rules` now, or, without `rules`, all rules about settled rows.
    Raises UsageError for a product that is not selected, and for a rule that is not about settled
    rows.
    """
    products = [graph.resolve(name) for name in names]
    if unselected := sorted(set(products) - request.products):
        raise UsageError(f"{unselected[0]} is to be restated, and is not selected")
    restated = {name: _bound_to_rows(graph, observed, name, reason, rules) for name in products}
    return replace(request, restated=restated)


def _method_of(selector: str) -> str:
    return selector.lstrip("0123456789+").partition(":")[0]


def _bound_to_rows(
    graph: Graph, observed: Observed, name: str, reason: Restatement, rules: Sequence[str]
) -> Restatement:
    """Return a restatement of the rows of a product that fail now, as its verdict recorded them."""
    product, facts = graph.products[name], observed.facts
    closed = [rule.text for rule in product.contract.closes]
    if not closed:
        raise UsageError(f"{name} has no rule about settled rows, so there is nothing to restate")
    chosen = [rule_of(product, rule).text for rule in rules] or closed
    for text in chosen:
        if text not in closed:
            message = f"{text!r} of {name} is not about settled rows, so it cannot be restated"
            raise UsageError(message)
    steps = plan(graph, observed, everything(graph), in_parts=False).steps
    verdict = held_back_verdict(product, steps[name], facts)
    if verdict is None:
        return reason
    grain = product.partition.grain if product.partition else ""
    return with_failing_rows(
        verdict.results,
        version=verdict.version,
        rules=chosen,
        restatement=replace(reason, grain=grain),
    )


def _check_range(graph: Graph, names: Iterable[str], part_range: str) -> None:
    """Raise UsageError unless products are built part by part, and the range fits their parts."""
    for name in sorted(names):
        product = graph.products[name]
        if not product.follows or product.partition is None:
            raise UsageError(
                f"{name} is not made part by part, so no range of it can be built",
                hint="Name products that follow the parts of an input (each=, partition_by=).",
            )
        try:
            parts_in_range([], part_range, product.partition.grain)
        except ValueError as error:
            raise UsageError(
                f"--parts {part_range}: {error}", hint="Write --parts 2011-11-01..2011-11-30."
            ) from None


def products_by_state(workspace: Workspace, observed: Observed) -> dict[str, set[str]]:
    """Return the products by the state that a selector names: stale, blocked, state (modified)."""
    graph = workspace.graph
    steps = plan(graph, observed, everything(graph), in_parts=False).steps
    return {
        "stale": {
            name
            for name, step in steps.items()
            if isinstance(step, Build | Check | Maybe | Publish)
        },
        "blocked": {
            name for name, step in steps.items() if isinstance(step, Blocked | AwaitApproval | Held)
        },
        "state": {name for name in graph.products if _is_modified(workspace, observed, name)},
    }


def _is_modified(workspace: Workspace, observed: Observed, name: str) -> bool:
    """Return whether the code or the contract of a product differs from its published version's."""
    product, pointer = workspace.graph.products[name], observed.facts.pointer(name)
    if pointer is None:
        return True
    if observed.facts.version(pointer.version).key.code.digest != product.code.digest:
        return True
    verdicts = workspace.catalog.verdicts(pointer.version)
    return all(verdict.contract != product.contract.digest for verdict in verdicts)
