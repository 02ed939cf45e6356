"""What is wrong now, as causes: each with what waits for it, so that people are told once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from assay.decisions import AwaitApproval, Blocked, Held, Keep, Publish
from assay.events import Failed, Result, held_parts
from assay.facts import RuleResult, Status
from assay.plan.graph import Graph


class Kind(StrEnum):
    """What is wrong with something, the least first."""

    TOO_OFTEN = "too often late"
    BUDGET_SPENT = "budget spent"
    AT_RISK = "at risk"
    LATE = "late"
    MISSED = "missed"
    AWAITING = "awaiting approval"
    HELD_BACK = "held back"
    FAILED = "failed"

    @property
    def is_hard(self) -> bool:
        """Whether it is about data that cannot be published, and not about time."""
        return self in {Kind.AWAITING, Kind.HELD_BACK, Kind.FAILED}

    @property
    def is_counted(self) -> bool:
        """Whether it is about a whole period, beside what goes wrong in it."""
        return self in {Kind.TOO_OFTEN, Kind.BUDGET_SPENT}


TOO_MUCH_WORK = "too much work"  # what a cause is about that is neither a product nor a source

_ORDER = list(Kind)
_OF_STATES = {str(kind): kind for kind in (Kind.AT_RISK, Kind.LATE, Kind.MISSED)}


def worst(kinds: Iterable[Kind]) -> Kind:
    """Return the worst of some kinds."""
    return max(kinds, key=_ORDER.index)


class Cause(Struct, frozen=True, kw_only=True):
    """What is wrong with one product or source, and what waits for it.

    - `about`: the product or source; TOO_MUCH_WORK for what several have in common.
    - `since`: when it went wrong, as far as is known.
    - `rules`: the names of the rules that hold it back.
    - `failing`: how many rows fail these rules, where rows are counted.
    - `over`: the waivers that would let these rules through, if they were not over, in words.
    - `parts`: the parts that are held back or failed; () for the whole.
    - `error`: why it failed.
    - `reason`: why it is late, or may be.
    - `version`: the version that awaits approval; `approvers` may still approve it, and `awaits`
      says in words how many have to.
    - `due`: the promises that are at risk or broken because of it, by product or source.
    - `waiting`: the products that wait for it, or are late because of it, sorted.
    - `is_work`: whether it is only that a product is not built yet, although it could be.
    """

    about: str
    kind: Kind
    since: datetime
    rules: tuple[str, ...] = ()
    failing: Mapping[str, int] = field(default_factory=dict)
    over: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    error: str = ""
    reason: str = ""
    due: Mapping[str, datetime] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    is_work: bool = False
    version: str = ""
    approvers: tuple[str, ...] = ()
    awaits: str = ""

    @property
    def key(self) -> str:
        """What tells a cause from others: a product that is late too often may be late as well."""
        return f"{self.about}: {self.kind}" if self.kind.is_counted else self.about


class _Promise(Protocol):
    @property
    def due(self) -> datetime: ...


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def is_work(self) -> bool: ...


class _Window(Protocol):
    def reached(self, promise: Any, as_of: datetime | None) -> bool: ...


class Standing(Protocol):
    """How the promise of a product or source stands, as `plan.standing` says."""

    @property
    def state(self) -> str: ...
    @property
    def window(self) -> _Window: ...
    @property
    def as_of(self) -> datetime | None: ...
    @property
    def promise(self) -> _Promise | None: ...
    @property
    def causes(self) -> Sequence[_Named]: ...
    @property
    def inherited_from(self) -> str: ...


class Present(Struct, frozen=True, kw_only=True):
    """What is known at one moment.

    - `results`: how products came out, of those that were looked at.
    - `missing`: the sources that cannot be read, each with why.
    - `standings`: how promises stand, by product or source.
    - `rules_of_parts`: the rules for which parts of products are held back.
    - `under`: what is late so often that `at_least` cannot be met any more, each with how often.
    - `spent`: the products whose budget is spent, each with how much of it is used.
    """

    graph: Graph
    now: datetime
    results: Mapping[str, Result] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    standings: Mapping[str, Standing] = field(default_factory=dict)
    rules_of_parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    under: Mapping[str, str] = field(default_factory=dict)
    spent: Mapping[str, str] = field(default_factory=dict)


def causes(present: Present, noted: Iterable[Cause] = ()) -> Mapping[str, Cause]:
    """Return the causes of everything that is wrong now, by their keys.

    `noted` are the causes that are known of already. One of a product that was not looked at now
    goes on, and so does one that puts a promise at risk, until that promise is kept or falls due.
    """
    noted = list(noted)
    hard = _hard(present, noted)
    roots = _roots(present, hard)
    piles = {
        name: _Pile(cause.kind, cause.since, set(cause.waiting)) for name, cause in hard.items()
    }
    for name, names in roots.items():
        for root in names:
            piles[root].waiting.add(name)
    crowded = {pair for c in noted if c.about == TOO_MUCH_WORK for pair in c.due.items()}
    for name, kind, due in _overdue(present, noted):
        since = present.now if due is None or kind is Kind.AT_RISK else due
        fallback = TOO_MUCH_WORK if (name, due) in crowded else name
        for root, reason in _roots_of_time(name, present, hard, roots, fallback).items():
            pile = piles.setdefault(root, _Pile(kind, since, is_work=root not in hard))
            if root not in hard:
                pile.since = min(pile.since, since)
            pile.add(name, kind, due, reason)
    _merge(piles, hard, present.graph)
    now_wrong = {name: _cause(name, pile, hard.get(name)) for name, pile in piles.items()}
    counted = [
        Cause(about=name, kind=kind, since=present.now, reason=how_often)
        for kind, found in ((Kind.TOO_OFTEN, present.under), (Kind.BUDGET_SPENT, present.spent))
        for name, how_often in found.items()
    ]
    return now_wrong | {cause.key: cause for cause in counted}


class _Reason(Struct, frozen=True):
    """Why something is late, and whether that is only work that is not done yet."""

    text: str = ""
    is_work: bool = False


class _Pile(Struct):
    """What is collected about a cause."""

    kind: Kind
    since: datetime
    waiting: set[str] = field(default_factory=set)
    due: dict[str, datetime] = field(default_factory=dict)
    reason: str = ""
    is_work: bool = False

    def add(self, name: str, kind: Kind, due: datetime | None, reason: _Reason) -> None:
        """Add that the promise of `name` is at risk or broken because of the cause."""
        self.kind = worst([self.kind, kind])
        self.waiting.add(name)
        self.reason = self.reason or reason.text
        self.is_work = self.is_work and reason.is_work
        if due:
            self.due[name] = due


def _merge(piles: dict[str, _Pile], hard: Mapping[str, Cause], graph: Graph) -> None:
    """Put what is late because of something upstream to the cause of that."""
    for name in [name for name in graph.order if name in piles and name not in hard]:
        upstream = graph.upstream(name)
        above = [p for other, p in piles.items() if other in upstream and name in p.waiting]
        if above:
            pile = piles.pop(name)
            for other in above:
                other.kind = worst([other.kind, pile.kind])
                other.waiting |= pile.waiting
                other.due |= pile.due


def _cause(name: str, pile: _Pile, hard: Cause | None) -> Cause:
    return replace(
        hard or Cause(about=name, kind=pile.kind, since=pile.since),
        kind=pile.kind,
        since=pile.since,
        reason=pile.reason,
        due=dict(sorted(pile.due.items())),
        waiting=tuple(sorted(pile.waiting - {name})),
        is_work=pile.is_work,
    )


# ------------------------------------------------------------------------------------- data


def _hard(present: Present, noted: Sequence[Cause]) -> dict[str, Cause]:
    """Return what failed or is held back by itself."""
    graph, now = present.graph, present.now
    hard = {
        name: Cause(about=name, kind=Kind.FAILED, since=now, error=why)
        for name, why in present.missing.items()
        if name in graph.below
    }
    for name, result in present.results.items():
        if cause := _of_result(result, now):
            rules = cause.rules or present.rules_of_parts.get(name, ())
            hard[name] = replace(cause, rules=rules)
    for cause in noted:
        name = cause.about
        if cause.kind.is_hard and name in graph.products and not _is_known(name, present):
            hard[name] = replace(cause, due={}, waiting=_still_waiting(cause, present))
    return hard


def _blocked_since(judged: datetime, failed: Sequence[RuleResult]) -> datetime:
    """Return since when these rules hold a version back: if all were waived, since that ended."""
    ended = [result.over.at for result in failed if result.over and result.over.at]
    return max(judged, min(ended)) if ended and len(ended) == len(failed) else judged


def _of_result(result: Result, now: datetime) -> Cause | None:
    name = result.product
    match result.end:
        case Failed(error=error):
            return Cause(about=name, kind=Kind.FAILED, since=now, error=error)
        case AwaitApproval(version=version, verdict=verdict) as end:
            return Cause(
                about=name,
                kind=Kind.AWAITING,
                since=verdict.judged_at,
                version=version.id,
                approvers=end.approvers,
                awaits=end.waits_for,
            )
        case Blocked(verdict=verdict):
            failed = [r for r in verdict.results if r.status in {Status.FAILED, Status.ERROR}]
            return Cause(
                about=name,
                kind=Kind.HELD_BACK,
                since=_blocked_since(verdict.judged_at, failed),
                rules=tuple(sorted(r.text for r in failed)),
                failing={r.text: r.failing for r in failed if r.failing is not None},
                over={r.text: r.over.text for r in failed if r.over},
            )
    if result.unbuilt:
        parts = tuple(sorted(result.unbuilt))
        error = result.unbuilt[parts[0]].error
        return Cause(about=name, kind=Kind.FAILED, since=now, parts=parts, error=error)
    if parts := tuple(sorted(held_parts(result.end))):
        return Cause(about=name, kind=Kind.HELD_BACK, since=now, parts=parts)
    return None


def _is_known(name: str, present: Present) -> bool:
    """Return whether it is known how a product came out."""
    result = present.results.get(name)
    came_out = Blocked | AwaitApproval | Failed | Held | Keep | Publish
    return result is not None and isinstance(result.end, came_out)


def _still_waiting(cause: Cause, present: Present) -> tuple[str, ...]:
    names = present.graph.products.keys() & set(cause.waiting)
    return tuple(sorted(name for name in names if not _is_known(name, present)))


def _roots(present: Present, hard: Mapping[str, Cause]) -> dict[str, frozenset[str]]:
    """Return for everything that failed or is held the causes that it waits for."""
    roots = {name: frozenset({name}) for name in hard}
    held = {
        name: end.by
        for name in present.graph.order
        if name in present.results and isinstance(end := present.results[name].end, Held)
    }
    changed = True
    while changed:  # in the order of dependence; only products released together need it again
        changed = False
        for name, by in held.items():
            known = frozenset[str]().union(*(roots.get(other, frozenset()) for other in by))
            if known - roots.get(name, frozenset()):
                roots[name] = roots.get(name, frozenset()) | known
                changed = True
    return roots


# ------------------------------------------------------------------------------------- time


def _overdue(
    present: Present, noted: Iterable[Cause]
) -> Iterator[tuple[str, Kind, datetime | None]]:
    """Yield what is at risk, late or missed, with the promise; inherited windows do not count."""
    feared = {(name, due) for cause in noted for name, due in cause.due.items()}
    for name, standing in present.standings.items():
        if standing.inherited_from:
            continue
        due = standing.promise.due if standing.promise else None
        kind = _OF_STATES.get(standing.state)
        if kind is None and due and due > present.now and (name, due) in feared:
            reached = standing.window.reached(standing.promise, standing.as_of)
            kind = None if reached else Kind.AT_RISK  # that it is at risk is told once
        if kind:
            yield name, kind, due


def _roots_of_time(
    name: str,
    present: Present,
    hard: Mapping[str, Cause],
    roots: Mapping[str, frozenset[str]],
    fallback: str,
) -> Mapping[str, _Reason]:
    """Return the causes of a late product or source, each with why; `fallback` if none is known."""
    if name in roots:
        return dict.fromkeys(roots[name], _Reason())
    reasons: dict[str, _Reason] = {}
    own: _Reason | None = None
    for cause in present.standings[name].causes:
        reason = _Reason(cause.text, cause.is_work)
        if cause.name == name or not _is_declared(cause.name, present.graph):
            own = own or reason
            continue
        for root in roots.get(cause.name) or {cause.name}:
            reasons.setdefault(root, reason)
    if reasons or own:
        return reasons or {name: own or _Reason()}
    above = dict.fromkeys(_above(name, present, hard), _Reason())
    return above or {fallback: _Reason(is_work=fallback == TOO_MUCH_WORK)}


def _above(name: str, present: Present, hard: Mapping[str, Cause]) -> list[str]:
    """Return what is wrong upstream of something late, if its standing names no cause."""
    if present.standings[name].causes or name not in present.graph.products:
        return []
    upstream = sorted(present.graph.upstream(name))
    late = [other for other in upstream if _is_late(other, present)]
    return [other for other in upstream if other in hard] or [
        other for other in late if not present.graph.upstream(other).intersection(late)
    ]


def _is_late(name: str, present: Present) -> bool:
    standing = present.standings.get(name)
    return bool(standing and not standing.inherited_from and standing.state in _OF_STATES)


def _is_declared(name: str, graph: Graph) -> bool:
    return name in graph.products or name in graph.sources
