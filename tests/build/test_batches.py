"""Parts that are built many at a time are those that building them one by one would give."""

import json
import random
import re
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from assay.build import batches, tasks
from assay.build.by_part import Batches
from assay.engines import batches as engine_batches
from assay.engines import calls as engine_calls
from tests.conftest import Place, effort, mostly_long

SHOP = """
import polars as pl
from assay import product, rule, source, sql_product

COLUMNS = {"id": "bigint", "code": "varchar", "amount": "decimal(12, 2)", "share": "double"}
raw = source.files("data/{day:date}.csv", columns=COLUMNS)
extra = source.files("extra/{day:date}.csv", columns={"id": "bigint"})
codes = source.files("codes.csv", columns={"code": "varchar", "name": "varchar"})
ON = dict(owner="o", partition_by="day", on_failed_part=FAILED)

sql_product("lines", "select * from raw", **ON, rules=[
    rule.check("an amount is positive", "amount > 0"),
    rule.sql("an id is there once", "select id, day from this group by all having count(*) > 1")])
sql_product("daily", "select day, code, sum(amount)::decimal(18, 2) as amount, count(*) as n from lines group by all",
            **ON, rules=[rule.sql("there are codes", "select day from this where code is null"),
                         rule.sql("a total", "select sum(n) as n from this having sum(n) > 1000")])
sql_product("named", "select l.day, l.id, c.name from lines l left join codes c using (code)", **ON)
sql_product("matched", "with e as (select * from extra) select l.day, l.id from lines l join e on e.id = l.id", **ON)
sql_product("casts", "select day, cast(code as integer) as code from raw", **ON)
sql_product("moved", "select id, case when id = 13 then day + 1 else day end as day from raw", **ON)
sql_product("shares", "select day, sum(share) as share from raw group by day", **ON)
sql_product("counts", "select count(*) as n, max(amount) as top from raw", owner="o", each="raw")
sql_product("monthly", "select strftime(day, '%Y-%m') as month, sum(n)::bigint as n from daily group by 1",
            owner="o", partition_by="month(day)")

@product(owner="o", partition_by="day")
def as_function(daily: pl.LazyFrame) -> pl.LazyFrame:
    return daily.select("day", pl.col("n") * 2)

@product(**ON, rules=[rule.check("a total is no loss", "amount > 0")])
def from_text(raw: pl.LazyFrame, codes: pl.DataFrame) -> pl.LazyFrame:
    names = raw.join(codes.lazy(), on="code", how="left").with_columns(pl.col("code").cast(pl.Int8))
    return names.group_by("day", "code", "name").agg(pl.col("amount").sum(), pl.col("share").sum().round(6))

@product(**ON)
def eager(lines: pl.DataFrame, extra: pl.LazyFrame) -> pl.DataFrame:
    if (lines["id"] == 0).sum() > 1:
        raise ValueError("an id is there twice")
    day = pl.when(pl.col("id") == 13).then(pl.col("day").dt.offset_by("1d")).otherwise(pl.col("day"))
    made = lines.select(day.alias("day"), "id").join(extra.collect(), on="id", how="semi")
    return made.with_columns(odd=1) if lines.height == 3 and lines["amount"][0] > 8 else made

@product(**ON, rules=[rule.check("a code is low", "code < '3'", on_failure="quarantine", fail_above='60 %')])
def kept(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.drop("share")

@product(owner="o", each="raw")
def figures(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.select(pl.len().alias("n"), pl.col("amount").max().alias("top"), pl.col("code").unique().sort().implode())
"""
NAMES = (
    "lines",
    "daily",
    "named",
    "matched",
    "casts",
    "moved",
    "shares",
    "counts",
    "monthly",
    "as_function",
    "from_text",
    "eager",
    "figures",
    "kept",
    "kept__quarantine",
)
FIRST = date(2024, 1, 20)


def content(chance: random.Random, *, is_bad: bool) -> str:
    """Return a file: some are empty, and a bad one has one of the faults that a part may have."""
    rows = [
        [
            str(n),
            str(chance.randrange(5)),
            f"{chance.randrange(1, 900) / 100:.2f}",
            str(chance.random()),
        ]
        for n in range(chance.choice([0, 1, 3, 12]))
    ]
    if is_bad:
        fault = chance.choice(["amount", "value", "line", "twice", "cast", "foreign"])
        row = {
            "amount": ["99", "1", "-1.00", "0.5"],
            "value": ["100", "1", "many", "0.5"],
            "line": ["101", "1"],
            "twice": ["0", "1", "2.00", "0.5"],
            "cast": ["102", "x", "2.00", "0.5"],
            "foreign": ["13", "1", "2.00", "0.5"],
        }[fault]
        rows += [row] * (2 if fault == "twice" else 1)
    return "\n".join(["id,code,amount,share", *map(",".join, rows)]) + "\n"


def drop(places: list[Place], chance: random.Random, numbers: list[int], bad: float) -> None:
    for number in numbers:
        day = FIRST + timedelta(days=number)
        text = content(chance, is_bad=chance.random() < bad)
        extra = "id\n" + "".join(f"{n}\n" for n in range(chance.randrange(4)))
        has_extra = chance.random() < 0.7
        for place in places:
            place.write(f"data/{day}.csv", text)
            if has_extra:
                place.write(f"extra/{day}.csv", extra)


def same(value: object) -> object:
    """Return what is told without names of versions and runs, times and sizes."""
    if isinstance(value, dict):
        return {k: same(v) for k, v in value.items() if k not in UNLIKE}
    if isinstance(value, list):
        return [same(item) for item in value]
    if isinstance(value, float):
        return round(value, 6)  # a sum of floats over all files depends on their order
    if not isinstance(value, str):
        return value
    value = re.sub(r"v[0-9a-f]{16}|\bv[0-9a-f]{6}\b|\d{8}T\d{6}-[0-9a-f]{8}", "ID", value)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)?|\d+(?:\.\d+)? s\b", "TIME", value)


UNLIKE = {"seconds", "version", "run", "memory", "bytes", "peak", "about_seconds"}


def outcome(place: Place) -> dict:
    """Run, and return all that people see of it and all that is recorded of parts."""
    said = [place.materialize(), place.run("status", "--json").json]
    said += [place.run("why", name, "--json", "--rules").json for name in NAMES]
    said = json.loads(json.dumps(said).replace(str(place.root), "ROOT"))
    parts = {}
    for name in NAMES:
        try:
            found = place.parts(f"shop.{name}")
        except KeyError:
            continue
        parts[name] = [
            (p.key, p.built_from, dict(p.inputs), p.digest, p.rows, p.columns, p.data_as_of)
            for p in found.values()
        ]
        sql = f"select * from {name} order by all"
        parts[f"rows of {name}"] = place.query(sql)
    return {"said": same(said), "parts": parts}


@pytest.mark.parametrize("seed", mostly_long(range(effort(2, 2, 20))))
def test_many_at_a_time_is_the_same_as_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    failed = chance.choice(["hold_part", "hold_part", "hold_product"])
    places = [Place(tmp_path / name) for name in ("batches", "singly")]
    for place in places:
        place.write("pyproject.toml", "[tool.products]\n")
        place.write("products/shop.py", f"FAILED = {failed!r}\n{SHOP}")
        place.write("codes.csv", "code,name\n1,one\n2,two\n")
    monkeypatch.setattr(batches, "MOST_AT_ONCE", chance.choice([3, 7, 1024]))
    count, built = chance.choice([9, 25]), []
    build = Batches.build
    monkeypatch.setattr(
        Batches, "build", lambda self, group: built.append(len(group)) or build(self, group)
    )
    for bad, numbers in (
        (chance.choice([0, 0.2]), list(range(count))),
        (0.2, chance.sample(range(count + 6), 8)),  # late corrections, and new days
        (0.0, list(range(count + 6))),  # all is well in the end
    ):
        drop(places, chance, numbers, bad)
        monkeypatch.setattr(batches, "MANY", 2)
        together = outcome(places[0])
        monkeypatch.setattr(batches, "MANY", 10_000)
        singly = outcome(places[1])
        assert together["parts"] == singly["parts"]
        assert together["said"] == singly["said"]
    assert built


def shop(root: Path, query: str = "select * from raw", days: int = 20, **products: str) -> Place:
    place = Place(root)
    place.write("pyproject.toml", "[tool.products]\n")
    others = "".join(
        f"sql_product({n!r}, {q!r}, owner='o', partition_by='day')\n" for n, q in products.items()
    )
    place.write(
        "products/shop.py",
        "from assay import source, sql_product\n"
        "raw = source.files('data/{day:date}.csv', columns={'id': 'bigint', 'x': 'bigint'})\n"
        f"sql_product('lines', {query!r}, owner='o', partition_by='day')\n{others}",
    )
    for number in range(days):
        place.write(f"data/{FIRST + timedelta(days=number)}.csv", f"id,x\n{number},1\n")
    return place


def test_rules_find_the_rows_of_the_only_part_of_a_file_that_has_rows(tmp_path: Path) -> None:
    place = shop(tmp_path, days=9)
    for number in range(9):
        text = "id,x\n5,-1\n" if number == 4 else "id,x\n"
        place.write(f"data/{FIRST + timedelta(days=number)}.csv", text)
    rules = "on_failed_part='hold_part', rules=[rule.check('x is positive', 'x > 0')])"
    place.edit("products/shop.py", "partition_by='day')", f"partition_by='day', {rules}")
    place.edit("products/shop.py", "import source", "import rule, source")
    assert place.materialize()["shop.lines"]["result"] == "published"
    assert (len(place.parts("shop.lines")), place.query("from lines")) == (8, [])


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few parts be many."""
    monkeypatch.setattr(batches, "MANY", 8)


def files(place: Place, name: str = "lines") -> set[str]:
    return {part.path for part in place.parts(f"shop.{name}").values()}


def test_parts_of_one_batch_share_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_AT_ONCE", 8)
    place = shop(tmp_path, daily="select day, count(*) as n from lines group by day")
    told = place.materialize()
    assert told["shop.lines"]["parts"] == {"built": 20, "of": 20}
    assert (len(files(place)), len(files(place, "daily"))) == (3, 3)
    assert place.query("select count(*) as n, sum(id) as ids from lines") == [{"n": 20, "ids": 190}]
    assert place.query("select n from daily where day = '2024-01-25'") == [{"n": 1}]
    assert place.run("verify").code == 0
    place.write("data/2024-01-25.csv", "id,x\n5,1\n6,2\n")
    assert place.materialize()["shop.daily"]["parts"] == {"built": 1, "of": 20}
    assert len(files(place)) == 4, "a part that is built alone has a file of its own"
    assert place.query("select n from daily where day = '2024-01-25'") == [{"n": 2}]


def test_large_parts_have_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shop(tmp_path)
    place.write("data/2024-01-25.csv", "id,x\n" + "5,1\n" * 300)
    monkeypatch.setattr(batches, "_LARGEST", 1000)
    place.materialize()
    own = place.parts("shop.lines")["2024-01-25"]
    assert (own.rows, own.of) == (300, None)
    assert len(files(place)) == 3, "those before, the large one, those after"


def test_a_batch_has_at_most_so_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = shop(tmp_path)
    size = (place.root / "data/2024-01-25.csv").stat().st_size
    monkeypatch.setattr(batches, "_MOST_BYTES", 5 * size + 10)
    place.materialize()
    assert len(files(place)) == 4


@pytest.mark.parametrize(
    "query",
    [
        "select * from raw limit 100",
        "select day, id, row_number() over () as n from raw",
        "select day, avg(x / 3) as x from raw group by day",
        "select day, first(id) as id from raw group by day",
        "select day, list(id) as ids from raw group by day",
    ],
)
def test_what_may_differ_is_built_one_by_one(tmp_path: Path, query: str) -> None:
    place = shop(tmp_path, query, days=9)
    if "over" in query:
        place.edit(
            "products/shop.py", "partition_by='day'", "partition_by='day', inputs={'raw': parts()}"
        )
        place.edit("products/shop.py", "import source", "import parts, source")
    place.materialize()
    assert len(files(place)) == 9


def test_what_has_a_time_limit_or_a_process_is_built_one_by_one(tmp_path: Path) -> None:
    place = shop(tmp_path, days=8)
    place.edit("products/shop.py", "partition_by='day')", "partition_by='day', timeout='60s')")
    place.materialize()
    assert len(files(place)) == 8


def test_a_batch_that_lacks_memory_is_halved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, sizes = engine_batches.stage_parts, []

    def short_of_memory(engine, query, inputs, target, want):
        sizes.append(len(inputs[0][0].paths))
        if sizes[-1] > 5:
            raise duckdb.OutOfMemoryException("could not allocate")
        return stage(engine, query, inputs, target, want)

    monkeypatch.setattr(batches, "stage_parts", short_of_memory)
    place = shop(tmp_path)
    assert place.materialize()[""]["exit_code"] == 0
    assert sizes == [20, 10, 5, 5, 10, 5, 5]
    assert len(files(place)) == 4
    assert not [*(place.root / ".products/store").rglob("*.tmp")]


def test_what_was_left_of_a_failed_batch_is_removed(tmp_path: Path) -> None:
    place = shop(tmp_path)
    place.write("data/2024-01-25.csv", "id,x\n5,many\n")
    ran = place.run("materialize")
    assert ran.code == 1
    assert "data/2024-01-25.csv, line 2: column 'x' should be BIGINT" in ran.out + ran.err
    stored = {
        p.relative_to(place.root / ".products/store").as_posix()
        for p in place.root.rglob("*.parquet")
    }
    assert place.recorded_parts("shop.lines") == 5, "those before it are built, for the next run"
    assert len(stored) == 1, stored
    place.write("data/2024-01-25.csv", "id,x\n5,1\n")
    assert place.materialize()["shop.lines"]["parts"] == {"built": 15, "of": 20}
    assert tasks.MANY > 8


# ---------------------------------------------------------------------------------- functions

CALLS = """
import polars as pl
from pathlib import Path
from assay import product, source
raw = source.files("data/{{day:date}}.csv", columns={{"id": "bigint", "x": "bigint"}})

@product(owner="o", partition_by="day", {about})
def lines(raw: {handed}){returned}:
    rows = raw.lazy().collect()
    with Path("calls.txt").open("a") as out:
        out.write(f"{{rows['id'][0]}}\\n")
    if rows["x"][0] < 0:
        raise ValueError("x is negative")
    return {result}
"""


def calling(
    root: Path, result: str = "rows", about: str = "", handed: str = "pl.LazyFrame"
) -> Place:
    place = shop(root)
    text = CALLS.format(about=about, handed=handed, returned="", result=result)
    place.write("products/shop.py", text)
    return place


def called(place: Place) -> list[str]:
    file = place.root / "calls.txt"
    lines = file.read_text().split()
    file.unlink()
    return sorted(lines, key=int)


ALL = [str(number) for number in range(20)]


@pytest.mark.parametrize("result", ["rows", "rows.lazy()", "rows.to_arrow()"])
def test_a_function_is_called_once_a_part_and_what_it_returns_shares_a_file(
    tmp_path: Path, result: str
) -> None:
    place = calling(tmp_path, result)
    told = place.materialize()
    assert told["shop.lines"]["parts"] == {"built": 20, "of": 20}
    assert called(place) == ALL
    assert len(files(place)) == 1
    assert place.query("select id from lines where day = '2024-01-25'") == [{"id": 5}]


def test_only_the_part_whose_call_fails_is_called_again(tmp_path: Path) -> None:
    place = calling(tmp_path, about="on_failed_part='hold_part'")
    place.write("data/2024-01-25.csv", "id,x\n5,-1\n")
    ran = place.run("materialize")
    assert "ValueError: x is negative" in ran.out + ran.err
    assert called(place) == sorted([*ALL, "5"], key=int)
    assert (len(place.parts("shop.lines")), len(files(place))) == (19, 1)


def test_what_calls_returned_is_written_before_it_takes_long_or_much_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_FEWEST", 4)
    monkeypatch.setattr(batches, "_CALLING", -1.0)
    place = calling(tmp_path)
    assert place.materialize()[""]["exit_code"] == 0
    assert called(place) == ALL
    assert len(files(place)) == 20, "each call takes too long: what is built is recorded"
    monkeypatch.setattr(batches, "_CALLING", 60.0)
    monkeypatch.setattr(engine_calls, "_MOST_HELD", 40)
    place.edit("products/shop.py", "return rows", "return rows.head(1)")
    assert place.materialize()[""]["exit_code"] == 0
    assert called(place) == ALL
    assert 1 < len(files(place)) < 20


@pytest.mark.parametrize(
    ("about", "handed", "result"),
    [
        ("isolate=True", "pl.LazyFrame", "rows"),
        ("timeout='60s'", "pl.LazyFrame", "rows"),
        ("", "duckdb.DuckDBPyRelation", "raw"),
        (
            "",
            "pl.LazyFrame",
            "rows.with_columns(t=pl.from_epoch('id').dt.replace_time_zone('Europe/Rome'))",
        ),
    ],
)
def test_functions_whose_results_cannot_share_a_file_are_called_one_by_one(
    tmp_path: Path, about: str, handed: str, result: str
) -> None:
    place = calling(tmp_path, result, about, handed)
    if "duckdb" in handed:
        place.edit("products/shop.py", "import polars", "import duckdb\nimport polars")
        place.edit("products/shop.py", "raw.lazy().collect()", "raw.pl()")
    assert place.materialize()[""]["exit_code"] == 0
    assert {*called(place)} == {*ALL}
    assert len(files(place)) == 20
