"""The text of messages about incidents, in business words; of the data, it has only totals."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from assay.facts import Pointer, Version, short
from assay.model import Product, Source
from assay.plan.causes import TOO_MUCH_WORK, Cause, Kind
from assay.plan.graph import Graph
from assay.plan.incidents import Change, Ending, Incident, Message, Step, readers_of
from assay.text import clean
from assay.views.incidents import affected_by, to_do
from assay.views.words.numbers import count_of

_FEW = 5  # names that are listed
_MANY = 50  # the same, of products that are late together
_LONGEST = 300  # characters of a text from outside
_SUBJECT = 150

Published = Callable[[str], tuple[Pointer, Version] | None]
Changes = Callable[[str], Sequence[str]]

_ABOUT_DATA = {
    Kind.FAILED: "could not be built",
    Kind.AWAITING: "awaits approval: what was built meets its rules",
    Kind.HELD_BACK: "is held back: what was built does not meet its rules",
    Kind.LATE: "is late",
    Kind.MISSED: "was missed: the next promise fell due and the data is still not there",
    Kind.AT_RISK: "is at risk: it will probably be late",
    Kind.TOO_OFTEN: "was late too often this quarter",
    Kind.BUDGET_SPENT: "has spent its budget",
}
_OF_PROMISES = {
    Kind.AT_RISK: "At risk",
    Kind.LATE: "Late or at risk",
    Kind.MISSED: "Missed, late or at risk",
}
_ABOUT_SOURCES = _ABOUT_DATA | {
    Kind.FAILED: "cannot be read",
    Kind.AT_RISK: "is at risk: it is not there yet",
}


def message_of(
    step: Step, graph: Graph, published: Published, environment: str, changes: Changes
) -> Message:
    """Return what people are told of a step.

    `published` returns what readers see of a product, and `changes` the lines about what its version
    that is held back would change of that.
    """
    lines = [line for part in _parts(step, graph, published, changes) for line in part]
    lines.append(f"Incident {step.incident.id}, environment {environment}")
    return Message(subject=_subject(step, graph, published), text="\n".join(lines))


def lasting(seconds: float) -> str:
    """Return a length of time in its two largest units, such as "2 h 10 min"."""
    rest, texts = round(seconds), []
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count:
            texts.append("1 day" if (count, unit) == (1, "days") else f"{count} {unit}")
    return " ".join(texts[:2]) or "0 s"


# ------------------------------------------------------------------------------------ subject


def _subject(step: Step, graph: Graph, published: Published) -> str:
    incident = step.incident
    name, kind = _title(incident.cause), incident.cause.kind
    if step.change is Change.CLOSED:
        if incident.ending is Ending.UNDECLARED:
            return _short(f"No longer declared: {name}")
        return _short(f"Restored: {name}, after {_duration(incident)}")
    still = kind is Kind.AT_RISK or kind.is_counted or f"kind {kind}" in step.news
    head = str(kind).capitalize() if still else f"Still {kind}"
    if kind.is_counted:
        return _short(f"{head}: {name}; {incident.cause.reason}")
    seen = _figures(name, published, graph) if name in graph.products else ""
    return _short(f"{head}: {name}" + (f"; {seen}" if seen else ""))


def _title(cause: Cause) -> str:
    if cause.about == TOO_MUCH_WORK:
        return f"{count_of(len(cause.due), 'promise')}, {TOO_MUCH_WORK}"
    return cause.about


def _duration(incident: Incident) -> str:
    assert incident.closed
    return lasting((incident.closed - incident.opened).total_seconds())


def _short(subject: str) -> str:
    text = clean(subject)
    return text if len(text) <= _SUBJECT else f"{text[: _SUBJECT - 1]}…"


# --------------------------------------------------------------------------------------- text


def _parts(
    step: Step, graph: Graph, published: Published, changes: Changes
) -> Iterator[Sequence[str]]:
    incident, cause = step.incident, step.incident.cause
    if step.change is Change.CLOSED:
        yield [_ended(incident), ""]
    else:
        yield [_what(cause, graph), *_why(cause, graph), *map(_text, changes(cause.about)), ""]
        zoned = next(iter(cause.due)) if cause.about == TOO_MUCH_WORK else cause.about
        yield [f"Since: {_moment(cause.since, zoned, graph)}"]
    if not cause.kind.is_counted:
        yield _readers(incident, graph, published)
    yield _affected(incident, graph)
    if step.change is not Change.CLOSED:
        yield from _waiting(cause, graph)
        yield [f"What to do: {_text(to_do(incident, graph), 1000)}"]
    yield [""]


def _waiting(cause: Cause, graph: Graph) -> Iterator[Sequence[str]]:
    """Yield the products that wait, and who owns what went wrong."""
    names = cause.waiting if cause.about == TOO_MUCH_WORK else [cause.about]
    if cause.about == TOO_MUCH_WORK:
        yield [f"Products: {_listed(names, _MANY)}"]
    elif cause.waiting:
        yield [f"Waiting for it: {_listed(cause.waiting)}"]
    owners = sorted({d.owner for name in names if (d := _declared(name, graph)) and d.owner})
    if owners:
        yield [f"Owner: {_listed(owners, _MANY)}"]


def _ended(incident: Incident) -> str:
    name, kind = incident.cause.about, incident.cause.kind
    if name == TOO_MUCH_WORK:
        return (
            "There is no longer too much work: what was late is there, or has an incident of its"
            f" own. That took {_duration(incident)}."
        )
    if kind is Kind.TOO_OFTEN and incident.ending is Ending.RESTORED:
        return (
            f"The promise of {_text(name)} is counted anew: another quarter has begun, or another"
            " share is promised."
        )
    if kind is Kind.BUDGET_SPENT and incident.ending is Ending.RESTORED:
        return (
            f"The budget of {_text(name)} is counted anew: another period has begun, or another"
            " budget is declared."
        )
    if incident.ending is Ending.UNDECLARED:
        return f"{_text(name)} is no longer declared, so nothing is expected of it any more."
    was = "at risk" if kind is Kind.AT_RISK else f"{kind} for {_duration(incident)}"
    if kind.is_hard:
        return f"{_text(name)} is restored. It was {was}."
    return f"The data of {_text(name)} is there. It was {was}."


def _what(cause: Cause, graph: Graph) -> str:
    if cause.about == TOO_MUCH_WORK:
        promises = count_of(len(cause.due), "promise")
        return f"There is too much work at once. {_OF_PROMISES[cause.kind]}: {promises}."
    if cause.about in graph.products:
        return f"{_text(cause.about)} {_ABOUT_DATA[cause.kind]}."
    return f"The data of {_text(cause.about)} {_ABOUT_SOURCES[cause.kind]}."


def _why(cause: Cause, graph: Graph) -> Iterator[str]:
    product = graph.products.get(cause.about)
    because = {rule.text: rule.because for rule in product.contract.rules} if product else {}
    for rule in cause.rules:
        failing = cause.failing.get(rule)
        yield f"  - {_text(rule)}" + (f": {count_of(failing, 'row')}" if failing else "")
        if rule in cause.over:
            yield f"    {_text(cause.over[rule])}"
        if because.get(rule):
            yield f"    {_text(because[rule])}"
    if cause.awaits:
        yield f"  version {short(cause.version)} waits for {_text(cause.awaits)}"
    if cause.parts:
        yield f"  parts: {_listed(cause.parts)}; all others are published"
    if cause.error:
        yield f"  {_text(cause.error.partition(chr(10))[0])}"
    if cause.reason:
        yield f"  {_text(cause.reason)}"
    for name, due in list(cause.due.items())[:_FEW]:
        yield f"  promised: {_text(name)} by {_moment(due, name, graph)}"
    if len(cause.due) > _FEW:
        yield f"  and {len(cause.due) - _FEW} more"


def _readers(incident: Incident, graph: Graph, published: Published) -> list[str]:
    """Return what readers see, of the products that have consumers or are what it is about."""
    about = incident.cause.about
    names = [
        name
        for name in readers_of(incident, graph)
        if name == about or graph.products[name].consumers
    ]
    texts = [(name, _figures(name, published, graph)) for name in names]
    if incident.closed:
        texts = [(name, text.replace("readers", "readers now", 1)) for name, text in texts]
    lines = [f"In {_text(name)}, {text}." for name, text in texts[:_FEW]]
    if len(texts) > _FEW:
        lines.append(f"The same holds for {len(texts) - _FEW} more products.")
    return lines


def _figures(name: str, published: Published, graph: Graph) -> str:
    """Return what readers see of a product, such as "readers see Thursday's figures (…)"."""
    if (seen := published(name)) is None:
        return "readers have nothing yet"
    pointer, version = seen
    if as_of := version.data_as_of:
        return f"readers see {as_of:%A}'s figures (as of {as_of:%Y-%m-%d})"
    released = _moment(pointer.released_at, name, graph)
    return f"readers see version {short(version.id)}, published {released}"


def _affected(incident: Incident, graph: Graph) -> list[str]:
    lines = []
    for consumer in affected_by(incident, graph):
        decides = f" decides {_text('; '.join(consumer.decides))}" if consumer.decides else ""
        lines.append(f"  - {_text(consumer.name)}{decides} (from {_listed(consumer.products)})")
    return ["Affected:", *lines] if lines else []


def _declared(name: str, graph: Graph) -> Product | Source | None:
    return graph.products.get(name) or graph.sources.get(name)


def _moment(at: datetime, name: str, graph: Graph) -> str:
    """Return a moment in the time zone of a promise, or in UTC."""
    declared = _declared(name, graph)
    zone = declared.freshness.tz if declared and declared.freshness else "UTC"
    return f"{at.astimezone(ZoneInfo(zone)):%A %Y-%m-%d %H:%M} {zone}"


def _listed(names: Sequence[str], most: int = _FEW) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return _text(", ".join(names[:most]), _LONGEST * most // _FEW) + more


def _text(text: str, longest: int = _LONGEST) -> str:
    cleaned = clean(text)
    return cleaned if len(cleaned) <= longest else f"{cleaned[: longest - 1]}…"
