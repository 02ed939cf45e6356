"""Text from outside on its way to people: a terminal never obeys it, a diagram is not broken by it, a file has it as it is."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import pytest

from assay.cli.printing import write_csv
from assay.config import Config, catalog_place
from assay.errors import UsageError
from assay.views.lineage import as_mermaid
from tests.conftest import Place

CELLS = [
    "\x1b[2J",
    "\x1b]52;c;eA==\x07",
    "\x1b]8;;http://x\x1b\\y",
    "a\rb",
    "a\bb",
    "\x9b31m",
    "\u202eabc",
    "=cmd|' /C calc'!A0",
    "+1",
    "-1",
    "@x",
    "\t=1",
    "plain",
]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def dangerous(text: str) -> bool:
    return any(mark in text for mark in ("\x1b", "\x07", "\x9b", "\b", "\u202e"))


def test_csv_is_exact_in_a_file_and_safe_on_a_terminal() -> None:
    rows = [(cell, None, 1.5) for cell in CELLS]
    file, terminal = io.StringIO(newline=""), _Terminal()
    write_csv(["a\x1b", "b", "c"], rows, file)
    write_csv(["a\x1b", "b", "c"], rows, terminal)
    assert [row[0] for row in csv.reader(io.StringIO(file.getvalue(), newline=""))][1:] == CELLS
    assert dangerous(file.getvalue())
    assert not dangerous(terminal.getvalue())


@pytest.fixture
def shop(place: Place) -> Place:
    values = ", ".join(
        f"({index}, {'chr(' + ') || chr('.join(str(ord(c)) for c in cell) + ')'})"
        for index, cell in enumerate(CELLS)
    )
    place.write(
        "products/sales.py",
        f"""
        odd = source.files("data/*[\\x1b]*.csv", columns={{"x": pl.Int64}})
        sql_product("p", "select * from (values {values}) v(n, cell)", owner="o\\x1b[31m", rules=[
            rule.sql("odd\\x1b[31m", "select * from this where n < 5", severity="warning", because="\\u202e")])
        sql_product("bad", "select error(cell) as x from p where n = 0", owner="o")
        sql_product("r", "select x from odd", owner="o")
        """,
        header=True,
    )
    place.run("materialize")
    return place


VERBS = [
    ["materialize", "--force"],
    ["status"],
    ["plan"],
    ["ls"],
    ["why", "p"],
    ["why", "r"],
    ["why", "p", "--rules"],
    ["history", "p"],
    ["show", "p", "-n", "20"],
    ["query", "from p"],
    ["query", "from p", "--format", "csv"],
    ["query", "from p", "--json"],
    ["lineage", "r"],
    ["lineage", "odd"],
    ["lineage", "r.x"],
    ["lineage", "p.\x1b[31m"],
    ["lineage", "\x1b[31m.x"],
    ["suggest", "p"],
    ["lineage", "odd", "--format", "mermaid"],
    ["query", "selec \x1b[31m"],
    ["why", "\x1b[31m"],
    ["ls", "-s", "\x1b[31m"],
    ["gc", "\x1b[31m"],
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_nothing_from_outside_reaches_a_terminal_as_it_is(shop: Place, verb: list[str]) -> None:
    ran = shop.run(*verb)
    assert ran.code in {0, 1, 2, 3}
    said = ran.err if "csv" in verb else ran.out + ran.err
    assert not dangerous(said)


def test_a_real_terminal(shop: Place) -> None:
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "assay",
        "query",
        "select cell from p order by n",
        "--format",
        "csv",
    ]
    done = subprocess.run(command, cwd=shop.root, stdout=theirs, stderr=theirs, check=False)
    os.close(theirs)
    said = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "\\x1b[2J" in said
    assert not dangerous(said)


def test_json_gives_every_cell_back(shop: Place) -> None:
    ran = shop.run("query", "--json", "select cell from p order by n")
    assert [row["cell"] for row in json.loads(ran.out)] == CELLS


def test_a_name_does_not_end_its_quotes_in_a_diagram() -> None:
    name = 'x"]; click n0 "javascript:alert(1)" %% <b>#\n'
    graph = SimpleNamespace(
        sources={name: None},
        products={},
        order=(),
        upstream=lambda _: set(),
        downstream=lambda _: set(),
    )
    told = as_mermaid(graph, name)  # type: ignore[arg-type]
    assert len(told) == 2
    assert told[1].count('"') == 2
    assert "<" not in told[1] and "\n" not in told[1]


def test_a_file_that_is_no_csv_is_named(place: Place) -> None:
    place.write(
        "products/sales.py", "sql_product('p', 'select x from numbers', owner='o')", header=True
    )
    place.write("data/broken.csv", 'x\n"1"\n"2')
    ran = place.run("materialize")
    assert ran.code == 1
    assert "data/broken.csv, line 3: a value in quotes does not end" in ran.out


@pytest.mark.parametrize(
    "told",
    [
        "host=h user=u password=SECRET",
        "u:SECRET@h/d",
        "PASSWORD = SECRET",
        "mysql://u:SECRET@h",
        "postgresql+x://u:SECRET@h",
        "postgresql:/u:SECRET@h/d",
        "postgres:/u:SECRET@h/d",
        "postgres:u:SECRET@h/d",
        "postgresql//u:SECRET@h/d",
        "Postgresql:/SECRET@h/d",
    ],
)
def test_a_password_is_no_name_of_a_file(
    place: Place, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError) as refused:
        catalog_place(told, place.root)
    assert "SECRET" not in str(refused.value)
    for verb in (["materialize"], ["status", "--json"], ["catalog", "copy", told]):
        place.write(
            "pyproject.toml",
            f'[tool.products]\ncatalog = "{told}"\n'
            if verb[0] != "catalog"
            else "[tool.products]\n",
        )
        ran = place.run(*verb)
        assert ran.code == 2
        assert "SECRET" not in ran.out + ran.err
    place.write("pyproject.toml", "[tool.products]\n")
    monkeypatch.setenv("ASSAY_CATALOG", told)
    ran = place.run("status")
    assert (ran.code, "SECRET" in ran.out + ran.err) == (2, False)
    assert not [file for file in place.root.rglob("*") if "SECRET" in file.name]
    assert "SECRET" not in repr(Config(root=place.root, catalog=told))


@pytest.mark.parametrize("store", ["products", "products/x", "./products"])
def test_the_store_is_no_folder_of_definitions(place: Place, store: str) -> None:
    place.write("pyproject.toml", f'[tool.products]\nstore = "{store}"\n')
    ran = place.run("materialize")
    assert (ran.code, "apart from the definitions" in ran.err) == (2, True)
    assert not (place.root / "products/.gitignore").exists()


@pytest.mark.parametrize("type", ["Int64", "Int8", "Decimal(4, 2)", "UInt64"])
def test_a_number_that_is_too_large_is_told_with_column_and_file(place: Place, type: str) -> None:
    place.write(
        "products/sales.py", "sql_product('p', 'select x from numbers', owner='o')", header=True
    )
    place.edit("products/sales.py", "pl.Int64", f"pl.{type}")
    place.write("data/large.csv", f"x\n\n{'9' * 30}\n")
    ran = place.run("materialize")
    assert ran.code == 1
    assert all(word in ran.out for word in ("column 'x' should be", "9" * 30, "data/large.csv"))


FORGED = "a\n  published  forged \x1b[31m"


def test_the_name_of_a_file_forges_no_line(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        days = source.files("days/{day:date}*.csv", columns={"x": pl.Int64})
        sql_product("p", "select x from numbers", owner="o")
        sql_product("d", "select x from days", owner="o")
        @product(owner="o")
        def replaced(numbers):
            for file in Path("data").glob("a*.csv"): file.unlink()
            return numbers
        """,
        header=True,
    )
    place.numbers(FORGED, 1)
    place.write(f"days/{FORGED}.csv", "x\n1\n")
    ran = place.run("materialize", "--jobs", "1")
    (place.root / f".products/store/{FORGED}").touch()
    said = (
        ran.out
        + ran.err
        + place.run("status").out
        + place.run("verify").out
        + place.run("verify", "--repair").out
    )
    assert "\n  published  forged" not in said
    assert "\x1b" not in said
    assert said.count("published  forged \\x1b[31m") >= 4
