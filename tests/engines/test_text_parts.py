"""Every option of text, of sources in parts: read alone, in a batch of parts, and by functions."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable

import pytest
import zstandard

from assay.build import batches
from tests.conftest import Place

COLUMNS = {"n": "bigint", "t": "varchar", "d": "decimal(9, 2)", "w": "date"}


def _zip(text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("readme.txt", "no table")
        archive.writestr("rows.csv", text)
    return packed.getvalue()


def _json(text: str) -> bytes:
    header, *rows = [line.split(",") for line in text.splitlines()]
    return json.dumps([dict(zip(header, row, strict=True)) for row in rows]).encode()


# What a plain text becomes, the options that read it, and the end of the names of files.
WRITTEN: dict[str, tuple[Callable[[str], str | bytes], str, str]] = {
    "plain": (str, "", "csv"),
    "separator": (lambda t: t.replace(",", ";"), "separator=';'", "csv"),
    "quote_char": (lambda t: t.replace("é", "'é'"), 'quote_char="\'"', "csv"),
    "escape": (lambda t: t.replace("é", '"é"'), "escape='\\\\'", "csv"),
    "no header": (lambda t: t.partition("\n")[2], "header=False", "csv"),
    "names": (lambda t: t.replace("n,t,d,w", "a,b,c,d"), "names=['n', 't', 'd', 'w']", "csv"),
    "skip_rows": (lambda t: "a report\nof today\n" + t, "skip_rows=2", "csv"),
    "comment_prefix": (lambda t: t + "# 2 rows\n", "comment_prefix='#'", "csv"),
    "null_values": (lambda t: t.replace("é", "NA"), "null_values=['NA']", "csv"),
    "quoted nulls": (lambda t: t.replace("é", '"NA"'), "null_values=['NA']", "csv"),
    "unquoted nulls": (
        lambda t: t.replace("é", "NA"),
        "null_values=['NA'], allow_quoted_nulls=False",
        "csv",
    ),
    "decimal_separator": (
        lambda t: t.replace(",", ";").replace(".5", ",5"),
        "separator=';', decimal_separator=','",
        "csv",
    ),
    "thousands": (lambda t: t.replace("1000.5", "1'000.5"), 'thousands="\'"', "csv"),
    "date_format": (lambda t: t.replace("2024-01-31", "31.01.24"), "date_format='%d.%m.%y'", "csv"),
    "encoding": (lambda t: t.encode("cp1252"), "encoding='cp1252'", "csv"),
    "utf-16": (lambda t: t.encode("utf-16"), "encoding='utf-16'", "csv"),
    "member": (_zip, "member='*.csv'", "csv.zip"),
    "gzip": (lambda t: gzip.compress(t.encode()), "", "csv.gz"),
    "zstd": (lambda t: zstandard.compress(t.encode()), "", "csv.zst"),
    "mixed line ends": (lambda t: t.replace("\n", "\r\n", 1), "", "csv"),
    "a list in JSON": (_json, "", "json"),
}


@pytest.mark.parametrize("option", WRITTEN)
def test_parts_are_read_as_they_are_written(
    place: Place, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(batches, "MANY", 3)
    write, options, suffix = WRITTEN[option]
    expected = []
    for day in range(1, 4):
        written = write(f"n,t,d,w\n{day},é,1000.5,2024-01-31\n9,z,-0.5,2024-01-31\n")
        file = place.root / f"in/2024-01-0{day}.{suffix}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(written.encode() if isinstance(written, str) else written)
        word = None if "nulls" in option or option == "null_values" else "é"
        for n, text, amount in ((day, word, "1000.50"), (9, "z", "-0.50")):
            row = {"day": f"2024-01-0{day}", "n": n, "t": text, "d": amount, "w": "2024-01-31"}
            expected.append(row)
    place.write(
        "products/shop.py",
        "from assay import product, source, sql_product\n"
        f"raw = source.files('in/{{day:date}}.{suffix}', columns={COLUMNS!r}, {options})\n"
        "together = sql_product('together', 'select * from raw', owner='o', each='raw')\n"
        "alone = sql_product('alone', 'select * from raw where n > 0 limit 9', owner='o', each='raw')\n"
        "@product(owner='o', each='raw')\ndef by_function(raw): return raw\n",
    )
    told = place.materialize("-s", "domain:shop")
    assert told[""]["exit_code"] == 0
    for name in ("together", "alone", "by_function"):
        rows = place.query(f"select day, n, t, d::varchar as d, w from {name} order by day, n")
        assert rows == expected
    assert len({part.path for part in place.parts("shop.together").values()}) == 1
    assert not list((place.root / ".products/spill").glob("copies-*"))
