"""`products test`: what it prints of tests that pass, fail, or cannot be run, and its exit code."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import Place, until

DECLARED = """
doubled = sql_product("doubled", "select x, x * 2.5::double as y from numbers", owner="ann@shop", rules=[
    rule.sql("y is small", "select x, y from this where y > 100"),
])

@product(owner="ann@shop")
def breaks(numbers: pl.DataFrame) -> pl.DataFrame:
    raise KeyError("nothing")

@product(owner="ann@shop")
def hangs(numbers: pl.DataFrame) -> pl.DataFrame:
    import time
    print("it hangs", flush=True)
    while True:
        time.sleep(0.05)

@product(owner="ann@shop", file="note.txt")
def note(doubled: pl.DataFrame) -> str:
    return f"a\\n{doubled.height}\\n"
"""


@pytest.fixture
def declared(place: Place) -> Place:
    place.write("products/sales.py", DECLARED, header=True)
    return place


def write_tests(place: Place, product: str, text: str) -> None:
    place.write(f"products/{product}.test.toml", text)


def test_tests_that_pass(declared: Place) -> None:
    write_tests(
        declared,
        "doubled",
        """
        [doubles]
        inputs.numbers = [{x = 2}, {x = 1}]
        expect = [{y = 2.5}, {y = 5}]
        passes = true

        ["large ones are held back"]
        inputs.numbers = [{x = 100}, {x = 1}]
        holds_back = "small"
        failing."y is small" = [{x = 100}]
        """,
    )
    write_tests(
        declared,
        "note",
        '''
        [note]
        inputs.doubled = [{x = 2}]
        expect = """
        a
        1
        """
        '''.replace("        ", ""),
    )
    write_tests(declared, "breaks", '[breaks]\ninputs.numbers = []\nfails = "KeyError"\n')
    ran = declared.run("test")
    assert ran.code == 0, ran.out
    assert "passed  sales.doubled  doubles" in ran.out
    assert ran.out.endswith("  4 passed\n")
    assert not (declared.root / ".products/catalog.db").exists()
    assert declared.run("test", "doubl*", "-k", "LARGE").out.endswith("  1 passed\n")


def test_a_difference_is_readable(declared: Place) -> None:
    write_tests(
        declared,
        "doubled",
        """
        [doubles]
        inputs.numbers = [{x = 1}, {x = 2}, {x = 4}, {x = 4}]
        expect = [{x = 1, y = 2.4}, {x = 2, y = 5}, {x = 3, y = 7.5}, {x = 4, y = 10}]
        holds_back = "y is small"
        """,
    )
    ran = declared.run("test", "doubled")
    assert ran.code == 1
    assert ran.out.splitlines()[1:] == [
        "          products/doubled.test.toml:2",
        "          it is not held back by 'y is small'",
        "          expect: 2 rows missing, 2 rows not expected",
        "          missing: x 1  y 2.4",
        "          missing: x 3  y 7.5",
        "          not expected: x 1  y 2.5",
        "          not expected: x 4  y 10",
        "  1 failed",
    ]
    declared.edit("products/doubled.test.toml", "{x = 4}, {x = 4}]", "{x = 4}]")
    declared.edit("products/doubled.test.toml", "2.4}", "2.4000000001}")
    ran = declared.run("test", "--json")
    [view] = ran.json
    assert view["changed"] == [
        {"key": {"x": 1}, "expected": {"y": 2.4000000001}, "got": {"y": 2.5}}
    ]
    assert view["missing"] == [{"x": 3, "y": 7.5}]
    assert (view["result"], view["line"], ran.code) == ("failed", 2, 1)


def test_what_cannot_be_tried_is_an_error_and_others_go_on(declared: Place) -> None:
    write_tests(declared, "breaks", "[breaks]\ninputs.numbers = []\nexpect = []\n")
    write_tests(
        declared,
        "doubled",
        """
        [typo]
        inputs.numbres = []
        expect = []
        [rows]
        inputs.numbers = "x\\n1.5\\n"
        expect = []
        [expected]
        inputs.numbers = []
        expect = [{z = 1}]
        [file]
        inputs.numbers = "../../../../etc/nothing.csv"
        expect = []
        [fine]
        inputs.numbers = []
        expect = []
        """,
    )
    write_tests(declared, "note", '[note]\ninputs.doubled = []\nexpect = [{a = 1}]\n[lines]\ninputs.doubled = []\nexpect = "a\\n1\\n"\n')  # fmt: skip
    ran = declared.run("test")
    assert ran.code == 1
    for words in (
        "error   sales.breaks  breaks",
        "it could not be built: products/sales.py:",
        "KeyError: 'nothing'",
        "sales.doubled does not read 'numbres'",
        "Did you mean sales.numbers?",
        "sales.numbers: row 1, x: '1.5' is no BIGINT: it should be a whole number",
        "expect: no column 'z' came out. It has: x, y.",
        "sales.numbers: there is no file '../../../../etc/nothing.csv'",
        "passed  sales.doubled  fine",
        "expect: it is a file: expect its text",
        "expect: line 2 differs: '1' → '0'   (expected → got)",
        "  1 passed, 2 failed, 5 with an error",
    ):
        assert words in ran.out, words
    assert "Traceback (most recent" not in ran.err


def test_names_that_match_nothing(declared: Place) -> None:
    assert declared.run("test").code == 2
    write_tests(declared, "doubled", "[a]\ninputs.numbers = []\nexpect = []\n")
    for arguments, words in (
        (["note"], "no test matches note"),
        (["-s", "doubled", "-k", "b"], "no test matches doubled -k 'b'"),
        (["--exclude", "doubled"], "no test matches --exclude doubled"),
        (["x*"], "no product matches 'x*'"),
        (["dubled"], "no product or source 'dubled'"),
    ):
        ran = declared.run("test", *arguments)
        assert (ran.code, ran.out) == (2, ""), arguments
        assert words in ran.err


@pytest.mark.long
def test_a_product_that_hangs_is_left(declared: Place) -> None:
    write_tests(declared, "hangs", "[hangs]\ninputs.numbers = []\nexpect = []\n")
    write_tests(declared, "doubled", "[a]\ninputs.numbers = []\nexpect = []\n")
    ran = declared.spawn("test", "--timeout", "5s", "--json")
    results = {view["product"]: view for view in json.loads(ran.out)}
    assert results["sales.hangs"]["problems"] == ["it took longer than 5 s, and was left"]
    assert results["sales.doubled"]["result"] == "passed"
    assert ran.code == 1


def test_ctrl_c_stops_and_leaves_nothing(declared: Place) -> None:
    write_tests(declared, "hangs", "[hangs]\ninputs.numbers = []\nexpect = []\n")
    folder = declared.root / "tmp"
    folder.mkdir()
    log = declared.root / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "assay", "test"],
            cwd=declared.root,
            stdout=file,
            stderr=file,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        until(lambda: "it hangs" in log.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert "stopped" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert not list(folder.iterdir())
