"""The tables of the catalog as statements, and the steps that lead there from those of an older Assay."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

_FOLDER = Path(__file__).parent
_SCHEMA = [
    f"{statement};"
    for statement in (_FOLDER / "schema.sql").read_text(encoding="utf-8").split(";\n")[:-1]
]


def _creating(*names: str) -> list[str]:
    """Return the statements of the schema that create these."""
    return [
        s
        for s in _SCHEMA
        if re.search(rf"^create (?:unique )?\w+ (?:{'|'.join(names)}) ", s, re.MULTILINE)
    ]


IN_ORDER = {"verdicts", "listings"}  # tables whose rows have an order of their own, `rowid`
SCHEMA_VERSION = 7
# One entry per step up: MIGRATIONS[3] holds the statements that turn schema 3 into schema 4.
MIGRATIONS: Mapping[int, Sequence[str]] = {
    3: [*_creating("claims"), "alter table parts add column modified bigint not null default 0"],
    4: [
        "alter table replaced add column seen text not null default ''",
        "update replaced set seen = since",
    ],
    5: ["drop table seen", "delete from listings"],
    6: [*_creating("waivers", "inspected")],
}


def extras(database: str) -> str:
    """Return the script of what only one kind of database needs in a new catalog."""
    return (_FOLDER / f"{database}.sql").read_text(encoding="utf-8")


def steps(version: int, extras: Sequence[str]) -> Iterator[str]:
    """Yield the statements that lead from a schema version (0: nothing there) to the one of this code."""
    if version == 0:
        yield from _SCHEMA
        yield from extras
    else:
        for step in range(version, SCHEMA_VERSION):
            yield from MIGRATIONS[step]


class SchemaTable(Struct, frozen=True, kw_only=True):
    """A table of the schema: its columns, and those that its rows are ordered by."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


def tables() -> list[SchemaTable]:
    """Return the tables of the schema, each after those that it needs."""
    found = (
        re.search(r"^create table (\w+) \((.*)\);", s, re.MULTILINE | re.DOTALL) for s in _SCHEMA
    )
    return [_table(match[1], match[2]) for match in found if match]


def _table(name: str, body: str) -> SchemaTable:
    # What is said of a column may have commas, but only after it.
    lines = [
        line.split("--")[0].strip().rstrip(",") for line in re.split(r"\n|, (?=\w+ text)", body)
    ]
    columns = [
        line.split()[0].strip('"') for line in lines if line and not line.startswith("primary key")
    ]
    told = re.search(r"primary key \((.*)\)", body)
    key = (
        told[1].split(", ")
        if told
        else [line.split()[0] for line in lines if line.endswith("primary key")]
    )
    return SchemaTable(
        name=name, columns=tuple(columns), key=("rowid",) if name in IN_ORDER else tuple(key)
    )
