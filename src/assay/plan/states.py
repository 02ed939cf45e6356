"""What a product or source is to the products that depend on it."""

from assay.decisions import (
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
    UnknownInput,
    UnusableInput,
    Waive,
)
from assay.facts import Version
from assay.plan.observed import Facts, Observed


def output_state(name: str, decision: Decision) -> InputState:
    """Return what a product is to those made of it, once this is decided."""
    match decision:
        case Keep(version=version) | Publish(version=version):
            return KnownInput(digest=version.digest, data_as_of=version.data_as_of, origin=version)
        case Blocked():
            return UnusableInput(why=f"{name} is held back")
        case Held(absent=absent):
            return UnusableInput(why=f"{name} is held", absent=absent)
        case Build(part_digests=parts) | Maybe(part_digests=parts):
            return UnknownInput(part_digests=parts or None)
        case Check(version=version) | Waive(version=version):
            return UnknownInput(
                part_digests={part.key: part.digest for part in version.parts}
                if version.in_parts
                else None
            )


def published_version(name: str, facts: Facts) -> Version | None:
    """Return the version of a product that readers see."""
    pointer = facts.pointer(name)
    return facts.version(pointer.version) if pointer else None


def published_state(name: str, facts: Facts) -> InputState:
    """Return what a product that was not asked for is to those made of it: what readers see."""
    version = published_version(name, facts)
    if version is None:
        return UnusableInput(why=f"{name} was never published and is not selected")
    return KnownInput(digest=version.digest, data_as_of=version.data_as_of, origin=version)


def source_states(observed: Observed) -> dict[str, InputState]:
    """Return the state of every source as an input."""
    return {
        name: UnusableInput(why=state.missing, absent=True)
        if state.missing
        else KnownInput(digest=state.digest, origin=state)
        for name, state in observed.sources.items()
    }
