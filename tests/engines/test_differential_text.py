"""Text as declared types: what CSV and JSON lines hand over is what Python's own readers make of the same text, or an error.

Each odd text is a file of its own, read by an SQL product and by a function. Where Python reads no value of the declared
type, neither of them may; where both hand a value over, it is that one. `ASSAY_DIFFERENTIAL=1` tries all of them.
"""

import csv
import datetime as dt
import gzip
import json
import math
import os
import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import assay
from tests.conftest import Place
from tests.engines.test_differential import plain

pytestmark = pytest.mark.long

LARGE = bool(os.environ.get("ASSAY_DIFFERENTIAL"))
NOT_A_VALUE = "no value"
EPOCH = dt.datetime(1970, 1, 1)

# ------------------------------------------------------------------------------------------- Python's reading of a text

_MOMENT = re.compile(
    r"(\d{4})[-/](\d\d?)[-/](\d\d?)(?:[ T](\d\d?):(\d\d)(?::(\d\d)(?:\.(\d*))?)?)?( ?(?:Z|z|UTC|[+-]\d\d(?::?\d\d)?))?",
    re.A,
)
_CLOCK = re.compile(r"(\d\d?):(\d\d)(?::(\d\d)(?:\.(\d*))?)?", re.A)
_BOOLEANS = {
    "true": True,
    "t": True,
    "yes": True,
    "y": True,
    "1": True,
    "false": False,
    "f": False,
    "no": False,
    "n": False,
    "0": False,
}
_WHOLE = {"bigint": (-(2**63), 2**63 - 1), "utinyint": (0, 255)}
_ENUM = ("b", "a", "it's")


def read(declared: str, text: str) -> Any:
    """Return the value of a text as a type, plainly (as `plain()` has it); NOT_A_VALUE for one that has none."""
    try:
        return _read(declared, text)
    except (ValueError, ArithmeticError):
        return NOT_A_VALUE


def _read(declared: str, text: str) -> Any:
    match declared:
        case "varchar":
            return text
        case "enum":
            return text if text in _ENUM else NOT_A_VALUE
        case "boolean":
            return _BOOLEANS.get(text.strip().lower(), NOT_A_VALUE)
        case "double":
            return _double(text.strip())
        case "bigint" | "utinyint" | "decimal":
            return _exact(declared, text.strip())
        case "time":
            return _clock(text.strip())
        case "date":
            return _date(text.strip())
    return _moment(declared, text.strip())


def _double(text: str) -> Any:
    value = float(text) if "_" not in text else math.nan
    if "_" in text or (math.isinf(value) and "inf" not in text.lower()):
        return NOT_A_VALUE
    return Fraction(value) if math.isfinite(value) and repr(value) != "-0.0" else repr(value)


def _exact(declared: str, text: str) -> Any:
    value = Decimal(text) if "_" not in text else Decimal("nan")
    if not value.is_finite():
        return NOT_A_VALUE
    whole = Fraction(value)
    if declared in _WHOLE:
        least, most = _WHOLE[declared]
        return whole if whole.denominator == 1 and least <= whole <= most else NOT_A_VALUE
    return whole if (whole * 100).denominator == 1 and abs(whole) < 10**16 else NOT_A_VALUE


def _fraction(digits: str | None, kept: int) -> int:
    """Return the nanoseconds of the digits behind a second; ValueError for more than are kept."""
    if digits and digits[kept:].strip("0"):
        raise ValueError(digits)
    return int((digits or "0").ljust(9, "0")[:9])


def _clock(text: str) -> Any:
    match = _CLOCK.fullmatch(text)
    if not match:
        return NOT_A_VALUE
    time = dt.time(int(match[1]), int(match[2]), int(match[3] or 0))
    seconds = time.hour * 3600 + time.minute * 60 + time.second
    return ("time of a day", seconds * 10**9 + _fraction(match[4], 6))


def _date(text: str) -> Any:
    match = _MOMENT.fullmatch(text)
    if not match or match[8] or any(int(part or 0) for part in match.groups()[3:7]):
        return NOT_A_VALUE
    return ("day", (dt.date(int(match[1]), int(match[2]), int(match[3])) - EPOCH.date()).days)


def _moment(declared: str, text: str) -> Any:
    match = _MOMENT.fullmatch(text)
    if (
        not match
        or (match[8] and declared in {"timestamp", "timestamp_ns"})
        or (match[8] and not match[4])
    ):
        return NOT_A_VALUE
    local = dt.datetime(*(int(match[n] or 0) for n in range(1, 7)))
    if match[8]:
        sign = match[8].strip()
        offset = dt.datetime.strptime(
            "+0000" if sign in {"Z", "z", "UTC"} else sign.replace(":", "").ljust(5, "0"), "%z"
        )
        seconds = (local - EPOCH).total_seconds() - offset.utcoffset().total_seconds()
    elif declared == "of Berlin":
        seconds = _in_berlin(local)
    else:
        seconds = (local - EPOCH).total_seconds()
    number = int(seconds) * 10**9 + _fraction(
        match[7], {"timestamp_ns": 9, "ms of UTC": 3}.get(declared, 6)
    )
    if declared == "timestamp_ns" and not -(2**63) < number < 2**63:
        return NOT_A_VALUE
    return (
        "moment"
        if declared in {"timestamptz", "of Berlin", "ms of UTC"}
        else "time without a zone",
        number,
    )


def _in_berlin(local: dt.datetime) -> float:
    """Return the moment of a time on the clocks of Berlin; ValueError for none, and for two."""
    at = {local.replace(tzinfo=ZoneInfo("Europe/Berlin"), fold=fold).timestamp() for fold in (0, 1)}
    if len(at) > 1:
        raise ValueError(local)
    return at.pop()


# ------------------------------------------------------------------------------------------- the texts

TYPES = {
    "bigint": "pl.Int64",
    "utinyint": "pl.UInt8",
    "decimal": "pl.Decimal(18, 2)",
    "double": "pl.Float64",
    "boolean": "pl.Boolean",
    "date": "pl.Date",
    "time": "pl.Time",
    "timestamp": "pl.Datetime",
    "timestamp_ns": "pl.Datetime('ns')",
    "timestamptz": "pl.Datetime('us', 'UTC')",
    "of Berlin": "pl.Datetime('us', 'Europe/Berlin')",
    "ms of UTC": "pl.Datetime('ms', 'UTC')",
    "enum": f"pl.Enum({_ENUM})",
    "varchar": "pl.String",
}
_TIMES = [
    "2024-01-31 10:00:00 PM",
    "2024-01-31 10:00:00 garbage",
    "24-01-31 10:00:00",
    "2024-02-30 10:00:00",
    "infinity",
    "2024-01-31 24:00:00",
    "2024-01-31 10:00:60",
    "2024-01-31 10:00:00.1234567",
    "2024-01-31",
    "1706695200",
    "epoch",
    "2024-01-31T10:00:00+02:00",
    "2024-01-31T10:00:00Z",
    "2024-01-31 10:00:00 EST",
    "31/01/2024 10:00",
    "0001-01-01 00:00",
    "9999-12-31 23:59:59.999999",
]
_NUMBERS = [
    "1_000",
    "1,000",
    "1e3",
    "0x10",
    "1.5",
    "1.0",
    " 7 ",
    "+7",
    "-0",
    "٣",
    "NaN",
    "inf",
    "",
    "abc",
    "1 2",
    "--1",
    "1-",
]
# What has to be handed over, and what is odd.
SURE = {
    "bigint": ["0", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808"],
    "utinyint": ["0", "255"],
    "decimal": ["0", "1.25", "-0.01", "1234567890123456.78"[1:], "1.2500"],
    "double": ["0", "1.5", "0.1", "1e300", "-0.0", "5e-324", "123456789012345680"],
    "boolean": ["true", "false"],
    "date": ["2024-02-29", "0001-01-01", "9999-12-31"],
    "time": ["10:00:00", "23:59:59.999999"],
    "timestamp": ["2024-01-31 10:00:00", "2024-01-31T10:00:00.123456"],
    "timestamp_ns": ["2024-01-31 10:00:00.123456789"],
    "timestamptz": ["2024-01-31T23:30:00+02:00", "2024-01-31 10:00:00Z"],
    "of Berlin": ["2024-06-01 00:30:00", "2024-01-31T10:00:00+00:00", "2024-10-27T02:30:00+02:00"],
    "ms of UTC": ["2024-01-31T10:00:00.123Z"],
    "enum": ["a", "b", "it's"],
    "varchar": ["a", "é", "1.10", "2024-01-31", 'a, "b"', "null", "00123", "two\nlines"],
}
ODD = {
    "bigint": [*_NUMBERS, "9223372036854775808", "1e400"],
    "utinyint": ["256", "-1", "1.5"],
    "decimal": [*_NUMBERS, "1.255", "10000000000000000", "1e-3", ".5", "5."],
    "double": [
        *_NUMBERS,
        "1e400",
        "infinity",
        "0.1000000000000000055511151231257827",
        "9007199254740993",
    ],
    "boolean": ["yes", "T", "0", "2", "tru", "ja"],
    "date": [
        "2024-1-5",
        "13/12/2011",
        "2024-01-31 10:00:00",
        "2024-01-31T23:59:59-08:00",
        "2024-01-31Z",
        "2024-01-31garbage",
        "20240131",
        "24-01-31",
        "infinity",
        "2024-02-30",
        "10000-01-01",
        "2024-01-31 00:00:00",
    ],
    "time": [
        "24:00:00",
        "10:00:00+02",
        "10:00:00 PM",
        "10",
        "10:00",
        "25:00:00",
        "10:00:00.1234567",
        "10:60:00",
    ],
    "timestamp": _TIMES,
    "timestamp_ns": [*_TIMES, "2024-01-31 10:00:00.1234567891", "2300-01-01 00:00:00"],
    "timestamptz": [*_TIMES, "2024-01-31T10:00:00-07:30", "2024-01-31 10:00:00 Europe/Berlin"],
    "of Berlin": [
        *_TIMES,
        "2024-03-31 02:30:00",
        "2024-10-27 02:30:00",
        "2024-10-27 03:00:00",
        "2024-03-31T02:30:00+01:00",
    ],
    "ms of UTC": ["2024-01-31T10:00:00.1234Z", "2024-01-31T10:00:00.1230Z"],
    "enum": ["A", "c", " a", "b ", "it''s"],
    "varchar": [" padded ", "\\N", "\ttab"],
}


_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.A)


def csv_of(declared: str, texts: list[str], file: Path) -> None:
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "wt", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(["k", "x"])
        writer.writerows([n, text] for n, text in enumerate(texts, 1))


def json_of(declared: str, texts: list[str], file: Path) -> None:
    """Write texts as JSON; those that are numbers of JSON as such, where the type is one of numbers, or text."""
    is_number = declared in {"bigint", "utinyint", "decimal", "double", "varchar"}
    values = [
        text if is_number and _JSON_NUMBER.fullmatch(text) else json.dumps(text) for text in texts
    ]
    file.write_text(
        "".join(f'{{"k": {n}, "x": {value}}}\n' for n, value in enumerate(values, 1)),
        encoding="utf-8",
    )


WRITERS = {"csv": csv_of, "csv.gz": csv_of, "jsonl": json_of}


def cases(format: str) -> Iterator[tuple[str, list[str], bool]]:
    """Yield declared type, texts, and whether they have to be handed over."""
    for number, declared in enumerate(TYPES):
        yield declared, SURE[declared], True
        odd = ODD[declared] if format != "csv.gz" else ODD[declared][:1]
        for index, text in enumerate(odd):
            if LARGE or (index + number) % 2 == 0:
                yield declared, [text], False


@pytest.mark.parametrize("format", WRITERS)
def test_text(place: Place, format: str) -> None:
    tried = list(cases(format))
    (place.root / "in").mkdir()
    lines = []
    for n, (declared, texts, _) in enumerate(tried):
        WRITERS[format](declared, texts, place.root / f"in/{n}.{format}")
        lines.append(f"""
s{n} = source.files("in/{n}.{format}", columns={{"k": pl.Int64, "x": {TYPES[declared]}}})
sql_product("a{n}", "from s{n}", owner="o")
product(owner="o", name="b{n}", inputs={{"s": "s{n}"}})(lambda s: s)
""")
    place.write("products/sales.py", "".join(lines), header=True)
    told = place.materialize("--jobs", "1")
    wrong = [
        problem
        for n, case in enumerate(tried)
        if (problem := _problem(place, told, n, format, *case))
    ]
    assert not wrong, "\n".join(wrong)


def _problem(
    place: Place,
    told: dict[str, dict],
    n: int,
    format: str,
    declared: str,
    texts: list[str],
    sure: bool,
) -> str:
    """Return what is wrong with what was handed over of one file; '' for nothing."""
    wanted = [None if text == "" else read(declared, text) for text in texts]
    if format == "jsonl" and texts == ["-0"]:  # a whole number of JSON, which has no sign
        wanted = [Fraction(0)]
    found = []
    for name in (f"sales.a{n}", f"sales.b{n}"):
        if told[name]["result"] != "published":
            error = json.dumps(told[name])
            found.append(None)
            if f"{n}.{format}" not in error or not ("'x'" in error or '\\"x\\"' in error):
                return (
                    f"{declared} {texts}: the error does not name the file and the column: {error}"
                )
            continue
        table = assay.read(name, project=place.root).collect().sort("k").to_arrow()
        found.append(plain(table["x"]))
    if found[0] != found[1]:
        return f"{declared} {texts}: a query has {found[0]}, a function {found[1]}"
    if found[0] is None:
        return f"{declared} {texts}: has to be handed over: {told[f'sales.a{n}']}" if sure else ""
    return (
        "" if found[0] == wanted else f"{declared} {texts}: {found[0]}, and Python reads {wanted}"
    )
