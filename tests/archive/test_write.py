"""Archives are written in pieces and in one step, and never over a file that nobody wants replaced."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay.archive import write as writing
from tests.archive import shop
from tests.conftest import Place

pytestmark = pytest.mark.long
MILLIONS = 3  # of rows: 40 bytes each


def peak(root: Path, *arguments: str) -> int:
    """Run the command; return the most memory that it needed, in bytes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "assay", *arguments], cwd=root, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss * 1024


def test_memory_does_not_grow_with_the_data(place: Place) -> None:
    place.write("pyproject.toml", '[tool.products]\nmemory = "200MB"\n')
    place.write(
        "products/sales.py",
        f"""
        sql_product("small", "select hash(x) as h from numbers", owner="o")
        sql_product("big", "select hash(i) as h, hash(i + 1) as g, hash(i + 2) as f, md5(i::varchar) as m"
            " from (select x from numbers limit 1), range({MILLIONS}000000) t(i)", owner="o")
        """,
        header=True,
    )
    assert place.spawn("materialize").code == 0
    peaks = {}
    for name in ("small", "big"):
        to = ("--to", f"{name}.zip")
        peaks[name] = peak(place.root, "evidence", name, "--data", *to)
        peaks[f"{name} checked"] = peak(place.root, "evidence", "--verify", f"{name}.zip")
    size = (place.root / "big.zip").stat().st_size
    assert size > MILLIONS * 25e6
    assert peaks["big"] - peaks["small"] < size / 2, peaks
    assert peaks["big checked"] - peaks["small checked"] < size / 2, peaks


def test_a_file_is_replaced_only_if_asked_for_and_only_as_a_whole(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.built(place)
    place.write("e.zip", "mine")
    refused = place.run("evidence", "total", "--to", "e.zip")
    assert (refused.code, "e.zip exists" in refused.err) == (2, True)
    nowhere = place.run("evidence", "total", "--to", "no/e.zip")
    assert (nowhere.code, "there is no folder no" in nowhere.err) == (2, True)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writing.os, "fsync", full)
        failed = place.run("evidence", "total", "--to", "e.zip", "--overwrite")
    assert failed.code == 1
    assert (place.root / "e.zip").read_text() == "mine"
    assert [f.name for f in place.root.iterdir() if f.name.startswith(".e")] == []
    assert place.run("evidence", "total", "--to", "e.zip", "--overwrite").code == 0
    assert shop.verify(place).code == 0
