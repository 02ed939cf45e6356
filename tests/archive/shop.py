"""A small project whose evidence is asked for: parts, a function, a file, a waiver, what is sensitive."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import Place, Ran

PRODUCTS = """
from .helpers import doubled

visits = source.files("visits/{day:date}.csv", columns={"id": "bigint", "email": "varchar", "paid": "decimal(9,2)"})

sql_product("lines", "select x, x * 0.5 as half from numbers", owner="ann@shop.example", purpose="<b>All</b> lines.",
    rules=[rule.sql("x is small", "from this where x > 3", because="A & B agreed.", dimension="accuracy")])
sql_product("paid", "select day, email, paid from visits", owner="ann@shop.example", each="visits",
    contract=pa.DataFrameSchema({"email": pa.Column(str, metadata={"sensitive": True})}),
    rules=[rule.check("something is paid", "paid > 0", severity="warning")])
sql_product("total", "select sum(x)::bigint as total, sum(half)::double as half from lines", owner="bob@shop.example",
    freshness=Freshness(by="07:00"))

@product(owner="ann@shop.example")
def twice(numbers: pl.LazyFrame) -> pl.LazyFrame:
    return doubled(numbers)

@product(owner="bob@shop.example", file="note.txt")
def note(total: pl.LazyFrame) -> str:
    return f"{total.collect().item(0, 0)} in all"
"""
HELPERS = """import polars as pl

BY = 2
ADDRESS = "postgresql://ann:hunter2@db.example/shop"

def doubled(frame):
    return frame.with_columns(pl.col("x") * BY)
"""
NIGHT = "2024-01-02T06:00"


def declare(place: Place) -> None:
    place.write("products/helpers.py", HELPERS)
    place.write("products/sales.py", PRODUCTS, header=True)
    for day in (1, 2):
        place.write(
            f"visits/2024-01-0{day}.csv", f"id,email,paid\n{day},ann{day}@x.example,{day}.50\n"
        )


def built(place: Place) -> Place:
    """Declare and build everything: release 1."""
    declare(place)
    ran = place.run("materialize", "--now", NIGHT)
    assert ran.code == 0, ran.out + ran.err
    return place


def write(place: Place, name: str, *more: str) -> dict[str, Any]:
    """Write the evidence of a product to e.zip, and return evidence.json."""
    ran = place.run("evidence", name, "--to", "e.zip", "--overwrite", *more)
    assert ran.code == 0, ran.out + ran.err
    return read(place)


def read(place: Place) -> dict[str, Any]:
    with zipfile.ZipFile(place.root / "e.zip") as archive:
        return dict(json.loads(archive.read("evidence.json")))


def verify(place: Place, *more: str) -> Ran:
    return place.run("evidence", "--verify", "e.zip", "--json", *more)


def forge(file: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """Change what the entries of an archive hold; the manifest is that of before, if not changed too."""
    with zipfile.ZipFile(file) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    change(entries)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def sealed(entries: dict[str, bytes]) -> None:
    """Make a manifest that agrees with the entries: what a careful forger would do."""
    import hashlib

    lines = [
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in sorted(entries.items())
        if name != "MANIFEST"
    ]
    entries["MANIFEST"] = "".join(lines).encode()


def entries(place: Place, prefix: str) -> dict[str, str]:
    """Return the texts of the entries of e.zip whose names begin like this."""
    with zipfile.ZipFile(place.root / "e.zip") as archive:
        return {n: archive.read(n).decode() for n in archive.namelist() if n.startswith(prefix)}
