"""The state of a product or source as an input of the products that depend on it."""

from assay.decisions import (
    AwaitApproval,
    Blocked,
    Build,
    Check,
    Decision,
    Held,
    InputState,
    Keep,
    KnownInput,
    Maybe,
    Publish,
    Restate,
    UnknownInput,
    UnusableInput,
    Waive,
)
from assay.facts import Version
from assay.plan.observed import Facts, Observed


def output_state(name: str, decision: Decision) -> InputState:
    """Return the state of a product as an input, after this decision on it."""
    match decision:
        case Keep(version=version) | Publish(version=version):
            return KnownInput(digest=version.digest, data_as_of=version.data_as_of, origin=version)
        case Blocked():
            return UnusableInput(why=f"{name} is held back")
        case AwaitApproval():
            return UnusableInput(why=f"{name} waits for {decision.waits_for}")
        case Held(absent=absent):
            return UnusableInput(why=f"{name} is held", absent=absent)
        case Build(part_digests=parts) | Maybe(part_digests=parts):
            return UnknownInput(part_digests=parts or None)
        case Check(version=version) | Restate(version=version) | Waive(version=version):
            if not version.in_parts:
                return UnknownInput()
            return UnknownInput(part_digests={part.key: part.digest for part in version.parts})


def published_version(name: str, facts: Facts) -> Version | None:
    """Return the published version of a product."""
    pointer = facts.pointer(name)
    return facts.version(pointer.version) if pointer else None


def published_state(name: str, facts: Facts) -> InputState:
    """Return the state of a product that is not selected: inputs read its published version."""
    version = published_version(name, facts)
    if version is None:
        why = f"{name} was never published and is not selected (`-s +NAME` selects inputs too)"
        return UnusableInput(why=why, absent=True)
    return KnownInput(digest=version.digest, data_as_of=version.data_as_of, origin=version)


def source_states(observed: Observed) -> dict[str, InputState]:
    """Return the state of every source as an input."""
    states: dict[str, InputState] = {}
    for name, source in observed.sources.items():
        if source.missing:
            states[name] = UnusableInput(why=source.missing, absent=True)
        else:
            states[name] = KnownInput(digest=source.digest, origin=source)
    return states
