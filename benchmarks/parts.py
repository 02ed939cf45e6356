"""A product of many parts: one part changed, beside the full build.

    python -m benchmarks.parts --parts 10,100,1000 [--plot]
    python -m benchmarks.parts --small --parts 1000,20000 [--functions]

The project of `benchmarks.days`: a source of one file a day, lines and sums in parts of a day, sums of a shop over all.
One file is replaced. The bar is a three-hundredth of the full build and half a second. `--small`: see `benchmarks.small`.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from itertools import count as counting
from pathlib import Path

from benchmarks.days import write_day, write_project
from benchmarks.measure import Usage, aside, assay, head, measure, options, plot, row
from benchmarks.small import small


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--parts", default="100,1000", help="numbers of parts, with commas")
    parser.add_argument("--rows", type=int, default=5000, help="rows of a part")
    parser.add_argument(
        "--whole", action="store_true", help="make products whole instead of in parts"
    )
    parser.add_argument(
        "--plot", action="store_true", help="draw CPU seconds against the number of parts"
    )
    parser.add_argument(
        "--small", action="store_true", help="files of 20 to 5,000 rows, compared with a raw script"
    )
    parser.add_argument(
        "--functions", action="store_true", help="with --small: products are Polars functions"
    )
    told = parser.parse_args()
    if told.small:
        counts = [int(count) for count in told.parts.split(",")]
        small(counts, told.runs, functions=told.functions)
        return
    title = (
        f"Parts of {told.rows:,} rows{', made whole' if told.whole else ''}; medians of {told.runs}"
    )
    head(title, ["parts", "work", "CPU s", "bar", "MiB"])
    found = {}
    for count in map(int, told.parts.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            found[count] = changes(Path(folder), count, told.rows, told.runs, whole=told.whole)
    if told.plot:
        names = ("everything", "one part changed", "nothing changed")
        series = {
            name: [(count, usages[i].seconds) for count, usages in found.items()]
            for i, name in enumerate(names)
        }
        series["bar"] = [(count, bar(usages[0])) for count, usages in found.items()]
        plot(
            "parts-whole" if told.whole else "parts",
            "One part of many changed",
            ("parts", "CPU s"),
            series,
            log=True,
        )


def changes(root: Path, count: int, rows: int, runs: int, *, whole: bool) -> Sequence[Usage]:
    """Print and return what building everything, one part and nothing costs."""
    write_project(root, whole=whole)
    for day in range(count):
        write_day(root, day, rows)
    salts = counting(1)
    clear = partial(aside, root / ".products")
    [full] = measure([assay("", root, "materialize", prepare=clear)], runs)

    def replace() -> None:
        write_day(root, count // 2, rows, next(salts))

    [one] = measure([assay("", root, "materialize", prepare=replace)], runs)
    [none] = measure([assay("", root, "materialize")], runs)
    row([count, "everything", full.seconds, "", full.peak])
    row([count, "one part changed", one.seconds, bar(full), one.peak])
    row([count, "nothing changed", none.seconds, "", none.peak])
    return full, one, none


def bar(full: Usage) -> float:
    """Return what one part may cost."""
    return full.seconds / 300 + 0.5


if __name__ == "__main__":
    main()
