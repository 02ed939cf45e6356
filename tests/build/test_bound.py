"""What is found without data is what a build refuses whatever the rows; and each thing is found once."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from assay.build.bound import Bound
from assay.declare.project import open_project
from assay.plan.misfits import Traced, unchecked
from tests.conftest import Place, mostly_long

TYPES = ["Int64", "Float64", "String", "Date", "Boolean", "Int32"]
SQL_TYPES = ["bigint", "double", "varchar", "date", "integer", "decimal(9,2)", "timestamp"]
HEADER = """
import pandera.polars as pa
import polars as pl
from assay import product, rule, source, sql_product

"""


class Shop:
    """Random sources and products: names and types that fit often, and often do not."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.columns: dict[str, list[str]] = {}  # perhaps, by table

    def text(self, products: int) -> str:
        pick, lines = self.random.choice, [HEADER]
        for number in range(3):
            columns = {name: pick(TYPES) for name in self.random.sample("abcdef", 4)}
            typed = ", ".join(f"{name!r}: pl.{type}" for name, type in columns.items())
            lines.append(f"s{number} = source.files('data/s{number}.csv', columns={{{typed}}})\n")
            self.columns[f"s{number}"] = list(columns)
        lines.append('sql_product("base", "select * from s0", owner="o")\n')
        for number in range(products):
            name, make = f"p{number}", pick([self._query, self._query, self._function])
            lines.append(make(name))
        return "".join(lines)

    def _column(self, table: str) -> str:
        """Return a column, which the table has nine times in ten."""
        return self.random.choice(
            self.columns[table] if self.random.random() < 0.93 else list("abcdefxy")
        )

    def _expression(self, table: str) -> str:
        pick, column = self.random.choice, self._column
        return pick(
            [
                lambda: column(table),
                lambda: column(table),
                lambda: f"{column(table)}::{pick(SQL_TYPES)}",
                lambda: f"{column(table)} + {column(table)}",
                lambda: f"max({column(table)}) over ()",
                lambda: f"coalesce({column(table)}, {column(table)})",
                lambda: f"length({column(table)})",
            ]
        )()

    def _condition(self, table: str) -> str:
        pick = self.random.choice
        left = self._column(table)
        right = pick([self._column(table), "1", "date '2024-01-01'"])
        return f"{left} {pick(['=', '<', '<>'])} {right}"

    def _query(self, name: str) -> str:
        pick, tables = self.random.choice, list(self.columns)
        first, second = pick(tables), pick(tables)
        names = self.random.sample("abcdef", 3)
        selected = ", ".join(f"{self._expression(first)} as {column}" for column in names)
        sql = pick(
            [
                f"select {selected} from {first}",
                f"select {selected} from {first} where {self._condition(first)}",
                f"select t.{names[0]}, u.* from {first} t join {second} u using ({names[0]})",
                f"with t as (select * from {first}) select {selected} from t",
                f"select {names[0]}, count(*) as n from {first} group by {self._column(first)}",
            ]
        )
        self.columns[name] = names
        return f'sql_product("{name}", "{sql}", owner="o"{self._about(name, names)})\n'

    def _function(self, name: str) -> str:
        pick, first = self.random.choice, self.random.choice(list(self.columns))
        names = self.random.sample("abcdef", 2)
        column = self._column
        made = pick(
            [
                f"t.select({names[0]}=pl.col('{column(first)}'), {names[1]}=pl.lit(1))",
                f"t.filter(pl.col('{column(first)}') > 0)",
                f"t.with_columns({names[0]}=pl.col('{column(first)}').str.to_uppercase())",
                f"t.group_by('{column(first)}').agg({names[1]}=pl.col('{column(first)}').sum())",
                f"t.collect().select('{column(first)}')",
            ]
        )
        self.columns[name] = names
        inputs = f"inputs={{'t': '{first}'}}"
        about = self._about(name, names)
        return f'@product(name="{name}", owner="o", {inputs}{about})\ndef {name}(t):\n    return {made}\n'

    def _about(self, name: str, names: list[str]) -> str:
        """Return a contract and rules, sometimes."""
        pick, chance = self.random.choice, self.random.random
        about = ""
        if chance() < 0.3:
            typed = ", ".join(
                f"{each!r}: pa.Column(pl.{pick(TYPES)}, nullable=True)" for each in names
            )
            strict = ", strict=True" if chance() < 0.3 else ""
            about += f", contract=pa.DataFrameSchema({{{typed}}}{strict})"
        if chance() < 0.4:
            rules = [
                f'rule.check("one", "{self._condition(name)}")',
                f'rule.sql("two", "select * from this where {self._condition(name)}")',
                f'rule.references("{self._column(name)}", "base.{self._column("s0")}")',
            ]
            about += f", rules=[{pick(rules)}]"
        return about


def is_refused(event: dict) -> bool:
    """Return whether a build failed, or a rule found fault with something else than rows."""
    broken = [rule for rule in event.get("rules") or () if rule["status"] in {"failed", "error"}]
    return event.get("result") == "failed" or any(not rule["failing"] for rule in broken)


@pytest.mark.parametrize("seed", mostly_long(range(12), 3, 7))
def test_an_error_is_what_a_build_refuses(seed: int, place: Place) -> None:
    shop = Shop(seed)
    place.write("products/shop.py", shop.text(40))
    for number in range(3):  # with a row of nulls: Polars does not compute without rows
        place.write(f"data/s{number}.csv", ",".join(shop.columns[f"s{number}"]) + "\n,,,\n")
    checked = place.run("check", "--json")
    assert checked.code in {0, 4}, checked.err
    findings = json.loads(checked.out).get("findings", [])
    wrong = {each["name"]: each["what"] for each in findings if each["level"] == "error"}
    undecided = {each["name"] for each in findings if each["level"] == "note"}
    built = place.materialize("--json")
    refused = {name: event for name, event in built.items() if is_refused(event)}
    reached = {name for name, event in built.items() if event.get("result") != "held"}
    missed = {n: refused[n] for n in refused.keys() - wrong.keys() - undecided}
    assert not missed, missed
    false = {n: wrong[n] for n in (wrong.keys() & reached) - refused.keys() - {""}}
    assert not false, false
    assert wrong, "the control: there are mistakes"
    assert len(reached - refused.keys()) > 1, "the control: there are others"


# ------------------------------------------------------------------------------------------ once


COUNTED = """
sql_product("first", "select x, x + 1 as y from numbers", owner="o")
sql_product("second", "select x from first", owner="o", rules=[rule.sql("r", "select x from this")])

@product(owner="o")
def third(second):
    return second
"""


def bound_names(place: Place, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what `products check` binds and runs, in order."""
    asked: list[str] = []
    original: Callable[[Bound, object], Traced] = Bound._of_query  # type: ignore[assignment]

    def of_query(self: Bound, product: object) -> Traced:
        asked.append(product.bare)  # type: ignore[attr-defined]
        return original(self, product)

    def of_function(self: Bound, product: object) -> Traced:
        asked.append(product.bare)  # type: ignore[attr-defined]
        return unchecked("it is counted only")

    with monkeypatch.context() as patch:
        patch.setattr(Bound, "_of_query", of_query)
        patch.setattr(Bound, "_of_function", of_function)
        assert place.run("check").code == 0
    return asked


def test_an_edit_binds_what_it_changes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    file = place.write("products/sales.py", COUNTED, header=True)
    assert bound_names(place, monkeypatch) == ["first", "second", "third"]
    assert bound_names(place, monkeypatch) == []
    place.edit("products/sales.py", "x + 1 as y", "x + 2 as y")
    assert bound_names(place, monkeypatch) == ["first"], "it has the same columns"
    place.edit("products/sales.py", "select x, x", "select x::varchar as x, x")
    assert bound_names(place, monkeypatch) == ["first", "second", "third"]
    file.write_text("# a comment\n" + file.read_text())
    assert bound_names(place, monkeypatch) == []


def test_places_are_those_of_the_files_as_they_are(place: Place) -> None:
    broken = COUNTED.replace("return second", "return second.select('nosuch')")
    file = place.write("products/sales.py", broken, header=True)
    place.edit("products/sales.py", "select x from first", "select z from first")
    place.edit("products/sales.py", "def third(second)", "def third(numbers)")
    place.edit("products/sales.py", "return second.", "return numbers.")

    def places() -> list[int]:
        out = place.run("check", "--json").out
        return [each["line"] for each in json.loads(out)["findings"] if each["level"] == "error"]

    lines = places()
    assert len(lines) == 2, lines
    assert places() == lines
    file.write_text("# a comment\n\n" + file.read_text())
    assert places() == [line + 2 for line in lines]


@pytest.mark.parametrize("damage", ["", "{}", '{"tools":"x","body":"y"}\n{}', "\0" * 9])
def test_a_damaged_memo_is_found_anew(damage: str, place: Place) -> None:
    place.write(
        "products/sales.py",
        COUNTED.replace("select x from first", "select z from first"),
        header=True,
    )
    first = place.run("check").out
    Path(place.root / ".products/bound.json").write_text(damage)
    assert place.run("check").out == first


def test_sources_are_bound_in_any_graph(place: Place) -> None:
    place.write("products/sales.py", COUNTED, header=True)
    graph = open_project(place.root).graph
    lineage = Bound(graph, lambda _: (), lambda *_: unchecked("no")).bind(["sales.second"])
    assert [column.name for column in lineage.tables["sales.second"].columns] == ["x"]
