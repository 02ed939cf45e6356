"""Daily files whose layout changes: figures to the unit, from the first build to a late correction.

`benchmarks.italy` compares those of all 1,781 days with a raw script's.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from benchmarks.italy import FIRST, NAMES, write_day, write_project
from tests.conftest import Place

CODES = {"P.A. Bolzano": 21, "P.A. Trento": 22}
CORRECTED = date(2020, 3, 30)  # the day before columns were renamed
WEEKS = [FIRST + timedelta(days=n) for n in range(57)] + [
    date(2021, 1, 8) + timedelta(days=n) for n in range(15)
]


def lines(root: Path, folder: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of all files as Python's own parser reads them, with the day of each."""
    for file in sorted((root / folder).glob("*.csv")):
        day = f"{file.stem[-8:-4]}-{file.stem[-4:-2]}-{file.stem[-2:]}"
        with file.open(newline="", encoding="utf-8") as content:
            for row in csv.DictReader(content):
                yield day, row


def figures(root: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return what the products should hold, computed in plain Python."""
    regions: dict[tuple[str, int], dict[str, str]] = {}
    sums: Counter[tuple[str, int]] = Counter()
    naples = Counter[str]()
    for day, row in lines(root, "regioni"):
        name = row["denominazione_regione"]
        regions[day, CODES.get(name) or int(row["codice_regione"])] = row
    for day, row in lines(root, "province"):
        name = row["denominazione_regione"]
        sums[day, CODES.get(name) or int(row["codice_regione"])] += int(row["totale_casi"])
        naples[day] += int(row["totale_casi"]) * (row["sigla_provincia"] == "NA")
    country: dict[str, list[int | None]] = {}
    months: dict[tuple[str, int], list[int | None]] = {}
    for (day, code), row in sorted(regions.items()):
        cases, tested = int(row["totale_casi"]), row.get("casi_testati")
        total = country.setdefault(day, [0, None, 0])
        total[0] += cases
        total[1] = (total[1] or 0) + int(tested) if tested else total[1]
        total[2] += 1
        month = months.setdefault((day[:7], code), [0, None, 0])
        month[0] = max(month[0] or 0, cases)
        month[1] = (
            (month[1] or 0) + int(row["nuovi_positivi"]) if "nuovi_positivi" in row else month[1]
        )
        month[2] += int(row.get("casi_da_screening") or 0)
    positive = [
        (day, code, int(row.get("totale_positivi") or row["totale_attualmente_positivi"]))
        for (day, code), row in sorted(regions.items())
    ]
    return {
        "country": [(day, *total) for day, total in sorted(country.items())],
        "months": [(*key, *month) for key, month in sorted(months.items())],
        "regions": positive,
        "gaps": [
            (*key, int(row["totale_casi"]), sums[key])
            for key, row in sorted(regions.items())
            if int(row["totale_casi"]) != sums[key]
        ],
        "provinces": [(day, cases) for day, cases in sorted(naples.items())],
    }


QUERIES = {
    "country": "select day, cases, tested, regions from country order by all",
    "months": "select month, code, cases, new, screened from months order by all",
    "regions": "select day, code, positive from regions order by day, code",
    "gaps": "select day, code, by_region, by_province from gaps order by day, code",
    "provinces": "select day, cases from provinces where sign = 'NA' order by day",
}


def published(place: Place) -> dict[str, list[tuple[object, ...]]]:
    return {name: [tuple(row.values()) for row in place.query(q)] for name, q in QUERIES.items()}


def built(told: dict[str, dict]) -> dict[str, int]:
    return {
        name: result["parts"]["built"]
        for name, result in told.items()
        if name and result["built"] and "parts" in result
    }


def test_ten_weeks_give_the_figures_that_plain_python_computes(tmp_path: Path) -> None:
    place, days = Place(tmp_path), WEEKS
    write_project(tmp_path)
    for day in days[:-1]:
        write_day(tmp_path, day)
    assert place.materialize()[""]["exit_code"] == 0
    first = figures(tmp_path)
    assert published(place) == first
    assert first["gaps"] and {code for _, code, _ in first["regions"]} >= {21, 22}
    assert len(first["regions"]) == len(NAMES) * (len(days) - 1)

    write_day(tmp_path, CORRECTED, correction=1000)
    daily = ("covid.regions", "covid.provinces", "covid.gaps", "covid.months")
    assert built(place.materialize()) == dict.fromkeys(daily, 1)
    corrected = figures(tmp_path)
    assert published(place) == corrected
    assert corrected["provinces"] != first["provinces"] and corrected["country"] != first["country"]

    write_day(tmp_path, days[-1])
    assert built(place.materialize()) == dict.fromkeys(daily, 1)
    assert published(place) == figures(tmp_path)

    renamed = tmp_path / f"regioni/dpc-covid19-ita-regioni-{days[-1]:%Y%m%d}.csv"
    good = renamed.read_text()
    renamed.write_text(good.replace("totale_positivi,", "totale_attualmente_positivi,", 1))
    told = place.materialize()
    [failed] = told["covid.regions"]["failed_parts"]
    assert failed["part"] == str(days[-1])
    assert "should have a column 'totale_positivi'" in failed["error"]
    assert "since 2020-03-31, before as 'totale_attualmente_positivi'" in failed["error"]
    renamed.write_text(good)
    assert place.materialize()[""]["exit_code"] == 0
    assert published(place) == figures(tmp_path)
