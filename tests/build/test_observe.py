"""Sources as observed: by content, at the cost of a look."""

import errno
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from assay.build import observe
from assay.build.observe import changed_since, has_new_listing, observe_source, without_racy_times
from assay.model import Source, Where
from assay.store.files import file_digest
from tests.conftest import Place

SOURCE = Source(
    name="s.raw",
    where=Where("x", 1),
    pattern="data/**/*.csv",
    format="csv",
    columns=(),
    reading="r",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/a.csv").write_text("1")
    (tmp_path / "data/deep/b.csv").write_text("2")
    (tmp_path / "data/c.txt").write_text("3")
    return tmp_path


def test_content_counts_and_times_do_not(root: Path) -> None:
    first = observe_source(root, SOURCE, {})
    assert [f.path for f in first.files] == ["data/a.csv", "data/deep/b.csv"]
    os.utime(root / "data/a.csv", ns=(1, 1))
    assert observe_source(root, SOURCE, {}).digest == first.digest
    (root / "data/a.csv").write_text("9")
    assert observe_source(root, SOURCE, {}).digest != first.digest


def test_how_it_is_read_counts(root: Path) -> None:
    assert (
        observe_source(root, SOURCE, {}).digest
        != observe_source(root, replace(SOURCE, reading="other"), {}).digest
    )


def test_a_file_known_by_size_and_time_is_not_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = observe_source(root, SOURCE, {})
    seen = {f.path: f for f in first.files}
    read: list[int] = []
    monkeypatch.setattr(
        observe, "digest_of", lambda file: read.append(os.fstat(file).st_ino) or "d"
    )
    assert observe_source(root, SOURCE, seen) == first
    assert read == []
    os.utime(root / "data/a.csv", ns=(5, 5))
    observe_source(root, SOURCE, seen)
    assert read == [(root / "data/a.csv").stat().st_ino]


def test_a_file_changed_a_moment_ago_is_not_trusted_by_its_time(root: Path) -> None:
    state = observe_source(root, SOURCE, {})
    now = datetime.now(UTC)
    assert not has_new_listing(state, {}, now)
    remembered = without_racy_times(state, now)
    assert {(f.size, f.ctime_ns, f.digest) for f in remembered.files} == {
        (f.size, 0, f.digest) for f in state.files
    }
    later = datetime.fromtimestamp(now.timestamp() + 60, UTC)
    assert has_new_listing(state, {f.path: f for f in remembered.files}, later)
    assert without_racy_times(state, later) == state
    assert not has_new_listing(state, {f.path: f for f in state.files}, later)


@pytest.mark.long
def test_nothing_is_recorded_where_nothing_changed(place: Place) -> None:
    """Also of files that two sources have, by other names of their parts, and of content that was there before."""
    for shop in ("a", "b"):
        place.write(f"data/{shop}.csv", "x\n1\n")
    declared = """
        columns = {"x": "bigint"}
        files, shops = source.files("data/*.csv", columns=columns), source.files("data/{shop}.csv", columns=columns)
        sql_product("p", "select shop, x from shops union all select '', x from files", owner="o")
    """
    place.write("products/s.py", declared, header=True)
    listed = lambda: (
        sqlite3.connect(place.root / ".products/catalog.db")
        .execute("select rowid, * from listings order by 1")
        .fetchall()
    )
    place.materialize()
    time.sleep(2.1)  # by then their times tell
    place.materialize()
    once = listed()
    assert len(once) == 2 and '",0,"' not in str(once), "their times are told"
    place.materialize()
    assert listed() == once
    place.write("data/a.csv", "x\n2\n")
    place.materialize()
    place.write("data/a.csv", "x\n1\n")
    place.materialize()
    time.sleep(2.1)
    place.materialize()
    again = listed()
    assert {row[1:3] for row in again} > {row[1:3] for row in once} and again[-1][1] in {
        row[1] for row in once
    }
    place.materialize()
    assert listed() == again


def test_folders_whose_names_stand_for_others(tmp_path: Path) -> None:
    place = Place(tmp_path / "pro[ject] *1?")
    place.write("pyproject.toml", "[tool.products]\n")
    place.write(
        "products/s.py",
        "raw = source.files('drop/shop={shop}/f.csv', columns={'x': 'bigint'})\n"
        "sql_product('t', 'select shop, x from raw', owner='o', partition_by='shop')\n",
        header=True,
    )
    for number, shop in enumerate(("*star", "[br]", "what?")):
        place.write(f"drop/shop={shop}/f.csv", f"x\n{number}\n")
    place.write("data/a.csv", "x\n1\n")
    assert place.materialize()[""]["exit_code"] == 0
    assert place.query("from t order by x") == [
        {"shop": shop, "x": number} for number, shop in enumerate(("*star", "[br]", "what?"))
    ]


def test_no_files_and_files_that_vanish(root: Path) -> None:
    state = observe_source(root, SOURCE, {})
    assert changed_since(root, state.files, datetime.now(UTC)) == ""
    (root / "data/a.csv").unlink()
    assert changed_since(root, state.files, datetime.now(UTC)) == "data/a.csv"
    (root / "data/deep/b.csv").unlink()
    assert observe_source(root, SOURCE, {}).missing == "s.raw: no file matches data/**/*.csv"


def test_a_file_that_nobody_can_look_at_is_not_taken_for_another(root: Path) -> None:
    state = observe_source(root, SOURCE, {})
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        with pytest.raises(OSError, match="Too many open files"):
            changed_since(root, state.files, datetime.now(UTC))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_noticed(root: Path) -> None:
    file, state = root / "data/a.csv", observe_source(root, SOURCE, {})
    long_after = datetime(2100, 1, 1, tzinfo=UTC)
    before = file.stat()
    (root / "new").write_text("9")
    os.utime(root / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (root / "new").replace(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns), (
        "the control"
    )
    assert changed_since(root, state.files[:1], long_after) == "data/a.csv"
    assert observe_source(root, SOURCE, {f.path: f for f in state.files}).digest != state.digest


def test_a_file_that_was_new_when_it_was_observed_is_read_again(root: Path) -> None:
    file, state = root / "data/a.csv", observe_source(root, SOURCE, {})
    file.write_text(
        "9"
    )  # within one tick of the clock of the file system, as far as anybody can tell
    known = replace(state.files[0], ctime_ns=file.stat().st_ctime_ns)
    assert changed_since(root, [known], datetime.now(UTC)) == "data/a.csv"
    assert changed_since(root, [known], datetime(2100, 1, 1, tzinfo=UTC)) == "", (
        "one long settled is not"
    )


# ---------------------------------------------------------------------------------------------- what cannot be looked at


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user who may read what everybody may, and no more."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def closed(folder: Path) -> None:
    """Let nobody but root look into a folder; those above it may be passed."""
    for above in folder.parents:
        if above.owner() == folder.owner() and len(above.parts) > 2:
            above.chmod(above.stat().st_mode | 0o555)
    folder.chmod(0)


PATTERNS = [
    "data/**/*.csv",
    "data/*/*.csv",
    "data/deep/*.csv",
    "data/d*/b.csv",
    "data/deep/b.csv",
    "/data/**/*.csv",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_folder_that_may_not_be_read_has_no_known_files(root: Path, pattern: str) -> None:
    (root / "data/north").mkdir()
    (root / "data/north/b.csv").write_text("1")
    pattern = f"{root}{pattern}" if pattern.startswith("/") else pattern
    source = replace(SOURCE, pattern=pattern)
    assert observe_source(root, source, {}).digest
    closed(root / "data/deep")
    try:
        with as_nobody():
            state = observe_source(root, source, {})
    finally:
        (root / "data/deep").chmod(0o755)
    assert (
        "data/deep" in state.missing
        and state.missing.endswith("Permission denied")
        and not state.files
    )


def test_what_is_made_of_a_folder_that_may_not_be_read_is_held_and_readers_keep_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("in/north/a.csv", "x\n1\n")
    place.write("in/south/a.csv", "x\n2\n")
    place.write(
        "products/s.py",
        """
        raw = source.files("in/**/*.csv", columns={"x": "bigint"})
        sql_product("p", "from raw", owner="o")
        """,
        header=True,
    )
    assert place.run("materialize").code == 0
    with failing(monkeypatch, place.root / "in/south", errno.EACCES):
        ran = place.run("materialize")
        status = place.run("status").out
    assert ran.code == 1 and "s.raw: cannot look into in/south: Permission denied" in ran.out
    assert "s.raw: cannot look into in/south: Permission denied" in status
    assert place.query("select count(*) as n from p") == [{"n": 2}]
    assert "unchanged  1 product" in place.run("materialize").out


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, folder: Path, number: int) -> Iterator[None]:
    """Let looking into a folder fail."""

    def unless_it(observe_source: Callable[[str], object]) -> Callable[[str], object]:
        def looking(at: str) -> object:
            if os.path.normpath(at) == str(folder):
                raise OSError(number, os.strerror(number), str(at))
            return observe_source(at)

        return looking

    with monkeypatch.context() as patched:
        for name in ("scandir", "listdir"):
            patched.setattr(os, name, unless_it(getattr(os, name)))
        yield


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ESTALE, errno.ELOOP])
@pytest.mark.parametrize(
    "pattern", ["data/**/*.csv", "data/*/*.csv", "data/*/b.csv", "data/deep/*.csv"]
)
def test_any_error_of_looking_is_no_deletion(
    root: Path, pattern: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = "data" if pattern == "data/*/b.csv" else "data/deep"
    with failing(monkeypatch, root / folder, number):
        state = observe_source(root, replace(SOURCE, pattern=pattern), {})
    assert state.missing == f"s.raw: cannot look into {folder}: {os.strerror(number)}"


@pytest.mark.parametrize("pattern", ["data/**/*.csv", "data/*.csv", "data/*/b.csv"])
def test_a_link_that_loops_is_no_deletion(root: Path, pattern: str) -> None:
    (root / "data/loop.csv").symlink_to("loop.csv")
    state = observe_source(root, replace(SOURCE, pattern=pattern), {})
    assert (
        state.missing.startswith("s.raw: cannot")
        and "data/loop.csv: Too many levels" in state.missing
    )


def test_folders_that_are_not_there_have_no_files(root: Path) -> None:
    for pattern in (
        "none/*.csv",
        "none/**/*.csv",
        "none/*/x.csv",
        "none/x.csv",
        "data/a.csv/*.csv",
        "data/*/none.csv",
    ):
        assert (
            observe_source(root, replace(SOURCE, pattern=pattern), {}).missing
            == f"s.raw: no file matches {pattern}"
        )


def test_definitions_that_may_not_be_looked_for_are_not_gone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("products/more/s.py", "sql_product('p', 'select 1 as x', owner='o')", header=True)
    assert place.run("materialize").code == 0
    with failing(monkeypatch, place.root / "products/more", errno.EACCES):
        ran = place.run("materialize")
    assert (
        ran.code == 2
        and "cannot look for definitions in products/more: Permission denied" in ran.err
    )


def test_a_folder_of_definitions_that_a_loop_cannot_list_is_a_mistake(place: Place) -> None:
    place.write("sql/p.sql", "select 1 as x")
    loop = "for f in Path('sql').glob('*.sql'):\n    sql_product(f.stem, f.read_text(), owner='o')"
    place.write("products/s.py", loop, header=True)
    assert place.run("materialize").code == 0
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("root reads everything")
    rights = (
        "--bounding-set=-dac_override,-dac_read_search",
        "--inh-caps=-dac_override,-dac_read_search",
    )
    prefix = ["setpriv", *rights] if os.geteuid() == 0 else []
    (place.root / "sql").chmod(0)
    try:
        command = [*prefix, sys.executable, "-m", "assay", "materialize"]
        done = subprocess.run(command, cwd=place.root, capture_output=True, text=True, check=False)
    finally:
        (place.root / "sql").chmod(0o755)
    assert done.returncode == 2 and "products/s.py" in done.stderr, done.stderr
    assert "cannot look into sql: Permission denied" in done.stderr


# ---------------------------------------------------------------------------------------------- what is no file


@pytest.mark.parametrize("pattern", ["data/**/*.csv", "data/*.csv", "data/odd.csv"])
@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(
    root: Path, pattern: str, kind: str
) -> None:
    file = root / "data/odd.csv"
    match kind:
        case "a named pipe":
            os.mkfifo(file)
        case "a socket":
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(os.path.relpath(file))
        case "a device":
            file.symlink_to("/dev/zero")
    state = observe_source(root, replace(SOURCE, pattern=pattern), {})
    assert (
        state.missing == f"s.raw: data/odd.csv is {kind}, and a source is read from regular files"
    )


def test_definitions_that_are_no_regular_files_are_refused_and_not_waited_for(place: Place) -> None:
    place.write("products/s.py", "sql_product('p', 'p.sql', owner='o')", header=True)
    os.mkfifo(place.root / "products/p.sql")
    os.mkfifo(place.root / "products/t.py")
    ran = place.run("materialize")
    assert ran.code == 2
    assert "products/t.py" in ran.err and "a named pipe cannot be imported" in ran.err
    assert "s.p: cannot read p.sql: it is a named pipe" in ran.err


# ---------------------------------------------------------------------------------------------- other files alike


def test_a_link_to_another_file_of_the_same_size_and_time_is_noticed(root: Path) -> None:
    """A folder is switched to the next one, in which whoever put both there gave the files one time."""
    for name in ("1", "2"):
        (root / name).mkdir()
        (root / name / "a.csv").write_text(name)
    (root / "now").symlink_to("1")
    source = replace(SOURCE, pattern="now/*.csv")
    [first] = observe_source(root, source, {}).files
    known = replace(first, ctime_ns=(root / "2/a.csv").stat().st_ctime_ns)
    (root / "now").unlink()
    (root / "now").symlink_to("2")
    long_after = datetime(2100, 1, 1, tzinfo=UTC)
    assert changed_since(root, [known], long_after) == "now/a.csv"
    [second] = observe_source(root, source, {known.path: known}).files
    assert (first.digest, second.digest) == (
        file_digest(root / "1/a.csv"),
        file_digest(root / "2/a.csv"),
    )
    assert has_new_listing(
        observe_source(root, source, {}), {known.path: replace(second, inode=0)}, long_after
    )


def test_a_file_on_another_device_is_read_again(root: Path) -> None:
    state = observe_source(root, SOURCE, {})
    elsewhere = {f.path: replace(f, device=f.device + 1, digest="of another") for f in state.files}
    assert observe_source(root, SOURCE, elsewhere) == state
