"""A catalog, a manifest or a store from somebody else: nothing of it runs, and nothing outside the store is touched."""

import ast
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.errors import AssayError, CatalogError, StoreError
from assay.facts import Part
from assay.rules.incremental.totals import check_recorded
from assay.store.files import LocalStorage
from tests.conftest import Place, effort

VERBS = [
    ["status"],
    ["plan"],
    ["ls"],
    ["why", "p"],
    ["why", "p", "--rules"],
    ["history", "p"],
    ["history", "p", "--json"],
    ["show", "p"],
    ["show", "p", "--held"],
    ["query", "from p"],
    ["lineage", "p"],
    ["suggest", "p"],
    ["gc"],
    ["materialize"],
    ["materialize", "--force", "--json"],
]


@pytest.fixture
def shop(tmp_path: Path) -> Place:
    place = Place(tmp_path / "project")
    place.write("pyproject.toml", "[tool.products]\n")
    for day in ("2024-01-01", "2024-01-02"):
        place.write(f"drops/{day}.csv", "x\n1\n2\n")
    place.write(
        "products/sales.py",
        """
        drops = source.files("drops/{day:date}.csv", columns={"x": pl.Int64})
        sql_product("p", "select day, x from drops", owner="o", each="drops", rules=[
            rule.sql("sum", "select sum(x) as s from this having sum(x) > 99"), rule.check("small", "x < 9")])
        sql_product("q", "select sum(x)::bigint as s from p", owner="o")
        """,
        header=True,
    )
    assert place.run("materialize").code == 0
    (tmp_path / "victim.txt").write_text("mine")
    return place


def catalog_of(place: Place) -> sqlite3.Connection:
    return sqlite3.connect(place.root / ".products/catalog.db", isolation_level=None)


# ---------------------------------------------------------------------------------------------- nothing runs


def test_no_module_can_turn_data_into_code() -> None:
    banned = {"pickle", "marshal", "shelve", "yaml", "cloudpickle", "dill", "joblib", "subprocess"}
    for file in Path(assay.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import | ast.ImportFrom)
                else []
            )
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found = banned & {name.partition(".")[0] for name in names}
            assert found <= (
                {"subprocess"}
                if file.name
                in {"child.py", "empty_runs.py", "revision.py", "revisions.py", "sign.py"}
                else set()
            ), file  # they start our own modules, and git
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "__import__"}, file
                assert node.func.id != "compile" or file.name == "finder.py", (
                    file
                )  # the user's own modules


EVIL_TOTALS: list[Any] = [
    {
        "q": {
            "types": {"x": "bigint) from (select 1 as x)); copy (select 1) to 'evil.csv'; --"},
            "rows": [["1"]],
        }
    },
    {"q": {"types": {"x from y": "BIGINT"}, "rows": [["1"]]}},
    {"q": {"types": ["x"], "rows": []}},
    {"q": {"types": {"x": "BIGINT"}, "rows": [["1", "2"]]}},
    {"q": {"types": {"x": "BIGINT"}, "rows": 5}},
    {"q": {}},
]


@pytest.mark.parametrize("told", EVIL_TOTALS, ids=lambda told: str(told)[:40])
def test_what_is_remembered_of_parts_is_never_run(shop: Place, told: Any) -> None:
    with pytest.raises(CatalogError, match="damaged"):
        check_recorded(told)
    catalog = catalog_of(shop)
    target = shop.root / ".products/store/evil.csv"
    for part, rules, results in catalog.execute(
        "select part, rules, results from judged_parts"
    ).fetchall():
        found = json.loads(results)
        if any("types" in one for one in found.values()):
            evil = {q: next(iter(told.values())) for q in found}
            text = json.dumps(evil).replace("evil.csv", str(target))
            catalog.execute(
                "update judged_parts set results = ? where part = ? and rules = ?",
                [text, part, rules],
            )
    shop.edit("drops/2024-01-01.csv", "1", "3")
    ran = shop.run("materialize")
    assert "Traceback" not in ran.err
    assert "damaged" in ran.out + ran.err
    assert not target.exists()


# ---------------------------------------------------------------------------------------------- nothing outside


@pytest.mark.parametrize(
    "path",
    [
        "../../victim.txt",
        "/VICTIM",
        "a/../../../victim.txt",
        "..",
        "",
        ".",
        "sales.p",
        "x/./y",
        "x\0/y",
        "a//b",
    ],
)
def test_what_a_dead_run_intended_is_removed_in_the_store_alone(shop: Place, path: str) -> None:
    victim = shop.root.parent / "victim.txt"
    stored = [f for f in (shop.root / ".products/store").rglob("*") if f.is_file()]
    ours = {f: f.stat().st_ino for f in stored}
    catalog = catalog_of(shop)
    catalog.execute(
        "insert into runs (id, state, started_at, environment, host, pid) values ('dead', 'running', '2024-01-01T00:00:00+00:00', 'prod', 'h', 1)"
    )
    catalog.execute(
        "insert into intents values (?, 'dead')", [path.replace("/VICTIM", str(victim))]
    )
    for verb in (["materialize"], ["gc"]):
        ran = shop.run(*verb)
        assert "Traceback" not in ran.err
        assert (ran.code, "not a path inside the store" in ran.err) in {(1, True), (0, False)}
    assert victim.read_text() == "mine"
    assert {f: f.stat().st_ino for f in ours if f.exists()} == ours  # not removed, nor built again


def test_a_file_that_a_part_names_is_not_removed_for_an_intent(shop: Place) -> None:
    catalog = catalog_of(shop)
    before = shop.query("select sum(x)::int as x from p")
    catalog.execute(
        "insert into runs (id, state, started_at, environment, host, pid) values ('dead', 'running', '2024-01-01T00:00:00+00:00', 'prod', 'h', 1)"
    )
    catalog.execute("insert or ignore into intents select path, 'dead' from parts")
    assert shop.run("gc").code == 0
    assert shop.query("select sum(x)::int as x from p") == before


@pytest.mark.parametrize(
    "run", ["../../../victim.txt", "/VICTIM", "..", "", "a/b", "x\0y", "a\nb", "é"]
)
def test_no_lock_outside_the_folder_of_locks_is_touched(shop: Place, run: str) -> None:
    victim = shop.root.parent / "victim.txt"
    catalog = catalog_of(shop)
    run = run.replace("/VICTIM", str(victim))
    catalog.execute(
        "insert into runs (id, state, started_at, environment, host, pid) values (?, 'running', '2024-01-01T00:00:00+00:00', 'prod', 'h', 1)",
        [run],
    )
    catalog.execute("insert into claims values ('sales.p', '', ?)", [run])
    for verb in VERBS:
        ran = shop.run(*verb)
        assert "Traceback" not in ran.err
        assert ran.code in {0, 1, 2}, verb
    assert victim.read_text() == "mine"


def test_nothing_is_done_through_a_link_in_the_store(tmp_path: Path) -> None:
    outside = tmp_path / "outside/run"
    outside.mkdir(parents=True)
    (outside / "data.parquet").write_bytes(b"mine")
    storage = LocalStorage(tmp_path / "store")
    storage.root.mkdir()
    (storage.root / "sales.p").symlink_to(tmp_path / "outside")
    part = Part(path="sales.p/run/data.parquet", rows=1, bytes=4, checksum="")
    acts = (
        storage.prepare,
        storage.seal,
        lambda path: storage.flush([path]),
        lambda _: storage.locate(part),
    )
    for act in acts:
        with pytest.raises(StoreError, match="is a link"):
            act(part.path)
    storage.remove(part.path)
    assert (outside / "data.parquet").read_bytes() == b"mine"
    (storage.root / "sales.q").mkdir()
    (storage.root / "sales.q/run").symlink_to(outside)
    storage.remove("sales.q/run")
    assert not (storage.root / "sales.q").exists()
    assert (outside / "data.parquet").read_bytes() == b"mine"
    (storage.root / "sales.r/run").mkdir(parents=True)
    (storage.root / "sales.r/run/data.parquet").symlink_to(outside / "data.parquet")
    linked = Part(path="sales.r/run/data.parquet", rows=1, bytes=4, checksum="")
    assert not storage.holds([linked])
    assert not storage.holds(
        [Part(path="../outside/run/data.parquet", rows=1, bytes=4, checksum="")]
    )
    with pytest.raises(StoreError):
        storage.locate(linked)


# ---------------------------------------------------------------------------------------------- nothing as it should be

DEEP = "[" * 100_000 + "]" * 100_000
ODD: list[Any] = [
    "",
    "x",
    "../../victim.txt",
    "[]",
    "{}",
    "5",
    "null",
    '{"a": 1}',
    "[[1, 2]]",
    '[{"text": 5, "status": "passed"}]',
    DEEP,
    "1-99999999999999",
    -1,
    2**62,
    1.5,
    b"\xff\x00",
    "2024-13-45",
    "\x1b]8;;http://x\x07",
    "a'; drop table parts; --",
    "select 1",
    "\ud7ff\u202e",
]


def columns(place: Place) -> list[tuple[str, str]]:
    with closing(catalog_of(place)) as catalog:
        tables = [
            name
            for (name,) in catalog.execute("select name from sqlite_master where type = 'table'")
        ]
        return [
            (t, row[1])
            for t in tables
            if not t.startswith("sqlite")
            for row in catalog.execute(f"pragma table_info({t})")
        ]


@pytest.mark.long
@pytest.mark.parametrize("number", range(4))
def test_no_value_in_a_catalog_is_trusted(shop: Place, number: int) -> None:
    file = shop.root / ".products/catalog.db"
    cases = [(t, c, v) for t, c in columns(shop) for v in ODD]
    with closing(catalog_of(shop)) as whole:
        whole.execute("pragma wal_checkpoint(truncate)")
        whole.execute("pragma journal_mode = delete")
    good = file.read_bytes()
    for at, (table, column, value) in enumerate(cases):
        if at % 4 != number or (at // 4) % effort(10, 10, 5):
            continue
        for beside in file.parent.glob("catalog.db-*"):
            beside.unlink()
        file.write_bytes(good)
        catalog = catalog_of(shop)
        for trigger in [
            n for (n,) in catalog.execute("select name from sqlite_master where type = 'trigger'")
        ]:
            catalog.execute(f"drop trigger {trigger}")
        try:
            catalog.execute(f'update {table} set "{column}" = ?', [value])
        except sqlite3.Error:
            continue
        finally:
            catalog.close()
        verb = VERBS[at // 20 % len(VERBS)]
        ran = shop.run(*verb)
        assert ran.code in {0, 1, 2, 3}, (table, column, value, verb)
        assert "Traceback" not in ran.err
        assert "\x1b" not in ran.out + ran.err, (table, column, verb)
    assert (shop.root.parent / "victim.txt").read_text() == "mine"


def test_a_manifest_from_somebody_else_is_made_again(shop: Place) -> None:
    file = shop.root / ".products/manifest.json"
    whole = file.read_text()
    first = json.loads(whole.splitlines()[0])
    for files in (["/dev/zero"], ["../victim.txt"], ["/etc/passwd"], [5], "x", ["x\0y"]):
        file.write_text(json.dumps({**first, "files": files}) + "\n")
        assert shop.run("status").code == 0, files
    for text in (DEEP, f'{{"files": {DEEP}}}', "", "\0", whole[:-9], "[]", "{}", "5"):
        file.write_text(text)
        assert shop.run("status").code == 0, text[:20]
        file.write_text(whole)


@pytest.mark.parametrize(
    "name", ["../../x", "a.b/../../c", "sales.p\x1b[2J", 'sales."; drop', "", "x" * 400]
)
def test_a_name_from_a_forged_manifest_leads_nowhere(shop: Place, name: str) -> None:
    def change(_: dict, declared: dict) -> None:
        declared["products"][0]["name"] = name
        declared["products"][1]["inputs"][0]["name"] = (
            name  # whose only input it is: nothing else would be amiss
        )

    shop.forge(change)
    for verb in (
        ["status"],
        ["plan"],
        ["ls"],
        ["lineage", "q", "--format", "mermaid"],
        ["materialize"],
    ):
        ran = shop.run(*verb)
        assert ran.code in {0, 1, 2, 3}
        assert "Traceback" not in ran.err
        assert "\x1b" not in ran.out + ran.err
    assert not list(shop.root.parent.glob("x*"))


def test_reading_from_python_says_it_too(shop: Place) -> None:
    catalog_of(shop).execute("update parts set path = '../../victim.txt', bytes = 4")
    with pytest.raises(AssayError):
        assay.read("p", project=shop.root)
    with pytest.raises(AssayError):
        assay.connect(project=shop.root).sql("from p")
