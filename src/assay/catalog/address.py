"""The address of a PostgreSQL catalog, and what of it people may be shown: never a password."""

import re
from urllib.parse import unquote

_SCHEME = re.compile(r"postgres(?:ql)?://")
_PLACE = re.compile(
    r"(?:[\w.%/-]*|\[[0-9a-fA-F:.]*\])(?::\d*)?(?:,(?:[\w.-]*|\[[0-9a-fA-F:.]*\])(?::\d*)?)*(?:/[^/@:]*)?"
)
_SEPARATORS = re.compile("[@:/?#]")
_ANEW = "remove `catalog-id` from the store, and `products materialize` starts anew."
_SECRETS = re.compile(r"[?&](?:ssl)?password=([^&]*)")


def shown(address: str) -> str:
    """Return an address without password and parameters; less of it where it is not clear which part is which."""
    rest = _SCHEME.sub("", address)
    who, at, place = rest.partition("?")[0].rpartition("@")
    if _unclear(rest) or not _PLACE.fullmatch(place):
        return "postgresql://…"
    return f"postgresql://{who.partition(':')[0]}{at}{place}"


def put_back(catalog: str) -> str:
    """Return what is to be done about a catalog, by the name that people are shown, that has lost what was in it."""
    if _SCHEME.match(catalog):
        return (
            f"Restore the schema assay of the database from a backup. Without one: drop it, {_ANEW}"
        )
    return f"Put back a copy of {catalog}. Without one: move it away, {_ANEW}"


def scrubbed(text: str, address: str, *secrets: str) -> str:
    """Return a message without the secrets of an address, or others, should it quote them or parts of them."""
    rest = _SCHEME.sub("", address)
    head = rest if _unclear(rest) else rest.partition("?")[0]
    password = head.rpartition("@")[0].partition(":")[2]
    told = [password, *_SEPARATORS.split(password), *_SECRETS.findall(address), *secrets]
    for secret in sorted({*told, *map(unquote, told)}, key=len, reverse=True):
        text = text.replace(secret, "…") if len(secret) > 2 else text
    return text


def is_split(address: str) -> bool:
    """Say whether a user or a password has a slash in it, written as it is: what follows is then no host."""
    return "/" in _SCHEME.sub("", address).partition("?")[0].rpartition("@")[0]


def _unclear(rest: str) -> bool:
    """Say whether a password may have a question mark in it, written as it is."""
    head, _, asked = rest.partition("?")
    return "@" not in head and "@" in asked
