"""Approvals in both databases: each counts once, and a release that uses it fails if it was withdrawn."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from assay.approvals import Approval
from assay.catalog import Catalog
from assay.errors import Conflict, UsageError
from assay.facts import Move
from assay.plan.approvals import logic_of
from assay.plan.digests import code_of
from tests.catalog.test_catalog import NOW, opened, place, verdict, version

__all__ = ["opened", "place"]
APPROVAL = Approval(
    id="a1",
    product="d.p",
    environment="prod",
    version="v1",
    approver="cfo@shop.example",
    because="agreed: 'ü'",
    author="anna",
    content="content v1",
    logic=logic_of(code_of({"sql": "1"})),
    findings="f",
    at=NOW,
)
DECLARED = Approval(
    id="a2",
    product="d.p",
    environment="prod",
    version="v1",
    approver="chair@shop.example",
    because="in the file",
    author="products/approvals.py:2",
    where="products/approvals.py:2",
)


@pytest.fixture
def catalog(opened: Callable[..., Catalog]) -> Catalog:
    catalog = opened()
    catalog.record([version("v1"), replace(version("v2"), digest="content v1")], [verdict("v1")])
    return catalog


def released(catalog: Catalog, *approvals: Approval) -> int:
    move = Move(product="d.p", version="v1", approvals=approvals)
    expects = {"d.p": 0}
    return catalog.release("prod", [move], expects, run="r1", at=NOW, why="materialize").id


def test_an_approval_is_read_as_it_was_recorded(
    catalog: Catalog, opened: Callable[..., Catalog]
) -> None:
    catalog.approvals.record(APPROVAL)
    assert opened().approvals.of("prod") == [APPROVAL]
    assert opened().approvals.of("try") == []
    given = opened().approvals.given("prod", version("v1"))
    assert list(given.approvals) == [APPROVAL]
    assert given.same == {"v1", "v2"}, "the same content by the same code"
    assert given.author == "", "nothing is known of its run"


def test_nobody_approves_the_same_twice(catalog: Catalog, opened: Callable[..., Catalog]) -> None:
    catalog.approvals.record(APPROVAL)
    again = replace(APPROVAL, id="a3", at=NOW + timedelta(hours=1))
    with pytest.raises(UsageError, match="approved v1 of d"):
        opened().approvals.record(again)
    catalog.approvals.record(replace(again, content="content v3"))
    assert len(catalog.approvals.of("prod")) == 2


def test_a_release_uses_its_approvals_once(catalog: Catalog) -> None:
    catalog.approvals.record(APPROVAL)
    id = released(catalog, APPROVAL, DECLARED)
    recorded, declared = catalog.approvals.of("prod")
    assert recorded == replace(APPROVAL, release=id)
    assert declared == replace(DECLARED, release=id, at=NOW)
    with pytest.raises(UsageError, match=f"out in release {id}: it is published"):
        catalog.approvals.withdraw(APPROVAL, NOW)
    with pytest.raises(Conflict, match="was published by another run"):
        released(catalog, APPROVAL)


def test_a_withdrawn_approval_publishes_nothing(
    catalog: Catalog, opened: Callable[..., Catalog]
) -> None:
    catalog.approvals.record(APPROVAL)
    opened().approvals.withdraw(APPROVAL, NOW)
    with pytest.raises(Conflict, match="was withdrawn meanwhile"):
        released(catalog, APPROVAL, DECLARED)
    assert catalog.pointers("prod") == {}
    assert catalog.approvals.of("prod") == [replace(APPROVAL, withdrawn=NOW)]
    with pytest.raises(UsageError, match="was withdrawn already"):
        catalog.approvals.withdraw(APPROVAL, NOW)
