"""Sales: what the shop's invoices say, line by line, before anyone adds anything up."""

from typing import Annotated

import pandera.polars as pa
import polars as pl

from assay import Consumer, Freshness, calendar, product, rule, source, sql_product

OWNER = "shop-platform@shop.example"

# The shop trades on Sundays, and neither on Saturdays nor on bank holidays.
SHOP = calendar(holidays="GB-ENG", weekmask="Sun Mon Tue Wed Thu Fri")

raw_sales = source.files(
    "fixtures/retail/{day:date}.csv.gz",
    owner=OWNER,
    purpose="One drop a trading night, and so one part a day: every invoice line of it.",
    freshness=Freshness(by="21:30", tz="Europe/London", on=SHOP, covers="today"),
    # Everything is read as text: what a line *is* decides whether it is there twice.
    columns={
        "InvoiceNo": (pl.String, "number of the invoice; C in front of a cancellation"),
        "StockCode": (pl.String, "what was sold; a word for postage, fees and discounts"),
        "Description": (pl.String, "what it is called, or a note of the warehouse"),
        "Quantity": (pl.String, "units; negative when goods come back"),
        "InvoiceDate": (pl.String, "date and time of the invoice, in local time"),
        "UnitPrice": (pl.String, "pounds a unit"),
        "CustomerID": (pl.String, "number of the customer, as a decimal; empty for unknown"),
        "Country": (pl.String, "where the customer lives, as the shop writes it"),
    },
)

country_codes = source.files(
    "fixtures/reference/country-codes.csv",
    owner="reference-data@shop.example",
    purpose="ISO 3166 countries. Namibia's code is NA: no text is taken for a null here.",
    columns={
        "ISO3166-1-Alpha-2": (pl.String, "code of two letters"),
        "CLDR display name": (pl.String, "the country's usual English name"),
        "Region Name": (pl.String, "continent"),
    },
)

# How the shop writes countries that the reference list writes otherwise. Jersey stands for both Channel Islands.
COUNTRY_ALIASES = {
    "United Kingdom": "GB",
    "EIRE": "IE",
    "USA": "US",
    "Czech Republic": "CZ",
    "Channel Islands": "JE",
}
UNKNOWN_COUNTRY = ("Unspecified", "ZZ", "Unknown")

Money = Annotated[pl.Decimal, 18, 2]


class SalesLines(pa.DataFrameModel):
    """An invoice line a row."""

    invoice: str = pa.Field(
        str_matches=r"^C?\d{6}$", description="number of the invoice; C in front of a cancellation"
    )
    stock_code: str = pa.Field(description="what was sold; a word for postage, fees and discounts")
    description: str = pa.Field(nullable=True, description="what it is called")
    quantity: int = pa.Field(ne=0, description="units; negative when goods come back")
    invoiced_at: pl.Datetime = pa.Field(description="when, in local time")
    unit_price: Money = pa.Field(ge=0, description="pounds a unit")
    amount: Money = pa.Field(description="quantity times unit price, in pounds")
    customer: str = pa.Field(nullable=True, description="number of the customer, if known")
    country: str = pa.Field(description="where the customer lives, as the shop writes it")
    is_cancellation: bool = pa.Field(description="whether the invoice takes goods back")
    is_merchandise: bool = pa.Field(description="whether it is goods: no postage, fee or discount")

    class Config:
        strict = True


@product(
    owner=OWNER,
    purpose="Every invoice line once, typed, with cancellations marked. Everything about revenue is made of it.",
    each="raw_sales",
    contract=SalesLines,
    event_time="invoiced_at",
    rules=[
        rule.sql(
            "a cancellation takes goods back",
            "select invoice, stock_code, quantity from this where is_cancellation and quantity > 0",
            dimension="consistency",
        ),
        rule.sql(
            "at most half of a day's lines have no customer",
            """
            select invoiced_at::date as day, count(*) as lines, count(*) - count(customer) as without_customer
            from this group by 1 having count(customer) < 0.5 * count(*)
            """,
            severity="warning",
            dimension="completeness",
            because="On an ordinary night it is under 48 %; more is a till that forgot to ask.",
        ),
    ],
    consumers=[
        Consumer(name="merchandising", decides="what to order again", contact="merch@shop.example")
    ],
    tags=["retail"],
)
def sales_lines(raw_sales: pl.LazyFrame) -> pl.LazyFrame:
    """A line is one of the distinct texts of a drop: an exact copy is the same line."""
    quantity = pl.col("Quantity").cast(pl.Int64)
    unit_price = pl.col("UnitPrice").cast(pl.Decimal(18, 2))
    stock_code = pl.col("StockCode")
    return raw_sales.unique().select(
        pl.col("InvoiceNo").alias("invoice"),
        stock_code.alias("stock_code"),
        pl.col("Description").str.strip_chars().alias("description"),
        quantity.alias("quantity"),
        pl.col("InvoiceDate").str.to_datetime("%Y-%m-%d %H:%M:%S").alias("invoiced_at"),
        unit_price.alias("unit_price"),
        (quantity.cast(pl.Decimal(18, 0)) * unit_price).cast(pl.Decimal(18, 2)).alias("amount"),
        pl.col("CustomerID").str.strip_suffix(".0").alias("customer"),
        pl.col("Country").alias("country"),
        pl.col("InvoiceNo").str.starts_with("C").alias("is_cancellation"),
        (stock_code.str.contains(r"^\d{5}") | stock_code.str.starts_with("DCGS")).alias(
            "is_merchandise"
        ),
    )


class StockAdjustments(pa.DataFrameModel):
    """An invoice line without a price a row."""

    invoice: str = pa.Field(description="number of the invoice")
    stock_code: str = pa.Field(description="what was adjusted")
    adjusted_at: pl.Datetime = pa.Field(description="when, in local time")
    quantity: int = pa.Field(description="units; negative when they are gone")
    reason: str = pa.Field(nullable=True, description="note of the warehouse")
    kind: str = pa.Field(
        isin=["written off", "found or free"], description="by the sign of the quantity"
    )


@product(
    owner="warehouse@shop.example",
    purpose="Lines without a price: write-offs, found stock, free goods. The warehouse decides what to count again.",
    each="sales_lines",
    contract=StockAdjustments,
    event_time="adjusted_at",
    consumers=[
        Consumer(
            name="warehouse", decides="which shelves to count", contact="warehouse@shop.example"
        )
    ],
    tags=["retail"],
)
def stock_adjustments(sales_lines: pl.LazyFrame) -> pl.LazyFrame:
    return sales_lines.filter(pl.col("unit_price") == 0).select(
        "invoice",
        "stock_code",
        pl.col("invoiced_at").alias("adjusted_at"),
        "quantity",
        pl.col("description").alias("reason"),
        pl.when(pl.col("quantity") < 0)
        .then(pl.lit("written off"))
        .otherwise(pl.lit("found or free"))
        .alias("kind"),
    )


class FeesAndCharges(pa.DataFrameModel):
    """A day and kind of charge a row."""

    day: pl.Date = pa.Field(description="day of the invoices")
    charge: str = pa.Field(description="stock code of the charge")
    lines: int = pa.Field(gt=0, description="invoice lines of it")
    amount: Money = pa.Field(description="their sum in pounds")

    class Config:
        unique = ["day", "charge"]


fees_and_charges = sql_product(
    "fees_and_charges",
    """
    select invoiced_at::date as day, stock_code as charge, count(*) as lines, sum(amount) as amount
    from sales_lines
    where not is_merchandise
    group by all
    """,
    owner="finance-data@shop.example",
    purpose="Postage, marketplace fees, discounts: what is invoiced and is no merchandise. "
    "Finance decides which fees to contest.",
    partition_by="day",
    contract=FeesAndCharges,
    event_time="day",
    consumers=[Consumer(name="finance", decides="which marketplace fees to contest")],
    tags=["retail"],
)


class CountriesMapped(pa.DataFrameModel):
    """A way to write a country a row."""

    country: str = pa.Field(unique=True, description="country as it is written")
    alpha2: str = pa.Field(str_matches=r"^[A-Z]{2}$", description="ISO code; ZZ for unknown")
    region: str = pa.Field(nullable=True, description="continent")
    lines: int = pa.Field(ge=0, description="invoice lines that write it so")


@product(
    owner="reference-data@shop.example",
    purpose="Every way a country is written, with its ISO code. The VAT desk decides from it where tax is due.",
    contract=CountriesMapped,
    rules=[
        rule.sql(
            "no line's country is unknown",
            """
            select s.country, count(*) as lines from sales_lines s
            left join this t using (country) where t.country is null group by 1 order by 2 desc
            """,
            dimension="coverage",
            because="Six countries are written the shop's own way: joined plainly, 104,179 of 110,236 lines vanish.",
        ),
        rule.sql(
            "Namibia's code is NA",
            "select country, alpha2 from this where country = 'Namibia' and alpha2 is distinct from 'NA'",
            dimension="accuracy",
        ),
    ],
    consumers=[Consumer(name="VAT desk", decides="where tax is due", contact="vat@shop.example")],
)
def countries_mapped(country_codes: pl.LazyFrame, sales_lines: pl.LazyFrame) -> pl.LazyFrame:
    known = country_codes.select(
        pl.col("CLDR display name").alias("country"),
        pl.col("ISO3166-1-Alpha-2").alias("alpha2"),
        pl.col("Region Name").alias("region"),
    )
    aliases = pl.LazyFrame(
        {"country": list(COUNTRY_ALIASES), "alpha2": list(COUNTRY_ALIASES.values())}
    ).join(known.select("alpha2", "region"), on="alpha2", how="left")
    unknown = pl.LazyFrame([UNKNOWN_COUNTRY], schema=["country", "alpha2", "region"], orient="row")
    lines = sales_lines.group_by("country").agg(pl.len().cast(pl.Int64).alias("lines"))
    return (
        pl.concat([known, aliases, unknown])
        .join(lines, on="country", how="left")
        .with_columns(pl.col("lines").fill_null(0))
    )
