"""SQL that tries to write, to reach other files, settings or the network: everywhere that SQL is taken from others."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from assay.engines import duckdb as duck
from assay.engines.sql import reader
from assay.engines.sql.tables import Unreadable
from tests.conftest import LONG, Place

CANARY = "CANARY-7f3a"


@pytest.fixture
def shop(tmp_path: Path) -> Place:
    """A project with one published product and one held back, and files beside it that are nobody's business."""
    place = Place(tmp_path / "project")
    place.write("pyproject.toml", "[tool.products]\n")
    place.numbers("a", 1, 2, 3)
    place.write(
        "products/sales.py",
        f"""
        sql_product("p", "select x from numbers", owner="o")
        sql_product("held", "select x, '{CANARY}' as secret from numbers", owner="o", rules=[rule.rows(at_most=1)])
        """,
        header=True,
    )
    assert place.run("materialize").code == 3
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("canary.csv", "canary.txt", "canary.json"):
        (outside / name).write_text(f'"{CANARY}"\n')
    pl.DataFrame({"a": [CANARY]}).write_parquet(outside / "canary.parquet")
    os.environ["CANARY_IN_ENVIRONMENT"] = CANARY
    return place


def world(place: Place, *, but: str = "\0") -> dict[str, str]:
    """Every file in and around the project with its digest."""
    files = (f for f in place.root.parent.rglob("*") if f.is_file() and but not in str(f))
    return {
        str(f): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in files
        if not {"__pycache__", ".readers"} & {*f.parts}
    }


def attempts(place: Place) -> list[str]:
    """What somebody might try; OUT is a folder beside the project, STORE its store, HELD a file that is held back."""
    store = place.root / ".products/store"
    [held] = (store / "sales.held").rglob("*.parquet")
    [mine] = (store / "sales.p").rglob("*.parquet")
    told = [t.strip() for t in ATTEMPTS.splitlines() if t.strip()]
    words = {
        "OUT": place.root.parent / "outside",
        "CATALOG": place.root / ".products/catalog.db",
        "STORE": store,
        "HELD": held,
        "MINE": mine,
    }
    return [
        re.sub("OUT|CATALOG|STORE|HELD|MINE", lambda m: str(words[m[0]]), text) for text in told
    ]


ATTEMPTS = """
    copy p to 'OUT/evil.csv'
    copy (select 1) to 'STORE/evil.parquet' (format parquet)
    copy (select 1 as x) to 'MINE' (format parquet, use_tmp_file false)
    copy p from 'OUT/canary.csv'
    (copy p to 'OUT/evil.csv')
    export database 'OUT/evil'
    import database 'OUT'
    attach 'OUT/evil.db'
    attach 'CATALOG' as c (type sqlite)
    attach ':memory:' as m
    detach memory
    use system
    install httpfs
    force install httpfs from 'http://127.0.0.1:9/'
    load httpfs
    load 'OUT/evil.duckdb_extension'
    create table t as select 1
    create or replace view p as select 1
    create temp macro f() as 1
    create function p() as table select 1
    create secret s (type s3)
    create sequence s
    create type e as enum ('a')
    drop view p
    drop schema sales cascade
    alter table p rename to q
    insert into p values (1)
    update p set x = 2
    delete from p
    truncate p
    merge into p using p as q on true when matched then delete
    with a as (insert into p values (1) returning *) from a
    with a as materialized (delete from p returning *) select * from a
    select * from (copy p to 'OUT/evil.csv')
    set memory_limit = '1GB'
    set global enable_external_access = true
    set variable v = 1
    reset enable_external_access
    reset all
    pragma enable_external_access
    pragma database_list
    pragma disable_verification
    call pragma_version()
    call enable_logging('QueryLog', storage = 'file', storage_path = 'OUT')
    checkpoint
    force checkpoint memory
    vacuum
    analyze
    begin transaction
    prepare s as select 1
    execute s
    deallocate s
    explain analyze select 1
    show all tables
    summarize 'OUT/canary.csv'
    describe 'OUT/canary.parquet'
    select 1; select 2
    select 1; copy p to 'OUT/evil.csv'
    select 1 /* ; */ ; -- ; \n copy p to 'OUT/evil.csv'
    /* select 1 */ copy p to 'OUT/evil.csv'
    select 1;\u00a0copy p to 'OUT/evil.csv'
    select 1\uff1b copy p to 'OUT/evil.csv'
    c\u043epy p to 'OUT/evil.csv'
    \ufeffcopy p to 'OUT/evil.csv'
    select 1 \u202e; copy p to 'OUT/evil.csv'
    from '/etc/passwd'
    from 'OUT/canary.csv'
    from "OUT/canary.parquet"
    from 'OUT/*.csv'
    from 'HELD'
    from 'MINE'
    from 'CATALOG'
    from 'file://OUT/canary.csv'
    from 'http://127.0.0.1:9/x.csv'
    from 's3://bucket/x.parquet'
    from read_csv('OUT/canary.csv')
    from read_csv(['OUT/canary.csv'], columns = {'a': 'VARCHAR'})
    from read_csv_auto('OUT/canary.csv')
    from sniff_csv('OUT/canary.csv')
    from read_parquet('HELD')
    from parquet_scan('HELD')
    from parquet_metadata('HELD')
    from parquet_kv_metadata('HELD')
    from read_json('OUT/canary.json')
    from read_ndjson_objects('OUT/canary.json')
    from read_text('OUT/canary.txt')
    from read_blob('OUT/canary.txt')
    from READ_TEXT('OUT/canary.txt')
    from "read_text"('OUT/canary.txt')
    from system.main.read_text('OUT/canary.txt')
    from glob('OUT/*')
    from read_duckdb('CATALOG')
    from sqlite_scan('CATALOG', 'versions')
    from postgres_scan('host=127.0.0.1', 'public', 't')
    from iceberg_scan('OUT')
    from delta_scan('OUT')
    from arrow_scan(1, 2, 3)
    from pandas_scan(1)
    from seq_scan('p')
    from query('from ''OUT/canary.csv''')
    from query_table('OUT/canary.csv')
    from query_table(['p', 'held'])
    from histogram('OUT/canary.csv', a)
    from histogram_values('p', x)
    from json_execute_serialized_sql(json_serialize_sql('select 1'))
    from duckdb_settings()
    from duckdb_secrets()
    from duckdb_views()
    from duckdb_logs()
    from duckdb_temporary_files()
    from pragma_database_size()
    from duckdb_settings
    from duckdb_views
    from pg_catalog.pg_views
    from information_schema.tables
    from sqlite_master
    from test_all_types()
    from checkpoint()
    from force_checkpoint()
    from sales.held
    from held
    select secret from sales.held
    with p as (from 'OUT/canary.csv') from p
    with recursive r as (select 1 as i union all select i from 'OUT/canary.csv') from r
    select (select a from 'OUT/canary.parquet')
    select exists (from read_text('OUT/canary.txt'))
    select x from p where x in (select 1 from read_text('OUT/canary.txt'))
    select x from p order by (select count(*) from glob('OUT/*'))
    select x from p group by all having (select count(*) > 0 from 'OUT/canary.csv')
    select x from p qualify row_number() over (order by (select 1 from 'OUT/canary.csv')) = 1
    select x from p limit (select count(*) from glob('OUT/*'))
    select x from p join 'OUT/canary.csv' on true
    select x from p, lateral (from read_text('OUT/canary.txt'))
    select x from p union all select a from 'OUT/canary.csv'
    select list_transform([1], lambda v: (select a from 'OUT/canary.parquet' limit 1))
    select getenv('CANARY_IN_ENVIRONMENT')
    select GETENV('CANARY_IN_ENVIRONMENT')
    select current_setting('temp_directory')
    select "Current_Setting"('allowed_paths')
    select 'allowed_paths'.current_setting()
    select system.main.current_setting('allowed_paths')
    select current_setting('allowed_paths') over ()
    select getvariable('x')
    select current_query()
    select write_log('x')
    select max(pg_get_viewdef(oid)) from range(100000) r(oid)
    select get_block_size('memory')
    select nextval('s')
    select json_serialize_plan('from ''OUT/canary.csv''', optimize := true)
    select json_serialize_plan('select getenv(''CANARY_IN_ENVIRONMENT'')', optimize := true)
    select json_deserialize_sql(json_serialize_sql('from ''OUT/canary.csv'''))
    select stats(x) from p
    select sleep_ms(1)
    select pg_sleep(0.001)
    select current_schemas(true), in_search_path('memory', 'main'), txid_current()
    select filename from p
    select p.filename, file_row_number, file_index from p
    select rowid from p
    select * from p at (version => 1)
    select * from this
    select * from previous
    with this as (from 'OUT/canary.csv') from this
    select * from files
    select * from os
    select * from place
    select ?
    select $1
    select $canary
    values (getenv('CANARY_IN_ENVIRONMENT'))
    table 'OUT/canary.csv'
    from (pivot 'OUT/canary.csv' on a)
    unpivot 'OUT/canary.parquet' on a into name n value v
    select columns(*) from 'OUT/canary.parquet'
    select unnest((select array_agg(a) from 'OUT/canary.parquet'))
"""


def is_harmless(said: str) -> bool:
    """Say whether something that was printed has nothing of what is secret, nor a traceback."""
    return CANARY not in said and "Traceback" not in said


def test_there_is_something_to_find(shop: Place) -> None:
    import duckdb

    readable = [
        text for text in attempts(shop) if text.startswith("from ") and "outside/canary" in text
    ]
    found = 0
    for text in readable:  # a connection without walls gives the secret away
        try:
            found += CANARY in str(duckdb.connect().execute(text).fetchall())
        except duckdb.Error:
            continue
    assert found >= 5
    assert len(attempts(shop)) >= 100


@pytest.mark.parametrize(
    "options", [[], ["--as-of", "1"], ["--format", "csv"], ["--json"]], ids=str
)
def test_a_query_reads_what_is_published_and_nothing_else(shop: Place, options: list[str]) -> None:
    texts, before = attempts(shop), world(shop)
    for text in texts[:: 1 if not options else 3]:
        ran = shop.run("query", *options, "--", text)
        assert is_harmless(ran.out + ran.err), text
        assert ran.code in {0, 2}, text
        assert ran.code == 2 or "outside" not in text, text
        assert "sales." not in ran.out or ran.code == 2, text  # nor where files are
    assert world(shop) == before
    assert shop.query("select sum(x)::int as x from p") == [{"x": 6}]


@pytest.mark.long
def test_what_gets_past_the_reader_meets_a_locked_connection(shop: Place) -> None:
    import duckdb

    store = shop.root / ".products/store"
    [mine] = (store / "sales.p").rglob("*.parquet")
    before = world(shop)
    for text in attempts(shop):
        if text.startswith("copy") and str(mine) in text:
            continue  # what may be read may be written, for DuckDB: here the reader, and the file's mode, stand alone
        views = {"sales.p": duck.parquet([mine]), "p": "from sales.p"}
        room = duck.reading_room([mine], views, shop.root / ".products/spill")
        try:
            told = str(room.execute(text).fetchall())
        except (duckdb.Error, RuntimeError) as error:
            told = str(error)
        assert CANARY not in told, text
        room.close()
    assert world(shop) == before


CARRIERS = {
    "sql_product": "sql_product({name!r}, {text!r}, owner='o', inputs={{'p': 'sales.p'}})",
    "rule.sql": "sql_product({name!r}, 'select 1 as x', owner='o', rules=[rule.sql('r', {text!r})])",
    "rule.check": "sql_product({name!r}, 'select 1 as x', owner='o', rules=[rule.check('r', {text!r})])",
    "subquery": "sql_product({name!r}, 'select 1 as x', owner='o', rules=[rule.check('r', '(select count(*) from (' + {text!r} + ')) >= 0')])",
    "reconciles": "sql_product({name!r}, 'select 1 as x', owner='o', rules=[rule.reconciles({text!r}, 'sales.p', 'x')])",
    "changes": "sql_product({name!r}, 'select 1 as x', owner='o', rules=[rule.changes({text!r}, within=1)])",
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_declared_sql_is_told_or_harmless(shop: Place, carrier: str) -> None:
    texts, before = attempts(shop), world(shop, but=".products")
    lines = [CARRIERS[carrier].format(name=f"e{n}", text=text) for n, text in enumerate(texts)]
    module = shop.write("products/evil.py", "\n".join(lines), header=True)
    ran = shop.run("plan")
    assert (ran.code, is_harmless(ran.out + ran.err)) == (2, True), ran.err
    first = module.read_text().splitlines().index(lines[0]) + 1
    told = {int(line) for line in re.findall(r"products/evil\.py:(\d+)", ran.err)}
    assert len(told) > len(texts) / 2
    left = [line for n, line in enumerate(lines, first) if n not in told]
    shop.write("products/evil.py", "\n".join(left), header=True)
    ran = shop.run("materialize")
    assert is_harmless(ran.out + ran.err), ran.out
    before.pop(str(module), None)
    assert {f: d for f, d in world(shop, but=".products").items() if f != str(module)} == before
    assert shop.query("select sum(x)::int as x from p") == [{"x": 6}]
    for name in {f"e{n}" for n in range(len(texts))}:
        shown = shop.run("query", f"from evil.{name}") if f"'{name}'" in "".join(left) else None
        assert shown is None or is_harmless(shown.out + shown.err)


def test_the_reader_refuses_what_looks_at_the_connection() -> None:
    for name in (
        "current_setting",
        "getvariable",
        "getenv",
        "pg_get_viewdef",
        "get_block_size",
        "json_serialize_plan",
        "json_serialize_sql",
        "pg_sleep",
        "sleep_ms",
        "nextval",
        "has_table_privilege",
    ):
        for text in (
            f"select {name}('x')",
            f"select {name.upper()}('x') over ()",
            f"select main.{name}('x')",
        ):
            with pytest.raises(Unreadable):
                reader.parse(text)


SPILLS = "select * from (select i, hash(i)::varchar || hash(i * 7)::varchar as h from range(4000000) t(i)) order by h limit 3000000 offset 10"


def test_what_does_not_fit_stays_in_the_project(shop: Place) -> None:
    shop.write("pyproject.toml", '[tool.products]\nmemory = "100MB"\nspill = "20MB"\n')
    before = world(shop)
    ran = shop.run("query", f"select count(*) as n from ({SPILLS})")
    assert (ran.code, "`memory` in pyproject.toml" in ran.err) == (1, True)
    assert (
        "Out of Memory" in ran.err
    )  # neither memory nor the room to spill is enough, and both limits hold
    assert {f for f in world(shop) if "spill" not in f} == set(before)
    assert not (shop.root / ".tmp").exists()
    ran = shop.run("query", "select list(x) as x from range(100000000000) t(x)")
    assert ran.code == 1
    assert not (shop.root / ".tmp").exists()


TEXTS = [
    "repeat('x', 2000000000 + x::int)",
    "printf('%1500000000d', x)",
    "rpad('x', 1500000000, 'yz')",
]


@pytest.mark.long
@pytest.mark.parametrize("text", TEXTS)
def test_texts_that_functions_make_count_as_memory(shop: Place, text: str) -> None:
    """DuckDB does not count them: what it is told to take at most would be passed by gigabytes."""
    shop.write("pyproject.toml", '[tool.products]\nmemory = "50MB"\n')
    ran = shop.spawn("query", f"select length({text}) as n from p")
    assert (ran.code, ran.out) == (1, ""), ran.err
    assert "the query took more memory than" in ran.err
    assert "Traceback" not in ran.err


def test_a_query_ends_in_time(shop: Place) -> None:
    endless = "select count(*) from range(1000000000000) a, range(1000000) b where a.range % 7 = b.range % 5"
    ran = shop.spawn("query", "--timeout", "1s", endless)
    assert (ran.code, ran.out) == (1, "")
    assert "the query was stopped after 1 s" in ran.err
    assert shop.run(
        "query", "--timeout", "60s", "select count(*)::int as n from p", "--json"
    ).json == [{"n": 3}]
    ran = shop.run("query", "--timeout", "soon", "select 1")
    assert (ran.code, "Give it as 30s, 5m or '2 hours'" in ran.err) == (2, True)


def test_ctrl_c_stops_what_would_never_end(shop: Place) -> None:
    endless = "select count(*) from range(1000000000000) a, range(1000000) b where a.range % 7 = b.range % 5"
    running = subprocess.Popen(
        [sys.executable, "-m", "assay", "query", endless],
        cwd=shop.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    time.sleep(3)
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=LONG)
    assert running.returncode == 130, err
    assert b"Traceback" not in err
    assert out == b""


def test_only_where_something_stands_in_a_query_does_not_count() -> None:
    texts = [
        "select a from t",
        "select a as query_location from t",
        "select * replace (1 as query_location) from t",
        "select * replace (2 as query_location) from t",
        "select '\"query_location\":5,' as a from t",
        "select '' as a from t",
    ]
    found = [reader.parse(text).meaning for text in texts]
    assert len(set(found)) == len(texts)
    assert [
        reader.parse(f"\n  {text.replace(' from', chr(10) + 'from')} ;").meaning for text in texts
    ] == found


def test_several_threads_are_told_of_their_own_queries() -> None:
    """Rules are judged beside each other: what one thread asks must not be answered to another."""

    def names(thread: int) -> list[str]:
        trees = (reader.tree(f"select a{thread}_{number} from t") for number in range(200))
        return [tree["select_list"][0]["column_names"][0] for tree in trees]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(names, range(4)))
    assert found == [[f"a{thread}_{number}" for number in range(200)] for thread in range(4)]
