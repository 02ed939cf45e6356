"""What evidence says: of the version, of all that it was built from, as it was at its release."""

import sqlite3
from contextlib import closing

import pytest

from tests.archive import shop
from tests.conftest import Place


def of(evidence: dict, product: str) -> dict:
    [found] = [v for v in evidence["versions"] if v["product"] == product]
    return found


def test_it_says_what_was_published_and_what_it_was_built_from(place: Place) -> None:
    shop.built(place)
    evidence = shop.write(place, "note")
    assert [v["product"] for v in evidence["versions"]] == [
        "sales.note",
        "sales.lines",
        "sales.total",
    ]
    assert [s["name"] for s in evidence["sources"]] == ["sales.numbers"]
    [file] = evidence["sources"][0]["files"]
    assert (file["path"], file["bytes"]) == ("data/a.csv", 8)
    assert evidence["sources"][0]["rows"] == 3
    assert [(t["column"], t["sum"]) for t in evidence["sources"][0]["totals"]] == [("x", "6")]
    lines = of(evidence, "sales.lines")
    assert (lines["rows"], lines["owner"], lines["purpose"]) == (
        3,
        "ann@shop.example",
        "<b>All</b> lines.",
    )
    assert [(t["column"], t["sum"]) for t in lines["totals"]] == [("x", "6"), ("half", "3.0")]
    [verdict] = lines["verdicts"]
    rule = next(r for r in verdict["rules"] if r["name"] == "x is small")
    assert (rule["status"], rule["because"], rule["demands"], rule["dimension"]) == (
        "passed",
        "A & B agreed.",
        "from this where x > 3",
        "accuracy",
    )
    total = of(evidence, "sales.total")
    assert [(i["name"], i["version"]) for i in total["inputs"]] == [("sales.lines", lines["id"])]
    assert total["code"]["sql"].startswith("select sum(x)")
    assert {"python", "duckdb", "polars", "pandera", "assay"} <= total["code"]["tools"].keys()
    assert evidence["release"]["run"]["asked"].startswith("materialize")
    assert evidence["release"]["until"] is None
    query = "select bytes, checksum from parts where product = 'sales.note'"
    with closing(sqlite3.connect(place.root / ".products/catalog.db")) as db:
        [recorded] = db.execute(query)
        [(newest,)] = db.execute(
            "select max(release) from moves where product = 'sales.note'"
        )  # a slow run publishes more than once
    assert evidence["release"]["id"] == newest
    [file] = of(evidence, "sales.note")["files"]
    assert (file["bytes"], file["sha256"]) == recorded


@pytest.mark.long
def test_an_old_release_is_as_it_was_then(place: Place) -> None:
    shop.built(place)
    before = shop.write(place, "twice")
    place.edit("products/helpers.py", "BY = 2", "BY = 3")
    place.numbers("b", 4)
    assert place.run("materialize", "--now", "2024-01-03T06:00").code == 3, "4 is not small"
    now = shop.write(place, "twice")
    assert now["release"]["id"] > 1
    assert now["versions"][0]["rows"] == 4
    then = shop.write(place, "twice", "--release", "1")
    assert then["release"]["until"] == now["release"]["at"]
    assert (
        then["versions"][0]["code"] == before["versions"][0]["code"] != now["versions"][0]["code"]
    )
    assert [f["path"] for f in then["sources"][0]["files"]] == ["data/a.csv"]
    texts = shop.entries(place, "code/")
    assert any("BY = 2" in text for text in texts.values())
    assert not any("BY = 3" in text for text in texts.values())


@pytest.mark.long
def test_no_secret_is_in_it(place: Place) -> None:
    shop.built(place)
    evidence = shop.write(place, "twice")
    assert any(
        "postgresql://ann:…@db.example/shop" in t for t in shop.entries(place, "code/").values()
    )
    refused = place.run("evidence", "paid", "--to", "p.zip", "--data")
    assert (refused.code, "sales.paid: the files have sensitive columns" in refused.err) == (
        2,
        True,
    )
    assert not (place.root / "p.zip").exists()
    evidence = shop.write(place, "paid")
    assert [(c["name"], c["sensitive"]) for c in evidence["versions"][0]["columns"]] == [
        ("day", False),
        ("email", True),
        ("paid", False),
    ]
    assert "hunter2" not in (place.root / "e.zip").read_bytes().decode("latin1")
    assert "ann1@x.example" not in (place.root / "e.zip").read_bytes().decode("latin1")
    assert [(t["column"], t["sum"]) for t in evidence["versions"][0]["totals"]] == [
        ("paid", "4.00")
    ]


@pytest.mark.long
def test_what_is_gone_is_named(place: Place) -> None:
    shop.built(place)
    place.numbers("b", 2)
    assert place.run("materialize", "--now", "2024-01-03T06:00").code == 0
    with closing(sqlite3.connect(place.root / ".products/catalog.db")) as db, db:
        db.execute("update runs set code = ''")
        db.execute("delete from listings where source = 'sales.numbers' and rowid < 3")
        [(path,)] = db.execute(
            "select path from parts where product = 'sales.lines' order by id limit 1"
        )
    file = place.root / ".products/store" / path
    file.unlink()
    place.edit("products/sales.py", "sum(half)::double", "max(half)::double")
    evidence = shop.write(place, "total", "--release", "1", "--data", "--inputs")
    missing = "\n".join(evidence["missing"])
    assert "the file of sales.lines" in missing
    assert "the code of sales.total" in missing
    assert "today's, which is the same" in missing, "that of lines"
    assert "which files sales.numbers had: it is not recorded any more" in missing
    assert "column lineage" in missing
    assert shop.verify(place).code == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "there is no product 'nosuch'"),
        (["numbers"], "sales.numbers is a source, not a product"),
        (["total", "--release", "9"], "there is no release 9 of prod"),
        (["total", "--env", "try"], "there is no environment try"),
        (["total", "--upstream", "far"], "--upstream 'far': give a number of steps, or all"),
        (["total", "--sign", "nokey"], "there is no key nokey"),
        (["total", "--signed-by", "k"], "--signed-by is for --verify"),
        (["total", "--verify", "e.zip"], "name a product, or a file after --verify or --rebuild"),
        (["total"], "sales.total was never published in prod"),
        ([], "name a product, or a file after --verify or --rebuild"),
    ],
)
def test_what_cannot_be_served_is_said(place: Place, arguments: list[str], said: str) -> None:
    shop.declare(place)
    if "--release" in arguments:
        assert place.run("materialize", "-s", "+total", "--now", shop.NIGHT).code == 0
    ran = place.run("evidence", *arguments)
    assert (ran.code, said in ran.err) == (2, True), ran.err


@pytest.mark.long
def test_a_release_that_did_not_publish_it_names_the_one_that_did(place: Place) -> None:
    shop.built(place)
    place.write("visits/2024-01-03.csv", "id,email,paid\n3,ann@x.example,1\n")
    assert place.run("materialize", "--now", "2024-01-04T06:00").code == 0
    ran = place.run("evidence", "total", "--release", "2")
    assert "release 2 of prod did not publish sales.total" in ran.err
    assert "Readers saw then what release 1 published." in ran.err


@pytest.mark.long
def test_a_waiver_is_in_it_with_the_result_that_it_let_through(place: Place) -> None:
    shop.built(place)
    place.numbers("b", 9)
    assert place.run("materialize", "--now", "2024-01-03T06:00").code == 3
    waived = place.run(
        "waive", "lines", "--rule", "x is small", "--because", "known", "--until", "2024-02-01",
        "--now", "2024-01-03T07:00",
    )  # fmt: skip
    assert waived.code == 0, waived.err
    assert place.run("materialize", "--now", "2024-01-03T08:00").code == 0
    evidence = shop.write(place, "lines")
    version = evidence["versions"][0]
    assert [v["status"] for v in version["verdicts"]] == ["failed", "warning"]
    [waiver] = version["waivers"]
    assert (waiver["rule"], waiver["because"], waiver["until"]) == (
        "x is small",
        "known",
        "2024-02-01",
    )
    rule = next(r for r in version["verdicts"][1]["rules"] if r["name"] == "x is small")
    assert rule["waived_by"] == [waiver["id"]]
    assert [sample["x"] for sample in rule["samples"]] == [9]
    assert shop.verify(place).code == 0


@pytest.mark.long
def test_upstream_can_be_cut(place: Place) -> None:
    shop.built(place)
    evidence = shop.write(place, "note", "--upstream", "1")
    assert [v["product"] for v in evidence["versions"]] == ["sales.note", "sales.total"]
    assert evidence["missing"][0] == "not asked for: sales.lines, further upstream"
    assert shop.verify(place).code == 0


@pytest.mark.long
def test_who_approved_it_is_in_it(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        sql_product("lines", "select x from numbers", owner="o", approval=["cfo@shop.example"])
        """,
        header=True,
    )
    assert place.run("materialize").code == 3
    agreed = ("--as", "cfo@shop.example", "--because", "agreed with the bank")
    assert place.run("approve", "lines", *agreed).code == 0
    assert place.run("materialize").code == 0
    evidence = shop.write(place, "lines")
    [approval] = evidence["versions"][0]["approvals"]
    assert (approval["approver"], approval["because"]) == (
        "cfo@shop.example",
        "agreed with the bank",
    )
    assert approval["release"] == evidence["release"]["id"]
    assert any(
        "agreed with the bank" in page for page in shop.entries(place, "evidence.html").values()
    )
    assert shop.verify(place).code == 0
