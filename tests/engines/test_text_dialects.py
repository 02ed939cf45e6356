"""Text of sources in any dialect gives both engines the values that were written, or a clear error."""

import gzip
import io
import json
import random
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.engines import polars as lazy
from assay.engines.duckdb import DuckDB, select
from assay.engines.formats.inspect import inspect
from assay.engines.tables import InputFiles, StoredTable
from assay.errors import SourceFault
from assay.model import Column, Dialect, Source, Where
from tests.conftest import effort

MESSY = {"n": "BIGINT", "x": "DECIMAL(18,2)", "d": "DATE", "t": "VARCHAR"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDB]:
    root = tmp_path_factory.mktemp("project")
    made = DuckDB([root.parent], root / "spill", {})
    yield made
    made.close()


@dataclass
class Files:
    """A source of these files, by name."""

    root: Path
    contents: dict[str, bytes]
    columns: dict[str, str]
    format: str = "csv"
    dialect: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> InputFiles:
        for name, content in self.contents.items():
            (self.root / name).write_bytes(content)
        source = Source(
            name="s.raw",
            where=Where(file="s.py", line=1),
            pattern="*",
            format=self.format,
            columns=tuple(Column(name=n, type=t) for n, t in self.columns.items()),
            dialect=Dialect(**self.dialect),
            reading=repr((self.columns, self.dialect)),
        )
        paths = tuple(self.root / name for name in self.contents)
        return InputFiles(
            alias="raw",
            name="s.raw",
            table=StoredTable(paths),
            source=source,
            root=str(self.root),
            copies=str(self.root / "copies"),
        )

    def rows(self, engine: DuckDB) -> list[tuple]:
        """Return the rows that queries get, once they are shown to be those of functions."""
        inputs = self.inputs
        inspect(inputs, inputs.paths, engine)
        copy = self.root / "copy.parquet"
        copy.unlink(missing_ok=True)
        with engine.cursor() as cursor:
            rows = cursor.execute(select(inputs)).fetchall()
            cursor.execute(f"copy ({select(inputs)}) to '{copy}' (format parquet)")
        assert inputs.source is not None
        assert lazy.as_declared(copy, inputs.source).collect().rows() == rows
        return rows

    def refused(self, engine: DuckDB) -> str:
        inputs = self.inputs
        with pytest.raises(SourceFault) as fault:
            inspect(inputs, inputs.paths, engine)
        return fault.value.texts(shown=lambda _: True)


def zipped(*members: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


TWO = [(1, "a"), (2, "b")]
N_T = {"n": "BIGINT", "t": "VARCHAR"}
READ: dict[str, tuple[dict[str, bytes], dict[str, str], dict[str, Any], list[tuple]]] = {
    "lf and crlf": ({"a.csv": b"n,t\n1,a\r\n2,b\r\n"}, N_T, {}, TWO),
    "crlf, lf and cr": ({"a.csv": b"n,t\r\n1,a\n2,b\r"}, N_T, {}, TWO),
    "cr": ({"a.csv": b"n,t\r1,a\r2,b\r"}, N_T, {}, TWO),
    "mixed, in quotes": (
        {"a.csv": b'n,t\n1,"a\r\nx"\r\n2,"b\ny"\n'},
        N_T,
        {},
        [(1, "a\r\nx"), (2, "b\ny")],
    ),
    "mixed, blank lines": ({"a.csv": b"n,t\n1,a\r\n\r\n2,b\n\n"}, N_T, {}, TWO),
    "empty fields in quotes": (
        {"a.csv": b'"n","x","d","t"\n"1","","",""\n"",,,\n'},
        MESSY,
        {},
        [(1, None, None, ""), (None, None, None, None)],
    ),
    "nulls in quotes": (
        {"a.csv": b'n,t\n"NULL","NULL"\n-,-\n'},
        N_T,
        {"null_values": ("NULL", "-")},
        [(None, None), (None, None)],
    ),
    "an empty text that is null": (
        {"a.csv": b'n,t\n1,""\n'},
        N_T,
        {"null_values": ("",)},
        [(1, None)],
    ),
    "no nulls in quotes": (
        {"a.csv": b'n,t\n1,"NA"\n2,NA\n'},
        N_T,
        {"null_values": ("NA",), "quoted_nulls": False},
        [(1, "NA"), (2, None)],
    ),
    "a name twice": (
        {"a.csv": b"n,t,t,u,u\n1,a,b,c,d\n"},
        {"n": "BIGINT", "t": "VARCHAR", "t_1": "VARCHAR"},
        {},
        [(1, "a", "b")],
    ),
    "names by position": ({"a.csv": b"x,x\n1,a\n2,b\n"}, N_T, {"names": ("n", "t")}, TWO),
    "no header": ({"a.csv": b"1,a\n2,b\n"}, N_T, {"header": False, "names": ("n", "t")}, TWO),
    "no header, others between": (
        {"a.csv": b"1,x,a\n2,y,b\n"},
        N_T,
        {"header": False, "names": ("n", "other", "t")},
        TWO,
    ),
    "no header, empty": ({"a.csv": b""}, N_T, {"header": False, "names": ("n", "t")}, []),
    "only a header": ({"a.csv": b"n,t\n"}, N_T, {}, []),
    "preamble": ({"a.csv": b'A "report\n\nn,t\n1,a\n2,b\n'}, N_T, {"skip_rows": 2}, TWO),
    "comments": (
        {"a.csv": b'# one\nn,t\n1,a\n# "two\n2,"b\n# three"\n#\n'},
        N_T,
        {"comment_prefix": "#"},
        [(1, "a"), (2, "b\n# three")],
    ),
    "a footer": ({"a.csv": b"n,t\n1,a\n2,b\nTOTAL 2"}, N_T, {"comment_prefix": "TOTAL"}, TWO),
    "separator": ({"a.csv": b"n;t\n1;a\n2;b\n"}, N_T, {"separator": ";"}, TWO),
    "tab": ({"a.csv": b"n\tt\n1\ta\n2\tb\n"}, N_T, {"separator": "\t"}, TWO),
    "quote": (
        {"a.csv": b"n,t\n1,'a,''x'\n2,\"b\n"},
        N_T,
        {"quote_char": "'", "escape": "'"},
        [(1, "a,'x"), (2, '"b')],
    ),
    "no quotes": (
        {"a.csv": b'n,t\n1,"a\n2,b"\n'},
        N_T,
        {"quote_char": "", "escape": ""},
        [(1, '"a'), (2, 'b"')],
    ),
    "escape": (
        {"a.csv": b'n,t\n1,"a\\",\\\\"\n2,"b\nc"\n'},
        N_T,
        {"escape": "\\"},
        [(1, 'a",\\'), (2, "b\nc")],
    ),
    "decimal comma": (
        {"a.csv": b"x;y\n1.234,5;-1,5e3\n,5;0\n-12;\n"},
        {"x": "DECIMAL(18,2)", "y": "DOUBLE"},
        {"separator": ";", "decimal_separator": ",", "thousands": "."},
        [(Decimal("1234.50"), -1500.0), (Decimal("0.50"), 0.0), (Decimal("-12.00"), None)],
    ),
    "thousands": (
        {"a.csv": b'n,t\n"1,234,567",a\n12,b\n'},
        N_T,
        {"thousands": ","},
        [(1234567, "a"), (12, "b")],
    ),
    "apostrophes": ({"a.csv": b"n,t\n1'234,a\n"}, N_T, {"thousands": "'"}, [(1234, "a")]),
    "dates": (
        {"a.csv": b"d,at\n31.01.2024,31/1/24 9:05 PM\n"},
        {"d": "DATE", "at": "TIMESTAMP"},
        {"formats": (("d", "%d.%m.%Y"), ("at", "%d/%m/%y %I:%M %p"))},
        [(date(2024, 1, 31), datetime(2024, 1, 31, 21, 5))],
    ),
    "utf-8 with a mark": ({"a.csv": b"\xef\xbb\xbfn,t\n1,\xc3\xa9\n"}, N_T, {}, [(1, "é")]),
    "utf-16": ({"a.csv": "n,t\n1,é\n".encode("utf-16")}, N_T, {"encoding": "utf-16"}, [(1, "é")]),
    "utf-16-be": (
        {"a.csv": "\ufeffn,t\n1,é😀\n".encode("utf-16-be")},
        N_T,
        {"encoding": "utf-16-be"},
        [(1, "é😀")],
    ),
    "latin-1": ({"a.csv": b"n,t\n1,\xe9\n"}, N_T, {"encoding": "iso8859-1"}, [(1, "é")]),
    "cp1252": ({"a.csv": b"n,t\n1,\x80\n"}, N_T, {"encoding": "cp1252"}, [(1, "€")]),
    "zip of one": (
        {"a.zip": zipped(("x/a.csv", b"n,t\n1,a\n2,b"), ("__MACOSX/a", b"?"))},
        N_T,
        {},
        TWO,
    ),
    "zip of some": (
        {"a.zip": zipped(("b.csv", b"n,t\n2,b"), ("a.csv", b"n,t\n1,a"), ("c.txt", b"?"))},
        N_T,
        {"member": "*.csv"},
        TWO,
    ),
    "zst": ({"a.csv.zst": zstandard.compress(b"n,t\n1,a\n2,b\n")}, N_T, {}, TWO),
    "zst of utf-16": (
        {"a.csv.zst": zstandard.compress("n,t\n1,a\n2,b\n".encode("utf-16"))},
        N_T,
        {"encoding": "utf-16"},
        TWO,
    ),
    "packed and not": (
        {
            "a.csv": b"n,t\n1,a\n",
            "b.csv.gz": gzip.compress(b"t,n\nb,2\n"),
            "c.zip": zipped(("c", b"n,t\n3,c\n")),
        },
        N_T,
        {},
        [*TWO, (3, "c")],
    ),
    "names of files with wildcards": (
        {"a[1]*.zip": zipped(("a.csv", b"n,t\n1,a\n2,b\n"))},
        N_T,
        {},
        TWO,
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_dialect_is_read_by_both_engines(tmp_path: Path, engine: DuckDB, name: str) -> None:
    contents, columns, dialect, expected = READ[name]
    files = Files(tmp_path, contents, columns, dialect=dialect)
    assert sorted(files.rows(engine), key=repr) == sorted(expected, key=repr)


OBJECTS = [{"n": 1, "t": "a\n]"}, {"n": 2, "t": "b"}]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(OBJECTS).encode(),
        json.dumps(OBJECTS, indent=2).encode(),
        b"\xef\xbb\xbf" + "\n".join(map(json.dumps, OBJECTS)).encode(),
        b" [ ] ",
        b"",
        b'{"n": 1, "t": "a\\n]"}',
    ],
)
def test_a_list_of_objects_is_read(tmp_path: Path, engine: DuckDB, content: bytes) -> None:
    rows = Files(tmp_path, {"a.json": content}, N_T, format="json").rows(engine)
    count = content.count(b'"n"')
    assert rows == [(1, "a\n]"), (2, "b")][:count]


def test_numbers_in_a_list_keep_their_digits(tmp_path: Path, engine: DuckDB) -> None:
    content = b'[{"x": 1234567890123456.78}, {"x": 1e2}, {"x": null}]'
    files = Files(tmp_path, {"a.json": content}, {"x": "VARCHAR"}, format="json")
    assert files.rows(engine) == [("1234567890123456.78",), ("1e2",), (None,)]


BAD: dict[str, tuple[dict[str, bytes], dict[str, str], dict[str, Any], list[str]]] = {
    "a date in another format": (
        {"a.csv": b"d\n31.01.2024\n"},
        {"d": "DATE"},
        {},
        ["a.csv, line 2: column 'd' should be DATE; it is '31.01.2024'", "give date_format="],
    ),
    "not in the format": (
        {"a.csv": b"d\n31.01.24\n"},
        {"d": "DATE"},
        {"formats": (("d", "%d.%m.%Y"),)},
        ["line 2", "'31.01.24'", "'%d.%m.%Y'"],
    ),
    "a comma": ({"a.csv": b'x\n"1,5"\n'}, {"x": "DOUBLE"}, {}, ["'1,5'", 'decimal_separator=","']),
    "wrong groups": (
        {"a.csv": b"n;t\n1.23;a\n"},
        N_T,
        {"separator": ";", "thousands": "."},
        ["'1.23'", "should be BIGINT"],
    ),
    "a wrong byte": (
        {"a.csv": b"n,t\n1,\xe9\n"},
        N_T,
        {},
        ["line 2", "column 't'", "at byte 6", 'encoding=, such as "cp1252"'],
    ),
    "a wrong byte of utf-16": (
        {"a.csv": "n,t\n1,a\n".encode("utf-16") + b"\x00\xdc"},
        N_T,
        {"encoding": "utf-16"},
        ["a.csv is no utf-16 text: byte 18"],
    ),
    "utf-16": ({"a.csv": "n,t\n".encode("utf-16")}, N_T, {}, ["UTF-16", 'encoding="utf-16"']),
    "a comment": ({"a.csv": b"n,t\n1,a\n# x\n2,b\n"}, N_T, {}, ["line 3", "1 value"]),
    "twice": ({"a.csv": b"n,t,t\n"}, N_T, {}, ["'t' twice", "'t_1'"]),
    "too few names": (
        {"a.csv": b"1,a,x\n"},
        N_T,
        {"header": False, "names": ("n", "t")},
        ["3 columns", "has 2"],
    ),
    "no header": ({"a.csv": b"1,a\n2,b\n"}, N_T, {}, ["header=False"]),
    "the row behind comments": (
        {"a.csv": b"x\ny\nn,t\n# c\nfour,a\n"},
        N_T,
        {"skip_rows": 2, "comment_prefix": "#"},
        ["line 5", "'four'"],
    ),
    "an open quote": ({"a.csv": b'n,t\n1,"a\n2,b\n'}, N_T, {}, ["a value in quotes does not end"]),
    "mixed, wrong value": ({"a.csv": b"n,t\n1,a\r\nx,b\n"}, N_T, {}, ["line 3", "'x'"]),
    "mixed, open quote": ({"a.csv": b'n,t\n1,a\r\n2,"b\n'}, N_T, {}, ["does not end"]),
    "empty": ({"a.csv": b""}, N_T, {}, ["it has nothing"]),
    "empty, with names": ({"a.csv": b""}, N_T, {"names": ("n", "t")}, ["it is empty"]),
    "NUL": ({"a.csv": b"n,t\n1,\0\n"}, N_T, {}, ["NUL bytes, from line 2"]),
    "half a gz": ({"a.csv.gz": gzip.compress(b"n,t\n1,a\n" * 99)[:-9]}, N_T, {}, ["gzip"]),
    "half a zst": (
        {"a.csv.zst": zstandard.compress(random.Random(1).randbytes(9999).hex().encode())[:-99]},
        N_T,
        {},
        ["Zstandard file: it ends in the middle"],
    ),
    "no zst": ({"a.csv.zst": b"n,t\n1,a\n"}, N_T, {}, ["no whole Zstandard file"]),
    "half a zip": ({"a.zip": zipped(("a", b"n,t\n1,a\n" * 99))[:-40]}, N_T, {}, ["no whole zip"]),
    "a changed zip": (
        {
            "a.zip": zipped(("a", b"n,t\n1,a\n" * 99)).replace(
                b"\x00\x00\x00\x21\x00", b"\x01\x01\x01\x21\x00", 1
            )[:60]
        },
        N_T,
        {},
        ["no whole zip"],
    ),
    "a bomb": (
        {"a.zip": zipped(("a", b"n,t\n" + b" " * (100 << 20)))},
        N_T,
        {},
        ["unpacks to more than"],
    ),
    "two members": (
        {"a.zip": zipped(("a.csv", b""), ("../b.csv", b""))},
        N_T,
        {},
        ["2 members: 'a.csv', '../b.csv'", "member="],
    ),
    "no such member": (
        {"a.zip": zipped(("a.csv", b""))},
        N_T,
        {"member": "*.txt"},
        ["no member matches '*.txt'", "It has 'a.csv'"],
    ),
    "other headers": (
        {"a.zip": zipped(("a.csv", b"n,t\n1,a"), ("b.csv", b"t,n\nb,2"))},
        N_T,
        {"member": "*"},
        ["different headers: b.csv"],
    ),
    "many members": (
        {"a.zip": zipped(*((f"{n}", b"") for n in range(10_001)))},
        N_T,
        {},
        ["10,001 members"],
    ),
    "a header that differs": (
        {"a.csv": b"n,t\n1,a\n", "b.csv": b"n,T\n2,b\n"},
        N_T,
        {},
        ["b.csv, line 1: it should have a column 't'; it has 'T'"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_fault_is_told_with_what_to_give(tmp_path: Path, engine: DuckDB, name: str) -> None:
    contents, columns, dialect, expected = BAD[name]
    told = Files(tmp_path, contents, columns, dialect=dialect).refused(engine)
    for words in expected:
        assert words in told
    for words in ("strict_mode", "auto-detect", "auto_detect", "read_csv"):
        assert words not in told


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[{"n": 1}, {"n": ', "object 2 cannot be read"),
        (b'[{"n": 1}] x', "behind the end of its list"),
        (b'[{"n": 1}, 3]', "object 2: it is no JSON object"),
        (b'[{"n": 1}, {"n": "x"}]', "object 2: column 'n' should be BIGINT; it is 'x'"),
    ],
)
def test_a_list_with_a_fault(tmp_path: Path, engine: DuckDB, content: bytes, words: str) -> None:
    files = Files(tmp_path, {"a.json": content}, {"n": "BIGINT"}, format="json")
    assert words in files.refused(engine)


def test_all_bad_files_are_told_at_once(tmp_path: Path, engine: DuckDB) -> None:
    contents = {f"{n:02}.csv": b"n,t\nx,a\n" for n in [*range(17), *range(40, 44)]}
    contents |= {
        "30.csv": b"n\n",
        "31.csv": b"n,t\n\0",
        "32.csv": b'n,t\n1,"a\n',
        "33.csv": b"n,t\n1,a\n",
    }
    told = Files(tmp_path, contents, N_T).refused(engine)
    assert told.count("should be BIGINT; it is 'x'") == 17
    assert "30.csv, line 1: it should have a column 't'" in told
    assert "31.csv holds NUL bytes" in told
    assert "and 4 more files with faults" in told
    assert told.count("Mend the file") == 1


@pytest.mark.long
def test_a_line_of_60_megabytes_is_told(tmp_path: Path, engine: DuckDB) -> None:
    content = b"n,t\n1," + b"a" * 60_000_000 + b"\n"
    assert "60,000,003 bytes long" in Files(tmp_path, {"a.csv": content}, N_T).refused(engine)


# --------------------------------------------------------------------------- any table, any dialect

TEXT = st.text(
    st.one_of(
        st.sampled_from("ab ,;|\t\"'\\.#\r\n-"),
        st.characters(codec="cp1252", exclude_characters="\0"),
    ),
    max_size=6,
).map(lambda text: text.replace("\x1c", "").replace("\x85", ""))
TABLE = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.decimals(-(10**15), 10**15, places=2),
        st.none() | st.dates(date(1000, 1, 1)),
        st.none() | TEXT,
    ),
    max_size=8,
)


@dataclass
class Written:
    """How a table is written."""

    separator: str
    quote: str
    doubled: bool
    ends: tuple[str, ...]
    encoding: str
    null: str
    always_quoted: bool
    decimal: str
    thousands: str
    packing: str
    header: bool
    skip: int
    format: str

    @property
    def dialect(self) -> dict[str, Any]:
        return {
            "separator": self.separator,
            "quote_char": self.quote,
            "escape": self.quote if self.doubled else "\\",
            "header": self.header,
            "names": () if self.header else tuple(MESSY),
            "skip_rows": self.skip,
            "null_values": (self.null,) if self.null else (),
            "decimal_separator": self.decimal,
            "thousands": self.thousands,
            "formats": (("d", self.format),) if self.format else (),
            "encoding": self.encoding,
        }

    def value(self, value: Any) -> str:
        if value is None:
            return self.quoted(self.null) if self.always_quoted and self.null else self.null
        if isinstance(value, date):
            text = value.strftime(self.format) if self.format else value.isoformat()
        elif isinstance(value, int | Decimal):
            text = (
                f"{value:,}"
                if self.thousands
                else f"{value:f}"
                if isinstance(value, Decimal)
                else str(value)
            )
            text = text.translate({ord(","): self.thousands, ord("."): self.decimal})
        else:
            return self.quoted(value)
        special = {self.separator, self.quote, "\\"}
        return self.quoted(text) if self.always_quoted or special & set(text) else text

    def quoted(self, text: str) -> str:
        if self.doubled:
            return self.quote + text.replace(self.quote, 2 * self.quote) + self.quote
        return (
            self.quote
            + text.replace("\\", "\\\\").replace(self.quote, f"\\{self.quote}")
            + self.quote
        )

    def bytes(self, rows: list[tuple]) -> bytes:
        lines = [self.separator.join(map(self.value, row)) for row in rows]
        lines = ["a preamble"] * self.skip + [self.separator.join(MESSY)] * self.header + lines
        text = "".join(line + self.ends[n % len(self.ends)] for n, line in enumerate(lines))
        content = text.encode(self.encoding)
        match self.packing:
            case ".gz":
                return gzip.compress(content)
            case ".zst":
                return zstandard.compress(content)
            case ".zip":
                return zipped(("a.csv", content))
        return content


DIALECTS = st.builds(
    Written,
    separator=st.sampled_from(",;|\t"),
    quote=st.sampled_from("\"'"),
    doubled=st.booleans(),
    ends=st.sampled_from([("\n",), ("\r\n",), ("\r",), ("\n", "\r\n"), ("\r\n", "\n", "\r")]),
    encoding=st.sampled_from(["utf-8", "utf-16", "cp1252", "utf-16-le"]),
    null=st.sampled_from(["", "NA", "\\N", "-"]),
    always_quoted=st.booleans(),
    decimal=st.sampled_from(".,"),
    thousands=st.sampled_from(["", " ", "_"]),
    packing=st.sampled_from(["", ".gz", ".zst", ".zip"]),
    header=st.booleans(),
    skip=st.integers(0, 2),
    format=st.sampled_from(["", "%d.%m.%Y", "%Y%m%d"]),
)


def check_any_table(root: Path, engine: DuckDB, rows: list[tuple], how: Written) -> None:
    rows = [
        tuple(None if value == how.null and how.null else value for value in row) for row in rows
    ]
    for old in root.glob("*.*"):
        old.unlink()
    files = Files(root, {f"a.csv{how.packing}": how.bytes(rows)}, MESSY, dialect=how.dialect)
    assert files.rows(engine) == rows


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(rows=TABLE, how=DIALECTS)
def test_any_table_in_any_dialect(
    tmp_path: Path, engine: DuckDB, rows: list[tuple], how: Written
) -> None:
    check_any_table(tmp_path, engine, rows, how)


@pytest.mark.long
@settings(
    max_examples=effort(150, 150, 600),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(rows=TABLE, how=DIALECTS)
def test_many_tables_in_many_dialects(
    tmp_path: Path, engine: DuckDB, rows: list[tuple], how: Written
) -> None:
    check_any_table(tmp_path, engine, rows, how)
