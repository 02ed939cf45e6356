"""Whether a version that passed may be published: who has to agree, and what an approval is about; pure."""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from assay.approvals import Approval, Given, is_same_person
from assay.decisions import AwaitApproval, Publish
from assay.facts import Status, Verdict, Version
from assay.model import Code, Product
from assay.plan.digests import digest
from assay.plan.moments import CLOCK
from assay.plan.observed import Facts
from assay.plan.states import published_version


class Agreed(Struct, frozen=True, kw_only=True):
    """What an approver agrees with: the rows, the code that built them, and what the rules found."""

    content: str
    logic: str
    findings: str


def what_is_approved(version: Version, verdict: Verdict) -> Agreed:
    """Return what somebody who approves a version agrees with."""
    findings = [
        [result.text, result.status, result.failing, sorted(result.waived_by)]
        for result in verdict.results
        if result.status not in {Status.PASSED, Status.SKIPPED}
    ]
    return Agreed(
        content=version.digest,
        logic=logic_of(version.key.code),
        findings=digest([verdict.contract, sorted(findings)]),
    )


def logic_of(code: Code) -> str:
    """Return the digest of code without the clock: another day is no other logic."""
    return digest({name: d for name, d in code.reached.items() if name != CLOCK})


def decide_on_approval(
    product: Product, version: Version, verdict: Verdict, facts: Facts, environment: str
) -> Publish | AwaitApproval:
    """Return whether a version that passed may be published in an environment, or who has to agree.

    The facts are those of that environment. What readers have already, by the same logic, needs
    nobody's approval.
    """
    published = published_version(product.name, facts)
    agreed = what_is_approved(version, verdict)
    if published and (published.digest, logic_of(published.key.code)) == (
        agreed.content,
        agreed.logic,
    ):
        return Publish(version=version, verdict=verdict)
    given = facts.approvals(version)
    pointer = facts.pointer(product.name)
    counting: dict[str, Approval] = {}
    void: list[str] = []
    for approval in _open(product, given, environment, pointer.released_at if pointer else None):
        why = why_void(approval, product, agreed, given)
        if not why:
            counting.setdefault(approval.approver, approval)
        else:
            void.append(f"the approval of {approval.approver}{_placed(approval)} is void: {why}")
    approvals = tuple(counting.values())
    if len(approvals) >= product.approvals:
        return Publish(version=version, verdict=verdict, approvals=approvals)
    return AwaitApproval(
        version=version,
        verdict=verdict,
        approvers=tuple(
            name
            for name in product.approvers
            if name not in counting and not is_same_person(name, given.author)
        ),
        needed=product.approvals,
        given=approvals,
        void=tuple(dict.fromkeys(void)),
        author=given.author,
    )


def why_void(approval: Approval, product: Product, agreed: Agreed, given: Given) -> str:
    """Return why an approval does not let out what somebody would agree with now; '' if it does."""
    if approval.release:
        return f"release {approval.release} published it, and it was taken back since"
    if approval.approver not in product.approvers:
        return f"{approval.approver} is not in the list any more"
    if is_same_person(approval.approver, given.author):
        return f"{given.author} built this version"
    if approval.where:
        matches = approval.version and (
            agreed.content.startswith(approval.version)
            or any(id.startswith((approval.version, f"v{approval.version}")) for id in given.same)
        )
        return "" if matches else f"it is of another version ({approval.version})"
    if approval.logic != agreed.logic:
        return "the logic changed"
    if approval.content != agreed.content:
        return "the data changed"
    if approval.findings != agreed.findings:
        return "its rules, or what they found, changed"
    return ""


def _open(
    product: Product, given: Given, environment: str, published_at: datetime | None
) -> Iterator[Approval]:
    """Yield the approvals to look at: not those of what was published, or replaced, since.

    A used one is looked at again when its version is wanted again.
    """
    used = {approval.id for approval in given.approvals if approval.release}
    for approval in given.approvals:
        if approval.withdrawn:
            continue
        if approval.release:
            if approval.version in given.same:
                yield approval
        elif published_at is None or approval.at is None or approval.at > published_at:
            yield approval
    for approval in product.approved:
        if approval.environment == environment and approval.id not in used:
            yield approval


def _placed(approval: Approval) -> str:
    return f" ({approval.where})" if approval.where else ""
