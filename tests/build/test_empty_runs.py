"""Functions run in a child process, without rows, for their lineage: what they may do, and how long."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from assay.build.empty_runs import EmptyRuns
from assay.declare.project import open_project
from assay.model import Column
from assay.plan.misfits import Degree, Traced
from tests.conftest import Place

NOW = datetime(2024, 1, 31, 7, tzinfo=UTC)
PRODUCTS = """
import os, sys, time
from datetime import date

class Out(pa.DataFrameModel):
    x: int

@product(owner="o")
def plain(numbers):
    print("this is no reply")
    return numbers.select(y=pl.col("x") + 1)

@product(owner="o", contract=Out)
def writes(numbers):
    Path("made.txt").write_text("x")
    return numbers

@product(owner="o", contract=Out)
def starts(numbers):
    os.system("touch made.txt")
    return numbers

@product(owner="o", contract=Out)
def hangs(numbers):
    time.sleep(600)

@product(owner="o")
def exits(numbers):
    sys.exit(0)

@product(owner="o")
def ends(numbers):
    os._exit(0)

@product(owner="o", changes_with="day")
def dated(numbers, day: date):
    return numbers.select(z=pl.lit(day))

@product(owner="o", contract=Out)
def alone():
    Path("made.txt").write_text("x")
    return pl.LazyFrame({"x": [1]})
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("shop"))
    place.write("pyproject.toml", "[tool.products]\n")
    place.write("products/sales.py", PRODUCTS, header=True)
    return place


@pytest.fixture
def runs(place: Place) -> Iterator[EmptyRuns]:
    with EmptyRuns(place.root, NOW) as runs:
        yield runs


def trace(place: Place, runs: EmptyRuns, name: str) -> Traced:
    project = open_project(place.root)
    project.set_clock(NOW)
    columns = {"sales.numbers": [Column(name="x", type="BIGINT")]}
    return runs.trace(project.graph.products[f"sales.{name}"], columns)


def test_a_function_is_run_for_its_plan(place: Place, runs: EmptyRuns) -> None:
    [column] = trace(place, runs, "plain").flows.columns
    assert (column.name, column.type) == ("y", "BIGINT")
    assert [(flow.of, flow.column) for flow in column.flows] == [("sales.numbers", "x")]
    assert trace(place, runs, "dated").flows.columns[0].type == "DATE"


@pytest.mark.parametrize("name", ["writes", "starts"])
def test_a_function_changes_nothing(name: str, place: Place, runs: EmptyRuns) -> None:
    traced = trace(place, runs, name)
    assert "may change nothing" in traced.flows.unknown
    assert [problem.degree for problem in traced.problems] == [Degree.UNCHECKED]
    assert not (place.root / "made.txt").exists()


def test_a_function_without_inputs_is_not_run(place: Place, runs: EmptyRuns) -> None:
    traced = trace(place, runs, "alone")
    assert (traced.flows.unknown, traced.flows.columns) == ("", ())
    assert [problem.degree for problem in traced.problems] == [Degree.UNCHECKED]
    assert not (place.root / "made.txt").exists()


def test_a_function_that_hangs_or_ends_harms_no_other(place: Place) -> None:
    with EmptyRuns(place.root, NOW, limit=1.0) as runs:
        assert "took longer than 1 s, without rows" in trace(place, runs, "hangs").flows.unknown
    with EmptyRuns(place.root, NOW) as runs:
        assert "SystemExit(0)" in trace(place, runs, "exits").flows.unknown
        assert "ended the process" in trace(place, runs, "ends").flows.unknown
        assert not trace(place, runs, "plain").flows.unknown
