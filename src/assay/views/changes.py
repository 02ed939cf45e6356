"""What changed since another revision, as findings of `products check`."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from assay.build.old_lineage import both_lineages
from assay.build.old_side import OldSide, old_side
from assay.build.workspace import Workspace
from assay.errors import UsageError
from assay.model import Contract
from assay.plan.changes.contracts import Known, Revision, contract_changes
from assay.plan.changes.impact import User, affected, is_relied_on, users_of
from assay.plan.changes.values import Change, Effect
from assay.plan.changes.versions import Bump, bump_of, needed, suggested_day
from assay.plan.flows import Lineage
from assay.plan.graph import Graph
from assay.views.check import CheckView, DetailView, FindingKind, FindingView, Level, ordered
from assay.views.logic_drift import logic_findings, same_query
from assay.views.number_changes import number_findings

_KINDS = {
    Effect.BREAKING: (FindingKind.BREAKING, Level.ERROR),
    Effect.LOOSENED: (FindingKind.LOOSENED, Level.WARNING),
    Effect.COMPATIBLE: (FindingKind.COMPATIBLE, Level.NOTE),
}
_SHOWN = 6  # products that use something, and columns of each
_NOBODY = "nobody else relies on it: its owner changed all that uses it, too"


def with_changes(
    view: CheckView,
    workspace: Workspace,
    against: str,
    names: Collection[str] | None,
    *,
    data: bool = False,
) -> CheckView:
    """Return a view with what changed since the old side that a text names; see `old_side()`.

    `names` are the products to look at, with the sources that they read; None for all, also those
    that are gone. With `data`, the old side is an environment, and what it publishes is compared
    with what that of the workspace publishes. Raises UsageError when the old side cannot be read.
    """
    old = old_side(workspace, against)
    if data and not old.environment:
        what = f"--data compares with an environment, and {against} is none"
        raise UsageError(what, hint="Write --against env:prod.")
    changes = [*change_findings(workspace, old, names)]
    if data:
        changes += number_findings(workspace, old.environment, names)
    misfits = [_explained(finding, changes, workspace.graph) for finding in view.findings]
    return replace(view, against=old.named, findings=tuple(ordered([*misfits, *changes])))


def _explained(finding: FindingView, changes: Sequence[FindingView], graph: Graph) -> FindingView:
    """Return what does not fit with the change that may be why: of a column that it names."""
    if finding.kind is not FindingKind.DOES_NOT_FIT or finding.name not in graph.products:
        return finding
    read = graph.products[finding.name].reads
    causes = [
        f"{change.name}.{change.of} {change.what.partition(';')[0]}"
        for change in changes
        if change.name in read
        and change.of
        and change.what.startswith(("removed", "renamed"))
        and re.search(rf"\b{re.escape(change.of)}\b", finding.what)
    ]
    details = [DetailView(label="because", text=f"{cause} by this change") for cause in causes]
    return replace(finding, details=(*finding.details, *details))


def change_findings(
    workspace: Workspace, old: OldSide, names: Collection[str] | None
) -> Iterator[FindingView]:
    """Yield a finding for each change since the old side; `names` as of `with_changes()`."""
    graph = workspace.graph
    wanted = None if names is None else {*names, *_sources_of(graph, names)}
    both = both_lineages(workspace, old)
    before = replace(old.revision, columns=both.columns_before)
    now = Revision(
        graph=old.projected(graph), columns=both.columns_now, aspects=old.revision.aspects
    )
    today = workspace.clock().date()
    known = Known(same_query=same_query, same_origin=both.same_origin, today=today)
    # What an environment publishes has no inputs: what reads it is declared.
    impact = Impact(
        before=graph if old.environment else before.graph,
        now=graph,
        lineage=both.before,
        contracts={name: each.contract for name, each in before.graph.products.items()},
        today=today,
    )
    changes = contract_changes(before, now, known)
    drifts = [] if old.environment else list(logic_findings(workspace, before, changes))
    told = {drift.name for drift in drifts if drift.level is Level.NOTE}
    for change in changes:
        names_of = {change.name, change.renamed_to}
        is_told = change.aspect == "purpose" and not told.isdisjoint(names_of)
        if not is_told and (wanted is None or not wanted.isdisjoint(names_of)):
            yield _finding(change, impact)
    yield from (drift for drift in drifts if wanted is None or drift.name in wanted)


class Impact(Struct, frozen=True, kw_only=True):
    """What tells whom a change affects: what was declared before and is now, and its lineage.

    `contracts` are those of before, by product; `today` is the day that counts as now.
    """

    before: Graph
    now: Graph
    lineage: Lineage
    contracts: Mapping[str, Contract]
    today: date


def _sources_of(graph: Graph, names: Collection[str]) -> set[str]:
    read = {name for product in names for name in graph.products[product].reads}
    return read & graph.sources.keys()


def _finding(change: Change, impact: Impact) -> FindingView:
    kind, level = _KINDS[change.effect]
    what, details = change.what, []
    if change.effect is Effect.BREAKING:
        users = users_of(change, impact.before, impact.lineage)
        what = f"{what}{_used_by(users)}"
        people = affected(change, users, impact.before, impact.now)
        if people:
            details.append(DetailView(label="affects", text=", ".join(map(str, people))))
        if not is_relied_on(change, users, impact.before, impact.now):
            kind, level = FindingKind.COMPATIBLE, Level.NOTE
            details.append(DetailView(label="because", text=_NOBODY))
        elif announced := _announced(change, impact):
            level = Level.WARNING
            details.append(DetailView(label="version", text=announced))
    if kind is not FindingKind.COMPATIBLE or change.effect is Effect.COMPATIBLE:
        details += _needs(change, impact)
    return FindingView(
        kind=kind,
        level=level,
        name=change.name,
        of=change.of,
        what=what,
        file=change.where.file,
        line=change.where.line,
        removed=change.removed,
        details=tuple(details),
    )


def _announced(change: Change, impact: Impact) -> str:
    """Return how a new version of the contract announces a break; '' when none does."""
    before, now = _versions(change, impact)
    is_announced = before and now and not needed(before, now, Bump.MAJOR)
    return f"{before} -> {now} announces it" if is_announced else ""


def _needs(change: Change, impact: Impact) -> list[DetailView]:
    """Return the version that a change needs, and how else a column could be taken away."""
    before, now = _versions(change, impact)
    bump = bump_of(change)
    if bump is Bump.PATCH or _announced(change, impact) or change.aspect in {"version", "product"}:
        return []
    least = needed(before, now, bump)
    ways = [f"version {least} (is {now or 'none'})"] if least else []
    if bump is Bump.MAJOR and change.aspect == "column" and not change.is_demand:
        contract = impact.contracts.get(change.name)
        day = contract.deprecated.get(change.of, "") if contract else ""
        day = day or str(suggested_day(impact.today))
        ways.append(f'{change.of} kept until {day}: deprecated={{"{change.of}": "{day}"}}')
    return [DetailView(label="needs", text=", or ".join(ways))] if ways else []


def _versions(change: Change, impact: Impact) -> tuple[str, str]:
    """Return the versions of the contract of a product, before and now; '' for none."""
    old = impact.contracts.get(change.name)
    new = impact.now.products.get(change.renamed_to) or impact.now.products.get(change.name)
    return (old.version if old else "", new.contract.version if new else "")


def _used_by(users: Sequence[User]) -> str:
    """Return which products use what changed, as it continues a sentence."""
    texts = []
    for is_sure, words in ((True, "used by"), (False, "may be used by")):
        named = [_user(user) for user in users if user.is_sure is is_sure]
        if named:
            more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
            texts.append(f"; {words} {', '.join(named[:_SHOWN])}{more}")
    return "".join(texts)


def _user(user: User) -> str:
    columns = ", ".join(user.columns[:_SHOWN])
    more = ", …" if len(user.columns) > _SHOWN else ""
    return f"{user.name} ({columns}{more})" if columns else user.name
