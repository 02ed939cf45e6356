"""Environments in both databases: created from the pointers of another, dropped, and what stays of them."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from assay.catalog import Catalog
from assay.catalog.environments import Promotion
from assay.catalog.reads import lineage
from assay.errors import Conflict, UsageError
from assay.facts import Environment, Move, Release
from assay.plan.retention import KeepRule
from assay.upkeep.flaws import flaws_of
from assay.upkeep.gc_facts import collect
from tests.catalog.test_catalog import NOW, WAIVER, change, opened, place, verdict, version
from tests.conftest import TO_SCHEMA_3

__all__ = ["opened", "place"]
LATER = NOW + timedelta(hours=1)
TRY = Environment(name="try", parent="prod", created_at=LATER)
OPEN = {"remove": lambda path, keep=frozenset: None, "recorded": 99}


@pytest.fixture
def catalog(opened: Callable[..., Catalog]) -> Catalog:
    """Two products in prod: one of them replaced another version, and one is pinned."""
    catalog = opened()
    made = [version("v1"), version("v2"), version("w1", "d.q")]
    catalog.record(made, [verdict(each.id) for each in made])
    first = [Move(product="d.p", version="v1"), Move(product="d.q", version="w1", pinned=True)]
    publish(catalog, "prod", first, {"d.p": 0, "d.q": 0}, NOW)
    move = Move(product="d.p", version="v2", previous="v1")
    publish(catalog, "prod", [move], {"d.p": 1}, NOW + timedelta(minutes=1))
    return catalog


def publish(catalog: Catalog, environment: str, moves, expects, at=LATER) -> int:
    return catalog.release(environment, moves, expects, run="", at=at, why="w").id


def flaws(catalog: Catalog) -> list[str]:
    versions = {v.id: (v.product, "1") for name in catalog.names() for v in catalog.versions(name)}
    return [flaw.message for flaw in flaws_of(catalog.database.rows, versions, {1: "d.p"})]


def test_a_new_environment_has_the_pointers_of_its_parent(catalog: Catalog) -> None:
    before = flaws(catalog)
    release = catalog.environments.create(TRY)
    assert (release.id, release.at) == (3, LATER)
    copied, prod = catalog.pointers("try"), catalog.pointers("prod")
    assert copied == {name: replace(pointer, release=3) for name, pointer in prod.items()}
    assert catalog.environments.bases("try") == {"d.p": "v2", "d.q": "w1"}
    assert {n: p.version for n, p in catalog.pointers("try", LATER).items()} == {
        "d.p": "v2",
        "d.q": "w1",
    }
    assert catalog.environments.names() == ["prod", "try"]
    assert flaws(catalog) == before
    with pytest.raises(UsageError, match="there is an environment try already"):
        catalog.environments.create(TRY)
    publish(catalog, "try", [Move(product="d.p", version="v1", previous="v2")], {"d.p": 3})
    assert catalog.pointers("try")["d.p"].released_at == LATER, "it is its own from then on"
    assert catalog.pointers("prod") == prod


def test_what_was_copied_from_a_copy_is_as_old(catalog: Catalog) -> None:
    catalog.environments.create(TRY)
    catalog.environments.create(replace(TRY, name="deep", parent="try"))
    assert catalog.pointers("deep")["d.q"].released_at == NOW
    assert lineage(catalog.database, "deep") == {"deep", "try", "prod"}
    assert lineage(catalog.database, "prod") == {"prod"}


def test_it_gets_the_pointers_of_its_parent_again(catalog: Catalog) -> None:
    catalog.environments.create(TRY)
    own = [Move(product="d.p", version="v1", previous="v2"), Move(product="d.r", version="w1")]
    publish(catalog, "try", own, {"d.p": 3, "d.r": 0})
    publish(catalog, "prod", [Move(product="d.q", version="", previous="w1")], {"d.q": 1})
    catalog.environments.create(TRY, again=True)
    now = {n: (p.version, p.previous) for n, p in catalog.pointers("try").items()}
    assert now == {"d.p": ("v2", "v1")}
    assert catalog.environments.bases("try") == {"d.p": "v2"}
    moves = "select product, version, previous from moves where release = 6 order by 1"
    assert catalog.database.rows(moves) == [
        ("d.p", "v2", "v1"),
        ("d.q", "", "w1"),
        ("d.r", "", "w1"),
    ]


def test_an_empty_one_is_there_without_any_release(catalog: Catalog) -> None:
    assert catalog.environments.create(replace(TRY, parent="")) is None
    assert catalog.pointers("try") == {}
    assert catalog.environments.names() == ["prod", "try"]
    assert catalog.environments.drop("try", LATER, "dropped") is None
    assert catalog.environments.names() == ["prod"]


def test_what_its_parents_waive_counts_in_it_and_not_the_other_way_round(catalog: Catalog) -> None:
    catalog.environments.create(TRY)
    catalog.waive(WAIVER)
    catalog.waive(replace(WAIVER, id="w2", environment="try"))
    assert [w.id for w in catalog.waivers("try")] == ["w1", "w2"]
    assert [w.id for w in catalog.waivers("prod")] == ["w1"]


def test_a_dropped_one_leaves_its_versions_to_gc(catalog: Catalog) -> None:
    catalog.environments.create(TRY)
    own = version("v3")
    catalog.record([own], [verdict("v3")])
    publish(catalog, "try", [Move(product="d.p", version="v3", previous="v2")], {"d.p": 3})
    catalog.waive(replace(WAIVER, environment="try"))
    catalog.keep_unfinished("try", ["d.p"])
    dropped = LATER + timedelta(hours=1)
    assert catalog.environments.drop("try", dropped, "dropped").id == 5
    assert (catalog.pointers("try"), catalog.waivers("try")) == ({}, [])
    assert catalog.environments.bases("try") == {} and catalog.unfinished("try") == []
    assert "v3" in {n.version for n in catalog.pointers("try", LATER).values()}, "as of then"
    with pytest.raises(UsageError, match=r"try was dropped\n.*env create try"):
        publish(catalog, "try", [Move(product="d.r", version="v1")], {"d.r": 0})
    with (
        pytest.raises(UsageError, match="try was dropped"),
        catalog.runs.open("r9", "try", LATER, {}, **OPEN),
    ):
        pass
    rule = KeepRule(versions=1, days=30)
    kept = collect(catalog, rule, dropped + timedelta(days=29))
    assert [v.id for v in kept.versions] == []
    gone = collect(catalog, rule, dropped + timedelta(days=31))
    assert [v.id for v in gone.versions] == [], "it is one of the last of d.p that passed"
    assert catalog.database.rows("select count(*) from moves where release in (3, 4, 5)") == [(0,)]
    assert catalog.database.rows("select id from releases where environment = 'try'") == [(5,)]
    assert catalog.environments.names() == ["prod"]
    publish(catalog, "prod", [Move(product="d.p", version="v1", previous="v2")], {"d.p": 2})
    collect(catalog, rule, dropped + timedelta(days=31))
    assert catalog.database.rows("select name from environments") == []
    assert catalog.environments.names() == ["prod"], "no release of it is left"


def test_it_is_not_dropped_while_it_is_in_use(catalog: Catalog) -> None:
    catalog.environments.create(TRY)
    catalog.environments.create(replace(TRY, name="deep", parent="try"))
    with pytest.raises(UsageError, match=r"try is the parent of deep\n  Drop it first"):
        catalog.environments.drop("try", LATER, "")
    with catalog.runs.open("r9", "deep", LATER, {}, **OPEN):
        for attempt in (
            lambda: catalog.environments.drop("deep", LATER, ""),
            lambda: catalog.environments.create(replace(TRY, name="deep"), again=True),
        ):
            with pytest.raises(UsageError, match="the run r9 is working in deep"):
                attempt()
    catalog.environments.drop("deep", LATER, "")
    catalog.environments.drop("try", LATER, "")
    with pytest.raises(UsageError, match="the environment try was dropped"):
        catalog.environments.create(replace(TRY, name="more", parent="try"))
    catalog.environments.create(TRY)
    assert catalog.environments.names() == ["prod", "try"]


def test_promoting_moves_both_pointers_and_what_is_compared(catalog: Catalog) -> None:
    catalog.environments.create(TRY)
    publish(catalog, "try", [Move(product="d.p", version="v1", previous="v2")], {"d.p": 3})
    promotion = Promotion(
        source="try",
        release=Release(id=0, environment="prod", at=LATER, run="", why="promote try"),
        moves=[Move(product="d.p", version="v1", previous="v2")],
        expects={"d.p": 2, "d.q": 1},
        expects_from={"d.p": 4},
    )
    for wrong in ({"expects": {"d.p": 1}}, {"expects_from": {"d.p": 3}}):
        with pytest.raises(Conflict):
            catalog.environments.promote(replace(promotion, **wrong))
        assert catalog.environments.bases("try")["d.p"] == "v2"
    assert catalog.environments.promote(promotion).id == 5
    assert catalog.pointers("prod")["d.p"].version == "v1"
    assert catalog.environments.bases("try") == {"d.p": "v1", "d.q": "w1"}


def test_those_of_an_older_catalog_are_taken_over(opened: Callable[..., Catalog]) -> None:
    catalog = opened()
    catalog.record([version("v1")], [verdict("v1")])
    for environment in ("prod", "try"):
        publish(catalog, environment, [Move(product="d.p", version="v1")], {"d.p": 0}, NOW)
    with catalog.runs.open("r9", "idle", LATER, {}, **OPEN):
        pass
    for statement in TO_SCHEMA_3:
        change(catalog, statement)
    found = {each.name: each for each in opened().environments.all()}
    assert [*found] == ["idle", "prod", "try"]
    assert found["try"] == Environment(name="try", parent="", created_at=NOW)
