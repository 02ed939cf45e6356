"""Incidents in the catalog, and the messages about them until they are delivered."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, convert
from msgspec.json import decode
from msgspec.structs import replace

from assay.catalog.database import Reader, Writer, rows_in
from assay.catalog.rows import decoded, moment_of, moment_or_none, stamp
from assay.catalog.transactions import Transactions
from assay.jsonform import encode
from assay.plan.causes import Cause
from assay.plan.incidents import Change, Ending, Incident, Message, Notice, Step

KEPT_FOR = timedelta(days=365)  # how long a closed incident is kept
LONGEST_WAIT = timedelta(hours=2)  # of a message; pauses between tries are shorter
MOST_KEPT = 1000  # closed incidents of an environment
_INCIDENT = "id, about, opened, closed, ending, cause, told"
_NOTICE = (
    "n.id, n.incident, n.route, n.event, n.at, n.retry_at, n.sent, n.tries, n.error, n.message"
)

Decide = Callable[[Sequence[Incident]], Sequence[Step]]
Write = Callable[[Step, Sequence[str]], Sequence[Notice]]


class _IncidentRow(Struct, array_like=True):
    """The values of _INCIDENT."""

    id: int
    about: str
    opened: str
    closed: str | None
    ending: str
    cause: str
    told: str


class _NoticeRow(Struct, array_like=True):
    """The values of _NOTICE."""

    id: int
    incident: int
    route: str
    event: str
    at: str
    retry_at: str | None
    sent: str | None
    tries: int
    error: str
    message: str


class Incidents:
    """What the catalog records of incidents and the messages about them."""

    def __init__(self, transactions: Transactions) -> None:
        self._database, self._write = transactions.database, transactions.write

    def open(self, environment: str) -> Sequence[Incident]:
        """Return the open incidents of an environment, oldest first."""
        with decoded(self._database.name):
            return _open(self._database, environment)

    def recent(self, environment: str, limit: int) -> Sequence[Incident]:
        """Return the newest closed incidents of an environment, newest first."""
        condition = "environment = ? and closed is not null order by closed desc, id desc limit ?"
        with decoded(self._database.name):
            return _incidents(self._database, condition, [environment, limit])

    def notices(self, incidents: Sequence[Incident]) -> Mapping[int, Sequence[Notice]]:
        """Return the messages about incidents, oldest first, by the number of the incident."""
        query = f"select {_NOTICE} from notices n where n.incident in"
        ids = [incident.id for incident in incidents]
        by_incident: dict[int, list[Notice]] = {id: [] for id in ids}
        with decoded(self._database.name):
            for notice in map(_notice_of, rows_in(self._database, query, ids)):
                by_incident[notice.incident].append(notice)
        return {id: sorted(notices, key=lambda n: n.id) for id, notices in by_incident.items()}

    def change(self, environment: str, decide: Decide, write: Write) -> Sequence[Step]:
        """Change the open incidents, and queue the messages about that, in one transaction.

        `decide` says what changes of the incidents that are open; it is asked again inside the
        transaction, so that two processes never open the same one. `write` returns the messages
        about a step, given the routes that were told of its incident before.
        """
        if not decide(self.open(environment)):
            return ()

        def work(writer: Writer) -> Sequence[Step]:
            steps = decide(_open(writer, environment))
            return [_take(writer, environment, step, write) for step in steps]

        return self._write(work)

    # ------------------------------------------------------------------------------- delivery

    def is_waiting(self, environment: str, now: datetime) -> bool:
        """Return whether there is a message to deliver now."""
        with decoded(self._database.name):
            return bool(_waiting(self._database, environment, now))

    def claim(self, environment: str, now: datetime, *, until: datetime) -> Sequence[Notice]:
        """Return the messages to deliver now, oldest first, and leave them to this process.

        Of each incident, an address gets one message after another: only the oldest is returned.
        Another process tries again from `until`, if it is not recorded by then how it went: a
        message is delivered at least once.
        """

        def work(writer: Writer) -> Sequence[Notice]:
            notices = _waiting(writer, environment, now)
            query = "update notices set retry_at = ?, tries = tries + 1 where id = ?"
            writer.many(query, [(stamp(until), notice.id) for notice in notices])
            return [replace(notice, tries=notice.tries + 1) for notice in notices]

        return self._write(work)

    def settle(
        self, notice: Notice, *, sent: datetime | None, retry_at: datetime | None, error: str = ""
    ) -> None:
        """Record how the delivery of a message went."""
        values = [sent and stamp(sent), retry_at and stamp(retry_at), error, notice.id]
        query = "update notices set sent = ?, retry_at = ?, error = ? where id = ?"
        self._write(lambda writer: writer.execute(query, values))


def old_incidents(reader: Reader, now: datetime) -> list[int]:
    """Return the closed incidents that need not be kept.

    The one with the highest number stays: no number is given twice.
    """
    seen: dict[str, int] = {}
    old = []
    query = (
        "select id, environment, closed from incidents where closed is not null"
        " order by closed desc, id desc"
    )
    for id, environment, closed in reader.rows(query):
        seen[environment] = seen.get(environment, 0) + 1
        if seen[environment] > MOST_KEPT or closed < stamp(now - KEPT_FOR):
            old.append(id)
    [(last,)] = reader.rows("select max(id) from incidents")
    return [id for id in old if id != last]


def forget(writer: Writer, incidents: Sequence[int]) -> None:
    """Remove incidents, and the messages about them."""
    writer.many("delete from notices where incident = ?", [(id,) for id in incidents])
    writer.many("delete from incidents where id = ?", [(id,) for id in incidents])


# --------------------------------------------------------------------------------------- rows


def _open(reader: Reader, environment: str) -> list[Incident]:
    return _incidents(reader, "environment = ? and closed is null order by id", [environment])


def _incidents(reader: Reader, condition: str, values: Sequence[Any]) -> list[Incident]:
    rows = reader.rows(f"select {_INCIDENT} from incidents where {condition}", values)
    return [_incident_of(row) for row in rows]


def _take(writer: Writer, environment: str, step: Step, write: Write) -> Step:
    """Record a step and queue its messages; return it with the number of its incident."""
    incident = step.incident
    routes: list[str] = []
    if step.change is Change.OPENED:
        [(last,)] = writer.rows("select coalesce(max(id), 0) from incidents")
        incident = replace(incident, id=last + 1)
        row = [incident.id, environment, *_values(incident)]
        writer.execute("insert into incidents values (?, ?, ?, ?, ?, ?, ?, ?)", row)
    else:
        _, _, closed, ending, cause, told = _values(incident)
        writer.execute(
            "update incidents set closed = ?, ending = ?, cause = ?, told = ? where id = ?",
            [closed, ending, cause, told, incident.id],
        )
        query = "select distinct route from notices where incident = ? order by route"
        routes = [route for (route,) in writer.rows(query, [incident.id])]
    step = replace(step, incident=incident)
    if step.change is not Change.NOTED:
        _queue(writer, [replace(n, incident=incident.id) for n in write(step, routes)])
    return step


def _values(incident: Incident) -> list[Any]:
    """Return the values of a row after the environment."""
    return [
        incident.cause.key,
        stamp(incident.opened),
        stamp(incident.closed) if incident.closed else None,
        incident.ending or "",
        encode(incident.cause).decode(),
        encode(incident.told).decode(),
    ]


def _queue(writer: Writer, notices: Sequence[Notice]) -> None:
    [(last,)] = writer.rows("select coalesce(max(id), 0) from notices")
    rows = [
        [id, n.incident, n.route, n.event, stamp(n.at), stamp(n.at), encode(n.message).decode()]
        for id, n in enumerate(notices, last + 1)
    ]
    writer.many(
        "insert into notices (id, incident, route, event, at, retry_at, message, tries, error)"
        " values (?, ?, ?, ?, ?, ?, ?, 0, '')",
        rows,
    )


def _waiting(reader: Reader, environment: str, now: datetime) -> list[Notice]:
    """Return the messages that are due, of each incident and address only the oldest.

    No message waits for longer than pauses last, whatever is recorded.
    """
    query = (
        f"select {_NOTICE} from notices n join incidents i on i.id = n.incident"
        " where n.retry_at is not null and i.environment = ? order by n.id"
    )
    oldest: dict[tuple[int, str, int, str], Notice] = {}
    for notice in map(_notice_of, reader.rows(query, [environment])):
        message = notice.message
        key = (notice.incident, notice.route, message.address, message.recipient)
        oldest.setdefault(key, notice)
    return [
        notice
        for notice in oldest.values()
        if notice.retry_at and not now < notice.retry_at <= now + LONGEST_WAIT
    ]


def _incident_of(row: Sequence[Any]) -> Incident:
    fields = convert(row, _IncidentRow)
    return Incident(
        id=fields.id,
        cause=decode(fields.cause, type=Cause),
        opened=moment_of(fields.opened),
        closed=moment_or_none(fields.closed),
        ending=Ending(fields.ending) if fields.ending else None,
        told=decode(fields.told, type=tuple[str, ...]),
    )


def _next_try(fields: _NoticeRow) -> datetime | None:
    """Return when a message is tried next; a moment that is none does not keep it from people."""
    try:
        return moment_or_none(fields.retry_at)
    except ValueError:
        return moment_of(fields.at)


def _notice_of(row: Sequence[Any]) -> Notice:
    fields = convert(row, _NoticeRow)
    return Notice(
        id=fields.id,
        incident=fields.incident,
        route=fields.route,
        event=Change(fields.event),
        at=moment_of(fields.at),
        message=decode(fields.message, type=Message),
        retry_at=_next_try(fields),
        sent=moment_or_none(fields.sent),
        tries=fields.tries,
        error=fields.error,
    )
