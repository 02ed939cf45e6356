"""Tables on a terminal: readable at 80 and at 100 columns."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.conftest import Place


def on_terminal(root: Path, columns: int, *arguments: str) -> list[str]:
    """Return what the command shows on a terminal of this width."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "NO_COLOR"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "assay", *arguments],
        cwd=root,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=environment | {"TERM": "xterm"},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            got = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not got:
            break
        said += got
    process.wait()
    os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())
    return plain.replace("\r\n", "\n").splitlines()


@pytest.fixture
def night(place: Place) -> Place:
    place.write(
        "products/finance.py",
        """
        from assay import Freshness, rule, source, sql_product

        raw = source.files("raw/*.csv", columns={"day": "date", "net": "double"}, event_time="day")
        sql_product("revenue_of_the_whole_shop", "from raw", owner="finance-data@shop.example", event_time="day",
            purpose="Net revenue a day, from which tomorrow's discounts are set.",
            freshness=Freshness(by="07:00", tz="Europe/London", on="Mon-Fri", covers="previous working day"),
            rules=[rule.check("no day is over a quarter of the whole year's revenue", "net < 1000")])
        sql_product("month_close", "select sum(net) as net from revenue_of_the_whole_shop", owner="finance-data@shop.example")
        """,
    )
    place.write("raw/a.csv", "day,net\n2024-01-05,10\n")
    assert place.run("materialize").code == 0
    place.write("raw/b.csv", "day,net\n2024-01-06,5000\n")
    assert place.run("materialize").code == 3
    return place


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize(
    "arguments",
    [["status"], ["history", "revenue_of_the_whole_shop"], ["ls"], ["runs"]],
    ids=lambda a: a[0],
)
def test_a_table_fits_and_breaks_no_name_and_no_date(
    night: Place, columns: int, arguments: list[str]
) -> None:
    lines = on_terminal(night.root, columns, *arguments)
    assert lines
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    if arguments[0] in {"status", "ls"}:
        assert "finance.revenue_of_the_whole_shop" in text
        assert "finance.month_close" in text
    if arguments[0] == "status":
        assert "held back" in text
        assert "2024-01-05" in text
    if arguments[0] in {"history", "runs"}:
        assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", text), (
            "the date and the time on one line"
        )
    assert not re.search(r"\d\d\d\d-\d\d?$|\d\d\d\d-\d\d?-$", text, re.M), "a date that is broken"
    headers = next(line for line in lines if line.strip())
    assert "…" not in headers


def test_a_wide_terminal_shows_every_column(night: Place) -> None:
    headers = next(line for line in on_terminal(night.root, 240, "status") if line.strip())
    assert headers.split() == [
        "product",
        "state",
        "readers",
        "see",
        "as",
        "of",
        "rows",
        "promise",
        "because",
    ]
