"""Clocks and chance in SQL: where a query asks for them, and the same query with a moment for its clock."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

_ZONED = {"now", "current_timestamp", "get_current_timestamp", "transaction_timestamp"}
_TYPES = {
    **dict.fromkeys(_ZONED, "timestamptz"),
    **dict.fromkeys(("current_date", "today"), "date"),
    **dict.fromkeys(("localtimestamp", "current_localtimestamp"), "timestamp"),
    **dict.fromkeys(("localtime", "current_localtime"), "time"),
    **dict.fromkeys(("current_time", "get_current_time"), "timetz"),
}
_AGE = "age"  # of one argument: since the start of today
CLOCKS = (
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
)  # without parentheses
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
    """What is another one another time: the name of a clock, or of what hangs on `chance`, and where it stands (bytes).

    `heading` is the name of the column that is nothing but this clock; `unnamed` means that a column has no name but
    its own text, in which the clock is.
    """

    name: str
    offset: int
    length: int
    chance: bool = False
    heading: str = ""
    unnamed: bool = False


def moving(node: Any, serialized: str, sql: str) -> tuple[Moving, ...]:
    """Return what moves in a query, given the tree that DuckDB made of it, also as the text that this was read from."""
    return (
        tuple(_moving(node, sql.encode(errors="replace"), column=False))
        if _ANY.search(serialized)
        else ()
    )


def _moving(node: Any, text: bytes, *, column: bool) -> Iterator[Moving]:
    if isinstance(node, list):
        for item in node:
            yield from _moving(item, text, column=column)
    elif isinstance(node, dict):
        if (spot := _spot(node, text)) and column:
            yield Moving(spot.name, spot.offset, spot.length, spot.chance, unnamed=True)
        elif spot:
            yield spot
        if isinstance(sample := node.get("sample"), dict) and not sample.get("repeatable"):
            yield Moving(_SAMPLE, -1, 0, chance=True)
        for key, value in node.items():
            if key == "select_list":
                for item in value:
                    yield from _column(item, text, column=column)
            elif value and isinstance(value, dict | list):
                yield from _moving(value, text, column=column)


def _column(item: dict[str, Any], text: bytes, *, column: bool) -> Iterator[Moving]:
    """Yield what moves in a column of a query, which may be called by its text."""
    spot, named = _spot(item, text), bool(item.get("alias"))
    if spot and not named and spot.name != _AGE:
        shown = text[spot.offset : spot.offset + spot.length].decode(errors="replace")
        heading = shown if item["class"] == "COLUMN_REF" else f"{spot.name}()"
        yield Moving(spot.name, spot.offset, spot.length, spot.chance, heading=heading)
    else:
        yield from _moving(item, text, column=column or not named)


def _spot(node: dict[str, Any], text: bytes) -> Moving | None:
    offset, length = node.get("query_location", -1), node.get("query_location_length", 0)
    if node.get("class") == "COLUMN_REF" and len(node["column_names"]) == 1:
        name = str(node["column_names"][0]).lower()
        if name in CLOCKS and text[offset : offset + 1] != b'"':
            return Moving(name, offset, length)
    elif node.get("class") == "FUNCTION":
        name = str(node.get("function_name")).lower()
        if (
            name in _TYPES
            or name in _CHANCE
            or (name == _AGE and len(node.get("arguments", ())) == 1)
        ):
            return Moving(name, offset, length, chance=name in _CHANCE)
    return None


def set_clock(sql: str, spots: Iterable[Moving], moment: datetime) -> str:
    """Return a query in which the moment stands for every clock, under the names that its columns had."""
    text = sql.encode()
    for spot in sorted(spots, key=lambda spot: -spot.offset):
        if spot.chance:
            continue
        before, here, after = (
            text[: spot.offset],
            text[spot.offset :][: spot.length],
            text[spot.offset + spot.length :],
        )
        if spot.name == _AGE:
            opening = text.index(b"(", spot.offset) + 1
            text = (
                text[:opening]
                + f"cast({_literal('current_date', moment)} as timestamp), ".encode()
                + text[opening:]
            )
            continue
        assert here
        heading = ' as "{}"'.format(spot.heading.replace('"', '""')) if spot.heading else ""
        text = before + f"{_literal(spot.name, moment)}{heading}".encode() + after
    return text.decode()


def _literal(name: str, moment: datetime) -> str:
    here, type = moment.astimezone(UTC), _TYPES[name]
    day, time = f"{here:%Y-%m-%d}", f"{here:%H:%M:%S.%f}"
    shown = {"date": day, "time": time, "timetz": f"{time}+00", "timestamp": f"{day} {time}"}
    return f"cast('{shown.get(type, f'{day} {time}+00')}' as {type})"
