"""Which products are decided on, so that the inputs of some can be read."""

import pytest

from assay.build.compared_columns import DiffOptions
from assay.build.inputs import inputs_as_of_now
from assay.build.workspace import open_workspace
from assay.plan import ladder
from assay.views.diff import diffs
from tests.conftest import Place

SHOP = """
sql_product("a", "select x from numbers", owner="o")
sql_product("b", "select x from a", owner="o", release_group="g")
sql_product("c", "select x from d", owner="o", release_group="g")
sql_product("d", "select x + 1 as x from numbers", owner="o")
sql_product("e", "select x from b", owner="o")
"""


def test_products_are_decided_on_with_what_they_depend_on_and_are_released_with(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("products/sales.py", SHOP, header=True)
    decided: list[str] = []
    decide = ladder.decide
    monkeypatch.setattr(
        ladder,
        "decide",
        lambda product, *a, **k: (decided.append(product.name), decide(product, *a, **k))[1],
    )
    for x in (1, 2):
        place.numbers("a", x)
        assert place.run("materialize").code == 0
    with open_workspace(start=place.root) as workspace:
        observed = workspace.observe()
        everything = inputs_as_of_now(workspace, observed)[1]
        decided.clear()
        some = inputs_as_of_now(workspace, observed, ["sales.b"])[1]
        assert set(decided) == {"sales.a", "sales.b", "sales.c", "sales.d"}
        assert some == {name: everything[name] for name in some}
        decided.clear()
        [view] = diffs(workspace, ["sales.a"], "previous", "published", DiffOptions()).views
        assert (view.new, view.gone, view.downstream) == (1, 1, ("sales.b", "sales.e"))
        assert decided == ["sales.a"]
