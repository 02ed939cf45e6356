"""Who may read what is stored: the owner, or a group; whatever the umask, and also a store that was open before."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from assay.store.leases import reading
from tests.conftest import Place

PRODUCTS = """
sql_product("p", "from numbers", owner="o", rules=[rule.check("small", "x < 3", fail_above="90 %", on_failure="quarantine")])

@product(owner="o")
def f(p): return p

@product(owner="o", isolate=ISOLATE, file="a.txt")
def text(p): return "hello"
"""


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(place: Place) -> dict[str, int]:
    """Return the permissions of the state folder and all in it."""
    state = place.root / ".products"
    return {
        str(p.relative_to(place.root)): stat.S_IMODE(p.stat().st_mode)
        for p in (state, *state.rglob("*"))
    }


def build(place: Place, *verbs: str, isolate: bool = False) -> None:
    place.write("products/sales.py", PRODUCTS.replace("ISOLATE", str(isolate)), header=True)
    assert place.run("materialize", *verbs).code == 0


@pytest.mark.parametrize("mask", [0, pytest.param(0o022, marks=pytest.mark.long), 0o077])
def test_what_is_stored_is_its_owners(place: Place, mask: int) -> None:
    with umask(mask):
        build(place, isolate=True)
        with reading(place.root / ".products/store"):
            found = modes(place)
    assert len(found) > 15
    assert {name for name, mode in found.items() if mode & 0o077} == set()
    assert found[".products"] == 0o700
    assert {mode for name, mode in found.items() if name.endswith(("parquet", "a.txt"))} == {0o400}


@pytest.mark.parametrize("mask", [0, 0o077])
def test_a_group_may_read_and_write(place: Place, mask: int) -> None:
    place.write("pyproject.toml", '[tool.products]\naccess = "group"\n')
    with umask(mask):
        build(place, isolate=True)
        with reading(place.root / ".products/store"):
            found = {name: mode for name, mode in modes(place).items() if "spill" not in name}
            folders = {name: mode for name, mode in found.items() if (place.root / name).is_dir()}
    assert set(folders.values()) == {0o2770}
    assert {mode for name, mode in found.items() if name not in folders} == {0o660, 0o440}


def test_a_store_that_was_open_is_closed_by_the_next_run_that_may_write(place: Place) -> None:
    build(place)
    for path in (place.root / ".products").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o444 if path.suffix == ".parquet" else 0o644)
    (place.root / ".products").chmod(0o755)
    assert place.run("materialize").code == 0
    assert {mode & 0o077 for mode in modes(place).values()} == {0}
    assert place.run("verify").code == 0
    assert place.query("select count(*) as n from p") == [{"n": 2}]


def test_a_catalog_elsewhere_is_its_owners_too(place: Place) -> None:
    place.write("pyproject.toml", '[tool.products]\ncatalog = "shared/catalog.db"\n')
    with umask(0):
        build(place)
    found = [stat.S_IMODE(path.stat().st_mode) for path in (place.root / "shared").rglob("*")]
    assert found and not any(mode & 0o077 for mode in found)


def test_what_is_shown_elsewhere_is_not_touched(place: Place) -> None:
    build(place)
    with umask(0o022):
        assert place.run("show", "p", "--to", str(place.root / "p.parquet")).code == 0
    assert stat.S_IMODE(Path(place.root / "p.parquet").stat().st_mode) == 0o644


def test_a_setting_that_is_none_is_told(place: Place) -> None:
    place.write("pyproject.toml", '[tool.products]\naccess = "everybody"\n')
    assert "access should be 'owner' or 'group'" in place.run("ls").err
