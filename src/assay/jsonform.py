"""Our values as JSON: as they are kept, and in the one form that is digested; imports nothing of ours."""

from pathlib import PurePath
from typing import Any

from msgspec.json import Encoder


def _plain(value: Any) -> Any:
    """Return what JSON holds of a path, and of a user's own kind of text or number."""
    match value:
        case str():
            return str.__str__(value)
        case float():
            return float.__float__(value)
        case int():
            return int.__int__(value)
        case PurePath():
            return str(value)
    raise TypeError(f"{type(value).__name__} has no plain form")


encode = Encoder(enc_hook=_plain).encode  # made once: that is slow
canonical = Encoder(enc_hook=_plain, order="deterministic").encode
