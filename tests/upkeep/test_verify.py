"""`products verify`, and reading what is damaged: found, named, mended where it can be proved, never read as right."""

import os
import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

import assay
from assay.catalog import open_catalog
from assay.errors import CatalogDamaged, CatalogError, StoreError
from assay.store import files as storage
from assay.upkeep import verify
from tests.conftest import TO_SCHEMA_3, Place

DECLARED = """
sql_product("p", "select x, x * 2 as y, md5(x::varchar) as t from numbers", owner="o", rules=[rule.sql("none is below 0", "from this where x < 0")])
sql_product("q", "select sum(y)::bigint as s from p", owner="o", rules=[rule.sql("as p", "select 1 from p where x < 0")])
@product(owner="o")
def r(p: pl.LazyFrame) -> pl.LazyFrame:
    return p.filter(pl.col("x") > 1)
@product(owner="o", file="f.txt")
def f(q): return "x"
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose four products are published."""
    place = Place(tmp_path_factory.mktemp("built"))
    place.write("pyproject.toml", "[tool.products]\n")
    place.write("products/sales.py", DECLARED, header=True)
    place.numbers("a", *range(1, 400))
    assert place.run("materialize").code == 0
    with sqlite3.connect(place.root / ".products/catalog.db") as db:
        db.execute("pragma wal_checkpoint(truncate)")
    return place.root


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Place:
    shutil.copytree(built, tmp_path / "shop", symlinks=True)
    return Place(tmp_path / "shop")


def stored(place: Place, product: str = "sales.p") -> Path:
    """The one file of what readers see of a product."""
    catalog = open_catalog(place.root / ".products/catalog.db", create=False)
    [part] = catalog.version(catalog.pointers("prod")[product].version).parts
    catalog.close()
    return place.root / ".products/store" / part.path


def overwrite(file: Path, content: bytes, *, back_in_time: bool = False) -> None:
    before = file.stat()
    file.chmod(0o644)
    file.write_bytes(content)
    file.chmod(0o444)
    if back_in_time:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


def missing(file: Path) -> None:
    file.unlink()


def truncated(file: Path) -> None:
    overwrite(file, file.read_bytes()[:-5])


def edited(file: Path) -> None:
    """Other rows, as many bytes: what only looking at the size would take for the real ones."""
    overwrite(file, flipped(file.read_bytes(), file.stat().st_size // 2))


DAMAGE: list[Callable[[Path], None]] = [missing, truncated, edited]
NAMED = r"sales\.p v[0-9a-f]{6} cannot be read: .*data\.parquet (is missing|has [\d,]+ bytes|is not what was written)"
READS: dict[str, Callable[[Place], object]] = {
    "read": lambda place: assay.read("p", project=place.root).collect(),
    "connect": lambda place: assay.connect(project=place.root).execute("from sales.p").fetchall(),
    "path": lambda place: assay.path("p", project=place.root),
}
VERBS = [
    ["query", "from p"],
    ["query", "from p join q on true"],
    ["show", "p"],
    ["show", "p", "--to", "out.parquet"],
    ["show", "p", "--failures", "none is"],
    ["suggest", "p"],
]


def findings(place: Place, *arguments: str) -> tuple[int, list[dict]]:
    ran = place.run("verify", "--json", *arguments)
    return ran.code, ran.json["findings"]


# ---------------------------------------------------------------------------------------------- sound


def test_what_is_sound_is_said_to_be_and_costs_one_read_of_each_file(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    real = verify.file_digest
    monkeypatch.setattr(
        "assay.upkeep.verify.file_digest", lambda file: read.append(file) or real(file)
    )
    ran = shop.run("verify")
    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"sound +4 files of 4 versions, .*: every byte is as it was written", ran.out)
    assert len(read) == len(set(read)) == 4
    told = shop.run("verify", "--json").json
    assert (told["sound"], told["files"], told["versions"], told["findings"]) == (True, 4, 4, [])
    assert shop.run("verify", "p").out.count("1 file of 1 version") == 1
    assert shop.run("verify", "nothing").code == 2


def test_nothing_built_is_sound(place: Place) -> None:
    assert place.run("verify").code == 0
    assert not (place.root / ".products/catalog.db").exists()


# ---------------------------------------------------------------------------------------------- damaged files


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_and_named_and_no_reader_gets_rows(
    shop: Place, damage: Callable[[Path], None]
) -> None:
    file = stored(shop)
    damage(file)
    for name, read in READS.items():
        with pytest.raises(StoreError, match=NAMED):
            read(shop)
            pytest.fail(name)
    for verb in VERBS:
        ran = shop.run(*verb)
        assert ran.code == 1, (verb, ran.out)
        assert re.search(NAMED, ran.err), (verb, ran.err)
        assert "products verify sales.p --repair" in ran.err
    assert shop.run("query", "from q").code == 0, "what is whole is read"
    code, [found] = findings(shop)
    assert code == 1
    assert (found["found"], found["product"], found["readers"]) == (
        damage.__name__,
        "sales.p",
        ["prod"],
    )
    assert str(shop.root / ".products/store" / found["file"]) == str(file)
    said = shop.run("verify").out
    assert re.search(
        rf"^  sales\.p\n    {damage.__name__} .*v[0-9a-f]{{6}}, readers of prod see it$", said, re.M
    ), said
    # The control: where size and time alone tell nothing, everything is read as right.
    if damage is edited:
        then = open_catalog(shop.root / ".products/catalog.db")
        then.database._db.execute("update parts set modified = 0")
        then.close()
        assert assay.path("p", project=shop.root) == file


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_ladder_builds_again_what_is_damaged(
    shop: Place, damage: Callable[[Path], None]
) -> None:
    want = shop.query("from p order by x")
    damage(stored(shop))
    assert "bytes" in shop.run("plan").out
    assert shop.run("materialize").code == 0
    assert shop.query("from p order by x") == want


@pytest.mark.parametrize("damage", DAMAGE)
def test_builds_and_rules_that_read_it_name_it(shop: Place, damage: Callable[[Path], None]) -> None:
    damage(stored(shop))
    shop.edit("products/sales.py", "sum(y)::bigint as s", "sum(y)::bigint + 1 as s")
    shop.edit("products/sales.py", 'pl.col("x") > 1', 'pl.col("x") > 2')
    told = {
        t.get("product"): t for t in shop.run("materialize", "-s", "q", "-s", "r", "--json").events
    }
    for name in ("sales.q", "sales.r"):
        assert told[name]["result"] == "failed"
        assert re.search(NAMED, told[name]["error"]), told[name]


def test_bytes_that_no_engine_can_read_are_named_though_size_and_time_are_right(
    shop: Place,
) -> None:
    file = stored(shop)
    overwrite(file, file.read_bytes()[:-60] + b"\xff" * 60, back_in_time=True)
    named = NAMED.replace("(is missing", "(is not what|is missing")
    for verb in VERBS[:1] + VERBS[2:3] + VERBS[5:]:
        ran = shop.run(*verb)
        assert (ran.code, bool(re.search(named, ran.err))) == (1, True), (verb, ran.err)
    with pytest.raises(StoreError, match=named):
        READS["connect"](shop)
    shop.edit("products/sales.py", "sum(y)::bigint as s", "sum(y)::bigint + 1 as s")
    shop.edit("products/sales.py", 'pl.col("x") > 1', 'pl.col("x") > 2')
    told = {
        t.get("product"): t for t in shop.run("materialize", "-s", "q", "-s", "r", "--json").events
    }
    assert all(re.search(named, told[name]["error"]) for name in ("sales.q", "sales.r")), told
    assert findings(shop)[1][0]["found"] == "edited"
    # The control: a query that is wrong itself is told so, and the file is not blamed.
    overwrite(file, (file.read_bytes()[:-60] + b"\xff" * 60), back_in_time=True)
    assert "cannot be read" not in shop.run("query", "select nonsense from q").err


def test_a_rule_is_not_recorded_as_failing_over_a_damaged_file(shop: Place) -> None:
    file = stored(shop)
    content = file.read_bytes()
    page = "select data_page_offset from parquet_metadata(?) where path_in_schema = 't'"
    [(at,)] = duckdb.execute(
        page, [str(file)]
    ).fetchall()  # not the footer: a rule stumbles over it, not its view
    overwrite(file, content[:at] + b"\xff" * 12 + content[at + 12 :], back_in_time=True)
    shop.edit("products/sales.py", "from this where x < 0", "from this where length(t) < 0")
    shop.edit(
        "products/sales.py", "select 1 from p where x < 0", "select 1 from p where length(t) < 0"
    )
    for name in ("sales.p", "sales.q"):
        told = {t.get("product"): t for t in shop.run("materialize", "-s", name, "--json").events}
        assert told[name]["result"] == "failed", told
        assert re.search(r"sales\.p v.* is not what was written", told[name]["error"])
        catalog = open_catalog(shop.root / ".products/catalog.db")
        assert [v.status for v in catalog.verdicts(catalog.pointers("prod")[name].version)] == [
            "passed"
        ]
        catalog.close()


def test_a_copied_store_is_read_once_and_then_trusted(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = stored(shop)
    written = file.stat().st_mtime_ns
    os.utime(file, ns=(1, 1))
    read: list[Path] = []
    real = storage.file_digest
    monkeypatch.setattr(
        "assay.store.files.file_digest", lambda file: read.append(file) or real(file)
    )
    assert len(shop.query("from p")) == 399
    assert (read, file.stat().st_mtime_ns) == ([file], written)
    assert len(shop.query("from p")) == 399
    assert read == [file]
    assert shop.run("materialize").code == 0
    assert read == [file], "a no-op hashes nothing"


def test_a_catalog_that_knows_no_times_still_looks_at_sizes(shop: Place) -> None:
    catalog = open_catalog(shop.root / ".products/catalog.db")
    catalog.database._db.execute("update parts set modified = 0")
    catalog.close()
    os.utime(stored(shop), ns=(1, 1))
    assert len(shop.query("from p")) == 399
    truncated(stored(shop))
    assert shop.run("query", "from p").code == 1


# ---------------------------------------------------------------------------------------------- repair


def test_what_another_file_holds_is_put_back(shop: Place) -> None:
    file, want = stored(shop), shop.query("from p order by x")
    moved = file.parent.parent / "elsewhere"
    file.rename(moved)
    assert {f["found"] for f in findings(shop)[1]} == {"missing", "foreign"}
    code, found = findings(shop, "--repair")
    assert (code, ["same SHA-256" in f["repaired"] for f in found if f["found"] == "missing"]) == (
        0,
        [True],
    )
    assert stored(shop) != file, "nothing is written under a path twice"
    assert shop.query("from p order by x") == want
    assert findings(shop) == (0, [])
    assert (shop.root / ".products/damaged/sales.p/elsewhere").exists(), (
        "what is foreign is kept aside"
    )


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_cannot_be_proved_is_set_aside_and_built_again(
    shop: Place, damage: Callable[[Path], None]
) -> None:
    file, want = stored(shop), shop.query("from p order by x")
    before = open_catalog(shop.root / ".products/catalog.db").pointers("prod")
    damage(file)
    damaged = file.read_bytes() if file.exists() else b""
    code, [found] = findings(shop, "--repair")
    assert (code, file.exists()) == (0, False)
    assert "built again of the very same; from " in found["repaired"]
    assert "which has the same SHA-256" in found["repaired"]
    assert shop.query("from p order by x") == want
    assert findings(shop) == (0, [])
    aside = shop.root / ".products/damaged" / found["file"]
    assert (aside.read_bytes() if aside.exists() else b"") == damaged, "nothing is deleted"
    moved = open_catalog(shop.root / ".products/catalog.db").pointers("prod")
    assert [n for n in before if moved[n] != before[n]] == ["sales.p"]
    assert shop.run("query", "from p order by x", "--as-of", "1", "--json").json == want


@pytest.mark.parametrize("change", ["data", "code", "gone"])
def test_what_was_made_of_something_else_is_not_built_again(shop: Place, change: str) -> None:
    """It could not be what readers saw: that is for `materialize`, which decides on it as on any change."""
    file, before = stored(shop), open_catalog(shop.root / ".products/catalog.db").pointers("prod")
    if change == "data":
        shop.numbers("b", 7)
    elif change == "code":
        shop.edit("products/sales.py", "as t from numbers", "as t from numbers where x > 1")
    else:
        shop.write("products/sales.py", "this is no definition")
    missing(file)
    code, [found] = findings(shop, "--repair")
    assert (code, found["repaired"]) == (1, "")
    assert "products materialize sales.p" in found["do"]
    assert open_catalog(shop.root / ".products/catalog.db").pointers("prod") == before, (
        "no pointer was moved"
    )


@pytest.mark.parametrize("deep", [False, True])
def test_a_link_in_the_store_is_reported_by_all_alike(shop: Place, deep: bool) -> None:
    folder = shop.root / ".products/store/sales.p"
    folder = next(folder.iterdir()) if deep else folder
    folder.rename(shop.root / "elsewhere")
    folder.symlink_to(shop.root / "elsewhere")
    read = shop.run("query", "from p")
    assert read.code == 1
    assert f"{folder} is a link, and nothing is read or written through it" in read.err
    assert "Put the folder itself there" in read.err and "materialize" not in read.err
    code, found = findings(shop)
    assert (code, {f["found"] for f in found}) == (1, {"linked"})
    assert "is a link" in found[0]["says"] and "Put the folder itself there" in found[0]["do"]
    assert findings(shop, "--repair") == (code, found), "nothing is moved through it"
    states = {t["product"]: t for t in shop.run("status", "--json").json}
    assert (states["sales.p"]["state"], "are missing" in states["sales.p"]["because"]) == (
        "stale",
        True,
    )
    told = shop.materialize()["sales.p"]
    if deep:
        assert told["result"] in {"published", "unchanged"}, "it is built again beside the link"
        assert shop.run("query", "from p").code == 0
    else:
        assert "is a link" in told["error"]
        folder.unlink()
        (shop.root / "elsewhere").rename(folder)
        assert shop.run("query", "from p").code == 0
        assert {t["result"] for name, t in shop.materialize().items() if name} == {"unchanged"}


COMPARED = """
raw = source.files("in/{day:date}.csv", columns={"x": "bigint"})
rules = [rule.changes("x", within="±50 %", by=["day"])]
sql_product("p", "select day, sum(x)::bigint as x from raw group by 1", owner="o", rules=rules)
sql_product("q", "select day, sum(x)::bigint as x from raw group by 1", owner="o", rules=rules, partition_by="day")
"""


def lose(place: Place, product: str, keep: int = 0) -> None:
    for file in sorted((place.root / f".products/store/sales.{product}").rglob("*.parquet"))[keep:]:
        file.chmod(0o600)
        file.unlink()


@pytest.fixture
def compared(place: Place) -> Place:
    for day in ("2024-01-01", "2024-01-02"):
        place.write(f"in/{day}.csv", "x\n100\n")
    place.write("products/sales.py", COMPARED, header=True)
    place.materialize()
    return place


@pytest.mark.parametrize("product", ["p", "q"])
def test_what_rules_compare_with_is_built_again_of_the_very_same(
    compared: Place, product: str
) -> None:
    lose(compared, product)
    told = compared.materialize()
    assert told[f"sales.{product}"]["result"] == "published"
    assert compared.query(f"select sum(x)::int as x from {product}") == [{"x": 200}]


def test_a_lost_part_is_compared_as_it_is_built_again(compared: Place) -> None:
    lose(compared, "q", keep=1)
    compared.write("in/2024-01-01.csv", "x\n120\n")
    assert compared.materialize()["sales.q"]["result"] == "published"
    lose(compared, "q")
    compared.write("in/2024-01-01.csv", "x\n900\n")
    told = compared.materialize()["sales.q"]
    assert "which is lost" in told["error"], "the part of 01-01 as it was published is nowhere"


def test_what_is_lost_for_good_keeps_nobody_in_a_circle(compared: Place) -> None:
    lose(compared, "p")
    compared.write("in/2024-01-01.csv", "x\n900\n")
    told = compared.materialize()["sales.p"]
    assert told["result"] == "failed"
    assert "rules of sales.p compare with the published version v" in told["error"]
    assert (
        "products retire sales.p" in told["error"] and "products materialize" not in told["error"]
    )
    assert compared.run("verify", "--repair").code == 1, (
        "there is no other copy, and the input is another"
    )
    assert compared.run("retire", "p").code == 0
    assert compared.materialize()["sales.p"]["result"] == "published"


def test_what_is_made_of_what_was_lost_is_built_after_it(place: Place) -> None:
    declare = "p = sql_product('p', 'from numbers', owner='o')\nq = sql_product('q', 'select max(x) as x from p', owner='o')\n"
    place.write("products/sales.py", declare, header=True)
    assert place.run("materialize").code == 0
    for file in (place.root / ".products/store").rglob("*.parquet"):
        edited(file)
    code, found = findings(place, "--repair")
    assert (code, {f["product"] for f in found if f["repaired"]}) == (0, {"sales.p", "sales.q"}), (
        found
    )
    assert place.query("from q") == [{"x": 3}]
    assert findings(place) == (0, [])


def test_other_rows_of_the_very_same_are_told(place: Place) -> None:
    place.write(
        "products/sales.py",
        "p = sql_product('p', 'select random() as r from numbers', owner='o', changes_with='never')\n",
        header=True,
    )
    assert place.run("materialize").code == 0
    [file] = (place.root / ".products/store").rglob("*.parquet")
    edited(file)
    code, [found] = findings(place, "--repair")
    assert (code, found["repaired"]) == (1, "")
    assert "other rows came out" in found["do"]
    assert len(place.query("from p")) == 3


def test_history_that_is_lost_is_let_go_of_by_gc(shop: Place) -> None:
    old = stored(shop)
    for last in (2, 3):  # the version before is one that rules may compare with
        shop.numbers("a", 1, last)
        assert shop.run("materialize").code == 0
    old.unlink()
    code, [found] = findings(shop)
    assert (code, "products gc" in found["do"], found["readers"]) == (1, True, [])
    code, [found] = findings(shop, "--repair")
    assert (code, "products gc" in found["do"]) == (1, True)
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    assert shop.run("gc", "--keep", "1", "--days", "0", "--now", later).code == 0
    assert findings(shop) == (0, [])


def test_what_stops_verify_is_no_damage(shop: Place) -> None:
    with sqlite3.connect(shop.root / ".products/catalog.db") as db:
        db.execute("update meta set value = '99' where name = 'schema'")
    ran = shop.run("verify", "--repair")
    assert (ran.code, ran.out, "Upgrade Assay" in ran.err) == (1, "", True)


def test_rows_that_another_file_holds_prove_it_too(shop: Place) -> None:
    """The same rows in other bytes: a build on another machine, in another order."""
    old = stored(shop)
    shop.edit("products/sales.py", "as t from numbers", "as t from numbers order by x desc")
    assert shop.run("materialize").code == 0
    new, want = stored(shop), shop.query("from p order by x")
    assert new.read_bytes() != old.read_bytes()
    overwrite(new, flipped(new.read_bytes(), 300), back_in_time=True)
    code, [found] = findings(shop, "--repair")
    assert (code, "same rows" in found["repaired"]) == (0, True), found
    assert shop.query("from p order by x") == want
    assert findings(shop) == (0, [])


def test_a_part_of_many_is_found_and_mended(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write("pyproject.toml", "[tool.products]\n")
    place.write(
        "products/shop.py",
        """
        import polars as pl
        from assay import source, sql_product
        drops = source.files("data/{day:date}.csv", columns={"id": pl.Int64})
        sql_product("lines", "select id, day from drops", owner="o", each="drops")
        """,
    )
    for day in range(1, 6):
        place.write(f"data/2024-01-0{day}.csv", f"id\n{day}\n")
    assert place.run("materialize").code == 0
    catalog = open_catalog(place.root / ".products/catalog.db", create=False)
    parts = catalog.version(catalog.pointers("prod")["shop.lines"].version).parts
    catalog.close()
    file = place.root / ".products/store" / {part.key: part.path for part in parts}["2024-01-03"]
    assert len({part.path for part in parts}) == 5
    edited(file)
    ran = place.run("query", "from lines")
    assert (ran.code, "shop.lines v" in ran.err and str(file) in ran.err) == (1, True)
    code, [found] = findings(place)
    assert (code, found["found"], found["product"]) == (1, "edited", "shop.lines")
    paths = {f for f in stored_files(place) if f != file}
    assert findings(place, "--repair")[0] == 0
    assert len(set(stored_files(place)) - paths) <= 2, "the others are whole"
    assert len(place.query("from lines")) == 5


def test_foreign_files_and_folders(shop: Place) -> None:
    store = shop.root / ".products/store"
    for path in ("lost.parquet", "sales.p/note.txt", "what/is/this.txt"):
        (store / path).parent.mkdir(parents=True, exist_ok=True)
        (store / path).write_text("x")
    code, found = findings(shop)
    assert (code, sorted(f["file"] for f in found)) == (
        1,
        ["lost.parquet", "sales.p/note.txt", "what"],
    )
    assert [f["file"] for f in findings(shop, "p")[1]] == ["sales.p/note.txt"]
    told = findings(shop, "--repair")
    assert told[0] == 0, told
    assert (shop.root / ".products/damaged/what/is/this.txt").read_text() == "x"
    assert findings(shop) == (0, [])


def test_what_a_living_run_writes_is_not_foreign_and_what_a_dead_one_left_is_removed(
    shop: Place,
) -> None:
    catalog = open_catalog(shop.root / ".products/catalog.db")
    at, store = datetime(2024, 1, 1, tzinfo=UTC), shop.root / ".products/store"
    (store / "sales.p/alive").mkdir()
    (store / "sales.p/alive/data.parquet").write_text("half")
    (store / "strange").write_text("x")
    with catalog.runs.open(
        "alive", "prod", at, {"sales.p": ""}, lambda path, keep=(): None, recorded=9
    ):
        assert [f["file"] for f in findings(shop)[1]] == ["strange"]
        code, [found] = findings(shop, "--repair")
        assert (code, found["repaired"], (store / "strange").exists()) == (1, "", True), (
            "not while a run is at work"
        )
    # Without its intent (the control) it is foreign.
    assert [f["file"] for f in findings(shop)[1]] == ["sales.p/alive", "strange"]
    (store / "strange").unlink()
    catalog.database._db.execute(
        "insert into runs (id, state, started_at, environment, host, pid) values ('dead', 'running', '2024', 'prod', 'h', 1)"
    )
    catalog.database._db.execute("insert into intents values ('sales.p/alive', 'dead')")
    catalog.close()
    ran = shop.run("verify")
    assert (ran.code, "what run dead left" in ran.out) == (0, True)
    assert not (store / "sales.p/alive").exists()


def test_files_that_can_be_written_to_are_told_and_mended(shop: Place) -> None:
    stored(shop).chmod(0o644)
    code, [found] = findings(shop)
    assert (code, found["found"]) == (0, "writable")
    assert findings(shop, "--repair")[0] == 0
    assert stored(shop).stat().st_mode & 0o222 == 0


# ---------------------------------------------------------------------------------------------- the catalog

CONTRADICTIONS = {
    "which is not recorded": "delete from versions where product = 'sales.p'",
    "no verdict says that it is good": "delete from verdicts",
    "no release moved them there": "delete from moves where product = 'sales.p'",
    "readers there are sent nowhere": "delete from pointers where product = 'sales.p'",
    r"says release #1, which is not recorded": "delete from releases",
    r"parts of v\w+ are not recorded": "delete from parts where product = 'sales.p'",
    r"has parts of sales\.q": "update versions set parts = (select parts from versions where product = 'sales.q')"
    " where product = 'sales.p'",
    "outside the store": "update parts set path = '../../secret' where product = 'sales.p'",
    "there is a verdict on": "update verdicts set version = 'v0' where version = (select id from versions limit 1)",
    "which is of sales.q": "update versions set product = 'sales.q' where product = 'sales.p'",
    "cannot be read": "update versions set built_at = 'yesterday' where product = 'sales.p'",
    r"the verdict on v\w+ says passed, and its results failed": "update verdicts set results = replace(results,"
    """ '"status":"passed"', '"status":"failed"')""",
    r"says that it has 7 rows, and its parts have": "update versions set rows = 7 where product = 'sales.p'",
    r"the content digest of v\w+ is not that of its parts": "update versions set digest = 'x' where product = 'sales.p'",
    r"the key of v\w+ is not that of its code": "update versions set key = 'x' where product = 'sales.p'",
    r"the parts of v\w+ cannot be read": "update versions set parts = '1-99999999999999' where product = 'sales.p'",
}


@pytest.mark.parametrize("says", CONTRADICTIONS)
def test_contradictions_are_told(shop: Place, says: str) -> None:
    with sqlite3.connect(shop.root / ".products/catalog.db") as db:
        db.execute(CONTRADICTIONS[says])
    code, found = findings(shop)
    assert code == 1
    assert any(re.search(says, f["says"]) and f["found"] == "contradiction" for f in found), found
    for verb in (["status"], ["query", "from p"], ["verify", "--repair"], ["history", "p"]):
        shop.run(*verb)  # no traceback


FOOTERS = {
    "its footer says 399 rows, and the catalog 7": [
        "update versions set rows = 7 where product = 'sales.p'",
        "update parts set rows = 7 where product = 'sales.p'",
    ],
    "its columns are not those of the catalog: x": [
        "update versions set columns = replace(columns, 'BIGINT', 'INTEGER') where product = 'sales.p'"
    ],
    "its columns are not those of the catalog: t": [
        """update versions set columns = replace(columns, '"t"', '"u"') where product = 'sales.p'"""
    ],
}


@pytest.mark.parametrize("says", FOOTERS)
def test_what_footers_contradict_is_told(shop: Place, says: str) -> None:
    with sqlite3.connect(shop.root / ".products/catalog.db") as db:
        for statement in FOOTERS[says]:
            db.execute(statement)
    code, found = findings(shop)
    assert code == 1
    assert any(
        f["says"].startswith(says) and f["product"] == "sales.p" and f["file"] for f in found
    ), found
    assert findings(shop, "--repair")[1] == found, "facts are not invented, and nothing is moved"


def test_a_pointer_to_another_products_version_is_served_to_nobody(shop: Place) -> None:
    with sqlite3.connect(shop.root / ".products/catalog.db") as db:
        [(other,)] = db.execute("select version from pointers where product = 'sales.q'").fetchall()
        db.execute("update pointers set version = ? where product = 'sales.p'", [other])
    for verb in (["query", "from p"], ["show", "p"], ["status"], ["materialize"], ["plan"]):
        ran = shop.run(*verb)
        assert ran.code == 1, verb
        assert "sends readers of sales.p to v" in ran.err and "which is of sales.q" in ran.err, verb
    with pytest.raises(CatalogDamaged):
        assay.read("p", project=shop.root)


def page_overwritten(content: bytes) -> bytes:
    return content[: 4096 * 3] + b"\x55" * 4096 + content[4096 * 4 :]


RUINED: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda _: b"no database at all " * 500,
    "truncated": lambda content: content[: len(content) // 2],
    "a wrong page": page_overwritten,
    "emptied": lambda _: b"",
    "a header": lambda content: content[:16] + b"\xff" * 84 + content[100:],
}


@pytest.mark.parametrize("how", RUINED)
def test_a_ruined_catalog_is_told_by_verify_and_never_a_traceback(shop: Place, how: str) -> None:
    file = shop.root / ".products/catalog.db"
    file.write_bytes(RUINED[how](file.read_bytes()))
    code, found = findings(shop, "--repair")
    assert code == 1
    assert any(f["found"] in {"catalog", "contradiction"} and f["do"] for f in found), found
    assert "opy" in shop.run("verify").out
    for verb in (
        ["status"],
        ["query", "from p"],
        ["plan"],
        ["history", "p"],
        ["gc"],
        ["show", "p"],
        ["materialize"],
    ):
        ran = shop.run(*verb)
        assert ran.code in {0, 1}, verb
        if how in {"garbage", "emptied", "truncated"}:
            assert (ran.code, "catalog" in ran.err or "catalog" in ran.out) == (1, True), (
                verb,
                ran.err,
            )
    assert stored_files(shop), "nothing of the store was removed"


def stored_files(place: Place) -> list[Path]:
    return list((place.root / ".products/store").rglob("*.parquet"))


def test_a_database_of_something_else_is_left_alone(shop: Place) -> None:
    file = shop.root / ".products/catalog.db"
    file.unlink()
    with sqlite3.connect(file) as db:
        db.execute("create table holidays (day text)")
    db.close()
    before = file.read_bytes()
    for verb in (["status"], ["materialize"], ["verify"], ["verify", "--repair"]):
        ran = shop.run(*verb)
        assert ran.code == 1
        assert "is a database, and not a catalog" in ran.err + ran.out
    assert file.read_bytes() == before


def test_an_empty_file_without_a_store_is_a_beginning(place: Place) -> None:
    """As a process leaves it that is killed while it makes the catalog."""
    place.write("products/sales.py", 'sql_product("p", "from numbers", owner="o")', header=True)
    (place.root / ".products").mkdir()
    (place.root / ".products/catalog.db").touch()
    assert place.run("materialize").code == 0


def test_a_damaged_index_is_made_anew(shop: Place) -> None:
    file = shop.root / ".products/catalog.db"
    with sqlite3.connect(file) as db:
        [(page,)] = db.execute(
            "select rootpage from sqlite_master where name = 'versions_code'"
        ).fetchall()
        [(size,)] = db.execute("pragma page_size").fetchall()
        [(other,)] = db.execute(
            "select rootpage from sqlite_master where name = 'versions_key'"
        ).fetchall()
        db.execute("pragma wal_checkpoint(truncate)")
    content = file.read_bytes()
    one = content[
        (other - 1) * size : other * size
    ]  # a page that is an index, but of something else
    file.write_bytes(content[: (page - 1) * size] + one + content[page * size :])
    code, found = findings(shop)
    assert (code, {f["found"] for f in found}) == (1, {"catalog"})
    code, found = findings(shop, "--repair")
    assert (code, {f["repaired"] for f in found}) == (
        0,
        {"its indexes were made anew from the tables"},
    )
    assert findings(shop) == (0, [])


@pytest.mark.long
def test_random_bits_of_a_catalog_never_give_a_traceback_nor_other_rows(shop: Place) -> None:
    """Whatever bit flips: the rows that were published, or an error that is worded."""
    file, random_ = shop.root / ".products/catalog.db", random.Random(7)
    good, want = file.read_bytes(), shop.query("from p order by x limit 3")
    places = [n for n, byte in enumerate(good) if byte]
    store, kept = shop.root / ".products", shop.root / "kept"
    shutil.copytree(store, kept)
    noticed = 0
    for turn in range(int(os.environ.get("ASSAY_FLIPS", "60"))):
        spoilt = bytearray(good)
        for at in random_.sample(places, 1 + turn % 3):
            spoilt[at] ^= 1 << random_.randrange(8)
        for file_ in (file, file.with_name("catalog.db-wal"), file.with_name("catalog.db-shm")):
            file_.unlink(missing_ok=True)
        file.write_bytes(spoilt)
        ran = shop.run("query", "--json", "from p order by x limit 3")
        assert ran.code in {0, 1, 2}
        assert ran.code != 0 or ran.json == want, turn
        assert shop.run("status").code in {0, 1, 2}
        noticed += shop.run("verify").code != 0
        if not store.joinpath("store").exists() or len(stored_files(shop)) != 3:
            pytest.fail("files of the store are gone")
    assert noticed > 20, "the control: most of what is flipped is found"


def test_a_catalog_of_the_schema_before_is_taken_over(shop: Place) -> None:
    file = shop.root / ".products/catalog.db"
    with sqlite3.connect(file) as db:
        for statement in TO_SCHEMA_3:
            db.execute(statement)
    assert shop.run("verify").code == 0
    assert len(shop.query("from p")) == 399
    edited(stored(shop))
    assert len(findings(shop)[1]) == 1


def test_errors_of_an_engine_are_only_blamed_on_files_that_are_damaged(shop: Place) -> None:
    ran = shop.run("query", "select error('mine') from p")
    assert (ran.code, "cannot be read" in ran.err) == (2, False)
    with pytest.raises(CatalogError):
        open_catalog(shop.root / "products/sales.py")
    assert duckdb.sql("select 1").fetchall() == [(1,)]
