"""What functions read when they run: declared as a file, listed in `reads`, or named in a warning."""

import json

import pytest

from tests.conftest import Place

VAT = """
import json, os
from pathlib import Path
import polars as pl
from assay import product, source, sql_product

@product(owner="o")
def vat() -> pl.DataFrame:
    rate = json.loads(Path("conf/rates.json").read_text())["vat"]
    return pl.DataFrame({"rate": [rate], "env": [os.environ.get("RATE", "")]})
"""


@pytest.fixture
def vat(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("RATE", "one")
    place.write("conf/rates.json", '{"vat": 19}')
    place.write("products/sales.py", VAT)
    return place


def test_a_file_and_a_variable_that_a_function_reads_are_named(vat: Place) -> None:
    ran = vat.run("materialize")
    assert ran.code == 0
    assert (
        "warning: sales.vat reads conf/rates.json, $RATE, which are no inputs: a change of them goes unnoticed"
        in ran.out
    )
    assert (
        'declare files with source.file("conf/rates.json"), or list all of them in reads (pyproject.toml)'
        in ran.out
    )
    assert "warning" not in vat.run("materialize").out, "nothing ran"
    told = vat.materialize("--force")
    assert told["sales.vat"]["undeclared"] == ["conf/rates.json", "$RATE"]


def test_what_reads_lists_makes_what_functions_make_stale(
    vat: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    vat.write("pyproject.toml", '[tool.products]\nreads = ["conf/*.json", "$RATE"]\n')
    vat.write(
        "products/plain.py",
        "from assay import sql_product\nsql_product('p', 'select 1 as x', owner='o')\n",
    )
    assert "warning" not in vat.run("materialize").out
    vat.write("conf/rates.json", '{"vat": 21}')
    told = vat.materialize()
    assert told["sales.vat"]["reasons"] == ["code changed (reads in pyproject.toml)"]
    assert told["plain.p"]["result"] == "unchanged", "a query reads no files of its own"
    monkeypatch.setenv("RATE", "two")
    assert vat.materialize()["sales.vat"]["result"] == "published"
    assert vat.query("from vat") == [{"rate": 21, "env": "two"}]
    assert vat.materialize()["sales.vat"]["result"] == "unchanged"


@pytest.mark.parametrize(
    "how", ["", ", isolate=True", pytest.param(", timeout='60 s'", marks=pytest.mark.long)]
)
def test_a_file_is_a_source_that_functions_take_as_a_path(place: Place, how: str) -> None:
    place.write("conf/budget [1].json", '{"net": 5}')
    place.write("conf/more.json", "7")
    place.write(
        "products/sales.py",
        f"""
        import json
        from pathlib import Path
        import polars as pl
        from assay import product, source, sql_product

        budget = source.file("./conf//budget [1].json", owner="board")

        @product(owner="o"{how})
        def plan(budget: Path, numbers: pl.LazyFrame) -> pl.DataFrame:
            more = json.loads((budget.parent / "more.json").read_text())
            return pl.DataFrame({{"net": [json.loads(budget.read_text())["net"] + more + numbers.collect().height]}})

        numbers = source.files("data/*.csv", columns={{"x": "bigint"}})
        above = sql_product("above", "select net from plan", owner="o")
        """,
    )
    told = place.materialize()
    assert told["sales.plan"]["undeclared"] == ["conf/more.json"]
    assert place.query("from above") == [{"net": 15}]
    place.write("conf/budget [1].json", '{"net": 6}')
    told = place.materialize()
    assert told["sales.plan"]["reasons"] == ["input sales.budget changed (1 file replaced)"]
    assert place.query("from above") == [{"net": 16}]
    assert place.materialize()["sales.plan"]["result"] == "unchanged"
    shown = place.run("show", "budget").out
    assert (
        "sales.budget: 10 bytes at conf/budget [1].json, as of " in shown
        and "a file: a function that names it takes it as a pathlib.Path" in shown
    )
    assert json.loads(place.run("show", "budget", "--json").out)["kind"] == "file"
    assert place.run("suggest", "budget").code == 2
    assert (
        "sales.numbers: a source, 1 file matching data/*.csv (csv), 8 bytes"
        in place.run("show", "numbers").out
    )
    (place.root / "conf/budget [1].json").unlink()
    ran = place.run("materialize")
    assert (
        ran.code == 1 and "waits: sales.budget: no file matches conf/budget [[]1].json" in ran.out
    )
    assert "no file matches" in place.run("show", "budget").out


def test_mistakes_with_a_file_say_what_to_do(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        from pathlib import Path
        from assay import product, rule, source, sql_product

        book = source.file("in/book.xlsx")
        many = source.file("in/*.xlsx")
        odd = source.file(7)
        sql_product("q", "from book", owner="o")

        @product(owner="o", each="book")
        def frame(book): return book

        @product(owner="o", rules=[rule.sql("r", "from this, book")])
        def good(book: Path): return book
        """,
    )
    err = place.run("ls").err
    assert (
        "sales.book is a file; SQL can only read tables" in err
        and "takes it as a pathlib.Path" in err
    )
    assert (
        "sales.many: 'in/*.xlsx' has '*' in it" in err
        and "source.files() reads tables from many" in err
    )
    assert "pattern= should be the path of a file, and is 7" in err
    assert "sales.frame: parameter 'book' is a file: annotate it pathlib.Path" in err
    assert "each='book' sales.book is not in parts" in err
    assert "rule 'r' of sales.good reads the source sales.book" in err


def test_what_nobody_would_declare_is_not_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "DB_PASSWORD", "SET"):
        monkeypatch.setenv(name, "x")
    place.write(".cache/a.json", "1")
    place.write("lib/helper.py", "X = open('data/a.csv').read()\n")
    place.numbers("b", 1)
    place.write(
        "products/sales.py",
        """
        import os
        from pathlib import Path
        import polars as pl
        from assay import product, source

        numbers = source.files("data/*.csv", columns={"x": "bigint"})

        @product(owner="o")
        def p(numbers: pl.LazyFrame) -> pl.DataFrame:
            import lib.helper
            for name in ("data/b.csv", ".cache/a.json", "products/sales.py", "/etc/hostname"):
                Path(name).read_text()
            Path("scratch.txt").write_text("1")
            Path("scratch.txt").read_text()
            try: Path("absent.txt").read_text()
            except OSError: pass
            os.environ["SET"] = os.environ["HOME"] + os.environ.get("DB_PASSWORD", "")
            return numbers.collect()
        """,
    )
    told = place.materialize()
    assert told["sales.p"]["result"] == "published" and "undeclared" not in told["sales.p"]


def test_what_a_check_and_the_parts_of_a_product_read_is_named_once(place: Place) -> None:
    place.write("limit.txt", "0")
    place.numbers("b", 1)
    place.write(
        "products/sales.py",
        """
        @product(owner="o", each="numbers", rules=[
            rule.check("over the limit", pa.Check(lambda d: d.lazyframe.select(pl.col("x") > limit())), column="x")])
        def p(numbers: pl.DataFrame) -> pl.DataFrame:
            return numbers.filter(pl.col("x") > int(open("least.txt").read()))

        def limit(): return int(open("limit.txt").read())
        """,
        header=True,
    )
    place.write("least.txt", "0")
    told = place.materialize()
    assert told["sales.p"]["undeclared"] == ["least.txt", "limit.txt"]
    place.write("pyproject.toml", '[tool.products]\nreads = ["limit.txt", "least.txt"]\n')
    assert "undeclared" not in place.materialize()["sales.p"]
    place.write("limit.txt", "1")
    assert place.materialize()[""]["exit_code"] == 3, "it is judged anew"


def test_what_others_read_meanwhile_is_not_named(place: Place) -> None:
    """Two products that run at the same time, of which one reads a file."""
    place.write("conf.txt", "1")
    place.write(
        "products/sales.py",
        """
        import threading
        both = threading.Barrier(2, timeout=20)

        @product(owner="o")
        def reads() -> pl.DataFrame:
            both.wait()
            x = int(open("conf.txt").read())
            both.wait()
            return pl.DataFrame({"x": [x]})

        @product(owner="o")
        def reads_not() -> pl.DataFrame:
            both.wait()
            both.wait()
            return pl.DataFrame({"x": [1]})
        """,
        header=True,
    )
    told = place.materialize("--jobs", "2")
    assert (
        told["sales.reads"]["undeclared"] == ["conf.txt"]
        and "undeclared" not in told["sales.reads_not"]
    )
