"""Building, judging and publishing through the real command."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from threading import Timer

import pytest

from assay.engines.duckdb import DuckDB
from assay.engines.sql.parser import PARSER
from assay.signals import signals_deferred
from tests.conftest import LONG, Place, until


def declare(place: Place, text: str) -> None:
    place.write("products/sales.py", text, header=True)


HANDOVERS = {
    "lazy by default": "def p(numbers): return numbers",
    "lazy": "def p(numbers: pl.LazyFrame) -> pl.LazyFrame: return numbers",
    "eager": "def p(numbers: pl.DataFrame) -> pl.DataFrame: return numbers",
    "relation": "def p(numbers: duckdb.DuckDBPyRelation): return numbers.filter('x > 0')",
    "relation of one's own": "def p(numbers: pl.LazyFrame): return duckdb.connect().sql('select unnest([1, 2, 3])::bigint as x')",
    "arrow": "def p(numbers: pyarrow.Table): return numbers",
    "mixed": "def p(numbers: duckdb.DuckDBPyRelation): return pl.DataFrame(numbers)",
}


@pytest.mark.parametrize("how", HANDOVERS)
def test_inputs_are_handed_over_as_annotated(place: Place, how: str) -> None:
    declare(place, f"import duckdb, pyarrow\n@product(owner='o')\n{HANDOVERS[how]}")
    told = place.materialize()
    assert told["sales.p"]["result"] == "published", told
    assert place.query("select x from p order by x") == [{"x": 1}, {"x": 2}, {"x": 3}]


FORMATS = {
    "csv": ("data/n.csv", "b,a,c\n1,x,9\n,,8\n"),
    "csv.gz": ("data/n.csv.gz", "b,a,c\n1,x,9\n,,8\n"),
    "jsonl": ("data/n.jsonl", '{"a": "x", "b": 1, "c": 9}\n{"c": 8}\n'),
    "parquet": ("data/n.parquet", None),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "engine", ["sql_product('p', 'from s', owner='o')", "@product(owner='o')\ndef p(s): return s"]
)
def test_sources_are_read_as_declared(place: Place, format: str, engine: str) -> None:
    import gzip

    import polars as pl

    path, text = FORMATS[format]
    if text is None:
        pl.DataFrame({"b": [1, None], "a": ["x", None], "c": [9, 8]}).write_parquet(
            place.root / path
        )
    elif path.endswith(".gz"):
        (place.root / path).write_bytes(gzip.compress(text.encode()))
    else:
        place.write(path, text)
    declare(
        place, f"s = source.files('{path}', columns={{'a': pl.String, 'b': pl.Int16}})\n{engine}"
    )
    assert place.materialize()["sales.p"]["result"] == "published"
    assert place.query("from p") == [{"a": "x", "b": 1}, {"a": None, "b": None}]
    [p] = place.run("history", "p", "--json").json
    assert p["rows"] == 2


@pytest.mark.parametrize(
    "engine", ["sql_product('p', 'from s', owner='o')", "@product(owner='o')\ndef p(s): return s"]
)
def test_columns_are_read_by_name_from_files_of_different_headers(
    place: Place, engine: str
) -> None:
    place.write("in/1.csv", "a,b,\n1,x,\n")
    place.write("in/2.csv", "z,b,a\n?,y,2\n")
    declare(
        place, f"s = source.files('in/*.csv', columns={{'a': pl.Int64, 'b': pl.String}})\n{engine}"
    )
    place.materialize()
    assert place.query("from p order by a") == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    place.write("in/3.csv", "b,c\ny,2\n")
    told = place.materialize()["sales.p"]
    assert told["result"] == "failed"
    assert "in/3.csv, line 1: it should have a column 'a'; it has b, c" in told["error"]
    place.write("in/3.csv", "a,b\nfour,2\n")
    assert place.materialize()["sales.p"]["result"] == "failed", (
        "text is no number, and nothing is guessed"
    )


def test_a_source_without_files_holds_what_is_made_of_it(place: Place) -> None:
    declare(
        place,
        "s = source.files('in/*.csv', columns={'x': pl.Int64})\nsql_product('p', 'from s', owner='o')",
    )
    ran = place.run("materialize")
    assert ran.code == 1, "a lost file is no verdict"
    assert "no file matches in/*.csv" in ran.out


def test_large_integers_are_not_changed_silently(place: Place) -> None:
    place.numbers("a", 9007199254740992, 1)
    declare(place, "sql_product('p', 'select sum(x) as total from numbers', owner='o')")
    told = place.materialize()["sales.p"]
    assert told["result"] == "failed"
    assert "column total is HUGEINT" in told["error"]
    assert "declare an integer type in the contract" in told["error"]
    declare(
        place,
        "sql_product('p', 'select sum(x) as total from numbers', owner='o',\n"
        "  contract=pa.DataFrameSchema({'total': pa.Column(int)}))",
    )
    assert place.materialize()["sales.p"]["result"] == "published"
    assert place.query("select total from p") == [{"total": 9007199254740993}]
    place.numbers("a", 2**62, 2**62, 2**62)
    told = place.materialize()["sales.p"]
    assert told["result"] == "failed"
    assert "Conversion" in told["error"]


TYPES = {
    "an interval": ("select interval 1 day as c", "INTERVAL"),
    "a uuid": ("select md5('a')::uuid as c", "UUID"),
    "json": ("select '{}'::json as c", "JSON"),
    "a list of big numbers": ("select [1::hugeint] as c", "HUGEINT[]"),
}


@pytest.mark.parametrize("case", TYPES)
def test_types_that_would_change_are_refused(place: Place, case: str) -> None:
    sql, type = TYPES[case]
    declare(place, f'sql_product("p", "{sql}", owner="o")')
    told = place.materialize()["sales.p"]
    assert told["result"] == "failed"
    assert f"column c is {type}" in told["error"]


@pytest.mark.parametrize(
    "made", ["pl.lit(None)", "pl.duration(days=1)", "pl.lit(1, dtype=pl.Int128)"]
)
def test_polars_types_that_would_change_are_refused(place: Place, made: str) -> None:
    declare(place, f"@product(owner='o')\ndef p(numbers): return numbers.select({made}.alias('c'))")
    told = place.materialize()["sales.p"]
    assert (told["result"], "would not be stored as it was computed" in told["error"]) == (
        "failed",
        True,
    )


def test_a_failure_says_where_in_the_users_code_and_spares_the_rest(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o")
        def bad(numbers):
            return numbers.collect()["nope"]

        sql_product("below", "from bad", owner="o")
        sql_product("good", "from numbers", owner="o")
        sql_product("wrong", "select nope from numbers", owner="o")
        """,
    )
    told = place.materialize()
    assert told[""]["exit_code"] == 1
    assert told["sales.bad"]["error"].startswith("products/sales.py:11: ")
    assert told["sales.below"]["result"] == "held"
    assert told["sales.good"]["result"] == "published"
    assert 'column "nope" not found' in told["sales.wrong"]["error"].lower()
    assert not list((place.root / ".products/store").glob("sales.bad/*")), (
        "nothing is left of what failed"
    )
    again = place.materialize()
    assert again["sales.bad"]["result"] == "failed", "failures of machinery are tried again"
    assert "Traceback" not in place.run("materialize").out


def test_a_mistake_that_shows_only_in_running_is_placed(place: Place) -> None:
    place.write("products/wrong.sql", "select\n  x,\n  nope\nfrom numbers\n")
    declare(
        place,
        "sql_product('p', 'wrong.sql', owner='o')\n@product(owner='o')\ndef q(numbers): return numbers.select('nope')",
    )
    ran = place.run("materialize")
    assert "products/sales.py:8: Binder Error: Referenced column" in ran.out
    assert "LINE 3:   nope" in ran.out
    assert "products/sales.py:9: ColumnNotFoundError" in ran.out
    assert ran.out.count("not found in FROM clause") == 1


def test_a_value_of_the_wrong_type_names_its_file(place: Place) -> None:
    place.write("data/b.csv", "x\nfour\n")
    declare(place, "sql_product('p', 'from numbers', owner='o')")
    error = place.materialize()["sales.p"]["error"]
    assert "data/b.csv, line 2: column 'x' should be BIGINT; it is 'four'" in error


def test_a_wrong_result_is_told(place: Place) -> None:
    declare(place, "@product(owner='o')\ndef p(numbers): return 42")
    assert "the function returned int" in place.materialize()["sales.p"]["error"]
    declare(place, "@product(owner='o', file='x.csv')\ndef p(numbers, to: Path): pass")
    assert "wrote nothing to its parameter 'to'" in place.materialize()["sales.p"]["error"]


def test_files_of_any_kind(place: Place) -> None:
    declare(
        place,
        """
        import xlsxwriter
        sql_product("t", "from numbers", owner="o")
        @product(owner="o", file="t.xlsx")
        def book(t: pl.DataFrame, to: Path): t.write_excel(to)
        @product(owner="o", file="t.json", rules=[rule.sql("not empty", "from this where bytes < 3")])
        def text(t: pl.DataFrame): return t.write_json()
        @product(owner="o", file="t.bin")
        def raw(t): return b"abc"
        @product(owner="o", file="copy.bin")
        def copied(raw: Path, to: Path): to.write_bytes(raw.read_bytes() * 2)
        """,
    )
    assert {t["result"] for n, t in place.materialize().items() if n} == {"published"}
    place.run("show", "copied", "--to", str(place.root / "out.bin"))
    assert (place.root / "out.bin").read_bytes() == b"abcabc"
    assert place.run("show", "book", "--json").json["file"].endswith("t.xlsx")
    declare(
        place,
        "@product(owner='o', file='e.txt', rules=[rule.sql('not empty', 'from this where bytes = 0')])\ndef e(): return ''",
    )
    assert place.materialize()["sales.e"]["result"] == "held back"


def test_early_cutoff_and_order(place: Place) -> None:
    declare(
        place,
        """
        sql_product("few", "select x from numbers where x < 10", owner="o")
        sql_product("total", "select sum(x)::bigint as s from few", owner="o")
        """,
    )
    place.materialize()
    place.numbers("a", 3, 2, 1, 50)
    told = place.materialize()
    assert told["sales.few"]["result"] == "published"
    assert told["sales.few"]["built"]
    assert told["sales.total"]["result"] == "unchanged", (
        "the same rows in another order are the same content"
    )
    place.numbers("a", 3, 2, 4)
    assert place.materialize()["sales.total"]["built"]


def test_a_revert_publishes_the_old_version_without_building(place: Place) -> None:
    declare(place, "sql_product('p', 'select x + 1 as x from numbers', owner='o')")
    first = place.materialize()["sales.p"]["version"]
    place.edit("products/sales.py", "x + 1", "x + 2")
    second = place.materialize()["sales.p"]
    assert second["built"]
    place.edit("products/sales.py", "x + 2", "x   +   1 /* as it was */")
    third = place.materialize()["sales.p"]
    assert (third["result"], third["built"], third["version"]) == ("published", False, first)


def test_what_is_said_of_a_product_changes_nothing(place: Place) -> None:
    declare(place, "sql_product('p', 'from numbers', owner='o', purpose='a', tags=['t'])")
    place.materialize()
    declare(
        place,
        "sql_product('p', 'from numbers', owner='else', purpose='b', consumers=[Consumer(name='c')],\n"
        "  freshness=Freshness(by='08:00'), tags=['u'])",
    )
    told = place.materialize()["sales.p"]
    assert (told["result"], told["built"], told["judged"]) == ("unchanged", False, False)


def test_rules_are_judged_again_when_they_or_what_they_read_change(place: Place) -> None:
    declare(
        place,
        """
        sql_product("limit", "select max(x) as top from numbers", owner="o")
        sql_product("p", "select 2 as x", owner="o", rules=[
            rule.sql("below the limit", "select x, top from this, limit where x > top"),
        ])
        """.replace("limit", "cap"),
    )
    assert place.materialize()["sales.p"]["result"] == "published"
    place.numbers("a", 1)
    told = place.materialize()["sales.p"]
    assert (told["result"], told["built"], told["judged"]) == ("held back", False, True)
    again = place.materialize()["sales.p"]
    assert (again["result"], again["judged"]) == ("held back", False)
    place.edit("products/sales.py", "x > top", "x > top + 5")
    told = place.materialize()["sales.p"]
    assert (told["result"], told["built"], told["judged"]) == ("unchanged", False, True)


def test_previous_is_what_readers_see(place: Place) -> None:
    declare(
        place,
        """
        sql_product("p", "select sum(x)::bigint as total from numbers", owner="o", rules=[
            rule.sql("does not halve", "select t.total, p.total as was from this t, previous p where t.total < p.total / 2"),
        ])
        """,
    )
    assert place.materialize()["sales.p"]["result"] == "published"
    assert place.materialize()["sales.p"]["judged"] is False
    place.numbers("a", 2)
    told = place.materialize()["sales.p"]
    assert told["result"] == "held back"
    assert told["rules"][0]["samples"] == [{"total": 2, "was": 6}]
    place.numbers("a", 5)
    assert place.materialize()["sales.p"]["result"] == "published", (
        "compared with what readers see, not with what was held"
    )
    assert place.materialize()["sales.p"]["judged"] is False


def test_the_same_bad_input_again_is_blocked_without_computing(place: Place) -> None:
    declare(
        place,
        "sql_product('p', 'from numbers', owner='o', rules=[rule.sql('small', 'from this where x > 5')])",
    )
    place.materialize()
    place.numbers("b", 6)
    held = place.materialize()["sales.p"]
    place.write("data/b.csv", "x\n")
    place.materialize()
    place.numbers("b", 6)
    again = place.materialize()["sales.p"]
    said = {name: again[name] for name in ("result", "version", "rules", "rule_count", "affects")}
    assert said == {name: held[name] for name in said}
    assert (again["built"], again["judged"]) == (False, False)


def test_force_builds_and_keeps_what_comes_out_the_same(place: Place) -> None:
    declare(
        place, "sql_product('p', 'from numbers', owner='o')\nsql_product('q', 'from p', owner='o')"
    )
    place.materialize()
    told = place.materialize("-s", "p", "--force")
    assert told["sales.p"]["built"]
    assert place.materialize()["sales.q"]["result"] == "unchanged"


def test_environments_share_versions(place: Place) -> None:
    declare(place, "sql_product('p', 'from numbers', owner='o')")
    place.materialize()
    place.environment("staging")
    told = place.materialize("--env", "staging")["sales.p"]
    assert (told["result"], told["built"], told["judged"]) == ("published", False, False)
    place.edit("products/sales.py", "'from numbers'", "'select x * 2 as x from numbers'")
    assert place.materialize("--env", "staging")["sales.p"]["built"]
    assert place.query("select max(x) as x from p") == [{"x": 3}]
    assert place.run("query", "--env", "staging", "--json", "select max(x) as x from p").json == [
        {"x": 6}
    ]


def test_fail_fast_leaves_the_rest(place: Place) -> None:
    text = "sql_product('a', 'select nope from numbers', owner='o')\n"
    text += "\n".join(f"sql_product('b{n}', 'from b{n - 1}', owner='o')" for n in range(1, 6))
    declare(place, text + "\nsql_product('b0', 'from numbers', owner='o')")
    told = place.materialize("--fail-fast", "--jobs", "1")
    assert told[""]["exit_code"] == 1
    assert "left" in {t["result"] for n, t in told.items() if n}
    assert place.materialize("--exclude", "a")[""]["exit_code"] == 0


def test_a_connected_set_is_one_release_and_others_are_their_own(place: Place) -> None:
    place.numbers("z", 1)
    declare(
        place,
        """
        other = source.files("data/z.csv", columns={"x": pl.Int64})
        sql_product("a", "from numbers", owner="o")
        sql_product("b", "from a", owner="o")
        sql_product("c", "from other", owner="o")
        """,
    )
    told = place.materialize()
    releases = {name: t["release"] for name, t in told.items() if name}
    assert releases["sales.a"] == releases["sales.b"] != releases["sales.c"]


def test_as_ready_publishes_each_as_it_passes_never_before_its_inputs(place: Place) -> None:
    place.write("pyproject.toml", '[tool.products]\nrelease = "as_ready"\n')
    declare(
        place,
        """
        sql_product("a", "from numbers", owner="o", release_group="g")
        sql_product("b", "from a", owner="o")
        sql_product("c", "from numbers", owner="o", release_group="g")
        sql_product("d", "from numbers", owner="o")
        sql_product("e", "from d", owner="o")
        """,
    )
    told = place.materialize("--jobs", "1")
    release = {name.partition(".")[2]: t["release"] for name, t in told.items() if name}
    assert release["a"] == release["c"] < release["b"]
    assert release["d"] < release["e"]
    assert len(set(release.values())) == 4


def test_a_release_group_publishes_all_or_none(place: Place) -> None:
    declare(
        place,
        """
        sql_product("a", "from numbers", owner="o", release_group="g")
        sql_product("b", "from numbers", owner="o", release_group="g", rules=[rule.sql("small", "from this where x > 5")])
        sql_product("c", "from a", owner="o")
        """,
    )
    assert place.materialize()[""]["exit_code"] == 0
    place.numbers("b", 6)
    told = place.materialize()
    assert {n: t["result"] for n, t in told.items() if n} == {
        "sales.a": "held",
        "sales.b": "held back",
        "sales.c": "held",
    }
    assert told["sales.a"]["waits_for"] == {"sales.b": "release group g waits for sales.b"}
    again = place.materialize()
    assert not any(t["built"] or t["judged"] for n, t in again.items() if n)
    assert place.query("select count(*) as n from a") == [{"n": 3}]


def test_bytes_that_are_gone_are_built_again(place: Place) -> None:
    declare(place, "sql_product('p', 'from numbers', owner='o')")
    place.materialize()
    [file] = (place.root / ".products/store/sales.p").rglob("*.parquet")
    file.unlink()
    ran = place.run("query", "from p")
    assert ran.code == 1
    assert "is missing" in ran.err
    told = place.materialize()["sales.p"]
    assert (told["result"], told["built"]) == ("published", True)
    assert "the bytes of" in told["reasons"][0]
    assert place.query("select count(*) as n from p") == [{"n": 3}]


def test_published_files_cannot_be_written(place: Place) -> None:
    declare(place, "sql_product('p', 'from numbers', owner='o')")
    place.materialize()
    [file] = (place.root / ".products/store/sales.p").rglob("*.parquet")
    assert not file.stat().st_mode & 0o222


def test_a_source_replaced_while_it_is_read_is_refused(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o")
        def p(numbers):
            frame = numbers.collect()
            Path("data/a.csv").write_text("x\\n1\\n2\\n3\\n4\\n")
            return frame
        """,
    )
    told = place.materialize()["sales.p"]
    assert told["result"] == "failed"
    assert "data/a.csv was replaced while it was being read" in told["error"]


SLOW = """
import time
@product(owner="o")
def quick(numbers): return numbers
@product(owner="o")
def slow(quick):
    while not Path("go").exists(): time.sleep(0.01)
    time.sleep(0.5)
    return quick
@product(owner="o")
def after(slow): return slow
"""


@pytest.mark.parametrize(
    "sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(place: Place, sent: signal.Signals) -> None:
    declare(place, SLOW)
    process = subprocess.Popen(
        [sys.executable, "-m", "assay", "materialize"],
        cwd=place.root,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ},
    )
    until(lambda: list((place.root / ".products/store").glob("sales.slow/*")))
    process.send_signal(sent)
    place.write("go", "")
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert "the next run goes on from here" in out
    assert "Traceback" not in err
    assert place.run("query", "from quick").code == 2, "half of a connected set is never shown"
    told = place.materialize()
    assert told[""]["exit_code"] == 0
    assert not told["sales.quick"]["built"]
    assert not told["sales.slow"]["built"], "it was let finish, and is kept"


def test_kill_9_loses_nothing_that_was_kept(place: Place) -> None:
    declare(place, SLOW.replace("return numbers", "time.sleep(0.3); return numbers"))
    process = subprocess.Popen([sys.executable, "-m", "assay", "materialize"], cwd=place.root)
    until(lambda: list((place.root / ".products/store").glob("sales.slow/*")))
    process.kill()
    process.wait()
    place.write("go", "")
    assert list((place.root / ".products/store").glob("sales.slow/*")), (
        "an orphan, named by an intent"
    )
    told = place.materialize()
    assert told[""]["exit_code"] == 0
    assert not told["sales.quick"]["built"]
    assert told["sales.slow"]["built"]
    assert len(list((place.root / ".products/store").glob("sales.slow/*"))) == 1
    assert not list((place.root / ".products/locks").iterdir())


def test_two_runs_at_once_end_as_one(place: Place) -> None:
    declare(place, SLOW)
    place.write("go", "")
    command = [sys.executable, "-m", "assay", "materialize", "--wait", "10m"]
    runs = [
        subprocess.Popen(command, cwd=place.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [r.wait(timeout=LONG) for r in runs] == [0, 0], [r.communicate() for r in runs]
    told = place.materialize()
    assert {t["result"] for n, t in told.items() if n} == {"unchanged"}


def test_recorded_in_another_time(place: Place) -> None:
    declare(place, "sql_product('p', 'from numbers', owner='o')")
    place.materialize("--now", "2011-12-08T07:00")
    place.numbers("a", 7)
    place.materialize("--now", "2011-12-09T07:00")
    assert place.run(
        "query", "--json", "--as-of", "2011-12-08T12:00", "select count(*) as n from p"
    ).json == [{"n": 3}]
    assert place.run("query", "--json", "--as-of", "1", "select count(*) as n from p").json == [
        {"n": 3}
    ]
    assert place.run("query", "--json", "select count(*) as n from p").json == [{"n": 1}]
    assert place.run("query", "--as-of", "2011-12-07", "from p").code == 2


def test_what_is_released_in_the_future_is_only_tried(place: Place) -> None:
    declare(place, "sql_product('p', 'from numbers', owner='o')")
    place.materialize()
    place.numbers("a", 7)
    for verb in (
        ["materialize"],
        ["restore", "p", "v"],
        ["restore", "--unpin"],
        ["retire", "p"],
        ["retry"],
    ):
        refused = place.run(*verb, "--now", "2999-01-01")
        assert (refused.code, "is in the future" in refused.err) == (2, True), verb
    assert place.query("select count(*) as n from p") == [{"n": 3}]
    place.environment("try")
    assert (
        place.materialize("--now", "2999-01-01", "--env", "try")["sales.p"]["result"] == "published"
    )
    assert place.run("plan", "--now", "2999-01-01").code == 0


def test_a_clock_that_was_ahead_spoils_no_other_moment(place: Place) -> None:
    def released(value: int, at: str) -> None:
        place.numbers("a", value)
        assert place.materialize("--now", at)["sales.p"]["result"] == "published"

    def seen(at: str) -> list[dict]:
        return place.run("query", "--json", "--as-of", at, "from p").json

    declare(place, "sql_product('p', 'from numbers', owner='o')")
    for day in range(1, 5):
        released(day, f"2024-01-0{day}")
    with closing(sqlite3.connect(place.root / ".products/catalog.db")) as catalog, catalog:
        catalog.execute("update releases set at = '2099-01-01T00:00:00.000000+00:00' where id = 4")
    released(5, "2024-01-05")
    assert [seen(f"2024-01-0{day}T12:00") for day in (2, 3, 5)] == [[{"x": n}] for n in (2, 3, 5)]
    assert place.query("from p") == [{"x": 5}]


def test_ctrl_c_waits_until_a_thread_is_known() -> None:
    """A thread that is stopped half-way into being started would go on, and nobody would wait for it."""
    reached = []
    with pytest.raises(KeyboardInterrupt), signals_deferred():
        signal.raise_signal(signal.SIGINT)
        reached.append(True)
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with signals_deferred():
        pass


def test_stopping_does_not_wait_for_what_never_began(place: Place) -> None:
    declare(
        place,
        "import time\ndef made(n):\n    @product(name=f'p{n}', owner='o')\n    def p(numbers):\n        time.sleep(1)\n"
        "        return numbers\nfor n in range(6): made(n)",
    )
    command = [sys.executable, "-m", "assay", "materialize", "--jobs", "1"]
    process = subprocess.Popen(
        command, cwd=place.root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    until(lambda: list((place.root / ".products/store").glob("sales.*/*")))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert out.count("not finished; the next run goes on from here") == 6


WAITING = """
import time
sql_product("a", "select sum(x)::bigint as x from numbers", owner="o")
@product(owner="o")
def b(a):
    FIRST
    return a
"""


def while_it_builds(place: Place, *verb: str) -> int:
    """Run a verb while `b` is being built with changed code; returns the exit code of that run."""
    declare(place, WAITING.replace("FIRST", "pass"))
    place.materialize()
    place.numbers("b", 1)
    place.materialize()
    wait = "Path('began').touch()\n    while not Path('go').exists(): time.sleep(0.01)"
    declare(place, WAITING.replace("FIRST", wait))
    process = subprocess.Popen(
        [sys.executable, "-m", "assay", "materialize"], cwd=place.root, stdout=subprocess.PIPE
    )
    until((place.root / "began").exists)
    ran = place.spawn(*verb)
    assert ran.code == 0, ran.err
    (place.root / "go").touch()
    process.communicate(timeout=LONG)
    return process.returncode


def test_a_pin_set_during_a_run_holds(place: Place) -> None:
    declare(place, WAITING.replace("FIRST", "pass"))
    place.materialize()
    place.numbers("b", 1)
    place.materialize()
    now = place.run("history", "b", "--json").json[0]["version"]
    assert while_it_builds(place, "restore", "b", now) == 0
    assert {t["product"]: t["state"] for t in place.run("status", "--json").json}[
        "sales.b"
    ] == "pinned"
    assert place.run("history", "b", "--json").json[0]["released"] == [], (
        "what was built meanwhile is kept, not published"
    )


def test_what_was_only_read_is_still_as_it_was_when_it_is_published(place: Place) -> None:
    declare(place, WAITING.replace("FIRST", "pass"))
    place.materialize()
    old = place.run("history", "a", "--json").json[0]["version"]
    assert while_it_builds(place, "restore", "a", old) == 0
    [seen] = place.query("select a.x as a, b.x as b from a, b")
    assert seen["a"] == seen["b"] == 6, "b was decided on again, from what readers see of a"


def test_a_group_is_looked_after_whole(place: Place) -> None:
    declare(
        place,
        """
        sql_product("b", "from numbers", owner="o", release_group="g", rules=[rule.sql("small", "from this where x > 5")])
        sql_product("e", "from numbers", owner="o", release_group="g")
        """,
    )
    place.materialize()
    place.numbers("b", 9)
    told = place.materialize("-s", "e")
    assert {n: t["result"] for n, t in told.items() if n} == {
        "sales.b": "held back",
        "sales.e": "held",
    }
    ran = place.run("materialize", "--exclude", "b")
    assert (ran.code, "published all or none" in ran.err) == (2, True)
    place.run("restore", "b", place.run("history", "b", "--json").json[-1]["version"])
    assert place.materialize()["sales.e"]["result"] == "held", (
        "a pinned member does not go out, so neither do the others"
    )


SQL = {
    "a comment at the end": "select x from numbers -- the end",
    "a semicolon and a comment": "select x from numbers; -- the end; really",
    "a semicolon in a text": "select x from numbers where ';' = ';' ;",
    "both names of one product": "select n.x from numbers n join sales.numbers m on n.x = m.x",
    "a description": "describe select x from numbers",
}


@pytest.mark.parametrize("case", SQL)
def test_sql_as_people_write_it(place: Place, case: str) -> None:
    declare(
        place,
        f'sql_product("p", "{SQL[case]}", owner="o", rules=[rule.sql("r", "from this where 1 > 2; -- c")])',
    )
    assert place.materialize()["sales.p"]["result"] == "published"


def test_an_alias_that_would_stand_for_two_things_is_told(place: Place) -> None:
    declare(
        place,
        "sql_product('a', 'select 1 as x', owner='o')\nsql_product('p', 'select n.x from n, sales.a', owner='o', inputs={'n': 'a'})",
    )
    assert place.materialize()["sales.p"]["result"] == "published"
    declare(
        place,
        "sql_product('a', 'select 1 as x', owner='o')\nsql_product('b', 'select 2 as x', owner='o')\n"
        "sql_product('p', 'select b.x from b, sales.b', owner='o', inputs={'b': 'a'})",
    )
    assert "sales.b would be" in place.materialize()["sales.p"]["error"]


def test_fail_fast_does_not_begin_what_waits(place: Place) -> None:
    declare(
        place,
        "def made(n):\n    @product(name=f'p{n}', owner='o')\n    def p(numbers):\n        Path(f'ran{n}').touch()\n"
        "        if n == 0: raise ValueError('no')\n        return numbers\nfor n in range(6): made(n)",
    )
    told = place.materialize("--fail-fast", "--jobs", "1")
    assert told["sales.p0"]["result"] == "failed"
    assert len(list(place.root.glob("ran*"))) <= 2


def test_what_users_code_prints_is_not_part_of_the_answer(place: Place) -> None:
    declare(
        place,
        "print('loading')\n@product(owner='o')\ndef p(numbers):\n    print('building')\n    return numbers",
    )
    ran = place.spawn("materialize", "--json")
    assert [e.get("product") for e in ran.events] == ["sales.p", None]
    assert "building" in ran.err


def test_fail_fast_with_nothing_left_to_do_tells_of_everything(place: Place) -> None:
    never = "rules=[rule.sql('no row', 'select x from this')]"
    declare(
        place,
        f"sql_product('a', 'from numbers', owner='o', {never})\nsql_product('b', 'from numbers', owner='o')",
    )
    place.materialize()
    told = place.materialize("--fail-fast")
    assert {name: t["result"] for name, t in told.items() if name} == {
        "sales.a": "held back",
        "sales.b": "unchanged",
    }
    assert told[""]["exit_code"] == 3


@pytest.mark.long
def test_what_does_not_fit_into_memory_is_spilled_and_told(place: Place) -> None:
    place.write("pyproject.toml", '[tool.products]\nmemory = "150MB"\nspill = "2GB"\n')
    sql = "select i, hash(i) as h, md5(i::varchar) as s from range(3000000) t(i) order by h"
    place.write("products/sales.py", f"sql_product('big', '{sql}', owner='o')", header=True)
    ran = place.spawn("materialize", "-s", "big", "--json")
    last = ran.events[-1]
    assert (last["exit_code"], last["spilled_bytes"] > 0) == (0, True), ran.err
    assert not list((place.root / ".products/spill").glob("*"))
    place.write("pyproject.toml", '[tool.products]\nmemory = "150MB"\nspill = "1MB"\n')
    told = place.materialize("-s", "big", "--force")
    assert told["sales.big"]["result"] == "failed", "what may be spilled is bounded"


def test_an_exception_that_cannot_tell_its_message_fails_its_product_alone(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        class Mute(Exception):
            def __str__(self): raise RuntimeError("no words")

        @product(owner="o")
        def mute(numbers): raise Mute()

        @product(owner="o")
        def fine(numbers): return numbers
        """,
        header=True,
    )
    told = place.materialize()
    assert (told["sales.mute"]["result"], told["sales.fine"]["result"]) == ("failed", "published")
    assert "Mute: its message cannot be told (RuntimeError)" in told["sales.mute"]["error"]


def test_what_users_exceptions_say_is_told_whole_and_no_password_with_it(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        @product(owner="o")
        def lines(numbers): raise ValueError("first\\nsecond \\x1b[31m")
        @product(owner="o")
        def group(numbers): raise ExceptionGroup("both", [KeyError("one"), OSError("two")])
        @product(owner="o")
        def large(numbers): raise ValueError("x" * 2_000_000)
        @product(owner="o")
        def address(numbers): raise ValueError("no answer from postgresql://me:SE@CRET/1@host:5/d")
        @product(owner="o", isolate=True)
        def apart(numbers):
            error = ValueError("mysql://me:SECRET@host/d is away")
            error.add_note("redis://:SECRET@host")
            raise error
        """,
        header=True,
    )
    ran = place.run("materialize", "--jobs", "1")
    assert ran.code == 1
    assert "ValueError: first\n             second \\x1b[31m\n" in ran.out
    assert all(
        word in ran.out for word in ("ExceptionGroup: both", "KeyError: 'one'", "OSError: two")
    )
    assert "… (2,000,000 letters in all)" in ran.out
    assert len(ran.out) < 5000
    assert "postgresql://me:…@host:5/d" in ran.out
    assert "mysql://me:…@host/d is away" in ran.out
    assert "CRET" not in ran.out + ran.err


def test_an_interrupt_that_nobody_sent_fails_its_product_alone(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        sql_product("good", "from numbers", owner="o")
        @product(owner="o")
        def p(numbers): raise KeyboardInterrupt
        """,
        header=True,
    )
    told = place.materialize()
    assert (told[""]["exit_code"], told["sales.good"]["result"], told["sales.p"]["result"]) == (
        1,
        "published",
        "failed",
    )
    assert "KeyboardInterrupt" in told["sales.p"]["error"]


@pytest.mark.parametrize("where", ["the parser", "a bench"])
def test_ctrl_c_in_duckdb_is_one(tmp_path: Path, where: str) -> None:
    """DuckDB takes the signal for itself, and raises an error that is no KeyboardInterrupt."""
    long = "select 1 where " + " and ".join(f"a{n} = {n}" for n in range(100_000))
    asked = "select json_serialize_sql(?::varchar)"
    engine = DuckDB([tmp_path], tmp_path / "spill")
    with pytest.raises(KeyboardInterrupt):
        Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        if where == "the parser":
            PARSER.ask(asked, [long])
        else:
            with engine.bench([], "x") as bench:
                bench.execute(asked, [long])
        time.sleep(20)  # it was quicker
    assert PARSER.ask("select 1") == [(1,)]
    engine.close()
