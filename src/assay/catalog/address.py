"""The address of a PostgreSQL catalog, and the form of it that may be shown: without a password."""

import re
from urllib.parse import unquote

_SCHEME = re.compile(r"postgres(?:ql)?://")
_HOST = r"\[[0-9a-fA-F:.]*\]"  # an IPv6 address
_PLACE = re.compile(
    rf"(?:[\w.%/-]*|{_HOST})(?::\d*)?(?:,(?:[\w.-]*|{_HOST})(?::\d*)?)*(?:/[^/@:]*)?"
)
_SEPARATORS = re.compile("[@:/?#]")
_ANEW = "remove `catalog-id` from the store, and `products materialize` starts anew."
_SECRETS = re.compile(r"[?&](?:ssl)?password=([^&]*)")


def shown(address: str) -> str:
    """Return an address without password and parameters, or only its scheme if it is ambiguous."""
    rest = _SCHEME.sub("", address)
    login, at, place = rest.partition("?")[0].rpartition("@")
    if _is_ambiguous(rest) or not _PLACE.fullmatch(place):
        return "postgresql://…"
    return f"postgresql://{login.partition(':')[0]}{at}{place}"


def put_back(catalog: str) -> str:
    """Return the advice on a catalog, by its shown name, that is lost or damaged."""
    if _SCHEME.match(catalog):
        return (
            f"Restore the schema assay of the database from a backup. Without one: drop it, {_ANEW}"
        )
    return f"Put back a copy of {catalog}. Without one: move it away, {_ANEW}"


def scrubbed(text: str, address: str, *secrets: str) -> str:
    """Return a message without the secrets of an address, parts of them, and other secrets."""
    rest = _SCHEME.sub("", address)
    head = rest if _is_ambiguous(rest) else rest.partition("?")[0]
    password = head.rpartition("@")[0].partition(":")[2]
    quoted = {password, *_SEPARATORS.split(password), *_SECRETS.findall(address), *secrets}
    for secret in sorted({*quoted, *map(unquote, quoted)}, key=len, reverse=True):
        if len(secret) > 2:
            text = text.replace(secret, "…")
    return text


def is_split(address: str) -> bool:
    """Return whether a user or password has an unescaped slash.

    The library then takes what follows for a path.
    """
    return "/" in _SCHEME.sub("", address).partition("?")[0].rpartition("@")[0]


def _is_ambiguous(rest: str) -> bool:
    """Return whether a password may have an unescaped question mark."""
    head, _, parameters = rest.partition("?")
    return "@" not in head and "@" in parameters
