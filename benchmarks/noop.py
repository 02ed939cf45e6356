"""Nothing has changed: what `materialize`, `plan` and `status` cost beside the number of products, and of old versions.

    python -m benchmarks.noop --products 1000,10000,100000 [--versions 1,100] [--promises] [--plot]

Projects of tiny SQL products with two rules each. Building 100,000 of them would take long, so one is built, and the
catalog and the store are filled with what the same run would have recorded of the others (`benchmarks.seed`); with
`--versions` each product has that many versions, of which all but the last are old. `materialize` must then find all
products unchanged. First, the example: `--help` and `status`, and which engines they import.

With `--promises`, the same in projects in which each product has a promise, beside one without: when all are kept, half
an hour before all fall due with the drop not there, and when all are missed. `freshness` has to say so of each, with the
cause, at half a second more for 10,000 products than `status` costs without promises. And an idle turn of `run`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
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
IDLE = 0.12  # seconds of a turn: of one a minute, 0.2 % of a core
_FEW, _MANY = 4, 24  # turns: the first ones read everything
LONG_AGO = 1_600_000_000  # seconds since 1970: when the data was written, if it comes too late
VERBS = ("materialize", "plan", "status")
PROMISED = ("materialize", "status", "freshness --warn-only")
MORE = {10_000: 0.5}  # seconds that `freshness` may take more than `status` without promises


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--products", default="1000,10000", help="numbers of products, with commas")
    parser.add_argument(
        "--versions", default="1", help="numbers of versions that each product has, with commas"
    )
    parser.add_argument(
        "--promises", action="store_true", help="compare projects with a promise of each product"
    )
    parser.add_argument(
        "--plot", action="store_true", help="draw CPU seconds against the number of products"
    )
    told = parser.parse_args()
    example(told.runs)
    counts = [int(count) for count in told.products.split(",")]
    if told.promises:
        with_promises(counts, told.runs)
        return
    title = f"Nothing has changed; medians of {told.runs}"
    head(
        title,
        ["products", "versions of each", "command", "CPU s", "bar", "MiB", "bar", "catalog MiB"],
    )
    found = {
        versions: {count: nothing_changed(count, versions, told.runs) for count in counts}
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


def nothing_changed(count: int, versions: int, runs: int) -> Mapping[str, Usage]:
    """Print and return what each command costs in a project of so many products."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        seed(place, count, versions)
        usages = measure([assay(verb, place, verb) for verb in VERBS], runs)
        size = (place / ".products/catalog.db").stat().st_size / 2**20
        for verb, usage in zip(VERBS, usages, strict=True):
            seconds, peak = BARS.get(count, ("", "")) if verb == "materialize" else ("", "")
            row([count, versions, verb, usage.seconds, seconds, usage.peak, peak, size])
    return dict(zip(VERBS, usages, strict=True))


def with_promises(counts: list[int], runs: int) -> None:
    """Print what each command costs with promises, and how much more that is than without."""
    head(
        f"Nothing has changed, and each product has a promise; medians of {runs}",
        ["products", "promises", "command", "CPU s", "without promises", "more", "bar", "MiB"],
    )
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            sides = [*_sides(place, count)]
            usages = measure(sides, runs)
            turns = [*_turns(place, runs)]
        without = dict(zip(PROMISED, usages, strict=False))
        for side, usage in zip(sides, usages, strict=True):
            state, command = side.place.name, side.name
            like = without["status" if command == PROMISED[-1] else command].seconds
            bar = MORE.get(count, "") if command == PROMISED[-1] else ""
            row([count, state, command, usage.seconds, like, usage.seconds - like, bar, usage.peak])
        for state, seconds, peak in turns:
            first = turns[0][1]
            row([count, state, "a turn of `run`", seconds, first, seconds - first, IDLE, peak])


def _turns(place: Path, runs: int) -> Iterator[tuple[str, float, float]]:
    """Yield the CPU seconds of a turn of `run` in which nothing has changed, and the memory."""
    for state in ("none", "kept", "missed"):
        words = ("run", "--poll=0.1s", "--turns")
        sides = [assay(state, place / state, *words, str(turns)) for turns in (_FEW, _MANY)]
        few, many = measure(sides, runs)
        yield state, (many.seconds - few.seconds) / (_MANY - _FEW), many.peak


def _sides(place: Path, count: int) -> Iterator[Side]:
    """Yield the commands in projects without promises, with kept ones, due ones, and missed ones."""
    before_due = datetime.now().astimezone() + timedelta(days=2)
    now = f"--now={before_due:%Y-%m-%d} 06:30"
    for state in ("none", "kept", "due", "missed"):
        project = place / state
        project.mkdir()
        seed(project, count, promises=state != "none")
        if state == "missed":
            os.utime(project / NUMBERS.file, (0, LONG_AGO))
            run(assay("", project, "materialize").command, project)
        for command in PROMISED:
            if state != "due":
                yield assay(command, project, *command.split())
            elif command != "materialize":  # which records what it does: at no later moment
                yield assay(command, project, *command.split(), now)


def seed(place: Path, count: int, versions: int = 1, *, promises: bool = False) -> None:
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
