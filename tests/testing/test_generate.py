"""A test is written from rows that belong together, without sensitive values, and passes at once."""

import re

import pytest

from tests.conftest import Place

pytestmark = pytest.mark.long

DECLARED = """
from assay import parts
raw = source.files("raw/{day:date}.csv", columns={"id": "bigint", "mail": "varchar", "shop": "varchar", "amount": "decimal(18,2)"}, event_time="day")
shops = source.files("shops.csv", columns={"code": "varchar", "city": "varchar", "leased": "varchar"})
people = source.files("people.csv", columns={"who": "varchar", "n": "double", "kind": "varchar"})
letter = source.file("letter.txt")

class Buyers(pa.DataFrameModel):
    mail: str = pa.Field(metadata={"sensitive": True})
    shop: str
    paid: float

sql_product("buyers", "select mail, shop, sum(amount)::double as paid from raw group by all", owner="ann", contract=Buyers)
sql_product("a_city", "select city, mail, sum(paid) as paid from buyers join shops on code = shop group by all", owner="ann", contract=type("C", (pa.DataFrameModel,), {
    "__annotations__": {"mail": str}, "mail": pa.Field(metadata={"sensitive": True})}))

@product(owner="ann", contract=Buyers)
def known(people: pl.LazyFrame) -> pl.LazyFrame:
    return people.select(pl.col("who").str.to_lowercase().alias("mail"), pl.lit("s").alias("shop"), pl.col("n").alias("paid"))

@product(owner="ann", each="raw")
def lines(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.select("id", "amount")

@product(owner="ann", each="lines")
def more(lines: pl.LazyFrame) -> pl.LazyFrame:
    return lines.with_columns(tags=pl.concat_list(pl.col("id").cast(pl.String), pl.lit('a "b", c')), of=pl.struct("amount"), half=pl.col("amount").cast(pl.Float64) / 3)

sql_product("days", "select current_date - day as age, count(*) as n from raw group by all", owner="ann", changes_with="day")

@product(owner="ann")
def chance(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.with_columns(pl.lit(id(object())).alias("n"), pl.lit(str(Path("count").stat().st_mtime_ns if Path("count").touch() is None else 0)).alias("t"))

@product(owner="ann")
def fails(raw: pl.DataFrame) -> pl.DataFrame:
    return raw.with_columns(pl.col("mail").str.to_integer())

@product(owner="ann")
def every(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.select("id").join(pl.LazyFrame({"n": range(100)}), how="cross")

@product(owner="ann", file="note.txt")
def note(lines: pl.DataFrame) -> str:
    return f"{lines.height} lines\\n"

@product(owner="ann", file="note.bin")
def binary(lines: pl.DataFrame) -> bytes:
    return b"\\xff"

@product(owner="ann")
def from_file(letter: Path) -> pl.DataFrame:
    return pl.DataFrame({"a": [letter.read_text()]})

@product(owner="ann")
def alone() -> pl.DataFrame:
    return pl.DataFrame({"a": [1, None], "b": ["x", None]})
"""


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("products/sales.py", DECLARED, header=True)
    place.write("letter.txt", "Dear")
    people = [f"person{number}@mail.example" for number in range(50)]
    for day in (7, 8, 9):
        rows = [f"{day * 1000 + n},{people[(n * day) % 50]},s{n % 20},{n}.50" for n in range(100)]
        place.write(f"raw/2011-12-{day:02}.csv", "\n".join(["id,mail,shop,amount", *rows]) + "\n")
    codes = [f"s{n},City {n},{people[n]}" for n in range(40)]
    place.write("shops.csv", "\n".join(["code,city,leased", *codes]) + "\n")
    names = ["Ann Smith", "Bob Jones", "Cy Young"]
    place.write(
        "people.csv",
        "who,n,kind\n" + "".join(f"{name},{n},kind {n}\n" for n, name in enumerate(names)),
    )
    # `fails` is made only to fail, and `chance` writes to the project.
    place.run("materialize", "--exclude", "fails", "--exclude", "chance")
    return place


def generated(place: Place, name: str, *arguments: str) -> str:
    ran = place.run("test", "--generate", name, *arguments)
    assert ran.code == 0, ran.err
    file = re.search(r"products/\S+\.sample\.test\.toml", ran.out)
    assert file, ran.out
    text = (place.root / file[0]).read_text()
    assert place.run("test", name).code == 0
    return text


def test_sensitive_values_are_masked_and_joins_still_join(shop: Place) -> None:
    text = generated(shop, "a_city")
    assert "@mail.example" not in text
    assert "person" not in text
    assert "Masked: sales.buyers.mail, sales.shops.leased." in text
    expected = text.partition("expect")[2].strip().splitlines()[2:-1]
    assert len(expected) == 10  # each buyer has a shop
    for line in expected:
        assert re.fullmatch(r"City \d+,\s+[a-z]{6}\d+@[a-z]{4}\.[a-z]{7},\s+[\d.]+", line), line
    text = generated(shop, "buyers")  # the source does not say that a column is sensitive
    assert "@mail.example" not in text
    assert len(set(re.findall(r"2011-12-0\d", text))) == 2


def test_values_of_sensitive_columns_are_masked_under_other_names(shop: Place) -> None:
    """Only by their values: nothing says that `who` of the source is what `mail` of the product is."""
    text = generated(shop, "known")
    assert "Masked: sales.people.who." in text
    assert not [name for name in ("Smith", "smith", "Jones", "Young") if name in text]
    assert "kind 1" in text


def test_the_same_test_is_written_each_time_and_no_file_is_overwritten(shop: Place) -> None:
    first = generated(shop, "more", "--rows", "4")
    again = shop.run("test", "--generate", "more")
    assert again.code == 2
    assert "products/more.sample.test.toml is there already, and is not overwritten" in again.err
    (shop.root / "products/more.sample.test.toml").unlink()
    assert generated(shop, "more", "--rows", "4") == first
    assert first.count('"[""') == 4  # lists and structs are JSON, in quotes
    (shop.root / "products/more.sample.test.toml").unlink()
    (shop.root / "products/more.sample.test.toml").symlink_to("nowhere")
    assert shop.run("test", "--generate", "more").code == 2
    assert not (shop.root / "products/nowhere").exists()


def test_parts_time_and_products_without_inputs(shop: Place) -> None:
    assert "day" in generated(shop, "more")  # its part, which the rows of `lines` do not tell
    assert re.search(r"^now = \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", generated(shop, "days"), re.M)
    assert 'expect = """\n10 lines\n"""' in generated(shop, "note")
    assert "\n,\n1, x\n" in generated(shop, "alone")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nothing", "there is no product 'nothing'"),
        ("fails", "cannot be built from a sample of what it reads"),
        ("every", "rows come of the sample"),
        ("binary", "no text file"),
        ("from_file", "sales.letter is a file"),
        ("chance", "gave something else the second time"),
    ],
)
def test_products_of_which_no_test_is_made(shop: Place, name: str, why: str) -> None:
    ran = shop.run("test", "--generate", name)
    assert ran.code in {1, 2}
    assert why in ran.err
    assert "@mail.example" not in ran.err
    assert not list(shop.root.glob("products/*.toml"))


def test_what_is_not_published_has_no_rows(place: Place) -> None:
    place.write("products/sales.py", 'sql_product("a", "from numbers", owner="o")\nsql_product("b", "from a", owner="o")', header=True)  # fmt: skip
    place.run("materialize", "a")
    generated(place, "b")
    place.environment("empty")
    place.run("env", "create", "trial")
    place.run("materialize", "--env", "trial", "-s", "b")
    (place.root / "products/b.sample.test.toml").unlink()
    ran = place.run("test", "--generate", "b", "--env", "empty")
    assert "sales.a is not published" in ran.err
    for arguments in (["--rows", "3"], ["--env", "x"], ["--generate", "b", "a"]):
        assert place.run("test", *arguments).code == 2
