"""Functions run in a child process, without rows, for their lineage: what they may do, and how long."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assay.build.empty_runs import EmptyRuns
from assay.declare.project import open_project
from assay.model import Column
from assay.plan.misfits import Degree, Traced
from tests.conftest import Place

READONLY = "from assay.build.readonly import become_readonly; print(become_readonly())"
NOW = datetime(2024, 1, 31, 7, tzinfo=UTC)
PRODUCTS = """
import os, sys, time
import duckdb
from datetime import date

HERE = Path(__file__).parent.parent

class Out(pa.DataFrameModel):
    x: int

@product(owner="o")
def plain(numbers):
    print("this is no reply")
    return numbers.select(y=pl.col("x") + 1)

@product(owner="o", contract=Out)
def writes(numbers):
    (HERE / "made.txt").write_text("x")
    return numbers

@product(owner="o", contract=Out)
def starts(numbers):
    os.system(f"touch {HERE}/made.txt")
    return numbers

@product(owner="o")
def sinks(numbers):
    numbers.sink_csv(HERE / "made.txt")
    return numbers

@product(owner="o")
def empties(numbers):
    numbers.sink_csv(HERE / "kept.txt")
    return numbers

@product(owner="o")
def copies(numbers):
    duckdb.sql(f"copy (select 1 as x) to '{HERE}/made.txt'")
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
    (HERE / "made.txt").write_text("x")
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


def refuses_engines() -> bool:
    """Return whether this system can refuse what is not written in Python."""
    command = [sys.executable, "-c", READONLY]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


def test_a_function_is_run_for_its_plan(place: Place, runs: EmptyRuns) -> None:
    [column] = trace(place, runs, "plain").flows.columns
    assert (column.name, column.type) == ("y", "BIGINT")
    assert [(flow.of, flow.column) for flow in column.flows] == [("sales.numbers", "x")]
    assert trace(place, runs, "dated").flows.columns[0].type == "DATE"


@pytest.mark.parametrize("name", ["writes", "starts", "sinks", "empties", "copies"])
def test_a_function_changes_nothing(name: str, place: Place, runs: EmptyRuns) -> None:
    place.write("kept.txt", "this is kept")
    if name in {"sinks", "empties", "copies"} and not refuses_engines():
        pytest.skip("this system cannot refuse what engines write")
    traced = trace(place, runs, name)
    if name in {"writes", "starts"}:
        assert "may change nothing" in traced.flows.unknown
    else:  # what engines write: the system refuses it
        assert "enied" in traced.flows.unknown, traced
    assert (place.root / "kept.txt").read_text() == "this is kept"
    assert [problem.degree for problem in traced.problems] == [Degree.UNCHECKED]
    assert not (place.root / "made.txt").exists()


def test_a_function_without_inputs_is_not_run(place: Place, runs: EmptyRuns) -> None:
    traced = trace(place, runs, "alone")
    assert (traced.flows.unknown, traced.flows.columns) == ("", ())
    assert [problem.degree for problem in traced.problems] == [Degree.UNCHECKED]
    assert not (place.root / "made.txt").exists()


@pytest.mark.long
def test_a_function_that_hangs_or_ends_harms_no_other(place: Place) -> None:
    with EmptyRuns(place.root, NOW, limit=1.0) as runs:
        assert "took longer than 1 s, without rows" in trace(place, runs, "hangs").flows.unknown
    with EmptyRuns(place.root, NOW) as runs:
        assert "SystemExit(0)" in trace(place, runs, "exits").flows.unknown
        assert "ended the process" in trace(place, runs, "ends").flows.unknown
        assert not trace(place, runs, "plain").flows.unknown


def test_a_project_that_cannot_be_imported_in_the_child_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    place.write("pyproject.toml", "[tool.products]\n")
    place.write("products/sales.py", PRODUCTS, header=True)
    starts: list[object] = []
    original = EmptyRuns._start

    def start(self: EmptyRuns) -> None:
        starts.append(self)
        original(self)

    monkeypatch.setattr(EmptyRuns, "_start", start)
    project = open_project(place.root)
    columns = {"sales.numbers": [Column(name="x", type="BIGINT")]}
    place.write("products/sales.py", "import nosuch\n")
    with EmptyRuns(place.root, NOW) as runs:
        for name in ("plain", "hangs", "writes"):
            traced = runs.trace(project.graph.products[f"sales.{name}"], columns)
            assert "cannot be imported in a process of their own" in traced.flows.unknown
            assert traced.fleeting
    assert len(starts) == 1


def test_code_that_changed_meanwhile_is_not_run(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write("pyproject.toml", "[tool.products]\n")
    place.write("products/sales.py", PRODUCTS, header=True)
    project = open_project(place.root)
    project.set_clock(NOW)
    columns = {"sales.numbers": [Column(name="x", type="BIGINT")]}
    place.edit("products/sales.py", 'pl.col("x") + 1', 'pl.col("x") + 2')
    with EmptyRuns(place.root, NOW) as runs:
        plain = runs.trace(project.graph.products["sales.plain"], columns)
        assert ("its code is another one" in plain.flows.unknown, plain.fleeting) == (True, True)
        assert runs.trace(project.graph.products["sales.dated"], columns).flows.columns
