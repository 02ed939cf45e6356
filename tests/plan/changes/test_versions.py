"""The version that a change needs."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.plan.changes.versions import Bump, Version, needed, suggested_day, version_of


@pytest.mark.parametrize(
    ("before", "now", "bump", "least"),
    [
        ("1.4.0", "1.4.0", Bump.MAJOR, "2.0.0"),
        ("1.4.0", "1.5.0", Bump.MAJOR, "2.0.0"),
        ("1.4.0", "2.0.0", Bump.MAJOR, ""),
        ("1.4.0", "3.1.0", Bump.MAJOR, ""),
        ("1.4.0", "1.4.1", Bump.MINOR, "1.5.0"),
        ("1.4.0", "1.5.0", Bump.MINOR, ""),
        ("1.4.0", "1.4.0", Bump.PATCH, "1.4.1"),
        ("0.4.1", "0.4.1", Bump.MAJOR, "0.5.0"),
        ("0.4.1", "0.4.1", Bump.MINOR, "0.4.2"),
        ("1.4.0", "", Bump.MAJOR, "2.0.0"),
        ("", "1.0.0", Bump.MAJOR, ""),
    ],
)
def test_the_least_version(before: str, now: str, bump: Bump, least: str) -> None:
    assert needed(before, now, bump) == least


@pytest.mark.parametrize(
    "text", ["1", "1.2", "1.2.3.4", "v1.2.3", "1.2.3-rc", "01.2.3", "1.2.٣", ""]
)
def test_no_version(text: str) -> None:
    assert version_of(text) is None


@given(st.builds(Version, *[st.integers(0, 9)] * 3), st.sampled_from(Bump))
def test_the_next_version_is_later_and_enough(version: Version, bump: Bump) -> None:
    following = version.after(bump)
    assert following > version
    assert version_of(str(following)) == following
    assert needed(str(version), str(following), bump) == ""


@given(st.dates(date(2020, 1, 1), date(2090, 1, 1)))
def test_a_column_is_kept_for_at_least_ninety_days(today: date) -> None:
    day = suggested_day(today)
    assert day.day == 1
    assert timedelta(days=90) <= day - today <= timedelta(days=121)


def test_the_day_of_the_documentation() -> None:
    assert suggested_day(date(2025, 11, 29)) == date(2026, 3, 1)
