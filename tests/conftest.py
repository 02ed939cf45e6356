"""Projects in temporary folders, driven through the real command."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from assay.catalog import open_catalog
from assay.cli.main import main
from assay.facts import Part
from assay.testing import plugin
from tests.forge import Forge
from tests.server import Server, started

ROOT = Path(__file__).parent.parent

HEADER = """
import polars as pl
import pandera.polars as pa
from pathlib import Path
from assay import Consumer, Freshness, calendar, product, rule, source, sql_product

numbers = source.files("data/*.csv", columns={"x": pl.Int64})
"""


if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # a shell started this with `&`: tests of Ctrl-C would wait for ever
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Have the fixture `build` also where Assay was installed before it had a plugin."""
    if not config.pluginmanager.has_plugin("assay"):
        config.pluginmanager.register(plugin, "assay")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are processors: some tests wait."""
    return (os.cpu_count() or 1) + 1


# The statements that make a catalog of today's schema one of the oldest that is still migrated.
TO_SCHEMA_3 = [
    *(
        f"drop index {index}"
        for index in ["runs_when", "versions_run", "verdicts_run", "verdicts_when"]
    ),
    *(
        f"drop table {table}"
        for table in (
            [
                "claims",
                "environments",
                "bases",
                "restatements",
                "waivers",
                "waivers_used",
                "differences",
                "approvals",
                "inspected",
                "windows",
                "promises",
                "arrivals",
                "incidents",
                "notices",
                "codes",
                "texts",
                "undeclared_columns",
            ]
        )
    ),
    *(
        f"alter table {place.replace('.', ' drop column ')}"
        for place in [
            "pointers.first_at",
            "runs.asked",
            "runs.ended_at",
            "runs.seconds",
            "runs.results",
            "runs.code",
            "runs.who",
            "parts.modified",
            "parts.aside",
            "parts.rows_in",
            "versions.peak",
            "listings.seen",
            "listings.used",
            "replaced.seen",
        ]
    ),
    "create table seen (path text primary key, size bigint, mtime_ns bigint, digest text)",
    "update meta set value = '3' where name = 'schema'",
]

LONG = 300.0  # seconds; what hangs would do so for far longer, and nothing is measured by it


def until(true: Callable[[], object], seconds: float = LONG) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave tests that are marked `long`, and those of faults, to CI, and to who asks for them."""
    if os.environ.get("ASSAY_FAULTS"):
        return
    for item in items:
        if item.get_closest_marker("long") or "faults" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason="it takes long: ASSAY_FAULTS=ci runs it"))


EFFORT = os.environ.get("ASSAY_FAULTS", "")


def effort(usual: int, ci: int, large: int) -> int:
    """Return how many cases to try: `ci` with ASSAY_FAULTS=ci, `large` with ASSAY_FAULTS=large."""
    return large if EFFORT == "large" else ci if EFFORT else usual


def mostly_long(cases: Iterable, *kept: object) -> list:
    """Return cases as parameters: all but those that are kept are marked `long`."""
    cases = list(cases)
    assert all(case in cases for case in kept), kept
    return [
        case
        if case in kept
        else pytest.param(*(case if isinstance(case, tuple) else [case]), marks=pytest.mark.long)
        for case in cases
    ]


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)

    @property
    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Place:
    """A project in a folder; `run` calls the command in this process, `spawn` in one of its own."""

    root: Path

    def write(self, path: str, text: str, *, header: bool = False) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((HEADER if header else "") + dedent(text), encoding="utf-8")
        return file

    def numbers(self, name: str, *values: int) -> None:
        self.write(f"data/{name}.csv", "\n".join(["x", *map(str, values)]) + "\n")

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {path}"
        file.write_text(text.replace(old, new), encoding="utf-8")

    def run(self, *arguments: str) -> Ran:
        before = Path.cwd()
        os.chdir(self.root)
        try:
            result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
        finally:
            os.chdir(before)
        return Ran(result.exit_code, result.stdout, result.stderr)

    def spawn(self, *arguments: str, **environment: str) -> Ran:
        command = [sys.executable, "-m", "assay", *arguments]
        done = subprocess.run(
            command,
            cwd=self.root,
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def environment(self, name: str) -> None:
        """Create an environment in which nothing is published."""
        ran = self.run("env", "create", name, "--empty")
        assert ran.code == 0, ran.err

    def materialize(self, *arguments: str) -> dict[str, dict]:
        """Materialize and return the result of each product by name; '' is the exit code."""
        ran = self.run("materialize", "--json", *arguments)
        *events, last = ran.events
        return {event["product"]: event for event in events} | {"": last}

    def forge(self, change: Callable[[dict, dict], object]) -> None:
        """Change what the manifest holds, what it was made from and what is declared, so that all digests agree."""
        file = self.root / ".products/manifest.json"
        first, declared = map(json.loads, file.read_text().splitlines())
        change(first, declared)
        body = json.dumps(declared)
        first["body"] = hashlib.sha256(body.encode()).hexdigest()
        file.write_text(f"{json.dumps(first)}\n{body}")

    def parts(self, product: str) -> dict[str, Part]:
        """Return the parts that readers see of a product, by key."""
        with closing(open_catalog(self.root / ".products/catalog.db", create=False)) as catalog:
            version = catalog.version(catalog.pointers("prod")[product].version)
        return {part.key: part for part in version.parts}

    def recorded_parts(self, product: str) -> int:
        """Return how many parts of a product the catalog (SQLite) has by now, while others write to it."""
        file = self.root / ".products/catalog.db"
        try:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
                return int(
                    connection.execute(
                        "select count(*) from parts where product = ?", [product]
                    ).fetchone()[0]
                )
        except sqlite3.OperationalError:  # it is being made
            return 0

    def recorded(self) -> str:
        """Return all that the catalog has recorded, but the code, which is what the definitions say."""
        with closing(sqlite3.connect(self.root / ".products/catalog.db")) as catalog:
            tables = [
                name
                for (name,) in catalog.execute(
                    "select name from sqlite_master where type = 'table'"
                )
            ]
            rows = [
                row
                for name in tables
                if name != "texts"
                for row in catalog.execute(f'select * from "{name}"')
            ]
        return "\n".join(map(str, rows))

    def query(self, sql: str) -> list[dict]:
        ran = self.run("query", "--json", sql)
        assert ran.code == 0, ran.err
        return ran.json


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty project with one source of numbers."""
    made = Place(tmp_path)
    made.write("pyproject.toml", "[tool.products]\n")
    made.write("products/sales.py", "", header=True)
    made.numbers("a", 1, 2, 3)
    return made


@pytest.fixture
def example(tmp_path: Path) -> Place:
    """A copy of the example project, before its eventful night."""
    for folder in ("products", "fixtures"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    (tmp_path / "fixtures/retail/2011-12-09.csv.gz").unlink(missing_ok=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return Place(tmp_path)


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """One warm process for each process of the tests, which runs the command in forks of itself."""
    made = Forge(tmp_path_factory.mktemp("forge"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server, one for each process of the tests."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        running = started(Path(folder))
        yield running
        running.stop("immediate")


@pytest.fixture
def address(server: Server) -> str:
    """The address of a fresh database."""
    return server.database()
