"""Rows that are set aside of very many small parts, beside the same parts without.

    python -m benchmarks.quarantine --parts 1000 --runs 3 [--functions]

One product reads a CSV file of 20 to 5,000 rows for each part. Its rule fails no row, or sets the same
rows aside: none, or one of each part. With `--functions`, it is a Polars function, called once for each part.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.days import COLUMNS, write_day
from benchmarks.measure import Side, Usage, aside, assay, head, measure, row
from benchmarks.pipeline import put
from benchmarks.small import rows_of

QUARANTINE = ', on_failure="quarantine", fail_above="50 %"'
RULES = {
    "no quarantine": '"amount >= 1"',
    "none set aside": f'"amount >= 1"{QUARANTINE}',
    "a row of each part": f'"amount > 1"{QUARANTINE}',
}
QUERY = (
    'sql_product("lines", "select * from raw", owner="bench", partition_by="day", rules=[{rule}])'
)
FUNCTION = """
@product(owner="bench", partition_by="day", rules=[{rule}])
def lines(raw): return raw
"""


def main() -> None:
    """Print what a first build, one changed part and a no-op cost, each beside the same without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--functions", action="store_true")
    told = parser.parse_args()
    head(
        f"{told.parts:,} parts{', by a function' * told.functions}; medians of {told.runs}",
        ["work", *(f"{name}, CPU s" for name in RULES), "none / without", "a row / without"],
    )
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), told.parts, told.runs, FUNCTION if told.functions else QUERY)


def _measure(folder: Path, parts: int, runs: int, code: str) -> None:
    roots = [folder / f"{number}" for number in range(len(RULES))]
    for root, condition in zip(roots, RULES.values(), strict=True):
        put(root / "pyproject.toml", "[tool.products]\n")
        rule = f'rule.check("an amount is large enough", {condition})'
        source = f'raw = source.files("data/{{day:date}}.csv", columns={COLUMNS})\n'
        imports = "from assay import product, rule, source, sql_product\n\n"
        put(root / "products/sales.py", imports + source + code.format(rule=rule))
        for number in range(parts):
            write_day(root, number, rows_of(number))
    _row("everything", _sides(roots, lambda root: partial(aside, root / ".products")), runs)
    _row("one part changed", _sides(roots, partial(_changed, parts)), runs)
    _row("nothing changed", _sides(roots, lambda _: lambda: None), runs)


def _sides(roots: list[Path], prepare: Callable[[Path], Callable[[], object]]) -> list[Side]:
    return [assay("", root, "materialize", prepare=prepare(root)) for root in roots]


def _changed(parts: int, root: Path) -> Callable[[], None]:
    """Return what replaces the file of a part, each time by another."""
    salts = count(1)
    return lambda: write_day(root, parts // 2, 1000, salt=next(salts) * 7)


def _row(work: str, sides: list[Side], runs: int) -> None:
    found: list[Usage] = measure(sides, runs)
    without, none, some = (usage.seconds for usage in found)
    row([work, without, none, some, none / without, some / without])


if __name__ == "__main__":
    main()
