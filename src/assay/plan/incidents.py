"""Incidents: what is wrong now, by cause, and what is new about that since people were told."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from assay.plan.causes import TOO_MUCH_WORK, Cause
from assay.plan.graph import Graph


class Change(StrEnum):
    """What happened to an incident; `noted` is what nobody has to be told about."""

    OPENED = "opened"
    CHANGED = "changed"
    CLOSED = "closed"
    NOTED = "noted"


class Ending(StrEnum):
    """How an incident ended.

    - `restored`: the cause is gone.
    - `merged`: something else is the cause now, with an incident of its own.
    - `undeclared`: the product or source is no longer declared.
    """

    RESTORED = "restored"
    MERGED = "merged"
    UNDECLARED = "undeclared"


class Incident(Struct, frozen=True, kw_only=True):
    """One cause, from when it was noticed until it ended.

    - `id`: its number in the catalog; 0 before it is recorded.
    - `cause`: what was last known of it.
    - `told`: everything about it that people were told, in the words of `facts_of`.
    """

    id: int = 0
    cause: Cause
    opened: datetime
    closed: datetime | None = None
    ending: Ending | None = None
    told: tuple[str, ...] = ()


class Message(Struct, frozen=True, kw_only=True):
    """What people are told.

    - `address`: which of the addresses of its route it goes to, from 0.
    - `recipient`: what takes the place of `{owner}`, `{contact}` or `{approver}` there; '' for neither.
    """

    subject: str
    text: str
    address: int = 0
    recipient: str = ""


class Notice(Struct, frozen=True, kw_only=True):
    """A message about an incident for one address of a route of the settings.

    - `id`: its number in the catalog; 0 before it is recorded.
    - `at`: when it was written.
    - `retry_at`: when it is to be tried next; None once it is delivered or given up.
    - `sent`: when it was delivered.
    - `error`: why the last try failed; '' for none.
    """

    id: int = 0
    incident: int = 0
    route: str
    event: Change
    at: datetime
    message: Message
    retry_at: datetime | None = None
    sent: datetime | None = None
    tries: int = 0
    error: str = ""


class Step(Struct, frozen=True, kw_only=True):
    """A change of one incident; `news` are the facts that are new with it."""

    change: Change
    incident: Incident
    news: frozenset[str] = field(default_factory=frozenset)


def facts_of(cause: Cause) -> frozenset[str]:
    """Return what people are told of a cause: each fact is told once in an incident.

    The text of an error is no fact, only its kind: texts may name another moment with every run.
    """
    facts = {f"kind {cause.kind}"}
    facts |= {f"rule {rule}" for rule in cause.rules}
    facts |= {f"part {part}" for part in cause.parts}
    facts |= {f"product {name}" for name in cause.waiting}
    if cause.version:  # each is to be approved by itself
        facts.add(f"version {cause.version}")
    if cause.error:
        facts.add(f"error {cause.error.partition(':')[0]}")
    return frozenset(facts)


def steps(
    open_now: Iterable[Incident], causes: Mapping[str, Cause], graph: Graph, now: datetime
) -> list[Step]:
    """Return what changes the open incidents into those of the causes of now.

    Nothing changes when the causes are those that were noted last.
    """
    by_key = {incident.cause.key: incident for incident in open_now}
    changed = [
        step
        for key, incident in by_key.items()
        if (step := _next(incident, causes.get(key), causes, graph, now))
    ]
    opened = [
        Incident(cause=cause, opened=now, told=tuple(sorted(facts_of(cause))))
        for key, cause in causes.items()
        if key not in by_key
    ]
    return changed + [
        Step(change=Change.OPENED, incident=incident, news=frozenset(incident.told))
        for incident in opened
    ]


def _next(
    incident: Incident,
    cause: Cause | None,
    causes: Mapping[str, Cause],
    graph: Graph,
    now: datetime,
) -> Step | None:
    if cause is None:
        ending = _ending(incident.cause, causes.values(), graph)
        ended = replace(incident, closed=max(now, incident.opened), ending=ending)
        return Step(change=Change.CLOSED, incident=ended)
    cause = replace(cause, since=min(cause.since, incident.cause.since))
    if cause == incident.cause:
        return None
    news = facts_of(cause).difference(incident.told)
    incident = replace(incident, cause=cause, told=tuple(sorted(news.union(incident.told))))
    return Step(change=Change.CHANGED if news else Change.NOTED, incident=incident, news=news)


def _ending(before: Cause, causes: Iterable[Cause], graph: Graph) -> Ending:
    others = [cause for cause in causes if not cause.kind.is_counted]
    wrong = {name for cause in others for name in (cause.about, *cause.waiting)}
    if before.about == TOO_MUCH_WORK:  # the end is told if any of it was built
        return Ending.MERGED if wrong.issuperset(before.waiting) else Ending.RESTORED
    if before.about not in graph.products and before.about not in graph.sources:
        return Ending.UNDECLARED
    if before.kind.is_counted:
        return Ending.RESTORED
    return Ending.MERGED if before.about in wrong else Ending.RESTORED


def things_of(incident: Incident) -> frozenset[str]:
    """Return the products and the source that people were told of in an incident."""
    told = {fact.removeprefix("product ") for fact in incident.told if fact.startswith("product ")}
    return frozenset({incident.cause.about, *incident.cause.waiting, *told} - {TOO_MUCH_WORK})


def readers_of(incident: Incident, graph: Graph) -> Sequence[str]:
    """Return the products whose readers are affected, in the order of dependence.

    What is held back or has failed affects everything downstream; what is late only what is late
    because of it.
    """
    names: Collection[str] = things_of(incident)
    if incident.cause.kind.is_hard:
        names = {*names, *graph.downstream(incident.cause.about)}
    return [name for name in graph.order if name in names]
