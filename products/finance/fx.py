"""Exchange rates, and revenue in euros."""

import pandera.polars as pa
import polars as pl

from assay import Consumer, product, rule, source

# The European Central Bank's file is wide: a column a currency. We need those that the shop is paid in.
CURRENCIES = ["GBP", "USD", "CHF", "SEK", "NOK", "DKK", "PLN", "JPY", "AUD"]

ecb_rates = source.files(
    "fixtures/fx/eurofxref-*.csv",
    owner="treasury@shop.example",
    purpose="Euro reference rates of the European Central Bank: units of a currency for one euro.",
    columns={"Date": (pl.Date, "business day of the bank")}
    | {currency: (pl.Float64, f"{currency} for one euro") for currency in CURRENCIES},
    null_values=["N/A"],
)


class FxRates(pa.DataFrameModel):
    """A day and currency a row."""

    day: pl.Date = pa.Field(description="business day of the bank")
    currency: str = pa.Field(isin=CURRENCIES, description="ISO code of the currency")
    rate: float = pa.Field(gt=0, description="units of the currency for one euro")

    class Config:
        unique = ["day", "currency"]


@product(
    owner="treasury@shop.example",
    purpose="Units of a currency for one euro, a row a day and currency. Treasury decides from it what to hedge.",
    contract=FxRates,
    event_time="day",
    rules=[
        rule.sql(
            "no rate jumps by a tenth overnight",
            """
            select currency, day, rate, before from (
              select *, lag(rate) over (partition by currency order by day) as before from this
            ) where abs(rate / before - 1) > 0.1
            """,
            severity="warning",
            dimension="accuracy",
        )
    ],
    consumers=[Consumer(name="treasury", decides="what to hedge")],
    tags=["fx"],
)
def fx_rates(ecb_rates: pl.LazyFrame) -> pl.LazyFrame:
    return (
        ecb_rates.rename({"Date": "day"})
        .unpivot(index="day", on=CURRENCIES, variable_name="currency", value_name="rate")
        .drop_nulls("rate")
    )


class DailyRevenueEur(pa.DataFrameModel):
    """A day a row."""

    day: pl.Date = pa.Field(unique=True, description="trading day")
    net: float = pa.Field(description="net revenue in pounds")
    rate: float = pa.Field(gt=0, description="pounds for one euro")
    rate_of: pl.Date = pa.Field(description="day of that rate: the last one known")
    net_eur: float = pa.Field(description="net revenue in euros")


@product(
    owner="finance-data@shop.example",
    purpose="Net revenue a day in euros, at the last known rate. The board's pack is made of it.",
    partition_by="day",
    contract=DailyRevenueEur,
    event_time="day",
    rules=[
        rule.sql(
            "every day of revenue has its value in euros",
            """
            select d.day, d.net from daily_revenue d
            left join this t using (day) where t.net_eur is null order by d.day
            """,
            dimension="coverage",
            because="The shop trades on Sundays and the central bank does not: joined plainly, five Sundays vanish.",
        ),
        rule.sql(
            "no rate is older than five days",
            "select day, rate_of from this where day - rate_of > 5",
            dimension="timeliness",
        ),
    ],
    consumers=[Consumer(name="board", decides="the euro dividend", contact="board@shop.example")],
    tags=["fx"],
)
def daily_revenue_eur(daily_revenue: pl.LazyFrame, fx_rates: pl.LazyFrame) -> pl.LazyFrame:
    revenue = daily_revenue.select("day", pl.col("net").cast(pl.Float64)).sort("day")
    pounds = (
        fx_rates.filter(pl.col("currency") == "GBP")
        .select("day", "rate", pl.col("day").alias("rate_of"))
        .sort("day")
    )
    return revenue.join_asof(pounds, on="day").with_columns(
        (pl.col("net") / pl.col("rate")).alias("net_eur")
    )
