"""Which products may not be published because connected products are held back."""

from collections.abc import Mapping

from assay.decisions import AwaitApproval, Blocked, Decision, Held, Keep, Publish
from assay.plan.graph import Graph
from assay.plan.observed import Facts


def withheld(
    graph: Graph,
    steps: Mapping[str, Decision],
    facts: Facts,
    already: Mapping[str, Held] | None = None,
) -> dict[str, Held]:
    """Return the products that passed but may not be published, and why; includes `already`.

    A release group is published all or none, and no product is published before its inputs. So when
    a member of a group cannot be published (also because it is pinned), neither can the others, nor
    products built from their new content.
    """
    members_of: dict[str, list[str]] = {}
    for name in steps:
        if group := graph.products[name].release_group:
            members_of.setdefault(group, []).append(name)
    held = dict(already or {})
    changed = bool(members_of or held)
    while changed:
        changed = False
        for name, decision in steps.items():
            if name in held or not isinstance(decision, Publish):
                continue
            product = graph.products[name]
            members = members_of.get(product.release_group, [])
            causes = {
                member: f"release group {product.release_group} waits for {_awaited(member, steps)}"
                for member in members
                if _is_stuck(member, steps, held)
            }
            for read in product.reads:
                if _has_unpublished_content(read, steps, held, facts):
                    causes[read] = f"{read} is held by its release group"
            if causes:
                held[name] = Held(by=causes)
                changed = True
    return held


def _is_stuck(name: str, steps: Mapping[str, Decision], held: Mapping[str, Held]) -> bool:
    """Return whether a product cannot be published."""
    match steps[name]:
        case Blocked() | AwaitApproval() | Held() | Keep(pinned=True):
            return True
    return name in held


def _awaited(name: str, steps: Mapping[str, Decision]) -> str:
    """Return what a group waits for: a product, or its approval."""
    step = steps[name]
    return f"{name}: {step.waits_for}" if isinstance(step, AwaitApproval) else name


def _has_unpublished_content(
    name: str, steps: Mapping[str, Decision], held: Mapping[str, Held], facts: Facts
) -> bool:
    """Return whether a product is held with content that differs from its published version."""
    decision = steps.get(name)
    if name not in held or not isinstance(decision, Publish):
        return False
    pointer = facts.pointer(name)
    return pointer is None or facts.version(pointer.version).digest != decision.version.digest
