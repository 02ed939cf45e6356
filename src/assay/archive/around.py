"""What happened around a version: promises that fell due, what was wrong, and who was told of it."""

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct

from assay.archive.form import FlowRecord, IncidentRecord, MessageRecord, PromiseRecord
from assay.build.workspace import Workspace
from assay.errors import AssayError
from assay.plan.flows import EVERY, ROWS, Place
from assay.plan.incidents import Incident, Notice
from assay.sensitive import masked
from assay.views.column_lineage import lineage_around

_MOST = 1000  # incidents that are looked at
_BEFORE = 5  # promises that fell due before the release


class Period(Struct, frozen=True):
    """From when the version was built until it was replaced; `end` is None while readers see it."""

    start: datetime
    released: datetime
    end: datetime | None

    def has(self, start: datetime, end: datetime | None) -> bool:
        """Return whether something that lasted from start to end was in it, at least partly."""
        return (self.end is None or start < self.end) and (end is None or end >= self.start)


def promises(workspace: Workspace, name: str, period: Period) -> tuple[PromiseRecord, ...]:
    """Return the promises of a product around a release: the last before it, and those after."""
    found = sorted(
        workspace.catalog.promises.of(workspace.environment, name), key=lambda each: each.due
    )
    before = [each for each in found if each.due <= period.released][-_BEFORE:]
    after = [each for each in found if each.due > period.released and period.has(each.due, None)]
    return tuple(
        PromiseRecord(
            name=each.name, due=each.due, state=str(each.state), came=each.came, cause=each.cause
        )
        for each in [*before, *after]
    )


def incidents(
    workspace: Workspace, names: Collection[str], period: Period
) -> tuple[IncidentRecord, ...]:
    """Return what was wrong in a period with any of these, and who was told of it."""
    recorded, environment = workspace.catalog.incidents, workspace.environment
    found = [
        incident
        for incident in [*recorded.open(environment), *recorded.recent(environment, _MOST)]
        if incident.cause.about in names and period.has(incident.opened, incident.closed)
    ]
    notices = recorded.notices(found)
    return tuple(
        IncidentRecord(
            about=incident.cause.about,
            kind=str(incident.cause.kind),
            opened=incident.opened,
            closed=incident.closed,
            rules=incident.cause.rules,
            parts=incident.cause.parts,
            error=masked(incident.cause.error),
            reason=incident.cause.reason,
            messages=tuple(map(_message, notices.get(incident.id, ()))),
        )
        for incident in sorted(found, key=_order)
    )


def _order(incident: Incident) -> tuple[datetime, int]:
    return incident.opened, incident.id


def _message(notice: Notice) -> MessageRecord:
    return MessageRecord(
        at=notice.at,
        route=notice.route,
        to=notice.message.recipient,
        event=str(notice.event),
        subject=masked(notice.message.subject),
        sent=notice.sent,
        error=masked(notice.error),
    )


def lineage(workspace: Workspace, name: str) -> tuple[tuple[FlowRecord, ...], str]:
    """Return how columns flow into those of a product, and why that is not known ('': it is)."""
    graph = workspace.graph
    around = {name} | graph.upstream(name)
    try:
        flows = lineage_around(workspace, {n for n in around if n in graph.products})
    except AssayError as error:
        return (), error.what
    table = flows.tables.get(name)
    if table is None:
        return (), "the product is not declared"
    columns = [Place(name, column.name) for column in table.columns] or [Place(name, EVERY)]
    edges = flows.upstream(*columns, Place(name, ROWS))
    records = {
        FlowRecord(
            source=edge.source.of,
            source_column=edge.source.column,
            target=edge.target.of,
            target_column=edge.target.column,
            how=tuple(map(str, edge.how)),
        )
        for edge in edges
    }
    return tuple(sorted(records, key=_place)), table.unknown


def _place(flow: FlowRecord) -> tuple[str, ...]:
    return flow.target, flow.target_column, flow.source, flow.source_column, *flow.how
