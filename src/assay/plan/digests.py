"""Digests of code, keys and content: the first 32 hex digits of the SHA-256 of canonical JSON."""

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
    """Return the fields of a struct that differ from their default, and are not empty tuples."""
    differing = {}
    for field in _fields(type(value)):
        content = getattr(value, field.name)
        if content not in (field.default, ()):
            differing[field.name] = content
    return differing


def digest(value: Any) -> str:
    """Return 32 hex digits for a value of JSON's types, or a struct.

    The order of mappings does not count.
    """
    try:
        text = canonical(value)
    except UnicodeEncodeError:  # half of a surrogate pair, which UTF-8 cannot encode
        text = json.dumps(value, sort_keys=True).encode()
    return hashlib.sha256(text).hexdigest()[:32]


def code_of(reached: Mapping[str, str]) -> Code:
    """Return the code that consists of these things, each with its digest."""
    return Code(digest=digest(dict(reached)), reached=dict(reached))


def key_of(
    code: Code, inputs: Mapping[str, str], held: Mapping[str, str] | None = None, of: str = ""
) -> Key:
    """Return the key for this code and these input digests.

    With `held`, it is the key of a version with these parts held back, made of the version whose
    content digest is `of`.
    """
    inputs = dict(inputs)
    if not held:
        return Key(digest=key_digest(code, inputs), code=code, inputs=inputs)
    held = dict(held)
    return Key(digest=digest([code.digest, inputs, held, of]), code=code, inputs=inputs, held=held)


def key_digest(code: Code, inputs: Mapping[str, str]) -> str:
    """Return the digest of the key for this code and these inputs, without parts held back."""
    return digest([code.digest, dict(inputs)])


def against_of(inputs: Iterable[tuple[str, str]]) -> str:
    """Return the digest of what rules read besides the version; '' for nothing.

    `inputs` are pairs of names and digests.
    """
    pairs = sorted(inputs)
    return digest(pairs) if pairs else ""


def source_digest(reading: str, files: Iterable[tuple[str, str]]) -> str:
    """Return the content digest of a source.

    `reading` is the digest of how files are read; `files` are pairs of paths and digests.
    """
    return digest([reading, sorted(files)])
