"""Two clocks, by real commands: as of when readers see data, and when content of sources arrived."""

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from assay.catalog import open_catalog
from assay.facts import Arrival
from tests.conftest import Place

FEED = 'source.files("in/*.csv", columns={"x": "bigint"})'
DAYS = 'source.files("in/{day:date}.csv", columns={"x": "bigint"})'
TOTAL = 'total = sql_product("total", "select sum(x)::bigint as x from raw", owner="o")'
FRIDAY = "2011-12-02T21:00"


def declare(place: Place, raw: str, *products: str) -> None:
    place.write("products/s.py", "\n".join([f"raw = {raw}", *products]), header=True)


def drop(place: Place, name: str, written: str, *values: int, header: str = "x") -> Path:
    place.write(f"in/{name}", f"{header}\n" + "".join(f"{value}\n" for value in values))
    return touch(place, name, written)


def touch(place: Place, name: str, written: str) -> Path:
    file, at = place.root / f"in/{name}", datetime.fromisoformat(f"{written}+00:00").timestamp()
    os.utime(file, (at, at))
    return file


def as_of(place: Place, now: str) -> dict[str, str | None]:
    told = [s for s in place.run("status", "--json", "--now", now).json if "result" in s]
    return {s["product"]: s["as_of"] for s in told}


def arrivals(place: Place) -> list[tuple[str, str, str]]:
    catalog = open_catalog(place.root / ".products/catalog.db")
    found = [
        (a.part, f"{a.at:%m-%d %H:%M}", f"{a.seen:%m-%d %H:%M}")
        for a in catalog.arrivals.of("s.raw")
    ]
    catalog.close()
    return found


def test_what_is_rebuilt_from_an_old_feed_is_old(place: Place) -> None:
    """At 07:00 of Monday, with other code: as of Friday, by the feed."""
    declare(place, FEED, TOTAL)
    drop(place, "a.csv", FRIDAY, 1)
    place.materialize("--now", "2011-12-02T22:00")
    declare(place, FEED, TOTAL.replace("sum(x)", "sum(x + 1)"))
    place.materialize("--now", "2011-12-05T07:00")
    assert as_of(place, "2011-12-05T07:01") == {"s.total": f"{FRIDAY}:00+00:00"}
    said = place.run("why", "total", "--now", "2011-12-05T07:01").out
    assert "  as of 2011-12-02 21:00; the slowest input is s.raw, as of 2011-12-02 21:00" in said
    [version, _] = place.run("history", "total", "--json").json
    assert version["built_at"].startswith("2011-12-05T07:00")
    assert version["data_as_of"] == f"{FRIDAY}:00+00:00"


def test_what_is_delivered_again_is_newer_and_builds_nothing(place: Place) -> None:
    declare(place, FEED, TOTAL, TOTAL.replace("total", "above").replace("raw", "total"))
    drop(place, "a.csv", FRIDAY, 1)
    place.materialize("--now", "2011-12-02T22:00")
    touch(place, "a.csv", "2011-12-05T21:00")
    monday = "2011-12-05T21:00:00+00:00"
    assert as_of(place, "2011-12-05T22:00") == {"s.total": monday, "s.above": monday}
    events = place.run("materialize", "--json", "--now", "2011-12-05T22:00").events
    results = [event for event in events if event.get("product")]
    assert {(r["result"], r["data_as_of"]) for r in results} == {("unchanged", monday)}
    [shown] = place.run("history", "above", "--json").json
    assert shown["data_as_of"] == monday, "as status says"
    assert place.run("show", "raw", "--json").json["data_as_of"] == monday
    assert "as of 2011-12-05 21:00" in place.run("show", "raw").out


def test_a_day_in_the_path_is_how_far_parts_and_versions_reach(place: Place) -> None:
    each = 'lines = sql_product("lines", "select x from raw", each="raw", owner="o")'
    above = 'above = sql_product("above", "select sum(x)::bigint as x from lines", owner="o")'
    declare(place, DAYS, each, above)
    drop(place, "2011-12-01.csv", FRIDAY, 1)
    drop(place, "2011-12-02.csv", FRIDAY, 2)
    place.materialize("--now", "2011-12-02T22:00")
    reached = dict.fromkeys(["s.lines", "s.above"], "2011-12-02T00:00:00")
    assert as_of(place, "2011-12-09T07:00") == reached
    catalog = open_catalog(place.root / ".products/catalog.db")
    [version] = catalog.versions("s.lines")
    assert [part.data_as_of for part in version.parts] == [
        datetime(2011, 12, 1),
        datetime(2011, 12, 2),
    ]
    catalog.close()
    drop(place, "2011-12-03.csv", FRIDAY, 3)
    assert as_of(place, "2011-12-09T07:00") == reached, "nobody reads that yet"
    place.materialize("--now", "2011-12-09T07:00")
    assert {*as_of(place, "2011-12-09T08:00").values()} == {"2011-12-03T00:00:00"}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("type", "latest"),
    [
        ("date", "2011-12-02T00:00:00"),
        ("timestamp", "2011-12-02T08:30:00"),
        ("timestamptz", "2011-12-02T08:30:00+00:00"),
    ],
)
def test_event_times_of_a_source_are_read_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, kind: str, type: str, latest: str
) -> None:
    """By the run that first reads a file; what is too far in the future does not count."""
    raw = f'source.files("in/*.{kind}", columns={{"at": "{type}", "x": "bigint"}}, event_time="at")'
    declare(place, raw, TOTAL)
    times = ["2011-12-01 09:00:00", "2011-12-02 08:30:00", "2099-01-01 00:00:00"]

    def write(name: str, texts: list[str]) -> None:
        moments = [datetime.fromisoformat(text) for text in texts]
        if type == "date":
            moments = [moment.date() for moment in moments]
        elif type == "timestamptz":
            moments = [moment.replace(tzinfo=UTC) for moment in moments]
        frame = pl.DataFrame({"at": moments, "x": range(len(texts))})
        (place.root / "in").mkdir(exist_ok=True)
        path = place.root / f"in/{name}.{kind}"
        if kind == "parquet":
            frame.write_parquet(path)
            return
        frame = frame.with_columns(
            at=pl.lit(None) if not texts else pl.col("at").cast(pl.String).str.head(19)
        )
        frame = frame.with_columns(at=pl.col("at") + ("Z" if type == "timestamptz" else ""))
        frame.write_csv(path) if kind == "csv" else frame.write_ndjson(path)

    write("a", times)
    write("b", times[:1])
    assert place.run("show", "raw", "--json").json["data_as_of"] is None, "no build read it yet"
    place.materialize("--now", "2011-12-05T07:00")
    assert as_of(place, "2011-12-05T08:00") == {"s.total": latest}
    assert place.run("show", "raw", "--json").json["data_as_of"] == latest
    monkeypatch.setattr("assay.build.inspector.inspect", None)  # nothing is read once more
    place.materialize("--force", "--now", "2011-12-05T09:00")
    assert as_of(place, "2011-12-05T10:00") == {"s.total": latest}


def test_a_function_without_inputs_is_of_no_known_time(place: Place) -> None:
    place.write(
        "products/s.py",
        """
@product(owner="o", changes_with="day")
def rates() -> pl.DataFrame:
    return pl.DataFrame({"rate": [1.5]})

above = sql_product("above", "select max(rate) as rate from rates", owner="o")
""",
        header=True,
    )
    place.materialize("--now", "2011-12-05T07:00")
    assert as_of(place, "2011-12-05T08:00") == {"s.rates": None, "s.above": None}
    assert "as of" not in place.run("why", "above").out


# ----------------------------------------------------------------------------------- arrivals


def test_new_parts_arrive(place: Place) -> None:
    """When their files were written, if that was since the last look; else when they are seen."""
    declare(place, DAYS, TOTAL)
    drop(place, "2011-12-01.csv", "2011-12-01T20:10", 1)
    place.materialize("--now", "2011-12-01T21:00")
    assert arrivals(place) == [], "how long it has been there is not known"
    drop(place, "2011-12-02.csv", "2011-12-02T20:10", 2)
    place.materialize("--now", "2011-12-02T21:00")
    place.materialize("--now", "2011-12-02T22:00")
    drop(place, "2011-12-03.csv", "2011-12-01T08:00", 3)  # copied with its time, which is older
    drop(place, "2011-12-04.csv", "2012-01-01T08:00", 3)  # by another clock
    drop(place, "2011-12-01.csv", "2011-12-04T20:00", 9)  # corrected
    touch(place, "2011-12-02.csv", "2011-12-04T20:00")  # the same once more
    place.materialize("--now", "2011-12-04T21:00")
    assert arrivals(place) == [
        ("2011-12-02", "12-02 20:10", "12-02 21:00"),
        ("2011-12-01", "12-04 20:00", "12-04 21:00"),
        ("2011-12-03", "12-04 21:00", "12-04 21:00"),
        ("2011-12-04", "12-04 21:00", "12-04 21:00"),
    ]
    (place.root / "in/2011-12-04.csv").unlink()
    place.materialize("--now", "2011-12-05T21:00")
    assert len(arrivals(place)) == 4, "what goes does not arrive"


def test_a_source_without_placeholders_arrives_as_a_whole(place: Place) -> None:
    declare(place, FEED, TOTAL)
    drop(place, "a.csv", "2011-12-01T20:00", 1)
    place.materialize("--now", "2011-12-01T21:00")
    drop(place, "a.csv", "2011-12-02T20:00", 2)
    drop(place, "b.csv", "2011-12-02T20:30", 2)
    place.materialize("--now", "2011-12-02T21:00")
    assert arrivals(place) == [("", "12-02 20:30", "12-02 21:00")]
    declare(place, FEED.replace("bigint", "integer"), TOTAL)
    place.materialize("--now", "2011-12-03T21:00")
    assert len(arrivals(place)) == 1, "reading it in another way is no arrival"


def test_by_the_clock_of_the_machine_files_arrive_when_they_are_put_there(place: Place) -> None:
    """Their own times may be kept from where they were copied from."""
    declare(place, DAYS, TOTAL)
    drop(place, "2011-12-01.csv", FRIDAY, 1)
    place.materialize()
    before = datetime.now(UTC)
    drop(place, "2011-12-02.csv", FRIDAY, 1)
    put = (place.root / "in/2011-12-02.csv").stat().st_ctime
    place.materialize()
    catalog = open_catalog(place.root / ".products/catalog.db")
    [arrival] = catalog.arrivals.of("s.raw")
    catalog.close()
    assert isinstance(arrival, Arrival)
    assert abs(arrival.at.timestamp() - put) < 0.001
    assert before - timedelta(seconds=1) < arrival.at <= arrival.seen <= datetime.now(UTC)


def test_a_history_that_is_delivered_at_once_is_no_arrival_of_each_day(place: Place) -> None:
    declare(place, DAYS, TOTAL)
    drop(place, "2011-12-01.csv", FRIDAY, 1)
    place.materialize("--now", "2011-12-01T21:00")
    first = datetime(2011, 1, 1)
    for n in range(100):
        drop(place, f"{first + timedelta(days=n):%Y-%m-%d}.csv", FRIDAY, n)
    place.materialize("--now", "2011-12-02T21:30")
    parts = [part for part, _, _ in arrivals(place)]
    assert (len(parts), parts[0], parts[-1]) == (31, "2011-03-11", "2011-04-10")


def test_an_older_catalog_knows_no_times_of_files_and_learns_them(place: Place) -> None:
    declare(place, FEED, TOTAL)
    drop(place, "a.csv", FRIDAY, 1)
    place.materialize("--now", "2011-12-02T22:00")
    catalog = open_catalog(place.root / ".products/catalog.db")
    raw = "where source = 's.raw'"
    [(files,)] = catalog.database.rows(f"select files from listings {raw}")
    older = json.dumps([file[:-1] for file in json.loads(files)])
    catalog.write(lambda w: w.execute(f"update listings set seen = '', files = ? {raw}", [older]))
    catalog.close()
    assert as_of(place, "2011-12-03T07:00") == {"s.total": f"{FRIDAY}:00+00:00"}
    drop(place, "a.csv", "2011-12-03T08:00", 2)
    place.materialize("--now", "2011-12-03T09:00")
    drop(place, "a.csv", "2011-12-03T10:00", 3)
    place.materialize("--now", "2011-12-03T11:00")
    assert arrivals(place) == [
        ("", "12-03 09:00", "12-03 09:00"),  # when it was looked at before is not known
        ("", "12-03 10:00", "12-03 11:00"),
    ]
    shutil.rmtree(place.root / "in")
    assert as_of(place, "2011-12-03T12:00") == {"s.total": "2011-12-03T10:00:00+00:00"}
