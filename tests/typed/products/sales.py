"""Orders and revenue, typed: `mypy --strict` and pyright read it."""

from datetime import date

import pandera.polars as pa
import polars as pl

import assay
from assay import Column, Consumer, Freshness, product, rule, source, sql_product

raw_orders = source.files(
    "data/*.csv",
    owner="shop@shop.example",
    columns={
        "id": "bigint",
        "day": Column("date", description="when it was ordered"),
        "amount": pl.Float64,
    },
)


class Orders(pa.DataFrameModel):
    """One row for each order."""

    id: int = pa.Field(unique=True)
    day: date
    amount: float = pa.Field(ge=0)


@product(
    owner="sales@shop.example", contract=Orders, event_time="day", rules=[rule.rows(at_least=1)]
)
def orders(raw_orders: pl.LazyFrame) -> pl.LazyFrame:
    """Every order once."""
    return raw_orders.unique()


@product(owner="sales@shop.example", retries=2, timeout="5m")
def large_orders(orders: pl.DataFrame, least: float = 100.0) -> pl.DataFrame:
    """Orders of at least an amount."""
    return orders.filter(pl.col("amount") >= least)


revenue = sql_product(
    "revenue",
    "select day, sum(amount) as revenue from orders group by day",
    owner="sales@shop.example",
    purpose="Revenue a day.",
    freshness=Freshness(
        by="07:00", tz="Europe/London", on="Mon-Fri", covers="previous working day"
    ),
    consumers=[Consumer(name="discount desk", decides="tomorrow's discounts")],
    rules=[
        rule.check(
            "revenue is positive", "revenue > 0", because="It always was.", fail_above="1 %"
        ),
        rule.sql(
            "no day is a third of all",
            "from this where revenue > 0.3 * (select sum(revenue) from this)",
            severity="warning",
        ),
    ],
)


def called() -> pl.DataFrame:
    """A declared function keeps its signature."""
    frame = pl.DataFrame({"id": [1], "day": [date(2024, 1, 5)], "amount": [120.0]})
    return large_orders(frame, least=50.0)


def reading() -> float:
    """Read what is published."""
    frame: pl.LazyFrame = assay.read("sales.revenue", as_of=date(2024, 1, 5))
    notes: list[str] = [note.upper() for note in assay.notes("sales.revenue")]
    held = [view.plan.product for view in assay.status() if view.state == "held back"]
    planned = [view.product for view in assay.plan(env="try")]
    total = frame.select(pl.col("revenue").sum()).collect().item()
    return float(total) + len(notes) + len(held) + len(planned)


def mistakes() -> None:
    """What is wrong is reported: a comment that ignores nothing is an error itself."""
    orders(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    orders()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    wrong: int = orders(pl.LazyFrame())  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    sql_product("q", "from orders", owner=wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sql_product("q", "from orders", ownr="o")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    rule.check("x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Consumer("desk")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assay.read(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
