"""Very many parts that are made at once: those of few rows share files, and are parts like any others."""

import math
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest
from msgspec.structs import replace

import assay
from assay.build import compact as compaction
from assay.build import pack as packing
from assay.build import run as run_module
from assay.build import shared_files, tasks
from assay.engines.duckdb import DuckDB
from assay.engines.measure import measure
from assay.engines.tables import StoredTable
from assay.errors import StoreError
from assay.facts import Part
from assay.store import leases
from assay.store.files import LocalStorage
from tests.conftest import LONG, Place, until

pytestmark = pytest.mark.long

SHOP = """
import polars as pl
from assay import product, rule, source, sql_product

raw = source.files("data/{number:int}.csv", columns={"x": "bigint"})
sql_product("lines", "select number, x from raw limit 1_000_000", owner="o", partition_by="number", rules=[
    rule.sql("x is there once", "select number, x from this group by all having count(*) > 1"),
    rule.check("x is small", "x < 1_000_000")])
sql_product("sums", "select number, sum(x)::bigint as x, count(*) as n from lines group by 1 limit 1_000_000", owner="o",
            partition_by="number")
sql_product("total", "select sum(x)::bigint as x, count(*) as n from lines", owner="o")
"""
COUNT = 150
EMPTY, LARGE = (7, 8, 149), 20


def rows(number: int) -> int:
    return 0 if number in EMPTY else 3000 if number == LARGE else 1 + number % 5


def drop(place: Place, number: int, count: int, more: int = 0) -> None:
    place.write(
        f"data/{number}.csv",
        "\n".join(["x", *(str(number + n + more) for n in range(count))]) + "\n",
    )


def shop(root: Path) -> Place:
    made = Place(root)
    made.write("pyproject.toml", "[tool.products]\n")
    made.write("products/shop.py", SHOP)
    for number in range(COUNT):
        drop(made, number, rows(number))
    return made


@pytest.fixture(scope="module", autouse=True)
def parts_are_recorded_together() -> Iterator[None]:
    """Which parts share a file depends on when parts are recorded: here when all of a product are made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "RECORD_EVERY", math.inf)
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = shop(tmp_path_factory.mktemp("packed"))
    assert made.materialize()[""]["exit_code"] == 0
    return made.root


@pytest.fixture
def packed(tmp_path: Path, built: Path) -> Place:
    return Place(shutil.copytree(built, tmp_path, dirs_exist_ok=True))


def stored(place: Place) -> set[str]:
    store = place.root / ".products/store"
    return {str(file.relative_to(store)) for file in store.rglob("*.parquet")}


def content(place: Place, product: str) -> list[dict]:
    return place.query(f"from {product} order by all")


def test_parts_of_few_rows_share_files(packed: Place) -> None:
    found = packed.parts("shop.lines")
    held = Counter(part.path for part in found.values())
    assert len(found) == COUNT
    assert len(held) < COUNT // 3
    assert {part.path: part.of for part in found.values()}[found[str(LARGE)].path] is None, (
        "many rows have their own"
    )
    assert stored(packed) == {
        part.path for n in ("lines", "sums", "total") for part in packed.parts(f"shop.{n}").values()
    }
    assert all(
        (packed.root / ".products/store" / path).stat().st_mode & 0o222 == 0 for path in held
    )
    assert packed.query("select number, count(*) as n from lines group by 1 order by 1") == [
        {"number": n, "n": rows(n)} for n in range(COUNT) if rows(n)
    ]
    assert packed.query(f"select x from lines where number = {LARGE + 1} order by 1") == [
        {"x": 21},
        {"x": 22},
    ]
    frame = assay.read("shop.lines", project=packed.root)
    assert frame.filter(pl.col("number") == 44).collect()["x"].to_list() == [44, 45, 46, 47, 48]
    assert frame.collect().height == sum(map(rows, range(COUNT)))
    assert packed.run("verify").code == 0


def test_they_are_what_they_would_be_apart(
    packed: Place, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "MANY", 10_000)
    monkeypatch.setattr(compaction, "TOLERATED", 10_000)
    apart = shop(tmp_path_factory.mktemp("apart"))
    apart.materialize()
    for name in ("lines", "sums"):
        these, those = packed.parts(f"shop.{name}"), apart.parts(f"shop.{name}")
        assert len({part.path for part in those.values()}) == COUNT
        assert {k: (p.built_from, p.digest, p.rows) for k, p in these.items()} == {
            k: (p.built_from, p.digest, p.rows) for k, p in those.items()
        }
        assert content(packed, name) == content(apart, name)


def test_a_change_moves_its_part_alone(packed: Place) -> None:
    before = packed.parts("shop.lines")
    drop(packed, 30, 2, more=500)
    drop(packed, 7, 1)
    told = packed.materialize()
    assert [told[f"shop.{n}"]["parts"] for n in ("lines", "sums")] == [
        {"built": 2, "of": COUNT}
    ] * 2
    after = packed.parts("shop.lines")
    assert {key for key in after if after[key].id != before[key].id} == {"30", "7"}
    assert packed.query("select x from lines where number = 30 order by 1") == [
        {"x": 530},
        {"x": 531},
    ]
    assert packed.query("select n from total") == [{"n": sum(map(rows, range(COUNT))) + 2}]
    assert {t["result"] for name, t in packed.materialize().items() if name} == {"unchanged"}


def test_a_damaged_file_is_built_again_with_all_in_it(packed: Place) -> None:
    found = packed.parts("shop.sums")
    path, count = Counter(part.path for part in found.values()).most_common(1)[0]
    file = packed.root / ".products/store" / path
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1])
    wanted = content(packed, "lines")
    told = packed.materialize()
    assert told["shop.sums"]["parts"] == {"built": count, "of": COUNT}
    assert content(packed, "lines") == wanted
    assert packed.query("select count(*) as n from sums") == [{"n": COUNT - len(EMPTY)}]


def test_they_are_put_together_further_by_gc(packed: Place) -> None:
    for number in range(40):
        drop(packed, number, 1, more=1000)
    packed.materialize()
    wanted = content(packed, "lines")
    before = {key: part.digest for key, part in packed.parts("shop.lines").items()}
    assert len({p.path for p in packed.parts("shop.lines").values()}) > 40, (
        "forty are few: each has a file"
    )
    packed.run("gc")
    found = packed.parts("shop.lines")
    assert len({part.path for part in found.values()}) < 20
    assert {key: part.digest for key, part in found.items()} == before
    assert content(packed, "lines") == wanted


def test_a_part_held_back_is_as_readers_have_it(packed: Place) -> None:
    packed.edit(
        "products/shop.py",
        'partition_by="number", rules',
        'partition_by="number", on_failed_part="hold_part", rules',
    )
    packed.materialize()
    before = packed.parts("shop.lines")
    for number in range(COUNT):
        if number not in (*EMPTY, LARGE):
            drop(packed, number, rows(number), more=10_000_000 if number % 50 == 1 else 5)
    ran = packed.materialize()
    held = {"1", "51", "101"}
    assert ran[""]["exit_code"] == 3
    after = packed.parts("shop.lines")
    assert {key for key in after if after[key].id == before[key].id} == held | {
        str(n) for n in (*EMPTY, LARGE)
    }
    assert len({part.path for part in after.values()}) < COUNT // 3
    for number in (1, 51, 52, 101):
        more = 0 if str(number) in held else 5
        assert packed.query(f"select x from lines where number = {number} order by 1") == [
            {"x": number + n + more} for n in range(rows(number))
        ]
    assert packed.run("verify").code == 0


def test_restored_and_tidied_up_it_is_as_it_was(packed: Place) -> None:
    first, was = (
        packed.run("history", "lines", "--json").json[0]["version"],
        content(packed, "lines"),
    )
    for number in range(COUNT):
        drop(packed, number, rows(number), more=7)
    packed.materialize()
    assert content(packed, "lines") != was
    assert packed.run("gc").code == 0
    assert packed.run("restore", "lines", first).code == 0
    assert content(packed, "lines") == was
    assert packed.run("gc", "--keep", "1", "--days", "0", "--now", "2099-01-01").code == 0
    assert content(packed, "lines") == was
    assert packed.run("verify").code == 0


def test_with_a_catalog_in_postgresql(tmp_path: Path, address: str) -> None:
    place = shop(tmp_path)
    place.write("pyproject.toml", f'[tool.products]\ncatalog = "{address}"\n')
    place.materialize()
    files = stored(place)
    assert len(files) < COUNT // 2
    drop(place, 30, 2, more=500)
    told = place.materialize()
    assert [told[f"shop.{n}"]["parts"] for n in ("lines", "sums")] == [
        {"built": 1, "of": COUNT}
    ] * 2
    assert place.query("select x from lines where number = 30 order by 1") == [
        {"x": 530},
        {"x": 531},
    ]
    assert place.query("select n from total") == [
        {"n": sum(map(rows, range(COUNT))) + 2 - rows(30)}
    ]
    assert place.run("verify").code == 0


def night_after_night(place: Place, last: int) -> None:
    """Build a few parts at once, and then one a run; the files of those from `last` on are not there yet."""
    files = [place.root / f"data/{number}.csv" for number in range(COUNT)]
    later = {file: file.read_text() for file in files[compaction.TOLERATED : last]}
    for file in files[compaction.TOLERATED :]:
        file.unlink()
    place.materialize()
    assert len({part.path for part in place.parts("shop.sums").values()}) == compaction.TOLERATED, (
        "so few have a file each"
    )
    for file, text in later.items():
        file.write_text(text)
        place.materialize()
        count = len(place.parts("shop.sums"))
        assert len({part.path for part in place.parts("shop.sums").values()}) == count, (
            f"as do {count}"
        )


def test_files_of_few_rows_do_not_become_ever_more(tmp_path: Path) -> None:
    """A run after the other makes a few parts; without `gc`, what reads all of them would open ever more files."""
    place, some = shop(tmp_path), compaction.TOLERATED + compaction.YOUNGEST
    night_after_night(place, some - 1)
    drop(place, some - 1, rows(some - 1))
    place.materialize()
    found = place.parts("shop.sums")
    held = Counter(part.path for part in found.values())
    assert sorted(held.values()) == [1] * 7 + [some - 7], "but for the last ones"
    assert found[str(LARGE)].path in held
    assert len({part.path for part in place.parts("shop.lines").values()}) == some, (
        "one has many rows"
    )
    drop(place, some, rows(some))
    place.materialize()
    lines = place.parts("shop.lines")
    held = Counter(part.path for part in lines.values())
    assert sorted(held.values()) == [1] * 8 + [some - 7], (
        "but for the last ones, and that of many rows"
    )
    assert held[lines[str(LARGE)].path] == 1
    wanted = content(place, "lines")
    assert {t["result"] for name, t in place.materialize().items() if name} == {"unchanged"}
    before = len(stored(place))
    leases._lasting_lease.cache_clear()
    place.environment("try")
    place.run("materialize", "--now", "2100-01-01", "--env", "try")
    assert len(stored(place)) == before - 2 * (some - 7), (
        "what they were in is removed by a later run"
    )
    assert content(place, "lines") == wanted
    assert place.run("verify").code == 0


def test_a_kill_keeps_what_was_made(tmp_path: Path) -> None:
    place = shop(tmp_path)
    place.write(
        "products/shop.py",
        """
        import pathlib, time
        import polars as pl
        from assay import product, source
        raw = source.files("data/{number:int}.csv", columns={"x": "bigint"})
        @product(owner="o", each="raw")
        def lines(raw: pl.DataFrame) -> pl.DataFrame:
            if 99 in raw["number"] and not pathlib.Path("go").exists():
                pathlib.Path("there").touch()
                time.sleep(1000)
            if 98 in raw["number"]:
                time.sleep(2.1)  # what was made is recorded after two seconds
            return raw
    """,
    )
    running = subprocess.Popen(
        [sys.executable, "-m", "assay", "materialize"], cwd=place.root, stdout=subprocess.DEVNULL
    )
    made = [
        number for number in range(COUNT) if str(number) < "99"
    ]  # parts are made in the order of their names
    until(lambda: place.recorded_parts("shop.lines") == len(made))
    running.kill()
    running.wait()
    place.write("go", "")
    told = place.materialize()
    assert told["shop.lines"]["parts"] == {"built": COUNT - len(made), "of": COUNT}
    assert stored(place) == {part.path for part in place.parts("shop.lines").values()}, (
        "and nothing else is left"
    )
    assert place.query("select count(*) as n from lines") == [{"n": sum(map(rows, range(COUNT)))}]


INTERRUPTED = """
import os, signal, sys
from assay.engines.duckdb import DuckDB
real = DuckDB.copy_tables
def copy_tables(*given):
    os.kill(os.getpid(), signal.SIGINT)
    return real(*given)
DuckDB.copy_tables = copy_tables
from assay.cli.main import run
run()
"""


@pytest.mark.parametrize("late", [False, True])
def test_ctrl_c_while_parts_are_put_together(tmp_path: Path, late: bool) -> None:
    place = shop(tmp_path)
    if late:  # then it is what many runs have left
        last = compaction.TOLERATED + compaction.YOUNGEST - 1
        night_after_night(place, last)
        drop(place, last, rows(last))
    ran = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "materialize"],
        cwd=place.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, "Traceback" in ran.stderr) == (130, False), ran.stderr
    assert place.materialize()[""]["exit_code"] == 0
    told = place.run("verify")
    assert told.code == 0, f"nothing is left that nobody knows of: {told.out}"


def test_ctrl_c_is_heard_between_parts(tmp_path: Path) -> None:
    place = shop(tmp_path)
    place.write(
        "products/shop.py",
        """
        import pathlib, time
        import polars as pl
        from assay import product, source
        raw = source.files("data/{number:int}.csv", columns={"x": "bigint"})
        @product(owner="o", each="raw")
        def lines(raw: pl.DataFrame) -> pl.DataFrame:
            pathlib.Path("there").touch()
            time.sleep(0.2)
            return raw
    """,
    )
    running = subprocess.Popen(
        [sys.executable, "-m", "assay", "materialize"], cwd=place.root, stderr=subprocess.PIPE
    )
    while not (place.root / "there").exists():
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=LONG)
    assert (running.returncode, b"what was finished is kept" in err) == (130, True)
    [planned] = place.run("plan", "--json").json
    assert 0 < len(planned["parts"]["to_build"]) < COUNT, "what was made is kept"


ODD = {
    "a zone": ("pl.lit(0).cast(pl.Datetime('us', 'Europe/Paris'))", "when"),
    "a name that DuckDB has for itself": ("pl.lit(1)", "file_row_number"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_another_engine_would_not_write_alike_is_not_rewritten(
    what: str, tmp_path: Path
) -> None:
    made, name = ODD[what]
    place = shop(tmp_path)
    place.write(
        "products/shop.py",
        f"""
        import polars as pl
        from assay import product, source
        raw = source.files("data/{{number:int}}.csv", columns={{"x": "bigint"}})
        @product(owner="o", each="raw")
        def lines(raw: pl.LazyFrame) -> pl.LazyFrame:
            return raw.select("number", "x", {made}.alias("{name}"))
    """,
    )
    assert place.materialize()[""]["exit_code"] == 0
    assert len({part.path for part in place.parts("shop.lines").values()}) == COUNT


# ---------------------------------------------------------------------------------------------- one file


@pytest.fixture
def engine(tmp_path: Path) -> DuckDB:
    return DuckDB([tmp_path], tmp_path / "spill")


def written(storage: LocalStorage, engine: DuckDB, key: str, query: str) -> Part:
    path = f"d.p/run/{key}/data.parquet"
    target = storage.prepare(path)
    with engine.cursor() as cursor:
        cursor.execute(f"copy ({query}) to '{target}' (format parquet)")
    found = measure(engine, target)
    size, checksum, modified = storage.seal(path)
    return Part(
        key=key,
        path=path,
        rows=found.rows,
        bytes=size,
        checksum=checksum,
        modified=modified,
        digest=found.digest,
        columns=found.columns,
        built_from=key,
    )


def test_what_comes_out_otherwise_is_refused(tmp_path: Path, engine: DuckDB) -> None:
    storage = LocalStorage(tmp_path)
    some = [
        written(storage, engine, f"k{n}", f"select {n} as a from range({n})") for n in range(1, 10)
    ]

    def place(run: Sequence[Part]) -> StoredTable:
        return StoredTable((storage.locate(run[0]),))

    def other(run: Sequence[Part]) -> StoredTable:
        return place([some[{"k1": 1, "k2": 0}.get(run[0].key, int(run[0].key[1:]) - 1)]])

    put = shared_files.put_together(
        some, place, "d.p/run/all.parquet", storage=storage, engine=engine
    )
    assert [(part.start, part.rows, part.of) for part in put][-1] == (36, 9, 45)
    with pytest.raises(StoreError, match=r"k1 of .* came out as something else"):
        shared_files.put_together(
            some, other, "d.p/run/swapped.parquet", storage=storage, engine=engine
        )
    damaged = [*some[:-1], replace(some[-1], digest="what it was", checksum="0" * 64)]
    with pytest.raises(StoreError, match=r"k9 of .* came out as something else"):
        shared_files.put_together(
            damaged, place, "d.p/run/damaged.parquet", storage=storage, engine=engine
        )
    digested = [replace(part, digest="another engine's") for part in some]
    again = shared_files.put_together(
        digested, place, "d.p/run/again.parquet", storage=storage, engine=engine
    )
    assert [part.start for part in again] == [part.start for part in put]


def test_where_it_fails_each_stays_where_it_is(tmp_path: Path, engine: DuckDB) -> None:
    storage = LocalStorage(tmp_path)
    some = [written(storage, engine, f"k{n}", f"select {n} as a") for n in range(10)]
    (tmp_path / some[3].path).unlink()
    assert packing.share(some, storage=storage, engine=lambda: engine) == {
        part.path: part for part in some
    }
    assert not list((tmp_path / "d.p/run").glob("*.parquet"))
