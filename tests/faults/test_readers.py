"""Readers beside four publishers: every snapshot is of one release, and nobody waits for anybody.

By default for some seconds, a quarter of a minute with `ASSAY_FAULTS=ci`, a minute with `large`.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

import assay
from assay.errors import AssayError
from tests.faults import publisher
from tests.faults.checker import open_catalog
from tests.faults.scenario import report, setting
from tests.forge import ROOT
from tests.server import Server

pytestmark = pytest.mark.faults
SECONDS = {"large": 60.0, "ci": 15.0}.get(setting(), 4.0)
NAMES = ("t.base", "t.left_side", "t.right_side", "t.joined")
QUERY = " union all ".join(f"select max(gen) as gen from {name}" for name in NAMES)


class Reader:
    """Takes snapshots, and remembers what is in versions: they never change."""

    def __init__(self, root: Path, *, outages: bool = False) -> None:
        self.root, self.known, self.outages = root, dict[str, int](), outages
        self.refused = (
            0  # looks that were told that the catalog cannot be reached; the others waited for it
        )
        self.snapshots = self.queries = 0
        self.before = 0  # snapshots taken by the time the server was back
        self.seen: set[int] = set()
        self.wrong: list[object] = []
        self.slowest = 0.0

    def look(self) -> None:
        """Take one snapshot, in one of the two ways."""
        try:
            if (self.snapshots + self.refused) % 20 == 19:
                self.ask()
            self.see()
        except AssayError as error:
            if self.outages and "catalog" in str(error):
                self.refused += 1
                time.sleep(0.05)
            else:
                self.wrong.append(error)

    def see(self) -> None:
        """Take one: what the pointers say, all from one moment, and what is in the files."""
        started = time.monotonic()
        with closing(open_catalog(self.root)) as catalog:
            pointers = catalog.pointers("prod")
            found = [
                self.generation(catalog, pointers[name].version)
                for name in NAMES
                if name in pointers
            ]
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.take(found)
        self.snapshots += 1

    def ask(self) -> None:
        """Take one as a user does: a connection, and one query over all products."""
        with assay.connect(project=self.root) as connection:
            self.take([gen for (gen,) in connection.execute(QUERY).fetchall()])
        self.queries += 1

    def take(self, found: list[int]) -> None:
        if len(set(found)) > 1 or len(found) not in {0, len(NAMES)}:
            self.wrong.append(found)
        self.seen.update(found)

    def generation(self, catalog: object, version: str) -> int:
        if version not in self.known:
            [part] = catalog.version(version).parts  # type: ignore[attr-defined]
            self.known[version] = pl.read_parquet(self.root / ".products/store" / part.path)["gen"][
                0
            ]
        return self.known[version]


def beside_publishers(
    folder: Path, seconds: float, variants: str = "", server: Server | None = None
) -> tuple[Reader, Counter[str]]:
    """Read beside four publishers; a server is killed and restarted when half of the time is over."""
    roots, address = (
        [folder / f"p{number}" for number in range(4)],
        server.database() if server else "",
    )
    for root in roots:
        publisher.write(root, folder / "shared", address)
    assert (
        subprocess.run(
            [sys.executable, "-m", "assay", "materialize"],
            cwd=roots[0],
            capture_output=True,
            check=False,
        ).returncode
        == 1
    )
    (roots[0] / "data/a.csv").write_text("gen,x\n1,1\n")
    subprocess.run(
        [sys.executable, "-m", "assay", "materialize"],
        cwd=roots[0],
        check=True,
        capture_output=True,
    )
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.publisher", str(seconds), *map(str, roots)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "FAULTS_VARIANTS": variants},
    )
    reader = Reader(roots[3], outages=server is not None)

    def outage() -> None:
        if server:
            server.stop("immediate")
            time.sleep(1)
            server.start()
            reader.before = reader.snapshots

    restart = threading.Timer(seconds / 2, outage)
    restart.start()
    while running.poll() is None:
        reader.look()
    restart.join()
    ends: Counter[str] = Counter()
    for line in running.communicate()[0].splitlines():
        ends.update(json.loads(line))
    return reader, ends


def test_every_snapshot_is_of_one_release(tmp_path: Path) -> None:
    reader, ends = beside_publishers(tmp_path / "short", SECONDS)
    if len(reader.seen) <= 3:  # a very busy machine: it takes the publishers longer to get anywhere
        reader, ends = beside_publishers(tmp_path / "long", 6 * SECONDS)
    report(
        f"readers: {reader.snapshots} snapshots and {reader.queries} queries beside 4 publishers, "
        f"{len(reader.wrong)} inconsistent, {len(reader.seen)} releases seen, slowest {reader.slowest * 1000:.0f} ms; {dict(ends)}"
    )
    assert not reader.wrong
    assert reader.snapshots > SECONDS * 10
    assert len(reader.seen) > 3
    # 1, and nothing said on the way: another run was at it.
    assert not [
        end for end in ends if not end.startswith("0") and end != "1" and "meanwhile" not in end
    ], ends
    assert [end for end in ends if end.startswith("0")]


def test_every_snapshot_is_of_one_release_beside_a_server(tmp_path: Path, server: Server) -> None:
    """The same with the catalog in PostgreSQL, which dies half-way and comes back."""
    reader, ends = beside_publishers(tmp_path, SECONDS, server=server)
    report(
        f"readers on PostgreSQL: {reader.snapshots} snapshots and {reader.queries} queries beside 4 publishers in "
        f"{SECONDS:.0f} s, {len(reader.wrong)} inconsistent, {len(reader.seen)} releases seen, {reader.refused} refused "
        f"while the server was away; {dict(ends)}"
    )
    assert not reader.wrong
    assert reader.snapshots > SECONDS * 5
    assert 0 < reader.before < reader.snapshots, "no outage, or nothing read after it"
    assert len(reader.seen) > 2
    assert not [end for end in ends if "Traceback" in end or end[0] not in "01"], ends
    assert [end for end in ends if end.startswith("0")]


def test_the_control_is_caught(tmp_path: Path) -> None:
    reader, _ = beside_publishers(tmp_path, 3, "commit_per_product,slowly")
    assert reader.wrong
