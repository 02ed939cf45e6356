"""One catalog, one store, each knowing the other: any other is refused, and neither it nor the store is touched."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assay.catalog import open_catalog, shared_catalog
from assay.catalog.owner import MARK, Owner, owner, set_owner
from assay.config import find_config
from assay.errors import CatalogError
from tests.conftest import Place
from tests.server import Server

DEFAULT = ".products/catalog.db"


@pytest.fixture
def shop(place: Place) -> Place:
    """A project with one product, published, whose catalog is a file."""
    place.write("products/sales.py", 'sql_product("p", "from numbers", owner="o")', header=True)
    place.materialize()
    return place


def use(place: Place, catalog: str) -> None:
    place.write(
        "pyproject.toml",
        f'[tool.products]\ncatalog = "{catalog}"\n' if catalog else "[tool.products]\n",
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Return all that is in a folder, but for what readers hold meanwhile."""
    found = (path for path in folder.rglob("*") if ".readers" not in path.parts)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in found
    }


VERBS = (
    ["verify", "--repair"],
    ["materialize"],
    ["gc"],
    ["status"],
    ["query", "from p"],
    ["catalog", "copy", "to.db"],
)


def refused(place: Place, *words: str) -> None:
    """Hold that every verb says so, and touches nothing."""
    before = tree(place.root)
    for verb in VERBS:
        ran = place.run(*verb)
        assert ran.code == 1, (verb, ran.out)
        assert "sound" not in ran.out
        for word in words:
            assert word in ran.err, (verb, ran.err)
        assert tree(place.root) == before, verb


# ---------------------------------------------------------------------------------------------- another catalog


@pytest.mark.parametrize("other", ["postgres", "a file"])
def test_a_store_is_refused_by_a_catalog_that_knows_nothing_of_it(
    shop: Place, other: str, server: Server, address: str
) -> None:
    use(shop, address if other == "postgres" else "other.db")
    refused(shop, "belongs to the catalog", DEFAULT, "remove", MARK)
    if other == "postgres":
        assert server.ask("select to_regnamespace('assay')", address.rpartition("/")[2]) == [
            (None,)
        ]
    use(shop, "")
    assert len(shop.query("from p")) == 3


def test_a_catalog_that_is_not_set_is_named(
    place: Place, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when ASSAY_CATALOG is not set in one of two terminals."""
    place.write("products/sales.py", 'sql_product("p", "from numbers", owner="o")', header=True)
    monkeypatch.setenv("ASSAY_CATALOG", address.replace("assay@", "assay:hunter2@"))
    assert place.materialize()["sales.p"]["result"] == "published"
    assert "hunter2" not in (place.root / ".products/store" / MARK).read_text()
    monkeypatch.delenv("ASSAY_CATALOG")
    refused(place, f"belongs to the catalog {address}", DEFAULT, "ASSAY_CATALOG")
    monkeypatch.setenv("ASSAY_CATALOG", address)
    assert place.run("verify", "--repair").code == 0
    assert len(place.query("from p")) == 3


def test_a_catalog_that_is_lost_is_told_and_how_to_start_anew(shop: Place) -> None:
    for file in (shop.root / ".products").glob("catalog.db*"):
        file.unlink()
    refused(shop, "has lost what was in it", "Put back a copy", MARK)
    (shop.root / ".products/store" / MARK).unlink()
    assert shop.materialize()["sales.p"]["result"] == "published"
    assert len(list((shop.root / ".products/store/sales.p").iterdir())) == 2
    assert "moved to .products/damaged" in shop.run("verify", "--repair").out
    assert len(list((shop.root / ".products/store/sales.p").iterdir())) == 1
    assert len(shop.query("from p")) == 3


def test_a_store_that_is_gone_is_filled_again(shop: Place) -> None:
    """A catalog beside it can be that of no other."""
    subprocess.run(["rm", "-r", str(shop.root / ".products/store")], check=True)
    assert shop.materialize()["sales.p"]["result"] == "published"
    assert owner(shop.root / ".products/store").id


def test_a_file_for_two_projects_is_refused_by_the_second(
    shop: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second = (
        Place(tmp_path_factory.mktemp("first")),
        Place(tmp_path_factory.mktemp("second")),
    )
    shared = tmp_path_factory.mktemp("shared")
    for project in (first, second):
        for file in ("products/sales.py", "data/a.csv"):
            project.write(file, (shop.root / file).read_text())
        use(project, f"{shared}/catalog.db")
    assert first.materialize()["sales.p"]["result"] == "published"
    (shared / "locks").rmdir()
    before = tree(shared)
    for verb in (["materialize"], ["verify", "--repair"], ["gc"], ["status"]):
        ran = second.run(*verb)
        assert (ran.code, "is that of another store than" in ran.err) == (1, True), verb
    assert tree(shared) == before, "nothing is left beside it"
    assert not (second.root / ".products/store" / MARK).exists()
    assert first.run("verify", "--repair").code == 0
    assert first.materialize()["sales.p"]["result"] == "unchanged"


@pytest.mark.parametrize("nothing", ["made", "a mark alone"])
def test_a_first_run_that_is_killed_leaves_a_store_for_the_next(place: Place, nothing: str) -> None:
    """The mark is written before the catalog knows of it, so it may be there alone."""
    place.write("products/sales.py", 'sql_product("p", "from numbers", owner="o")', header=True)
    if nothing == "a mark alone":
        set_owner(place.root / ".products/store", Owner(id="of a run that died", name="somewhere"))
    assert place.run("verify", "--repair").code == 0
    assert place.materialize()["sales.p"]["result"] == "published"
    with closing(shared_catalog(find_config(place.root))) as catalog:
        [(id,)] = catalog.database.rows("select value from meta where name = 'store'")
        assert id == owner(place.root / ".products/store").id != "of a run that died"


def test_a_mark_that_is_a_link_is_not_followed(shop: Place) -> None:
    mark = shop.root / ".products/store" / MARK
    mark.unlink()
    mark.symlink_to("/dev/zero")
    for verb in (["status"], ["verify"]):
        ran = shop.run(*verb)
        assert (ran.code, "cannot read" in ran.err) == (1, True)


# ---------------------------------------------------------------------------------------------- copies


@pytest.mark.parametrize("to", ["postgres", "a file"])
def test_a_catalog_that_was_copied_is_refused_and_says_where_it_went(
    shop: Place, to: str, address: str
) -> None:
    target = address if to == "postgres" else "moved.db"
    secret = target.replace("assay@", "assay:hunter2@")
    with closing(shared_catalog(find_config(shop.root))) as held_open:
        assert shop.run("catalog", "copy", secret).code == 0
        with pytest.raises(CatalogError, match=f"was moved to .*{target}"):
            held_open.sources.remember([], seen=datetime(2024, 1, 1, tzinfo=UTC))
    refused(shop, "was moved to", target, "[tool.products]")
    assert "hunter2" not in shop.run("status").err
    use(shop, target)
    assert shop.materialize()["sales.p"]["result"] == "unchanged"
    shop.numbers("a", 1, 2)
    assert shop.materialize()["sales.p"]["result"] == "published"
    for file in (shop.root / ".products").glob("catalog.db*"):
        file.unlink()
    assert shop.run("catalog", "copy", DEFAULT).code == 0
    assert "was moved to" in shop.run("status").err
    use(shop, "")
    assert shop.materialize()["sales.p"]["result"] == "unchanged"
    assert shop.run("verify", "--repair").code == 0


def test_a_catalog_whose_copy_is_gone_for_good_is_used_again(shop: Place) -> None:
    assert shop.run("catalog", "copy", "moved.db").code == 0
    known = shop.run("status").err.partition("write ")[2].split()[0]
    (shop.root / ".products/store" / MARK).write_text(known)
    shop.numbers("a", 1, 2)
    assert shop.materialize()["sales.p"]["result"] == "published"
    use(shop, "moved.db")
    refused(shop, "is that of another store than")


STEPS = {  # after which of the steps of a copy it is killed, and which of the two is used then
    "the rows were read back": ("assay.catalog.copying.set_owner", "before", DEFAULT),
    "the store was given to it": ("assay.catalog.copying.set_owner", "after", "moved.db"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_copy_that_is_killed_leaves_one_that_is_used(shop: Place, step: str) -> None:
    name, when, used = STEPS[step]
    module, _, function = name.rpartition(".")
    code = (
        f"import os, signal, {module} as m; real = m.{function}\n"
        f"def killed(*a):\n    {'real(*a)' if when == 'after' else 'pass'}\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"m.{function} = killed\nfrom assay.cli.main import run; run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "catalog", "copy", "moved.db"], cwd=shop.root, check=False
    )
    assert done.returncode == -signal.SIGKILL
    for file in (DEFAULT, "moved.db"):  # what was killed left a log beside it
        open_catalog(shop.root / file).close()
    for catalog in ("", "moved.db"):
        use(shop, catalog)
        if (catalog or DEFAULT) == used:
            assert shop.materialize()["sales.p"]["result"] == "unchanged"
            assert shop.run("verify", "--repair").code == 0
        else:
            refused(shop, "is that of another store than", os.path.basename(used))  # noqa: PTH119
    with closing(open_catalog(shop.root / used)) as catalog:
        assert len(catalog.versions("sales.p")) == 1
