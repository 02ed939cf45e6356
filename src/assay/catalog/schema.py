"""The tables of the catalog as statements, and the migrations from older schemas."""

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
    """Return the statements of the schema that create these tables or indexes."""
    create = re.compile(rf"^create (?:unique )?\w+ (?:{'|'.join(names)}) ", re.MULTILINE)
    return [statement for statement in _SCHEMA if create.search(statement)]


IN_ORDER = {"verdicts", "listings"}  # tables whose rows are ordered by `rowid`
SCHEMA_VERSION = 17
# One entry per step up: MIGRATIONS[3] holds the statements that turn schema 3 into schema 4.
MIGRATIONS: Mapping[int, Sequence[str]] = {
    3: [*_creating("claims"), "alter table parts add column modified bigint not null default 0"],
    4: [
        "alter table replaced add column seen text not null default ''",
        "update replaced set seen = since",
    ],
    5: ["drop table seen", "delete from listings"],
    6: [
        "create table waivers (environment text not null, version text not null,"
        " rule text not null, at text not null, product text not null, parts text not null,"
        " because text not null, who text not null,"
        " primary key (environment, version, rule, at))",
        "create table inspected (digest text not null, reading text not null,"
        " primary key (digest, reading))",
    ],
    7: [
        "alter table listings add column seen text not null default ''",
        "alter table inspected add column event text",
        *_creating("windows", "promises", "arrivals"),
        *_creating("incidents", "incidents_open", "notices", "notices_waiting"),
        "alter table runs add column asked text not null default ''",
        "alter table runs add column ended_at text",
        "alter table runs add column seconds double precision",
        "alter table runs add column results text not null default '{}'",
        "alter table versions add column peak bigint not null default 0",
    ],
    8: ["alter table waivers rename to restatements", *_creating("waivers")],
    9: ["alter table runs add column code text not null default ''", *_creating("codes", "texts")],
    10: ["alter table listings add column used bigint not null default 0"],
    11: [
        *_creating("waivers_used", "differences", "differences_after"),
        "insert into waivers_used select distinct w.environment, w.id, w.at from waivers w"
        " join verdicts v on v.results like '%\"waived_by\":%' || w.id || '%'",
    ],
    12: [
        "alter table runs add column who text not null default ''",
        *_creating("approvals", "approvals_product"),
    ],
    13: [
        "alter table pointers add column first_at text",
        *_creating("environments", "bases"),
        "insert into environments (name, parent, created_at)"
        " select environment, '', min(at) from"
        " (select environment, started_at as at from runs"
        "  union all select environment, at from releases) as used group by environment",
    ],
    14: [
        "alter table restatements add column approved_by text not null default ''",
        *_creating("runs_when", "versions_run", "verdicts_run", "verdicts_when", "promises_due"),
        "create index if not exists waivers_product on waivers (product)",
        # What gc forgot before it noted that is not known: as far as it may have been.
        "insert into meta select 'facts since', max(at) from releases"
        " where exists (select 1 from meta where name like 'since %') having max(at) is not null",
    ],
    15: [
        "alter table parts add column aside bigint",
        "alter table parts add column rows_in bigint",
    ],
    16: [*_creating("undeclared_columns")],
}


def extras(database: str) -> str:
    """Return the script that only one kind of database needs in a new catalog."""
    return (_FOLDER / f"{database}.sql").read_text(encoding="utf-8")


def steps(version: int, extras: Sequence[str]) -> Iterator[str]:
    """Yield the statements that migrate a schema version (0: no tables) to SCHEMA_VERSION."""
    if version == 0:
        yield from _SCHEMA
        yield from extras
    else:
        for step in range(version, SCHEMA_VERSION):
            yield from MIGRATIONS[step]


class SchemaTable(Struct, frozen=True, kw_only=True):
    """A table of the schema: its columns, and those that identify and order its rows."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


def tables() -> list[SchemaTable]:
    """Return the tables of the schema, in the order of their creation."""
    create = re.compile(r"^create table (\w+) \((.*)\);", re.MULTILINE | re.DOTALL)
    matches = (create.search(statement) for statement in _SCHEMA)
    return [_table(match[1], match[2]) for match in matches if match]


def _table(name: str, body: str) -> SchemaTable:
    # A definition may share its line with others; a comment comes last, and may have commas.
    definitions = [
        text.split("--")[0].strip().rstrip(",") for text in re.split(r"\n|, (?=\w+ text)", body)
    ]
    columns = [text for text in definitions if text and not text.startswith("primary key")]
    key = [text.split()[0] for text in columns if text.endswith("primary key")]
    if composite := re.search(r"primary key \((.*)\)", body):
        key = composite[1].split(", ")
    if name in IN_ORDER:
        key = ["rowid"]
    names = tuple(text.split()[0].strip('"') for text in columns)
    return SchemaTable(name=name, columns=names, key=tuple(key))
