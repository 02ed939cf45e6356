"""Values of the views as JSON text, as every verb prints it with `--json`."""

import json
import math
import re
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from assay.views.view import View

# Characters that JSON allows unescaped and a terminal must not get: control and direction
# characters, lone surrogates.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return JSON; values that JSON has no type for (dates, decimals) become text."""
    text = json.dumps(
        _plain(value), ensure_ascii=False, default=str, indent=indent, allow_nan=False
    )
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _plain(value: Any) -> Any:
    """Return a value as dicts, lists and scalars; keys, and floats that are not finite, as text."""
    match value:
        case View():
            return _plain(value.as_json())
        case Struct():
            return _plain(asdict(value))
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case float() if not math.isfinite(value):
            return str(value)
    return value
