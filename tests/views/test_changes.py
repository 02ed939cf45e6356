"""`products check --against`: what changed, who is affected, and what cannot be compared."""

import json
import re
import shutil

import pytest

from tests.build.test_revisions import committed, git
from tests.conftest import Place

LINES = """
import pandera.polars as pa
import polars as pl
from assay import Consumer, Freshness, product, rule, source, sql_product

raw = source.files("data/numbers-*.csv", columns={"x": pl.Int64})


class Lines(pa.DataFrameModel):
    id: int
    amount: int = pa.Field(ge=0)


@product(
    owner="shop",
    contract=Lines,
    consumers=[Consumer(name="desk", decides="prices")],
    freshness=Freshness(by="07:00"),
)
def lines(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.select(pl.col("x").alias("id"), (pl.col("x") * 2).alias("amount"))


total = sql_product(
    "total",
    "select sum(amount)::bigint as net from lines",
    owner="finance",
    rules=[rule.sql("not too much", "select net from this where net > 100")],
)
"""


@pytest.fixture
def shop(place: Place) -> Place:
    """A project in git, on the branch main."""
    place.numbers("numbers-1", 1, 2)
    place.write("products/sales.py", LINES)
    committed(place)
    return place


def lines_of(place: Place, *arguments: str) -> list[str]:
    return place.run("check", "--against", *arguments).out.splitlines()


@pytest.mark.long
def test_nothing_changed(shop: Place) -> None:
    ran = shop.run("check", "--against", "main")
    assert ran.code == 0
    [line] = ran.out.splitlines()
    assert line.startswith("2 products checked against main (")
    assert line.endswith("): 0 errors, 0 warnings, 0 notes")


@pytest.mark.long
def test_a_renamed_column_a_later_deadline_and_a_loosened_rule(shop: Place) -> None:
    shop.edit("products/sales.py", "amount", "net_amount")
    shop.edit("products/sales.py", "> 100", "> 200")
    shop.edit("products/sales.py", "07:00", "08:00")
    ran = shop.run("check", "--against", "main")
    assert ran.code == 4
    starts = [line.split(None, 2) for line in ran.out.splitlines() if line[0] != " "]
    assert ["breaking", "sales.lines.amount", "renamed to net_amount"] in [
        [*start[:2], start[2].partition(";")[0]] for start in starts
    ]
    assert ["breaking", "sales.lines", "freshness by 07:00 -> 08:00"] in starts
    assert ["loosened", "sales.total", 'rule "not too much" 100 -> 200'] in starts
    assert [start[0] for start in starts][:3] == ["breaking", "breaking", "loosened"]


@pytest.mark.long
def test_what_does_not_fit_any_more_says_by_which_change(shop: Place) -> None:
    shop.edit("products/sales.py", "    amount: int", "    net_amount: int")
    shop.edit("products/sales.py", '.alias("amount")', '.alias("net_amount")')
    ran = shop.run("check", "--against", "main", "--json")
    [misfit] = [each for each in ran.json["findings"] if each["kind"] == "does not fit"]
    assert misfit["name"] == "sales.total"
    cause = "sales.lines.amount renamed to net_amount by this change"
    assert misfit["details"] == [{"label": "because", "text": cause}]


@pytest.mark.long
def test_a_forged_limit_is_no_graph(shop: Place) -> None:
    shop.run("check")
    limit = {"fail_above": "much"}
    shop.forge(lambda _, declared: declared["products"][1]["contract"]["rules"][0].update(limit))
    (shop.root / ".products/manifest.json").rename(shop.root.parent / "forged.json")
    ran = shop.run("check", "--against", "../forged.json")
    assert (ran.code, "is no manifest" in ran.err) == (2, True)


@pytest.mark.long
def test_a_loosened_rule_alone_is_a_warning(shop: Place) -> None:
    shop.edit("products/sales.py", "> 100", "> 200")
    assert shop.run("check", "--against", "main").code == 0


@pytest.mark.long
def test_names_choose_what_is_compared(shop: Place) -> None:
    shop.edit("products/sales.py", "> 100", "> 200")
    shop.edit("products/sales.py", "07:00", "08:00")
    assert shop.run("check", "total", "--against", "main").code == 0
    assert shop.run("check", "lines", "--against", "main").code == 4


@pytest.mark.long
def test_json_has_the_place_of_each_change(shop: Place) -> None:
    shop.edit(
        "products/sales.py",
        'rules=[rule.sql("not too much", "select net from this where net > 100")]',
        "rules=[]",
    )
    ran = shop.run("check", "--against", "main", "--json")
    view = json.loads(ran.out)
    [finding] = [each for each in view["findings"] if each["kind"] != "logic"]
    assert view["against"].startswith("main (")
    assert (finding["kind"], finding["level"]) == ("loosened", "warning")
    assert finding["file"] == "products/sales.py"
    assert finding["removed"]
    assert finding["line"] > 0


@pytest.mark.long
def test_a_folder_and_a_copy_of_a_manifest(shop: Place) -> None:
    copy = shop.root.parent / "copy"
    shutil.copytree(shop.root, copy, ignore=shutil.ignore_patterns(".products"))
    shop.run("check")
    shutil.copy(shop.root / ".products/manifest.json", shop.root.parent / "old.json")
    before = sorted(p.name for p in copy.rglob("*"))
    shop.edit("products/sales.py", "07:00", "08:00")
    for old in (str(copy), "../copy", "../old.json"):
        ran = shop.run("check", "--against", old)
        assert (ran.code, ran.out.splitlines()[0].split()[0]) == (4, "breaking"), old
    assert sorted(p.name for p in copy.rglob("*")) == before, "reading a folder changes nothing"


@pytest.mark.long
def test_an_environment_is_compared_by_what_is_recorded(shop: Place) -> None:
    shop.run("materialize")
    assert shop.run("check", "--against", "env:prod").code == 0
    assert shop.run("check", "--against", "prod").code == 0, "no ref and no folder has this name"
    shop.edit("products/sales.py", "amount", "net_amount")
    shop.edit("products/sales.py", '"not too much"', '"fine"')
    found = [line.split(None, 2) for line in lines_of(shop, "env:prod")[:-1] if line[0] != " "]
    assert ["breaking", "sales.lines.amount"] in [line[:2] for line in found]
    assert ["loosened", "sales.total", 'rule "not too much" removed'] in found


@pytest.mark.long
def test_a_name_that_means_two_things_is_refused(shop: Place) -> None:
    shop.run("materialize")
    git(shop.root, "branch", "prod")
    ran = shop.run("check", "--against", "prod")
    assert ran.code == 2
    assert "a git ref and an environment" in ran.err
    assert "refs/heads/prod or env:prod" in ran.err
    assert shop.run("check", "--against", "refs/heads/prod").code == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nope", "no such git ref"),
        ("", "names nothing"),
        ("./nope", "no such folder or file"),
        ("env:nope", "there is no environment nope"),
        ("data", "has no pyproject.toml"),
        ("pyproject.toml", "is no manifest"),
        ("--help-me", "no such git ref"),
        ("orgin/main", "Did you mean origin/main?"),
        ("nobranch/x", "`git branch --all` lists the branches."),
        ("prdo", "Did you mean prod?"),
        ("env:prdo", "Did you mean prod?"),
    ],
)
def test_what_cannot_be_read_is_no_comparison(shop: Place, text: str, problem: str) -> None:
    git(shop.root, "update-ref", "refs/remotes/origin/main", "HEAD")
    if "prdo" in text:
        assert shop.run("materialize").code == 0
    ran = shop.run("check", f"--against={text}")
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err
    assert "git fetch" not in ran.err, "there is no remote"


@pytest.mark.long
def test_mistakes_in_the_old_declarations_are_told_as_those_of_the_old_side(shop: Place) -> None:
    shop.edit("products/sales.py", "from lines", "from nowhere")
    committed(shop)
    shop.edit("products/sales.py", "from nowhere", "from lines")
    ran = shop.run("check", "--against", "HEAD")
    assert (ran.code, ran.out) == (2, "")
    assert "the old declarations, of HEAD (" in ran.err
    assert "products/sales.py:" in ran.err


def test_a_forged_manifest_cannot_run_its_sql(shop: Place) -> None:
    shop.run("check")
    shop.forge(lambda _, declared: declared["products"][1].update(sql="copy this to 'x.csv'"))
    (shop.root / ".products/manifest.json").rename(shop.root.parent / "old.json")
    ran = shop.run("check", "--against", "../old.json")
    assert ran.code == 2
    assert "cannot be read" in ran.err


# --------------------------------------------------------------------------------- who is affected

CHAIN = """
import pandera.polars as pa
import polars as pl
from assay import Consumer, Freshness, product, source, sql_product

raw = source.files("data/numbers-*.csv", columns={"x": pl.Int64})


class Lines(pa.DataFrameModel):
    id: int
    amount: int


@product(owner="shop", contract=Lines)
def lines(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.select(pl.col("x").alias("id"), (pl.col("x") * 2).alias("amount"))


daily = sql_product(
    "daily",
    "select id, sum(amount)::bigint as net, count(*) as lines from lines group by id",
    owner="finance",
    consumers=[Consumer(name="discount desk", decides="discounts")],
    freshness=Freshness(by="07:00"),
)


@product(owner="finance")
def ratio(daily: pl.LazyFrame) -> pl.LazyFrame:
    return daily.select("id", (pl.col("net") * 2).alias("twice"))


@product(owner="people", consumers=[Consumer(name="people team")])
def ids(lines: pl.LazyFrame) -> pl.LazyFrame:
    return lines.select("id")
"""


@pytest.fixture
def chain(place: Place) -> Place:
    place.numbers("numbers-1", 1, 2)
    place.write("products/sales.py", CHAIN)
    committed(place)
    return place


def breaks(place: Place, against: str = "main") -> list[dict]:
    view = json.loads(place.run("check", "--against", against, "--json").out)
    return [each for each in view["findings"] if each["kind"] == "breaking"]


@pytest.mark.long
def test_a_renamed_column_names_what_really_uses_it_and_whom_that_affects(chain: Place) -> None:
    chain.edit("products/sales.py", "    amount: int", "    net_amount: int")
    chain.edit("products/sales.py", '.alias("amount")', '.alias("net_amount")')
    [renamed] = breaks(chain)
    assert (renamed["name"], renamed["of"]) == ("sales.lines", "amount")
    assert (
        renamed["what"] == "renamed to net_amount; used by sales.daily (net), sales.ratio (twice)"
    )
    assert renamed["details"][0] == {
        "label": "affects",
        "text": "discount desk (discounts, due 07:00)",
    }


@pytest.mark.long
def test_a_column_that_only_people_read_breaks_for_them(chain: Place) -> None:
    chain.edit("products/sales.py", "count(*) as lines", "count(*)::integer as lines")
    [narrowed] = breaks(chain)
    assert narrowed["what"] == "type narrowed: BIGINT -> INTEGER"
    assert narrowed["details"][0]["text"] == "discount desk (discounts, due 07:00)"


@pytest.mark.long
def test_a_column_that_nobody_uses_breaks_nobody(chain: Place) -> None:
    chain.edit("products/sales.py", "    amount: int", "    amount: int\n    spare: int")
    chain.edit("products/sales.py", '.alias("amount"))', '.alias("amount"), spare=1)')
    committed(chain)
    chain.edit("products/sales.py", "    amount: int\n    spare: int", "    amount: int")
    ran = chain.run("check", "--against", "main", "--json")
    [removed] = [each for each in ran.json["findings"] if each.get("of") == "spare"]
    assert (ran.code, removed["kind"], removed["level"]) == (0, "compatible", "note")
    assert removed["details"][-1]["text"].startswith("nobody else relies on it")


@pytest.mark.long
def test_a_user_that_was_not_changed_with_it_relies_on_a_column(chain: Place) -> None:
    chain.edit("products/sales.py", 'owner="shop"', 'owner="finance"')
    chain.edit(
        "products/sales.py",
        'owner="people", consumers=[Consumer(name="people team")]',
        'owner="finance"',
    )
    committed(chain)
    chain.edit("products/sales.py", '.alias("id"), (', '.alias("key"), (')
    chain.edit("products/sales.py", "    id: int", "    key: int")
    chain.edit("products/sales.py", "select id, sum", "select key, sum")
    chain.edit("products/sales.py", "group by id", "group by key")
    assert "id" in [each.get("of") for each in breaks(chain)], "ids is as it was"
    chain.edit("products/sales.py", 'lines.select("id")', 'lines.select("key")')
    chain.edit("products/sales.py", 'daily.select("id"', 'daily.select("key"')
    found = [(each["name"], each.get("of")) for each in breaks(chain)]
    assert ("sales.lines", "id") not in found
    assert ("sales.daily", "id") in found, "the discount desk reads it"


def test_functions_of_before_are_not_run(chain: Place) -> None:
    """What a function of another revision does with a column is not known."""
    chain.edit("products/sales.py", '(pl.col("net") * 2)', '(pl.col("net") * 3)')
    chain.edit("products/sales.py", "::bigint as net", "::bigint as total")
    [renamed] = breaks(chain)
    assert renamed["what"] == "renamed to total; may be used by sales.ratio"


@pytest.mark.long
def test_what_an_environment_publishes_is_used_by_what_is_declared(chain: Place) -> None:
    assert chain.run("materialize").code == 0
    chain.edit("products/sales.py", "    amount: int", "    net_amount: int")
    chain.edit("products/sales.py", '.alias("amount")', '.alias("net_amount")')
    [renamed] = breaks(chain, "env:prod")
    assert renamed["what"].startswith("renamed to net_amount; may be used by sales.daily")
    assert "sales.ids" not in renamed["what"]


# ----------------------------------------------------------------------------- a break made politely


def rename(place: Place) -> None:
    place.edit("products/sales.py", "    amount: int", "    net_amount: int")
    place.edit("products/sales.py", '.alias("amount")', '.alias("net_amount")')


def of_column(place: Place, column: str = "amount") -> dict:
    view = json.loads(place.run("check", "--against", "main", "--json").out)
    [finding] = [f for f in view["findings"] if f.get("of") == column and f["kind"] == "breaking"]
    return finding


@pytest.mark.long
def test_a_break_needs_a_major_version_or_a_deprecation(chain: Place) -> None:
    chain.edit("products/sales.py", 'owner="shop"', 'owner="shop", version="1.4.0"')
    committed(chain)
    rename(chain)
    needs = of_column(chain)["details"][-1]
    assert needs["label"] == "needs"
    assert re.fullmatch(
        r"version 2\.0\.0 \(is 1\.4\.0\), or amount kept until (\d{4}-\d\d-01):"
        r' deprecated=\{"amount": "\1"\}',
        needs["text"],
    )
    chain.edit("products/sales.py", 'version="1.4.0"', 'version="1.5.0"')
    assert of_column(chain)["details"][-1]["text"].startswith("version 2.0.0 (is 1.5.0), or")
    chain.edit("products/sales.py", 'version="1.5.0"', 'version="2.0.0"')
    announced = of_column(chain)
    assert announced["level"] == "warning"
    assert announced["details"][-1] == {"label": "version", "text": "1.4.0 -> 2.0.0 announces it"}


@pytest.mark.long
def test_without_a_version_a_deprecation_is_named(chain: Place) -> None:
    rename(chain)
    assert of_column(chain)["details"][-1]["text"].startswith("amount kept until ")


@pytest.mark.long
def test_an_addition_needs_a_minor_version(chain: Place) -> None:
    chain.edit("products/sales.py", 'owner="shop"', 'owner="shop", version="1.4.0"')
    committed(chain)
    chain.edit("products/sales.py", "    amount: int", "    amount: int\n    more: int")
    chain.edit(
        "products/sales.py", '.alias("amount")', '.alias("amount"), pl.col("x").alias("more")'
    )
    ran = chain.run("check", "--against", "main", "--json")
    [added] = [f for f in ran.json["findings"] if f.get("of") == "more"]
    assert (ran.code, added["kind"]) == (0, "compatible")
    assert added["details"] == [{"label": "needs", "text": "version 1.5.0 (is 1.4.0)"}]


@pytest.mark.long
def test_a_deprecated_column_goes_when_its_day_has_come(chain: Place) -> None:
    text = CHAIN.replace("sum(amount)::bigint as net", "count(*)::bigint as net")
    past = 'owner="shop", deprecated={"amount": "2020-03-01"}'
    chain.write("products/sales.py", text.replace('owner="shop"', past))
    committed(chain)
    chain.write("products/sales.py", text.replace("    amount: int\n", ""))
    chain.edit("products/sales.py", ', (pl.col("x") * 2).alias("amount")', "")
    ran = chain.run("check", "--against", "main", "--json")
    [removed] = [f for f in ran.json["findings"] if f.get("of") == "amount"]
    assert (ran.code, removed["kind"]) == (0, "compatible")
    assert removed["what"] == "removed: it was kept until 2020-03-01"


# -------------------------------------------------------------------------------------- logic drift


def logic(place: Place) -> list[tuple[str, str, str]]:
    view = json.loads(place.run("check", "--against", "main", "--json").out)
    findings = view.get("findings", [])
    return [(f["level"], f["name"], f["what"]) for f in findings if f["kind"] == "logic"]


@pytest.mark.long
def test_logic_that_changed_alone_is_told_in_words(chain: Place) -> None:
    chain.edit("products/sales.py", "from lines group by id", "from lines where id > 0 group by id")
    [(level, name, what)] = logic(chain)
    assert (level, name) == ("warning", "sales.daily")
    assert what.startswith("its query changed (")
    assert "id > 0" in what
    assert what.endswith("no rule, purpose, review date or version changed with it")
    assert chain.run("check", "--against", "main").code == 0


@pytest.mark.long
def test_logic_of_a_function_is_told_by_the_names_of_what_changed(chain: Place) -> None:
    chain.edit("products/sales.py", '(pl.col("x") * 2)', '(pl.col("x") * 3)')
    told = logic(chain)
    assert [(level, name) for level, name, _ in told] == [("warning", "sales.lines")], (
        "that another function of the module has the name of an input does not count"
    )
    assert told[0][2].startswith("its code changed (lines)")


@pytest.mark.long
@pytest.mark.parametrize(
    "described",
    [
        'owner="finance", purpose="To set discounts."',
        'owner="finance", version="1.0.0"',
        'owner="finance", rules=[rule.rows(at_least=1)]',
    ],
)
@pytest.mark.long
def test_logic_that_changed_with_its_description_is_fine(chain: Place, described: str) -> None:
    chain.edit("products/sales.py", "from lines group by id", "from lines where id > 0 group by id")
    text = (chain.root / "products/sales.py").read_text()
    text = text.replace("product, source", "product, rule, source")
    chain.write("products/sales.py", text.replace('owner="finance"', described, 1))
    assert logic(chain) == []


@pytest.mark.long
def test_a_review_date_that_moved_is_a_description(place: Place) -> None:
    place.numbers("numbers-1", 1)
    place.write("products/sales.py", LINES)
    committed(place)
    place.edit("products/sales.py", "from lines", "from lines where id > 0")
    assert [name for _, name, _ in logic(place)] == ["sales.total"]
    place.edit("products/sales.py", 'net > 100"', 'net > 100", review_by="2027-01-31"')
    assert logic(place) == []


@pytest.mark.long
def test_a_description_that_changed_alone_is_a_note(chain: Place) -> None:
    chain.edit(
        "products/sales.py",
        'owner="finance",\n    consumers',
        'owner="finance",\n    purpose="Discounts.",\n    consumers',
    )
    assert logic(chain) == [("note", "sales.daily", "its purpose changed, and its logic did not")]
    assert "other words" not in chain.run("check", "--against", "main").out, "it is told once"


@pytest.mark.long
def test_a_query_with_the_new_name_of_a_column_is_the_same_logic(chain: Place) -> None:
    rename(chain)
    chain.edit("products/sales.py", "sum(amount)", "sum(net_amount)")
    assert logic(chain) == [], "the rules of lines have the new name, too"
    chain.edit("products/sales.py", "sum(net_amount)", "max(net_amount)")
    assert [name for _, name, _ in logic(chain)] == ["sales.daily"]


@pytest.mark.long
@pytest.mark.parametrize(("severity", "code"), [("error", 4), ("warning", 0), ("off", 0)])
def test_a_policy_says_how_much_it_matters(chain: Place, severity: str, code: int) -> None:
    chain.write(
        "pyproject.toml", f'[tool.products]\n[tool.products.policy]\nlogic_drift = "{severity}"\n'
    )
    chain.edit("products/sales.py", "from lines group by id", "from lines where id > 0 group by id")
    assert chain.run("check", "--against", "main").code == code
    assert [level for level, *_ in logic(chain)] == [severity] * (severity != "off")


# ------------------------------------------------------------------------- what the numbers did


@pytest.mark.long
def test_what_a_change_did_to_the_numbers(chain: Place) -> None:
    chain.edit("products/sales.py", "sum(amount)::bigint", "sum(amount)::decimal(18, 2)")
    assert chain.run("materialize").code == 0
    chain.edit("products/sales.py", "sum(amount)::", "sum(amount * 2)::")
    assert chain.run("env", "create", "try").code == 0
    assert chain.run("materialize", "--env", "try").code == 0
    ran = chain.run("check", "--against", "env:prod", "--data", "--env", "try", "--json")
    found = {f["name"]: f for f in ran.json["findings"] if f["kind"] == "numbers"}
    assert ran.code == 0
    assert sorted(found) == ["sales.daily", "sales.ratio"], "lines and ids are the same version"
    assert found["sales.daily"]["what"].startswith("rows 2 -> 2: ")
    details = [(each["label"], each["text"]) for each in found["sales.daily"]["details"]]
    assert ("sum of", "net  6.00 -> 12.00  (+6.00, +100.0%)") in details
    assert details[-1][0] == "affects"
    assert details[-1][1].startswith("discount desk (discounts")


@pytest.mark.long
def test_numbers_are_of_two_environments(chain: Place) -> None:
    chain.run("materialize")
    chain.environment("try")
    for arguments, problem in (
        (["--against", "main", "--data"], "compares with an environment"),
        (["--against", "env:prod", "--data"], "would compare prod with itself"),
        (["--against", "env:prod", "--data", "--env", "try"], "nothing is published in try"),
        (["--data"], "needs --against"),
    ):
        ran = chain.run("check", *arguments)
        assert (ran.code, ran.out) == (2, ""), arguments
        assert problem in ran.err
    chain.run("materialize", "--env", "try")
    same = chain.run("check", "--against", "env:prod", "--data", "--env", "try")
    assert (same.code, "numbers" in same.out) == (0, False)
