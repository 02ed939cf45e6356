"""The parts of a product: kept, late, held back or missing, as status, freshness and record say it."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from enum import StrEnum

from assay.facts import Version
from assay.model import Product
from assay.plan.outcomes import PromiseOutcome
from assay.plan.parts import key_of_day, last_day
from assay.views.freshness import FreshnessView
from assay.views.results import BuildView, MaybeView, PlanView
from assay.views.view import View
from assay.views.words.numbers import count_of, day


class PartState(StrEnum):
    """How a part stands.

    - `kept`: readers have it, and no promise was broken for it.
    - `late`: readers have it, and did not have it yet when it was promised.
    - `held back`: a rule holds it back, or the version that has it.
    - `missing`: it was promised and is not there, or its input is there and it is not built.
    """

    KEPT = "kept"
    LATE = "late"
    HELD = "held back"
    MISSING = "missing"


class PartView(View, frozen=True, kw_only=True):
    """A part of a product, how it stands, and what there is to say about it ("2 rows")."""

    part: str
    state: PartState
    text: str


def part_views(
    product: Product,
    plan: PlanView,
    published: Version | None,
    *,
    newest: Version | None = None,
    failed: bool = False,
    promise: FreshnessView | None = None,
    outcomes: Sequence[PromiseOutcome] = (),
) -> list[PartView]:
    """Return the parts of a product, sorted by name; none for a product without parts.

    `published` is the version that readers have; `newest` the one that was built last, if it is
    another: it `failed` its rules, or is not published yet. `promise` says how the promise of the
    product stands now, `outcomes` how earlier promises came out.
    """
    if product.partition is None:
        return []
    rows = _rows(published)
    found = {key: (PartState.KEPT, count_of(count, "row")) for key, count in rows.items()}
    for key in _unbuilt(plan) - rows.keys():
        found[key] = (PartState.MISSING, "not built yet")
    for key, is_whole, text in _broken(product.partition.grain, promise, outcomes):
        if key not in rows:
            found[key] = (PartState.MISSING, text)
        elif is_whole:
            found[key] = (PartState.LATE, f"{count_of(rows[key], 'row')}, {text}")
    built = _rows(newest).keys() - rows.keys()
    found |= {key: (PartState.MISSING, "not published yet") for key in built if not failed}
    held = published.key.held.keys() if published else set()
    for key in held | (built if failed else set()):
        before = f"readers have {count_of(rows[key], 'row')} of before" if key in rows else ""
        found[key] = (PartState.HELD, before)
    return [PartView(part=key, state=found[key][0], text=found[key][1]) for key in sorted(found)]


def _rows(version: Version | None) -> dict[str, int]:
    """Return how many rows each part of a version has; {} for a version without parts."""
    parts = version.parts if version and version.in_parts else ()
    return {part.key: part.rows for part in parts}


def _unbuilt(plan: PlanView) -> set[str]:
    """Return the parts that a run would build."""
    if isinstance(plan.decision, BuildView | MaybeView) and plan.decision.parts:
        return set(plan.decision.parts.to_build)
    return set()


def _broken(
    grain: str, promise: FreshnessView | None, outcomes: Sequence[PromiseOutcome]
) -> Iterator[tuple[str, bool, str]]:
    """Yield the part that each broken promise is about, oldest promise first.

    With whether the promise is about the end of the part, and the promise in words.
    """
    broken: list[tuple[str, datetime | None]] = [
        (str(outcome.basis.get("reach", "")), outcome.due)
        for outcome in reversed(outcomes)
        if outcome.state.is_broken
    ]
    if promise and promise.is_broken:
        broken.append((promise.reach, promise.due))
    for reach, due in broken if grain else ():
        try:
            last = date.fromisoformat(reach)
        except ValueError:
            continue  # the promise is about the age of the data, not about a day
        key = key_of_day(last, grain)
        yield key, last_day(key, grain) == last, f"promised by {day(due)}"
