"""Many daily runs in a row, each with one more file: what the last costs beside the first, and what has grown.

    python -m benchmarks.growth --days 1000 [--gc 7] [--whole] [--plot]

A small project (`benchmarks.days`) whose products are made in parts of a day; with `--whole` they are made whole. Each
day one file is added and `materialize` run as a process of its own, as of that day (what waits an hour to be removed is
gone by the next), every so many days (`--gc`) `gc` after it. Catalog and store should grow by what changed.
"""

import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.days import write_day, write_project
from benchmarks.heavy import size
from benchmarks.measure import assay, head, options, plot, row, run

NEAR = 10  # runs around a day whose median is shown


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--days", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1000, help="rows of a file")
    parser.add_argument("--gc", type=int, default=7, help="days after which `gc` is run; 0: never")
    parser.add_argument(
        "--whole", action="store_true", help="make products whole instead of in parts"
    )
    parser.add_argument(
        "--plot", action="store_true", help="draw CPU seconds, catalog and store against days"
    )
    told = parser.parse_args()
    made = "whole" if told.whole else "in parts"
    tidied = f", `gc` every {told.gc} days" if told.gc else ""
    title = f"One more file of {told.rows:,} rows a day, made {made}{tidied}; CPU s is the median of {NEAR} runs"
    head(
        title,
        [
            "run",
            "CPU s",
            "mean since the row before",
            "most",
            "`gc`: CPU s",
            "catalog MiB",
            "store MiB",
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        seconds, sizes = live(Path(folder), told.days, told.rows, every=told.gc, whole=told.whole)
    row(
        [
            "last / first",
            around(seconds, told.days) / around(seconds, min(NEAR, told.days)),
            *[""] * 5,
        ]
    )
    if told.plot:
        draw(seconds, sizes, f"growth-{'whole' if told.whole else 'parts'}")


Sizes = dict[int, tuple[float, float]]


def live(root: Path, days: int, rows: int, *, every: int, whole: bool) -> tuple[list[float], Sizes]:
    """Return the CPU seconds of each run, and the size of catalog and store (MiB) after some of them; print those."""
    write_project(root, whole=whole)
    run(assay("", root, "env", "create", "growth", "--empty").command, root)
    seconds, sizes, tidying, told, start = [], {}, 0.0, 0, datetime.now(UTC)
    for day in range(1, days + 1):
        write_day(root, day - 1, rows)
        now = (
            "--now",
            (start + timedelta(days=day)).isoformat(),
            "--env",
            "growth",
        )  # days to come are only tried
        seconds.append(run(assay("", root, "materialize", *now).command, root).seconds)
        if every and day % every == 0:
            tidying = run(assay("", root, "gc", *now).command, root).seconds
        if day in {1, NEAR, days} or day % max(1, days // 20) == 0:
            sizes[day] = (catalog_size(root), size(root / ".products/store"))
            since = seconds[max(told, min(1, day - 1)) :]
            row(
                [
                    day,
                    around(seconds, day),
                    statistics.mean(since),
                    max(since),
                    tidying,
                    *sizes[day],
                ]
            )
            told = day
    return seconds, sizes


def catalog_size(root: Path) -> float:
    """Return the size of the catalog with what its log still holds, in MiB."""
    return sum(file.stat().st_size for file in (root / ".products").glob("catalog.db*")) / 2**20


def around(seconds: list[float], day: int) -> float:
    """Return the median of a run and those before it; the first build alone is none of them."""
    return statistics.median(seconds[max(1, day - NEAR) : day] or seconds)


def draw(seconds: list[float], sizes: Sizes, name: str) -> None:
    """Draw what grows against the number of runs."""
    cost = [(day, around(seconds, day)) for day in range(2, len(seconds) + 1)]
    plot(f"{name}-cpu", "One more file a day", ("run", "CPU s"), {"materialize": cost})
    told = {
        "catalog": [(day, catalog) for day, (catalog, _) in sizes.items()],
        "store": [(day, store) for day, (_, store) in sizes.items()],
    }
    plot(f"{name}-size", "One more file a day", ("run", "MiB"), told)


if __name__ == "__main__":
    main()
