"""The catalog: atomic, compare-and-swap, judged before published, honest about what it cannot use."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assay.catalog import SqliteCatalog
from assay.catalog.sqlite import SCHEMA_VERSION
from assay.errors import CatalogError, Conflict
from assay.fingerprint import code_of, key_of
from assay.model import Column, Move, Part, RuleResult, SourceFile, SourceState, Status, Verdict, Version

NOW = datetime(2011, 12, 9, 7, 30, 1, 123456, tzinfo=UTC)


@pytest.fixture
def catalog(tmp_path: Path):
    opened = SqliteCatalog(tmp_path / "catalog.db")
    yield opened
    opened.close()


def version(id: str, product: str = "d.p", code: str = "1") -> Version:
    return Version(
        id=id, product=product, key=key_of(code_of({"sql": code}), {"d.s": "s1"}), digest=f"content {id}",
        columns=(Column(name="a\n'\"", type="DECIMAL(18,2)"),), rows=3, bytes=99, built_at=NOW, seconds=0.25, run="r1",
        parts=(Part(path=f"{product}/{id}/data.parquet", rows=3, bytes=99, checksum="c"),), data_as_of=datetime(2011, 12, 8),
    )  # fmt: skip


def verdict(id: str, status: Status = Status.PASSED) -> Verdict:
    result = RuleResult(text="r", status=status, failing=1, samples=({"a": None, "b": "ü"},), because="why", owner="o")
    return Verdict(version=id, contract="c", against="", status=status, results=(result,), judged_at=NOW, run="r1")


def release(catalog: SqliteCatalog, *moves: Move, at: datetime = NOW, environment: str = "prod", **expects: int):
    """Release moves that expect what is there, but for what `expects` says (product d.NAME to release)."""
    there = {name: pointer.release for name, pointer in catalog.pointers(environment).items()}
    wanted = {m.product: there.get(m.product, 0) for m in moves} | {f"d.{n}": r for n, r in expects.items()}
    return catalog.release(environment, moves, wanted, run="r1", at=at, why="test")


def test_facts_come_back_as_they_were(catalog: SqliteCatalog) -> None:
    catalog.record([version("v1")], [verdict("v1")])
    facts = catalog.facts("prod", lambda version: True)
    assert facts.version("v1") == version("v1")
    assert facts.verdict("v1", "c", "") == verdict("v1")
    assert facts.find("d.p", version("v1").key.digest) == version("v1")
    assert facts.latest("d.p") == version("v1")
    assert facts.has_code("d.p", version("v1").key.code.digest)
    assert not facts.has_code("d.p", "else")
    assert facts.find("d.p", "else") is None
    assert facts.verdict("v1", "other", "") is None
    gone = catalog.facts("prod", lambda version: False)
    assert (gone.find("d.p", version("v1").key.digest), gone.lost("d.p", version("v1").key.digest)) == (
        None,
        version("v1"),
    )


def test_a_release_is_all_or_nothing(catalog: SqliteCatalog) -> None:
    catalog.record([version("v1"), version("w1", "d.q")], [verdict("v1")])
    with pytest.raises(CatalogError, match="unjudged"):
        release(catalog, Move(product="d.p", version="v1"), Move(product="d.q", version="w1"))
    assert catalog.pointers("prod") == {}
    assert catalog.releases("d.p", "prod") == []


@pytest.mark.parametrize("status", [Status.FAILED, Status.ERROR])
def test_nothing_but_a_passing_verdict_lets_a_version_out(catalog: SqliteCatalog, status: Status) -> None:
    catalog.record([version("v1"), version("v2")], [verdict("v1"), verdict("v2", status)])
    with pytest.raises(CatalogError, match="unjudged"):
        release(catalog, Move(product="d.p", version="v2"))
    release(catalog, Move(product="d.p", version="v1"))
    with pytest.raises(CatalogError, match="unjudged"):
        release(catalog, Move(product="d.p", version="v2"))
    assert catalog.pointers("prod")["d.p"].version == "v1"


def test_the_loser_of_two_releases_is_told(catalog: SqliteCatalog) -> None:
    catalog.record([version("v1"), version("v2"), version("w1", "d.q")], [verdict("v1"), verdict("v2"), verdict("w1")])
    release(catalog, Move(product="d.p", version="v1"))
    with pytest.raises(Conflict):
        release(catalog, Move(product="d.q", version="w1"), Move(product="d.p", version="v2"), p=0)
    with pytest.raises(Conflict):
        release(catalog, Move(product="d.p", version="v2"), p=9)
    with pytest.raises(Conflict):
        release(catalog, Move(product="d.q", version="w1"), p=0)
    assert set(catalog.pointers("prod")) == {"d.p"}
    release(catalog, Move(product="d.p", version="v2", previous="v1"))
    assert catalog.pointers("prod")["d.p"].previous == "v1"
    with pytest.raises(AssertionError, match="without saying what is expected"):
        catalog.release("prod", [Move(product="d.q", version="w1")], {}, run="r1", at=NOW, why="test")


def test_the_past_is_seen_as_it_was(catalog: SqliteCatalog) -> None:
    catalog.record([version("v1"), version("v2"), version("w1", "d.q")], [verdict("v1"), verdict("v2"), verdict("w1")])
    release(catalog, Move(product="d.p", version="v1"))
    release(catalog, Move(product="d.q", version="w1"), at=NOW + timedelta(hours=1))
    release(catalog, Move(product="d.p", version="v2", previous="v1"), at=NOW + timedelta(hours=2))
    release(catalog, Move(product="d.p", version="v2"), at=NOW, environment="else")

    def seen(as_of) -> dict[str, str]:
        return {name: pointer.version for name, pointer in catalog.pointers("prod", as_of).items()}

    assert seen(NOW - timedelta(seconds=1)) == {}
    assert seen(NOW) == {"d.p": "v1"}
    assert seen(NOW + timedelta(hours=1)) == {"d.p": "v1", "d.q": "w1"}
    assert seen(3) == seen(None) == {"d.p": "v2", "d.q": "w1"}
    assert seen(2) == {"d.p": "v1", "d.q": "w1"}
    assert [r.id for r in catalog.releases("d.p", "prod")] == [3, 1]


def test_a_crash_is_settled_by_the_next_run(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    first, removed = SqliteCatalog(file), []
    forget = lambda path, keep=(): removed.append(path)  # noqa: E731
    living = first.run("r1", "prod", NOW, ["d.p/r1", "d.q/r1"], forget)
    living.__enter__()
    first.record([version("v1")], [])
    second = SqliteCatalog(file)
    assert second.recover(forget) == [], "a living run is left alone"
    first._db.execute("update intents set path = 'd.p/v1' where path = 'd.p/r1'")
    dead = SqliteCatalog(file)
    first._db.execute("insert into runs values ('r0', 'running', '', '', '', 0)")
    first._db.execute("insert into intents values ('d.x/r0', 'r0')")
    assert dead.recover(forget) == ["r0"]
    assert removed == ["d.x/r0"]
    living.__exit__(None, None, None)
    assert removed == ["d.x/r0", "d.p/v1", "d.q/r1"]
    assert dead.recover(forget) == []


def test_intents_of_what_is_recorded_are_dropped(catalog: SqliteCatalog) -> None:
    removed: list[str] = []
    with catalog.run("r1", "prod", NOW, ["d.p/v1", "d.q/r1"], lambda path, keep=(): removed.append(path)):
        catalog.record([version("v1")], [])
    assert removed == ["d.q/r1"]


def test_what_was_read_is_remembered(catalog: SqliteCatalog) -> None:
    file = SourceFile(path="a", size=1, mtime_ns=2, digest="d")
    states = [SourceState(name="s", digest=f"s{n}", files=(replace(file, digest=f"d{n}"),)) for n in range(8)]
    for state in states:
        catalog.remember([file], [state])
    assert catalog.seen() == {"a": file}
    facts = catalog.facts("prod", lambda v: True)
    assert facts.files("s7") == {"a": "d7"}
    assert facts.files("s0") is None, "only the last few of a source are kept"


def test_a_catalog_that_is_not_there_reads_as_empty(tmp_path: Path) -> None:
    catalog = SqliteCatalog(tmp_path / "no/catalog.db", create=False)
    assert catalog.pointers("prod") == {}
    assert not (tmp_path / "no").exists()


def test_a_damaged_catalog_is_told(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    file.write_bytes(b"not a database, and long enough to be taken for one" * 100)
    with pytest.raises(CatalogError, match=r"cannot use the catalog .*catalog\.db"):
        SqliteCatalog(file)


def test_a_catalog_of_a_newer_assay_is_told(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    SqliteCatalog(file).close()
    with sqlite3.connect(file) as db:
        db.execute("update meta set value = '99' where name = 'schema'")
    with pytest.raises(CatalogError, match="schema version 99; this Assay knows"):
        SqliteCatalog(file)


def test_an_older_catalog_is_migrated_in_one_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "catalog.db"
    SqliteCatalog(file).close()
    monkeypatch.setattr("assay.catalog.sqlite.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    broken = {SCHEMA_VERSION: ["create table more (x integer)", "create nonsense"]}
    monkeypatch.setattr("assay.catalog.sqlite.MIGRATIONS", broken)
    with pytest.raises(CatalogError):
        SqliteCatalog(file)
    monkeypatch.setattr("assay.catalog.sqlite.MIGRATIONS", {SCHEMA_VERSION: ["create table more (x integer)"]})
    migrated = SqliteCatalog(file)
    assert migrated._rows("select count(*) from more") == [(0,)]
    assert SqliteCatalog(file)._schema_version() == SCHEMA_VERSION + 1


def test_a_lock_that_nobody_holds_is_taken_away(catalog: SqliteCatalog, tmp_path: Path) -> None:
    """Of a run that died before it was recorded, or after it was settled; that of a living one stays."""
    (tmp_path / "locks/left").touch()
    with catalog.run("r1", "prod", NOW, [], lambda path, keep=(): None):
        assert catalog.recover(lambda path, keep=(): None) == []
        assert [file.name for file in (tmp_path / "locks").iterdir()] == ["r1"]
    assert not list((tmp_path / "locks").iterdir())


def test_what_was_released_when_stays_as_clocks_are_set_back(catalog: SqliteCatalog) -> None:
    catalog.record([version("v1"), version("v2", code="2")], [verdict("v1"), verdict("v2")])
    release(catalog, Move(product="d.p", version="v1"))
    late = release(catalog, Move(product="d.p", version="v2"), at=NOW - timedelta(days=1))
    assert late.at == NOW
    assert catalog.pointers("prod", NOW - timedelta(hours=1)) == {}
    assert catalog.pointers("prod", NOW)["d.p"].version == "v2"
    elsewhere = release(catalog, Move(product="d.p", version="v1"), at=NOW - timedelta(days=1), environment="dev")
    assert elsewhere.at == NOW - timedelta(days=1), "an environment has a past of its own"
