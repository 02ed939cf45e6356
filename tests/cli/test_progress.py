"""What a run shows while it goes on, and the line of totals at its end."""

import re

from assay.cli.progress import Progressing
from assay.cli.reporters import total_line
from assay.decisions import Held
from assay.events import Progress, Result, RunStarted, Settled, Working
from assay.views.results import ResultKind
from tests.conftest import Place


def test_the_line_says_how_many_are_done_and_what_is_at_work() -> None:
    line = Progressing()
    line.update(RunStarted(run="r", products=11))
    assert line.text(80) == "0/11"
    ended = tuple(Result(product=f"a.p{n}", end=Held(by={})) for n in range(5))
    line.update(Settled(results=ended))
    line.update(Working(product="intake.orders", activity="build"))
    line.update(Progress(product="intake.orders", done=18, of=62, seconds=2.0))
    line.update(Working(product="intake.customers", activity="judge"))
    assert line.text(80) == "5/11 · building intake.orders 18/62 (~5 s) · checking intake.customers"
    assert line.text(20) == "5/11 · building int…"
    line.update(Progress(product="intake.orders", done=62, of=62, seconds=7.0))
    assert "building intake.orders 62/62 ·" in line.text(80)
    line.update(Settled(results=(Result(product="intake.orders", end=Held(by={})),)))
    assert line.text(80) == "6/11 · checking intake.customers"


def test_of_many_at_work_the_last_are_named() -> None:
    line = Progressing()
    line.update(RunStarted(run="r", products=9))
    for n in range(5):
        line.update(Working(product=f"a.p{n}", activity="build"))
    assert line.text(80) == "0/9 · building a.p2 · building a.p3 · building a.p4 · and 2 more"


def test_totals_name_only_what_there_is() -> None:
    counts = {ResultKind.UNCHANGED: 6, ResultKind.PUBLISHED: 4, ResultKind.HELD_BACK: 1}
    line = "  total      11 products: 4 published, 6 unchanged, 1 held back   1.2 s"
    assert total_line(counts, 1.23) == line


def test_a_run_ends_with_totals_if_there_is_more_than_one_line_to_add_up(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        sql_product("a", "from numbers", owner="o")
        sql_product("b", "from a", owner="o", rules=[rule.sql("r", "from this where x > 5")])
        """,
        header=True,
    )
    totals = re.compile(r"^  total      2 products: (.*)   \d+\.\d s$")
    first = place.run("materialize").out.splitlines()[-1]
    assert totals.match(first)[1] == "2 published"
    assert place.run("materialize").out == "  unchanged  2 products\n"
    place.numbers("b", 9)
    last = place.run("materialize").out.splitlines()[-1]
    assert totals.match(last)[1] == "1 published, 1 held back"
    assert "total" not in place.run("materialize", "a").out, "one product is its total"
