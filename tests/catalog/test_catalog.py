"""The catalog: atomic, compare-and-swap, judged before published, honest about what it cannot use."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from assay.catalog import Catalog, open_catalog
from assay.catalog.arrivals import KEPT
from assay.catalog.codes import CodeTexts
from assay.catalog.copying import copy
from assay.catalog.differences import add_figures, figures_between, figures_to
from assay.catalog.owner import owner
from assay.catalog.rows import ids_of, ranges
from assay.catalog.schema import SCHEMA_VERSION, tables
from assay.errors import CatalogDamaged, CatalogError, Conflict, UsageError
from assay.facts import (
    Arrival,
    Figures,
    Move,
    Part,
    PartFindings,
    RuleResult,
    SourceFile,
    SourceState,
    Status,
    TotalChange,
    UndeclaredColumn,
    Verdict,
    Version,
)
from assay.model import Column, Waiver
from assay.plan.digests import code_of, key_of
from assay.plan.retention import KeepRule
from assay.upkeep.gc_facts import collect
from assay.upkeep.gc_files import obsolete_files
from assay.upkeep.gc_sources import forget_sources
from tests.conftest import TO_SCHEMA_3

NOW = datetime(2011, 12, 9, 7, 30, 1, 123456, tzinfo=UTC)


FIGURES = Figures(
    rows_before=33,
    rows_after=34,
    new=1,
    gone=0,
    totals=(
        TotalChange(column="net", before="1856734.95", after="2029852.38"),
        TotalChange(column="rate", before=None, after=0.1),
        TotalChange(column="n", before=3, after=2**70),
    ),
)
WAIVER = Waiver(
    id="w1",
    product="d.p",
    rule="small",
    until=date(2012, 1, 31),
    because="known",
    author="ann",
    approved_by="cfo",
    at=NOW,
    environment="prod",
    parts=("2011-12-09",),
    rows={"2011-12-09": ("a", "a", "b")},
    most_measured=0.5,
)


@pytest.fixture(params=["sqlite", "postgres"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path | str:
    """Where a catalog can be made, in each kind of database."""
    monkeypatch.setattr("assay.catalog.postgres_runs.GRACE", 0)
    return (
        tmp_path / "catalog.db" if request.param == "sqlite" else request.getfixturevalue("address")
    )


@pytest.fixture
def opened(place: Path | str) -> Iterator[Callable[..., Catalog]]:
    """Opens the catalog there, as often as it is called, each time as another process would."""
    all_of_them = []

    def another(**options: bool) -> Catalog:
        all_of_them.append(open_catalog(place, **options))
        return all_of_them[-1]

    yield another
    for one in all_of_them:
        one.close()


@pytest.fixture
def catalog(opened: Callable[..., Catalog]) -> Catalog:
    return opened()


def note(catalog: Catalog, name: str) -> str:
    """Return a note about the catalog as a whole."""
    [(value,)] = catalog.database.rows("select value from meta where name = ?", [name])
    return str(value)


def change(catalog: Catalog, sql: str) -> None:
    """Change the tables behind the catalog's back."""
    catalog.database.write(lambda writer: writer.execute(sql))


def version(id: str, product: str = "d.p", code: str = "1") -> Version:
    return Version(
        id=id,
        product=product,
        key=key_of(code_of({"sql": code}), {"d.s": "s1"}),
        digest=f"content {id}",
        columns=(Column(name="a\n'\"", type="DECIMAL(18,2)"),),
        rows=3,
        bytes=99,
        built_at=NOW,
        seconds=0.25,
        run="r1",
        parts=(Part(path=f"{product}/{id}/data.parquet", rows=3, bytes=99, checksum="c"),),
        data_as_of=datetime(2011, 12, 8),
    )


def told(version: Version | None) -> Version | None:
    """Return a version as it was recorded: without the numbers that its parts have in the catalog."""
    return version and replace(version, parts=tuple(replace(part, id=0) for part in version.parts))


def verdict(id: str, status: Status = Status.PASSED) -> Verdict:
    result = RuleResult(
        text="r",
        status=status,
        failing=1,
        samples=({"a": None, "b": "ü"},),
        because="why",
        owner="o",
    )
    return Verdict(
        version=id,
        contract="c",
        against="",
        status=status,
        results=(result,),
        judged_at=NOW,
        run="r1",
    )


def release(
    catalog: Catalog, *moves: Move, at: datetime = NOW, environment: str = "prod", **expects: int
):
    """Release moves that expect what is there, but for what `expects` says (product d.NAME to release)."""
    there = {name: pointer.release for name, pointer in catalog.pointers(environment).items()}
    wanted = {m.product: there.get(m.product, 0) for m in moves} | {
        f"d.{n}": r for n, r in expects.items()
    }
    return catalog.release(environment, moves, wanted, run="r1", at=at, why="test")


def test_facts_come_back_as_they_were(catalog: Catalog) -> None:
    catalog.record([version("v1")], [verdict("v1")])
    facts = catalog.facts("prod", lambda version: True)
    assert told(facts.version("v1")) == version("v1")
    assert facts.verdict("v1", "c", "") == verdict("v1")
    assert told(facts.find("d.p", version("v1").key.digest)) == version("v1")
    assert told(facts.latest("d.p")) == version("v1")
    assert facts.has_code("d.p", version("v1").key.code.digest)
    assert not facts.has_code("d.p", "else")
    assert facts.find("d.p", "else") is None
    assert facts.verdict("v1", "other", "") is None
    gone = catalog.facts("prod", lambda version: False)
    assert gone.find("d.p", version("v1").key.digest) is None
    assert told(gone.lost("d.p", version("v1").key.digest)) == version("v1")


def test_a_release_is_all_or_nothing(catalog: Catalog) -> None:
    catalog.record([version("v1"), version("w1", "d.q")], [verdict("v1")])
    with pytest.raises(CatalogError, match="unjudged"):
        release(catalog, Move(product="d.p", version="v1"), Move(product="d.q", version="w1"))
    assert catalog.pointers("prod") == {}
    assert catalog.releases("d.p", "prod") == []


@pytest.mark.parametrize("status", [Status.FAILED, Status.ERROR])
def test_nothing_but_a_passing_verdict_lets_a_version_out(catalog: Catalog, status: Status) -> None:
    catalog.record([version("v1"), version("v2")], [verdict("v1"), verdict("v2", status)])
    with pytest.raises(CatalogError, match="unjudged"):
        release(catalog, Move(product="d.p", version="v2"))
    release(catalog, Move(product="d.p", version="v1"))
    with pytest.raises(CatalogError, match="unjudged"):
        release(catalog, Move(product="d.p", version="v2"))
    assert catalog.pointers("prod")["d.p"].version == "v1"


def test_the_loser_of_two_releases_is_told(catalog: Catalog) -> None:
    catalog.record(
        [version("v1"), version("v2"), version("w1", "d.q")],
        [verdict("v1"), verdict("v2"), verdict("w1")],
    )
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
        catalog.release(
            "prod", [Move(product="d.q", version="w1")], {}, run="r1", at=NOW, why="test"
        )


def test_the_past_is_seen_as_it_was(catalog: Catalog) -> None:
    catalog.record(
        [version("v1"), version("v2"), version("w1", "d.q")],
        [verdict("v1"), verdict("v2"), verdict("w1")],
    )
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


def test_a_crash_is_settled_by_the_next_run(opened: Callable[..., Catalog]) -> None:
    first, second, removed = opened(), opened(), []
    forget = lambda path, keep=frozenset: removed.append((path, *sorted(keep())))
    living = first.runs.open("v1", "prod", NOW, {"d.p": "k", "d.q": ""}, forget, recorded=0)
    living.__enter__()
    first.record([replace(version("v1"), run="r0")], [])
    assert second.runs.recover(forget) == [], "a living run is left alone"
    change(
        second,
        "insert into runs (id, state, started_at, environment, host, pid) values ('r0', 'running', '', '', '', 0)",
    )
    change(second, "insert into intents values ('d.x/r0', 'r0')")
    assert opened().runs.recover(forget) == ["r0"]
    assert removed == [("d.x/r0",)]
    living.__exit__(None, None, None)
    assert removed == [("d.x/r0",), ("d.p/v1", "d.p/v1/data.parquet"), ("d.q/v1",)]
    assert second.runs.recover(forget) == []
    change(second, "insert into intents values ('d.x/r0', 'r0')")
    assert second.runs.recover(forget) == ["r0"], "whoever settled it died on the way"


def test_a_lock_that_cannot_be_read_is_an_error_of_the_catalog(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path / "catalog.db")
    assert catalog.database.is_dead("r1"), "a run without a lock is dead"
    (tmp_path / "locks/r1").mkdir(parents=True)
    for ask in (lambda: catalog.database.is_dead("r1"), catalog.database.remove_dead_locks):
        with pytest.raises(CatalogError, match=r"cannot use the catalog .*catalog\.db: .*locks/r1"):
            ask()
    catalog.close()


def test_a_run_that_was_taken_for_dead_stops(opened: Callable[..., Catalog]) -> None:
    first, second, removed = opened(), opened(), []
    forget = lambda path, keep=frozenset: removed.append((path, *sorted(keep())))
    with (
        pytest.raises(CatalogError, match=r"v1 was taken for dead[\s\S]*run it again"),
        first.runs.open("v1", "prod", NOW, {"d.p": "k", "d.q": ""}, forget, recorded=0),
    ):
        first.record([replace(version("v1"), run="v1")], [verdict("v1")])
        change(second, "update runs set state = 'crashed' where id = 'v1'")
        assert second.runs.recover(forget) == ["v1"]
        assert removed == [("d.q/v1",)]
        release(first, Move(product="d.p", version="v1"))
    assert removed[1:] == [("d.p/v1", "d.p/v1/data.parquet"), ("d.q/v1",)], (
        "what it wrote since is removed too"
    )
    assert second.pointers("prod") == {}
    with second.runs.open("r2", "prod", NOW, {}, forget, recorded=0):
        release(second, Move(product="d.p", version="v1"))


def test_intents_of_what_is_recorded_are_dropped(catalog: Catalog) -> None:
    removed: list[str] = []
    with catalog.runs.open(
        "v1",
        "prod",
        NOW,
        {"d.p": "k", "d.q": ""},
        lambda path, keep=frozenset: removed.append(path),
        recorded=0,
    ):
        catalog.record([replace(version("v1"), run="v1")], [])
    assert removed == ["d.q/v1"]


def test_what_a_living_run_may_build_nobody_else_builds(opened: Callable[..., Catalog]) -> None:
    first, second = opened(), opened()
    keep = lambda path, keep=frozenset: None
    with first.runs.open(
        "r1", "prod", NOW, {"d.p": "k", "d.q": "", "d.r": "k"}, keep, recorded=0
    ) as held:
        assert held == {}
        wanted = {"d.p": "k", "d.q": "k", "d.r": "other", "d.s": "k"}
        with second.runs.open(
            "r2", "dev", NOW + timedelta(seconds=1), wanted, keep, recorded=0
        ) as busy:
            assert {name: holder.run for name, holder in busy.items()} == {"d.p": "r1", "d.q": "r1"}
            assert (busy["d.p"].since, busy["d.p"].environment, busy["d.p"].pid) == (
                NOW,
                "prod",
                os.getpid(),
            )
            third = opened()
            assert {
                n: h.run for n, h in third.runs.holders({"d.p", "d.r", "d.s", "d.t"}).items()
            } == {
                "d.p": "r1",
                "d.r": "r2",
                "d.s": "r2",
            }
        first.record([version("v1")], [verdict("v1")])
        release(first, Move(product="d.p", version="v1"))
        with second.runs.open(
            "r3", "prod", NOW, {"d.p": "k", "d.q": "k"}, keep, recorded=1
        ) as late:
            assert list(late) == ["d.q"], "what is released is free"
    assert not first.runs.holders({"d.p", "d.q", "d.r", "d.s"})
    with (
        pytest.raises(Conflict, match=r"d\.p was built by another run"),
        second.runs.open("r5", "prod", NOW, {"d.p": "k"}, keep, recorded=0),
    ):
        raise AssertionError("it decided on what was there before")
    change(
        first,
        "insert into runs (id, state, started_at, environment, host, pid) values ('r0', 'running', '2020-01-01T00:00:00+00:00', 'prod', 'h', 1)",
    )
    change(first, "insert into claims values ('d.p', 'k', 'r0')")
    with second.runs.open("r4", "prod", NOW, {"d.p": "k"}, keep, recorded=1) as held:
        assert held == {}, "the dead hold nothing"


def test_a_file_is_replaced_when_the_last_part_leaves_it(catalog: Catalog) -> None:
    """Some leave it, and hours later the others: until then readers were sent there."""
    parts = tuple(
        Part(
            key=str(n),
            path="d.p/r1/0.parquet",
            rows=1,
            bytes=1,
            checksum="",
            of=3,
            start=n,
            built_from=f"m{n}",
        )
        for n in range(3)
    )
    [recorded] = catalog.record([replace(version("v1"), parts=parts)])
    first, second, third = ([replace(p, path=f"d.p/gc{p.key}/0.parquet")] for p in recorded.parts)
    catalog.relocate(first, NOW)
    assert obsolete_files(catalog) == [], "there are others in it"
    later = NOW + timedelta(hours=5)
    catalog.relocate([*second, *third], later)
    [file] = obsolete_files(catalog)
    assert (file.path, file.since, file.last_seen) == (
        "d.p/r1/0.parquet",
        later,
        later.isoformat(timespec="microseconds"),
    )
    catalog.relocate([replace(first[0], path="d.p/r1/0.parquet")], later)  # as a repair may
    catalog.relocate(first, NOW)
    [file] = obsolete_files(catalog)
    assert (file.path, file.since) == ("d.p/r1/0.parquet", later), "never earlier"


def test_what_was_read_is_remembered(catalog: Catalog) -> None:
    file = SourceFile(path="a", size=1, ctime_ns=2, digest="d")
    states = [
        SourceState(name="s", digest=f"s{n}", files=(replace(file, digest=f"d{n}"),))
        for n in range(8)
    ]
    for state in states:
        catalog.sources.remember([state], seen=NOW)
    assert catalog.sources.last_seen(["s"]) == {"a": replace(file, digest="d7")}
    catalog.sources.remember(
        [replace(states[4], files=(replace(file, digest="d4", ctime_ns=3),))], seen=NOW
    )
    assert catalog.sources.last_seen(["s"]) == {"a": replace(file, digest="d4", ctime_ns=3)}, (
        "what was last there, also again"
    )
    catalog.sources.remember(
        [SourceState(name="t", digest="t", files=(replace(file, path="b"),))], seen=NOW
    )
    assert catalog.sources.last_seen(["t", "s"]).keys() == {"a", "b"}
    assert catalog.sources.last_seen(["t"]).keys() == {"b"}
    assert catalog.sources.last_seen([]) == {}
    now = (replace(file, digest="now"),)  # of two that are declared alike, one is remembered
    catalog.sources.remember(
        [
            SourceState(name="s", digest="both", files=now),
            SourceState(name="t", digest="both", files=now),
        ],
        seen=NOW,
    )
    assert catalog.sources.last_seen(["s", "t"])["a"].digest == "now"
    assert (
        forget_sources(catalog, {"s"}, dry=True)
        == forget_sources(catalog, {"s"}, dry=False)
        == ["t"]
    )
    assert catalog.sources.last_seen(["t", "s"]).keys() == {"a"}, (
        "what is not declared any more is forgotten"
    )
    assert forget_sources(catalog, {"s"}, dry=False) == []
    facts = catalog.facts("prod", lambda v: True)
    assert facts.files("s7") == {"a": "d7"}
    assert facts.files("s0") is None, "only the last few of a source are kept"


def test_undeclared_columns_are_known_by_the_first_file_that_has_them(catalog: Catalog) -> None:
    def column(name: str, file: str, seen: datetime = NOW) -> UndeclaredColumn:
        return UndeclaredColumn(source="s", name=name, part=file, file=file, seen=seen)

    later = NOW + timedelta(days=1)
    given = [column("x", "b"), column("y", "b"), column("x", "a", later), column("y", "c", later)]
    for each in given:
        catalog.sources.add_inspected([], [("r", each)])
    assert catalog.undeclared.any()
    assert catalog.undeclared.of({"s": "r"}) == [column("x", "a"), column("y", "b")]
    assert catalog.undeclared.of({"s": "other", "t": "r"}) == []
    catalog.undeclared.forget({"s": "r"})
    assert len(catalog.undeclared.of({"s": "r"})) == 2
    catalog.undeclared.forget({"s": "other"})
    assert catalog.undeclared.of({"s": "r"}) == [] and not catalog.undeclared.any()


def test_arrivals_are_kept_the_newest_last(catalog: Catalog) -> None:
    def arrival(source: str, n: int) -> Arrival:
        at = NOW + timedelta(days=n)
        return Arrival(source=source, part=f"p{n}", at=at, seen=at + timedelta(minutes=5))

    drops = [arrival("s", n) for n in range(KEPT + 10)]
    catalog.arrivals.record(drops)
    catalog.arrivals.record([*drops, arrival("t", 1)])
    catalog.arrivals.record([])
    assert catalog.arrivals.of("s") == drops[10:]
    assert catalog.arrivals.of("s", 2) == drops[-2:]
    assert catalog.arrivals.of("u") == []
    assert catalog.arrivals.of_all(3) == {"s": drops[-3:], "t": [arrival("t", 1)]}
    forget_sources(catalog, {"s", "t"}, dry=True)
    assert catalog.arrivals.of("s", 1000) == drops
    forget_sources(catalog, {"s"}, dry=False)
    assert catalog.arrivals.of_all(1000) == {"s": drops[10:]}


def test_the_last_event_of_files_is_remembered_by_content(catalog: Catalog) -> None:
    days = {f"d{n}": datetime(2024, 1, 1) + timedelta(days=n) for n in range(200)}
    catalog.sources.add_inspected([(digest, "r at", day) for digest, day in days.items()])
    catalog.sources.add_inspected([("empty", "r at", None), ("d0", "r", None), ("z", "r z", NOW)])
    assert catalog.sources.inspected("r at") == {**days, "empty": None}
    assert catalog.sources.inspected("r z") == {"z": NOW}
    assert catalog.sources.inspected("r") == {"d0": None}
    last = datetime(2030, 1, 1, tzinfo=UTC)
    latest = catalog.sources.latest_event
    assert latest("r at", days, last) == days["d199"]
    assert latest("r at", days, datetime(2024, 1, 8, 12, tzinfo=UTC)) == days["d7"]
    assert latest("r at", {"d3", "d1"}, last) == days["d3"], "however many newer ones there are"
    assert latest("r at", {"empty", "d500"}, last) is None
    assert latest("r z", {"z"}, NOW) == NOW
    assert latest("r z", {"z"}, NOW - timedelta(seconds=1)) is None


def test_a_catalog_that_is_not_there_reads_as_empty(
    opened: Callable[..., Catalog], place: Path | str
) -> None:
    catalog = opened(create=False)
    assert catalog.pointers("prod") == {}
    assert catalog.versions("d.p") == []
    if isinstance(place, Path):
        assert not place.exists()
    opened().record([version("v1")])
    assert told(opened(create=False).version("v1")) == version("v1")


def test_a_damaged_catalog_is_told(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    file.write_bytes(b"not a database, and long enough to be taken for one" * 100)
    with pytest.raises(CatalogError, match=r"cannot use the catalog .*catalog\.db"):
        open_catalog(file)


def test_a_catalog_of_an_older_assay_is_brought_up_or_told(opened: Callable[..., Catalog]) -> None:
    catalog = opened()
    catalog.record([version("v1")], [verdict("v1")])
    for statement in TO_SCHEMA_3:
        change(catalog, statement)
    change(
        catalog,
        "insert into listings (digest, source, files) values ('s1', 's', '{\"a.csv\": \"d\"}')",
    )
    assert opened().version("v1") == catalog.version("v1")
    assert catalog.runs.holders({"d.p"}) == {}
    assert catalog.sources.last_seen(["s"]) == {}, "files are read once more"
    change(catalog, "update meta set value = '2' where name = 'schema'")
    with pytest.raises(CatalogError, match=r"schema version 2, from before[^$]*Move it"):
        opened()
    assert [v.id for v in catalog.versions("d.p")] == ["v1"]


def test_waivers_are_recorded_once_and_can_be_withdrawn(opened: Callable[..., Catalog]) -> None:
    catalog = opened()
    catalog.waive(WAIVER)
    catalog.waive(replace(WAIVER, because="another reason"))
    everywhere = replace(WAIVER, id="w2", environment="", most_rows=2, at=NOW + timedelta(hours=1))
    catalog.waive(everywhere)
    assert opened().waivers("prod") == [WAIVER, everywhere]
    assert opened().waivers("dev") == [everywhere]
    catalog.withdraw_waiver("w1", NOW)
    catalog.withdraw_waiver("w1", NOW + timedelta(days=1))
    assert opened().waivers() == [replace(WAIVER, withdrawn=NOW), everywhere]


def test_which_waivers_were_used_is_kept_by_environment(opened: Callable[..., Catalog]) -> None:
    catalog = opened()
    used = replace(verdict("v1").results[0], waived="until", waived_by=("w1", "w2"))
    waived = replace(verdict("v1", Status.WARNING), results=(used,), run="r1")
    with catalog.runs.open("r1", "dev", NOW, {}, lambda path, keep=frozenset: None, recorded=0):
        catalog.record([version("v1")], [waived])
        catalog.record([], [replace(waived, against="again")])
    assert opened().waivers_used("dev") == {"w1", "w2"}
    assert opened().waivers_used("prod") == set()
    catalog.waive(replace(WAIVER, environment="dev"))
    indexes = ("runs_when", "versions_run", "verdicts_run", "verdicts_when", "promises_due")
    later = (
        "drop table approvals",
        "alter table runs drop column who",
        *(f"drop index {index}" for index in indexes),
        "alter table restatements drop column approved_by",
        "drop table environments",
        "drop table bases",
        "drop table undeclared_columns",
        "alter table pointers drop column first_at",
        "alter table parts drop column aside",
        "alter table parts drop column rows_in",
    )
    for statement in ("drop table waivers_used", "drop table differences", *later):
        change(catalog, statement)
    change(catalog, "update meta set value = '11' where name = 'schema'")
    assert opened().waivers_used("dev") == {"w1"}, "as far as an older catalog knows"


def test_figures_of_two_versions_are_recorded_once(opened: Callable[..., Catalog]) -> None:
    catalog = opened()
    catalog.write(partial(add_figures, before="v1", after="v2", figures=FIGURES))
    other = replace(FIGURES, new=9)
    catalog.write(partial(add_figures, before="v1", after="v2", figures=other))
    assert figures_between(opened().database, "v1", "v2") == FIGURES
    assert figures_to(opened().database, "v2") == FIGURES
    assert figures_between(opened().database, "v2", "v1") is None
    assert catalog.facts("prod", lambda parts: True).difference("v1", "v2") == FIGURES


def test_a_withdrawn_waiver_publishes_nothing(catalog: Catalog) -> None:
    catalog.record([version("v1")], [verdict("v1")])
    catalog.waive(WAIVER)
    catalog.withdraw_waiver("w1", NOW)
    with pytest.raises(Conflict, match=r"w1 of d\.p was withdrawn meanwhile"):
        release(catalog, Move(product="d.p", version="v1", waivers=("w0", "w1")))
    assert catalog.pointers("prod") == {}
    release(catalog, Move(product="d.p", version="v1", waivers=("w0",)))


def test_a_catalog_of_a_newer_assay_is_told(opened: Callable[..., Catalog]) -> None:
    catalog = opened()
    with (
        pytest.raises(CatalogError, match=r"schema version 99; this Assay knows[^$]*Upgrade"),
        catalog.runs.open("r1", "prod", NOW, {}, lambda path, keep=frozenset: None, recorded=0),
    ):
        change(catalog, "update meta set value = '99' where name = 'schema'")
        catalog.record([version("v1")])
    assert catalog.versions("d.p") == [], "also to those who had it open"
    for create in (True, False):
        with pytest.raises(CatalogError, match="schema version 99; this Assay knows"):
            opened(create=create)


def test_tables_that_are_not_of_the_schema_they_say_are_damage(
    opened: Callable[..., Catalog],
) -> None:
    """As of a catalog that was forged, or put together from two."""
    change(opened(), "update meta set value = '3' where name = 'schema'")
    with pytest.raises(
        CatalogDamaged,
        match=r"already exists[\s\S]*not those that this Assay makes[\s\S]*Without one",
    ):
        opened()


def test_an_older_catalog_is_migrated_in_one_transaction(
    opened: Callable[..., Catalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened().record([version("v1")])
    monkeypatch.setattr("assay.catalog.schema.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    broken = {SCHEMA_VERSION: ["create table more (x integer)", "create nonsense"]}
    monkeypatch.setattr("assay.catalog.schema.MIGRATIONS", broken)
    with pytest.raises(CatalogError):
        opened()
    monkeypatch.setattr(
        "assay.catalog.schema.MIGRATIONS", {SCHEMA_VERSION: ["create table more (x integer)"]}
    )
    migrated = opened()
    assert migrated.database.rows("select count(*) from more") == [(0,)]
    assert opened().database.schema_version() == SCHEMA_VERSION + 1
    assert told(migrated.version("v1")) == version("v1")


# ---------------------------------------------------------------------------------------------- copying


def full(catalog: Catalog) -> None:
    """Record something of every kind, in an order that is not that of their keys."""
    names = ["d.ü", "d.p", "d.Z", "d.a b"]
    made = [version(f"v{n}", name) for n, name in enumerate(names)]
    judged = [PartFindings(part=1, rules="r", results={"a": 1.5})]
    with catalog.runs.open(
        "r1", "prod", NOW, {"d.p": ""}, lambda path, keep=frozenset: None, recorded=0
    ):
        for one in made:
            recorded = catalog.record(
                [one], [verdict(one.id), replace(verdict(one.id), contract="0")], judged
            )
    release(catalog, *(Move(product=one.product, version=one.id) for one in made))
    release(catalog, Move(product="d.p", version="v1"), at=NOW + timedelta(hours=1))
    catalog.relocate([replace(recorded[0].parts[0], path="else", of=9)], NOW)
    files = [
        SourceFile(path=path, size=2**40, ctime_ns=2**62, digest="d")
        for path in ("z/ü.csv", "Z.csv", "a.csv")
    ]
    catalog.sources.remember(
        [SourceState(name="s", digest=name, files=tuple(files)) for name in "zax"],
        [Arrival(source="s", part="ü", at=NOW, seen=NOW)],
        seen=NOW,
    )
    column = UndeclaredColumn(source="s", name="", part="b", file="b.csv", seen=NOW)
    columns = [column, replace(column, name="x"), replace(column, part="a", file="a.csv")]
    catalog.sources.add_inspected([("d", "reading", NOW)], [("reading", c) for c in columns])


def everything(catalog: Catalog) -> dict[str, list]:
    return {
        t.name: sorted(map(str, catalog.database.rows(f"select * from {t.name}")))
        for t in tables()
        if t.name not in {"verdicts", "listings", "meta"}
    }


@pytest.mark.parametrize("chunk", [1, 3, 2000])
def test_a_catalog_is_copied_to_another_database_and_back(
    tmp_path: Path, address: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.catalog.copying._CHUNK", chunk)
    places = [tmp_path / "a/catalog.db", address, tmp_path / "b/catalog.db"]
    catalogs = [open_catalog(place) for place in places]
    full(catalogs[0])
    catalogs[0].waive(WAIVER)
    code = CodeTexts(digest="c", tools={}, files={"a.py": "ü\n"}, declared={"d.p": "{}"})
    with catalogs[0].runs.open("r9", "prod", NOW, {}, lambda path: None, recorded=0):
        catalogs[0].codes.record("r9", "c", lambda: code)
    used = replace(verdict("v0").results[0], waived="until", waived_by=("w1",))
    catalogs[0].record([], [replace(verdict("v0"), against="w", run="r1", results=(used,))])
    catalogs[0].write(partial(add_figures, before="v0", after="v1", figures=FIGURES))
    there = copy(catalogs[0], catalogs[1], tmp_path / "store")
    back = copy(catalogs[1], catalogs[2], tmp_path / "store")
    assert there == back
    assert {item.table: item.rows for item in there} == {
        "meta": 0,
        "runs": 2,
        "intents": 0,
        "claims": 0,
        "environments": 0,
        "bases": 0,
        "versions": 4,
        "parts": 4,
        "replaced": 1,
        "judged_parts": 1,
        "verdicts": 9,
        "restatements": 0,
        "waivers": 1,
        "waivers_used": 1,
        "differences": 1,
        "approvals": 0,
        "releases": 2,
        "moves": 5,
        "pointers": 4,
        "listings": 3,
        "inspected": 1,
        "windows": 0,
        "promises": 0,
        "arrivals": 1,
        "undeclared_columns": 2,
        "incidents": 0,
        "notices": 0,
        "codes": 1,
        "texts": 2,
    }
    assert everything(catalogs[0]) == everything(catalogs[1]) == everything(catalogs[2])
    assert note(catalogs[0], "moved") == catalogs[1].name
    assert note(catalogs[2], "store") == owner(tmp_path / "store").id
    for catalog in catalogs:
        assert [v.contract for v in catalog.verdicts("v1")] == ["0", "c"], "the newest first"
        assert catalog.pointers("prod", 1).keys() == {"d.ü", "d.p", "d.Z", "d.a b"}
    release(catalogs[2], Move(product="d.a b", version="v3"), at=NOW + timedelta(hours=2))
    assert catalogs[2].last_release("prod").id == 3, "it goes on from there"
    for old, new in pairwise(catalogs):
        with pytest.raises(CatalogError, match=f"was moved to {new.name}"):
            release(old, Move(product="d.a b", version="v3"), at=NOW + timedelta(hours=2))
    with pytest.raises(UsageError, match="is not empty"):
        copy(catalogs[0], catalogs[1], tmp_path / "store")
    for catalog in catalogs:
        catalog.close()


def test_a_lock_that_nobody_holds_is_taken_away(tmp_path: Path) -> None:
    """Of a run that died before it was recorded, or after it was settled; that of a living one stays."""
    catalog = open_catalog(tmp_path / "catalog.db")
    (tmp_path / "locks/left").touch()
    with catalog.runs.open("r1", "prod", NOW, {}, lambda path, keep=frozenset: None, recorded=0):
        assert catalog.runs.recover(lambda path, keep=frozenset: None) == []
        assert [file.name for file in (tmp_path / "locks").iterdir()] == ["r1"]
    assert not list((tmp_path / "locks").iterdir())
    catalog.close()


def test_what_came_out_as_something_else_is_no_copy(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = open_catalog(tmp_path / "catalog.db"), open_catalog(address)
    with pytest.raises(UsageError, match="nothing to copy"):
        copy(source, target, tmp_path / "store")
    full(source)
    with (
        source.runs.open("r2", "prod", NOW, {}, lambda path, keep=frozenset: None, recorded=0),
        pytest.raises(UsageError, match="run r2 is using"),
    ):
        copy(source, target, tmp_path / "store")
    target.database.write(
        lambda w: w.define(
            "create function bad() returns trigger language plpgsql as $$ begin new.why = 'other'; return new; end $$"
        )
    )
    target.database.write(
        lambda w: w.define(
            "create trigger bad before insert on releases for each row execute function bad()"
        )
    )
    with pytest.raises(CatalogError, match="releases came out as something else"):
        copy(source, target, tmp_path / "store")
    assert target.versions("d.p") == []
    change(target, "drop trigger bad on releases")
    assert copy(source, target, tmp_path / "store")
    source.close()
    target.close()


LATER = NOW + timedelta(days=90)


def test_a_run_that_is_to_use_what_is_gone_is_turned_away(opened: Callable[..., Catalog]) -> None:
    catalog, other = opened(), opened()
    for id in ("v1", "v2"):
        catalog.record([version(id)], [verdict(id)])
        release(catalog, Move(product="d.p", version=id))
    found = catalog.version("v1")
    assert [v.id for v in collect(other, KeepRule(versions=1, days=1), LATER).versions] == ["v1"]
    assert catalog.database.rows("select version from verdicts") == [("v2",)]
    with pytest.raises(Conflict, match="gc has removed v1"):
        release(catalog, Move(product="d.p", version="v1"))
    with pytest.raises(Conflict, match="gc has removed a part"):
        catalog.record([replace(version("v3"), parts=found.parts)])
    assert [v.id for v in catalog.versions("d.p")] == ["v2"]
    assert [file.path for file in obsolete_files(catalog)] == ["d.p/v1/data.parquet"]


def test_parts_of_a_killed_run_go_after_a_day(opened: Callable[..., Catalog]) -> None:
    catalog = opened()
    with catalog.runs.open("r1", "prod", NOW, {"d.p": ""}, lambda *_, **__: None, recorded=0):
        stray = Part(
            key="1",
            path="d.p/r1/1.parquet",
            rows=1,
            bytes=5,
            checksum="c",
            built_from="m",
            digest="d",
        )
        catalog.record_parts("d.p", [stray])
        catalog.record([version("v1")], [verdict("v1")])
    assert not collect(catalog, KeepRule(), NOW + timedelta(hours=23)).files
    assert [
        file.path for file in collect(catalog, KeepRule(), NOW + timedelta(hours=25)).files
    ] == ["d.p/r1/1.parquet"]


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([], ""),
        ([4], "4"),
        ([1, 2, 3, 7], "1-3,7"),
        ([7, 10, 13], "7-13/3"),
        ([7, 10], "7,10"),
        ([1, 5, 6, 7, 3], "1,5-7,3"),
        ([9, 8, 7], "9,8,7"),
    ],
)
def test_parts_are_kept_as_ranges(ids: list[int], text: str) -> None:
    assert (ranges(ids), ids_of(text)) == (text, ids)


@given(st.lists(st.integers(1, 60), unique=True) | st.sets(st.integers(1, 60)).map(sorted))
def test_ranges_give_back_the_parts_in_their_order(ids: list[int]) -> None:
    assert ids_of(ranges(ids)) == ids


@pytest.mark.parametrize(
    "text", ["1-9/0", "1-9/-1", "3-1", "0-2", "-2", "1-99999999999", "1,", "1-3/2/2", "a"]
)
def test_a_text_that_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        ids_of(text)


def test_a_file_gives_back_the_room_of_what_it_let_go_of(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path / "catalog.db")
    database = catalog.database
    rows = [(f"n{number}", "x" * 1000) for number in range(3000)]
    catalog.write(lambda writer: writer.many("insert into meta values (?, ?)", rows))
    catalog.write(lambda writer: writer.execute("delete from meta where name like 'n%'"))
    before = (tmp_path / "catalog.db").stat().st_size
    database.shrink()
    assert database.rows("pragma freelist_count") == [(0,)]
    catalog.close()
    assert (tmp_path / "catalog.db").stat().st_size < before // 2
