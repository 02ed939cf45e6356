"""Policies in `products check`: of the settings, and functions of the project's own."""

import sys

import pytest

from assay.policies import POLICIES
from tests.conftest import ROOT, Place

PRODUCTS = """
class Total(pa.DataFrameModel):
    total: int = pa.Field(ge=0)

sql_product("total", "select sum(x)::bigint as total from numbers", owner="ann@shop", contract=Total,
    rules=[rule.sql("old", "from this where total > 9", severity="warning", review_by="2020-01-31")])
sql_product("more", "from total", owner="bob@shop")
"""


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("products/sales.py", PRODUCTS, header=True)
    return place


def policy(place: Place, text: str, own: str = "") -> None:
    place.write("pyproject.toml", "[tool.products]\n\n[tool.products.policy]\n" + text)
    if own:
        place.write("policies.py", "from assay import Finding\n\n\n" + own)


def of_policies(place: Place, *names: str) -> set[tuple[str, str, str, str]]:
    """Return the policies that are not kept, each with its level, the product, and what it is about."""
    checked = place.run("check", "--json", *names)
    assert not checked.err, checked.err
    return {
        (finding["details"][0]["text"], finding["level"], finding["name"], finding.get("of", ""))
        for finding in checked.json.get("findings", ())
        if finding["kind"] == "policy"
    }


def test_without_policies_nothing_is_found(shop: Place) -> None:
    assert of_policies(shop) == set()


def test_a_finding_says_who_where_and_what_to_write(shop: Place) -> None:
    policy(shop, 'owner = "error"\nreview = "warning"\n')
    checked = shop.run("check")
    assert checked.code == 4
    lines = checked.out.splitlines()
    assert lines[0] == "products/sales.py:7: policy: sales.numbers: nobody answers for it"
    assert lines[1:3] == ["  policy  owner", '  needs   owner="team@company.example"']
    assert lines[3] == (
        "products/sales.py:13: policy: sales.total.old: the review of this rule was due 2020-01-31"
    )
    assert lines[-1] == "2 products checked: 1 error, 1 warning, 0 notes"


def test_a_warning_fails_nothing(shop: Place) -> None:
    policy(shop, 'owner = "warning"\n')
    assert shop.run("check").code == 0
    assert of_policies(shop) == {("owner", "warning", "sales.numbers", "")}


def test_the_policies_of_the_settings(shop: Place) -> None:
    policy(
        shop,
        'key = "error"\ndescription = "warning"\nerror_rule = "warning"\npurpose = "off"\n'
        'names = { pattern = ".*[.](total|more)" }\n[tool.products.policy.for.more]\nkey = "off"\n',
    )
    assert of_policies(shop) == {
        ("key", "error", "sales.total", ""),
        ("description", "warning", "sales.total", "total"),
        ("description", "warning", "sales.more", ""),
        ("description", "warning", "sales.numbers", "x"),
        ("error_rule", "warning", "sales.more", ""),
        ("names", "error", "sales.numbers", ""),
    }


def test_products_that_are_not_checked_are_not_told(shop: Place) -> None:
    policy(shop, 'purpose = "error"\n')
    assert {name for _, _, name, _ in of_policies(shop, "more")} == {"sales.more"}
    assert {name for _, _, name, _ in of_policies(shop, "total")} == {
        "sales.total",
        "sales.numbers",
    }


def test_a_change_of_policies_reads_no_definitions(shop: Place) -> None:
    policy(shop, 'owner = "warning"\n')
    shop.run("ls")
    manifest = shop.root / ".products/manifest.json"
    before = manifest.stat().st_mtime_ns
    policy(shop, 'owner = "error"\nown = ["policies:none"]\n', "def none(graph):\n    return []\n")
    assert shop.run("check").code == 4
    assert manifest.stat().st_mtime_ns == before


# ----------------------------------------------------------------------------------- of its own


OWN = '''
def owners_are_teams(graph):
    """Each owner is a team."""
    for product in graph.products.values():
        print("looked at", product.name)
        if product.owner == "bob@shop":
            yield Finding(product.name, "bob is a person", "warning", needs='owner="team@shop"')
    return


def rules_have_reasons(graph) -> list:
    return [
        Finding(product.name, "this rule has no reason", of=rule.text)
        for product in graph.products.values()
        for rule in product.contract.rules
        if not (rule.because or rule.demand)
    ]
'''


def test_functions_over_the_graph(shop: Place) -> None:
    policy(shop, 'own = ["policies:owners_are_teams", "policies:rules_have_reasons"]\n', OWN)
    checked = shop.run("check", "--json")
    assert checked.code == 4
    assert "looked at sales.more" in checked.err, "what they print is not on stdout"
    found = {finding["name"]: finding for finding in checked.json["findings"]}
    assert found["sales.more"]["level"] == "warning"
    assert found["sales.more"]["details"] == [
        {"label": "policy", "text": "policies:owners_are_teams"},
        {"label": "needs", "text": 'owner="team@shop"'},
    ]
    assert (found["sales.total"]["of"], found["sales.total"]["line"]) == ("old", 13)


def test_they_are_imported_by_check_alone_and_anew(shop: Place) -> None:
    policy(shop, 'own = ["policies:one"]\n', "raise SystemExit(3)\n")
    for verb in ("ls", "plan", "status"):
        assert shop.run(verb).code == 0, verb
    shop.write("policies.py", "def one(graph):\n    return []\n")
    assert shop.run("check").code == 0
    shop.write("policies.py", "def one(graph):\n    return [None]\n")
    assert shop.run("check").code == 2


def test_two_projects_in_one_process_have_modules_of_the_same_name(
    shop: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own = "from limits import found\n\n\ndef one(graph):\n    return found\n"
    policy(shop, 'own = ["policies:one"]\n', own)
    shop.write("limits.py", "found = []\n")
    other = Place(tmp_path_factory.mktemp("other"))
    other.write("products/sales.py", PRODUCTS, header=True)
    policy(other, 'own = ["policies:one"]\n', own)
    other.write(
        "limits.py", "from assay import Finding\nfound = [Finding('sales.more', 'too many')]\n"
    )
    for _ in range(2):
        assert of_policies(shop) == set()
        assert of_policies(other) == {("policies:one", "error", "sales.more", "")}


def test_a_policy_may_be_in_a_definition_module(shop: Place) -> None:
    shop.write(
        "products/rules_of_ours.py",
        "from assay import Finding\ndef one(graph):\n    return [Finding('sales.more', 'no')]\n",
    )
    policy(shop, 'own = ["products.rules_of_ours:one"]\n')
    for _ in range(2):  # the second time, definitions come from the manifest
        assert of_policies(shop) == {("products.rules_of_ours:one", "error", "sales.more", "")}
        for name in [name for name in sys.modules if name.startswith("products")]:
            del sys.modules[name]


MISTAKES = {
    "policies:nosuch": ("policies.py", "does not exist", "Did you mean nosuchthing?"),
    "policies:LIMIT": ("policies.py", "is int, and not a function", "def LIMIT(graph): ..."),
    "policies:fails": ("policies.py:9", "policies:fails failed: ZeroDivisionError", "1 / 0"),
    "policies:ends": ("policies.py:13", "policies:ends failed: SystemExit", "sys.exit(0)"),
    "policies:gives_none": ("policies.py:16", "returns NoneType, and no findings", "Yield"),
    "policies:gives_texts": ("policies.py:20", "finds a str, and no Finding", "Yield"),
    "policies:of_nothing": ("policies.py:24", "'total', which is not declared", "sales.total?"),
    "policies:fatal": ("policies.py:28", "gives severity='fatal'", "'error' or 'warning'"),
    "policies:changes_it": (
        "policies.py:37",
        "policies:changes_it failed: AttributeError",
        "clear()",
    ),
    "policies:unsayable": (
        "policies.py:32",
        "gives what= of type int, which should be a text",
        "Yield",
    ),
    "nowhere:at_all": (
        "pyproject.toml:4",
        "no module 'nowhere'",
        "Write its function in nowhere.py.",
    ),
    "polices:fails": ("pyproject.toml:4", "no module 'polices'", "Did you mean policies?"),
    "broken:one": ("broken.py:1", "broken cannot be imported: invalid syntax", "def"),
    "needs_more:one": ("needs_more.py:1", "No module named 'nosuch'", "import nosuch"),
}
POOR = """
import sys
LIMIT = 3
nosuchthing = print

def fails(graph):
    return 1 / 0


def ends(graph):
    sys.exit(0)


def gives_none(graph):
    Finding("sales.total", "forgotten")


def gives_texts(graph):
    return "ab"


def of_nothing(graph):
    return [Finding("total", "no domain")]


def fatal(graph):
    return [Finding("sales.total", "x", "fatal")]


def unsayable(graph):
    return [Finding("sales.total", 5)]


def changes_it(graph):
    graph.products.clear()
"""


def test_policies_that_cannot_be_used_are_told_at_once(shop: Place) -> None:
    policy(shop, f"own = [{', '.join(map(repr, MISTAKES))}]\n", POOR.lstrip("\n"))
    shop.write("broken.py", "def (\n")
    shop.write("needs_more.py", "import nosuch\n")
    checked = shop.run("check")
    assert checked.code == 2
    assert "Traceback" not in checked.err
    for name, (place, what, hint) in MISTAKES.items():
        assert f"{place}: " in checked.err, name
        at = checked.err.index(what)
        assert hint in checked.err[at : at + 250], name


def test_the_example_keeps_its_policies(example: Place) -> None:
    assert of_policies(example) == set()
    example.edit("products/finance/fx.py", ', description="units of the currency for one euro"', "")
    example.edit(
        "products/sales.py", '    owner="warehouse@shop.example",\n    purpose=', "    purpose="
    )
    assert "sales.stock_adjustments has no owner" in example.run("check").err
    example.edit(
        "products/sales.py", '    purpose="Lines without', '    owner="o",\n    # "Lines without'
    )
    assert of_policies(example) == {
        ("description", "error", "finance.fx_rates", "rate"),
        ("purpose", "error", "sales.stock_adjustments", ""),
    }


def test_each_policy_is_documented() -> None:
    documented = (ROOT / "docs/policies.md").read_text()
    for policy in POLICIES:
        assert f"| `{policy}` |" in documented, policy


# ------------------------------------------------------------------------------------- mistakes


def test_the_line_of_a_mistake_is_not_that_of_a_comment(shop: Place) -> None:
    policy(shop, '# key = "warning"\nkey = "eror"\n')
    assert "policy.key is 'eror': did you mean 'error'? (line 5)" in shop.run("ls").err


def test_all_mistakes_in_the_settings_are_told_at_once_with_their_line(shop: Place) -> None:
    policy(
        shop,
        'ownr = "error"\nkey = true\npurpose = "eror"\nerror-rule = "error"\nown = ["policies.x"]\n'
        'names = { pattern = "(", severty = "error" }\n'
        '[tool.products.policy.for."tag:x"]\nown = []\nkey = "none"\n',
    )
    told = shop.run("ls")
    assert told.code == 2
    for text in (
        "policy.ownr is unknown: did you mean 'owner'? (line 4)",
        "policy.key is bool: it should be 'error', 'warning' or 'off' (line 5)",
        "policy.purpose is 'eror': did you mean 'error'? (line 6)",
        "policy.error-rule is unknown: did you mean 'error_rule'? (line 7)",
        "policy.own has 'policies.x': write \"module:function\" (line 8)",
        "policy.names.pattern is no regular expression: ",
        "policy.names.severty is unknown: did you mean 'severity'? (line 9)",
        'policy.for."tag:x".own is unknown: ',
        "policy.for.\"tag:x\".key is 'none': it should be 'error', 'warning' or 'off' (line 12)",
    ):
        assert text in told.err, text


@pytest.mark.parametrize(
    "text",
    [
        "policy = 3",
        'policy.for = "x"',
        'policy.for."" = {}',
        "policy.for.x = 3",
        'policy.own = "policies:x"',
        'policy.names = "error"',
        "policy.names = { severity = 'error' }",
        "policy.owner = ['error']",
    ],
)
def test_what_is_no_policy_is_a_mistake(shop: Place, text: str) -> None:
    shop.write("pyproject.toml", f"[tool.products]\n{text}\n")
    told = shop.run("ls")
    assert told.code == 2
    assert "[tool.products]: policy" in told.err
    assert "Traceback" not in told.err


def test_a_selector_that_names_nothing_is_a_mistake(shop: Place) -> None:
    policy(shop, '[tool.products.policy.for.totl]\nkey = "error"\n')
    told = shop.run("check")
    assert told.code == 2
    assert 'pyproject.toml: [tool.products.policy.for."totl"]: there is no product' in told.err
    assert "Did you mean sales.total?" in told.err
