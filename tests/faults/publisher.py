"""Processes that publish one generation after the other into one store: `python -m tests.faults.publisher SECONDS ROOT...`.

Each project has data of its own and shares `.products`. In the end each says how its commands came out, by exit code.
"""

import contextlib
import io
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

DEFINITIONS = """
import polars as pl
from assay import product, source, sql_product

numbers = source.files("data/*.csv", columns={"gen": pl.Int64, "x": pl.Int64})
base = sql_product("base", "select gen, x from numbers", owner="o")
left_side = sql_product("left_side", "select gen, sum(x)::bigint as total from base group by gen", owner="o")

@product(owner="o")
def right_side(base: pl.LazyFrame) -> pl.LazyFrame:
    return base.select("gen").unique()

joined = sql_product("joined", "select l.gen, l.total from left_side l join right_side r using (gen)", owner="o")
"""


def write(root: Path, shared: Path, catalog: str = "") -> None:
    (root / "products").mkdir(parents=True)
    (root / "data").mkdir()
    setting = f'catalog = "{catalog}"\n' if catalog else ""
    (root / "pyproject.toml").write_text(f"[tool.products]\njobs = 1\n{setting}")
    (root / "products/t.py").write_text(DEFINITIONS)
    shared.mkdir(exist_ok=True)
    (root / ".products").symlink_to(shared)


def publish(root: Path, seconds: float, first: int) -> Counter[str]:
    from assay.cli.main import main

    os.chdir(root)
    ends: Counter[str] = Counter()
    generation, end = first, time.monotonic() + seconds
    while time.monotonic() < end:
        generation += 1
        (root / "data/a.csv").write_text(f"gen,x\n{generation},1\n{generation},2\n")
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
                main(["materialize"], prog_name="products")
        except SystemExit as exit:
            ends[f"{exit.code} {said.getvalue().strip()[:60]}".strip()] += 1
    return ends


def run(seconds: float, roots: list[Path], variants: list[str]) -> None:
    import duckdb  # noqa: F401
    import polars  # noqa: F401

    import assay.cli.main  # noqa: F401
    from tests.faults.variants import VARIANTS

    for name in variants:
        VARIANTS[name]()
    for number, root in enumerate(roots, 1):
        if not os.fork():
            ends = publish(root, seconds, number * 1_000_000)
            os.write(1, f"{json.dumps(ends)}\n".encode())
            os._exit(0)
    for _ in roots:
        os.wait()


if __name__ == "__main__":
    names = [name for name in os.environ.get("FAULTS_VARIANTS", "").split(",") if name]
    run(float(sys.argv[1]), [Path(root) for root in sys.argv[2:]], names)
