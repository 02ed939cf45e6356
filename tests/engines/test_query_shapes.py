"""Queries of many shapes come to an end, with the same rows, under every setting that we give DuckDB.

Each shape takes a table of `id, boss, g, v` to another, so they nest. `ASSAY_EXACTNESS=large` runs many more.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.engines import duckdb as duck
from assay.engines.duckdb import DuckDB
from assay.engines.tables import InputFiles, StoredTable

NESTED = 800 if os.environ.get("ASSAY_EXACTNESS") == "large" else 6
LIMIT = 60.0  # seconds for a query of a few rows: more is a hang
# As of a project that says nothing, of one that says all it may, and on a machine of one core.
LIMITS: list[dict[str, str]] = [
    {},
    {"memory_limit": "200MB", "max_temp_directory_size": "1GB"},
    {"threads": "1"},
]

SHAPES = {
    "recursive": """with recursive r as (select id, boss, g, v, 0 as level from {t} where boss is null
        union select t.id, t.boss, t.g, t.v, level + 1 from {t} t join r on t.boss = r.id where level < 6)
        select distinct id, boss, g, v from r""",
    "recursive, the other way": """with recursive r as (select id, boss from {t} where id = 20
        union select t.id, t.boss from r join {t} t on t.id = r.boss)
        select t.* from {t} t where id in (select id from r)""",
    "recursive, lateral": """with recursive r as (select id from {t} where boss is null
        union select x.id from r, lateral (select id from {t} t where t.boss = r.id) x)
        select t.* from {t} t semi join r using (id)""",
    "recursive over a number": """with recursive r as (select 1::bigint as n
        union all select n + 1 from r where n < (select count(*) from {t}))
        select n as id, null::bigint as boss, n % 3 as g, sum(n) over (order by n)::double as v from r""",
    "recursive twice": """with recursive up as (select id, 0 as level from {t} where boss is null
        union select t.id, level + 1 from {t} t join up on t.boss = up.id where level < 5),
        down as (select id from up union select t.boss from {t} t join down on t.id = down.id where t.boss is not null)
        select t.* from {t} t where id in (from down)""",
    "recursive by key": """with recursive r(id, level) using key (id) as (select id, 0 from {t} where boss is null
        union select t.id, r.level + 1 from {t} t join r on t.boss = r.id where r.level < 6)
        select distinct t.* from {t} t join r using (id)""",
    "lateral": "select id, boss, g, m as v from {t} a, lateral (select max(v) as m from {t} b where b.g = a.g)",
    "correlated": """select id, boss, g, (select count(*) from {t} b where b.boss = a.id)::double as v from {t} a
        where exists (select 1 from {t} b where b.g = a.g and b.id <> a.id)""",
    "windows": """select id, boss, g, sum(v) over (partition by g order by id, v, boss
        rows between 2 preceding and current row) as v from {t}""",
    "qualify": "select id, boss, g, v from {t} qualify row_number() over (partition by g, boss order by id, v) = 1",
    "union": "select id, boss, g, v from {t} union select id + 1, boss, g, v from {t}",
    "except, intersect": """from (from {t} except from {t} where g = 1) intersect (from {t} where id > 2)""",
    "pivot": """select row_number() over (order by boss) as id, boss, 1::bigint as g, coalesce("0_n", 0)::double as v
        from (pivot {t} on g in (0, 1, 2) using sum(v) as n group by boss)""",
    "unpivot": """select id, boss, g, value as v from (unpivot (select id, boss, g, v, v + 1 as w from {t}) on v, w)""",
    "cubes": """select coalesce(sum(id), 0)::bigint as id, boss, g, max(v) as v from {t} group by cube (boss, g)""",
    "not in": """with l as (from {t} union all from {t} where id in (select id from {t} where g = 1)),
        w as (from l qualify row_number() over (partition by id order by v, g, boss) = 1)
        from w union all from {t} where id not in (select id from w where g = 2)""",
    "as of": "select a.id, a.boss, a.g, b.v from {t} a asof join (select id, max(v) as v from {t} group by id) b on a.id >= b.id",
    "unnested": "select distinct id + u as id, boss, g, v from (select *, unnest(range(3)) as u from {t})",
    "sorted": "select id, boss, g, v from {t} order by v desc, id, g, boss limit 40",
    "deep": """with a as (from {t}), b as materialized (select a.* from a semi join a as c using (id)),
        d as materialized (select g, max(v) as v from b group by g)
        select b.id, b.boss, b.g, d.v from b full join d using (g) where b.id in (select id from a)""",
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> InputFiles:
    file = tmp_path_factory.mktemp("store") / "staff.parquet"
    ids = range(1, 41)
    columns = {
        "id": ids,
        "boss": [n // 2 or None for n in ids],
        "g": [n % 3 for n in ids],
        "v": [n * 0.5 for n in ids],
    }
    pl.DataFrame(columns).write_parquet(file)
    return InputFiles(alias="staff", name="org.staff", table=StoredTable((file,)))


@pytest.fixture(scope="module")
def engines(table: InputFiles) -> Iterator[list[DuckDB]]:
    folder = table.paths[0].parent
    made = [DuckDB([folder], folder / "spill", limits) for limits in LIMITS]
    yield made
    for engine in made:
        engine.close()


def in_time(work: Any, query: str) -> Any:
    """Return what some work does, or fail: a thread that hangs in an engine is left where it is."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, daemon=True).start()
    try:
        return done.result(LIMIT)
    except TimeoutError:
        pytest.fail(f"this query hangs:\n{query}", pytrace=False)


def staged(engine: DuckDB, table: InputFiles, query: str, *, views: bool) -> list[tuple[Any, ...]]:
    """Return the rows of a query as a product is made of them: in a file."""
    target = table.paths[0].parent / "out.parquet"
    before = "" if views else duck.before(query, [table], "org")
    if before:
        with (
            suppress(duckdb.ProgrammingError),
            engine.cursor() as cursor,
        ):  # as `making` does: then it needs views
            duck.stage(cursor, query, target, {}, before)
            return sorted(pl.read_parquet(target).rows(), key=repr)
    with engine.bench([table], "org") as bench:
        duck.stage(bench, query, target, {})
    return sorted(pl.read_parquet(target).rows(), key=repr)


def read(table: InputFiles, query: str, limits: dict[str, str]) -> list[tuple[Any, ...]]:
    """Return the rows of a query as a reader asks it."""
    views = {"staff": duck.parquet(table.table)}
    room = duck.reading_room(table.paths, views, table.paths[0].parent / "spill", limits)
    rows = room.execute(query).fetchall()
    room.close()
    return sorted(rows, key=repr)


def check(engines: Sequence[DuckDB], table: InputFiles, query: str) -> list[tuple[Any, ...]]:
    """Run a query in every way; the rows have to be the same."""
    expected = in_time(lambda: read(table, query, LIMITS[0]), query)
    for engine, limits in zip(engines, LIMITS, strict=True):
        for views in (True, False):
            assert (
                in_time(lambda e=engine, v=views: staged(e, table, query, views=v), query)
                == expected
            ), limits
    assert in_time(lambda: read(table, query, LIMITS[1]), query) == expected
    return expected


@pytest.mark.parametrize("shape", SHAPES)
def test_a_query_of_any_shape_ends(engines: list[DuckDB], table: InputFiles, shape: str) -> None:
    assert check(engines, table, SHAPES[shape].format(t="staff"))


@settings(
    max_examples=NESTED, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(SHAPES)), st.sampled_from(["", "materialized "])),
        min_size=2,
        max_size=4,
    )
)
def test_shapes_within_shapes_end(
    engines: list[DuckDB], table: InputFiles, nested: list[tuple[str, str]]
) -> None:
    named = [
        f"t{n} as {how}({SHAPES[shape].format(t=f't{n - 1}' if n else 'staff')})"
        for n, (shape, how) in enumerate(nested)
    ]
    check(engines, table, f"with {', '.join(named)} select id, boss, g, v from t{len(nested) - 1}")


def test_a_small_product_that_reads_itself_up_is_published(place: Any) -> None:
    """The settings of a whole run over little, too: one query of this shape once waited for ever."""
    place.write("data/staff.csv", "id,boss\n1,\n2,1\n3,2\n")
    chart = "with recursive r as (select id, 0 as level from staff where boss is null union all "
    chart += "select s.id, level + 1 from staff s join r on s.boss = r.id) from r"
    place.write(
        "products/org.py",
        f"""
        from assay import source, sql_product
        raw = source.files("data/staff.csv", columns={{"id": "bigint", "boss": "bigint"}})
        staff = sql_product("staff", "from raw", owner="o")
        chart = sql_product("chart", "{chart}", owner="o", timeout="60s")
        """,
    )
    ran = place.spawn("materialize")
    assert ran.code == 0, ran
    assert place.query("from chart order by id") == [{"id": n, "level": n - 1} for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("query", "is_quick"),
    [
        ("select * from sales_lines", True),
        ("select sum(presales) from lines -- of presales", True),
        ("select sum(sales) as sales from sales_lines -- all sales", True),
        ("select * from sales.lines", False),
        ("select * from sales -- the domain\n . lines", False),
        ('select * from "Sales" /**/ .lines', False),
        ('select * from "Sales" . lines', False),
        ("select setseed(0.5) from sales_lines", False),
    ],
)
def test_only_the_domain_itself_needs_views(tmp_path: Path, query: str, is_quick: bool) -> None:
    inputs = [
        InputFiles(alias=name, name=f"sales.{name}", table=StoredTable((tmp_path / "x.parquet",)))
        for name in ("sales_lines", "lines")
    ]
    assert bool(duck.before(query, inputs, "sales")) == is_quick
