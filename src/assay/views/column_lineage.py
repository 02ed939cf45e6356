"""What a column depends on and what depends on it, column by column."""

from collections.abc import Iterable, Sequence
from functools import cache

from msgspec import Struct, field

from assay.build.bound import Bound, Trace, untraced
from assay.build.bound_memo import Found, Memo
from assay.build.empty_runs import EmptyRuns
from assay.build.workspace import Workspace
from assay.declare.dependencies import content_digests
from assay.declare.manifest import BOUND, read_cache, write_cache
from assay.errors import UsageError
from assay.model import Column, Kind
from assay.plan.flows import ROWS, Edge, Lineage, Place, TableFlows
from assay.plan.graph import Graph
from assay.plan.misfits import Misfit
from assay.plan.names import full_name, nearest
from assay.views.view import View


class ColumnEndView(View, frozen=True, kw_only=True):
    """An end of a flow: a column of a product or source.

    `column` is '' for the rows that it has, and `*` for each of its columns.
    """

    name: str
    column: str


class FlowView(View, frozen=True, kw_only=True):
    """A flow from one column into another, or into the rows of a product.

    `how` are kinds of `assay.plan.flows.How`; `direct`: the value flows, or may flow.
    """

    source: ColumnEndView = field(name="from")
    target: ColumnEndView = field(name="to")
    how: tuple[str, ...]
    direct: bool


class UnknownView(View, frozen=True, kw_only=True):
    """A product of which not all flows are known, and why.

    `every`: each of its columns may depend on every column of its inputs.
    """

    name: str
    why: str
    every: bool


class ColumnLineageView(View, frozen=True, kw_only=True):
    """A column with the flows into its value, into the rows of its product, and out of it.

    Each list has the flows of all steps, nearest first. `files` are the products among them that
    are files, and so have no columns.
    """

    name: str
    column: str
    type: str
    value: tuple[FlowView, ...]
    rows: tuple[FlowView, ...]
    used_by: tuple[FlowView, ...]
    unknown: tuple[UnknownView, ...] = ()
    files: tuple[str, ...] = ()
    description: str = ""


def column_named(graph: Graph, name: str) -> tuple[str, str] | None:
    """Return the product or source and the column that `orders.amount` names.

    None for the name of a product or source, and for a text that does not begin with one.
    """
    names = [*graph.products, *graph.sources]
    if full_name(name, names):
        return None
    dots = [place for place, sign in enumerate(name) if sign == "."]
    for dot in reversed(dots):
        if full := full_name(name[:dot], names):
            return full, name[dot + 1 :]
    return None


def column_lineage(workspace: Workspace, name: str, column: str) -> ColumnLineageView:
    """Return the lineage of a column of a product or source, by its full name.

    Raises UsageError for a column that it does not have.
    """
    graph = workspace.graph
    around = {name} | graph.upstream(name) | graph.downstream(name)
    around = {each for each in around if each in graph.products or each in graph.sources}
    lineage = lineage_around(workspace, around)
    table = lineage.tables[name]
    flows = table.column(column)
    if flows is None:
        raise _no_column(name, column, table)
    here = Place(name, flows.name)
    value = lineage.upstream(here)
    rows = [] if table.unknown else lineage.upstream(Place(name, ROWS))
    used_by = lineage.downstream(here)
    return ColumnLineageView(
        name=name,
        column=flows.name,
        type=flows.type,
        value=_views(value),
        rows=_views(rows),
        used_by=_views(used_by),
        unknown=tuple(_unknown(lineage, [*value, *rows, *used_by])),
        files=tuple(sorted(edge.target.of for edge in used_by if _is_file(graph, edge.target.of))),
        description=_description(graph, name, flows.name),
    )


def _description(graph: Graph, name: str, column: str) -> str:
    """Return what the declared description of a column says; '' for none."""
    source = graph.sources.get(name)
    columns = source.columns if source else graph.products[name].contract.columns
    return next((each.description for each in columns if each.name == column), "")


def _is_file(graph: Graph, name: str) -> bool:
    return name in graph.products and graph.products[name].kind is Kind.FILE


def lineage_around(workspace: Workspace, names: Iterable[str]) -> Lineage:
    """Return the lineage of the columns of these products and sources, and of what they read."""
    return bound_around(workspace, names).lineage


class BoundNames(Struct, frozen=True, kw_only=True):
    """Products and sources that were bound: their lineage, and what does not fit.

    `asked_published`: the columns of published versions took part, or would have.
    """

    lineage: Lineage
    misfits: Sequence[Misfit]
    asked_published: bool = False


def bound_around(workspace: Workspace, names: Iterable[str], *, rules: bool = False) -> BoundNames:
    """Return the lineage of products and sources and of what they read, and what does not fit.

    Functions are run on empty inputs, in a child process. With `rules`, rules are bound too.
    """
    graph, catalog, config = workspace.graph, workspace.catalog, workspace.config
    read = cache(lambda: catalog.pointers(workspace.environment))
    digests = cache(lambda file: content_digests(config, [file])[0][1])
    memo = Memo(read_cache(config, BOUND, dict[str, Found]), digests)

    asked = set[str]()

    def published(name: str) -> tuple[Column, ...]:
        asked.add(name)
        pointer = read().get(name)
        return catalog.version(pointer.version).columns if pointer else ()

    def bind(trace: Trace) -> BoundNames:
        bound = Bound(graph, published, trace, memo, workspace.project.vouch)
        lineage = bound.bind(names, rules=rules)
        return BoundNames(
            lineage=lineage, misfits=tuple(bound.misfits), asked_published=bool(asked)
        )

    if workspace.project.outdated:  # there is no function that could be run
        return bind(untraced)
    with EmptyRuns(config.root, workspace.clock()) as runs:
        bound = bind(runs.trace)
    if found := memo.to_keep(len(graph.products)):
        write_cache(config, BOUND, found)
    return bound


def _no_column(name: str, column: str, table: TableFlows) -> UsageError:
    names = [each.name for each in table.columns]
    if not names:
        why = table.unknown or "they are not declared"
        return UsageError(f"the columns of {name} are not known: {why}")
    hint = nearest(column, names) or f"It has {', '.join(names)}."
    return UsageError(f"{name} has no column {column!r}", hint=hint)


def _views(edges: Iterable[Edge]) -> tuple[FlowView, ...]:
    return tuple(
        FlowView(
            source=_end(edge.source),
            target=_end(edge.target),
            how=tuple(map(str, edge.how)),
            direct=edge.is_direct,
        )
        for edge in edges
    )


def _end(place: Place) -> ColumnEndView:
    return ColumnEndView(name=place.of, column=place.column)


def _unknown(lineage: Lineage, edges: Iterable[Edge]) -> Iterable[UnknownView]:
    """Yield the products of these flows whose lineage is not known."""
    for name in sorted({edge.target.of for edge in edges}):
        table = lineage.tables[name]
        if why := table.unknown or table.partly:
            yield UnknownView(name=name, why=why, every=bool(table.unknown))
