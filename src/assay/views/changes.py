"""What changed since another revision, as findings of `products check`."""

from collections.abc import Collection, Iterator

from msgspec.structs import replace

from assay.build.old_side import OldSide, old_side
from assay.build.workspace import Workspace
from assay.engines.sql import reader
from assay.engines.sql.tables import Unreadable
from assay.plan.changes.contracts import Known, Revision, contract_changes
from assay.plan.changes.values import Change, Effect
from assay.plan.graph import Graph
from assay.views.check import CheckView, FindingKind, FindingView, Level, ordered

_KINDS = {
    Effect.BREAKING: (FindingKind.BREAKING, Level.ERROR),
    Effect.LOOSENED: (FindingKind.LOOSENED, Level.WARNING),
    Effect.COMPATIBLE: (FindingKind.COMPATIBLE, Level.NOTE),
}


def with_changes(
    view: CheckView, workspace: Workspace, against: str, names: Collection[str] | None
) -> CheckView:
    """Return a view with what changed since the old side that a text names; see `old_side()`.

    `names` are the products to look at, with the sources that they read; None for all, also those
    that are gone. Raises UsageError when the old side cannot be read.
    """
    old = old_side(workspace, against)
    changes = change_findings(workspace.graph, old, names)
    return replace(view, against=old.named, findings=tuple(ordered([*view.findings, *changes])))


def change_findings(
    graph: Graph, old: OldSide, names: Collection[str] | None
) -> Iterator[FindingView]:
    """Yield a finding for each change since the old side; `names` as of `with_changes()`."""
    now = Revision(graph=old.projected(graph), aspects=old.revision.aspects)
    wanted = None if names is None else {*names, *_sources_of(graph, names)}
    for change in contract_changes(old.revision, now, Known(same_query=same_query)):
        if wanted is None or not wanted.isdisjoint({change.name, change.renamed_to}):
            yield _finding(change)


def _sources_of(graph: Graph, names: Collection[str]) -> set[str]:
    read = {name for product in names for name in graph.products[product].reads}
    return read & graph.sources.keys()


def _finding(change: Change) -> FindingView:
    kind, level = _KINDS[change.effect]
    return FindingView(
        kind=kind,
        level=level,
        name=change.name,
        of=change.of,
        what=change.what,
        file=change.where.file,
        line=change.where.line,
        removed=change.removed,
    )


def same_query(one: str, other: str) -> bool:
    """Return whether two texts of SQL mean the same, whatever their layout."""
    if one.split() == other.split():
        return True
    try:
        return reader.parse(one).meaning == reader.parse(other).meaning
    except Unreadable:
        return False
