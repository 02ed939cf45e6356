"""What failed of the machinery is tried again, a while later; what rules say is a fact."""

import signal
import subprocess
import sys
import time
from textwrap import dedent

import duckdb
import pytest

from assay.build.error_text import RemoteError
from assay.build.retries import RetryQueue, pause, worth_another
from assay.catalog import shared_catalog
from assay.errors import BuildError, Crashed, SourceReplaced, StoreError, TimedOut, TypeRefused
from assay.events import Failed
from assay.times import seconds_of, shown_while, while_of
from tests.conftest import LONG, Place


def declare(place: Place, text: str) -> None:
    place.write("products/sales.py", "import os, sys, time\n" + FLAKY + dedent(text), header=True)


FLAKY = """
def times(name):
    with open(name, "a+") as file:
        file.write("x")
        return file.tell()
"""


def test_what_fails_twice_and_then_works_is_published(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o", retries=2)
        def p(numbers):
            if times("p") < 3: raise OSError("the shop does not answer")
            return numbers

        sql_product("q", "from p", owner="o")
        """,
    )
    ran = place.run("materialize", "--json", "--jobs", "1")
    told = [(event.get("product"), event.get("result")) for event in ran.events]
    assert told[:2] == [("sales.p", "retrying")] * 2
    assert sorted(told[2:4]) == [("sales.p", "published"), ("sales.q", "published")]
    first, second = ran.events[:2]
    assert (first["number"], first["of"], second["number"]) == (1, 2, 2)
    assert 0.5 <= first["in_seconds"] <= 1 <= second["in_seconds"] <= 1.5
    assert first["error"] == "products/sales.py:17: OSError: the shop does not answer"


def test_what_goes_on_failing_says_how_often_it_was_tried(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o", retries=1)
        def p(numbers): raise ValueError("no")
        """,
    )
    ran = place.run("materialize")
    lines = ran.out.splitlines()
    assert lines[0].startswith("  retrying   sales.p")
    assert lines[0].endswith("s: products/sales.py:16: ValueError: no; 1 of 1")
    assert lines[1].startswith("  failed     sales.p")
    assert lines[-1].strip() == "tried 2 times"
    assert ran.code == 1


@pytest.mark.parametrize("how", ["", pytest.param(", isolate=True", marks=pytest.mark.long)])
def test_what_cannot_get_better_is_not_tried_again(place: Place, how: str) -> None:
    declare(
        place,
        f"""
        @product(owner="o", retries=3{how})
        def result(numbers): times("a"); return 7
        @product(owner="o", retries=3{how})
        def code(numbers): times("b"); return nothing
        @product(owner="o", retries=3{how})
        def kind(numbers): times("c"); return numbers.select(a=pl.lit(None))
        sql_product("data", "select ('a' || x)::int as y from numbers", owner="o", retries=3{how})
        """,
    )
    told = place.materialize()
    assert {n: (t["result"], t["tries"]) for n, t in told.items() if n} == dict.fromkeys(
        ["sales.result", "sales.code", "sales.kind", "sales.data"], ("failed", 1)
    )
    assert [len((place.root / name).read_text()) for name in "abc"] == [1, 1, 1]


def test_what_rules_say_is_a_fact(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o", retries=3, rules=[rule.rows(at_least=9)])
        def p(numbers): times("p"); return numbers
        """,
    )
    told = place.materialize()
    assert told["sales.p"]["result"] == "held back"
    assert (place.root / "p").read_text() == "x"
    assert place.run("retry").out == "  nothing failed last time\n"


CASES = [
    (OSError(28, "No space left on device"), True),
    (ValueError("not json"), True),
    (NameError("x"), False),
    (ModuleNotFoundError("x"), False),
    (KeyboardInterrupt(), False),
    (duckdb.IOException("x"), True),
    (duckdb.OutOfMemoryException("x"), True),
    (duckdb.ConversionException("x"), False),
    (duckdb.InterruptException("x"), False),
    (BuildError("x"), False),
    (TypeRefused("x"), False),
    (SourceReplaced("x"), False),
    (StoreError("x"), False),
    (TimedOut("x"), True),
    (Crashed("x"), True),
    (RemoteError("OSError", Failed(error="x"), retryable=True), True),
    (RemoteError("NameError", Failed(error="x"), retryable=False), False),
]


@pytest.mark.parametrize(("error", "again"), CASES, ids=lambda case: type(case).__name__)
def test_which_failures_are_worth_another_try(error: BaseException, again: bool) -> None:
    assert worth_another(error) is again


def test_a_disk_that_failed_behind_an_error_of_ours_is_worth_another_try() -> None:
    error = BuildError("cannot read 'a.csv'")
    error.__cause__ = OSError(5, "Input/output error")
    assert worth_another(error)


def test_waits_grow_and_differ_by_chance() -> None:
    waits = [pause(n) for n in range(1, 30)]
    assert all(0.5 * 2**n <= wait <= 0.5 * 2**n + 0.5 for n, wait in enumerate(waits[:8]))
    assert max(waits) <= 300.5
    assert len({pause(1) for _ in range(20)}) > 10


def test_who_waits_comes_when_it_is_time() -> None:
    now = [0.0]
    later = RetryQueue(lambda: now[0])
    later.add("b", 5)
    later.add("a", 2)
    assert (later.due(), bool(later)) == ([], True)
    now[0] = 2.0
    assert later.due() == ["a"]
    later.clear()
    assert not later


def test_nobody_waits_with_it(place: Place) -> None:
    """One worker: while the flaky one waits, all others are made."""
    declare(
        place,
        """
        @product(owner="o", retries=1)
        def a(numbers):
            Path("order").open("a").write("a")
            if times("a") < 2: raise OSError("no")
            return numbers
        for n in "bcd":
            @product(owner="o", name=n)
            def make(numbers, n=n):
                Path("order").open("a").write(n)
                return numbers
        """,
    )
    told = place.materialize("--jobs", "1")
    assert told["sales.a"]["result"] == "published"
    assert (place.root / "order").read_text() == "abcda"


@pytest.mark.long
def test_stopping_does_not_wait_for_it(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o", retries=10)
        def p(numbers):
            if times("p") == 3: os.kill(os.getpid(), 2)
            raise OSError("no")
        """,
    )
    ran = place.spawn("materialize")
    assert ran.code == 130, ran
    assert "left       sales.p" in ran.out
    assert (place.root / "p").read_text() == "xxx"


def test_stopping_while_nothing_runs(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o", retries=20)
        def p(numbers): times("p"); raise OSError("no")
        """,
    )
    command = [sys.executable, "-m", "assay", "materialize"]
    run = subprocess.Popen(
        command, cwd=place.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for _ in range(1200):
        if (place.root / "p").exists() and len((place.root / "p").read_text()) == 2:
            break
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=LONG)  # all twenty tries would take hours
    assert (run.returncode, "left       sales.p" in out) == (130, True), (out, err)


def test_fail_fast_tries_first(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o", retries=1)
        def p(numbers): times("p"); raise OSError("no")
        """,
    )
    assert place.materialize("--fail-fast")["sales.p"]["tries"] == 2


def test_parts_that_were_made_are_not_made_again(place: Place) -> None:
    for day in range(1, 5):
        place.write(f"in/2024-01-0{day}.csv", f"x\n{day}\n")
    declare(
        place,
        """
        raw = source.files("in/{day:date}.csv", columns={"x": pl.Int64})

        @product(owner="o", each="raw", retries=1)
        def p(raw):
            n = times("p")
            if n == 3: raise OSError("no")
            return raw
        """,
    )
    for forced in ((), ("--force",)):
        assert place.materialize(*forced)["sales.p"]["result"] == "published"
        assert (place.root / "p").read_text() == "xxxxx"
        (place.root / "p").unlink()


# ---------------------------------------------------------------------------------------------- declared


def test_a_project_says_it_once_and_a_product_otherwise(place: Place) -> None:
    place.write("pyproject.toml", "[tool.products]\nretries = 2\ntimeout = '10m'\n")
    declare(
        place,
        """
        sql_product("a", "from numbers", owner="o")
        sql_product("b", "from numbers", owner="o", retries=0, timeout=0)
        sql_product("c", "from numbers", owner="o", timeout="1.5 hours", isolate=True)
        """,
    )
    for _ in range(2):  # as declared, and as the manifest has it
        told = {
            t["product"]: (t["retries"], t["timeout_seconds"], t["isolate"])
            for t in place.run("ls", "--json").json
            if "retries" in t
        }
        assert told == {
            "sales.a": (2, 600, False),
            "sales.b": (0, 0, False),
            "sales.c": (2, 5400, True),
        }


WRONG = {
    "retries=-1": "retries= should be a whole number from 0 to 100",
    "retries=True": "retries= should be a whole number from 0 to 100",
    "retries='2'": "retries= should be a whole number from 0 to 100",
    "timeout='soon'": 'timeout= should be a length of time such as "10m", or a number of seconds',
    "timeout=-1": 'timeout= should be a length of time such as "10m", or a number of seconds',
    "timeout=float('nan')": 'timeout= should be a length of time such as "10m", or a number of seconds',
    "timeout=''": 'timeout= should be a length of time such as "10m", or a number of seconds',
    "isolate=1": "isolate= should be True or False",
}


@pytest.mark.parametrize("given", WRONG)
def test_what_is_no_such_thing_is_said(place: Place, given: str) -> None:
    declare(place, f"sql_product('p', 'from numbers', owner='o', {given})")
    ran = place.run("ls")
    assert ran.code == 2
    assert WRONG[given] in ran.err


@pytest.mark.parametrize(
    "setting", ["retries = -1", "retries = 'x'", "timeout = 'x'", "timeout = 5"]
)
def test_what_is_no_such_setting_is_said(place: Place, setting: str) -> None:
    place.write("pyproject.toml", f"[tool.products]\n{setting}\n")
    ran = place.run("ls")
    assert (ran.code, setting.split(maxsplit=1)[0] in ran.err) == (2, True)


def test_none_of_it_is_code(place: Place) -> None:
    declare(
        place,
        "@product(owner='o')\ndef p(numbers): return numbers\nsql_product('q', 'from p', owner='o')",
    )
    place.materialize()
    text = (place.root / "products/sales.py").read_text()
    (place.root / "products/sales.py").write_text(
        text.replace("owner='o'", "owner='o', retries=3, timeout='5m', isolate=True")
    )
    place.write("pyproject.toml", "[tool.products]\nretries = 1\n")
    told = place.materialize()
    assert {
        n: (t["result"], t["built"], t["judged"]) for n, t in told.items() if n
    } == dict.fromkeys(["sales.p", "sales.q"], ("unchanged", False, False))
    (place.root / "products/sales.py").write_text(
        text.replace("return numbers", "return numbers.head(1)")
    )
    assert place.materialize()["sales.p"]["built"], "the control: code is"


def test_lengths_of_time() -> None:
    assert [
        seconds_of(told) for told in ("10m", "90s", "1.5h", "2 days", "90 minutes", 3, 0.5, "")
    ] == [
        600,
        90,
        5400,
        172800,
        5400,
        3,
        0.5,
        0,
    ]
    assert [shown_while(s) for s in (600, 90, 5400, 0.5, 3600, 100, 1001)] == [
        "10 min",
        "1.5 min",
        "1.5 h",
        "0.5 s",
        "1 h",
        "100 s",
        "1,001 s",
    ]
    for told in ("1 m 5 s", "m", "10 x", "-5m", "99999999999s"):
        with pytest.raises(ValueError, match="no length of time"):
            while_of(told)


# ---------------------------------------------------------------------------------------------- products retry


FAILING = """
raw = source.files("raw/*.csv", columns={"x": pl.Int64})

@product(owner="o")
def bad(numbers):
    times("bad")
    if not Path("fine").exists(): raise OSError("no")
    return numbers

sql_product("below", "from bad", owner="o")
sql_product("good", "from numbers", owner="o")
sql_product("wrong", "from numbers", owner="o", rules=[rule.rows(at_least=9)])
sql_product("both", "from wrong, bad", owner="o")
sql_product("absent", "from raw", owner="o")
"""


def test_retry_builds_what_failed_and_what_waited_for_it(place: Place) -> None:
    declare(place, FAILING)
    assert place.run("retry").out == "  nothing failed last time\n"
    place.materialize()
    place.numbers("b", 4)  # what did not fail is not looked at, whatever became of its inputs
    ran = place.run("retry", "--json")
    told = {event["product"]: event["result"] for event in ran.events[:-1]}
    assert told == {"sales.bad": "failed", "sales.below": "held", "sales.absent": "held"}
    assert ran.code == ran.events[-1]["exit_code"] == 1
    place.write("fine", "")
    place.write("raw/a.csv", "x\n1\n")
    told = {
        e["product"]: e["result"] for e in place.run("retry", "--json", "--jobs", "1").events[:-1]
    }
    assert told == dict.fromkeys(["sales.bad", "sales.below", "sales.absent"], "published")
    ran = place.run("retry")
    assert (ran.code, ran.out) == (0, "  nothing failed last time\n")
    ran = place.run("retry", "--json")
    assert (ran.code, ran.json) == (0, {"exit_code": 0, "interrupted": False})


def test_each_environment_has_a_last_run(place: Place) -> None:
    declare(place, FAILING)
    place.materialize("bad")
    place.environment("dev")
    place.materialize("good", "--env", "dev")
    assert place.run("retry", "--env", "dev").code == 0
    assert place.run("retry").code == 1


def test_retry_goes_on_after_a_run_that_was_stopped_or_killed(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o")
        def p(numbers):
            if not Path("go").exists(): os.kill(os.getpid(), int(Path("how").read_text()))
            return numbers
        sql_product("q", "from p", owner="o")
        """,
    )
    for how in (signal.SIGKILL, signal.SIGINT):
        place.write("how", str(int(how)))
        assert place.spawn("materialize", "--force").code == (-9 if how is signal.SIGKILL else 130)
        place.write("go", "")
        told = {e["product"]: e["result"] for e in place.run("retry", "--json").events[:-1]}
        assert told.keys() == {"sales.p", "sales.q"}, how
        (place.root / "go").unlink()


def test_a_product_that_is_gone_is_not_tried(place: Place) -> None:
    declare(place, FAILING)
    place.materialize()
    declare(place, "sql_product('good', 'from numbers', owner='o')")
    ran = place.run("retry")
    assert (ran.code, ran.out) == (0, "  nothing failed last time\n")


# ---------------------------------------------------------------------------------------------- replaced sources


REPLACING = """
def replace(times_over):
    if times("replaced") <= times_over:
        stat = os.stat("data/a.csv")
        Path("data/new").write_text("x\\n7\\n8\\n9\\n")
        os.utime("data/new", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        os.replace("data/new", "data/a.csv")
        assert os.stat("data/a.csv").st_size == stat.st_size

@product(owner="o")
def p(numbers):
    frame = numbers.collect()
    replace({times})
    return frame

sql_product("beside", "from numbers", owner="o")
sql_product("below", "select x from p", owner="o")
sql_product("other", "select 1 as x", owner="o")
"""


@pytest.mark.parametrize("release", ["coherent", "as_ready"])
def test_a_file_replaced_while_it_is_read_is_read_again(place: Place, release: str) -> None:
    """Replaced by one of the same size and time of content; it is told by the time of its inode."""
    place.write("pyproject.toml", f"[tool.products]\nrelease = '{release}'\n")
    declare(place, REPLACING.replace("{times}", "1"))
    ran = place.run("materialize", "--json")
    told = [(e.get("product"), e.get("result")) for e in ran.events[:-1]]
    assert told.count(("sales.p", "retrying")) == 1
    results = dict(told)
    assert results == dict.fromkeys(
        ["sales.p", "sales.beside", "sales.below", "sales.other"], "published"
    ), ran.out
    assert ran.code == 0
    [retrying] = [
        e for e in ran.events if (e.get("product"), e.get("result")) == ("sales.p", "retrying")
    ]
    assert "sales.numbers: data/a.csv was replaced while it was being read" in retrying["error"]
    if (
        release == "as_ready"
    ):  # what had read it before is out, and stale, as if it had been replaced after the run
        assert place.run("materialize").code == 0
    for name in ("p", "beside", "below"):
        assert place.query(f"select list(x order by x) as l from {name}") == [{"l": [7, 8, 9]}], (
            name
        )
    if release == "coherent":
        seen = {p.release for p in pointers(place) if p.product != "sales.other"}
        assert len(seen) == 1, "readers see no half of it"


def pointers(place: Place):
    from assay.declare.project import open_project

    catalog = shared_catalog(open_project(place.root).config)
    try:
        return list(catalog.pointers("prod").values())
    finally:
        catalog.close()


def test_a_file_that_is_replaced_again_and_again_fails_the_product(place: Place) -> None:
    declare(place, REPLACING.replace("{times}", "9"))
    told = place.materialize()
    assert told["sales.p"]["result"] == "failed"
    assert "data/a.csv was replaced while it was being read" in told["sales.p"]["error"]
    assert told["sales.other"]["result"] == "published"
    assert told["sales.below"]["result"] == "held"
    assert (place.root / "replaced").read_text() == "xx"
    assert place.run("retry").code == 1


def test_a_file_that_is_cut_short_while_it_is_read_is_told_by_its_name(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o")
        def p(numbers):
            Path("data/a.csv").write_text("")
            raise ValueError("what a reader says of half a file")
        """,
    )
    told = place.materialize()["sales.p"]
    assert (
        "data/a.csv was replaced while it was being read" in told["error"]
        or "should have a column" in told["error"]
    )
    assert "half a file" not in told["error"]
