"""A small diamond of everything: SQL, Polars, a file, a source that is kept, parts, rows set aside, rules, a product that is held back.

Every row carries the number of the *generation* of the drop it came from, and every product passes it on.
"""

from pathlib import Path

DEFINITIONS = """
import os
import polars as pl
import pandera.polars as pa
from assay import Freshness, product, rule, source, sql_product

numbers = source.files("data/*.csv", columns={"gen": pl.Int64, "k": pl.Int64, "x": pl.Int64},
    encoding="cp1252")  # engines read a copy
drops = source.files("drops/{day:date}.csv", columns={"gen": pl.Int64, "x": pl.Int64},
    freshness=Freshness(by="05:00", covers="previous day"))
kept = source.files("data/*.csv", columns={"gen": pl.Int64, "x": pl.Int64}, owner="o", keep=True)

def tell(what):
    with open("built.log", "a") as log:
        log.write(what + "\\n")

base = sql_product("base", "select gen, k, x from numbers", owner="o", rules=[
    rule.check("x is small", "x < 100", on_failure="quarantine", fail_above="50 %")])

left_side = sql_product("left_side", "select gen, sum(x)::bigint as total from base group by gen", owner="o")

@product(owner="o")
def right_side(base: pl.LazyFrame) -> pl.LazyFrame:
    tell("t.right_side")
    return base.group_by("gen").agg(pl.len().cast(pl.Int64).alias("n"))

class Joined(pa.DataFrameModel):
    gen: int = pa.Field(unique=True)
    total: int = pa.Field(ge=0)
    n: int = pa.Field(gt=0)

joined = sql_product("joined", "select l.gen, l.total, r.n from left_side l join right_side r using (gen)", owner="o",
    contract=Joined, rules=[
    rule.sql("there is one generation", "select count(*) as n from this having count(*) <> 1"),
    rule.sql("generations do not go back", "select t.gen from this t, previous p where t.gen < p.gen")])

@product(owner="o", file="letter.txt")
def letter(joined: pl.DataFrame) -> str:
    tell("t.letter")
    return f"{joined['gen'][0]}"

@product(owner="o", each="drops", rules=[rule.check("x is there", "x is not null"),
    rule.check("x is small", "x < 100", on_failure="quarantine", fail_above="50 %")])
def lines(drops: pl.LazyFrame) -> pl.LazyFrame:
    frame = drops.select("day", "gen", "x").collect()
    tell(f"t.lines {frame['day'][0]}")
    return frame.lazy()

daily = sql_product("daily", "select day, max(gen) as gen, sum(x)::bigint as x from lines group by 1", owner="o",
    partition_by="day", freshness=Freshness(by="07:00", covers="previous day"))

cut = sql_product("cut", "select k, gen, sum(x)::bigint as x from base group by all", owner="o", partition_by="k")

journal = sql_product("journal", "from previous union all by name select gen, count(*) as n from base group by gen",
    owner="o", contract=pa.DataFrameSchema({"gen": pa.Column(int), "n": pa.Column(int)}))

summary = sql_product("summary", "select max(j.gen) as gen, max(d.gen) as daily_gen, max(c.gen) as cut_gen,"
    " max(k.gen) as kept_gen from joined j, daily d, cut c, kept k", owner="o", rules=[
    rule.sql("all is of one generation", "select * from this where gen <> daily_gen or gen <> cut_gen or gen <> kept_gen")])

steady = sql_product("steady", "select count(*) > 0 as something from base", owner="o")

@product(owner="o")
def below_steady(steady: pl.LazyFrame) -> pl.LazyFrame:
    tell("t.below_steady")
    return steady

strict = sql_product("strict", "select gen from base", owner="o", rules=[
    rule.sql("the second generation is barred", "select gen from this where gen = 2")], budget="1 held back a year")

after_strict = sql_product("after_strict", "select distinct gen from strict", owner="o")
"""
DAYS = [f"2024-01-0{n}" for n in range(1, 6)]


def write(root: Path, catalog: str = "") -> None:
    """Write the project, its data as of generation 1, its catalog in a file or at an address."""
    (root / "products").mkdir(parents=True)
    setting = f'catalog = "{catalog}"\n' if catalog else ""
    (root / "pyproject.toml").write_text(f"[tool.products]\njobs = 2\n{setting}")
    (root / "products/t.py").write_text(DEFINITIONS)
    generation(root, 1)


def generation(root: Path, number: int) -> None:
    """Replace the data by that of a generation: all numbers, and one day's drop."""
    for name in ("data", "drops"):
        (root / name).mkdir(exist_ok=True)
    rows = [f"{number},{k},{k * 10 + number}" for k in range(1, 4)]
    (root / "data/a.csv").write_text("\n".join(["gen,k,x", *rows, f"{number},9,500"]) + "\n")
    for index, day in enumerate(DAYS):
        if number == 1 or index == number % len(DAYS):
            (root / f"drops/{day}.csv").write_text(
                f"gen,x\n{number},{index}\n{number},{index + number}\n{number},{index + 500}\n"
            )


def asking(root: Path) -> None:
    """Declare a product that asks for approval, and one that is built from it."""
    with (root / "products/t.py").open("a") as file:
        file.write(
            'signed = sql_product("signed", "select max(gen) as gen from base", owner="o",'
            ' approval=["cfo@shop.example"])\n'
            'after_signed = sql_product("after_signed", "from signed", owner="o")\n'
        )


def recoded(root: Path) -> None:
    """Change the code of what is made day by day."""
    file = root / "products/t.py"
    file.write_text(
        file.read_text().replace(
            'select("day", "gen", "x")', 'select("day", "gen", pl.col("x") + 1)'
        )
    )


def undeclared(root: Path) -> None:
    """Take the declaration of a product away that nobody reads."""
    file = root / "products/t.py"
    text = file.read_text()
    start = text.index('@product(owner="o")\ndef below_steady')
    file.write_text(text[:start] + text[text.index("strict = ") :])
