"""Records approvals of versions, withdraws them, and lists what awaits approval, is given or void."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from assay.approvals import Approval, is_same_person
from assay.build.selection import everything
from assay.build.workspace import Workspace
from assay.catalog.versions import find_version
from assay.decisions import AwaitApproval, Blocked, Check, Decision, Held, Keep, Publish
from assay.errors import UsageError
from assay.facts import Pointer, Status, Version, short
from assay.model import Product
from assay.plan.approvals import decide_on_approval, logic_of, what_is_approved, why_void
from assay.plan.digests import digest
from assay.plan.ladder import plan
from assay.plan.observed import Observed
from assay.plan.states import published_version
from assay.views.figures import FiguresView
from assay.views.products import ProductViews
from assay.views.view import View

_LIST = "`products approvals` lists what awaits approval."


class ApprovalView(View, frozen=True, kw_only=True):
    """An approval as it stands.

    - `state`: `given` (it counts), `used` (by `release`), `void` (`because_void` says why) or
      `withdrawn`.
    - `author`: the user who recorded it, or the place where it is declared.
    """

    id: str
    product: str
    environment: str
    version: str
    approver: str
    because: str
    author: str
    at: datetime | None
    state: str
    release: int | None
    because_void: str


class AwaitingApprovalView(View, frozen=True, kw_only=True):
    """A version that awaits approval since a moment: who may approve it, and who did.

    - `missing`: how many approvals are missing, of `needed`; `awaits` says the same in words.
    - `built_by`: the user whose run built it, who may not approve it.
    - `readers`: the published version; '' for none.
    """

    product: str
    environment: str
    version: str
    rows: int
    since: datetime
    approvers: tuple[str, ...]
    needed: int
    missing: int
    awaits: str
    approved: tuple[str, ...]
    void: tuple[str, ...]
    built_by: str
    readers: str


class ApprovalsView(View, frozen=True, kw_only=True):
    """What awaits approval in an environment, and all approvals that were given."""

    awaiting: tuple[AwaitingApprovalView, ...]
    approvals: tuple[ApprovalView, ...]


class Approved(Struct, frozen=True, kw_only=True):
    """An approval that was recorded, of what, and what happens with it now, in words.

    - `changes`: how the version differs from what readers have; None where that is not known.
    """

    view: ApprovalView
    version: Version
    published: Version | None
    changes: FiguresView | None
    effect: str


class _Situation(Struct, frozen=True, kw_only=True):
    """A product that asks for approval, and the decision on it."""

    product: Product
    observed: Observed
    step: Decision

    @property
    def pointer(self) -> Pointer | None:
        return self.observed.facts.pointer(self.product.name)


def approve(
    workspace: Workspace, name: str, id: str | None, *, approver: str, because: str, author: str
) -> Approved:
    """Record that somebody approves the version of a product that awaits approval.

    `id` is the beginning of its id. Raises UsageError, with everything that is wrong, for what does
    not await approval, and for somebody who may not approve it.
    """
    situation = _situation(workspace, name)
    product, now = situation.product, workspace.clock()
    problems = []
    if not because:
        problems.append("--because should say why")
    if approver not in product.approvers:
        named = f"{approver} may not approve it" if approver else "--as should say who"
        problems.append(f"{named}: one of {', '.join(product.approvers)} ({product.where})")
    if problems:
        raise UsageError("\n  ".join([f"{name} is not approved: {problems[0]}", *problems[1:]]))
    step = _awaiting(workspace, situation, id)
    if is_same_person(approver, step.author):
        others = ", ".join(step.approvers) or "nobody else is in the list"
        raise UsageError(
            f"{step.author} built {short(step.version.id)} of {name}, so {approver} may not approve it",
            hint=f"Who may: {others}.",
        )
    if given := next((a for a in step.given if a.approver == approver), None):
        when = f"on {given.at:%Y-%m-%d %H:%M} UTC" if given.at else f"in {given.where}"
        raise UsageError(f"{approver} approved {short(step.version.id)} of {name} {when} already")
    agreed = what_is_approved(step.version, step.verdict)
    approval = Approval(
        id="",
        product=name,
        environment=workspace.environment,
        version=step.version.id,
        approver=approver,
        because=because,
        author=author,
        content=agreed.content,
        logic=agreed.logic,
        findings=agreed.findings,
        at=now,
    )
    approval = replace(approval, id=f"a{digest([approval, now.isoformat()])[:11]}")
    workspace.catalog.approvals.record(approval)
    facts = workspace.catalog.facts(workspace.environment, workspace.storage.holds)
    after = decide_on_approval(product, step.version, step.verdict, facts, workspace.environment)
    effect = "`products materialize` publishes it: nothing is built or judged again"
    if isinstance(after, AwaitApproval):
        effect = f"it still waits for {after.waits_for}"
    return Approved(
        view=_view(approval, "given"),
        version=step.version,
        published=published_version(name, situation.observed.facts),
        changes=ProductViews(workspace.graph, situation.observed.facts).changes(name, step),
        effect=effect,
    )


def withdraw_approval(
    workspace: Workspace, name: str, id: str | None, approver: str
) -> ApprovalView:
    """Withdraw the approval of somebody, of the version whose id begins like this, if one is given.

    Raises UsageError if there is none, or a release used it.
    """
    approvals = [
        approval
        for approval in workspace.catalog.approvals.of(workspace.environment)
        if approval.product == name
        and approval.approver == approver
        and approval.version.startswith((id or "", f"v{id}"))
    ]
    usable = [a for a in approvals if not (a.withdrawn or a.release)] or approvals
    if not usable:
        of_version = f" of {id}" if id else ""
        raise UsageError(
            f"{name} has no approval of {approver or 'nobody'}{of_version}", hint=_LIST
        )
    workspace.catalog.approvals.withdraw(usable[-1], workspace.clock())
    return _view(usable[-1], "withdrawn")


def approvals(workspace: Workspace, names: Collection[str]) -> ApprovalsView:
    """Return what awaits approval, of these products, and the approvals of them, the newest first."""
    graph = workspace.graph
    if not any(graph.products[name].approvers for name in names):
        return ApprovalsView(awaiting=(), approvals=())
    observed = workspace.observe()
    steps = plan(graph, observed, everything(graph), in_parts=False).steps
    return approvals_as_of(workspace, names, observed, steps)


def approvals_as_of(
    workspace: Workspace,
    names: Collection[str],
    observed: Observed,
    steps: Mapping[str, Decision],
) -> ApprovalsView:
    """Return the same as `approvals`, given the decisions on all products."""
    graph, environment = workspace.graph, workspace.environment
    awaiting = [
        _awaiting_view(step, observed)
        for name, step in steps.items()
        if name in names and isinstance(step, AwaitApproval)
    ]
    views = [
        _of_now(approval, graph.products[approval.product], steps, observed)
        for approval in reversed(workspace.catalog.approvals.of(environment))
        if approval.product in names
    ]
    recorded = {view.id for view in views}
    declared = [
        _of_now(approval, product, steps, observed)
        for product in graph.products.values()
        for approval in product.approved
        if product.name in names
        and approval.environment == environment
        and approval.id not in recorded
    ]
    return ApprovalsView(awaiting=tuple(awaiting), approvals=(*declared, *views))


def _situation(workspace: Workspace, name: str) -> _Situation:
    graph = workspace.graph
    product = graph.products[name]
    if not product.approvers:
        raise UsageError(
            f"{name} asks for no approval ({product.where})",
            hint="Its versions are published when they pass. approval=[...] asks for it.",
        )
    observed = workspace.observe()
    steps = plan(graph, observed, everything(graph), in_parts=False).steps
    return _Situation(product=product, observed=observed, step=steps[name])


def _awaiting(workspace: Workspace, situation: _Situation, id: str | None) -> AwaitApproval:
    """Return the decision on the version to approve; UsageError if it does not await approval."""
    name, step, pointer = situation.product.name, situation.step, situation.pointer
    asked = find_version(workspace.catalog, name, id) if id else None
    if isinstance(step, AwaitApproval):
        if asked is None or _is_same(asked, step.version):
            return step
        now = f"{short(step.version.id)} awaits approval now"
    else:
        now = _instead(step, workspace.environment)
    if asked is None:
        raise UsageError(f"nothing of {name} awaits approval: {now}", hint=_LIST)
    version = f"{short(asked.id)} of {name}"
    if pointer and pointer.version == asked.id:
        raise UsageError(f"{version} is published already (release {pointer.release}); {now}")
    verdicts = workspace.catalog.verdicts(asked.id, workspace.environment)
    if verdicts and not verdicts[0].passed:
        failed = [r.text for r in verdicts[0].results if r.status in {Status.FAILED, Status.ERROR}]
        raise UsageError(f"{version} did not pass its rules ({'; '.join(failed)}); {now}")
    if isinstance(step, Publish) and _is_same(asked, step.version):
        raise UsageError(f"{version} needs no more approvals: {now}")
    raise UsageError(f"{version} does not await approval (any more); {now}", hint=_LIST)


def _is_same(one: Version, other: Version) -> bool:
    """Return whether two versions have the same rows, by the same logic."""
    same_rows = one.digest == other.digest
    return same_rows and logic_of(one.key.code) == logic_of(other.key.code)


def _instead(step: Decision, environment: str) -> str:
    """Return what is with a product of which nothing awaits approval."""
    match step:
        case Keep(version=version):
            return f"readers of {environment} see its newest version, {short(version.id)}"
        case Publish(version=version):
            return f"`products materialize` publishes {short(version.id)}"
        case Blocked(version=version):
            return f"{short(version.id)} is held back by its rules"
        case Held(by=by):
            return f"it waits: {'; '.join(by.values())}"
        case Check(version=version):
            return f"{short(version.id)} is not judged: `products materialize` does that"
    return "its newest version is not built yet: `products materialize` builds it"


def _awaiting_view(step: AwaitApproval, observed: Observed) -> AwaitingApprovalView:
    version = step.version
    pointer = observed.facts.pointer(version.product)
    return AwaitingApprovalView(
        product=version.product,
        environment=observed.environment,
        version=version.id,
        rows=version.rows,
        since=step.verdict.judged_at,
        approvers=step.approvers,
        needed=step.needed,
        missing=step.missing,
        awaits=step.waits_for,
        approved=tuple(f"{a.approver}: {a.because}" for a in step.given),
        void=step.void,
        built_by=step.author,
        readers=pointer.version if pointer else "",
    )


def _of_now(
    approval: Approval, product: Product, steps: Mapping[str, Decision], observed: Observed
) -> ApprovalView:
    """Return an approval as it stands, given the decisions on products."""
    if approval.withdrawn:
        return _view(approval, "withdrawn")
    if approval.release:
        return _view(approval, "used")
    step = steps[product.name]
    if isinstance(step, AwaitApproval | Publish):
        agreed = what_is_approved(step.version, step.verdict)
        given = observed.facts.approvals(step.version)
        why = why_void(approval, product, agreed, given)
        return _view(approval, "void", why) if why else _view(approval, "given")
    if isinstance(step, Keep) and not step.pinned:
        return _view(approval, "void", "another version was published since")
    return _view(approval, "given")


def _view(approval: Approval, state: str, why: str = "") -> ApprovalView:
    return ApprovalView(
        id=approval.id,
        product=approval.product,
        environment=approval.environment,
        version=approval.version,
        approver=approval.approver,
        because=approval.because,
        author=approval.author,
        at=approval.at,
        state=state,
        release=approval.release or None,
        because_void=why,
    )


def listed(views: Sequence[ApprovalView]) -> list[ApprovalView]:
    """Return approvals, those that count first."""
    order = ("given", "void", "used", "withdrawn")
    return sorted(views, key=lambda view: order.index(view.state))
