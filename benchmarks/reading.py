"""What the first row costs beside the number of products: `products query`, `assay.read`, `assay.connect`.

    python -m benchmarks.reading --products 1000,10000

Projects of tiny products as in `benchmarks.noop`. Six reads are of six products in one process; a connection answers one
query about one product.
"""

import tempfile
from pathlib import Path

from benchmarks.measure import Side, assay, head, measure, options, program, row
from benchmarks.noop import seed

BARS = {"query": 0.45, "six reads": 0.6}  # CPU seconds, of 10,000 products
_SIX = "import assay\nfor n in range(0, 600, 100): assay.read(f'tiny.p{n}').collect()"
_CONNECT = "import assay\nassay.connect().execute('select count(*) from tiny.p7').fetchall()"
_IMPORTS = "import assay, duckdb, polars"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--products", default="1000,10000", help="numbers of products, with commas")
    told = parser.parse_args()
    head(
        f"Reading; medians of {told.runs}",
        ["products", "what", "CPU s", "bar", "MiB"],
    )
    for count in map(int, told.products.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            seed(place, count)
            sides = [
                assay("query", place, "query", "from tiny.p7 limit 1"),
                Side(name="six reads", command=program(_SIX), place=place),
                Side(name="connect, one query", command=program(_CONNECT), place=place),
                Side(name="imports alone", command=program(_IMPORTS), place=place),
            ]
            for side, usage in zip(sides, measure(sides, told.runs), strict=True):
                bar = BARS.get(side.name, "") if count == 10_000 else ""
                row([count, side.name, usage.seconds, bar, usage.peak])


if __name__ == "__main__":
    main()
