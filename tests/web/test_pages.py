"""What pages show: approvals, environments, lineage of columns, limits in plots, when newer figures are expected."""

import re
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from assay.catalog.rows import _results_of
from assay.declare.project import open_project
from assay.plan.promise_state import State
from assay.views.freshness import FreshnessView
from assay.views.rules import RuleHistoryView
from assay.views.words.freshness import expected_line
from assay.web.looks import Looks
from assay.web.plots import limits_of, plotted
from tests.conftest import Place
from tests.web.test_files import words

LIMITS = """
from assay import rule, source, sql_product

raw = source.files("raw/*.csv", columns={"t": "timestamp", "x": "double", "g": "varchar"})
sql_product("other", "select t, x, g from raw", owner="o", event_time="t")
sql_product(
    "p", "select t, x, g from raw", owner="o", event_time="t",
    rules=[
        rule.rows(text="enough", at_least=1, at_most=1_000),
        rule.changes("sum(x)", text="moves", within="±40 %"),
        rule.reconciles("sum(x)", "other", "sum(x)", text="agrees", within=0.5),
        rule.fresh_event_time(within="36 hours", text="young"),
        rule.check("small", "x < 10", warn_above=2, fail_above="5 %"),
        rule.check("none", "x < 10"),
        rule.check("only a warning", "x < 10", severity="warning"),
    ],
)
"""


def test_limits_in_plots_are_the_declared_numbers(place: Place) -> None:
    place.write("products/shop.py", LIMITS)
    project = open_project(place.root)
    rules = {rule.text: rule for rule in project.graph.products["shop.p"].contract.rules}
    assert {text: limits_of(rule, 200) for text, rule in rules.items()} == {
        "enough": [1, 1000],
        "moves": [-0.4, 0.4],
        "agrees": [-0.5, 0.5],
        "young": [36],
        "small": [2, 10],
        "none": [0],
        "only a warning": [0],
    }
    assert limits_of(rules["small"], None) == [2], "a share of an unknown number"
    assert {text for text, rule in rules.items() if rule.limits_measured} == {
        "moves",
        "agrees",
        "young",
    }
    result = RuleHistoryView(
        version="v1",
        built_at=datetime(2024, 1, 1, tzinfo=UTC),
        data_as_of=None,
        status="passed",
        value=0.1,
        failing=None,
        rows=None,
        threshold="in other words",
        message="",
    )
    plot = plotted(rules["moves"], [result, replace(result, value=0.2)])
    assert plot
    assert (plot.low, plot.high) == ("-40.00%", "40.00%")
    assert plot.limits == (64.0, 8.0)


APPROVED = """
from assay import source, sql_product

raw = source.files("raw/*.csv", columns={"x": "bigint"})
sql_product("lines", "select x, x + 1 as y from raw", owner="o")
sql_product("signed", "select sum(y)::bigint as total from lines", owner="o", approval=["eva@shop.example"])
"""


def test_pages_of_approvals_environments_and_columns(place: Place) -> None:
    place.write("products/shop.py", APPROVED)
    place.write("raw/a.csv", "x\n1\n20\n")
    assert place.run("materialize").code == 3
    site = place.root / "site"

    def page(name: str) -> str:
        return words((site / f"{name}.html").read_text())

    ran = place.run("docs", "--to", "site")
    assert ran.code == 0, ran.err
    awaiting = page("approvals")
    assert "shop.signed awaiting approval" in awaiting
    assert re.search(r"1 row, waits for .*eva@shop\.example", awaiting)
    assert "Nothing is published until then." in awaiting
    assert "Nothing was approved yet." in awaiting
    assert place.run("env", "create", "try").code == 0
    approve = ("approve", "shop.signed", "--as", "eva@shop.example", "--because", "seen <b>it</b>")
    assert place.run(*approve).code == 0
    assert place.run("materialize").code == 0
    assert place.run("docs", "--to", "site").code == 0
    decided = page("approvals")
    assert "Nothing awaits approval." in decided
    assert re.search(r"shop\.signed v\w+ eva@shop\.example .* seen <b>it</b> release 3", decided)
    assert re.search(r"try prod .* 1 .* shop\.signed", page("environments"))
    lines = page("product/shop.lines")
    assert "x shop.raw : x shop.lines" not in lines
    assert re.search(r"x shop\.raw : x –", lines)
    assert re.search(r"y shop\.raw : x \(computed\) shop\.signed : total \(aggregated\)", lines)
    assert re.search(r"x – shop\.lines : x; shop\.lines : y \(computed\)", page("source/shop.raw"))


def test_what_is_wrong_with_an_input_is_said_where_the_product_is(place: Place) -> None:
    place.write(
        "products/shop.py",
        """
        from assay import Freshness, source, sql_product

        raw = source.files("raw/*.csv", columns={"x": "bigint"}, owner="till",
                           freshness=Freshness(by="06:00", covers="previous day"))
        sql_product("lines", "from raw", owner="o")
        """,
    )
    place.write("raw/a.csv", "x\n1\n")
    assert place.run("materialize").code == 0
    later = datetime.now(UTC) + timedelta(days=3)
    assert place.run("docs", "--to", "site", "--now", f"{later:%Y-%m-%dT%H:%M:%S}").code == 0
    front = words((place.root / "site/index.html").read_text())
    assert "shop.raw missed" in front
    assert "till delivers it." in front
    assert "Nothing is held back" not in front
    assert "shop.raw is missed" in words((place.root / "site/product/shop.lines.html").read_text())


def test_newer_figures_are_expected_at_a_time_as_far_as_one_can_tell() -> None:
    now = datetime(2024, 1, 5, 6, tzinfo=UTC)
    view = FreshnessView(
        name="shop.p",
        is_source=False,
        state=State.AT_RISK,
        freshness="by 07:00",
        tz="UTC",
        inherited_from="",
        as_of=None,
        due=now + timedelta(hours=1),
        reach="2024-01-04",
        seconds_left=3600,
        start_by=None,
        likely_at=now + timedelta(minutes=50),
        probability=0.62,
        next_due=None,
        kept=0,
        promised=0,
        at_least="",
        under_at_least=False,
        causes=(),
        problem="",
    )
    assert expected_line(view, now) == (
        "Newer figures are expected at 06:50 UTC; promised by 07:00, which is 62% likely."
    )
    late = replace(view, state=State.LATE, probability=None)
    assert expected_line(late, now) == "Newer figures are expected at 06:50 UTC."
    assert expected_line(replace(view, state=State.KEPT), now) == ""
    assert expected_line(replace(view, likely_at=None), now) == ""


def test_histories_read_verdicts_without_their_failing_rows(shop: Place) -> None:
    with Looks(shop.root, None).opened() as (_, catalog):
        [newest, *_] = catalog.versions("shop.revenue")
        [whole], [brief] = (
            catalog.verdicts(newest.id, "prod", brief=brief) for brief in (False, True)
        )
    [result], [short] = whole.results, brief.results
    assert result.samples
    assert result.failing_rows
    left_out = {"samples": (), "failing_rows": {}, "digests": {}, "part_counts": (), "new": None}
    about = {"because": "", "owner": "", "dimension": "", "how": ""}
    assert replace(result, **left_out, **about) == short
    text = '[{"text": "t", "status": "failed", "measured": NaN, "failing": 3}]'  # NaN is no JSON
    [read] = _results_of(text, brief=True)
    assert (read.text, read.failing, str(read.measured)) == ("t", 3, "nan")
