"""Checking without data: what `products check` costs beside the number of products.

    python -m benchmarks.check --products 1000 [--polars]

The project of `benchmarks.tiny`: a tree of small products with two rules each, SQL or, with `--polars`, Polars
functions. Nothing is built, and there is no data. Checked are: all products in a fresh clone, where the declarations are
read first; the same with the declarations read before; again, when nothing changed; and when one product changed, so
that what is below it gets the same columns (only that one is bound again).
"""

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.measure import assay, head, measure, options, row
from benchmarks.tiny import Tiny

BARS = (2.0, None, 0.4, None)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--polars", action="store_true", help="Polars functions instead of SQL")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tiny = Tiny(Path(folder), told.products, polars=told.polars, contracts=False)
        kind = "Polars functions" if told.polars else "SQL products"
        head(
            f"{told.products:,} tiny {kind}, 2 rules each; medians of {told.runs}",
            ("work", "CPU s", "bar", "MiB"),
        )
        shutil.rmtree(tiny.ours / "data")
        state = tiny.ours / ".products"
        works: dict[str, Callable[[], object]] = {
            "a fresh clone": partial(shutil.rmtree, state, ignore_errors=True),
            "with the declarations read": partial((state / "bound.json").unlink, missing_ok=True),
            "nothing changed": lambda: None,
            "the root changed": partial(tiny.edit, 0),
        }
        for (title, prepare), bar in zip(works.items(), BARS, strict=True):
            side = assay("check", tiny.ours, "check", prepare=prepare)
            [usage] = measure([side], told.runs)
            row([title, usage.seconds, bar or "", usage.peak])


if __name__ == "__main__":
    main()
