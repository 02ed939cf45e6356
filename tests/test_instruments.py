"""The night of the example with what the business has beside the gate: diff, environment, waiver, approval, evidence, record.

Every figure is asked of plain SQL over the files as they lie there.
"""

import json
import shutil
from decimal import Decimal

import duckdb
import pytest

from tests.conftest import ROOT, Place
from tests.test_tour import truth

REVENUE = "finance.daily_revenue"
RULE = "no single line is over a quarter of the day's gross"
NIGHT = "2011-12-10T0{}:00"


def net(plain: duckdb.DuckDBPyConnection, condition: str) -> Decimal:
    [(total,)] = plain.execute(f"select sum(amount) from lines where {condition}").fetchall()
    return Decimal(total)


@pytest.fixture
def held(example: Place) -> Place:
    """The example after the night whose morning is one mistyped line."""
    assert example.run("materialize", "--now", "2011-12-09T06:40:00").code == 0
    shutil.copy(
        ROOT / "fixtures/nights/2011-12-09.at-0920.csv.gz",
        example.root / "fixtures/retail/2011-12-09.csv.gz",
    )
    assert example.run("materialize", "--now", NIGHT.format("6:40")).code == 3
    return example


def at(place: Place, hour: str, *arguments: str):
    return place.run(*arguments, "--now", NIGHT.format(hour))


@pytest.mark.long
def test_what_is_held_back_says_by_how_much_it_would_change(held: Place) -> None:
    plain = truth(held)
    before, night = net(plain, "day <= '2011-12-08'"), net(plain, "day = '2011-12-09'")
    [diff] = held.run("diff", REVENUE, "--held", "--measure", "net", "--json").json
    [total] = [total for total in diff["totals"] if total["column"] == "net"]
    assert (Decimal(total["before"]), Decimal(total["after"])) == (before, before + night)
    assert (diff["new"], diff["changed"], diff["gone"]) == (1, 0, 0)
    [row] = diff["rows"]
    assert Decimal(row["after"]["net"]) == night
    told = at(held, "6:41", "materialize").out
    assert f"net by +{night:,} (+{float(night / before):.1%})" in told


@pytest.mark.long
def test_a_waiver_of_an_environment_is_none_of_prod(held: Place) -> None:
    waive = ["waive", REVENUE, "--rule", RULE, "--part", "2011-12-09", "--until", "2012-01-31"]
    waive += ["--because", "80,995 birdies mistyped", "--approved-by", "cfo@shop.example"]
    assert at(held, "7:00", "env", "create", "try").code == 0
    assert at(held, "7:01", *waive, "--env", "try").code == 0
    assert at(held, "7:02", "materialize", "--env", "try").code == 0
    refused = at(held, "7:03", "promote", "--from", "try")
    assert refused.code == 2
    assert "passed in try by a waiver that does not count in prod" in refused.err
    query = "select cast(sum(net) as varchar) as net from finance.daily_revenue"
    plain = truth(held)
    prod = json.loads(held.run("query", query, "--format", "json").out)
    tried = json.loads(held.run("query", query, "--format", "json", "--env", "try").out)
    assert Decimal(prod[0]["net"]) == net(plain, "day <= '2011-12-08'")
    assert Decimal(tried[0]["net"]) == net(plain, "true")
    assert at(held, "7:04", *waive).code == 0
    promoted = at(held, "7:05", "promote", "--from", "try")
    assert promoted.code == 0, promoted.err
    prod = json.loads(held.run("query", query, "--format", "json").out)
    assert Decimal(prod[0]["net"]) == net(plain, "true")
    built = at(held, "7:06", "materialize", "--json").events
    assert all(event.get("result") == "unchanged" for event in built[:-1]), "nothing is built again"
    notes = held.run("history", REVENUE, "--json").json[0]["waived"]
    assert "80,995 birdies mistyped" in notes[0]


@pytest.mark.long
def test_the_pack_waits_for_the_cfo_and_leaves_evidence(held: Place) -> None:
    held.edit(
        "products/finance/revenue.py",
        '    file="revenue-pack.csv",',
        '    file="revenue-pack.csv",\n    approval=["cfo@shop.example"],',
    )
    shutil.copy(
        ROOT / "fixtures/nights/2011-12-09.csv.gz",
        held.root / "fixtures/retail/2011-12-09.csv.gz",
    )
    assert at(held, "8:00", "materialize").code == 3
    [awaiting] = held.run("approvals", "--json").json["awaiting"]
    assert awaiting["approvers"] == ["cfo@shop.example"]
    name = awaiting["product"]
    approve = ["approve", name, "--as", "cfo@shop.example", "--because", "agreed with the bank"]
    assert at(held, "8:10", *approve).code == 0
    assert at(held, "8:20", "materialize").code == 0
    assert held.run("evidence", name, "--to", "pack.zip").code == 0
    assert held.run("evidence", "--verify", "pack.zip").code == 0
    again = held.run("evidence", "--rebuild", "pack.zip")
    assert again.code == 0, again.out
    assert "same" in again.out
    [record] = held.run(
        "record", REVENUE, "--month", "2011-12", "--json", "--now", NIGHT.format("9:00")
    ).json
    assert (record["held_back"], record["held_by"]) == (1, {RULE: 1})
    assert (record["checked"], record["right_first_time"]) == (3, 2)
