"""What editors and type checkers know of a declared product: the function that it was declared with."""

import inspect
import pydoc
import subprocess
import sys

import polars as pl
import pytest

from assay import product
from assay.declare.words import collecting
from tests.conftest import ROOT, Place

TYPED = """
import polars as pl

from assay import product, sql_product


@product(owner="o")
def lines(raw: pl.LazyFrame, factor: int = 1) -> pl.LazyFrame:
    return raw.with_columns(pl.col("x") * factor)


sql_product("total", "select sum(x) as x from lines", owner="o")
frame: pl.LazyFrame = lines(pl.LazyFrame({"x": [1]}), factor=2)
wrong: int = lines("no frame")
"""


def test_a_declared_function_keeps_its_words_and_its_signature() -> None:
    with collecting():

        @product(owner="o")
        def orders(raw: pl.DataFrame) -> pl.DataFrame:
            """Every order once."""
            return raw.unique()

    assert "Every order once." in pydoc.render_doc(orders, renderer=pydoc.plaintext)
    assert str(inspect.signature(orders)).startswith("(raw: ")
    assert orders(pl.DataFrame({"x": [1, 1]})).height == 1
    assert repr(orders).startswith("<product orders, declared at ")


@pytest.mark.long
def test_a_type_checker_knows_what_it_takes_and_returns(place: Place) -> None:
    place.write("typed.py", TYPED)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "typed.py"],
        cwd=place.root,
        env={"PATH": "", "MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(found) == 2, done.stdout
    assert all(line.startswith("typed.py:14:") for line in found)
    assert any("incompatible type" in line for line in found)
