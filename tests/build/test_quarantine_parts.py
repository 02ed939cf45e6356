"""Rows of products in parts are set aside part by part: each part reconciles, and is mended by itself."""

import random
import sqlite3
from pathlib import Path

import pytest

from assay.build import batches, tasks
from assay.facts import Part
from tests.conftest import Place

RAW = 'raw = source.files("in/{day:date}.csv", columns={"id": "bigint", "x": "bigint", "who": "varchar"})\n'
SMALL = "rule.check('x is small', 'x < 100', on_failure='quarantine', fail_above='60 %')"
ODD = "rule.check('x is odd', 'x % 2 = 1', on_failure='quarantine', fail_above='90 %')"
MADE_BY = {
    "a query": "sql_product('p', 'select * from raw', owner='o', partition_by='day', {})\n",
    "a query by another's parts": "sql_product('p', 'select * from raw', owner='o', each='raw', {})\n",
    "a function": "@product(name='p', owner='o', each='raw', {})\ndef made(raw): return raw\n",
    "a table that is cut": (
        "sql_product('all', 'from raw', owner='o')\n"
        "sql_product('p', 'select * from \"all\"', owner='o', partition_by='day', {})\n"
    ),
}


def declare(place: Place, made_by: str, *rules: str, about: str = "") -> None:
    text = MADE_BY[made_by].format(f"{about} rules=[{', '.join(rules)}]")
    place.write("products/sales.py", RAW + text, header=True)


def day(place: Place, number: int, *values: int, who: str = "ann") -> None:
    rows = "".join(f"{n},{x},{who}\n" for n, x in enumerate(values))
    place.write(f"in/2024-01-{number:02d}.csv", f"id,x,who\n{rows}")


def rows(place: Place, table: str) -> list[tuple[str, int]]:
    found = place.query(f"select day, x from {table} order by day, x")
    return [(row["day"][-2:], row["x"]) for row in found]


def reconciled(place: Place, product: str = "sales.p") -> dict[str, tuple[int, int]]:
    """Return the rows of each part, and those that were set aside of it; all rows are there."""
    counts = {}
    asides = place.parts(f"{product}__quarantine")
    for key, part in place.parts(product).items():
        assert part.aside is not None
        assert part.rows_in == part.rows + part.aside.rows
        assert asides[key] == part.aside
        counts[key[-2:]] = (part.rows, part.aside.rows)
    assert set(asides) == set(place.parts(product))
    return counts


@pytest.mark.parametrize("made_by", MADE_BY)
def test_each_part_sets_its_own_rows_aside(place: Place, made_by: str) -> None:
    day(place, 1, 1, 500, 3)
    day(place, 2, 5, 7)
    day(place, 3, 600, 2)
    declare(place, made_by, SMALL, ODD)
    told = place.materialize()
    assert told[""]["exit_code"] == 0
    [small, odd] = told["sales.p"]["rules"]
    assert (small["status"], small["failing"], small["rows"]) == ("warning", 2, 7)
    assert (odd["status"], odd["failing"], odd["rows"]) == ("warning", 3, 7)
    assert rows(place, "p") == [("01", 1), ("01", 3), ("02", 5), ("02", 7)]
    aside = place.query("select x, broke from p__quarantine order by x")
    assert aside == [
        {"x": 2, "broke": ["x is odd"]},
        {"x": 500, "broke": ["x is odd", "x is small"]},
        {"x": 600, "broke": ["x is odd", "x is small"]},
    ]
    assert reconciled(place) == {"01": (2, 1), "02": (2, 0), "03": (0, 2)}


@pytest.mark.parametrize("made_by", MADE_BY)
def test_a_part_that_was_mended_clears_its_rows_and_others_stay(place: Place, made_by: str) -> None:
    day(place, 1, 1, 500, 3)
    day(place, 2, 5, 700, 3)
    declare(place, made_by, SMALL)
    place.materialize()
    before = place.parts("sales.p__quarantine")
    day(place, 1, 1, 50, 3)
    told = place.materialize()
    assert told[""]["exit_code"] == 0
    assert told["sales.p"]["parts"] == told["sales.p__quarantine"]["parts"] == {"built": 1, "of": 2}
    assert rows(place, "p__quarantine") == [("02", 700)]
    assert rows(place, "p") == [("01", 1), ("01", 3), ("01", 50), ("02", 3), ("02", 5)]
    assert reconciled(place) == {"01": (3, 0), "02": (2, 1)}
    assert place.parts("sales.p__quarantine")["2024-01-02"] == before["2024-01-02"]
    assert place.materialize()[""]["exit_code"] == 0
    assert place.run("verify").code == 0


def test_what_is_set_aside_may_change_alone(place: Place) -> None:
    day(place, 1, 1, 500, 3)
    declare(place, "a query", SMALL)
    place.write(
        "products/down.py",
        "sql_product('d', 'from sales.p', owner='o', partition_by='day')\n"
        "sql_product('q', 'from sales.p__quarantine', owner='o', each='sales.p__quarantine')\n",
        header=True,
    )
    place.materialize()
    day(place, 1, 1, 600, 3)
    told = place.materialize()
    assert rows(place, "sales.p__quarantine") == rows(place, "down.q") == [("01", 600)]
    assert told["down.d"]["parts"] == {"built": 0, "of": 1}  # no row of its input changed


def test_a_part_with_too_many_is_held_back_alone_with_what_it_sets_aside(place: Place) -> None:
    day(place, 1, 1, 500, 3)
    day(place, 2, 5, 7, 900)
    declare(place, "a query", SMALL, about="on_failed_part='hold_part',")
    assert place.materialize()[""]["exit_code"] == 0
    day(place, 1, 501, 502, 3)
    day(place, 2, 5, 7, 901)
    told = place.materialize()
    assert told[""]["exit_code"] == 3
    assert rows(place, "p") == [("01", 1), ("01", 3), ("02", 5), ("02", 7)]
    assert rows(place, "p__quarantine") == [("01", 500), ("02", 901)]
    assert reconciled(place) == {"01": (2, 1), "02": (2, 1)}
    shown = place.run("show", "sales.p", "--held", "--failures", "x is small").out
    assert "501" in shown and "502" in shown
    day(place, 1, 1, 501, 3)
    assert place.materialize()[""]["exit_code"] == 0
    assert rows(place, "p__quarantine") == [("01", 501), ("02", 901)]


def test_too_many_of_all_parts_hold_the_product(place: Place) -> None:
    day(place, 1, 1, 3)
    declare(place, "a query", SMALL)
    place.materialize()
    day(place, 2, 500, 600, 700, 800)
    told = place.materialize()
    assert (told["sales.p"]["result"], told[""]["exit_code"]) == ("held back", 3)
    [rule] = told["sales.p"]["rules"]
    assert rule["message"] == "too many to set aside"
    assert rows(place, "p") == [("01", 1), ("01", 3)]
    assert rows(place, "p__quarantine") == []


@pytest.mark.parametrize(
    "made_by", ["a query", "a function", "a table that is cut"], ids=["query", "function", "cut"]
)
@pytest.mark.parametrize(
    "rule",
    [
        "rule.references('who', 'people.name', text='known', on_failure='quarantine', fail_above='60 %')",
        "rule.check('known', pa.Check.isin(['ann']), column='who', on_failure='quarantine', fail_above='60 %')",
        "rule.check('known', pa.Check.str_matches('^a'), column='who', on_failure='quarantine', fail_above='60 %')",
        "rule.check('known', 'x <= (select min(x) + 1 from this)', on_failure='quarantine', fail_above='60 %')",
    ],
    ids=["another product", "pandera", "a pattern", "the part itself"],
)
def test_rules_of_all_kinds_set_rows_of_parts_aside(place: Place, made_by: str, rule: str) -> None:
    day(place, 1, 1, 2)
    day(place, 2, 3, 4)
    with (place.root / "in/2024-01-02.csv").open("a") as file:
        file.write("9,9,eve\n")
    declare(place, made_by, rule)
    place.write(
        "products/people.py",
        "sql_product('names', \"select 'ann' as name\", owner='o')\n",
        header=True,
    )
    place.edit(
        "products/sales.py", "'people.name'", "'people.names.name'"
    ) if "people" in rule else None
    assert place.materialize()[""]["exit_code"] == 0
    expected = [("02", 9)]
    if "from this" in rule and made_by == "a table that is cut":
        expected = [("02", 3), ("02", 4), ("02", 9)]  # `this` is the table before it is cut
    assert rows(place, "p__quarantine") == expected


def test_rows_that_name_no_part_are_set_aside_of_the_part_that_they_were_built_as(
    place: Place,
) -> None:
    day(place, 1, 1, 0, 3)
    rule = "rule.check('a day', 'day is not null', on_failure='quarantine', fail_above='60 %')"
    text = (
        "sql_product('p', 'select case when x > 0 then day end as day, x from raw', owner='o',"
        f" partition_by='day', rules=[{rule}])\n"
    )
    place.write("products/sales.py", RAW + text, header=True)
    assert place.materialize()[""]["exit_code"] == 0
    assert place.query("select day, x from p__quarantine") == [{"day": None, "x": 0}]
    assert reconciled(place) == {"01": (2, 1)}


# ---------------------------------------------------------------------------- many at a time


def _stored(part: Part) -> tuple[object, ...]:
    assert part.aside is not None
    return part.rows, part.digest, part.rows_in, part.aside.rows, part.aside.digest


@pytest.mark.parametrize(("seed", "made_by"), [(0, "a query"), (1, "a function")])
def test_a_batch_gives_what_its_parts_give_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, made_by: str
) -> None:
    chance = random.Random(seed)
    days = {
        n: [chance.choice([1, 2, 3, 500, 600]) for _ in range(chance.randrange(5))]
        for n in range(1, 25)
    }
    found = []
    for many in (2, 10_000):
        monkeypatch.setattr(batches, "MANY", many)
        monkeypatch.setattr(tasks, "MANY", chance.choice([2, 10_000]))
        monkeypatch.setattr(batches, "MOST_AT_ONCE", chance.choice([5, 1024]))
        place = Place(tmp_path / str(many))
        place.root.mkdir()
        place.write("pyproject.toml", "[tool.products]\n")
        for number, values in days.items():
            day(place, number, *values)
        declare(place, made_by, SMALL.replace("60", "99"), ODD)
        assert place.materialize()[""]["exit_code"] == 0
        parts = {key: _stored(part) for key, part in place.parts("sales.p").items()}
        files = {part.path for part in place.parts("sales.p").values()}
        assert many > 2 or len(files) < 24
        reconciled(place)
        found.append((parts, rows(place, "p"), rows(place, "p__quarantine")))
        assert place.run("verify").code == 0
    assert found[0] == found[1]
    assert sum(len(part) for part in days.values()) == len(found[0][1]) + len(found[0][2])


def test_a_rule_about_the_whole_part_is_not_asked_of_many_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MANY", 2)
    for number in range(1, 5):
        day(place, number, number * 10, number * 10 + 1, number * 10 + 2)
    own = "rule.check('least', 'x < (select max(x) from this)', on_failure='quarantine', fail_above='60 %')"
    declare(place, "a query", own)
    assert place.materialize()[""]["exit_code"] == 0
    assert rows(place, "p__quarantine") == [("01", 12), ("02", 22), ("03", 32), ("04", 42)]


# ------------------------------------------------------------------------------ what is stored


@pytest.mark.parametrize("made_by", ["a query", "a table that is cut"])
def test_lost_rows_that_were_set_aside_are_built_again(place: Place, made_by: str) -> None:
    day(place, 1, 1, 500, 3)
    day(place, 2, 5, 700, 3)
    declare(place, made_by, SMALL)
    place.materialize()
    aside = place.parts("sales.p__quarantine")["2024-01-01"]
    (place.root / ".products/store" / aside.path).unlink()
    assert place.materialize()[""]["exit_code"] == 0
    assert rows(place, "p__quarantine") == [("01", 500), ("02", 700)]
    assert reconciled(place) == {"01": (2, 1), "02": (2, 1)}


def test_gc_keeps_the_rows_set_aside_of_parts_that_stay(place: Place) -> None:
    for number in range(1, 4):
        day(place, number, 1, 500 + number)
    declare(place, "a query", SMALL)
    place.materialize()
    for value in range(600, 605):
        day(place, 1, 1, value)
        place.materialize()
    recorded = place.recorded_parts("sales.p__quarantine")
    late = ("--now", "2099-01-01T00:00")
    assert place.run("gc", "--keep", "1", "--days", "0", *late).code == 0
    assert place.recorded_parts("sales.p__quarantine") < recorded
    assert place.run("verify").code == 0
    assert rows(place, "p__quarantine") == [("01", 604), ("02", 502), ("03", 503)]
    with sqlite3.connect(place.root / ".products/catalog.db") as catalog:
        missing = catalog.execute(
            "select count(*) from parts where aside not in (select id from parts)"
        ).fetchall()
    assert missing == [(0,)]
    assert place.materialize()[""]["exit_code"] == 0
    assert reconciled(place) == {"01": (1, 1), "02": (1, 1), "03": (1, 1)}


def test_restore_brings_back_what_was_set_aside(place: Place) -> None:
    day(place, 1, 1, 500, 3)
    declare(place, "a query", SMALL)
    first = place.materialize()["sales.p"]["version"]
    day(place, 1, 1, 600, 3)
    place.materialize()
    assert place.run("restore", "sales.p", first).code == 0
    assert rows(place, "p__quarantine") == [("01", 500)]


def test_forced_parts_are_set_aside_again(place: Place) -> None:
    day(place, 1, 1, 500, 3)
    day(place, 2, 5, 700, 3)
    declare(place, "a query", SMALL)
    place.materialize()
    for name in ("sales.p", "sales.p__quarantine"):
        assert place.materialize(name, "--force")[""]["exit_code"] == 0
    assert rows(place, "p__quarantine") == [("01", 500), ("02", 700)]
    assert place.run("verify").code == 0


def test_rows_are_read_as_they_were_computed(place: Place) -> None:
    day(place, 1, 1, 500)
    declare(place, "a function", SMALL)
    place.edit(
        "products/sales.py",
        "return raw",
        "return raw.with_columns(pl.lit([1, None]).alias('l'), pl.struct(a='x').alias('s'))",
    )
    assert place.materialize()[""]["exit_code"] == 0
    import assay

    [row] = assay.read("sales.p__quarantine", project=place.root).collect().to_dicts()
    assert (row["l"], row["s"], row["broke"]) == ([1, None], {"a": 500}, ["x is small"])


# -------------------------------------------------------------------------------------- elsewhere


def test_evidence_has_the_content_of_what_was_set_aside(place: Place) -> None:
    day(place, 1, 1, 500, 3)
    day(place, 2, 5, 7)
    declare(place, "a query", SMALL)
    place.materialize("--now", "2024-01-03T06:00")
    for name in ("sales.p", "sales.p__quarantine"):
        made = place.run("evidence", name, "--to", "e.zip", "--data", "--inputs")
        assert made.code == 0, made.err
        told = place.run("evidence", "--verify", "e.zip")
        assert told.code == 0, told.out
        if name == "sales.p":
            again = place.run("evidence", "--rebuild", "e.zip", "--json")
            assert (again.code, again.json["outcome"]) == (0, "same bytes"), again.out + again.err
        (place.root / "e.zip").unlink()


def test_what_depends_on_rows_set_aside_is_built_on_trial(place: Place) -> None:
    for number in range(1, 4):
        day(place, number, 1, 500 + number, 3)
    declare(place, "a query", SMALL)
    place.write(
        "products/down.py",
        "sql_product('q', 'select count(*) as n from sales.p__quarantine', owner='o')\n"
        "sql_product('d', 'select count(*) as n from sales.p', owner='o')\n",
        header=True,
    )
    assert place.materialize()[""]["exit_code"] == 0
    for number in (1, 2):
        day(place, number, 1, 600, 700, 800, 900)
    assert place.materialize()["sales.p"]["result"] == "held back"
    told = place.run("diff", "sales.p", "--held", "--downstream")
    assert told.code == 0, told.err
    assert "down.q" in told.out and "down.d" in told.out
    assert "n" in told.out and "could not" not in told.out, told.out


def test_a_test_of_a_product_in_parts_says_what_is_set_aside(place: Place) -> None:
    declare(place, "a query", SMALL)
    place.write(
        "products/p.test.toml",
        """
        product = "sales.p"

        ["large ones are set aside"]
        inputs.raw = [
          { day = 2024-01-01, id = 1, x = 1, who = "a" },
          { day = 2024-01-02, id = 2, x = 500, who = "a" },
        ]
        expect = [{ day = 2024-01-01, id = 1, x = 1, who = "a" }]
        set_aside = [{ id = 2, broke = ["x is small"] }]
        """,
    )
    ran = place.run("test")
    assert ran.code == 0, ran.out + ran.err


def test_compaction_moves_rows_that_were_set_aside(place: Place) -> None:
    for number in range(1, 25):  # some have none
        day(place, number, 1, 500 + number if number % 4 else 3)
    declare(place, "a query", SMALL.replace("60", "70"))
    place.materialize()
    before = {part.path for part in place.parts("sales.p__quarantine").values()}
    assert place.run("gc").code == 0
    after = {part.path for part in place.parts("sales.p__quarantine").values()}
    assert len(after) < len(before)
    assert reconciled(place)["03"] == (1, 1)
    day(place, 3, 1, 3)
    assert place.materialize()[""]["exit_code"] == 0
    expected = [500 + n for n in range(1, 25) if n % 4 and n != 3]
    assert [x for _, x in rows(place, "p__quarantine")] == expected
    assert place.run("verify").code == 0
