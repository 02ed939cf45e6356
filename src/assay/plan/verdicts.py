"""What a verdict on a version depends on, and the verdict that holds a version back."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from assay.decisions import AwaitApproval, Blocked, Check, Decision, Keep, Publish
from assay.facts import Verdict, Version
from assay.model import PREVIOUS, Product
from assay.plan.digests import against_of, digest, key_digest
from assay.plan.moments import CLOCK, judged_at
from assay.plan.observed import Facts, Observed
from assay.plan.restatements import RestatedRows
from assay.times import settled_before

_STAYS = Blocked | AwaitApproval  # what readers have stays


def compared_with(product: Product, version: Version, facts: Facts) -> Version | None:
    """Return the version that `previous` means in the rules for this version.

    It is the version that this one replaces, or replaced when it was published; None for none.
    """
    pointer = facts.pointer(product.name)
    if pointer is None:
        return None
    id = pointer.previous if pointer.version == version.id else pointer.version
    return facts.version(id) if id else None


def against(
    product: Product, version: Version, known: Mapping[str, str], observed: Observed
) -> str:
    """Return the digest of what the product's rules read besides the version itself.

    `known` has the content digests of inputs by name. Rules about settled rows depend on the time
    that decides what is settled. They also depend on when the previous version was built: new rows
    fail in periods settled at that time.
    """
    read = [(name, known[name]) for name in product.rule_inputs]
    before = compared_with(product, version, observed.facts) if product.uses_previous else None
    closing = product.contract.closes
    if closing:
        moment = judged_as_of(version, observed)
        for rule in closing:
            moments = [moment]
            if before is not None and not rule.holds_new:
                moments.append(before.built_at)
            ends = [str(settled_before(rule.closes, m, rule.tz, rule.grace)) for m in moments]
            read.append((f"{rule.closes} {rule.grace} {rule.tz}", " ".join(ends)))
        read += [
            (f"restated rows of {each.rule} in {each.environment}", digest(each.row_digests))
            for each in restated_rows_of(version, observed.facts)
        ]
    if period := judged_at(product):
        read.append((CLOCK, period))
    if product.uses_previous:
        read.append((PREVIOUS, before.digest if before else ""))
    return against_of(read)


def judged_as_of(version: Version, observed: Observed) -> datetime:
    """Return the moment that decides which rows are settled: the version's release, or else now.

    A release made while a clock was ahead does not count as later than now.
    """
    pointer = observed.facts.pointer(version.product)
    if pointer is None or pointer.version != version.id:
        return observed.now
    return min(pointer.released_at, observed.now)


def restated_rows_of(version: Version, facts: Facts) -> Sequence[RestatedRows]:
    """Return the restated rows of a version, and of the version that it is without held parts."""
    whole_version = version_with_all_parts(version, facts)
    rows = list(facts.restated(version.id))
    if whole_version and whole_version.id != version.id:
        rows += facts.restated(whole_version.id)
    return rows


def version_with_all_parts(version: Version, facts: Facts) -> Version | None:
    """Return the version of the same code and inputs in which no part is held back."""
    if not version.key.held:
        return version
    return facts.find(version.product, key_digest(version.key.code, version.key.inputs))


def what_changes(end: object, facts: Facts) -> tuple[Version, Version] | None:
    """Return two versions: what readers have, and what is held back or took its place as restated.

    `end` is how the product came out. Of a version without parts that are held back, they are
    itself and the version with all parts. None where nothing is held back or restated, or readers
    have nothing else.
    """
    if not isinstance(end, _STAYS | Keep | Publish):
        return None
    version = end.version
    if not isinstance(end, _STAYS) and version.key.held:
        whole = version_with_all_parts(version, facts)
        return (version, whole) if whole else None
    if not (isinstance(end, _STAYS) or (isinstance(end, Publish) and facts.restated(version.id))):
        return None
    pointer = facts.pointer(version.product)
    before = pointer.version if pointer else ""
    if pointer and before == version.id:
        before = "" if isinstance(end, _STAYS) else pointer.previous
    return (facts.version(before), version) if before else None


def held_back_verdict(product: Product, step: Decision, facts: Facts) -> Verdict | None:
    """Return the failed verdict that keeps the newest version unpublished; None for none."""
    if isinstance(step, Blocked):
        return step.verdict
    if isinstance(step, Keep | Publish | AwaitApproval | Check):
        newest: Version | None = step.version
    else:
        newest = facts.latest(product.name)
    newest = version_with_all_parts(newest, facts) if newest else None
    if newest is None:
        return None
    pointer = facts.pointer(product.name)
    if isinstance(step, Keep) and pointer and pointer.version == newest.id:
        return None
    return facts.failed(newest.id, product.contract.digest)
