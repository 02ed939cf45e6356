"""The address of a PostgreSQL catalog, and what of it people may be shown: never a password."""

import re
from urllib.parse import unquote

_SCHEME = re.compile(r"postgres(?:ql)?://")
_PLACE = re.compile(
    r"(?:[\w.%/-]*|\[[0-9a-fA-F:.]*\])(?::\d*)?(?:,(?:[\w.-]*|\[[0-9a-fA-F:.]*\])(?::\d*)?)*(?:/[^/@:]*)?"
)
_SECRETS = re.compile(r"[?&](?:ssl)?password=([^&]*)")


def shown(address: str) -> str:
    """Return an address without password and parameters; less of it where it is not clear which part is which."""
    head, asked, rest = _SCHEME.sub("", address).partition("?")
    who, at, place = head.rpartition("@")
    unclear = not at and asked and "@" in rest  # a password with a question mark, written as it is
    if unclear or not _PLACE.fullmatch(place):
        return "postgresql://…"
    return f"postgresql://{who.partition(':')[0]}{at}{place}"


def scrubbed(text: str, address: str, *secrets: str) -> str:
    """Return a message without the secrets of an address, or others, should it quote them."""
    head = _SCHEME.sub("", address)
    told = [head.rpartition("@")[0].partition(":")[2], *_SECRETS.findall(address), *secrets]
    for secret in {*told, *map(unquote, told)}:
        text = text.replace(secret, "…") if len(secret) > 2 else text
    return text
