"""Delivers messages to the addresses of the settings: at least once, within a time, and again later."""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from assay.build.workspace import Workspace
from assay.errors import UsageError
from assay.plan.incidents import Message, Notice
from assay.plan.routing import misfits
from assay.routes import PLACEHOLDERS, VARIABLE, Route
from assay.text import clean

LIMIT = 10.0  # seconds that one round of deliveries may take
_ANSWER = 8.0  # of these, until a server has answered: one that was too slow is told again
_LEASE = timedelta(minutes=2)  # after which a delivery that was not heard of is tried again
_PAUSES = [timedelta(minutes=minutes) for minutes in (1, 2, 5, 15, 60)]
_GIVEN_UP = timedelta(days=3)  # a message that is so old says nothing new
_LONGEST = 300  # characters of a reason
_MISSING = "telling people needs the package apprise"


class Delivery(Struct, frozen=True, kw_only=True):
    """A message that was sent, or could not be: `error` is '' when it was delivered."""

    route: str
    message: Message
    error: str = ""


def routes_of(workspace: Workspace) -> Sequence[Route]:
    """Return the routes that are told: those of the settings, and none in a trial environment."""
    is_trial = workspace.environment != workspace.config.environment
    return () if is_trial else workspace.config.notify


def misfits_of(workspace: Workspace) -> Iterator[str]:
    """Yield what is wrong with the routes that are told: conditions that fit nothing."""
    return misfits(routes_of(workspace), workspace.graph)


def deliver(
    workspace: Workspace,
    environ: Mapping[str, str] = os.environ,
    *,
    at_once: bool = False,
    limit: float = LIMIT,
) -> list[Delivery]:
    """Deliver the messages that are due, or `at_once` all that wait; return how each went.

    What cannot be delivered within the limit is tried again at a later call, after pauses that
    grow. Raises UsageError if apprise is not installed.
    """
    routes = {route.name: route for route in routes_of(workspace)}
    incidents, now = workspace.catalog.incidents, workspace.clock()
    until = now + _GIVEN_UP if at_once else now
    if not routes or not incidents.is_waiting(workspace.environment, until):
        return []
    _load()
    notices = incidents.claim(workspace.environment, until, until=now + _LEASE)
    errors = send_all([(routes.get(n.route), n.message) for n in notices], environ, limit)
    for notice, error in zip(notices, errors, strict=True):
        now = workspace.clock()
        sent = None if error else now
        incidents.settle(notice, sent=sent, retry_at=_again(notice, error, now), error=error)
    return [
        Delivery(route=notice.route, message=notice.message, error=error)
        for notice, error in zip(notices, errors, strict=True)
    ]


def try_routes(
    workspace: Workspace, routes: Iterable[Route], environ: Mapping[str, str]
) -> list[Delivery]:
    """Send a test message to every address, and to the first recipient of a placeholder."""
    _load()
    tries = [(route, message) for route in routes for message in _tests(workspace, route)]
    errors = send_all(tries, environ)
    return [
        Delivery(route=route.name, message=message, error=error)
        for (route, message), error in zip(tries, errors, strict=True)
    ]


def _tests(workspace: Workspace, route: Route) -> Iterator[Message]:
    text = f"A test of the route {route.name} of {workspace.config.root.name}. Nothing is wrong."
    products = workspace.graph.products.values()
    owners = sorted({product.owner for product in products})
    contacts = sorted({c.contact for product in products for c in product.consumers} - {""})
    approvers = sorted({name for product in products for name in product.approvers})
    people = dict(zip(PLACEHOLDERS, (owners, contacts, approvers), strict=True))
    for number, address in enumerate(route.to):
        names = next((people[p] for p in PLACEHOLDERS if p in address), [""])
        subject = f"Test: {route.name}"
        for name in names[:1]:
            yield Message(subject=subject, text=text, address=number, recipient=name)


def _again(notice: Notice, error: str, now: datetime) -> datetime | None:
    """Return when to try again; None for what was delivered, or is too old to be of use."""
    if not error or now - notice.at > _GIVEN_UP:
        return None
    return now + _PAUSES[min(notice.tries, len(_PAUSES)) - 1]


def send_all(
    messages: Sequence[tuple[Route | None, Message]],
    environ: Mapping[str, str],
    limit: float = LIMIT,
) -> list[str]:
    """Send messages side by side within so many seconds; return why each failed, '' for none."""
    answers: dict[int, str] = {}
    answered = threading.Condition()

    def work(number: int) -> None:
        route, message = messages[number]
        try:
            error = send(route, message, environ)
        except Exception as problem:  # a plugin may raise anything; its text may hold a secret
            error = f"{type(problem).__name__} while sending"
        with answered:
            answers[number] = error
            answered.notify()

    for number in range(len(messages)):  # no pool: that would wait for its threads at the end
        threading.Thread(target=work, args=(number,), daemon=True).start()
    with answered:
        answered.wait_for(lambda: len(answers) == len(messages), timeout=limit)
        late = f"no answer within {limit:g} s"
        return [answers.get(number, late) for number in range(len(messages))]


def send(route: Route | None, message: Message, environ: Mapping[str, str]) -> str:
    """Send one message; return why it failed, without secrets, or ''."""
    if route is None or message.address >= len(route.to):
        return "its route is no longer in [tool.products.notify]"
    template = route.to[message.address]
    names = [braced or bare for braced, bare in VARIABLE.findall(template)]
    if missing := [name for name in names if not environ.get(name)]:
        return f"the environment variable {missing[0]} is not set"
    secrets = [environ[name] for name in names]
    url = _url(template, message.recipient, environ)
    with _heard() as reasons:
        is_sent = _notify(url, message)
    if is_sent:
        return ""
    reason = "; ".join(reasons) or "apprise could not deliver it"
    return clean(_without(reason, [*secrets, url]))[:_LONGEST]  # cleaned, one is not recognized


def _url(template: str, recipient: str, environ: Mapping[str, str]) -> str:
    """Return the address with its variables and placeholders filled; values are quoted in it."""
    if variable := VARIABLE.fullmatch(template):
        template = environ[variable[1] or variable[2]]  # a whole address
    else:
        template = VARIABLE.sub(lambda m: quote(environ[m[1] or m[2]], safe=""), template)
    recipient = quote(recipient, safe="")
    for placeholder in PLACEHOLDERS:
        template = template.replace(placeholder, recipient)
    return template


def _without(text: str, secrets: Sequence[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        for form in (secret, quote(secret, safe="")):
            text = text.replace(form, "***")
    return text


# ------------------------------------------------------------------------------------ apprise


def _load() -> Any:
    """Import apprise, which takes half a second; UsageError when it is not installed."""
    try:
        import apprise
    except ModuleNotFoundError:
        raise UsageError(_MISSING, hint="pip install 'assay[notify]'") from None
    return apprise


def _notify(url: str, message: Message) -> bool:
    library = _load()
    asset = library.AppriseAsset(app_id="Assay", app_desc="Assay", app_url="", image_url_mask="")
    service = library.Apprise.instantiate(url, asset=asset)
    if service is None:
        return False
    service.socket_read_timeout = _ANSWER
    service.notify_format = library.NotifyFormat.TEXT
    # Not by an Apprise object, which would send in another thread: its log is heard in this one.
    return bool(
        service.notify(
            title=message.subject,
            body=message.text,
            notify_type=library.NotifyType.INFO,
            body_format=library.NotifyFormat.TEXT,
        )
    )


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect what apprise logs as a warning in this thread; it is not shown."""
    import logging

    reasons: list[str] = []
    thread = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                reasons.append(record.getMessage())

    listener, log = Listener(logging.WARNING), logging.getLogger("apprise")
    log.addHandler(listener)
    try:
        yield reasons
    finally:
        log.removeHandler(listener)
