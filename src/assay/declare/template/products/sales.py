"""Two data products: orders, typed; and revenue a day."""

import pandera.polars as pa
import polars as pl

from assay import Consumer, product, rule, source, sql_product

raw_orders = source.files(
    "data/orders*.csv",
    columns={
        "order_id": pl.Int64,
        "ordered_at": pl.Datetime,
        "customer": pl.String,
        "amount": pl.Float64,
    },
)


class Orders(pa.DataFrameModel):
    order_id: int = pa.Field(unique=True)
    ordered_at: pl.Datetime
    customer: str
    amount: float = pa.Field(ge=0)


@product(
    owner="you@company.example",
    purpose="Every order once, typed.",
    contract=Orders,
    event_time="ordered_at",
)
def orders(raw_orders: pl.LazyFrame) -> pl.LazyFrame:
    return raw_orders.unique()


daily_revenue = sql_product(
    "daily_revenue",
    """
    select ordered_at::date as day, round(sum(amount), 2) as revenue, max(amount) as largest
    from orders group by 1
    """,
    owner="you@company.example",
    purpose="Revenue a day. You decide tomorrow's discounts from it.",
    event_time="day",
    rules=[
        rule.sql(
            "no single order is nine tenths of a busy day's revenue",
            "select day, largest, revenue from this where revenue > 1000 and largest > 0.9 * revenue",
            because="A mistyped amount looks like a very good day.",
        ),
    ],
    consumers=[Consumer(name="you", decides="tomorrow's discounts")],
)
