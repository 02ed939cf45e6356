"""`gc` end to end: what it keeps, what it may not touch, killed half-way, and what can be restored and asked for then."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import assay
from assay.build import compact as compaction
from assay.catalog import Catalog, shared_catalog
from assay.config import find_config
from assay.errors import UsageError
from assay.facts import Part
from assay.store import leases
from assay.upkeep.gc_files import obsolete_files
from tests.conftest import LONG, Place, until

FIRST = datetime(2026, 1, 1, 6, tzinfo=UTC)
DECLARED = """
lines = sql_product("lines", "select x from numbers", owner="o")
total = sql_product("total", "select sum(x)::bigint as x from lines", owner="o")
apart = sql_product("apart", "select count(*) as x from numbers where x > 100", owner="o")
"""


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What this process has read for other tests is not read any more."""
    leases._lasting_lease.cache_clear()
    yield
    leases._lasting_lease.cache_clear()


@pytest.fixture(params=["sqlite", "postgres"])
def shop(place: Place, request: pytest.FixtureRequest) -> Place:
    if request.param == "postgres":
        place.write(
            "pyproject.toml", f'[tool.products]\ncatalog = "{request.getfixturevalue("address")}"\n'
        )
    place.write("products/sales.py", DECLARED, header=True)
    return place


on_sqlite = pytest.mark.parametrize("shop", ["sqlite"], indirect=True)


def day(number: float) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def night(shop: Place, number: int, *more: str) -> None:
    """One more drop, and a run; `apart` changes every fourth night alone."""
    shop.numbers("a", *range(1 + number // 4 * 100, number + 2 + number // 4 * 100))
    ran = shop.run("materialize", "--now", day(number), *more)
    assert ran.code == 0, ran.out + ran.err


def catalog_of(shop: Place) -> "closing[Catalog]":
    return closing(shared_catalog(find_config(shop.root)))


def pasts(shop: Place, *environments: str) -> dict[tuple[str, int], dict[str, str]]:
    """What readers saw as of every release, where that can be asked for."""
    found = {}
    with catalog_of(shop) as catalog:
        for environment in environments:
            for number in range(1, catalog.last_release(environment).id + 1):
                try:
                    seen = catalog.pointers(environment, number)
                except UsageError:
                    continue
                found[environment, number] = {
                    name: pointer.version for name, pointer in seen.items()
                }
    return found


def files(shop: Place) -> set[str]:
    store = shop.root / ".products/store"
    return {str(file.relative_to(store)) for file in store.rglob("*.parquet")}


def named(shop: Place) -> set[str]:
    with catalog_of(shop) as catalog:
        return {path for (path,) in catalog.database.rows("select path from parts")}


def count(shop: Place, table: str) -> int:
    with catalog_of(shop) as catalog:
        return int(catalog.database.rows(f"select count(*) from {table}")[0][0])


def test_the_window_is_whole_after_gc(shop: Place) -> None:
    for number in range(12):
        night(shop, number, *(["-s", "lines+"] if number % 3 else []))
        if number == 7:
            shop.environment("dev")
            assert shop.run("materialize", "--env", "dev", "--now", day(7.2)).code == 0
        if number == 8:
            [*_, first] = shop.run("history", "apart", "--json").json
            assert shop.run("restore", "apart", first["version"][1:6], "--now", day(8.1)).code == 0
        if number == 9:
            assert shop.run("restore", "--unpin", "--now", day(9.1)).code == 0
    before, there = pasts(shop, "prod", "dev"), files(shop)
    options = ["gc", "--json", "--keep", "2", "--days", "4", "--now", day(11.5)]
    dry = shop.run(*options, "--dry-run").json
    assert (files(shop), pasts(shop, "prod", "dev")) == (there, before), "a dry run changes nothing"
    told = shop.run(*options).json
    assert told == dry
    assert told["dropped"], "there was something to drop"
    assert set(told["removed"]) == there - files(shop)
    assert files(shop) == named(shop), "nothing else is left"
    after = pasts(shop, "prod", "dev")
    assert after == {key: seen for key, seen in before.items() if key in after}, (
        "exactly what it was"
    )
    first = told["as_of_since"]["prod"]
    assert {number for env, number in after if env == "prod"} == set(
        range(first, max(n for _, n in before) + 1)
    )
    with catalog_of(shop) as catalog:
        for seen in after.values():
            for id in seen.values():
                assert all(
                    (shop.root / ".products/store" / part.path).exists()
                    for part in catalog.version(id).parts
                )
    assert shop.run("query", "--as-of", day(8), "select sum(x) from total").code == 0
    refused = shop.run("query", "--as-of", day(3), "from total")
    assert (refused.code, f"as of release {first}" in refused.err) == (2, True)
    old = shop.run("restore", "--release", str(first - 1), "--now", day(11.6))
    assert (old.code, "or later" in old.err) == (2, True)
    assert shop.run("restore", "--release", str(first), "--now", day(11.6)).code == 0
    assert shop.run("restore", "--unpin", "--now", day(11.7)).code == 0
    assert shop.run("materialize", "--now", day(11.8)).code == 0
    again = shop.run("gc", "--json", "--keep", "2", "--days", "4", "--now", day(11.9)).json
    assert not again["removed"]


READER = """
import sys, assay
from assay.build import compact as compaction
from assay.store import leases
if sys.argv[1] == "bare": leases._new = lambda store, since: None
frame, connection = assay.read("total").select("x"), assay.connect()
print("open", flush=True)
sys.stdin.readline()
print(frame.collect().item(), connection.execute("select x from total").fetchone()[0], flush=True)
"""


def reader(shop: Place, how: str) -> "subprocess.Popen[str]":
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    made = subprocess.Popen([sys.executable, "-c", READER, how], cwd=shop.root, text=True, **pipe)
    assert made.stdout.readline() == "open\n"
    return made


@on_sqlite
@pytest.mark.parametrize("how", ["leased", "bare"])
def test_what_a_reader_has_open_stays(shop: Place, how: str) -> None:
    night(shop, 0)
    running = reader(shop, how)
    night(shop, 1)
    night(shop, 2)
    old = ["gc", "--json", "--keep", "1", "--days", "0", "--now", day(3)]
    told = shop.run(*old).json
    assert {v["product"] for v in told["dropped"]} == {"sales.lines", "sales.total", "sales.apart"}
    out, err = running.communicate("\n", timeout=60)
    if how == "bare":
        assert "No such file" in err or "No files found" in err, (
            "the control: without a lease it is gone"
        )
        return
    assert out == "1 1\n", err
    assert not told["removed"]
    assert told["waiting"][0]["why"].startswith(f"process {running.pid} on ")
    assert len(shop.run(*old).json["removed"]) == 3, "a dead process holds nothing"
    assert files(shop) == named(shop)
    assert not list((shop.root / ".products/store").glob(".readers/*"))


@on_sqlite
def test_what_a_killed_reader_leaves_goes_with_the_next_reader(shop: Place) -> None:
    night(shop, 0)
    running = reader(shop, "leased")
    leases_there = lambda: list((shop.root / ".products/store").glob(".readers/*"))
    running.kill()
    running.communicate()
    assert len(leases_there()) == 1
    assert shop.run("status").code == 0
    assert not leases_there()


SLOW = """
import time
@product(owner="o")
def slow(lines):
    Path("began").touch()
    while not Path("go").exists(): time.sleep(0.02)
    return lines
"""


@on_sqlite
@pytest.mark.parametrize("how", ["held", "not held"])
def test_what_a_run_reads_stays(shop: Place, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    night(shop, 0)
    shop.write("products/sales.py", DECLARED + SLOW, header=True)
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [
        sys.executable,
        "-m",
        "assay",
        "materialize",
        "--json",
        "-s",
        "slow",
        "--now",
        day(0.5),
    ]
    running = subprocess.Popen(command, cwd=shop.root, text=True, **pipe)
    until((shop.root / "began").exists, 60)
    for number in (6, 7):
        shop.numbers("a", number)
        assert (
            shop.run("materialize", "-s", "lines", "-s", "total", "--now", day(number / 7)).code
            == 0
        )
    if how == "not held":
        monkeypatch.setattr("assay.catalog.runs.Runs.living", lambda self, reader: [])
        monkeypatch.setattr("assay.upkeep.gc_files.run_starts", lambda catalog: [])
        monkeypatch.setattr("assay.upkeep.gc_files.living", lambda store: [])
    told = shop.run("gc", "--json", "--keep", "1", "--days", "0", "--now", day(3)).json
    (shop.root / "go").touch()
    out, err = running.communicate(timeout=LONG)
    assert "Traceback" not in err, err
    results = {
        event["product"]: event["result"] for event in map(json.loads, out.splitlines()[:-1])
    }
    if how == "not held":
        assert told["removed"]
        assert results["sales.slow"] == "failed", "the control: what it was reading is gone"
    else:
        assert not told["removed"]
        assert results["sales.slow"] == "published"
        assert shop.query("select x from slow") == [{"x": 7}], (
            "it was decided again, on what was published meanwhile"
        )


KILLED = """
import os, signal, sys
from assay.catalog.sqlite import Sqlite
from assay.catalog.transactions import Transactions
from assay.store.files import LocalStorage
left = [int(sys.argv[1])]
def counted(owner, name):
    plain = getattr(owner, name)
    def call(*given, **more):
        for do in (lambda: None, lambda: plain(*given, **more)):
            done = do()
            left[0] -= 1
            if not left[0]: os.kill(os.getpid(), signal.SIGKILL)
        return done
    setattr(owner, name, call)
counted(Transactions, "write"); counted(LocalStorage, "remove"); counted(Sqlite, "shrink")
from assay.cli.main import main
main(sys.argv[2:])
"""


@pytest.mark.long
@on_sqlite
def test_killed_anywhere_it_is_finished_by_the_next(shop: Place) -> None:
    kills = 0
    shop.write("products/sales.py", DECLARED.partition("total =")[0], header=True)
    for number in range(40):
        night(shop, 2 * number)
        night(shop, 2 * number + 1)
        there, seen = files(shop), pasts(shop, "prod")
        options = ["gc", "--keep", "1", "--days", "0", "--now", day(2 * number + 1.5)]
        command = [sys.executable, "-c", KILLED, str(number + 1), *options]
        done = subprocess.run(command, cwd=shop.root, capture_output=True, text=True, check=False)
        assert named(shop) <= files(shop) <= there, (
            "no version without its file, no file from nowhere"
        )
        after = pasts(shop, "prod")
        assert after == {key: seen[key] for key in after}
        assert after.keys() >= {max(seen)}
        ran = shop.run("materialize", "--json", "--now", day(2 * number + 1.6))
        assert [e["result"] for e in ran.events[:-1]] == ["unchanged"]
        if done.returncode != -signal.SIGKILL:
            assert done.returncode == 0, done.stderr
            break
        kills += 1
        assert shop.run("gc", *options[1:-1], day(2 * number + 1.7)).code == 0
        assert files(shop) == named(shop), f"killed at {number}: not all was finished"
    assert kills >= 8
    with catalog_of(shop) as catalog:
        assert not obsolete_files(catalog)


@on_sqlite
def test_a_run_finishes_what_a_killed_one_left(shop: Place) -> None:
    for number in range(3):
        night(shop, number)
    options = ["gc", "--keep", "1", "--days", "0", "--now", day(3)]
    subprocess.run(
        [sys.executable, "-c", KILLED, "2", *options],
        cwd=shop.root,
        capture_output=True,
        check=False,
    )
    assert files(shop) > named(shop), "it let go of them, and was killed"
    assert shop.run("materialize", "--now", day(3.01)).code == 0
    assert files(shop) > named(shop), "readers without a lease may just have come"
    assert shop.run("materialize", "--now", day(3.1)).code == 0
    assert files(shop) == named(shop)


@pytest.mark.long
@on_sqlite
@pytest.mark.parametrize("tidied", [True, False])
def test_the_catalog_stays_as_large_as_what_is_kept(
    shop: Place, tidied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write("pyproject.toml", "[tool.products]\nkeep_versions = 2\nkeep_days = 5\n")
    monkeypatch.setattr("assay.upkeep.gc_facts._LISTED", 10)
    sizes = []
    for number in range(40):
        night(shop, number)
        if tidied and number % 5 == 4:
            assert shop.run("gc", "--now", day(number + 0.5)).code == 0
        if number in {19, 39}:
            sizes.append((shop.root / ".products/catalog.db").stat().st_size)
            sizes.append(
                sum(
                    count(shop, name)
                    for name in ("versions", "verdicts", "moves", "releases", "parts")
                )
            )
    half, half_rows, full, rows = sizes
    assert count(shop, "runs") in (range(10, 16) if tidied else [40]), "runs are listed for longer"
    if tidied:
        assert full <= 1.1 * half
        assert rows <= half_rows + 10
    else:
        assert full > 1.3 * half, "the control: it grows"
        assert rows > 1.8 * half_rows


# ---------------------------------------------------------------------------------------------- restoring


@on_sqlite
def test_a_whole_release_is_put_back(shop: Place) -> None:
    for number in range(3):
        night(shop, number, "-s", "lines+")
    night(shop, 3)
    with catalog_of(shop) as catalog:
        then = {name: p.version for name, p in catalog.pointers("prod", 1).items()}
    told = shop.run("restore", "--release", "1", "--json", "--now", day(3.1)).json
    assert {item["product"]: item["version"] for item in told["products"]} == then
    assert told["left"] == ["sales.apart"]
    with catalog_of(shop) as catalog:
        now = catalog.pointers("prod")
        assert {name: p.version for name, p in now.items() if p.pinned} == then
        assert len({p.release for p in now.values() if p.pinned}) == 1, "in one release"
    states = {item["product"]: item["state"] for item in shop.run("status", "--json").json}
    expected = {"sales.lines": "pinned", "sales.total": "pinned", "sales.apart": "up to date"}
    assert states == expected | {"sales.numbers": "read"}
    assert shop.materialize("--now", day(3.2))["sales.total"]["result"] == "unchanged"
    assert shop.query("select x from total") == [{"x": 1}]
    assert shop.run("restore", "--unpin", "lines", "total", "--now", day(3.3)).code == 0
    assert shop.materialize("--now", day(3.4))["sales.total"]["result"] == "published"
    assert shop.run("restore", "--unpin", "--now", day(3.5)).code == 2, "nothing is pinned"
    unknown = shop.run("restore", "--release", "99")
    assert (unknown.code, "no release 99" in unknown.err) == (2, True)


@on_sqlite
def test_a_release_that_is_not_whole_is_not_put_back(shop: Place) -> None:
    night(shop, 0)
    night(shop, 1)
    before = pasts(shop, "prod")
    with catalog_of(shop) as catalog:
        gone = {
            n: catalog.version(p.version)
            for n, p in catalog.pointers("prod", 1).items()
            if n != "sales.apart"
        }
    for one in gone.values():
        (shop.root / ".products/store" / one.parts[0].path).unlink()
    refused = shop.run("restore", "--release", "1", "--now", day(2))
    assert refused.code == 1
    for name, one in gone.items():
        assert f"{name} {one.id[:7]}" in refused.err
    assert pasts(shop, "prod") == before, "all or nothing"


@on_sqlite
def test_what_does_not_match_is_said(shop: Place) -> None:
    night(shop, 0)
    night(shop, 1)
    old, new = (shop.run("history", "lines", "--json").json[n]["version"] for n in (1, 0))
    total = shop.run("history", "total", "--json").json[0]["version"]
    told = shop.run("restore", "lines", old, "--json", "--now", day(2)).json
    words = f"sales.total {total[:7]} was made of {new[:7]} of sales.lines, and readers now see {old[:7]} of it"
    assert told["warnings"] == [words]
    status = {item["product"]: item["because"] for item in shop.run("status", "--json").json}
    assert words in status["sales.total"]
    assert words not in status["sales.lines"] + status["sales.apart"]
    assert shop.materialize("--now", day(2.1))["sales.total"]["result"] == "published"
    assert "was made of" not in shop.run("status").out, "it was built again"
    assert shop.run("restore", "--release", "1", "--json", "--now", day(2.2)).json["warnings"] == []


@on_sqlite
def test_a_version_is_found_by_its_first_letters(shop: Place) -> None:
    night(shop, 0)
    night(shop, 1)
    ids = [item["version"] for item in shop.run("history", "total", "--json").json]
    both = shop.run("restore", "total", "v")
    assert (both.code, all(id in both.err for id in ids)) == (2, True)
    none = shop.run("restore", "total", "zzz")
    assert (none.code, ids[0][:7] in none.err) == (2, True)
    assert shop.run("restore", "total", ids[1][1:9]).code == 0
    assert shop.run("restore", "total", ids[0][:9]).code == 0


@on_sqlite
def test_read_as_of_is_exact(shop: Place) -> None:
    for number in range(8):
        night(shop, number, *(["-s", "lines+"] if number % 2 else []))
    told = {
        n: assay.read("total", as_of=day(n + 0.1), project=shop.root).collect().item()
        for n in range(8)
    }
    assert told == {n: sum(range(1 + n // 4 * 100, n + 2 + n // 4 * 100)) for n in range(8)}
    assert shop.run("gc", "--keep", "1", "--days", "3", "--now", day(7.5)).code == 0
    for number in range(4, 8):
        read = assay.read("total", as_of=day(number + 0.1), project=shop.root)
        assert read.collect().item() == told[number]
    with pytest.raises(UsageError, match="or later"):
        assay.read("total", as_of=day(2.1), project=shop.root)


# ---------------------------------------------------------------------------------------------- leases


def test_a_lease_ends_with_its_process(tmp_path: Path) -> None:
    with leases.reading(tmp_path, "2026-01-01"):
        [lease] = leases.living(tmp_path)
        assert lease.holder.startswith(f"process {os.getpid()} on ")
        assert lease.holds("d.p/r1/data.parquet")
    assert leases.living(tmp_path) == []
    leases.keep(tmp_path, ["d.p/r1"])
    [lease] = leases.living(tmp_path)
    assert (lease.holds("d.p/r1/x/data.parquet"), lease.holds("d.p/r2/data.parquet")) == (
        True,
        False,
    )
    dead = next((tmp_path / ".readers").iterdir()).with_name("dead")
    dead.write_text("{}\n")
    assert len(leases.living(tmp_path)) == 1
    assert not dead.exists()


def test_a_lease_that_says_nothing_clear_holds_everything(tmp_path: Path) -> None:
    with leases.reading(tmp_path):
        [file] = (tmp_path / ".readers").iterdir()
        file.write_bytes(b"\xff\xfe nonsense")
        [lease] = leases.living(tmp_path)
        assert lease.holds("anything/at/all")


def test_who_may_not_write_reads_without_a_lease(tmp_path: Path) -> None:
    (tmp_path / ".readers").write_text("in the way")
    with leases.reading(tmp_path):
        leases.keep(tmp_path, ["d.p/r1"])
    assert leases.living(tmp_path) == []


def test_a_part_is_rewritten_a_few_times_at_most() -> None:
    """A file a day, put together every week: without a measure, the last week would rewrite all that there is."""
    files: dict[int, str] = {}
    most = rewritten = 0
    for day in range(1, 1001):
        files[day] = f"d.p/r{day}/data.parquet"
        if day % 7:
            continue
        held = Counter(files.values())
        parts = [
            Part(path=path, key=str(d), rows=1, of=held[path], bytes=1000 + held[path], checksum="")
            for d, path in files.items()
        ]
        together = compaction._small_files(parts[: -compaction.YOUNGEST])
        if len(together) >= compaction.FEWEST:
            moved = [d for d, path in files.items() if path in together]
            rewritten += len(moved)
            files |= dict.fromkeys(moved, f"d.p/gc{day}/0.parquet")
        most = max(most, len(set(files.values())))
    assert rewritten < 8 * len(files), "each a few times"
    assert most < 40, "and there are few files to open"


def test_which_files_a_source_had_is_kept_with_what_was_built_from_them(shop: Place) -> None:
    def listed() -> set[str]:
        with catalog_of(shop) as catalog:
            rows = catalog.database.rows(
                "select digest from listings where source = 'sales.numbers'"
            )
            return {digest for (digest,) in rows}

    def built_from() -> set[str]:
        with catalog_of(shop) as catalog:
            versions = [*catalog.versions("sales.lines"), *catalog.versions("sales.apart")]
            return {version.key.inputs["sales.numbers"] for version in versions}

    for number in range(9):
        night(shop, number)
    assert listed() == built_from()
    assert len(listed()) == 9
    for name in "bcdefghi":  # what nothing is built from goes, but for the last few
        shop.numbers(name, 1)
        assert shop.run("materialize", "-s", "total", "--now", day(10)).code == 0
    assert len(listed()) == 9 + 5
    assert shop.run("gc", "--keep", "1", "--days", "1", "--now", day(20)).code == 0
    shop.numbers("j", 2)
    night(shop, 21)
    assert built_from() < listed()
    assert len(listed()) <= 5 + len(built_from()) < 9, "what nothing needs is gone"
