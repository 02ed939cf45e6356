"""The typed example project, which CI has mypy and pyright read, is one that builds."""

import importlib.util
import shutil

import pytest

from tests.conftest import ROOT, Place


@pytest.fixture
def typed(place: Place) -> Place:
    shutil.copytree(ROOT / "tests/typed", place.root, dirs_exist_ok=True)
    shutil.rmtree(place.root / "data")
    place.write("data/a.csv", "id,day,amount\n1,2024-01-05,120\n2,2024-01-06,80\n")
    return place


def test_it_builds(typed: Place) -> None:
    ran = typed.run("materialize")
    assert ran.code == 0, ran.out + ran.err
    assert typed.query("select count(*) as n from large_orders") == [{"n": 1}]


def test_its_functions_can_be_called(typed: Place) -> None:
    spec = importlib.util.spec_from_file_location("typed", typed.root / "products/sales.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.called().height == 1


def test_ci_reads_it_with_both() -> None:
    steps = (ROOT / ".ci/run").read_text()
    assert "mypy --strict --config-file= tests/typed/products/sales.py" in steps
    assert 'basedpyright" --project tests/typed' in steps
