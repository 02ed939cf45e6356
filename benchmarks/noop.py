"""Nothing has changed: what `materialize`, `plan` and `status` cost beside the number of products, and of old versions.

    python -m benchmarks.noop --products 1000,10000,100000 [--versions 1,100] [--promises] [--plot]

Projects of tiny SQL products with two rules each. Building 100,000 of them would take long, so one is built, and the
catalog and the store are filled with what the same run would have recorded of the others (`benchmarks.seed`); with
`--versions` each product has that many versions, of which all but the last are old. `materialize` must then find all
products unchanged. With `--promises` each product has a promise, and the data comes too late: `freshness` has to say so
of all, with the cause, at half a second more for 10,000 products than `status` costs without promises. First, the
example: `--help` and `status`, and which engines they import.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measure import (
    ROOT,
    Points,
    Side,
    Usage,
    assay,
    head,
    measure,
    options,
    plot,
    program,
    row,
    run,
)
from benchmarks.pipeline import put
from benchmarks.tiny import NUMBERS

BARS = {1000: (0.30, 100), 10_000: (0.9, 250), 100_000: (8, 1500)}
_LONG_AGO = 1_600_000_000  # seconds since 1970: when the data was written, if it comes too late
VERBS = ("materialize", "plan", "status")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--products", default="1000,10000", help="numbers of products, with commas")
    parser.add_argument(
        "--versions", default="1", help="numbers of versions that each product has, with commas"
    )
    parser.add_argument(
        "--promises", action="store_true", help="each product has a promise, which is broken"
    )
    parser.add_argument(
        "--plot", action="store_true", help="draw CPU seconds against the number of products"
    )
    told = parser.parse_args()
    example(told.runs)
    title = f"Nothing has changed; medians of {told.runs}"
    head(
        title,
        ["products", "versions of each", "command", "CPU s", "bar", "MiB", "bar", "catalog MiB"],
    )
    counts = [int(count) for count in told.products.split(",")]
    found = {
        versions: {
            count: nothing_changed(count, versions, told.runs, promises=told.promises)
            for count in counts
        }
        for versions in map(int, told.versions.split(","))
    }
    if told.plot:
        draw(found)


def example(runs: int) -> None:
    """Print what starting and `status` cost on the example, and whether an engine was imported."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("products", "fixtures"):
            shutil.copytree(ROOT / name, place / name)
        put(place / "pyproject.toml", "[tool.products]\n")
        run(assay("", place, "materialize").command, place)
        sides = [Side(name="python -c pass", command=program("pass"), place=place)]
        sides += [assay(words, place, words) for words in ("--help", "status")]
        head(
            f"The example; medians of {runs}",
            ["command", "CPU s", "bar", "MiB", "engines imported"],
        )
        for side, usage, bar in zip(sides, measure(sides, runs), ["", 0.20, 0.30], strict=True):
            row([side.name, usage.seconds, bar, usage.peak, engines(side)])


def engines(side: Side) -> str:
    """Return which engines a command of ours imports."""
    command = [side.command[0], "-X", "importtime", *side.command[1:]]
    told = subprocess.run(
        command, cwd=side.place, check=True, capture_output=True, text=True
    ).stderr
    modules = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    return ", ".join(sorted(modules & {"duckdb", "polars", "pandera", "rich"})) or "none"


def nothing_changed(
    count: int, versions: int, runs: int, *, promises: bool = False
) -> Mapping[str, Usage]:
    """Print and return what each command costs in a project of so many products."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        seed(place, count, versions, promises=promises)
        verbs = {verb: verb for verb in VERBS}
        if promises:
            os.utime(place / NUMBERS.file, (0, _LONG_AGO))
            verbs["freshness"] = "freshness --warn-only"
        usages = measure([assay(verb, place, words) for verb, words in verbs.items()], runs)
        size = (place / ".products/catalog.db").stat().st_size / 2**20
        for verb, usage in zip(verbs, usages, strict=True):
            seconds, peak = BARS.get(count, ("", "")) if verb == "materialize" else ("", "")
            row([count, versions, verb, usage.seconds, seconds, usage.peak, peak, size])
    return dict(zip(verbs, usages, strict=True))


def seed(place: Path, count: int, versions: int, *, promises: bool = False) -> None:
    """Make a project in which everything is built, and check that it is."""
    run(
        [
            sys.executable,
            "-m",
            "benchmarks.seed",
            ".",
            "--products",
            str(count),
            "--versions",
            str(versions),
            *(["--promises"] if promises else []),
        ],
        place,
    )
    command = assay("", place, "materialize").command
    told = subprocess.run(command, cwd=place, check=True, capture_output=True, text=True).stdout
    if f"unchanged  {count} products" not in told.replace(",", ""):
        raise SystemExit(f"not everything is unchanged:\n{told[-2000:]}")


def draw(found: Mapping[int, Mapping[int, Mapping[str, Usage]]]) -> None:
    """Draw CPU seconds against the number of products."""
    series: dict[str, Points] = {
        f"{verb}, {versions} version(s)": [
            (count, usages[verb].seconds) for count, usages in of.items()
        ]
        for versions, of in found.items()
        for verb in (VERBS if len(found) == 1 else VERBS[:1])
    }
    [counts, *_] = found.values()
    series["bar of materialize"] = [(count, BARS[count][0]) for count in counts if count in BARS]
    plot("noop", "Nothing has changed", ("products", "CPU s"), series, log=True)


if __name__ == "__main__":
    main()
