"""Options that several verbs take."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import click

_FIRST_YEAR, _LAST_YEAR = 1900, 9000  # of --now: there is time before and after it
F = TypeVar("F", bound=Callable[..., Any])


def _moment(ctx: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        example = "2011-12-09T07:00, or 2011-12-09T07:00+01:00 for another zone than UTC"
        raise click.BadParameter(f"{value!r} is no moment: write {example}") from None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise click.BadParameter(f"{value!r} is not between {_FIRST_YEAR} and {_LAST_YEAR}")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def day(ctx: click.Context, parameter: click.Parameter, value: str | None) -> date | None:
    """Read an option that is a day."""
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("write it as 2012-01-31") from None


JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
ENV = click.option(
    "--env",
    metavar="NAME",
    help="The environment (`products env ls` lists them); prod unless configured otherwise.",
)
SELECT = click.option(
    "-s",
    "--select",
    multiple=True,
    metavar="SELECTOR",
    help="Only the products that SELECTOR matches; default: all.",
)
EXCLUDE = click.option(
    "--exclude",
    multiple=True,
    metavar="SELECTOR",
    help="Leave out the products that SELECTOR matches.",
)
NOW = click.option(
    "--now",
    callback=_moment,
    metavar="TIME",
    help="Use TIME as the current time, such as 2011-12-09T07:00.",
)
JOBS = click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Build at most N products at the same time.",
)


def options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that gives a command these options."""

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add
