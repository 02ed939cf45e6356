"""What a product that reads `previous` is built on: its published version, or the one before; pure.

A version is one step: these inputs, by this code, on top of that version. Its key has the content
of that version under the name of the product itself. Besides, it has the moment of the step under
`MOMENT`, if the product is a history; and under `STEPS` what the parts of that version were built
from, if the product follows the parts of an input: it decides which of them are built on.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from assay.decisions import InputState, KnownInput
from assay.facts import Key, SourceState, Version
from assay.model import Product
from assay.plan.digests import digest
from assay.plan.moments import CLOCK
from assay.plan.observed import Observed
from assay.plan.states import published_version

MOMENT, STEPS = "moment", "steps of parts"  # no product or source has a name without a dot
BESIDES = (MOMENT, STEPS)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)  # between the moments of two steps, at least


def step_inputs(
    product: Product,
    inputs: Mapping[str, str],
    states: Mapping[str, InputState],
    observed: Observed,
    *,
    from_start: bool = False,
) -> dict[str, str]:
    """Return everything that a version of a product which reads `previous` is built from.

    `inputs` are the digests of its inputs by name. While these, and the period of its clock, are
    as the published version was built from, its step is taken again: from the same version at the
    same moment. Otherwise the next step goes on from the published version. With `from_start`, no
    version is read as `previous`.
    """
    published = published_version(product.name, observed.facts)
    step = dict(inputs)
    is_same = published is not None and _is_same_step(product, inputs, published)
    taken = published.key.inputs if published and is_same else {}
    moment = taken.get(MOMENT)
    if published and not from_start:
        if before := previous_of(product.name, taken) if is_same else published.digest:
            step[product.name] = before
        if product.follows and before:
            step[STEPS] = taken.get(STEPS) or _steps_of_parts(published)
    if product.history:
        arrived = max((_arrived(states[name]) for name in inputs), default=observed.now)
        given = product.moment if not product.changes_with else None
        step[MOMENT] = moment or _moment(given or min(arrived, observed.now), published)
    return step


def previous_of(name: str, inputs: Mapping[str, str]) -> str:
    """Return the content digest of the version that was read as `previous`; '' for none."""
    return inputs.get(name, "")


def is_from_start(product: Product, key: Key | None) -> bool:
    """Return whether the version for a key is built on no other, of a product that reads `previous`."""
    return product.incremental and key is not None and not previous_of(product.name, key.inputs)


def without_previous(name: str, inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the digests of the inputs of a key: of products and sources besides the product itself."""
    return {each: content for each, content in inputs.items() if each not in {name, *BESIDES}}


def _is_same_step(product: Product, inputs: Mapping[str, str], published: Version) -> bool:
    """Return whether the published version was built from these inputs, in this period.

    Inputs that only one of them has do not count: code that reads one more takes the step again.
    """
    before = without_previous(product.name, published.key.inputs)
    common = inputs.keys() & before.keys()
    same_clock = product.code.reached.get(CLOCK) == published.key.code.reached.get(CLOCK)
    is_comparable = bool(common) or not inputs
    return is_comparable and same_clock and all(inputs[name] == before[name] for name in common)


def _steps_of_parts(version: Version) -> str:
    return digest([[part.key, dict(part.inputs)] for part in version.parts])


def _moment(moment: datetime, published: Version | None) -> str:
    """Return a moment, as text; or one just after that of the step before, if it is not later."""
    moment = moment.astimezone(UTC)
    if last := published.key.inputs.get(MOMENT) if published else None:
        moment = max(moment, datetime.fromisoformat(last) + _TICK)
    return moment.isoformat(timespec="microseconds")


def _arrived(state: InputState) -> datetime:
    """Return when a version was built, or the newest file of a source was written."""
    match state:
        case KnownInput(origin=Version() as version):
            return version.built_at
        case KnownInput(origin=SourceState() as source):
            written = max(file.modified_ns or file.ctime_ns for file in source.files)
            return _EPOCH + timedelta(microseconds=max(written, 0) // 1000)
    return _EPOCH
