"""A process that opens a project and runs it many times (a scheduler, a notebook) does not grow."""

import gc
import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from assay.build.execute import execute
from assay.build.workspace import open_workspace
from assay.plan.request import Request, RunOptions
from tests.conftest import LONG, Place, effort

ROUNDS, FIRST = (
    effort(14, 20, 30),
    10,
)  # what is alive after all rounds is compared with what is after the first
EDIT_EVERY = 4  # rounds
VARIANTS = 2  # of the definitions: each new SQL text still fills a cache, which has a limit

MODULE = """
import polars as pl
from assay import product, rule, source, sql_product
from helpers import FACTOR

numbers = source.files("numbers.csv", columns={"x": "bigint"})
days = source.files("days/{day:date}.csv", columns={"y": "bigint"})
sql_product("doubled", "select x * 2 + NUMBER as x from numbers", owner="o", rules=[
    rule.check("x is positive", "x > 0")])
sql_product("daily", "select day, sum(y)::bigint as y from days group by 1", owner="o", partition_by="day")
sql_product("refused", "select x from doubled", owner="o", rules=[rule.check("x is one", "x = 1")])

@product(owner="o")
def scaled(doubled: pl.LazyFrame):
    return doubled.with_columns(pl.col("x") * FACTOR)

@product(owner="o", isolate=True)
def apart(doubled: pl.DataFrame):
    return doubled.with_columns(pl.col("x") + FACTOR)

@product(owner="o", timeout="1m")
def within(doubled: pl.DataFrame):
    return doubled.head(FACTOR)

@product(owner="o")
def failing(doubled: pl.DataFrame):
    raise ValueError(f"no factor {FACTOR}")
"""


@pytest.mark.long
def test_many_runs_in_one_process_leave_nothing_behind(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write("pyproject.toml", "[tool.products]\n")
    for day in (1, 2, 3):
        place.write(f"days/2024-01-0{day}.csv", f"y\n{day}\n")
    process = subprocess.run(
        [sys.executable, "-m", "tests.build.test_long_lived", str(place.root)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    rounds = [json.loads(line) for line in process.stdout.splitlines()]
    assert len(rounds) == ROUNDS
    edited = rounds[::EDIT_EVERY]
    assert all("shop.apart" in counts["built"] for counts in edited)
    for kind in ("threads", "files", "modules", "objects"):
        before, after = (Counter(rounds[n - 1][kind]) for n in (FIRST, ROUNDS))
        assert not after - before, kind


def run_often(root: Path) -> None:
    """Open a project and build all of it, `ROUNDS` times, and print what is alive after each."""
    for index in range(ROUNDS):
        if index % EDIT_EVERY == 0:
            edit(root, index // EDIT_EVERY)
        sys.stdout.write(json.dumps({"built": run_once(root), **alive()}) + "\n")


def edit(root: Path, count: int) -> None:
    """Change the definitions, a module that they import, and the data."""
    variant = count % VARIANTS
    (root / "products").mkdir(exist_ok=True)
    (root / "products/shop.py").write_text(MODULE.replace("NUMBER", str(variant)))
    (root / "helpers.py").write_text(f"FACTOR = {variant + 1}\n")
    (root / "numbers.csv").write_text("\n".join(["x", *map(str, range(1, count + 4))]) + "\n")


def run_once(root: Path) -> list[str]:
    with open_workspace(start=root, create=True) as workspace:
        request = Request(products=frozenset(workspace.graph.order))
        outcome = execute(workspace, request, workspace.observe(), options=RunOptions(jobs=2))
        ends = {name: type(result.end).__name__ for name, result in outcome.results.items()}
    assert ends["shop.failing"] == "Failed" and ends["shop.refused"] != "Publish", ends
    return sorted(name for name, end in ends.items() if end == "Publish")


def alive() -> dict[str, dict[str, int]]:
    """Count by name what this process holds: threads, open files, modules and objects of our own classes."""
    gc.collect()
    kinds = (type(thing) for thing in gc.get_objects())
    return {
        "threads": Counter(thread.name for thread in threading.enumerate()),
        "files": Counter(map(target, Path("/dev/fd").iterdir())),
        "modules": Counter(list(sys.modules)),
        "objects": Counter(
            f"{kind.__module__}.{kind.__qualname__}"
            for kind in kinds
            if kind.__module__.partition(".")[0] == "assay"
        ),
    }


def target(descriptor: Path) -> str:
    """Return the file, or the kind of thing (`pipe`), that a descriptor is open on."""
    try:
        return str(descriptor.readlink()).partition(":")[0]
    except OSError:  # that of the listing itself
        return ""


if __name__ == "__main__":
    run_often(Path(sys.argv[1]))
