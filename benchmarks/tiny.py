"""Many tiny products with two rules each: Assay beside a raw script that writes and checks the same tables.

    python -m benchmarks.tiny --products 1000 [--polars] [--contracts] [--peers dbt,sqlmesh]

Everything built, nothing changed, and one product changed near the root, in the middle and at a leaf, each beside the
raw cost of just what is rebuilt. Products are SQL, or, with `--polars`, Polars functions beside a raw Polars script.
Each rule is a query of its own, on both sides; with `--contracts` the rules are a pandera schema, and the raw script
asks one query a table. The raw script pays for no durability and keeps no evidence.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count as counting
from pathlib import Path

from benchmarks import peers
from benchmarks.measure import COLUMNS, Side, aside, assay, compare, head, options
from benchmarks.pipeline import (
    Check,
    Model,
    Pipeline,
    Table,
    put,
    write_assay,
    write_modules,
    write_raw,
)

ROWS = 1000
NUMBERS = Table("data/numbers.csv", {"id": "BIGINT", "x": "BIGINT"})
CHECKS = (Check("null", "id"), Check("unique", "id"))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument(
        "--polars", action="store_true", help="Polars functions, beside a raw Polars script"
    )
    parser.add_argument(
        "--contracts", action="store_true", help="rules as a pandera schema instead of queries"
    )
    parser.add_argument(
        "--peers",
        default="",
        help="also these, as far as benchmarks/peers.sh installed them: dbt,...",
    )
    told = parser.parse_args()
    names = peers.chosen(told.peers)
    with tempfile.TemporaryDirectory() as folder:
        Tiny(Path(folder), told.products, polars=told.polars, contracts=told.contracts).measure(
            told.runs, names
        )


class Tiny:
    """The project, for all sides, in a folder."""

    def __init__(self, root: Path, count: int, *, polars: bool, contracts: bool) -> None:
        self.root, self.count, self.polars, self.contracts = root, count, polars, contracts
        self.ours, self.raw = root / "project", root / "raw"
        self.edits = counting(1)
        self.changed: dict[int, str] = {}
        lines = "".join(f"{n},{n % 7}\n" for n in range(ROWS))
        for place in (self.ours, self.raw, root):
            put(place / NUMBERS.file, f"id,x\n{lines}")
        self.write()

    def write(self) -> None:
        """Write the project, with what was added to the expression of some products."""
        if self.polars:
            put(self.ours / "pyproject.toml", "[tool.products]\n")
            write_modules(
                self.ours, pipeline(0, {}), [_function(n, self.changed) for n in range(self.count)]
            )
            put(self.raw / "raw.py", _raw_polars(self.count, self.changed))
        else:
            made = pipeline(self.count, self.changed)
            write_assay(self.ours, made, contracts=self.contracts)
            write_raw(self.raw, made, one_query=self.contracts)

    def edit(self, number: int, *, same: bool = False) -> None:
        """Change a product: what it holds, or only how that is written."""
        before, edit = self.changed.get(number, ""), next(self.edits)
        self.changed[number] = (
            f"{before.partition(' + 0 *')[0]} + 0 * {edit}" if same else f" + {edit}"
        )
        self.write()

    def measure(self, runs: int, names: list[str]) -> None:
        kind = "Polars functions" if self.polars else "SQL products"
        head(
            f"{self.count:,} tiny {kind} of {ROWS:,} rows, 2 rules each; medians of {runs}", COLUMNS
        )
        built = [peers.build(name, self.root, pipeline(self.count, {})) for name in names]
        compare("everything", [self._ours(self._clear), self._raw(range(self.count)), *built], runs)
        compare(
            "nothing changed",
            [self._ours(), *[peers.again(name, self.root) for name in names]],
            runs,
        )
        for title, number in {
            "the root": 0,
            "one in the middle": 1,
            "one leaf": self.count - 1,
        }.items():
            below = _below(number, self.count)
            sides = [self._ours(partial(self.edit, number)), self._raw(below)]
            compare(f"{title} changed: {len(below):,} rebuilt", sides, runs)
        sides = [self._ours(partial(self.edit, 0, same=True)), self._raw([0])]
        compare("the root edited, to hold the same: 1 rebuilt", sides, runs)
        compare("status", [assay("products status", self.ours, "status")], runs)

    def _ours(self, prepare: Callable[[], object] = lambda: None) -> Side:
        return assay("Assay", self.ours, "materialize", prepare=prepare)

    def _raw(self, numbers: "range | list[int]") -> Side:
        chosen = [f"p{n}" for n in numbers] if len(numbers) < self.count else []
        return Side(name="raw script", command=[sys.executable, "raw.py", *chosen], place=self.raw)

    def _clear(self) -> None:
        for folder in (self.ours / ".products", self.raw / "out"):
            aside(folder)


def pipeline(count: int, changed: Mapping[int, str]) -> Pipeline:
    """Return the project of SQL products: a tree of which each product has ten below it."""
    models = [
        Model(
            f"p{n}",
            {"id": "id", "x": f"x + {n}{changed.get(n, '')}"},
            f"from {{{_above(n)}}}",
            CHECKS,
        )
        for n in range(count)
    ]
    return Pipeline("tiny", {"numbers": NUMBERS}, models)


def _above(number: int) -> str:
    return "numbers" if number == 0 else f"p{number // 10}"


def _below(number: int, count: int) -> list[int]:
    """Return a product and all that is made of it, in order."""
    found = {number}
    for n in range(number + 1, count):
        if n // 10 in found:
            found.add(n)
    return sorted(found)


# ---------------------------------------------------------------------------------------------- Polars


def _function(number: int, changed: Mapping[int, str]) -> str:
    rules = (
        "[rule.sql('id: null', 'select id from this where id is null'),"
        " rule.sql('id: unique', 'select id from this group by id having count(*) > 1')]"
    )
    about = f"domain='tiny', owner='bench', inputs={{'above': '{_above(number)}'}}, rules={rules}"
    made = f"above.select('id', (pl.col('x') + {number}{changed.get(number, '')}).alias('x'))"
    return f"@product({about})\ndef p{number}(above: pl.LazyFrame) -> pl.LazyFrame:\n    return {made}\n"


def _raw_polars(count: int, changed: Mapping[int, str]) -> str:
    steps = "".join(
        f"    'p{n}': ('{_above(n)}', lambda x: x + {n}{changed.get(n, '')}),\n"
        for n in range(count)
    )
    return f"""import os, sys
import polars as pl

os.makedirs("out", exist_ok=True)
STEPS = {{
{steps}}}
for name in sys.argv[1:] or STEPS:
    above, x = STEPS[name]
    if above == "numbers":
        read = pl.scan_csv("{NUMBERS.file}", schema={{"id": pl.Int64, "x": pl.Int64}})
    else:
        read = pl.scan_parquet(f"out/{{above}}.parquet")
    read.select("id", x(pl.col("x")).alias("x")).sink_parquet(f"out/{{name}}.parquet", compression="zstd")
    made = pl.scan_parquet(f"out/{{name}}.parquet")
    assert not made.select(pl.col("id").null_count()).collect().item()
    assert not made.select(pl.col("id").is_duplicated().any()).collect().item()
"""


if __name__ == "__main__":
    main()
