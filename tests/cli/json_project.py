"""A small project and the commands that make every verb print JSON: for the test of docs/json.md."""

import json
from contextlib import closing
from typing import Any

from assay.catalog import no_catalog, shared_catalog
from assay.declare.project import open_project
from assay.views.activity import Activity
from tests.conftest import Place
from tests.web.conftest import serving

_PRODUCTS = """
visits = source.files("visits/{day:date}.csv", columns={"id": ("bigint", "number of the visit"), "customer": "varchar"})

sql_product("lines", "select x, timestamp '2024-01-03 07:00' as at from numbers", owner="ann@shop",
    purpose="All lines.", tags=["core"], event_time="at",
    rules=[rule.fresh_event_time(within="3 days"), rule.sql("few", "from this where x > 2", severity="warning")])
sql_product("total", "select sum(x)::bigint as total from lines", owner="bob@shop", purpose="The total of all lines.", budget="1 held back a month",
    rules=[rule.sql("is small", "select total from this where total > 10", because="It always was.", owner="bob@shop")],
    freshness=Freshness(by="07:00"), consumers=[Consumer(name="desk", decides="discounts", contact="desk@shop")])
sql_product("seen", "from previous union all by name select x from numbers where x > (select coalesce(max(x), 0) from previous)",
    owner="ann@shop", contract=pa.DataFrameSchema({"x": pa.Column(pl.Int64)}))
sql_product("signed", "select count(*) as n from numbers", owner="ann@shop", approval=["eva@shop", "bob@shop"])
sql_product("report", "from total", owner="bob@shop")
sql_product("parsed", "select id, customer::int as customer from visits", owner="ann@shop", each="visits",
    on_failed_part="hold_part", rules=[rule.check("customer is known", "customer is not null")])
sql_product("split", "select day, count(*) as n from visits group by day", owner="ann@shop", partition_by="day",
    on_failed_part="hold_part", rules=[rule.sql("few visits", "select day, n from this where n > 2 and n < 9"),
        rule.sql("few in all", "select sum(n)::bigint as visits from this having sum(n) > 50")])

@product(owner="ann@shop", file="note.txt")
def note(numbers):
    return Path("rates.txt").read_text()

@product(owner="ann@shop", retries=1)
def flaky(numbers):
    raise OSError("the shop does not answer")

@product(owner="ann@shop", rules=[
    rule.check("below 100", pa.Check(lambda data: data.lazyframe.select(pl.col(data.key) < 100)), column="x")])
def checked(numbers):
    return numbers
"""

_TESTS = """
["adds up"]
inputs.lines = [{x = 1}, {x = 2}]
expect = [{total = 4}]

["is held back"]
inputs.lines = [{x = 11}]
expect = [{total = 11}]
holds_back = "is small"
"""
_TESTS_OF_LINES = """
["a line a number"]
inputs.numbers = [{x = 1}, {x = 2}]
now = 2024-01-03T07:00:00Z
expect = [{x = 1, at = 2024-01-03T07:00:00}, {x = 2, at = 2024-01-03T08:00:00}, {x = 3}]
"""

Outputs = list[tuple[str, list[Any]]]


def declare(place: Place, more: str = "") -> None:
    place.write("products/sales.py", _PRODUCTS + more, header=True)


def visits(place: Place, day: int, *customers: str) -> None:
    more = ",desk" if day > 1 else ""  # a column that appears
    rows = [f"{number},{customer}{',d' * bool(more)}" for number, customer in enumerate(customers)]
    place.write(f"visits/2024-01-{day:02}.csv", "\n".join([f"id,customer{more}", *rows]) + "\n")


class Recorder:
    """Runs verbs and collects what they print, under the section of docs/json.md that describes it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.outputs: Outputs = []

    def run(self, section: str, *arguments: str) -> Any:
        """Run a verb that prints one JSON value."""
        ran = self.place.run(*arguments, "--json")
        assert ran.out, ran.err
        value = json.loads(ran.out)
        self.outputs.append((section, value))
        return value

    def events(self, *arguments: str) -> None:
        """Run a verb that prints a line of JSON for each event."""
        *events, last = self.place.run(*arguments, "--json").events
        for event in events:
            name = "retrying" if event["result"] == "retrying" else "result"
            self.outputs.append((name, event))
        self.outputs.append(("end", last))

    def log(self, *arguments: str) -> None:
        """Run `products run`, and collect the lines of its log."""
        for line in self.place.run("run", "--json", *arguments).events:
            name = line["event"] if line["event"] in {"result", "retrying"} else ""
            self.outputs.append((f"run: {name}" if name else "run", line))

    def watch(self) -> None:
        """Collect the lines of `products watch`, of all runs there were."""
        with closing(shared_catalog(open_project(self.place.root).config)) as catalog:
            activity = Activity(no_catalog("of before"), "prod")
            self.outputs += [("watch", view.as_json()) for view in activity.news(catalog)]


def record(place: Place) -> Outputs:
    """Run every verb with --json, on a project where things fail, are held back, repaired and retired."""
    recorder = Recorder(place)
    routes = '[tool.products.notify.finance]\nto = ["json://127.0.0.1:1/"]\n[tool.products]\n'
    place.write("pyproject.toml", routes)  # nobody listens there
    first_days(place, recorder)
    look(place, recorder)
    change(place, recorder)
    keep(place, recorder)
    return recorder.outputs


def first_days(place: Place, recorder: Recorder) -> None:
    """Build everything; then new data, of which some is held back and some fails."""
    place.write("rates.txt", "7 %")
    place.numbers("a", 1, 2, 3)
    for day in (1, 2, 3):
        visits(place, day, "1", "2")
    declare(place, '\nsql_product("old", "from numbers", owner="ann@shop")\n')
    recorder.events("materialize", "--now", "2024-01-04T07:00")
    declare(place)
    place.numbers("b", 9)
    visits(place, 3, "1", "")
    visits(place, 4, "x", "2", "3")
    place.write("products/total.test.toml", _TESTS)
    place.write("products/lines.test.toml", _TESTS_OF_LINES)
    recorder.run("plan", "plan")
    recorder.events("materialize", "--now", "2024-01-05T07:00")
    recorder.events("retry", "--now", "2024-01-05T07:00")


def look(place: Place, recorder: Recorder) -> None:
    """Run the verbs that change nothing."""
    run = recorder.run
    run("ls", "ls")
    run("describe", "describe", "lines")
    run("describe", "describe", "numbers")
    run("status", "status")
    run("freshness", "freshness")
    run("why", "why", "total")
    run("why", "why", "report")
    run("why --part", "why", "parsed", "--part", "2024-01-03")
    run("why --part", "why", "parsed", "--part", "2024-01-04")
    run("why --rules", "why", "checked", "--rules")
    run("why --rules", "why", "total", "--rules")
    versions = run("history", "history", "total")
    run("history", "history", "note")
    run("history", "history", "seen")
    run("history --rule", "history", "lines", "--rule", "the latest")
    run("test", "test")
    run("test --generate", "test", "--generate", "checked")
    run("lineage", "lineage", "total")
    run("lineage: a column", "lineage", "total.total")
    run("lineage: a column", "lineage", "numbers.x")
    run("lineage: a column", "lineage", "visits.id")
    run("check", "check")
    until = ["--until", "2024-01-31", "--now", "2024-01-05T08:00"]
    run(
        "waive", "waive", "total", "--rule", "is small", "--because", "known", "--rows", "7", *until
    )
    [waiver] = run("waivers", "waivers")
    run("waive", "waive", waiver["id"], "--withdraw", "--now", "2024-01-05T09:00")
    run("approvals", "approvals")
    eva = ["--as", "eva@shop", "--because", "counted", "--now", "2024-01-05T09:30"]
    run("approve", "approve", "signed", *eva)
    run("approvals", "approvals")
    run("env create", "env", "create", "try")
    published = place.run("history", "lines", "--json").json[1]["version"]
    assert place.run("restore", "lines", published, "--env", "try").code == 0
    run("env ls", "env", "ls")
    assert place.run("restore", "--unpin", "--env", "try").code == 0
    run("promote", "promote", "--from", "try", "lines", "--dry-run", "--because", "agreed")
    run("env drop", "env", "drop", "try")
    run("record", "record", "total", "--now", "2024-01-05T10:00")
    run("record", "record", "--month", "2024-01", "--now", "2024-01-05T10:00")
    run("diff", "diff", "total", "--held", "--measure", "total")
    run("diff", "diff", "lines")
    evidence = str(place.root / "evidence.zip")
    run("evidence", "evidence", "note", "--to", evidence)
    run("evidence --verify", "evidence", "--verify", evidence)
    run("evidence --rebuild", "evidence", "--rebuild", evidence)
    run("runs", "runs")
    run("incidents", "incidents")
    run("notify", "notify", "--test")
    run("query", "query", "from total")
    run("show", "show", "total", "--held")
    run("show", "show", "total", "--held", "--failures", "is small")
    run("show --sql", "show", "total", "--sql")
    run("show: a file", "show", "note")
    run("show --to", "show", "total", "--to", str(place.root / "total.parquet"))
    failing = str(place.root / "failing.csv")
    run("show --failures --to", "show", "total", "--held", "--failures", "small", "--to", failing)
    run("show: a source", "show", "numbers")
    run("history: a source", "history", "numbers")
    run("suggest", "suggest", "visits")
    run("suggest", "suggest", "lines")
    run("gc", "gc", "--dry-run", "--days", "0", "--keep", "1", "--now", "2024-03-01T00:00")
    assert len(versions) == 2


def change(place: Place, recorder: Recorder) -> None:
    """Change what is published, or what is declared."""
    published = recorder.place.run("history", "lines", "--json").json[1]["version"]
    recorder.run("restore", "restore", "lines", published)
    recorder.run("status", "status", "-s", "lines")
    recorder.run("restore --unpin", "restore", "--unpin")
    recorder.run("restore --release", "restore", "--release", "1")
    recorder.run("restore --unpin", "restore", "--unpin")
    recorder.run("retire", "retire", "old", "--because", "nobody reads it")
    text = (place.root / "products/sales.py").read_text()
    place.write("products/sales.py", text.replace("from total", "select net from total"))
    recorder.run("check", "check")
    place.write("products/sales.py", text.replace("x > 2", "x > 1"))
    recorder.run("plan", "plan")
    recorder.events("materialize", "--fail-fast", "--jobs", "1")
    recorder.log("--turns", "1", "--port", "0")
    visits(place, 5, *["1"] * 60)
    recorder.events("materialize", "split")
    place.write("products/sales.py", text.replace("customer::int", "customer::bigint"))
    recorder.events("materialize", "parsed", "--parts", "2024-01-01")


def keep(place: Place, recorder: Recorder) -> None:
    """Run the verbs that look after what is stored."""
    recorder.run("gc", "gc", "--keep", "1")
    recorder.run("verify", "verify")
    version = place.run("show", "note", "--json").json
    place.write(version["file"], "abc")
    recorder.run("verify", "verify", "--repair")
    recorder.run("docs", "docs", "--to", str(place.root / "site"))
    with serving(place.root) as served:
        recorder.outputs.append(("serve", {"url": served.url}))
    recorder.watch()
    recorder.run("catalog copy", "catalog", "copy", str(place.root / "other.db"))
    recorder.run("init", "init", str(place.root / "new"))
