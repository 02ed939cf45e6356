"""The example's products are tested as those of any project: by functions here, and by the files beside them."""

from datetime import date

from assay.testing.fixture import Build
from tests.conftest import Place


def test_a_sunday_has_the_rate_of_the_friday_before(build: Build) -> None:
    """The shop trades on Sundays, and the central bank does not."""
    friday, sunday, monday = (date(2011, 12, day) for day in (9, 11, 12))
    result = build(
        "finance.daily_revenue_eur",
        inputs={
            "daily_revenue": [{"day": friday, "net": 85}, {"day": sunday, "net": 170}],
            "fx_rates": [
                {"day": friday, "currency": "GBP", "rate": 0.85},
                {"day": friday, "currency": "USD", "rate": 1.34},
                {"day": monday, "currency": "GBP", "rate": 0.9},
            ],
        },
    )
    result.expect(
        [
            {"day": friday, "rate_of": friday, "net_eur": 100},
            {"day": sunday, "rate_of": friday, "net_eur": 200},
        ]
    )
    assert result.held_by == ()


def test_a_rate_of_last_week_holds_the_day_back(build: Build) -> None:
    result = build(
        "finance.daily_revenue_eur",
        inputs={
            "daily_revenue": "day, net\n2011-12-09, 85\n",
            "fx_rates": "day, currency, rate\n2011-12-02, GBP, 0.85\n",
        },
    )
    assert result.held_by == ("no rate is older than five days",)
    [row] = result.failing("older than five days")
    assert row == {"day": date(2011, 12, 9), "rate_of": date(2011, 12, 2)}


def test_the_files_of_tests_pass(example: Place) -> None:
    ran = example.run("test")
    assert ran.code == 0, ran.out
    assert ran.out.endswith(" passed\n")
