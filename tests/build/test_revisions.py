"""The declarations of another revision: read in a process of their own, whatever they do."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from assay.build.revisions import graph_at, graph_of
from assay.declare.revision import Commit, commit_of
from assay.errors import UsageError
from assay.plan.graph import Graph
from tests.conftest import Place

pytestmark = pytest.mark.long

TOTAL = 'total = sql_product("total", "select sum(x)::bigint as total from numbers", owner="o")\n'


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@shop.example")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def committed(place: Place, *, message: str = "change") -> Commit:
    """Commit everything in the folder of a project; return the commit."""
    if not (place.root / ".git").exists():
        git(place.root, "init", "-q", "-b", "main")
    git(place.root, "add", "-A")
    git(place.root, "commit", "-q", "-m", message, "--allow-empty")
    commit = commit_of(place.root, "HEAD")
    assert commit
    return commit


def read(place: Place, commit: Commit, *reads: str, limit: float = 60.0) -> Graph:
    return graph_at(place.root, commit, reads, limit=limit)


def why(place: Place, text: str, *, limit: float = 60.0) -> str:
    """Return why declarations that begin with a text cannot be read."""
    place.write("products/sales.py", text + TOTAL, header=True)
    with pytest.raises(UsageError) as caught:
        read(place, committed(place), limit=limit)
    assert caught.value.exit_code == 2
    return caught.value.what


def test_an_old_revision_is_read_as_it_was(place: Place) -> None:
    place.write("products/sales.py", TOTAL, header=True)
    place.write("products/sql/more.sql", "select x from numbers")
    first = committed(place)
    place.write("products/sales.py", TOTAL.replace('"total"', '"sums"'), header=True)
    assert [*read(place, first).products] == ["sales.total"]
    assert [*read(place, committed(place)).products] == ["sales.sums"]
    assert read(place, first) == read(place, first)


def test_a_project_in_a_subfolder_is_read_without_the_rest(place: Place) -> None:
    sub = Place(place.root / "team")
    sub.write("pyproject.toml", "[tool.products]\n")
    sub.numbers("a", 1)
    sub.write("products/sales.py", TOTAL, header=True)
    commit = committed(place)
    assert [*read(sub, commit).products] == ["sales.total"]


def test_nothing_of_the_working_tree_is_imported(place: Place) -> None:
    place.write("products/helper.py", "NAME = 'before'\n")
    place.write(
        "products/sales.py",
        "from products.helper import NAME\n"
        "try:\n    import later\nexcept ImportError:\n    later = ''\n"
        'sql_product(f"{NAME}{later}", "select 1 as one", owner="o")\n',
        header=True,
    )
    first = committed(place)
    place.write("products/helper.py", "NAME = 'now'\n")
    place.write("later.py", "")
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from assay.build.revisions import graph_at;"
            "from assay.declare.revision import commit_of; root = Path(sys.argv[1]);"
            "print(*graph_at(root, commit_of(root, sys.argv[2]), ()).products)",
            str(place.root),
            first.id,
        ],
        env={**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{place.root}"},
        cwd=place.root / "data",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == "sales.before\n", ran.stderr


def test_only_variables_that_are_named_are_given(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_SECRET", "s3cret")
    monkeypatch.setenv("SHOP_NAME", "north")
    place.write(
        "products/sales.py",
        "import os\n"
        'name = os.environ.get("SHOP_NAME", "none") + "_" + os.environ.get("SHOP_SECRET", "none")\n'
        'sql_product(name, "select 1 as one", owner="o")\n',
        header=True,
    )
    commit = committed(place)
    assert [*read(place, commit).products] == ["sales.none_none"]
    assert [*read(place, commit, "$SHOP_NAME").products] == ["sales.north_none"]


def test_code_that_never_ends_is_ended(place: Place) -> None:
    assert why(place, "import time\nwhile True: time.sleep(1)\n", limit=4).endswith(
        "reading it took longer than 4 s"
    )


def test_code_that_ends_the_process_is_no_graph(place: Place) -> None:
    text = "import os\nos._exit(0)\n"
    assert why(place, text).endswith("its code ended the process that read it")
    assert "SystemExit" in why(place, "raise SystemExit(0)\n")


def test_code_that_prints_is_no_reply(place: Place) -> None:
    text = 'import os\nprint("{}", flush=True)\nos.write(1, b"{}")\n'
    place.write("products/sales.py", text + TOTAL, header=True)
    assert [*read(place, committed(place)).products] == ["sales.total"]


def test_code_that_writes_is_refused(place: Place) -> None:
    target = place.root.parent / "written"
    problem = why(place, f'open({str(target)!r}, "w").close()\n')
    assert "may change nothing" in problem
    assert not target.exists()
    problem = why(place, 'import subprocess\nsubprocess.run(["true"])\n')
    assert "may change nothing" in problem


def test_mistakes_are_told_with_their_place(place: Place) -> None:
    problem = why(place, 'sql_product("bad", "selec 1", owner="o")\n')
    assert "products/sales.py:" in problem
    assert str(place.root) not in problem


def test_a_folder_without_a_project_is_not_read(place: Place) -> None:
    (place.root / "pyproject.toml").write_text("[project]\n")
    commit = committed(place)
    with pytest.raises(UsageError, match="no project here"):
        read(place, commit)
    with pytest.raises(UsageError, match="cannot be read"):
        graph_of(place.root / "data", "data", place.root, ())


def test_a_project_that_was_not_there_is_told(place: Place) -> None:
    (place.root / "README").write_text("Nothing yet.\n")
    first = committed(place)
    sub = Place(place.root / "team")
    sub.write("pyproject.toml", "[tool.products]\n")
    with pytest.raises(UsageError, match="team/ was not in it"):
        read(sub, first)


@pytest.mark.parametrize("old", [False, True], ids=["", "Python before 3.11.4"])
@pytest.mark.parametrize(
    ("link", "reads"),
    [
        ("{outside}/secret.sql", False),
        ("../../secret.sql", False),
        ("deep/../../secret.sql", False),  # `deep` leads up to where the definitions are
        ("sql/one.sql", True),
    ],
)
def test_links_out_of_the_commit_are_left_out(
    place: Place, monkeypatch: pytest.MonkeyPatch, link: str, reads: bool, old: bool
) -> None:
    if old:
        monkeypatch.delattr(tarfile, "data_filter")
    (place.root.parent / "secret.sql").write_text("select 1 as one")
    place.write("products/sql/one.sql", "select 1 as one")
    (place.root / "products/deep").symlink_to("../products")
    linked = place.root / "products/linked.sql"
    linked.symlink_to(link.format(outside=place.root.parent))
    text = 'sql_product("linked", "linked.sql", owner="o")\n'
    if reads:
        place.write("products/sales.py", text + TOTAL, header=True)
        assert "sales.linked" in read(place, committed(place)).order
    else:
        assert "linked.sql" in why(place, text)
