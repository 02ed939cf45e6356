"""Finds calls of a query that depend on clocks or chance, and replaces its clocks by a moment."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

_ZONED = {"now", "current_timestamp", "get_current_timestamp", "transaction_timestamp"}
_TYPES = {
    **dict.fromkeys(_ZONED, "timestamptz"),
    **dict.fromkeys(("current_date", "today"), "date"),
    **dict.fromkeys(("localtimestamp", "current_localtimestamp"), "timestamp"),
    **dict.fromkeys(("localtime", "current_localtime"), "time"),
    **dict.fromkeys(("current_time", "get_current_time"), "timetz"),
}
_AGE = "age"  # with one argument: the time since the start of today
# Clocks that are written without parentheses.
CLOCKS = (
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
)
_CHANCE = {
    "random",
    "setseed",
    "uuid",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "txid_current",
    "current_query_id",
    "current_transaction_id",
    "current_connection_id",
}
_SAMPLE = "a sample without a seed"
_ANY = re.compile(rf'"(?:{"|".join([*_TYPES, _AGE, *_CHANCE])})"|"repeatable":false', re.IGNORECASE)


class Moving(Struct, frozen=True):
    """A call whose result depends on a clock, or on `chance`, and its place in the query, in bytes.

    `heading` is the name of a column that consists of this clock alone. `unnamed`: the call is
    part of a column without a name, which DuckDB names by its text.
    """

    name: str
    offset: int
    length: int
    chance: bool = False
    heading: str = ""
    unnamed: bool = False


def moving(node: Any, serialized: str, sql: str) -> tuple[Moving, ...]:
    """Return the calls that depend on clocks or chance; `serialized` is the JSON of `node`."""
    if not _ANY.search(serialized):
        return ()
    return tuple(_moving(node, sql.encode(errors="replace"), column=False))


def _moving(node: Any, text: bytes, *, column: bool) -> Iterator[Moving]:
    """Yield the calls in a node and below it; `column`: it is part of a column without a name."""
    if isinstance(node, list):
        for item in node:
            yield from _moving(item, text, column=column)
    elif isinstance(node, dict):
        if call := _call(node, text):
            yield replace(call, unnamed=True) if column else call
        if isinstance(sample := node.get("sample"), dict) and not sample.get("repeatable"):
            yield Moving(_SAMPLE, -1, 0, chance=True)
        for key, value in node.items():
            if key == "select_list":
                for item in value:
                    yield from _column(item, text, column=column)
            elif value and isinstance(value, dict | list):
                yield from _moving(value, text, column=column)


def _column(item: dict[str, Any], text: bytes, *, column: bool) -> Iterator[Moving]:
    """Yield the calls in an item of a select list, which is named by its text or by an alias."""
    call, has_alias = _call(item, text), bool(item.get("alias"))
    if call and not has_alias and call.name != _AGE:
        written = text[call.offset : call.offset + call.length].decode(errors="replace")
        heading = written if item["class"] == "COLUMN_REF" else f"{call.name}()"
        yield replace(call, heading=heading)
    else:
        yield from _moving(item, text, column=column or not has_alias)


def _call(node: dict[str, Any], text: bytes) -> Moving | None:
    """Return the call of a clock or of chance that a node itself is; None for another node."""
    offset, length = node.get("query_location", -1), node.get("query_location_length", 0)
    if node.get("class") == "COLUMN_REF" and len(node["column_names"]) == 1:
        name = str(node["column_names"][0]).lower()
        is_quoted = text[offset : offset + 1] == b'"'
        if name in CLOCKS and not is_quoted:
            return Moving(name, offset, length)
    elif node.get("class") == "FUNCTION":
        name = str(node.get("function_name")).lower()
        is_age = name == _AGE and len(node.get("arguments", ())) == 1
        if name in _TYPES or name in _CHANCE or is_age:
            return Moving(name, offset, length, chance=name in _CHANCE)
    return None


def set_clock(sql: str, spots: Iterable[Moving], moment: datetime) -> str:
    """Return a query with the moment in place of every clock; its columns keep their names."""
    text = sql.encode()
    for spot in sorted(spots, key=lambda spot: -spot.offset):
        if spot.chance:
            continue
        if spot.name == _AGE:
            opening = text.index(b"(", spot.offset) + 1
            today = f"cast({_literal('current_date', moment)} as timestamp), "
            text = text[:opening] + today.encode() + text[opening:]
            continue
        end = spot.offset + spot.length
        assert text[spot.offset : end]
        heading = ' as "{}"'.format(spot.heading.replace('"', '""')) if spot.heading else ""
        value = f"{_literal(spot.name, moment)}{heading}"
        text = text[: spot.offset] + value.encode() + text[end:]
    return text.decode()


def _literal(name: str, moment: datetime) -> str:
    """Return the SQL of a moment as the type that a clock has."""
    in_utc, type = moment.astimezone(UTC), _TYPES[name]
    day, time = f"{in_utc:%Y-%m-%d}", f"{in_utc:%H:%M:%S.%f}"
    texts = {"date": day, "time": time, "timetz": f"{time}+00", "timestamp": f"{day} {time}"}
    return f"cast('{texts.get(type, f'{day} {time}+00')}' as {type})"
