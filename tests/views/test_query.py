"""One read-only query over published products, and nothing else within reach."""

import csv
import io
import json
import subprocess
import sys

import pytest

from tests.conftest import Place


@pytest.fixture
def shop(place: Place) -> Place:
    place.write(
        "products/sales.py",
        """
        sql_product("p", "select x, x * 1.5 as y, date '2011-12-09' as d, 'ü\\n' as t, null::int as n from numbers", owner="o")
        @product(owner="o", file="f.txt")
        def f(p): return "x"
        """,
        header=True,
    )
    place.materialize()
    return place


def test_formats(shop: Place) -> None:
    ran = shop.run("query", "--format", "csv", "from p order by x")
    assert list(csv.reader(io.StringIO(ran.out)))[1] == ["1", "1.5", "2011-12-09", "ü\n", ""]
    assert json.loads(shop.run("query", "--format", "json", "from p order by x limit 1").out) == [
        {"x": 1, "y": "1.5", "d": "2011-12-09", "t": "ü\n", "n": None}
    ]
    table = shop.run("query", "from sales.p order by x").out.splitlines()
    assert table[0].split() == ["x", "y", "d", "t", "n"]
    assert len(table) == 4


def test_names(shop: Place) -> None:
    for name in ("p", "sales.p", 'sales."p"', '"p"', "P"):
        assert shop.query(f"select count(*) as n from {name}") == [{"n": 3}]
    assert shop.query("with p2 as (from p) select count(*) as n from p2, p") == [{"n": 9}]


REFUSED = [
    "from '/etc/passwd'",
    "from read_text('/etc/passwd')",
    "select * from read_csv('/etc/passwd', columns={'a': 'VARCHAR'})",
    "from glob('/*')",
    "from sales.f",
    "from nowhere",
    "drop view p",
    "create table t as from p",
    "insert into p values (1)",
    "with a as (insert into p values (1) returning *) from a",
    "copy p to '/tmp/x.csv'",
    "attach '/tmp/x.db'",
    "install httpfs",
    "load httpfs",
    "set memory_limit = '1GB'",
    "pragma database_list",
    "call pragma_version()",
    "select 1; select 2",
    "export database '/tmp/x'",
    "select nope from p",
    "selec 1",
    "",
    "from duckdb_settings()",
    "from query('drop view p')",
    "from query_table('p')",
    "from parquet_metadata('x')",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_anything_else_is_refused(shop: Place, sql: str) -> None:
    ran = shop.run("query", sql)
    assert ran.code == 2, ran.out
    assert ran.err.strip()
    assert "Traceback" not in ran.err
    assert shop.query("select count(*) as n from p") == [{"n": 3}]


def test_the_variables_of_the_program_are_out_of_reach(shop: Place) -> None:
    assert shop.run("query", "from files").code == 2
    assert shop.run("query", "from views").code == 2


def test_the_store_cannot_be_written_through_an_allowed_path(shop: Place) -> None:
    [file] = (shop.root / ".products/store/sales.p").rglob("*.parquet")
    before = file.read_bytes()
    assert shop.run("query", f"copy (select 1) to '{file}' (use_tmp_file false)").code == 2
    assert file.read_bytes() == before


def test_the_place_of_a_mistake_is_shown(shop: Place) -> None:
    ran = shop.run("query", "select x,\n  from from p")
    assert "line 2 column" in ran.err
    assert "^" in ran.err
    assert "Did you mean sales.p" in shop.run("query", "from sale.p").err


def test_one_moment_for_all(shop: Place) -> None:
    shop.numbers("a", 7)
    shop.materialize()
    assert shop.run("query", "--as-of", "1", "--json", "select count(*) as n from p").json == [
        {"n": 3}
    ]
    assert shop.run("query", "--as-of", "noon", "from p").code == 2


@pytest.mark.parametrize("most", [150, 400, 700])
def test_no_memory_is_told_in_words(shop: Place, most: int) -> None:
    command = f"ulimit -c 0; ulimit -v {most}000; exec {sys.executable} -m assay query 'from p'"
    done = subprocess.run(
        ["bash", "-c", command], cwd=shop.root, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert done.returncode not in {1, 2} or (done.returncode, "`ulimit -v`" in done.stderr) == (
        1,
        True,
    ), done.stderr


def test_a_table_shows_the_first_rows_and_says_so(shop: Place) -> None:
    many = "select i from range(1500) t(i)"
    for asked, rows, told in (
        ([], 1000, "the first 1,000 rows"),
        (["-n", "3"], 3, "the first 3"),
        (["-n", "1500"], 1500, ""),
    ):
        ran = shop.run("query", many, *asked)
        assert (len(ran.out.splitlines()), told in ran.err, bool(ran.err)) == (
            rows + 1,
            True,
            bool(told),
        )
    for format in ("csv", "json"):
        ran = shop.run("query", many, "--format", format)
        assert (ran.out.count("1499"), ran.err) == (1, "")
        assert "1499" not in shop.run("query", many, "--format", format, "-n", "3").out
    for count in (0, 1, 2):
        sql = f"select 'a' || chr(10) || 'b' as x, [{{i: i}}] as l from range({count}) t(i)"
        assert shop.run("query", "--json", sql).json == [
            {"x": "a\nb", "l": [{"i": i}]} for i in range(count)
        ]


@pytest.mark.long
@pytest.mark.parametrize("format", ["table", "json"])
def test_the_rows_of_an_answer_are_not_held_in_memory(shop: Place, format: str) -> None:
    code = """
import gc, re, sys
from assay.cli.main import main
gc.disable()  # as the command does
try: main(["query", "--format", sys.argv[1], f"select i, i::varchar as t from range({sys.argv[2]}) t(i)"])
except SystemExit: pass
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""
    peak = []
    for rows in ("1000", "150000"):
        command = [sys.executable, "-c", code, format, rows]
        done = subprocess.run(command, cwd=shop.root, capture_output=True, text=True, check=False)
        peak.append(int(done.stderr.split()[-1]) / 1024)
    assert peak[1] - peak[0] < 20, "MiB"


def test_what_was_not_there_then_is_told_with_the_moment(shop: Place) -> None:
    shop.write("products/later.py", "sql_product('late', 'select 1 as x', owner='o')", header=True)
    shop.materialize()
    assert (
        "no published table 'late' at release 1"
        in shop.run("query", "--as-of", "1", "from late").err
    )
    assert (
        "no published table 'p' as of 2001-02-03 00:00:00 UTC"
        in shop.run("query", "--as-of", "2001-02-03", "from p").err
    )


def test_nanoseconds_are_shown(place: Place) -> None:
    times = "timestamp_ns '2024-01-01 10:00:00.123456789' as t, '10:00:00.000000001'::time_ns as c, 1 as t_1"
    place.write(
        "products/sales.py",
        f"sql_product('p', \"\"\"select {times}, '2024-01-01 00:00:00.000000001Z'::timestamptz_ns as z\"\"\", owner='o')",
        header=True,
    )
    place.materialize()
    row = {
        "t": "2024-01-01 10:00:00.123456789",
        "c": "10:00:00.000000001",
        "t_1": 1,
        "z": "2024-01-01 00:00:00.000000001+00",
    }
    assert place.query("from p order by t; -- all") == [row]
    assert place.query("select t as x, t as x from p") == [{"x": row["t"], "x_1": row["t"]}]
    shown = place.run("show", "p").out
    assert all(text in shown for text in ("10:00:00.123456789", "10:00:00.000000001"))
