"""What pages cost beside the number of products: each kind of page, all of them as files, and a server that is idle.

    python -m benchmarks.pages [--products 10000] [--docs 1000]

Projects of tiny products, each with a promise, as in `benchmarks.noop`, and one that fills its page; then the same after
a night in which no promise was kept. Each page is made and rendered several times in one process, and its CPU is the
median. All pages show one look at the project, which is made when something has changed: it is measured beside them. A
server is asked for one page; a second later its resident set is read, and then, while one browser listens to what is
going on, its CPU.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

from benchmarks.measure import ROOT, assay, head, options, row, run
from benchmarks.noop import LONG_AGO, seed
from benchmarks.pipeline import put
from benchmarks.tiny import NUMBERS

if TYPE_CHECKING:  # a process that measures others imports none of it
    from assay.catalog import Catalog
    from assay.web.look import Look
    from assay.web.rendering import Page

KIB, CPU_MS, DOCS, IDLE_MIB = 100, 50, 20, 60  # the bars
_AGAIN = 7  # times that each page is made


def main() -> None:
    parser = options(__doc__, runs=1)
    parser.add_argument("--products", type=int, default=10_000, help="of which pages are made")
    parser.add_argument("--docs", type=int, default=1000, help="products that files are written of")
    parser.add_argument("--versions", type=int, default=12, help="of the product with many rules")
    parser.add_argument("--parts", type=int, default=365, help="of the product with many parts")
    parser.add_argument("--seconds", type=int, default=20, help="that a browser listens for")
    parser.add_argument("--inside", type=Path, help="measure the pages of the project in a folder")
    told = parser.parse_args()
    if told.inside:
        print(json.dumps([*_measured(told.inside)]))
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "many").mkdir()
        (place / "few").mkdir()
        seed(place / "many", told.products, promises=True)
        widen(place / "many", told.versions, told.parts)
        pages_of(place / "many", f"{told.products:,} products")
        server(place, told.products, told.seconds)
        miss(place / "many")
        pages_of(place / "many", f"{told.products:,} products, no promise kept")
        seed(place / "few", told.docs, promises=True)
        docs(place / "few", told.docs)


def miss(place: Path) -> None:
    """Let the drop be so old that no promise is kept."""
    os.utime(place / NUMBERS.file, (0, LONG_AGO))
    run(assay("", place, "materialize").command, place)


def pages_of(place: Path, title: str) -> None:
    """Print the size of each kind of page, and the CPU that it takes."""
    command = [sys.executable, "-m", "benchmarks.pages", "--inside", str(place)]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    head(title, ["page", "KiB", f"bar {KIB}", "CPU ms", f"bar {CPU_MS}"])
    for name, size, cpu in json.loads(answer):
        is_page = size > 0
        row(
            [
                name,
                *(
                    [size, _met(size, KIB), cpu, _met(cpu, CPU_MS)]
                    if is_page
                    else ["", "", cpu, ""]
                ),
            ]
        )


def _met(value: float, bar: float) -> str:
    return "met" if value <= bar else "**missed**"


def docs(place: Path, count: int) -> None:
    """Print what writing all pages takes."""
    usage = run(assay("", place, "docs").command, place)
    written = sum(1 for _ in (place / "site").rglob("*.html"))
    head(f"`products docs` of {count:,} products", ["pages", "CPU s", f"bar {DOCS}", "MiB"])
    row([written, usage.seconds, _met(usage.seconds, DOCS), usage.peak])


def server(place: Path, count: int, seconds: int) -> None:
    """Print how much memory a server has that answered one page, and what it does while nobody asks."""
    example = place / "example"
    for name in ("products", "fixtures"):
        shutil.copytree(ROOT / name, example / name)
    put(example / "pyproject.toml", "[tool.products]\n")
    run(assay("", example, "materialize").command, example)
    head(
        "`products serve`, idle",
        ["project", "MiB", f"bar {IDLE_MIB}", "CPU ms a second, one watching"],
    )
    for title, project in (("the example", example), (f"{count:,} products", place / "many")):
        with _serving(project) as (pid, url):
            urlopen(url).read()
            time.sleep(1)
            memory = _status(pid)
            with urlopen(f"{url}events") as events:
                events.readline()
                before, began = _cpu(pid), time.monotonic()
                time.sleep(seconds)
                busy = (_cpu(pid) - before) / (time.monotonic() - began) * 1000
        bar = _met(memory, IDLE_MIB) if project is example else ""
        row([title, memory, bar, busy])


@contextmanager
def _serving(place: Path) -> Iterator[tuple[int, str]]:
    command = [sys.executable, "-m", "assay", "serve", "--port", "0", "--json"]
    process = subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout
        yield process.pid, json.loads(process.stdout.readline())["url"]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _status(pid: int) -> float:
    """Return the resident set of a process, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _cpu(pid: int) -> float:
    """Return the CPU seconds that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ----------------------------------------------------------------------------------- wide products


def widen(place: Path, versions: int, parts: int) -> None:
    """Add what fills pages: a product of many parts, one of 120 rules, and a consumer of all products."""
    for file in (place / "products").glob("*.py"):
        text = file.read_text().replace("owner='bench'", f"owner='bench', {_CONSUMER}")
        text = text.replace("from assay import ", "from assay import Consumer, ", 1)
        put(file, text)
    put(place / "products/wide.py", _WIDE)
    for day in range(parts):
        _drop(place, day, 0)
    for version in range(versions):
        _drop(place, version, version + 1)
        run(
            assay(
                "", place, "materialize", "--select", "tiny.parts", "--select", "tiny.rules"
            ).command,
            place,
        )


def _drop(place: Path, day: int, value: int) -> None:
    when = date(2025, 1, 1) + timedelta(days=day)
    put(place / f"wide/{when}.csv", f"id,x\n1,{value}\n2,-{value}\n")


_CONSUMER = "consumers=[Consumer(name='the desk', decides='what to buy')]"
_WIDE = """
from assay import rule, source, sql_product

drops = source.files("wide/{day:date}.csv", columns={"id": "bigint", "x": "bigint"}, owner="bench", domain="tiny")
columns = ", ".join(f"x + {n} as column_{n}" for n in range(58))
sql_product("parts", "select day, id, x from drops", owner="bench", domain="tiny", each="drops")
sql_product(
    "rules", f"select id, {columns} from parts", owner="bench", domain="tiny",
    rules=[
        rule.check(f"column {n} is what it has been for a long time", f"column_{n % 58} <= {n % 58}", severity="warning")
        for n in range(120)
    ],
)
for n in range(300):
    sql_product(f"fan{n}", "from drops", owner="bench", domain="tiny")
"""


# ------------------------------------------------------------------------ in a process of its own


def _measured(place: Path) -> Iterator[tuple[str, float, float]]:
    """Yield each page with its size in KiB and its CPU milliseconds; a look has no size."""
    from assay.web.links import Links
    from assay.web.look import is_as_before, looking
    from assay.web.looks import Looks
    from assay.web.rendering import rendered

    def opened(before: "Look | None" = None) -> "Look":
        with looking(start=place, before=before) as (look, _):
            return look

    before = opened()
    yield "a look, made anew", 0.0, _timed(lambda: opened(before))
    yield "whether a look is still good", 0.0, _timed(lambda: is_as_before(before))
    with Looks(place, None).opened() as (look, catalog):
        for name, make in kinds_of(look, catalog):
            size = len(rendered(make(), look, Links()).encode()) / 1024
            yield name, size, _timed(lambda: rendered(make(), look, Links()))  # noqa: B023


def kinds_of(look: "Look", catalog: "Catalog") -> Iterator[tuple[str, Callable[[], "Page"]]]:
    """Yield each kind of page, of what makes it large, with how it is made."""
    from assay.web.columns import columns_of
    from assay.web.diffs import diff_page
    from assay.web.links import slug
    from assay.web.pages import approvals, front, lists, others
    from assay.web.records import record_page
    from assay.web.rows import rows_of
    from assay.web.site import page_at

    def made(make: Callable[[], "Page | None"]) -> Callable[[], "Page"]:
        found = make()  # the first time, an engine is imported
        assert found
        return lambda: make() or found

    def about(kind: str, name: str) -> Callable[[], "Page"]:
        found = page_at(look, catalog, kind, slug(name))
        assert found, (kind, name)
        return lambda: page_at(look, catalog, kind, slug(name)) or found

    graph, leaf = look.graph, look.graph.products[look.graph.order[-1]]
    yield "front", lambda: front.front_page(look, catalog)
    yield "list", lambda: lists.search_page(look, lists.Filters(), len(graph.products) // 2)
    yield (
        "search",
        lambda: lists.search_page(look, lists.Filters(q="bench", state="up to date"), 100),
    )
    yield "product", about("product", leaf.name)
    yield "product, the root", about("product", "tiny.p0")
    yield "product, many parts", about("product", "tiny.parts")
    yield "product, 120 rules, 59 columns", about("product", "tiny.rules")
    yield "rule", about("rule", others.rule_name(leaf, leaf.contract.rules[0]))
    yield "source", about("source", "tiny.drops")
    yield "owner", about("owner", "bench")
    yield "consumer", about("consumer", "the desk")
    yield "domain", about("domain", "tiny")
    yield "incidents", lambda: others.incidents_page(look)
    for incident in look.incidents[:1]:
        yield "incident", about("incident", str(incident.id))
    runs = others.last_runs(look, catalog)
    yield "runs", lambda: others.runs_page(look, others.last_runs(look, catalog))
    yield "run", about("run", runs[0].run)
    yield "release", about("release", "1")
    yield "environments", lambda: approvals.environments_page(look, catalog)
    yield "first rows", made(lambda: rows_of(look, catalog, leaf.name, as_part=False))
    yield "lineage of columns", made(lambda: columns_of(look, leaf.name, as_part=False))
    yield "record", made(lambda: record_page(look, leaf.name))
    yield "difference", made(lambda: diff_page(look, "tiny.rules", "previous", "published"))


def _timed(work: Callable[[], object]) -> float:
    """Return the median CPU milliseconds of a piece of work."""
    found = []
    for _ in range(_AGAIN):
        before = time.process_time()
        work()
        found.append((time.process_time() - before) * 1000)
    return statistics.median(found)


if __name__ == "__main__":
    main()
