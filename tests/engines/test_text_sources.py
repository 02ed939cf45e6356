"""What a source of text hands over is exactly what it declares, or the file is refused, with the line and the column."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from assay.catalog import open_catalog
from assay.engines.duckdb import DuckDB, select
from assay.engines.formats.inspect import inspect
from assay.engines.tables import InputFiles, StoredTable
from assay.errors import SourceFault
from assay.model import Column, Source, Where
from assay.upkeep.gc_sources import forget_sources
from tests.conftest import Place

GIVEN = "source.files('in/{}', columns={{'id': 'bigint', 'customer': 'varchar', 'amount': 'decimal(18,2)'}})"
SUM = "sql_product('total', 'select sum(amount) as total, count(*) as n from raw', owner='o')"
FIRST = "sql_product('first', 'select customer from raw limit 1', owner='o')"
FUNCTION = "@product(owner='o')\ndef by_function(raw): return raw.select(pl.col('amount').sum())"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDB]:
    made = DuckDB([tmp_path], tmp_path / "spill", {})
    yield made
    made.close()


def files_in(
    root: Path, name: str, content: bytes, columns: dict[str, str], **more: object
) -> InputFiles:
    """Return a source of one file."""
    (root / name).write_bytes(content)
    source = Source(
        name="s.raw",
        where=Where(file="s.py", line=1),
        pattern=name,
        format="jsonl" if "json" in name else "csv",
        columns=tuple(Column(name=n, type=t) for n, t in columns.items()),
        **more,
    )
    return InputFiles(
        alias="raw", name="s.raw", table=StoredTable((root / name,)), source=source, root=str(root)
    )


def read(engine: DuckDB, files: InputFiles) -> list[tuple]:
    """Return what queries get of a source, once its file was looked through; raises SourceFault."""
    inspect(files, files.paths, engine)
    with engine.cursor() as cursor:
        return cursor.execute(select(files)).fetchall()


def refused(engine: DuckDB, files: InputFiles) -> str:
    with pytest.raises(SourceFault) as fault:
        inspect(files, files.paths, engine)
    return fault.value.text(shown=True)


ZONED = "TIMESTAMP WITH TIME ZONE"
EXACT = {  # texts that are a value of a type, and that value, as text
    "BIGINT": {"1": "1", "+1": "1", " 7 ": "7", "9007199254740993": "9007199254740993"},
    "DECIMAL(18,2)": {
        "1.5": "1.50",
        "1.500": "1.50",
        ".5": "0.50",
        "1234567890123456.78": "1234567890123456.78",
    },
    "DECIMAL(38,10)": {"123456789.1234567891": "123456789.1234567891", "0.0000012": "0.0000012000"},
    "DOUBLE": {"1": "1.0", "1e3": "1000.0", "inf": "inf", "NaN": "nan"},
    "BOOLEAN": {"true": "true", "F": "false", "1": "true"},
    "DATE": {
        "2024-01-31": "2024-01-31",
        "2024/1/3": "2024-01-03",
        "2024-01-31T00:00:00.000": "2024-01-31",
    },
    "TIME": {"10:00:00": "10:00:00", "7:05": "07:05:00", "10:00:00.1234560": "10:00:00.123456"},
    "TIMESTAMP": {"2024-01-31T10:00": "2024-01-31 10:00:00", "2024-01-31": "2024-01-31 00:00:00"},
    "TIMESTAMP_MS": {"2024-01-31 10:00:00.123000": "2024-01-31 10:00:00.123"},
    "TIMESTAMP_NS": {"2024-01-31 10:00:00.123456789": "2024-01-31 10:00:00.123456789"},
    ZONED: {
        "2024-01-31 10:00:00": "2024-01-31 10:00:00+00",
        "2024-01-31T10:00:00.5+05:30": "2024-01-31 04:30:00.5+00",
        "2024-01-31 10:00:00Z": "2024-01-31 10:00:00+00",
        "2024-01-31 10:00:00-0200": "2024-01-31 12:00:00+00",
    },
}
INEXACT = {
    "BIGINT": ["1.0", "1e3", "1_000", "four", "99999999999999999999", "true", "TOTAL"],
    "DECIMAL(18,2)": ["1.505", "1e3", "1_0", ".", "12345678901234567.00", "nan"],
    "DOUBLE": ["1e400", "-1e400", "1_000", "0x10", "1,5"],
    "BOOLEAN": ["2", "perhaps"],
    "DATE": [
        "24-01-31",
        "2024-02-30",
        "2024-01-31Z",
        "2024-01-31 10:00",
        "2024 01 31",
        "31.01.2024",
        "infinity",
        "2024-01-31garbage",
    ],
    "TIME": ["24:00:00", "10:00:00+02", "10:00:00.1234567", "25:00"],
    "TIMESTAMP": [
        "2024-03-31T23:30:00+02:00",
        "2024-01-31 10:00:00Z",
        "2024-01-31 10:00:00 PM",
        "24-01-31 10:00:00",
        "2024-01-31 10:00:00.123456789",
        "2024-01-31 24:00:00",
        "infinity",
        "2024-01-31 10:00:00 EST",
    ],
    "TIMESTAMP_MS": ["2024-01-31 10:00:00.1234"],
    ZONED: ["2024-01-31 10:00:00 EST", "2024-01-31 10:00:00.1234567Z"],
}
FORMATS = ["a.csv", "a.jsonl"]


def spelled(name: str, values: list[str]) -> bytes:
    """Return a file of these values of x: as text in CSV, and in JSON lines as numbers where JSON has them."""
    if name == "a.csv":
        return ("n,x\n" + "".join(f'{n},"{value}"\n' for n, value in enumerate(values))).encode()
    return "".join(
        f'{{"n": {n}, "x": {_json(value)}}}\n' for n, value in enumerate(values)
    ).encode()


def _json(value: str) -> str:
    try:
        json.loads(value)
    except ValueError:
        return json.dumps(value)
    return value


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("type", EXACT)
def test_text_is_a_value_exactly(tmp_path: Path, engine: DuckDB, type: str, name: str) -> None:
    values = EXACT[type]
    files = files_in(tmp_path, name, spelled(name, list(values)), {"x": type})
    inspect(files, files.paths, engine)
    with engine.cursor() as cursor:
        had = [
            row[0]
            for row in cursor.execute(
                f"select cast(x as varchar) from ({select(files)})"
            ).fetchall()
        ]
    assert had == list(values.values())


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("type", "text"), [(type, text) for type, texts in INEXACT.items() for text in texts]
)
def test_text_that_is_no_value_is_refused(
    tmp_path: Path, engine: DuckDB, type: str, text: str, name: str
) -> None:
    good = next(iter(EXACT[type]))
    files = files_in(tmp_path, name, spelled(name, [good, text]), {"n": "BIGINT", "x": type})
    told = refused(engine, files)
    assert (
        f"{name}, line {3 if name == 'a.csv' else 2}: column 'x' should be {type}; it is {text!r}"
        in told
    )
    assert "auto" not in told


BERLIN = Column(name="x", type=ZONED, logical="Datetime(time_unit='us', time_zone='Europe/Berlin')")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-06-01 00:30:00", "2024-05-31 22:30:00+00"),
        ("2024-01-31", "2024-01-30 23:00:00+00"),
        ("2024-10-27T02:30:00+02:00", "2024-10-27 00:30:00+00"),
        ("2024-10-27 03:00:00", "2024-10-27 02:00:00+00"),
        ("2024-03-31 02:30:00", None),  # never shown
        ("2024-10-27 02:30:00", None),  # shown twice
    ],
)
@pytest.mark.parametrize("unit", ["us", "ns"])
def test_times_are_by_the_clocks_of_the_declared_zone(
    tmp_path: Path, engine: DuckDB, text: str, moment: str | None, unit: str
) -> None:
    column = BERLIN
    if unit == "ns":
        column = Column(
            name="x", type="TIMESTAMPTZ_NS", logical=BERLIN.logical.replace("'us'", "'ns'")
        )
    files = files_in(tmp_path, "a.csv", f"x\n{text}\n".encode(), {})
    files = replace(files, source=replace(files.source, columns=(column,)))
    if moment is None:
        told = refused(engine, files)
        assert "line 2: column 'x' should be Datetime" in told
        assert "needs an offset" in told
        return
    inspect(files, files.paths, engine)
    with engine.cursor() as cursor:
        assert cursor.execute(f"select cast(x as varchar) from ({select(files)})").fetchall() == [
            (moment,)
        ]


def test_numbers_under_keys_of_text_stay_as_they_are_written(
    tmp_path: Path, engine: DuckDB
) -> None:
    lines = [
        r'{"s": 1.10, "t": "1.10 \" 2.50, \\"}',
        r'{"s": {"x": 1234567890123456.78, "y": [1.10, -2e5, "3.0"]}, "t": "caf\u00e9 1.0"}',
        r'{"\u0073": 1.50, "t": true}',
        r'{"s": 12345678901234567890123, "t": null}',
    ]
    files = files_in(
        tmp_path, "a.jsonl", "\n".join(lines).encode(), {"s": "VARCHAR", "t": "VARCHAR"}
    )
    assert read(engine, files) == [
        ("1.10", '1.10 " 2.50, \\'),
        ('{"x":1234567890123456.78,"y":[1.10,-2e5,"3.0"]}', "café 1.0"),
        ("1.50", "true"),
        ("12345678901234567890123", None),
    ]


def gz(*members: bytes, tail: bytes = b"") -> bytes:
    return b"".join(gzip.compress(member, mtime=0) for member in members) + tail


def changed() -> bytes:
    stored = bytearray(gzip.compress(b"id,x\n1,100\n", compresslevel=0, mtime=0))
    stored[stored.index(b"100")] = ord("9")
    return bytes(stored)


REFUSED = {
    "a changed byte": ("a.csv.gz", changed(), "its checksum (CRC) does not hold"),
    "cut short": ("a.csv.gz", gz(b"id,x\n1,1\n")[:-6], "it ends in the middle"),
    "garbage behind": ("a.csv.gz", gz(b"id,x\n1,1\n", tail=b"garbage"), "bytes that are not gzip"),
    "not gzip": ("a.csv.gz", b"id,x\n1,1\n", "bytes that are not gzip"),
    "zeros behind": ("a.csv", b"id,x\n1,1\n2,2" + b"\0" * 1000, "holds NUL bytes, from line 3 on"),
    "UTF-16": ("a.csv", "id,x\n1,1\n".encode("utf-16"), "is UTF-16"),
    "latin": (
        "a.csv",
        b"id,x\n1,1\n2,J\xe9\n",
        "line 3: there is text that is not UTF-8 in column 'x'",
    ),
    "latin line": ("a.jsonl", b'{"id":1,"x":"J\xe9"}\n', "line 1: there is text that is not UTF-8"),
    "too few": ("a.csv", b"id,x\n1,1\n2\n", "line 3: it has 1 value, and the header has 2 columns"),
    "too many": (
        "a.csv",
        b"id,x\n1,1,1\n",
        "line 2: it has 3 values, and the header has 2 columns",
    ),
    "another delimiter": ("a.csv", b"id;x\n1;1\n", "Give separator=';'"),
    "an open quote": ("a.csv", b'id,x\n1,"1\n2,2\n', "line 2: a value in quotes does not end"),
    "behind a quote": (
        "a.csv",
        b'id,x\n1,"1"2\n',
        "line 2: something stands behind a value in quotes",
    ),
    "a long line": (
        "a.csv",
        b"id,x\n1,1\n2," + b"x" * 3_000_000,
        "line 3: it is 3,000,003 bytes long",
    ),
    "a huge last line": (
        "a.csv",
        b"id,x\n2," + b"x" * 34_000_000,
        "line 2: it is 34,000,003 bytes long",
    ),
    "a line end in the header": (
        "a.csv",
        b'id,x,"y\nz"\r\n1,1,1\r\n',
        "it has 1 rows, and 0 of them could be read",
    ),
    "no column": ("a.csv", b"id,y\n1,1\n", "line 1: it should have a column 'x'; it has id, y"),
    "a column twice": ("a.csv", b"id,x,x\n1,1,1\n", "has the column 'x' twice"),
    "a column in another case": ("a.csv", b"ID,x\n1,1\n", "it has 'ID'\n  Names of columns count"),
    "no key": (
        "a.jsonl",
        b'{"id":1}\n{"id":2,"z":3}\n',
        "no line has the key 'x'; lines have id, z",
    ),
    "a key in another case": (
        "a.jsonl",
        b'{"id":1,"X":1}\n',
        "lines have 'X'\n  Keys count with their case",
    ),
    "a key twice": (
        "a.jsonl",
        b'{"id":1,"x":1}\n{"id":1,"x":1,"x":2}\n',
        "line 2: it has the key 'x' twice",
    ),
    "no object": ("a.jsonl", b'{"id":1,"x":1}\n[1]\n', "line 2: it is no JSON object"),
    "half a line": ("a.jsonl", b'{"id":1,"x":1}\n{"id":2', "line 2: it is no JSON"),
    "two on a line": ("a.jsonl", b'{"id":1,"x":1} {"id":2,"x":1}\n', "line 1: it is no JSON"),
    "the letter that is none": (
        "a.jsonl",
        '{"id":1,"x":"\ufdd01"}\n'.encode(),
        "line 1: it holds U+FDD0",
    ),
    "a list for a number": (
        "a.jsonl",
        b'{"id":[1.5],"x":1}\n',
        "line 1: column 'id' should be BIGINT",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_are_not_as_declared_are_refused(
    tmp_path: Path, engine: DuckDB, case: str
) -> None:
    name, content, told = REFUSED[case]
    assert told in refused(
        engine, files_in(tmp_path, name, content, {"id": "BIGINT", "x": "VARCHAR"})
    )


READ = {
    "several members": ("a.csv.gz", gz(b"id,x\n1,a\n", b"", b"2,b\n")),
    "blank lines": ("a.csv", b"id,x\n\n1,a\n\n2,b\n\n"),
    "no last line end": ("a.csv", b"id,x\n1,a\n2,b"),
    "line ends of a Mac": ("a.csv", b"id,x\r1,a\r2,b\r"),
    "line ends in quotes": ("a.csv", b'id,x,y\r\n1,a,"\n"\r\n2,"b","""\n\n"\r\n'),
    "a mark at the start": ("a.csv", b"\xef\xbb\xbfid,x\n1,a\n2,b\n"),
    "a delimiter at the end": ("a.csv", b"id,x\n1,a,\n2,b,\n"),
    "a quote inside": ("a.csv", b'id,x,y\n1,a,5" pipe\n2,b,6\n'),
    "lines of JSON": ("a.jsonl", b'{"id":1,"x":"a"}\r\n\n  \n{"x":"b","id":2,"y":{"x":1,"x":2}}'),
    "packed lines of JSON": ("a.jsonl.gz", gz(b'{"id":1,"x":"a"}\n', b'{"id":2,"x":"b"}\n')),
}


@pytest.mark.parametrize("case", READ)
def test_files_that_look_odd_are_read(tmp_path: Path, engine: DuckDB, case: str) -> None:
    name, content = READ[case]
    assert read(engine, files_in(tmp_path, name, content, {"id": "BIGINT", "x": "VARCHAR"})) == [
        (1, "a"),
        (2, "b"),
    ]


def test_of_one_column_a_blank_line_is_a_row(tmp_path: Path, engine: DuckDB) -> None:
    assert read(engine, files_in(tmp_path, "a.csv", b"x\n1\n\n2\n\n", {"x": "BIGINT"})) == [
        (1,),
        (None,),
        (2,),
        (None,),
    ]


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_every_column_of_every_row_counts_whatever_is_asked(place: Place, format: str) -> None:
    raw = GIVEN.format(f"*.{format}")
    place.write("products/s.py", f"raw = {raw}\n{SUM}\n{FIRST}\n{FUNCTION}\n", header=True)
    rows = [(1, "ann", "2.50"), (2, "bob", "1.50"), ("TOTAL", "", "4.00")]
    text = "id,customer,amount\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows)
    if format == "jsonl":
        text = "".join(json.dumps({"id": a, "customer": b, "amount": c}) + "\n" for a, b, c in rows)
    place.write(f"in/a.{format}", text)
    results = place.materialize()
    line = 4 if format == "csv" else 3
    for name in ("s.total", "s.first", "s.by_function"):
        assert (
            f"in/a.{format}, line {line}: column 'id' should be BIGINT; it is 'TOTAL'"
            in results[name]["error"]
        )
    ran = place.run("suggest", "raw")
    assert (ran.code, "column 'id' should be BIGINT; it is 'TOTAL'" in ran.err) == (1, True)


def test_a_file_is_looked_through_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever reads it, and in whatever run, until it, or how it is declared, changes."""
    seen: list[str] = []

    def inspect(files, paths, engine, until, undeclared):
        seen.extend(path.name for path in paths)
        undeclared[()] = [*paths]
        return dict.fromkeys(paths)

    monkeypatch.setattr("assay.build.inspector.inspect", inspect)
    place.write(
        "products/s.py", f"raw = {GIVEN.format('*.csv')}\n{SUM}\n{FIRST}\n{FUNCTION}\n", header=True
    )
    place.write("in/a.csv", "id,customer,amount\n1,ann,2.50\n")
    place.materialize()
    place.materialize("--force")
    assert seen == ["a.csv"]
    place.write("in/b.csv", "id,customer,amount\n2,bob,2.50\n")
    place.materialize()
    assert seen == ["a.csv", "b.csv"]
    place.edit("products/s.py", "'bigint'", "'integer'")
    place.materialize()
    assert seen[2:] == ["a.csv", "b.csv"]


def test_gc_forgets_files_that_no_source_has(place: Place) -> None:
    place.write("products/s.py", f"raw = {GIVEN.format('*.csv')}\n{SUM}\n", header=True)
    place.write("in/a.csv", "id,customer,amount\n1,ann,2.50\n")
    place.materialize()
    catalog = open_catalog(place.root / ".products/catalog.db")
    count = "select count(*) from inspected"
    assert catalog.database.rows(count) == [(1,)]
    forget_sources(catalog, set(), dry=True)
    assert catalog.database.rows(count) == [(1,)]
    forget_sources(catalog, set(), dry=False)
    assert catalog.database.rows(count) == [(0,)]


SENSITIVE = """
raw = source.files("in/*.csv", columns={"id": pl.Int64, "email": pl.Date, "since": pl.Date})
class People(pa.DataFrameModel):
    email: pl.Date = pa.Field(metadata={"sensitive": True})
@product(owner="o", contract=People)
def people(raw): return raw
@product(owner="o")
def count(raw): return raw.select(pl.len())
"""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "id,e_mail,since\n",
            "in/a.csv, line 1: it should have a column 'email'; it has id, e_mail, since",
        ),
        (
            "1,ann@b.example,x\n",
            "in/a.csv, line 1: it should have a column 'id'; it has 3 columns, and no names of columns",
        ),
        ("id;email;since\n", "Give separator=';'"),
        (
            "id,email,since\n1,,2024-13-01\n",
            "line 2: column 'since' should be DATE; it is '2024-13-01'",
        ),
        (
            "id,email,since\n1,ann@b.example,2024-13-01\n",
            "column 'email' should be DATE; the value is not shown",
        ),
        (
            "id,email,since\n1,ann@b.example\n",
            "line 2: it has 2 values, and the header has 3 columns",
        ),
    ],
)
def test_a_sensitive_column_hides_its_values_and_no_fault(
    place: Place, content: str, told: str
) -> None:
    place.write("products/s.py", SENSITIVE, header=True)
    place.write("in/a.csv", content)
    results = place.materialize()
    for name in ("s.people", "s.count"):
        assert told in results[name]["error"]
        assert "ann@b" not in results[name]["error"]
