"""A bad pull request to the example, and its polite version: what `products check --against` says of each."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Place

GIT = ["git", "-c", "user.name=ann", "-c", "user.email=ann@shop.example"]


@pytest.fixture
def shop(tmp_path: Path) -> Place:
    """The example in a repository of its own, as it is on the main branch; without its data."""
    place = Place(tmp_path)
    shutil.copytree(ROOT / "products", tmp_path / "products", ignore=shutil.ignore_patterns("__*"))
    for file in ("pyproject.toml", "fixtures/calendar"):
        source = ROOT / file
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / file)
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "main"]):
        subprocess.run([*GIT, *command], cwd=tmp_path, check=True)
    return place


def edit(place: Place, file: str, *edits: tuple[str, str]) -> None:
    path = place.root / file
    text = path.read_text()
    for old, new in edits:
        assert old in text, (file, old)
        text = text.replace(old, new)
    path.write_text(text)


RENAMED = [
    ('amount: Money = pa.Field(description="quantity', 'net_amount: Money = pa.Field(description="quantity'),
    ('.alias("amount")', '.alias("net_amount")'),
]  # fmt: skip
KEPT = [
    (
        '    amount: Money = pa.Field(description="quantity',
        '    net_amount: Money = pa.Field(description="the same under its new name, in pounds")\n'
        '    amount: Money = pa.Field(description="quantity',
    ),
    (
        '        (quantity.cast(pl.Decimal(18, 0)) * unit_price).cast(pl.Decimal(18, 2)).alias("amount"),',
        '        (quantity.cast(pl.Decimal(18, 0)) * unit_price).cast(pl.Decimal(18, 2)).alias("amount"),\n'
        '        (quantity.cast(pl.Decimal(18, 0)) * unit_price).cast(pl.Decimal(18, 2)).alias("net_amount"),',
    ),
    (
        "    contract=SalesLines,\n",
        '    contract=SalesLines,\n    deprecated={"amount": "2099-03-01"},\n',
    ),
]


@pytest.mark.long
def test_nothing_changed(shop: Place) -> None:
    checked = shop.run("check", "--against", "main")
    assert (checked.code, checked.err) == (0, "")
    assert "0 errors, 0 warnings" in checked.out.splitlines()[-1]


def test_the_bad_one_is_refused_and_says_whom_it_affects(shop: Place) -> None:
    edit(shop, "products/sales.py", *RENAMED)
    edit(
        shop,
        "products/finance/revenue.py",
        ("largest_line > 0.25 * gross", "largest_line > 0.40 * gross"),
        ('by="07:00"', 'by="09:00"'),
        ("rate: float", "rate: Annotated[pl.Decimal, 4, 2]"),
    )
    checked = shop.run("check", "--against", "main")
    out = checked.out
    assert checked.code == 4
    start = "breaking   sales.sales_lines.amount       renamed to net_amount; "
    [breaking] = [line for line in out.splitlines() if line.startswith(start)]
    for user in ("finance.daily_revenue (", "finance.refund_rate (", "finance.month_close ("):
        assert user in breaking
    assert "may be used by finance.cfo_pack" in breaking
    [affected] = [line for line in out.splitlines() if "merchandising" in line]
    assert "chief financial officer (whether the month can be closed, due 08:00" in affected
    assert "discount desk (next day's discounts, due 07:00" in affected
    assert 'deprecated={"amount": ' in out
    assert "breaking   finance.daily_revenue          freshness by 07:00 -> 09:00" in out
    assert "breaking   finance.refund_rate.rate" in out
    assert 'rule "no single line is over a quarter of the day\'s gross" 0.25 -> 0.4' in out
    assert "products/finance/daily_revenue.sql:19:18: finance.daily_revenue: " in out
    assert "products/finance/revenue.py:98:13: finance.refund_rate: no column amount" in out
    assert not (shop.root / ".products/store").exists(), "nothing was built"


@pytest.mark.long
def test_the_polite_one_passes(shop: Place) -> None:
    edit(shop, "products/sales.py", *KEPT)
    edit(
        shop,
        "products/finance/revenue.py",
        ("largest_line > 0.25 * gross", "largest_line > 0.20 * gross"),
        ('by="07:00"', 'by="06:45"'),
    )
    checked = shop.run("check", "--against", "main")
    assert checked.code == 0, checked.out
    assert "sales.sales_lines.net_amount" in checked.out, "what is new is shown"
    assert "0 errors" in checked.out.splitlines()[-1]


@pytest.mark.long
def test_a_pipeline_reads_it_in_its_own_format(shop: Place) -> None:
    edit(shop, "products/sales.py", *RENAMED)
    checked = shop.run("check", "--against", "main", "--format", "github")
    assert checked.code == 4
    assert "::error file=products/finance/daily_revenue.sql,line=19,col=18" in checked.out
