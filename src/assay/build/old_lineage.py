"""The columns of both sides of a comparison, and what used them before."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from assay.build.bound import Bound, Trace, untraced
from assay.build.empty_runs import EmptyRuns
from assay.build.old_side import OldSide
from assay.build.workspace import Workspace
from assay.model import Column, Product, Where
from assay.plan.changes.contracts import renamed_of
from assay.plan.changes.logic import logic_of
from assay.plan.flows import ColumnFlows, Lineage, TableFlows
from assay.plan.graph import Graph

_NOWHERE = Where("")


class BothLineages(Struct, frozen=True, kw_only=True):
    """The lineage of what differs: `before` with all that is made of it, and `now`."""

    before: Lineage
    now: Lineage

    def columns_before(self, name: str) -> tuple[Column, ...]:
        """Return the columns that the code of a product gave; none if that is not known."""
        return _columns(self.before, name)

    def columns_now(self, name: str) -> tuple[Column, ...]:
        """Return the columns that the code of a product gives; none if that is not known."""
        return _columns(self.now, name)

    def same_origin(self, old: str, old_column: str, new: str, new_column: str) -> bool:
        """Return whether the same columns of inputs flow into two columns, in the same way."""
        one = self.before.tables.get(old, TableFlows()).column(old_column)
        two = self.now.tables.get(new, TableFlows()).column(new_column)
        return bool(one and two and one.flows and one.flows == two.flows)


def _columns(lineage: Lineage, name: str) -> tuple[Column, ...]:
    table = lineage.tables.get(name, TableFlows())
    return () if table.unknown else tuple(_column(each) for each in table.columns if each.type)


def _column(flows: ColumnFlows) -> Column:
    return Column(name=flows.name, type=flows.type)


def both_lineages(workspace: Workspace, old: OldSide) -> BothLineages:
    """Bind what differs between both sides against empty tables.

    A function of before is run, without rows, if its code is still the same: that of another
    revision never is. Of an environment nothing is known but columns: then `before` is what uses
    them now.
    """
    before, now = old.revision.graph, workspace.graph
    differing = _differing(before, now) if not old.environment else set(before.products)
    changed_now = differing & now.products.keys()
    workspace.project.vouch(sorted(now.products) if changed_now else [])
    renamed = renamed_of(old.revision, replace(old.revision, graph=now))

    def run(runs: EmptyRuns | None) -> BothLineages:
        trace: Trace = runs.trace if runs else untraced
        used = _with_users(changed_now if old.environment else (), now)
        lineage = _bind(now, changed_now | used, trace)
        if old.environment:
            return BothLineages(before=lineage, now=lineage)
        then = _bind(before, _with_users(differing, before), _of_same_code(trace, renamed, now))
        return BothLineages(before=then, now=lineage)

    if workspace.project.outdated or not differing:
        return run(None)
    with EmptyRuns(workspace.config.root, workspace.clock()) as runs:
        return run(runs)


def _bind(graph: Graph, names: Iterable[str], trace: Trace) -> Lineage:
    names = {name for name in names if name in graph.products or name in graph.sources}
    return Bound(graph, lambda _: (), trace).bind(names)


def _of_same_code(trace: Trace, renamed: dict[str, str], now: Graph) -> Trace:
    """Return what traces a function of before by that of now, where its code is the same."""

    def current(product: Product) -> Product | None:
        same = now.products.get(renamed.get(product.name, product.name))
        if same and same.inputs == product.inputs and logic_of(same) == logic_of(product):
            return same
        return None

    def traced(product: Product) -> Trace:
        return trace if current(product) else untraced

    return lambda product, columns: traced(product)(current(product) or product, columns)


def _differing(before: Graph, now: Graph) -> set[str]:
    """Return the names of products and sources that are not on both sides as they are on one."""
    sides = [
        {
            **{name: _placeless(product) for name, product in graph.products.items()},
            **{name: replace(source, where=_NOWHERE) for name, source in graph.sources.items()},
        }
        for graph in (before, now)
    ]
    names = sides[0].keys() | sides[1].keys()
    return {name for name in names if sides[0].get(name) != sides[1].get(name)}


def _placeless(product: Product) -> Product:
    rules = tuple(replace(rule, where=_NOWHERE) for rule in product.contract.rules)
    return replace(product, where=_NOWHERE, contract=replace(product.contract, rules=rules))


def _with_users(names: Iterable[str], graph: Graph) -> set[str]:
    names = set(names)
    return names.union(*(graph.downstream(name) for name in names))
