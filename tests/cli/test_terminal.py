"""Captured terminals of 80 and 100 columns: no line is wider, and no date and no name is broken."""

import os
import re
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from assay.cli.main import main
from assay.cli.printing import wrapped
from tests.conftest import Place

DATES = ["2024-01-05", "2024-01-06", "2024-01-07", "2024-01-08"]
NAMES = ["finance.revenue_of_the_whole_shop", "finance.month_close"]
COMMANDS = [
    "materialize",
    "status",
    "plan",
    "why revenue_of_the_whole_shop",
    "ls",
    "history revenue_of_the_whole_shop",
    "runs",
    "describe revenue_of_the_whole_shop",
    "lineage revenue_of_the_whole_shop",
    "freshness",
    "incidents",
    "record revenue_of_the_whole_shop --since 2024-01-01 --until 2024-01-08",
    "waivers",
    "env ls",
    "query 'from revenue_of_the_whole_shop'",
    "materialize --help",
]


@contextmanager
def terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let what is printed go to a terminal of this width; the list has its lines at the end."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (50, columns))
    got: list[bytes] = []

    def read() -> None:
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # the other end is closed
                return
            got.append(data)

    reader = Thread(target=read)
    reader.start()
    lines: list[str] = []
    with monkeypatch.context() as patched, os.fdopen(theirs, "w") as out:
        patched.delenv("COLUMNS", raising=False)
        patched.setenv("TERM", "xterm")
        patched.setattr(sys, "stdout", out)
        yield lines
        out.flush()
    reader.join()
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(got).decode())
    shown = [line.rpartition("\r")[2].rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    lines += [line for line in shown if not re.match("[\u2800-\u28ff]", line)]  # erased progress


@pytest.fixture
def night(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    place.write(
        "products/finance.py",
        """
        from assay import Consumer, Freshness, rule, source, sql_product

        raw = source.files("raw/*.csv", columns={"day": "date", "net": "double"}, event_time="day")
        sql_product("revenue_of_the_whole_shop", "from raw", owner="finance-data@shop.example", event_time="day",
            purpose="Net revenue a day, from which tomorrow's discounts are set by the discount desk of the shop.",
            freshness=Freshness(by="07:00", tz="Europe/London", on="Mon-Fri", covers="previous working day"),
            consumers=[Consumer(name="the discount desk of the shop", decides="the discounts of the next day")],
            rules=[rule.check("no day is over a quarter of the whole year's revenue", "net < 1000", because=
                "On 2024-01-06 a mistyped order made the day look like the best of all, until 2024-01-08 at noon.")])
        sql_product("month_close", "select sum(net) as net from revenue_of_the_whole_shop", owner="finance-data@shop.example")
        """,
    )
    place.write("raw/a.csv", "day,net\n2024-01-05,10\n")
    assert place.run("materialize", "--now", "2024-01-06T06:00").code == 0
    place.write("raw/b.csv", "day,net\n2024-01-06,5000\n2024-01-07,1234567.891\n")
    assert place.run("materialize", "--now", "2024-01-07T06:00").code == 3
    monkeypatch.chdir(place.root)
    return place


def shown(columns: int, command: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", command)]
    with terminal(columns, monkeypatch) as lines:
        main(words, standalone_mode=False, prog_name="products")
    return lines


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_wider_and_no_date_and_no_name_is_broken(
    night: Place, columns: int, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line for line in shown(columns, command, monkeypatch) if line.strip()]
    assert lines
    for line in lines:
        assert len(line) <= columns or "products " in line, line
    text = "\n".join(lines)
    for day in re.findall(r"20\d\d-[\d-]*", text):
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", day), f"{day!r} is broken:\n{text}"
    for name in NAMES:
        whole, pieces = text.count(name), len(re.findall(re.escape(name[: len(name) - 4]), text))
        assert whole == pieces, f"{name} is broken:\n{text}"


def test_the_night_at_80_columns(night: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(80, "materialize", monkeypatch)
    version = re.compile(r"v[0-9a-f]{6}")
    plain = [version.sub("v______", line) for line in lines if line.strip()]
    expected = """\
  held back  finance.revenue_of_the_whole_shop  v______  1 of 1 rules failed;
    readers keep v______ (as of 2024-01-05)
             no day is over a quarter of the whole year's revenue: 2 rows
               day 2024-01-06  net 5000
               day 2024-01-07  net 1,234,567.89
               because: On 2024-01-06 a mistyped order made the day look like
                 the best of all, until 2024-01-08 at noon.""".splitlines()
    start = plain.index(next(line for line in plain if line.startswith("  held back")))
    assert plain[start : start + len(expected)] == expected
    assert plain[-1].startswith("  total      2 products: ")


@pytest.mark.parametrize(
    ("line", "width", "expected"),
    [
        ("  short", 80, ["  short"]),
        ("  one two-three 2024-01-05", 20, ["  one two-three", "    2024-01-05"]),
        ("  approve: products approve x --as y", 20, ["  approve: products approve x --as y"]),
        ("  " + "x" * 30, 20, ["  " + "x" * 30]),
        ("anything at all", 0, ["anything at all"]),
    ],
)
def test_lines_are_broken_between_words(line: str, width: int, expected: list[str]) -> None:
    assert [piece.rstrip() for piece in wrapped(line, width)] == expected
