"""What a verdict on a version depends on, and which verdict holds a version back."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from assay.decisions import (
    Blocked,
    Check,
    Decision,
    Keep,
    Publish,
)
from assay.facts import RuleResult, Status, Verdict, Version
from assay.model import PREVIOUS, Product
from assay.plan.digests import against_of, digest, key_digest
from assay.plan.moments import CLOCK, judged_at
from assay.plan.observed import Facts, Observed
from assay.plan.waivers import Waiver
from assay.times import settled_before


def worst_status(results: Iterable[RuleResult]) -> Status:
    """Return a verdict's status: the worst of its rules'; a rule that could not be judged is the worst of all."""
    said = {result.status for result in results}
    return next(
        (s for s in (Status.ERROR, Status.FAILED, Status.WARNING) if s in said), Status.PASSED
    )


def compared_with(product: Product, version: Version, facts: Facts) -> Version | None:
    """Return what `previous` means when this version is judged: what it replaces, or replaced when it went out."""
    pointer = facts.pointer(product.name)
    if pointer is None:
        return None
    id = pointer.previous if pointer.version == version.id else pointer.version
    return facts.version(id) if id else None


def against(
    product: Product, version: Version, known: Mapping[str, str], observed: Observed
) -> str:
    """Return the digest of what the product's rules read besides the version itself.

    Rows are settled as of when readers of this environment first saw the version, or as of now; new rows of a period
    count that was settled when what they replace was built.
    """
    read = [(name, known[name]) for name in product.rule_inputs]
    before = compared_with(product, version, observed.facts) if product.uses_previous else None
    if product.contract.closes:
        at = judged_as_of(version, observed)
        for r in product.contract.closes:
            ends = [at] if r.holds_new or before is None else [at, before.built_at]
            told = [str(settled_before(r.closes, end, r.tz, r.grace)) for end in ends]
            read.append((f"{r.closes} {r.grace} {r.tz}", " ".join(told)))
        read.append(("environment", observed.environment))
        read += [
            (f"waiver of {w.rule}", digest(w.row_digests))
            for w in waivers_of(version, observed.facts)
        ]
    if moment := judged_at(product):
        read.append((CLOCK, moment))
    if product.uses_previous:
        read.append((PREVIOUS, before.digest if before else ""))
    return against_of(read)


def judged_as_of(version: Version, observed: Observed) -> datetime:
    """Return the moment that decides what is settled in a version: its release, when readers see it, or now.

    A release that was made while a clock was ahead is of no later moment than now.
    """
    pointer = observed.facts.pointer(version.product)
    return (
        min(pointer.released_at, observed.now)
        if pointer and pointer.version == version.id
        else observed.now
    )


def waivers_of(version: Version, facts: Facts) -> Sequence[Waiver]:
    """Return what may go out of a version although it fails a rule; parts of it that are held back change nothing."""
    whole = whole_version(version, facts)
    return [
        *facts.waivers(version.id),
        *(facts.waivers(whole.id) if whole and whole.id != version.id else ()),
    ]


def whole_version(version: Version, facts: Facts) -> Version | None:
    """Return the version that a version without some parts stands in for."""
    if not version.key.held:
        return version
    return facts.find(version.product, key_digest(version.key.code, version.key.inputs))


def held_back_verdict(product: Product, step: Decision, facts: Facts) -> Verdict | None:
    """Return how the version of a product was judged that is held back as recorded, whatever there is to build now."""
    if isinstance(step, Blocked):
        return step.verdict
    newest = (
        step.version if isinstance(step, Keep | Publish | Check) else facts.latest(product.name)
    )
    newest = whole_version(newest, facts) if newest else None
    pointer = facts.pointer(product.name)
    if newest is None or (isinstance(step, Keep) and pointer and pointer.version == newest.id):
        return None
    return facts.failed(newest.id, product.contract.digest)
