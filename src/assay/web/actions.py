"""What people may do on a page, if whoever serves the pages allows it: approve, and waive."""

from collections.abc import Collection, Mapping
from datetime import date
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from assay.errors import AssayError, UsageError
from assay.text import clean
from assay.views.approvals import approve
from assay.views.waivers import Wanted, waive
from assay.web.look import Look, product_at, workspace_of

ACTIONS = ("approve", "waive")
_LONGEST = 64 * 1024  # bytes of a form
_USER = 200  # characters of a name


class Refused(AssayError):
    """Somebody asked for what they may not do."""


class Allowed(Struct, frozen=True, kw_only=True):
    """What may be done on pages, and how it is known who does it.

    - `actions`: some of ACTIONS.
    - `user_header`: the header in which a reverse proxy names the user.
    - `proxies`: the addresses that such a header is believed from.
    """

    actions: frozenset[str] = frozenset()
    user_header: str = ""
    proxies: frozenset[str] = frozenset()


def allowed(actions: str, user_header: str, proxies: Collection[str]) -> Allowed:
    """Return what is allowed; raise UsageError, with everything that is wrong."""
    chosen = {action.strip() for action in actions.split(",")} - {""}
    problems = [
        f"--allow {action}: it may be {' or '.join(ACTIONS)}"
        for action in sorted(chosen - set(ACTIONS))
    ]
    if chosen and not user_header:
        problems.append(
            "--allow needs --user-header NAME, the header in which a reverse proxy names the user"
        )
    if user_header and not chosen:
        problems.append("--user-header needs --allow: without it, nobody does anything")
    for address in proxies:
        try:
            ip_address(address)
        except ValueError:
            problems.append(f"--trust {address}: it should be an IP address")
    if problems:
        raise UsageError("\n  ".join(problems))
    return Allowed(actions=frozenset(chosen), user_header=user_header, proxies=frozenset(proxies))


def user_of(request: Any, allows: Allowed) -> str:
    """Return who sent a request; raise Refused if that is not known, or another site sent it.

    A browser says which site a form is of (Sec-Fetch-Site, Origin): one of another site is refused.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin", "")
    same_host = bool(origin) and urlsplit(origin).netloc == request.headers.get("host")
    if not (same_host if site is None else site == "same-origin"):
        raise Refused("the form was not sent from these pages")
    peer = request.client.host if request.client else ""
    if peer not in allows.proxies:
        raise Refused(f"who you are is not believed from the address {clean(peer)}")
    user = clean(request.headers.get(allows.user_header, "").strip())[:_USER]
    if not user:
        raise Refused(f"the reverse proxy did not say who you are ({allows.user_header})")
    return user


async def form_of(request: Any) -> Mapping[str, str]:
    """Return the fields of a form; raise Refused for what is none, or is too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refused("this is not a form of these pages")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST:
            raise Refused("the form is too large")
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50)
    return {name: clean(values[0].strip()) for name, values in fields.items()}


def act(look: Look, action: str, name: str, form: Mapping[str, str], user: str) -> str:
    """Do what a form asks for; return the full name of its product.

    Raises UsageError for what `products approve` and `products waive` refuse.
    """
    full = product_at(look, name)
    if full is None:
        raise UsageError("there is no such product")
    with workspace_of(look) as workspace:
        if action == "approve":
            version, because = form.get("version"), form.get("because", "")
            approve(workspace, full, version, approver=user, because=because, author=user)
        else:
            waive(workspace, full, _wanted(form, user))
    return full


def _wanted(form: Mapping[str, str], user: str) -> Wanted:
    try:
        until = date.fromisoformat(form.get("until", ""))
    except ValueError:
        raise UsageError("until when it is waived should be a date, such as 2026-01-31") from None
    return Wanted(
        rule=form.get("rule", ""),
        until=until,
        because=form.get("because", ""),
        author=user,
        approved_by=form.get("approved_by", ""),
    )
