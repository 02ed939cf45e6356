"""Revenue: what the shop earned, a day and a month, and who decides from it."""

from pathlib import Path
from typing import Annotated

import pandera.polars as pa
import polars as pl

from assay import Consumer, Freshness, product, rule, source, sql_product

OWNER = "finance-data@shop.example"
Money = Annotated[pl.Decimal, 18, 2]

bank_holidays = source.files(
    "fixtures/calendar/gb-eng-bank-holidays-*.csv",
    owner=OWNER,
    purpose="Bank holidays in England.",
    columns={"date": (pl.Date, "day off"), "name": (pl.String, "what is celebrated")},
)


class DailyRevenue(pa.DataFrameModel):
    """A trading day a row."""

    day: pl.Date = pa.Field(unique=True, description="trading day")
    lines: int = pa.Field(gt=0, description="invoice lines, cancellations too")
    invoices: int = pa.Field(gt=0, description="invoices, cancellations too")
    gross: Money = pa.Field(ge=0, description="pounds sold, charges included")
    cancelled: Money = pa.Field(le=0, description="pounds taken back, negative")
    net: Money = pa.Field(description="gross less what was cancelled")
    largest_line: Money = pa.Field(
        description="the most pounds in one line, of those not cancelled the same day"
    )


daily_revenue = sql_product(
    "daily_revenue",
    "daily_revenue.sql",
    owner=OWNER,
    purpose="Net revenue a day. The discount desk sets tomorrow's discounts from it.",
    partition_by="day",
    contract=DailyRevenue,
    event_time="day",
    rules=[
        rule.sql(
            "no single line is over a quarter of the day's gross",
            """
            select day, largest_line, gross, round(largest_line / gross, 4) as share
            from this where largest_line > 0.25 * gross
            """,
            because="On 2011-12-09 one mistyped order was 97 % of the morning; it was cancelled twelve minutes later.",
            dimension="accuracy",
        ),
        rule.sql(
            "net is gross less what was cancelled",
            "select day, gross, cancelled, net from this where net <> gross + cancelled",
            dimension="consistency",
        ),
        rule.sql(
            "no past day loses more than a tenth of its revenue",
            """
            select t.day, p.net as was, t.net as is_now
            from this t join previous p using (day) where t.net < 0.9 * p.net
            """,
            severity="warning",
            dimension="consistency",
        ),
    ],
    freshness=Freshness(
        by="07:00",
        tz="Europe/London",
        on="GB-ENG",
        covers="previous trading day",
        warn_before="45m",
        at_least="95 %",
    ),
    consumers=[
        Consumer(name="discount desk", decides="next day's discounts", contact="desk@shop.example")
    ],
    tags=["revenue"],
)


class RefundRate(pa.DataFrameModel):
    """A day a row."""

    day: pl.Date = pa.Field(unique=True, description="trading day")
    gross: Money = pa.Field(gt=0, description="pounds of merchandise sold")
    cancelled: Money = pa.Field(ge=0, description="pounds of merchandise taken back")
    rate: float = pa.Field(ge=0, description="cancelled as a share of gross")


refund_rate = sql_product(
    "refund_rate",
    """
    select
        invoiced_at::date as day,
        sum(amount) filter (not is_cancellation) as gross,
        coalesce(-sum(amount) filter (is_cancellation), 0) as cancelled,
        round(coalesce(-sum(amount) filter (is_cancellation), 0)::double
              / sum(amount) filter (not is_cancellation)::double, 4) as rate
    from sales.sales_lines
    where is_merchandise
    group by all
    """,
    owner="customer-care@shop.example",
    purpose="Share of a day's merchandise that was cancelled. Customer care decides how many people to put on returns.",
    partition_by="day",
    contract=RefundRate,
    event_time="day",
    rules=[
        rule.sql(
            "at most a third of a day's merchandise is cancelled",
            "select day, gross, cancelled, rate from this where rate > 0.333",
            severity="warning",
            because="Marketplace fees look like refunds too: they are left out, and what remains is worth a look.",
        )
    ],
    consumers=[Consumer(name="customer care", decides="how many people work on returns")],
    tags=["revenue"],
)


class MonthClose(pa.DataFrameModel):
    """A month a row."""

    month: pl.Date = pa.Field(unique=True, description="first day of the month")
    trading_days: int = pa.Field(description="days with revenue")
    expected_days: int = pa.Field(
        description="days on which the shop trades, up to the last of them"
    )
    lines: int = pa.Field(description="invoice lines, cancellations too")
    net: Money = pa.Field(description="net revenue in pounds")
    merchandise_net: Money = pa.Field(description="net less postage, fees and discounts")
    net_eur: float = pa.Field(description="net revenue in euros, at each day's rate")


month_close = sql_product(
    "month_close",
    "month_close.sql",
    owner=OWNER,
    purpose="A month's revenue, in pounds and euros. The chief financial officer signs it off.",
    partition_by="month(day)",
    contract=MonthClose,
    freshness=Freshness(
        by="08:00",
        tz="Europe/London",
        on="working day 3 of GB-ENG",
        covers="previous month",
    ),
    rules=[
        rule.sql(
            "no trading day is missing",
            "select month, trading_days, expected_days from this where trading_days <> expected_days",
            dimension="completeness",
        ),
        rule.reconciles("net", "daily_revenue", "net", text="the months add up to the days"),
    ],
    consumers=[Consumer(name="chief financial officer", decides="whether the month can be closed")],
    tags=["revenue"],
)


@product(
    file="revenue-pack.csv",
    owner=OWNER,
    purpose="The month as the chief financial officer reads it: a file to open and to sign.",
    consumers=[
        Consumer(
            name="chief financial officer",
            decides="what to tell the board",
            contact="cfo@shop.example",
        )
    ],
    rules=[rule.sql("the file is not empty", "select file, bytes from this where bytes < 100")],
    tags=["revenue"],
)
def cfo_pack(month_close: pl.DataFrame, to: Path) -> None:
    month_close.sort("month").with_columns(pl.col("net_eur").round(2)).write_csv(to)
