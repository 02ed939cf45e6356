"""Options of text that cannot be meant are told when the project is loaded, all at once, with what to write."""

from tests.conftest import Place

WRONG = {
    "separator=';;'": "separator= should be one character, and is ';;'",
    "separator=';', quote_char=';'": "quote_char= and separator= are both ';'",
    "escape='\\\\', quote_char=None": "escape= is given, and quote_char= is None",
    "decimal_separator=';'": 'decimal_separator= should be "." or ","',
    "thousands='.'": "thousands= and decimal_separator= are both '.'",
    "skip_rows=-1": "skip_rows= should be a number of lines",
    "comment_prefix=''": "comment_prefix= should be the text at the start of a line",
    "encoding='utf-9'": "encoding='utf-9' is no encoding of text",
    "encoding='rot13'": "encoding='rot13' is no encoding of text",
    "member='*.csv'": "member= is for .zip files",
    "names=['x', 'x']": "names= has 'x' twice",
    "names=['y']": "names= does not have the column 'x'",
    "date_format='%d.%m'": "the format '%d.%m' does not say year, month and day",
    "date_format='%d.%m.%Y %H'": "the format '%d.%m.%Y %H' has %H, which a DATE cannot have",
    "format='parquet', separator=';'": "separator= is not for files of format 'parquet'",
    "format='jsonl', header=False": "header= is not for files of format 'jsonl'",
}


def test_wrong_options_are_told_at_once(place: Place) -> None:
    lines = [
        f"s{n} = source.files('in/*.csv', columns={{'x': 'bigint', 'd': 'date'}}, {options})"
        for n, options in enumerate(WRONG)
    ]
    place.write("products/sales.py", "\n".join(lines), header=True)
    ran = place.run("ls")
    told = " ".join((ran.out + ran.err).split())
    for words in WRONG.values():
        assert words in told


def test_a_column_has_a_format_and_a_description(place: Place) -> None:
    place.write("in/a.csv", "d\n31.01.2024\n")
    declared = "from assay import Column\nraw = source.files('in/*.csv', columns={'d': Column('date', 'a day', format='%d.%m.%Y')})"
    query = "sql_product('p', 'select cast(d as varchar) as d from raw', owner='o')"
    place.write("products/sales.py", f"{declared}\n{query}", header=True)
    place.materialize()
    assert place.query("from p") == [{"d": "2024-01-31"}]
    place.write("in/a.csv", "d\n01.02.2024\n")
    place.write("products/sales.py", f"{declared}\n{query}".replace("%d.%m", "%m.%d"), header=True)
    place.materialize()  # an option that is edited builds what reads the source
    assert place.query("from p") == [{"d": "2024-01-02"}]
