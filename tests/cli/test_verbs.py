"""The verbs, as typed."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from assay.cli.main import main
from tests.conftest import Place, mostly_long

SHOP = """
sql_product("lines", "from numbers", owner="a@shop", purpose="Lines.", tags=["core"])
sql_product("total", "select sum(x)::bigint as total from lines", owner="b@shop", purpose="A total.",
    rules=[rule.sql("is small", "select total from this where total > 10", because="It always was.")],
    freshness=Freshness(by="07:00", tz="Europe/London", on="GB-ENG", covers="previous working day"),
    consumers=[Consumer(name="desk", decides="discounts", contact="desk@shop")])
sql_product("report", "from total", owner="b@shop", consumers=[Consumer(name="board", decides="dividends")])
"""


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("products/sales.py", SHOP, header=True)
    assert place.materialize("--now", "2011-12-08T07:00")[""]["exit_code"] == 0
    return place


@pytest.fixture
def held(shop: Place) -> Place:
    shop.numbers("b", 9)
    assert shop.materialize("--now", "2011-12-09T07:00")[""]["exit_code"] == 3
    return shop


def test_init_makes_a_project_that_runs(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    ran = CliRunner().invoke(main, ["init", str(folder)])
    assert (ran.exit_code, "Next: products materialize" in ran.output) == (0, True)
    place = Place(folder)
    assert place.spawn("materialize").code == 0
    assert len(place.query("from daily_revenue")) == 3
    tested = place.run("test")
    assert (tested.code, "2 passed" in tested.out) == (0, True), tested.out
    listed = CliRunner().invoke(main, ["init", str(tmp_path / "other"), "--json"])
    assert "pyproject.toml" in json.loads(listed.output)["made"]
    again = CliRunner().invoke(main, ["init", str(folder)])
    assert again.exit_code == 2
    assert "is a project already" in again.output


def test_ls(shop: Place) -> None:
    told = shop.run("ls", "--json").json
    assert [p["product"] for p in told] == [
        "sales.lines",
        "sales.total",
        "sales.report",
        "sales.numbers",
    ]
    assert (
        told[1]["freshness"]
        == "by 07:00 Europe/London on GB-ENG, covering the previous working day"
    )
    assert told[1]["consumers"] == [
        {"name": "desk", "decides": "discounts", "contact": "desk@shop"}
    ]
    assert shop.run("ls", "-s", "tag:core").out.splitlines()[1].split()[0] == "sales.lines"


def test_a_held_back_product_says_all_that_its_readers_ask(held: Place) -> None:
    lines = held.run("materialize").out.splitlines()
    assert re.fullmatch(
        r"  held back  sales\.total   v\w{6}  1 of 1 rules failed; readers keep v\w{6}", lines[0]
    ), lines[0]
    told = [re.sub(r"due [\d-]+ 07:00", "due 07:00", line.strip()) for line in lines[1:7]]
    assert told == [
        "is small: 1 row",
        "total 15",
        "because: It always was.",
        "rows 1 -> 1: 1 new, 1 gone",
        "would change 2 rows",
        "affects: desk (discounts, due 07:00), board (dividends)",
    ]
    assert re.fullmatch(
        r"  held       sales\.report\s+waits: sales\.total is held back; readers keep v\w{6}",
        lines[7],
    )
    assert lines[8] == "  unchanged  1 product"


def test_status(held: Place) -> None:
    told = {t["product"]: t for t in held.run("status", "--json").json}
    assert {n: t["state"] for n, t in told.items()} == {
        "sales.lines": "up to date",
        "sales.total": "held back",
        "sales.report": "held",
        "sales.numbers": "read",
    }
    assert told["sales.total"]["readers"]["rows"] == 1
    assert told["sales.total"]["because"] == "is small; would change 2 rows"
    held.numbers("b", 1)
    told = {t["product"]: t["state"] for t in held.run("status", "--json").json}
    assert told["sales.lines"] == "stale"
    assert held.run("status").code == 0


def test_plan_changes_nothing(shop: Place) -> None:
    shop.numbers("b", 4)
    before = sorted(shop.root.rglob("*"))
    first = shop.run("plan").out
    assert first == shop.run("plan").out
    assert "build      sales.lines" in first
    assert "input sales.numbers changed (1 file added)" in first
    assert "maybe      sales.total" in first
    assert sorted(shop.root.rglob("*")) == before


def test_why(held: Place) -> None:
    out = held.run("why", "total").out
    assert "owner b@shop, declared at products/sales.py:10" in out
    assert "4  did it pass?                                     no" in out
    assert "is small: 1 row" in out
    assert "look at the rows: products show sales.total --held" in out
    assert "waits: sales.total is held back" in held.run("why", "report").out
    assert held.run("why", "lines", "--json").json["result"] == "unchanged"
    assert "Did you mean sales.total?" in held.run("why", "totl").err


def test_history(held: Place) -> None:
    bad, good = held.run("history", "total", "--json").json
    assert (bad["verdict"], bad["failed"], bad["released"]) == ("failed", ["is small"], [])
    assert (good["verdict"], good["released"][0]["release"]) == ("passed", 1)
    assert good["released"][0]["at"].startswith("2011-12-08T07:00")
    assert len(held.run("history", "total").out.splitlines()) == 3


def test_show(held: Place) -> None:
    assert held.run("show", "total", "--json").json == [{"total": 6}]
    assert held.run("show", "total", "--held", "--json").json == [{"total": 15}]
    assert held.run("show", "lines", "-n", "2").out.splitlines()[0] == "x"
    assert len(held.run("show", "lines", "-n", "2").out.splitlines()) == 3
    bad, good = (v["version"] for v in held.run("history", "total", "--json").json)
    assert held.run("show", "total", "--version", bad[:9], "--json").json == [{"total": 15}]
    assert held.run("show", "total", "--version", good, "--json").json == [{"total": 6}]
    assert held.run("show", "total", "--version", "v").code == 2
    assert "has no version" in held.run("show", "total", "--version", "nope").err
    assert "no version of sales.lines is held back" in held.run("show", "lines", "--held").err


def test_failing_rows_are_written_to_a_csv_file_only(held: Place) -> None:
    ran = held.run("show", "total", "--held", "--failures", "is small", "--to", "x.txt")
    assert (ran.code, "x.txt is named otherwise\n  Name a file that ends in .csv." in ran.err) == (
        2,
        True,
    )


def test_lineage(shop: Place) -> None:
    out = shop.run("lineage", "total").out
    assert out.splitlines() == [
        "sales.total  (sql, b@shop)",
        "  depends on",
        "    sales.lines",
        "      sales.numbers",
        "  used by",
        "    sales.report",
    ]
    assert shop.run("lineage", "numbers").out.startswith("sales.numbers  (source, data/*.csv)")
    mermaid = shop.run("lineage", "total", "--format", "mermaid").out
    assert mermaid.startswith("flowchart LR")
    assert mermaid.count("-->") == 3
    data = shop.run("lineage", "total", "--json").json
    edge = {"from": "sales.numbers", "to": "sales.lines", "kind": "data", "rules": []}
    assert edge in data["edges"]


def test_lineage_tells_what_only_a_rule_reads(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        sql_product("rates", "from numbers", owner="o")
        sql_product("p", "from numbers", owner="o", rules=[rule.sql("has a rate", "from this anti join rates using (x)")])
        sql_product("q", "from p join rates using (x)", owner="o", rules=[rule.sql("again", "from this anti join rates using (x)")])
        """,
        header=True,
    )
    lines = place.run("lineage", "p").out.splitlines()
    assert "    sales.rates  (only in a rule: 'has a rate')" in lines
    assert (
        "    sales.p  (only in a rule: 'has a rate')"
        in place.run("lineage", "rates").out.splitlines()
    )
    assert "    sales.rates …" in place.run("lineage", "q").out.splitlines(), (
        "also read by its query"
    )
    edges = place.run("lineage", "p", "--json").json["edges"]
    kinds = {(edge["from"], edge["to"]): (edge["kind"], edge["rules"]) for edge in edges}
    assert kinds["sales.rates", "sales.p"] == ("rule", ["has a rate"])
    assert kinds["sales.rates", "sales.q"] == ("data", ["again"])
    assert place.run("lineage", "p", "--mermaid").out.count("-. rule .->") == 1


def test_a_lineage_may_be_deeper_than_the_stack(place: Place) -> None:
    place.write(
        "products/sales.py",
        "from assay import sql_product\n"
        "for i in range(1100):\n"
        "    sql_product(f'p{i}', f'select v + 1 as v from p{i - 1}' if i else 'select 1 as v', owner='o')\n",
    )
    down, up = (
        place.run("lineage", "p0").out.splitlines(),
        place.run("lineage", "p1099").out.splitlines(),
    )
    assert down[1] == "  used by" and down[-1] == "    " + "  " * 1098 + "sales.p1099"
    assert up[1] == "  depends on" and up[-1] == "    " + "  " * 1098 + "sales.p0"


def test_restore_pins_until_unpinned(shop: Place) -> None:
    shop.numbers("a", 4)
    shop.materialize()
    new, old = (v["version"] for v in shop.run("history", "total", "--json").json)
    assert shop.run("restore", "total", old[:8]).code == 0
    assert shop.query("from total") == [{"total": 6}]
    told = shop.materialize()
    assert told["sales.total"]["pinned"]
    assert shop.query("from report") == [{"total": 6}], "what is made of it follows"
    assert not told["sales.report"]["built"]
    states = {t["product"]: t["state"] for t in shop.run("status", "--json").json}
    assert states["sales.total"] == "pinned"
    assert shop.run("restore", "total", "--unpin").code == 0
    shop.materialize()
    assert shop.query("from report") == [{"total": 4}]
    assert [r["why"] for v in shop.run("history", "total", "--json").json for r in v["released"]][
        :2
    ] == [
        "materialize",
        "materialize",
    ]
    assert shop.run("restore", "total", "--unpin").code == 2
    assert shop.run("restore", "total").code == 2
    assert new


def test_what_was_never_judged_good_is_not_restored(held: Place) -> None:
    bad = held.run("history", "total", "--json").json[0]["version"]
    ran = held.run("restore", "total", bad)
    assert ran.code == 2
    assert "never judged good" in ran.err


def test_selection_reaches_the_commands(held: Place) -> None:
    def named(*arguments: str) -> set[str]:
        return {
            t["product"].partition(".")[2] for t in held.run("status", "--json", *arguments).json
        }

    assert named("-s", "+total", "--exclude", "lines") == {"total", "numbers"}
    assert named("-s", "blocked:") == {"total", "report"}
    held.numbers("c", 1)
    assert named("-s", "stale:") == {"lines", "total", "report"}
    held.edit("products/sales.py", "total > 10", "total > 11")
    assert named("-s", "state:modified") == {"total"}
    assert named("-s", "+state:modified") == {"total", "lines", "numbers"}
    ran = held.run("status", "-s", "colour:red")
    assert (ran.code, "Selectors: name, +name" in ran.err) == (2, True)


CONFIGS = {
    "[tool.products]\nstor = 'x'": "unknown setting 'stor': did you mean 'store'?",
    "[tool.products]\njobs = 'two'": "jobs should be a whole number",
    "[tool.products]\nrelease = 'never'": "release should be 'coherent' or 'as_ready'",
    "[tool.products]\nstore = '../x'": "store should be a folder inside the project",
    "[tool.products]\ndefinitions = 'nowhere'": "Make it, or set definitions in pyproject.toml",
    "[tool.products]\ndefinitions = 'prodcts'": "Did you mean products?",
    "[tool.products": "is not valid TOML",
    "[tool]\nproducts = 3": "should be a table",
    "[tool.products]\nenvironment = 'a/b'": "environment should be at most 60 letters",
    "tool = 3": "no project here",
    "[tool.products]\ndefinitions = '.'": "definitions should be a folder inside the project",
    '[tool.products]\nstore = "a\\u0000b"': "store should be a folder inside the project",
    "[tool.products]\njobs = -5": "jobs should be between 0 and 64",
    "[tool.products]\nmemory = 'lots'": "memory should be a size",
    "[tool.products]\nreads = 'x'": "reads should be a list of texts",
}


@pytest.mark.parametrize("text", CONFIGS)
def test_a_bad_configuration_is_told(place: Place, text: str) -> None:
    place.write("pyproject.toml", text + "\n")
    ran = place.run("status")
    assert ran.code == 2
    assert CONFIGS[text] in ran.err


def test_no_project(tmp_path: Path) -> None:
    ran = Place(tmp_path).run("status")
    assert (ran.code, "`products init` makes one" in ran.err) == (2, True)


def test_json_is_json_everywhere(held: Place) -> None:
    for verb in (
        "ls",
        "status",
        "plan",
        "why total",
        "history total",
        "show total",
        "lineage total",
        "query --json 'from total'",
    ):
        words = ["query", "from total"] if verb.startswith("query") else verb.split()
        assert json.loads(held.run(*words, "--json").out) is not None, verb


def test_a_damaged_catalog_is_told(shop: Place) -> None:
    (shop.root / ".products/catalog.db").write_bytes(b"x" * 5000)
    for suffix in ("-wal", "-shm"):
        (shop.root / f".products/catalog.db{suffix}").unlink(missing_ok=True)
    for verb in (["status"], ["materialize"], ["query", "from total"], ["history", "total"]):
        ran = shop.run(*verb)
        assert ran.code == 1
        assert "cannot use the catalog" in ran.err


def test_a_schema_version_that_is_none_is_told(shop: Place) -> None:
    with closing(sqlite3.connect(shop.root / ".products/catalog.db")) as catalog:
        catalog.execute("update meta set value = '-1' where name = 'schema'")
        catalog.commit()
    for verb in ("status", "materialize"):
        ran = shop.run(verb)
        assert ran.code == 1
        assert "has schema version -1" in ran.err


ODD = {
    "a verb that is mistyped": (["materialise"], 2, "Did you mean 'materialize'?"),
    "a verb of dbt": (["build"], 2, "No such command 'build'. `products materialize` builds"),
    "a verb of dbt with its options": (["compile", "-s", "total"], 2, "`products plan` says"),
    "a source where a product is meant": (
        ["why", "numbers"],
        2,
        "sales.numbers is a source, not a product\n  `products show sales.numbers` says",
    ),
    "a copy of another format": (
        ["show", "total", "--to", "total.csv"],
        2,
        "so it cannot be copied to total.csv\n  Name a file that ends in .parquet; `products query",
    ),
    "a verb with letters of a terminal": (["stat\x1b[31mus"], 2, "'stat\\x1b[31mus'"),
    "an environment with a path": (
        ["status", "--env", "x.y/z"],
        2,
        "--env should be at most 60 letters",
    ),
    "a moment beyond time": (
        ["query", "--as-of", "9999-12-31T23:59-14:00", "from total"],
        2,
        "is no moment",
    ),
    "a number beyond numbers": (["query", "--as-of", "9" * 30, "from total"], 2, "is no moment"),
    "a folder that is not there": (
        ["show", "total", "--to", "/nonexistent/x"],
        1,
        "No such file or directory",
    ),
    "an empty selector": (["status", "-s", ""], 2, "the selector is empty"),
    "sql nested too deeply": (["query", "select " + "[" * 900 + "1" + "]" * 900], 2, "nested"),
    "sql that is a long sum": (["query", "select " + "1+" * 2000 + "1"], 2, "depth"),
    "settings": (["query", "select current_setting('allowed_paths')"], 2, "reads settings"),
    "show tables": (["query", "from (show tables)"], 2, "SHOW looks at the catalog"),
    "one name with a dot": (["query", 'from "sales.total"'], 2, "quote the parts"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_arguments_are_told(shop: Place, case: str) -> None:
    arguments, code, said = ODD[case]
    ran = shop.run(*arguments)
    assert ran.code == code, ran
    assert said in ran.err


def test_numbers_and_keys_that_json_has_not(shop: Place) -> None:
    [row] = shop.query(
        "select 'nan'::double as a, map([date '2020-01-01'], [1]) as m, 1 as x, 2 as x"
    )
    assert row == {"a": "nan", "m": {"2020-01-01": 1}, "x": 1, "x_1": 2}


def test_a_column_name_is_text_too(shop: Place) -> None:
    assert "\x1b" not in shop.run("query", 'select 1 as "\x1b[31mred"').out


def test_one_lost_file_does_not_hide_the_others(shop: Place) -> None:
    [file] = (shop.root / ".products/store/sales.total").rglob("*.parquet")
    file.unlink()
    assert len(shop.query("from lines")) == 3
    assert shop.run("query", "from total").code == 1


def test_a_catalog_damaged_inside_is_told(shop: Place) -> None:
    import sqlite3

    for damage in ("delete from parts", "update versions set inputs = '{'", "delete from meta"):
        with sqlite3.connect(shop.root / ".products/catalog.db") as db:
            db.execute(damage)
        ran = shop.run("status")
        assert (ran.code, "is damaged" in ran.err) == (1, True), damage


def test_modules_as_other_editors_write_them(place: Place) -> None:
    text = "from assay import product\n@product(owner='o', domain='d', name='NAME', inputs={'n': 'sales.numbers'})\ndef p(n): return n\n"
    (place.root / "products/bom.py").write_bytes(
        b"\xef\xbb\xbf" + text.replace("NAME", "bom").encode()
    )
    (place.root / "products/latin.py").write_bytes(
        b"# -*- coding: latin-1 -*-\n# \xe9\n" + text.replace("NAME", "latin").encode()
    )
    assert [t["product"] for t in place.run("ls", "--json").json] == [
        "d.bom",
        "d.latin",
        "sales.numbers",
    ]
    assert place.materialize()[""]["exit_code"] == 0


def test_now_cannot_be_before_what_is_released(shop: Place) -> None:
    shop.numbers("b", 1)
    ran = shop.run("materialize", "--now", "2011-12-07T07:00")
    assert (
        ran.code,
        "--now cannot be before the last release (#1, 2011-12-08 07:00:00 UTC)" in ran.err,
    ) == (2, True)
    assert shop.run("materialize", "--now", "2011-12-08T07:00").code == 0


def test_history_tells_todays_verdict_and_what_readers_see(shop: Place) -> None:
    shop.edit("products/sales.py", "total > 10", "nope > 10")
    assert shop.run("materialize").code == 3
    shop.edit("products/sales.py", "nope > 10", "total > 10")
    shop.materialize()
    [told] = shop.run("history", "total", "--json").json
    assert (told["verdict"], told["now"], told["pinned"]) == ("passed", True, False)


def test_small_helps(shop: Place) -> None:
    assert (
        "there is no release 99: the last of prod is 1"
        in shop.run("query", "--as-of", "99", "from total").err
    )
    assert "2 of 3 rows; -n 3 shows all" in shop.run("show", "lines", "-n", "2").err
    assert "stored as .parquet" in shop.run("show", "lines", "--to", str(shop.root / "x.csv")).err
    assert "nothing matches tag:nope" in shop.run("ls", "-s", "tag:nope").err
    assert (shop.root / ".products/.gitignore").read_text() == "*\n"
    assert "products materialize" in shop.run("query", "from nowhere_near").err


def test_why_names_what_a_held_product_waits_for_in_the_end(held: Place) -> None:
    assert (
        "sales.total is held back: is small (products why sales.total)"
        in held.run("why", "report").out
    )


def test_a_rule_that_fails_and_one_that_cannot_be_judged_are_told_apart(shop: Place) -> None:
    shop.edit(
        "products/sales.py",
        'rules=[rule.sql("is small",',
        'rules=[rule.sql("odd", "select nope from this"), rule.sql("is small",',
    )
    shop.edit("products/sales.py", "total > 10", "total > 1")
    assert "1 of 2 rules failed, 1 could not be judged" in shop.run("materialize").out


@pytest.mark.parametrize(
    "closed", mostly_long([">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"], ">&-", "<&- >&- 2>&-")
)
def test_a_closed_stream_hears_nothing_and_hurts_nobody(shop: Place, closed: str) -> None:
    assay = f"{sys.executable} -m assay"
    command = f"{assay} ls {closed} && {assay} materialize --force {closed} && ! {assay} why nobody {closed}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=shop.root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert ("published" in done.stdout, "nobody" in done.stderr) == (
        closed == "2>&-",
        "2" not in closed,
    )
    assert shop.run("verify").code == 0


def test_output_that_cannot_be_written_is_a_failure(shop: Place) -> None:
    command = [
        "env",
        "-u",
        "PYTHONUNBUFFERED",
        sys.executable,
        "-m",
        "assay",
        "status",
    ]  # unbuffered, it fails anyway
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, cwd=shop.root, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (
        done.returncode,
        done.stderr.count("No space left on device"),
        "None" in done.stderr,
    ) == (1, 1, False)


def test_only_the_command_writes_to_standard_output(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        import os, subprocess, sys
        os.write(1, b"imported\\n")
        @product(owner="o")
        def p(numbers):
            os.write(1, b"raw\\n")
            subprocess.run(["echo", "child"])
            print("inner", file=sys.__stdout__)
            return numbers
        """,
        header=True,
    )
    ran = place.spawn(
        "materialize", "--json", PYTHONUNBUFFERED=""
    )  # empty: it waits in Python's buffers
    assert [event.get("result") for event in ran.events] == ["published", None]
    assert {"imported", "raw", "child", "inner"} <= set(ran.err.split())


def test_status_says_what_the_last_run_did_not_finish(place: Place) -> None:
    place.write(
        "products/sales.py",
        "sql_product('p', 'select error(1) as x from numbers', owner='o')",
        header=True,
    )
    assert "did not finish" not in place.run("status").out
    assert place.run("materialize").code == 1
    assert "the last run did not finish it: `products retry`" in place.run("status").out
    place.edit("products/sales.py", "error(1) as x", "x")
    assert place.run("materialize").code == 0
    assert "did not finish" not in place.run("status").out
