"""Digests of code, contracts and content lists: one hash (SHA-256, 32 hex digits kept), one canonical form (JSON)."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from assay.facts import Key
from assay.jsonform import canonical
from assay.model import Code

_fields = cache(fields)


def non_defaults(value: Struct) -> dict[str, Any]:
    """Return the fields of a value that are not what they are unless given."""
    known = _fields(type(value))
    return {
        f.name: told for f in known if (told := getattr(value, f.name)) != f.default and told != ()
    }


def digest(value: Any) -> str:
    """Return 32 hex digits for a value made of JSON's types (and ours); mappings count by content, not by order."""
    try:
        told = canonical(value)
    except UnicodeEncodeError:  # half a character, which UTF-8 cannot say
        told = json.dumps(value, sort_keys=True).encode()
    return hashlib.sha256(told).hexdigest()[:32]


def code_of(parts: Mapping[str, str]) -> Code:
    """Return the code that these parts, each by its digest, make up."""
    return Code(digest=digest(dict(parts)), reached=dict(parts))


def key_of(
    code: Code, inputs: Mapping[str, str], held: Mapping[str, str] | None = None, of: str = ""
) -> Key:
    """Return the key that this code and these input digests want, `held` parts `of` that content left as they were."""
    told = key_digest(code, inputs, *([dict(held), of] if held else []))
    return Key(digest=told, code=code, inputs=dict(inputs), held=dict(held or {}))


def key_digest(code: Code, inputs: Mapping[str, str], *more: Any) -> str:
    """Return the digest of the key that this code and these input digests want, `more` with them."""
    return digest([code.digest, dict(inputs), *more])


def against_of(inputs: Iterable[tuple[str, str]]) -> str:
    """Return the digest of what rules read besides the version; '' when that is nothing."""
    pairs = sorted(inputs)
    return digest(pairs) if pairs else ""


def source_digest(reading: str, files: Iterable[tuple[str, str]]) -> str:
    """Return the content digest of a source: how it is read, and each file by path and digest."""
    return digest([reading, sorted(files)])
