"""Sources as observed: by content, at the cost of a look."""

import os
import resource
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assay import observe
from assay.model import Source, Where
from assay.observe import changed_since, look, settled, told_anew
from tests.conftest import Place

SOURCE = Source(name="s.raw", where=Where("x", 1), pattern="data/**/*.csv", format="csv", columns=(), reading="r")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/a.csv").write_text("1")
    (tmp_path / "data/deep/b.csv").write_text("2")
    (tmp_path / "data/c.txt").write_text("3")
    return tmp_path


def test_content_counts_and_times_do_not(root: Path) -> None:
    first = look(root, SOURCE, {})
    assert [f.path for f in first.files] == ["data/a.csv", "data/deep/b.csv"]
    os.utime(root / "data/a.csv", ns=(1, 1))
    assert look(root, SOURCE, {}).digest == first.digest
    (root / "data/a.csv").write_text("9")
    assert look(root, SOURCE, {}).digest != first.digest


def test_how_it_is_read_counts(root: Path) -> None:
    from msgspec.structs import replace

    assert look(root, SOURCE, {}).digest != look(root, replace(SOURCE, reading="other"), {}).digest


def test_a_file_known_by_size_and_time_is_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = look(root, SOURCE, {})
    seen = {f.path: f for f in first.files}
    read: list[Path] = []
    monkeypatch.setattr(observe, "file_digest", lambda file: read.append(file) or "d")
    assert look(root, SOURCE, seen) == first
    assert read == []
    os.utime(root / "data/a.csv", ns=(5, 5))
    look(root, SOURCE, seen)
    assert read == [root / "data/a.csv"]


def test_a_file_changed_a_moment_ago_is_not_trusted_by_its_time(root: Path) -> None:
    state = look(root, SOURCE, {})
    now = datetime.now(UTC)
    assert not told_anew(state, {}, now)
    remembered = settled(state, now)
    assert {(f.size, f.ctime_ns, f.digest) for f in remembered.files} == {(f.size, 0, f.digest) for f in state.files}
    later = datetime.fromtimestamp(now.timestamp() + 60, UTC)
    assert told_anew(state, {f.path: f for f in remembered.files}, later)
    assert settled(state, later) == state
    assert not told_anew(state, {f.path: f for f in state.files}, later)


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
    listed = lambda: sqlite3.connect(place.root / ".products/catalog.db").execute(  # noqa: E731
        "select rowid, * from listings order by 1"
    ).fetchall()  # fmt: skip
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
    assert {row[1:3] for row in again} > {row[1:3] for row in once} and again[-1][1] in {row[1] for row in once}
    place.materialize()
    assert listed() == again


def test_folders_whose_names_stand_for_others(tmp_path: Path) -> None:
    place = Place(tmp_path / "pro[ject] *1?")
    place.write("pyproject.toml", "[tool.products]\n")
    place.write("products/s.py", "raw = source.files('drop/shop={shop}/f.csv', columns={'x': 'bigint'})\n"
                "sql_product('t', 'select shop, x from raw', owner='o', partition_by='shop')\n", header=True)  # fmt: skip
    for number, shop in enumerate(("*star", "[br]", "what?")):
        place.write(f"drop/shop={shop}/f.csv", f"x\n{number}\n")
    place.write("data/a.csv", "x\n1\n")
    assert place.materialize()[""]["exit_code"] == 0
    assert place.query("from t order by x") == [
        {"shop": shop, "x": number} for number, shop in enumerate(("*star", "[br]", "what?"))
    ]


def test_no_files_and_files_that_vanish(root: Path) -> None:
    state = look(root, SOURCE, {})
    assert changed_since(root, state.files, datetime.now(UTC)) == ""
    (root / "data/a.csv").unlink()
    assert changed_since(root, state.files, datetime.now(UTC)) == "data/a.csv"
    (root / "data/deep/b.csv").unlink()
    assert look(root, SOURCE, {}).missing == "s.raw: no file matches data/**/*.csv"


def test_a_file_that_nobody_can_look_at_is_not_taken_for_another(root: Path) -> None:
    state = look(root, SOURCE, {})
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        with pytest.raises(OSError, match="Too many open files"):
            changed_since(root, state.files, datetime.now(UTC))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_noticed(root: Path) -> None:
    file, state = root / "data/a.csv", look(root, SOURCE, {})
    long_after = datetime(2100, 1, 1, tzinfo=UTC)
    before = file.stat()
    (root / "new").write_text("9")
    os.utime(root / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (root / "new").replace(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns), "the control"
    assert changed_since(root, state.files[:1], long_after) == "data/a.csv"
    assert look(root, SOURCE, {f.path: f for f in state.files}).digest != state.digest


def test_a_file_that_was_new_when_it_was_observed_is_read_again(root: Path) -> None:
    from msgspec.structs import replace

    file, state = root / "data/a.csv", look(root, SOURCE, {})
    file.write_text("9")  # within one tick of the clock of the file system, as far as anybody can tell
    known = replace(state.files[0], ctime_ns=file.stat().st_ctime_ns)
    assert changed_since(root, [known], datetime.now(UTC)) == "data/a.csv"
    assert changed_since(root, [known], datetime(2100, 1, 1, tzinfo=UTC)) == "", "one long settled is not"
