"""Rows in all the ways in which a test may give them."""

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from assay.errors import UsageError
from assay.testing.rows import of_csv, table_of


def rows(value: Any, folder: Path = Path()) -> list[dict[str, Any]]:
    return [dict(row) for row in table_of(value, folder).rows]


def test_csv_text() -> None:
    text = '\n a, b ,"c d"\n1, , "x, ""y"" "\r\n"",2\t,\n\n'
    assert rows(text) == [
        {"a": "1", "b": None, "c d": 'x, "y" '},
        {"a": "", "b": "2", "c d": None},
    ]
    assert of_csv("a\n1").rows == [{"a": "1"}]
    assert of_csv("a, b\n").columns == ("a", "b")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\n\n", "no line with the names"),
        ("a, a\n1, 2\n", "names of their own: 'a'"),
        ("a, \n1, 2\n", "names of their own: ''"),
        ("a, b\n1\n", "line 2 has 1 cells for 2 columns"),
        ('a\n"b\n', "line 2 has a quote that does not end"),
        ('a\nb"c\n', "line 2 has a quote"),
        ('a\n"b"c\n', "line 2 has a quote"),
    ],
)
def test_csv_text_with_mistakes(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        of_csv(text)


def test_files(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, None], "b": ["x", "y"]})
    frame.write_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rows.csv").write_text("\ufeffa,b\n1,x\n,y\n", encoding="utf-8")
    (tmp_path / "rows.json").write_text('[{"a": 1, "b": "x"}, {"b": "y"}]')
    (tmp_path / "rows.jsonl").write_text('{"a": 1, "b": "x"}\n\n{"b": "y"}\n')
    want = [{"a": 1, "b": "x"}, {"a": None, "b": "y"}]
    assert rows("rows.parquet", tmp_path) == want
    assert rows("rows.csv", tmp_path) == [{"a": "1", "b": "x"}, {"a": None, "b": "y"}]
    for name in ("rows.json", "rows.jsonl"):
        assert rows(name, tmp_path) == [{"a": 1, "b": "x"}, {"b": "y"}]
    for value in (frame, frame.lazy(), pa.table(frame)):
        assert rows(value) == want
    assert table_of("rows.csv", tmp_path, raw=(".csv",)).rows == ()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("nowhere.csv", "there is no file 'nowhere.csv'"),
        ("", "is no path"),
        ("a\0b", "is no path"),
        ("x" * 5000, "there is no file"),
        ("list.json", "should be a list of rows"),
        ("broken.json", "cannot be read"),
        ("broken.parquet", "cannot be read"),
        ("latin.csv", "cannot be read"),
        ("ragged.csv", "ragged.csv: line 2 has 2 cells"),
        ([1], "row 1 should be its columns"),
        ([{"": 1}], "row 1 has a column that is no name"),
        ([{1: 1}], "row 1 has a column that is no name"),
        (7, "rows should be a list"),
    ],
)
def test_what_is_no_rows(tmp_path: Path, value: Any, why: str) -> None:
    (tmp_path / "list.json").write_text('{"a": 1}')
    (tmp_path / "broken.json").write_text("[")
    (tmp_path / "broken.parquet").write_text("no")
    (tmp_path / "latin.csv").write_bytes(b"a\n\xff\n")
    (tmp_path / "ragged.csv").write_text("a\n1,2\n")
    with pytest.raises(UsageError) as error:
        table_of(value, tmp_path)
    assert why in str(error.value)
