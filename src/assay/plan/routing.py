"""Which routes of the settings are told about a change of an incident, and who exactly."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.structs import replace

from assay.model import Consumer, Product, Source
from assay.plan.causes import Kind
from assay.plan.graph import Graph
from assay.plan.incidents import Change, Ending, Message, Notice, Step, readers_of, things_of
from assay.plan.names import nearest
from assay.routes import RESTORED, Route


class _Party(Struct, frozen=True):
    """A product or source that an incident concerns, and who may approve it if it awaits that."""

    domain: str
    owner: str
    consumers: Sequence[Consumer] = ()
    approvers: Sequence[str] = ()


def notices(
    step: Step,
    graph: Graph,
    routes: Iterable[Route],
    told_before: Sequence[str],
    *,
    message: Message,
    now: datetime,
) -> list[Notice]:
    """Return the messages about a step, one for each address that it goes to.

    `told_before` are the routes that were told of the incident: only they are told of its end.
    What goes on in another incident is told there.
    """
    if step.incident.ending is Ending.MERGED:
        return []
    parties = list(_parties(step, graph))
    return [
        Notice(route=route.name, event=step.change, at=now, message=addressed)
        for route in routes
        if (concerned := _concerned(step, route, parties, told_before))
        for addressed in _addressed(route, concerned, message)
    ]


def misfits(routes: Iterable[Route], graph: Graph) -> Iterator[str]:
    """Yield the conditions of routes that fit nothing that is declared, with what may be meant."""
    parties = [
        *(_party(product) for product in graph.products.values()),
        *(_party(source) for source in graph.sources.values()),
    ]
    for route in routes if parties else ():
        problems = [*_unfitting(route, parties)]
        if not problems and not any(_matches(route, party) for party in parties):
            problems = ["no product fits its owner, consumer and domain together"]
        yield from (f"notify.{route.name}: {problem}" for problem in problems)


def _unfitting(route: Route, parties: Sequence[_Party]) -> Iterator[str]:
    """Yield the patterns of a route that fit nothing."""
    consumers = [consumer for party in parties for consumer in party.consumers]
    for condition, patterns, values in (
        ("owner", route.owner, {party.owner for party in parties}),
        ("consumer", route.consumer, {text for c in consumers for text in (c.name, c.contact)}),
        ("domain", route.domain, {party.domain for party in parties}),
    ):
        for pattern in patterns:
            if not _any([pattern], [*values]):
                hint = nearest(pattern, sorted(values - {""}))
                yield f"{condition} {pattern!r} fits nothing{'. ' if hint else ''}{hint}"


def _party(declared: Product | Source) -> _Party:
    consumers = declared.consumers if isinstance(declared, Product) else ()
    return _Party(declared.name.partition(".")[0], declared.owner, consumers)


def _parties(step: Step, graph: Graph) -> Iterator[_Party]:
    incident = step.incident
    names = {*things_of(incident), *readers_of(incident, graph)}
    for name in sorted(names):
        declared: Product | Source | None = graph.products.get(name) or graph.sources.get(name)
        if declared is not None:
            party = _party(declared)
            if name == incident.cause.about and isinstance(declared, Product):
                party = replace(party, approvers=_approvers(step, declared))
            yield party


def _approvers(step: Step, product: Product) -> Sequence[str]:
    """Return who may approve a product; at the end of an incident, all who might have."""
    cause = step.incident.cause
    if cause.kind is not Kind.AWAITING:
        return ()
    return product.approvers if step.change is Change.CLOSED else cause.approvers


def _concerned(
    step: Step, route: Route, parties: Iterable[_Party], told_before: Sequence[str]
) -> list[_Party]:
    """Return those concerned by a step that a route is for; [] when it is not told of the step."""
    kind = step.incident.cause.kind
    if step.change is Change.CLOSED:
        if RESTORED not in route.when or route.name not in told_before:
            return []
        return [_only(route, party) for party in parties if _matches(route, party)] or [
            _Party("", "")
        ]
    is_warning = kind is Kind.AT_RISK or kind.is_counted
    if str(kind) not in route.when or (route.severity == "error" and is_warning):
        return []
    return [_only(route, party) for party in parties if _matches(route, party)]


def _matches(route: Route, party: _Party) -> bool:
    return (
        _any(route.owner, [party.owner])
        and _any(route.domain, [party.domain])
        and (not route.consumer or bool(_consumers(route, party)))
    )


def _only(route: Route, party: _Party) -> _Party:
    return replace(party, consumers=_consumers(route, party))


def _consumers(route: Route, party: _Party) -> list[Consumer]:
    return [c for c in party.consumers if _any(route.consumer, [c.name, c.contact])]


def _any(patterns: Sequence[str], values: Sequence[str]) -> bool:
    """Return whether a value fits a pattern; every value does where there are no patterns."""
    return not patterns or any(
        fnmatchcase(value.lower(), pattern.lower()) for value in values for pattern in patterns
    )


def _addressed(route: Route, parties: Sequence[_Party], message: Message) -> Iterator[Message]:
    """Yield the message for each address, and for each owner or contact that it names."""
    owners = {party.owner for party in parties}
    contacts = {consumer.contact for party in parties for consumer in party.consumers}
    for number, address in enumerate(route.to):
        recipients = {""}
        if "{owner}" in address:
            recipients = owners - {""}
        elif "{contact}" in address:
            recipients = contacts - {""}
        elif "{approver}" in address:
            recipients = {name for party in parties for name in party.approvers}
        if address.startswith("mailto") and recipients != {""}:
            recipients = {recipient for recipient in recipients if "@" in recipient}
        for recipient in sorted(recipients):
            yield Message(
                subject=message.subject, text=message.text, address=number, recipient=recipient
            )
