"""Why a product has to be built: how code and inputs differ from those of an earlier version."""

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
from assay.facts import Key, SourceState
from assay.model import Code, Product
from assay.plan.moments import CLOCK
from assay.plan.observed import Facts, Observed
from assay.plan.previous import without_previous
from assay.plan.states import published_version


def reasons_to_build(product: Product, key: Key, observed: Observed) -> tuple[Reason, ...]:
    """Return why the wanted key of a product has no version."""
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
    """Return how code and inputs differ from those of the published version, or else of the newest.

    `inputs` has the digests of known inputs by name, `unknown` the names of the others. With
    `sources`, changes of sources name the files that changed.
    """
    before = published_version(product.name, facts) or facts.latest(product.name)
    if before is None:
        return (FirstBuild(),)
    inputs_before = without_previous(product.name, before.key.inputs)
    inputs = without_previous(product.name, inputs)
    is_same_code = before.key.code.digest == product.code.digest
    if before.key.held and is_same_code and inputs_before == inputs:
        return (PartsMissing(part_keys=tuple(before.key.held)),)
    reasons = [] if is_same_code else _code_reasons(before.key.code, product.code)
    names, names_before = {*inputs, *unknown}, set(inputs_before)
    if not unknown and names != names_before:
        gained, lost = sorted(names - names_before), sorted(names_before - names)
        reasons.append(InputsDiffer(gained=tuple(gained), lost=tuple(lost)))
    for name in sorted(inputs.keys() & names_before):
        digest_before = inputs_before[name]
        if inputs[name] != digest_before:
            reasons.append(_changed(name, digest_before, (sources or {}).get(name), facts))
    return tuple(reasons)


def _code_reasons(before: Code, code: Code) -> list[Reason]:
    """Return how code differs from earlier code; a new day, hour or month is a separate reason."""
    old, new = before.reached, code.reached
    differing = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    reasons: list[Reason] = []
    if CLOCK in differing and CLOCK in new:
        differing.remove(CLOCK)
        reasons.append(TimePassed(now=new[CLOCK]))
    if differing:
        reasons.append(CodeChanged(changed=tuple(differing)))
    return reasons


def _changed(
    name: str, digest_before: str, source: SourceState | None, facts: Facts
) -> InputChanged:
    """Return that an input changed; of a source, with the files that did, if they were recorded."""
    files_before = facts.files(digest_before) if source else None
    if source is None or files_before is None:
        return InputChanged(name=name)
    return changed_files(name, files_before, {file.path: file.digest for file in source.files})


def changed_files(
    name: str, files_before: Mapping[str, str], files: Mapping[str, str]
) -> InputChanged:
    """Return how the files of a source differ from those before; both are digests by path."""
    changed = {path for path, _ in files.items() - files_before.items()}
    return InputChanged(
        name=name,
        added=tuple(sorted(changed - files_before.keys())),
        replaced=tuple(sorted(changed & files_before.keys())),
        removed=tuple(sorted(files_before.keys() - files.keys())),
    )
