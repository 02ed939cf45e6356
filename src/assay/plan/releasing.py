"""Which products may not be released because others that are connected to them are held back."""

from collections.abc import Mapping

from assay.decisions import (
    Blocked,
    Decision,
    Held,
    Keep,
    Publish,
)
from assay.plan.graph import Graph
from assay.plan.observed import Facts


def withheld(
    graph: Graph,
    steps: Mapping[str, Decision],
    facts: Facts,
    already: Mapping[str, Held] | None = None,
) -> dict[str, Held]:
    """Return the products that passed and yet may not go out, with those that `already` may not.

    A release group publishes all or none, and nothing goes out before what it is made of: so when a member cannot be
    published (also because it is pinned), neither can the others, nor whatever was built from their new content.
    """
    groups: dict[str, list[str]] = {}
    for name in steps:
        if group := graph.products[name].release_group:
            groups.setdefault(group, []).append(name)
    held = dict(already or {})
    changed = bool(groups or held)
    while changed:
        changed = False
        for name, decision in steps.items():
            if name not in held and isinstance(decision, Publish):
                product = graph.products[name]
                mates = groups.get(product.release_group, [])
                stuck = {
                    n: f"release group {product.release_group} waits for {n}"
                    for n in mates
                    if _stays(n, steps, held)
                }
                stuck |= {
                    n: f"{n} is held by its release group"
                    for n in product.reads
                    if _is_new(n, steps, held, facts)
                }
                if stuck:
                    held[name] = Held(by=stuck)
                    changed = True
    return held


def _stays(name: str, steps: Mapping[str, Decision], held: Mapping[str, Held]) -> bool:
    """Say whether a product cannot go out, whatever passed."""
    match steps[name]:
        case Blocked() | Held() | Keep(pinned=True):
            return True
    return name in held


def _is_new(
    name: str, steps: Mapping[str, Decision], held: Mapping[str, Held], facts: Facts
) -> bool:
    """Say whether a product is held with content that readers do not see yet."""
    decision = steps.get(name)
    if name not in held or not isinstance(decision, Publish):
        return False
    pointer = facts.pointer(name)
    return pointer is None or facts.version(pointer.version).digest != decision.version.digest
