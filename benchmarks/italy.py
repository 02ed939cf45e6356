"""Daily files of Italy's regions and provinces, whose columns change over five years: Assay beside a raw script.

    python -m benchmarks.italy [--days 1781]

The files are made up, in the form of those that the civil protection department published: a file a day for 21 regions,
and one for 149 provinces. Columns are renamed, added and removed on days of their own; the codes of regions and provinces
drift; `NA` is Naples; some days a region's total is not the sum of its provinces. The raw script reads the files of each
layout by their declared types, runs one query for each rule and writes the same tables. After each piece of work, both
have to have the same tables, to the unit.
"""

import csv
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from functools import partial
from io import StringIO
from pathlib import Path

from benchmarks.measure import Side, aside, assay, head, measure, options, program, row, run
from benchmarks.pipeline import put

FIRST, DAYS = date(2020, 2, 24), 1781
CODES_CHANGED = date(2020, 6, 1)  # Bolzano and Trento were 4, as the one region that they are
PADDED = date(2020, 3, 10)  # codes have two digits from then on
TABLES = ("regions", "provinces", "gaps", "months", "country")
NEVER = date.max

# By name: first and last day, the name before the first day, and the type.
Era = tuple[str, date, date, str, str]
REGIONS: tuple[Era, ...] = (
    ("data", FIRST, NEVER, "", "timestamp"),
    ("stato", FIRST, NEVER, "", "varchar"),
    ("codice_regione", FIRST, NEVER, "", "integer"),
    ("denominazione_regione", FIRST, NEVER, "", "varchar"),
    ("lat", FIRST, NEVER, "", "decimal(18, 15)"),
    ("long", FIRST, NEVER, "", "decimal(18, 15)"),
    ("terapia_intensiva", FIRST, NEVER, "", "bigint"),
    ("totale_positivi", date(2020, 3, 31), NEVER, "totale_attualmente_positivi", "bigint"),
    (
        "variazione_totale_positivi",
        date(2020, 3, 31),
        NEVER,
        "nuovi_attualmente_positivi",
        "bigint",
    ),
    ("nuovi_positivi", date(2020, 3, 31), NEVER, "", "bigint"),
    ("deceduti", FIRST, NEVER, "", "bigint"),
    ("casi_da_screening", date(2020, 6, 25), date(2021, 9, 30), "", "bigint"),
    ("totale_casi", FIRST, NEVER, "", "bigint"),
    ("tamponi", FIRST, NEVER, "", "bigint"),
    ("casi_testati", date(2020, 4, 19), NEVER, "", "bigint"),
    ("note", date(2020, 6, 25), NEVER, "", "varchar"),
    ("tamponi_test_molecolare", date(2021, 1, 15), NEVER, "", "bigint"),
    ("codice_nuts_2", date(2021, 1, 15), NEVER, "", "varchar"),
)
PROVINCES: tuple[Era, ...] = (
    ("data", FIRST, NEVER, "", "timestamp"),
    ("stato", FIRST, NEVER, "", "varchar"),
    ("codice_regione", FIRST, NEVER, "", "integer"),
    ("denominazione_regione", FIRST, NEVER, "", "varchar"),
    ("codice_provincia", FIRST, NEVER, "", "integer"),
    ("denominazione_provincia", FIRST, NEVER, "", "varchar"),
    ("sigla_provincia", FIRST, NEVER, "", "varchar"),
    ("totale_casi", FIRST, NEVER, "", "bigint"),
    ("note", date(2020, 6, 25), NEVER, "", "varchar"),
    ("codice_nuts_3", date(2021, 1, 15), NEVER, "", "varchar"),
)
NAMES = (
    *("Piemonte", "Valle d'Aosta", "Lombardia", "Veneto", "Friuli Venezia Giulia", "Liguria"),
    *("Emilia-Romagna", "Toscana", "Umbria", "Marche", "Lazio", "Abruzzo", "Molise", "Campania"),
    *("Puglia", "Basilicata", "Calabria", "Sicilia", "Sardegna", "P.A. Bolzano", "P.A. Trento"),
)
CODES = (1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22)
_OWN = 107  # provinces; besides, each region has two rows of cases that are not of one


def declarations() -> str:
    """Return the definition module."""
    return f"""from assay import Column, rule, source, sql_product

raw_regions = source.files("regioni/dpc-covid19-ita-regioni-{{day:date:%Y%m%d}}.csv", owner="pcm@example.it", columns={{
{_columns(REGIONS)}}})
raw_provinces = source.files("province/dpc-covid19-ita-province-{{day:date:%Y%m%d}}.csv", owner="pcm@example.it", columns={{
{_columns(PROVINCES)}}})
DAILY = dict(owner="istat@example.it", partition_by="day", on_failed_part="hold_part")
sql_product("regions", {QUERIES["regions"]!r}, **DAILY, rules=[
    rule.check("there are no fewer than no cases", "cases >= 0 and positive >= 0"),
    rule.sql("a region is there once", {TWICE["regions"]!r})])
sql_product("provinces", {QUERIES["provinces"]!r}, **DAILY, rules=[
    rule.check("a province has a name", "province is not null"),
    rule.sql("a province is there once", {TWICE["provinces"]!r})])
sql_product("gaps", {QUERIES["gaps"]!r}, **DAILY)
sql_product("months", {QUERIES["months"]!r}, owner="istat@example.it", partition_by="month(day)")
sql_product("country", {QUERIES["country"]!r}, owner="istat@example.it")
"""


def _columns(eras: tuple[Era, ...]) -> str:
    declared = []
    for name, first, last, before, type in eras:
        about = "".join(
            f", {word}={str(value)!r}"
            for word, value in (
                ("since", first if first > FIRST else ""),
                ("until", last if last < NEVER else ""),
                ("was", before),
            )
            if value
        )
        declared.append(f"    {name!r}: Column({type!r}{about}),\n")
    return "".join(declared)


_CODE = """case denominazione_regione when 'P.A. Bolzano' then 21 when 'P.A. Trento' then 22
           else codice_regione end"""
QUERIES: Mapping[str, str] = {
    "regions": f"""
        select day, {_CODE} as code, denominazione_regione as region, totale_casi as cases, totale_positivi as positive,
               nuovi_positivi as new, coalesce(casi_da_screening, 0) as screened, casi_testati as tested, note
        from raw_regions""",
    "provinces": f"""
        select day, {_CODE} as code, case codice_provincia when 999 then 979 else codice_provincia end as number,
               denominazione_provincia as province, sigla_provincia as sign, totale_casi as cases, codice_nuts_3 as nuts
        from raw_provinces""",
    "gaps": """
        with sums as (select day, code, sum(cases)::bigint as cases from provinces group by all)
        select r.day, r.code, r.cases as by_region, s.cases as by_province
        from regions r join sums s on r.day = s.day and r.code = s.code where r.cases <> s.cases""",
    "months": """
        select strftime(day, '%Y-%m') as month, code, max(cases) as cases, sum(new)::bigint as new,
               sum(screened)::bigint as screened
        from regions group by 1, 2""",
    "country": """
        select day, sum(cases)::bigint as cases, sum(tested)::bigint as tested, count(*) as regions from regions group by all""",
}
TWICE = {
    "regions": "select day, code from this group by all having count(*) > 1",
    "provinces": "select day, code, number from this group by all having count(*) > 1",
}

# ------------------------------------------------------------------------------------------- the files


def write_project(root: Path) -> None:
    """Write the declarations, without files."""
    put(root / "pyproject.toml", "[tool.products]\n")
    put(root / "products/covid.py", declarations())


def write_day(root: Path, day: date, correction: int = 0) -> None:
    """Write both files of a day; a correction is added to the cases of Naples, and of its region."""
    for folder, rows in (
        ("regioni", _regions(day, correction)),
        ("province", _provinces(day, correction)),
    ):
        text = StringIO()
        lines = csv.writer(text, lineterminator="\n")
        names = [name for name in next(rows) if name]
        lines.writerow(names)
        lines.writerows(rows)
        put(root / f"{folder}/dpc-covid19-ita-{folder}-{day:%Y%m%d}.csv", text.getvalue())


def names_on(eras: tuple[Era, ...], day: date) -> dict[str, str]:
    """Return the name that the files of a day have for each column that they have."""
    return {
        name: name if day >= first else before
        for name, first, last, before, _ in eras
        if (day >= first or before) and day <= last
    }


def _provinces_of(region: int) -> range:
    """Return the numbers of the provinces of a region; Bolzano and Trento have one each."""
    if region >= 19:
        return range(_OWN - 21 + region, _OWN - 20 + region)
    return range(region * (_OWN - 2) // 19, (region + 1) * (_OWN - 2) // 19)


def _cases(number: int, day: date) -> int:
    """Return all cases of a province up to a day."""
    n = (day - FIRST).days + 1
    return n * (3 + number % 7) + number * 11 + n * number % 13


def _place(region: int, day: date) -> tuple[str, str]:
    """Return code and name of a region as the files of a day have them."""
    code = 4 if region >= 19 and day < CODES_CHANGED else CODES[region]
    return (f"{code:02}" if day >= PADDED else str(code)), NAMES[region]


def _rows_of_region(region: int, day: date, correction: int) -> Iterator[tuple[int, str, str, int]]:
    """Yield code, name, sign and cases of the rows of a region in the file of provinces."""
    for number in _provinces_of(region):
        is_naples = region == 13 and number == _provinces_of(13)[0]
        name, sign = ("Napoli", "NA") if is_naples else (f"Provincia {number}", f"P{number}")
        yield number + 1, name, sign, _cases(number, day) + correction * is_naples
    unknown = 979 if day >= date(2020, 6, 1) else 999
    yield 879, "Fuori Regione / Provincia Autonoma", "", region % 5
    yield unknown, "In fase di definizione/aggiornamento", "", _cases(region, day) % 50


def _provinces(day: date, correction: int) -> Iterator[list[object]]:
    names = names_on(PROVINCES, day)
    yield list(names.values())
    for region in range(21):
        code, place = _place(region, day)
        for number, name, sign, cases in _rows_of_region(region, day, correction):
            values = {
                "data": f"{day} 18:00:00" if day < PADDED else f"{day}T17:00:00",
                "stato": "ITA",
                "codice_regione": code,
                "denominazione_regione": place,
                "codice_provincia": f"{number:03}",
                "denominazione_provincia": name,
                "sigla_provincia": sign,
                "totale_casi": cases,
                "note": "",
                "codice_nuts_3": f"IT{region:02}{number % 10}" if sign else "",
            }
            yield [values[column] for column in names]


def _total(region: int, day: date, correction: int = 0) -> int:
    """Return all cases of a region: now and then it lags behind its provinces."""
    late = 73 if (day - FIRST).days % 97 == 5 and region == 9 else 0
    return sum(cases for *_, cases in _rows_of_region(region, day, correction)) - late


def _regions(day: date, correction: int) -> Iterator[list[object]]:
    names = names_on(REGIONS, day)
    yield list(names.values())
    n = (day - FIRST).days + 1
    for region in range(21):
        code, place = _place(region, day)
        total = _total(region, day, correction if region == 13 else 0)
        before = _total(region, day - timedelta(days=1)) if n > 1 else 0
        values = {
            "data": f"{day} 18:00:00" if day < PADDED else f"{day}T17:00:00",
            "stato": "ITA",
            "codice_regione": code,
            "denominazione_regione": place,
            "lat": f"4{region % 7}.{region + 1}6089704",
            "long": f"1{region % 8}.{region + 1}656688",
            "terapia_intensiva": total % 400,
            "totale_positivi": total // 3,
            "variazione_totale_positivi": total // 3 - before // 3,
            "nuovi_positivi": total - before,
            "deceduti": total // 50,
            "casi_da_screening": total // 7 if region % 4 else "",
            "totale_casi": total,
            "tamponi": total * 6,
            "casi_testati": total * 4,
            "note": f'Ricalcolo: "{total}" casi, è un\'errata corrige'
            if (n + region) % 29 == 0
            else "",
            "tamponi_test_molecolare": total * 5,
            "codice_nuts_2": f"IT{region:02}",
        }
        yield [values[column] for column in names]


# --------------------------------------------------------------------------------------- the raw script


def raw_script(last: date) -> str:
    """Return the raw script: DuckDB reads the files of each layout with their types, up to a day."""
    reads = {
        name: " union all by name ".join(_read(folder, eras, *span) for span in _spans(eras, last))
        for name, folder, eras in (
            ("raw_regions", "regioni", REGIONS),
            ("raw_provinces", "province", PROVINCES),
        )
    }
    rules = {
        "regions": ["from this where not (cases >= 0 and positive >= 0)", TWICE["regions"]],
        "provinces": ["from this where province is null", TWICE["provinces"]],
    }
    return f"""
import duckdb, glob, pathlib
pathlib.Path("raw").mkdir(exist_ok=True)
run = duckdb.connect().execute
def between(folder, first, last):
    files = sorted(glob.glob(f"{{folder}}/*.csv"))
    return str([f for f in files if first <= f[-12:-4] <= last])
for name, read in {reads!r}.items():
    while "FILES(" in read:
        before, _, rest = read.partition("FILES(")
        inner, _, after = rest.partition(")")
        read = before + between(*inner.split()) + after
    run(f"create view {{name}} as {{read}}")
for name, query in {dict(QUERIES)!r}.items():
    run(f"copy ({{query}}) to 'raw/{{name}}.parquet' (format parquet, compression zstd, compression_level 1)")
    run(f"create view {{name}} as from 'raw/{{name}}.parquet'")
    for rule in {rules!r}.get(name, ()):
        if run(f"with this as (from {{name}}) select count(*) from ({{rule}})").fetchone()[0]:
            raise SystemExit(name)
"""


def _spans(eras: tuple[Era, ...], last: date) -> Iterator[tuple[date, date]]:
    """Yield the first and the last day of each layout."""
    one = timedelta(days=1)
    starts = {first for _, first, *_ in eras} | {end + one for _, _, end, *_ in eras if end < NEVER}
    ordered = sorted(start for start in starts if start <= last)
    yield from zip(ordered, [*(start - one for start in ordered[1:]), last], strict=True)


def _read(folder: str, eras: tuple[Era, ...], first: date, last: date) -> str:
    names, types = names_on(eras, first), {era[0]: era[4] for era in eras}
    columns = {in_file: types[name] for name, in_file in names.items()}
    named = [f"{in_file} as {name}" for name, in_file in names.items()]
    named += [f"null::{types[name]} as {name}" for name in types if name not in names]
    return (
        f"select strptime(filename[-12:-5], '%Y%m%d')::date as day, {', '.join(named)}"
        f" from read_csv(FILES({folder} {first:%Y%m%d} {last:%Y%m%d}), header=true, auto_detect=false, delim=',',"
        f" quote='\"', filename=true, columns={columns})"
    )


def same_tables(root: Path) -> str:
    """Return the program that ends with an error if a table of Assay is not that of the raw script."""
    return f"""
import assay, duckdb
for name in {TABLES!r}:
    ours = assay.read("covid." + name, project={str(root)!r}).collect()
    raw = duckdb.sql("from 'raw/" + name + ".parquet'").pl()
    order = ours.columns[:3]
    assert len(ours) and ours.sort(order).equals(raw.select(ours.columns).sort(order)), name
"""


# ----------------------------------------------------------------------------------------- the benchmark


def main() -> None:
    parser = options(__doc__, runs=1)
    parser.add_argument("--days", type=int, default=DAYS, help="days with two files each")
    told = parser.parse_args()
    title = f"{told.days:,} days, two files each; medians of {told.runs}"
    head(title, ["work", "CPU s", "raw script", "Assay / raw", "MiB"])
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), told.days, told.runs)


def _measure(root: Path, days: int, runs: int) -> None:
    write_project(root)
    for n in range(days):
        write_day(root, FIRST + timedelta(days=n))
    corrections, more = iter(range(1, runs + 1)), iter(range(days, days + runs))

    def one_more() -> None:
        write_day(root, FIRST + timedelta(days=next(more)))

    def correct() -> None:
        write_day(root, FIRST + timedelta(days=days // 2), next(corrections))

    clear: Callable[[], None] = partial(aside, root / ".products")
    for work, prepare in (
        ("first build", clear),
        ("a late correction", correct),
        ("one day more", one_more),
        ("nothing changed", lambda: None),
    ):
        script = raw_script(FIRST + timedelta(days=days + runs))
        raw = Side(name="raw", command=program(script), place=root)
        ours, theirs = measure([assay("", root, "materialize", prepare=prepare), raw], runs)
        run(program(same_tables(root)), root)
        row([work, ours.seconds, theirs.seconds, ours.seconds / theirs.seconds, ours.peak])


if __name__ == "__main__":
    main()
