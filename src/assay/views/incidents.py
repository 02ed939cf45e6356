"""An incident as people read it: what, since when, who is affected, what to do, who was told."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from assay.catalog import Catalog
from assay.facts import short
from assay.model import Product, Source
from assay.plan.causes import TOO_MUCH_WORK, Kind
from assay.plan.graph import Graph
from assay.plan.incidents import Ending, Incident, Notice, readers_of
from assay.views.view import View

_TO_DO_ABOUT_WORK = (
    "`products materialize` builds them, the earliest promises first; `products freshness` says"
    " when each is likely there. If it happens again: start earlier, raise `jobs`, or promise a"
    " later time"
)


class ToldView(View, frozen=True, kw_only=True):
    """A message about an incident; `sent` is None until it is delivered.

    `retry_at` is when it is tried next: not before the message to the same address that is ahead.
    """

    route: str
    recipient: str
    event: str
    at: datetime
    sent: datetime | None
    tries: int
    retry_at: datetime | None
    error: str


class IncidentView(View, frozen=True, kw_only=True):
    """One incident; the durations are in seconds, and None for what did not happen yet.

    `over` are the waivers that would let its rules through, if they were not over, by rule.
    """

    id: int
    about: str
    kind: Kind
    began: datetime
    opened: datetime
    closed: datetime | None
    ending: Ending | None
    rules: tuple[str, ...]
    over: Mapping[str, str]
    parts: tuple[str, ...]
    error: str
    reason: str
    due: Mapping[str, str]
    waiting: tuple[str, ...]
    affects: tuple[str, ...]
    to_do: str
    told: tuple[ToldView, ...]
    seconds_to_detect: float
    seconds_to_tell: float | None
    seconds_to_repair: float | None


class Affected(Struct, frozen=True, kw_only=True):
    """A consumer that an incident affects: what it decides, and the products that it uses."""

    name: str
    decides: tuple[str, ...]
    products: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({'; '.join(self.decides)})" if self.decides else self.name


def affected_by(incident: Incident, graph: Graph) -> Sequence[Affected]:
    """Return the consumers that an incident affects, in the order of their products."""
    decides: dict[str, list[str]] = {}
    products: dict[str, list[str]] = {}
    for name in readers_of(incident, graph):
        for consumer in graph.products[name].consumers:
            products.setdefault(consumer.name, []).append(name)
            decides.setdefault(consumer.name, []).extend(
                [consumer.decides] * bool(consumer.decides)
            )
    return [
        Affected(name=name, decides=tuple(dict.fromkeys(decides[name])), products=tuple(names))
        for name, names in products.items()
    ]


def to_do(incident: Incident, graph: Graph) -> str:
    """Return what to do about an incident."""
    cause = incident.cause
    if cause.about == TOO_MUCH_WORK:
        return _TO_DO_ABOUT_WORK
    if cause.kind is Kind.TOO_OFTEN:
        return (
            "`products incidents --all` says what it waited for: let that come earlier, or promise"
            " less"
        )
    if cause.kind is Kind.BUDGET_SPENT:
        return (
            f"`products record {cause.about}` says what used it; until the period is over, let"
            " somebody else agree to what is waived or restated"
        )
    declared: Product | Source | None = graph.products.get(cause.about)
    declared = declared or graph.sources.get(cause.about)
    if isinstance(declared, Source):
        owner = f"ask {declared.owner} for it" if declared.owner else "ask whoever delivers it"
        return f"{owner}; `products materialize` goes on from there when it has come"
    match cause.kind:
        case Kind.AWAITING:
            name, version = cause.about, short(cause.version)
            return (
                f"`products show {name} --held` and `products diff {name} --held` show it; `products"
                f" approve {name} {version} --as WHO --because TEXT` agrees, and the next run"
                " publishes it"
            )
        case Kind.HELD_BACK if isinstance(declared, Product) and declared.files:
            return (
                f"`products show {cause.about} --held` shows what was delivered; ask"
                f" {declared.owner} to deliver it again, or correct the rule if the data is right,"
                " and run `products materialize`"
            )
        case Kind.HELD_BACK:
            return (
                f"`products show {cause.about} --held` shows what was built; correct the data, or"
                " the rule if the data is right, and run `products materialize`"
            )
        case Kind.FAILED:
            return f"`products retry` tries again; `products why {cause.about}` says what is next"
    return f"`products why {cause.about}` says what is next; `products materialize` builds it"


def incidents_of(
    catalog: Catalog, graph: Graph, environment: str, *, closed: int
) -> list[IncidentView]:
    """Return the open incidents, newest first, and the last closed ones, up to so many."""
    incidents = [*reversed(catalog.incidents.open(environment))]
    if closed:
        incidents += catalog.incidents.recent(environment, closed)
    notices = catalog.incidents.notices(incidents)
    return [incident_view(incident, notices[incident.id], graph) for incident in incidents]


def incident_view(incident: Incident, notices: Iterable[Notice], graph: Graph) -> IncidentView:
    """Return the view of an incident with the messages about it."""
    cause, told = incident.cause, tuple(_told_in_turn(notices))
    sent = min((notice.sent for notice in told if notice.sent), default=None)
    return IncidentView(
        id=incident.id,
        about=cause.about,
        kind=cause.kind,
        began=cause.since,
        opened=incident.opened,
        closed=incident.closed,
        ending=incident.ending,
        rules=cause.rules,
        over=cause.over,
        parts=cause.parts,
        error=cause.error,
        reason=cause.reason,
        due={name: due.isoformat() for name, due in cause.due.items()},
        waiting=cause.waiting,
        affects=tuple(map(str, affected_by(incident, graph))),
        to_do="" if incident.closed else to_do(incident, graph),
        told=told,
        seconds_to_detect=_seconds(cause.since, incident.opened) or 0.0,
        seconds_to_tell=_seconds(incident.opened, sent),
        seconds_to_repair=_seconds(incident.opened, incident.closed),
    )


def _told_in_turn(notices: Iterable[Notice]) -> Iterator[ToldView]:
    """Yield messages, oldest first; one that waits for another is not tried before that."""
    ahead: dict[tuple[str, int, str], datetime] = {}
    for notice in notices:
        at = notice.retry_at
        if at:
            key = notice.route, notice.message.address, notice.message.recipient
            at = ahead[key] = max(at, ahead.get(key, at))
        yield _told(replace(notice, retry_at=at))


def _told(notice: Notice) -> ToldView:
    return ToldView(
        route=notice.route,
        recipient=notice.message.recipient,
        event=str(notice.event),
        at=notice.at,
        sent=notice.sent,
        tries=notice.tries,
        retry_at=notice.retry_at,
        error=notice.error,
    )


def _seconds(start: datetime, end: datetime | None) -> float | None:
    return round(max(0.0, (end - start).total_seconds()), 3) if end else None
