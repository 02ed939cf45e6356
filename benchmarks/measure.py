"""Timing that all benchmarks share: whole processes, CPU seconds and peak memory, both sides in one run, interleaved.

CPU seconds are user and system, of the process and all its children; wall time is left out on purpose. Peak memory is
the largest resident set of any of them. A child starts with the resident set of whoever starts it, so benchmarks do
not import an engine themselves: what is heavy to prepare is prepared in a process of its own.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PLOTS = Path(__file__).parent / "plots"
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Usage:
    """What a piece of work took: CPU seconds, and peak memory in MiB."""

    seconds: float
    peak: float


@dataclass(frozen=True, kw_only=True)
class Side:
    """One way to do a piece of work: a command in a folder, `prepare` before it, which is not measured."""

    name: str
    command: Sequence[str]
    place: Path
    prepare: Callable[[], object] = lambda: None
    environment: Mapping[str, str] = field(default_factory=dict)


def run(
    command: Sequence[str],
    place: Path,
    environment: Mapping[str, str] | None = None,
    watch: Callable[[], object] | None = None,
) -> Usage:
    """Run a command that has to succeed; `watch` is called several times a second while it runs."""
    known = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    paths = os.pathsep.join(p for p in (str(ROOT), known.get("PYTHONPATH", "")) if p)
    told = {**known, "PYTHONPATH": paths, **(environment or {})}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=place,
            env=told,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            status, used = _wait(process.pid, watch)
        except BaseException:
            process.kill()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(
                f"{list(command)} ended with {process.returncode}:\n{output.read().decode()[-3000:]}"
            )
    return Usage(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _wait(process: int, watch: Callable[[], object] | None) -> tuple[int, resource.struct_rusage]:
    ended = 0
    while watch and not ended:
        ended, status, used = os.wait4(process, os.WNOHANG)
        watch()
        time.sleep(0.1)
    return (status, used) if ended else os.wait4(process, 0)[1:]


def aside(folder: Path) -> None:
    """Take what an earlier run made out of the way; to delete it just before a run would slow down the file system."""
    if folder.exists():
        folder.rename(Path(tempfile.mkdtemp(prefix="before-", dir=folder.parent)) / folder.name)


def measure(sides: Sequence[Side], runs: int) -> list[Usage]:
    """Return the medians of each side, run in turn so that what else the machine does falls on all of them."""
    found: list[list[Usage]] = [[] for _ in sides]
    for _ in range(runs):
        for side, usages in zip(sides, found, strict=True):
            side.prepare()
            usages.append(run(side.command, side.place, side.environment))
    return [median(usages) for usages in found]


def median(usages: Sequence[Usage]) -> Usage:
    """Return the median of each figure."""
    return Usage(
        statistics.median(u.seconds for u in usages), statistics.median(u.peak for u in usages)
    )


def assay(
    name: str, place: Path, *words: str, prepare: Callable[[], object] = lambda: None
) -> Side:
    """Return a command of ours as a side."""
    return Side(
        name=name, command=[sys.executable, "-m", "assay", *words], place=place, prepare=prepare
    )


def program(text: str) -> list[str]:
    """Return the command that runs a Python program."""
    return [sys.executable, "-c", text]


# ---------------------------------------------------------------------------------------------- options, tables, plots


def options(description: str | None, runs: int = 3) -> argparse.ArgumentParser:
    """Return a parser with what all benchmarks can be told."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--runs", type=int, default=runs, help="figures are medians of this many runs"
    )
    return parser


def head(title: str, columns: Sequence[str]) -> None:
    """Print what is measured, and the head of a table in Markdown."""
    print(f"\n{title}\n", flush=True)
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}", flush=True)


def row(cells: Sequence[object]) -> None:
    """Print a row; a number is rounded to what can be told apart."""
    print(f"| {' | '.join(_cell(cell) for cell in cells)} |", flush=True)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return (
            f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
        )
    return f"{value:,}" if isinstance(value, int) else str(value)


COLUMNS = ("work", "CPU s", "MiB", "Assay / this: CPU", "memory")


def compare(title: str, sides: Sequence[Side], runs: int) -> list[Usage]:
    """Measure sides, of which the first is ours, and print a row each with the ratios of ours to it."""
    found = measure(sides, runs)
    ours = found[0]
    row([f"**{title}**", "", "", "", ""])
    for side, usage in zip(sides, found, strict=True):
        ratios = (
            [ours.seconds / usage.seconds, ours.peak / usage.peak]
            if usage is not ours
            else ["", ""]
        )
        row([side.name, usage.seconds, usage.peak, *ratios])
    return found


Points = Sequence[tuple[float, float]]


def plot(
    name: str,
    title: str,
    labels: tuple[str, str],
    series: Mapping[str, Points],
    *,
    log: bool = False,
) -> None:
    """Draw growth curves into `plots/NAME.svg`."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "assay", "font.size": 9}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5.2, 3.2), layout="constrained")
    for label, points in series.items():
        axes.plot(
            *zip(*points, strict=True),
            label=label,
            linewidth=1.2,
            marker="o" if len(points) < 30 else "",
            ms=3,
        )
    axes.set(title=title, xlabel=labels[0], ylabel=labels[1])
    if log:
        axes.set(xscale="log", yscale="log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    PLOTS.mkdir(exist_ok=True)
    figure.savefig(PLOTS / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)
    print(f"\nplots/{name}.svg")
