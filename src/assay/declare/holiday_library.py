"""Calendars of the library `holidays`: countries, subdivisions and markets, for a span of years."""

import warnings
from collections.abc import Sequence
from datetime import date
from functools import cache
from typing import TYPE_CHECKING

from assay.model import WorkCalendar

if TYPE_CHECKING:
    from holidays.holiday_base import HolidayBase

# The years that are looked up, as far as the library knows them: long enough for any history and
# any promise, short enough for a manifest.
FIRST_YEAR, LAST_YEAR = 2000, 2049
_WEEK = range(7)


def library_calendar(code: str) -> WorkCalendar | None:
    """Return the calendar of "GB", "GB-ENG" or "XNYS"; None for a code that is not known.

    Half-days are working days, and so are days of the weekend that a country works on instead of
    others.
    """
    place, _, subdivision = code.partition("-")
    if subdivision not in _codes().get(place, ("",)) and subdivision:
        return None
    if place not in _codes() or code.endswith("-"):
        return None
    library = _of(place, subdivision or None, _years(_of(place, subdivision or None, ())))
    years = sorted(library.years)
    if not years:
        return None
    weekend = set(library.weekend)
    first, last = date(years[0], 1, 1), date(years[-1], 12, 31)
    opened = getattr(library, "weekend_workdays", ())
    return WorkCalendar(
        name=code,
        weekdays=tuple(day for day in _WEEK if day not in weekend),
        closed=tuple(sorted(day for day in library if first <= day <= last)),
        opened=tuple(sorted(day for day in opened if first <= day <= last)),
        first=first,
        last=last,
        origin=library_version(),
    )


def library_version() -> str:
    """Return the library and its version, such as "holidays 0.109"."""
    from holidays.version import __version__

    return f"holidays {__version__}"


def library_codes() -> list[str]:
    """Return all codes of countries, subdivisions and markets."""
    places = _codes().items()
    return [
        *_codes(),
        *(f"{place}-{part}" for place, parts in places for part in parts),
    ]


@cache
def _codes() -> dict[str, Sequence[str]]:
    """Return the codes of countries and markets, each with those of its subdivisions."""
    import holidays

    return {**holidays.list_supported_financial(), **holidays.list_supported_countries()}


def _of(place: str, subdivision: str | None, years: Sequence[int]) -> "HolidayBase":
    import holidays

    is_country = place in holidays.list_supported_countries()
    make = holidays.country_holidays if is_country else holidays.financial_holidays
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of codes that are spelled otherwise today
        return make(place, subdiv=subdivision, years=years, expand=False)


def _years(library: "HolidayBase") -> Sequence[int]:
    first, last = max(FIRST_YEAR, library.start_year), min(LAST_YEAR, library.end_year)
    return range(first, last + 1)
