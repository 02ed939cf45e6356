"""`[tool.products.notify]`: who is told of incidents, and how; secrets stay in the environment."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from assay.apprise_names import unknown_service

RESTORED = "restored"
WHEN = (
    "held back",
    "awaiting approval",
    "failed",
    "late",
    "missed",
    "at risk",
    "too often late",
    "budget spent",
    RESTORED,
)
PLACEHOLDERS = ("{owner}", "{contact}", "{approver}")
VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*(?=://)")
_BRACES = re.compile(r"(?<!\$)\{[^}]*\}")
_SECRET_KEY = re.compile("pass|pwd|token|secret|key|auth|sig", re.IGNORECASE)
# Schemes whose host and path are an address; those of chat services are made of tokens.
_ADDRESSED = {"mailto", "mailtos", "json", "jsons", "xml", "xmls", "form", "forms", "syslog"}
_LONG = 20  # characters, from which a word of letters and digits is taken for a token
_SHORT = 8  # the same, where the address is made of tokens


class Route(Struct, frozen=True, kw_only=True):
    """Where messages go, and which: all conditions have to hold, each for one of its values.

    - `to`: addresses as `apprise` reads them; `$NAME` is read from the environment, `{owner}` and
      `{contact}` stand for the owners of the products and the contacts of their consumers,
      `{approver}` for those who may approve what awaits approval.
    - `when`: what is told: the kinds of incidents, and `restored` for their end.
    - `owner`, `consumer`, `domain`: patterns (`*`) of affected products; () for any.
    - `severity`: "error" leaves out what is only at risk, too often late, or a spent budget.
    """

    name: str
    to: tuple[str, ...]
    when: tuple[str, ...] = WHEN
    owner: tuple[str, ...] = ()
    consumer: tuple[str, ...] = ()
    domain: tuple[str, ...] = ()
    severity: str = "warning"

    def __repr__(self) -> str:
        return f"Route({self.name!r})"


_SETTINGS = tuple(f.name for f in fields(Route) if f.name != "name")


def routes_of(tables: Any) -> tuple[tuple[Route, ...], list[str]]:
    """Return the routes in `[tool.products.notify]`, and everything that is wrong with them.

    No problem quotes an address.
    """
    if not isinstance(tables, dict):
        return (), ["notify should be tables such as [tool.products.notify.finance]"]
    routes, problems = [], []
    for name, table in tables.items():
        found = [f"notify.{name}: {problem}" for problem in _problems(name, table)]
        problems += found
        if not found:
            routes.append(Route(name=name, **{k: _texts(k, v) for k, v in table.items()}))
    return tuple(routes), problems


def _texts(setting: str, value: Any) -> Any:
    if setting == "severity":
        return value
    return (value,) if isinstance(value, str) else tuple(value)


def _problems(name: str, table: Any) -> Iterator[str]:
    if not re.fullmatch(r"[\w-]+", name, re.ASCII):
        yield "the name of a route should be letters, digits, - and _"
    if not isinstance(table, dict):
        yield 'should be a table with to = ["mailto://…"]'
        return
    for setting, value in table.items():
        if setting not in _SETTINGS:
            yield f"unknown setting {setting!r}: there are {', '.join(_SETTINGS)}"
        elif problem := _wrong(setting, value):
            yield f"{setting} {problem}"
    if "to" not in table:
        yield 'lacks to = ["mailto://…"], where messages go'
        return
    for number, address in enumerate(
        _texts("to", table["to"]) if not _wrong("to", table["to"]) else ()
    ):
        if problem := _wrong_address(address):
            yield f"to[{number}] {problem}"


def _wrong(setting: str, value: Any) -> str:
    if setting == "severity":
        return "" if value in ("error", "warning") else "should be 'error' or 'warning'"
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(v, str) and v for v in values):
        return "should be a list of texts"
    if setting == "to" and not values:
        return "is empty"
    if setting == "when" and (unknown := [v for v in values if v not in WHEN]):
        return f"has {unknown[0]!r}: there are {', '.join(WHEN)}"
    return ""


def _wrong_address(address: str) -> str:
    """Return what is wrong with an address, without quoting it."""
    if VARIABLE.fullmatch(address):
        return ""
    scheme = _SCHEME.match(address)
    if not scheme:
        return (
            "should be an address that apprise reads, such as mailto://…, slack://… or json://…,"
            " or $NAME of an environment variable that holds one"
        )
    if problem := unknown_service(scheme[0].lower()):
        return problem
    if unknown := [p for p in _BRACES.findall(address) if p not in PLACEHOLDERS]:
        return f"has the placeholder {unknown[0][:20]!r}: there are {', '.join(PLACEHOLDERS)}"
    if _has_secret(scheme[0].lower(), address[scheme.end() + 3 :]):
        return (
            f"({scheme[0]}://…) has a password or token in plain text:"
            " write $NAME in its place, and set the environment variable NAME where products run"
        )
    return ""


def _has_secret(scheme: str, rest: str) -> bool:
    """Return whether a part of an address that may be a secret is not left to the environment."""
    place, _, query = rest.partition("?")
    host, _, path = place.partition("/")
    user, _, server = host.rpartition("@")
    password = user.partition(":")[2]
    if password and not VARIABLE.fullmatch(password):
        return True
    port = VARIABLE.sub("", server).partition(":")[2]
    if port and not port.isdigit() and not server.startswith("["):
        return True  # the rest of a password with a slash in it
    given = dict(pair.partition("=")[::2] for pair in query.split("&"))
    if any(_SECRET_KEY.search(k) and v and not VARIABLE.fullmatch(v) for k, v in given.items()):
        return True
    least = _LONG if scheme in _ADDRESSED else _SHORT
    words = [user, *server.split(":")[:1], *path.split("/"), *_values(given)]
    return any(_is_token(word, least) for word in words)


def _values(query: Mapping[str, str]) -> list[str]:
    return [value for name, value in query.items() if name not in {"to", "from", "cc", "bcc"}]


def _is_token(word: str, least: int) -> bool:
    rest = VARIABLE.sub("", word)
    is_mixed = any(c.isdigit() for c in rest) and any(c.isalpha() for c in rest)
    return len(rest) >= least and is_mixed and "." not in rest and "@" not in rest
