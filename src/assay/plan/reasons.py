"""Why a product has to be built: how what it would be built from differs from what it was built from."""

from collections.abc import Mapping

from assay.decisions import (
    BytesMissing,
    CodeChanged,
    FirstBuild,
    InputChanged,
    InputsDiffer,
    PartsMissing,
    Reason,
    TimePassed,
)
from assay.facts import Key, SourceState, Version
from assay.model import Product
from assay.plan.moments import CLOCK
from assay.plan.observed import Facts, Observed
from assay.plan.states import published_version


def reasons_to_build(product: Product, key: Key, observed: Observed) -> tuple[Reason, ...]:
    """Return the field-by-field difference between the wanted key and that of what is published (or newest)."""
    lost = observed.facts.lost(product.name, key.digest)
    if lost is not None:
        return (BytesMissing(version=lost.id),)
    return differences(product, key.inputs, observed.facts, observed.sources)


def differences(
    product: Product,
    inputs: Mapping[str, str],
    facts: Facts,
    sources: Mapping[str, SourceState] | None = None,
    unknown: tuple[str, ...] = (),
) -> tuple[Reason, ...]:
    before = _before(product, facts)
    if before is None:
        return (FirstBuild(),)
    reasons: list[Reason] = []
    if (
        before.key.held
        and before.key.code.digest == product.code.digest
        and before.key.inputs == inputs
    ):
        return (PartsMissing(part_keys=tuple(before.key.held)),)
    if before.key.code.digest != product.code.digest:
        old, new = before.key.code.reached, product.code.reached
        unlike = sorted(n for n in {*old, *new} if old.get(n) != new.get(n))
        if CLOCK in unlike and CLOCK in old and CLOCK in new:
            unlike.remove(CLOCK)
            reasons.append(TimePassed(now=new[CLOCK]))
        reasons += [CodeChanged(changed=tuple(unlike))] if unlike else []
    now, then = {*inputs, *unknown}, set(before.key.inputs)
    if not unknown and now != then:
        reasons.append(
            InputsDiffer(gained=tuple(sorted(now - then)), lost=tuple(sorted(then - now)))
        )
    moved = [
        name for name in sorted(inputs.keys() & then) if inputs[name] != before.key.inputs[name]
    ]
    reasons += [
        _changed(name, before.key.inputs[name], (sources or {}).get(name), facts) for name in moved
    ]
    return tuple(reasons)


def _before(product: Product, facts: Facts) -> Version | None:
    return published_version(product.name, facts) or facts.latest(product.name)


def _changed(name: str, before: str, source: SourceState | None, facts: Facts) -> InputChanged:
    then = facts.files(before) if source else None
    if source is None or then is None:
        return InputChanged(name=name)
    now = {file.path: file.digest for file in source.files}
    moved = {path for path, _ in now.items() - then.items()}
    return InputChanged(
        name=name,
        added=tuple(sorted(moved - then.keys())),
        replaced=tuple(sorted(moved & then.keys())),
        removed=tuple(sorted(then.keys() - now.keys())),
    )
