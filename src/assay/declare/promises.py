"""Declared promises of freshness, to promises whose texts all have a meaning."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from zoneinfo import available_timezones

from msgspec.structs import replace

from assay.budgets import MAY_BE_WRITTEN, Counted, budget_of
from assay.declare.calendars import Calendars
from assay.declare.names import Names
from assay.declare.words import ProductDeclaration
from assay.engines.types import is_zone
from assay.model import Freshness, Product, Source, Where
from assay.plan.due_times import wrong_cron
from assay.plan.graph import Graph
from assay.plan.window_text import (
    COVERS,
    PERIODS,
    TRADING_DAY,
    WORKING_DAY,
    covers_of,
    on_of,
    share_of,
)
from assay.plan.windows import never_due, window_of
from assay.times import while_of

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_KINDS_HINT = 'Write by="07:00", every="0 7 * * 1-5" or within="36h".'
_COVERS_HINT = f"It is one of: {', '.join(COVERS)}."
_LENGTH_HINT = 'Write a length of time: "45m", "36h" or "2 days".'
Problem = tuple[str, str]  # what is wrong with a promise, and what to do


def read_freshness(
    name: str, declared: Freshness | None, where: Where, calendars: Calendars, names: Names
) -> Freshness | None:
    """Return a declared promise with calendars named by text; its mistakes are reported."""
    if declared is None:
        return None
    promise = replace(
        declared, on=calendars.text_of(declared.on), trading=calendars.text_of(declared.trading)
    )
    problems = [*_problems(promise), *_unknown_calendars(promise, calendars)]
    problems = problems or [*_never_due(promise, calendars)]
    for message, hint in problems:
        names.report(f"{name}: freshness {message}", where, hint)
    return None if problems else replace(promise, covers=covers_of(promise.covers))


def read_budget(name: str, declared: ProductDeclaration, where: Where, names: Names) -> str:
    """Return the budget of a product, or that of the settings; its mistakes are reported."""
    if declared.budget is None:
        default = names.config.budget
        return str(budget_of(default)) if default else ""
    if not declared.budget:
        return ""
    try:
        budget = budget_of(declared.budget)
    except ValueError as error:
        names.report(f"{name}: budget {error}", where, MAY_BE_WRITTEN)
        return ""
    if budget.counted is not Counted.HELD_BACK and declared.freshness is None:
        message = f"{name}: budget {declared.budget!r} counts promises, and it has none"
        names.report(message, where, 'Give it freshness=Freshness(by="07:00"), or another budget.')
    return str(budget)


def _problems(promise: Freshness) -> Iterator[Problem]:
    given = [word for word in ("by", "every", "within") if getattr(promise, word)]
    if len(given) != 1:
        has = " and ".join(f"{word}=" for word in given) or "none of by=, every= and within="
        yield f"has {has}; it has one of them", _KINDS_HINT
    yield from _wrong_times(promise)
    yield from _wrong_days(promise)
    if promise.within:
        yield from _wrong_beside_within(promise)
    if promise.at_least and _refused(share_of, promise.at_least):
        yield f"at_least {promise.at_least!r} is no share of the promises", 'Write "95 %".'
    if promise.warn_before and _no_length(promise.warn_before):
        yield f"warn_before {promise.warn_before!r} is no length of time", _LENGTH_HINT


def _wrong_times(promise: Freshness) -> Iterator[Problem]:
    if promise.by and not _TIME.fullmatch(promise.by):
        yield f"by {promise.by!r} is no time of day", 'Write by="07:00": from 00:00 to 23:59.'
    if promise.within and _no_length(promise.within):
        yield f"within {promise.within!r} is no length of time", _LENGTH_HINT
    if promise.every and (wrong := wrong_cron(promise.every)):
        hint = 'Write every="0 7 * * 1-5": at 07:00 from Monday to Friday.'
        yield f"every {promise.every!r} is no cron expression: {wrong}", hint
    if not is_zone(promise.tz):
        close = get_close_matches(promise.tz, available_timezones(), n=1)
        hint = f"Did you mean {close[0]!r}?" if close else 'Write tz="Europe/London".'
        yield f"tz {promise.tz!r} is no time zone", hint


def _wrong_days(promise: Freshness) -> Iterator[Problem]:
    """Yield what is wrong with `on`, `covers` and `trading`, except unknown calendars."""
    if _refused(covers_of, promise.covers):
        yield f"covers {promise.covers!r} has no meaning", _covers_hint(promise.covers)
    if error := _refused(on_of, promise.on):
        hint = 'Write on="GB-ENG", "working day 3 of GB-ENG" or "last working day of GB-ENG".'
        yield f"on {promise.on!r}: {error}", hint
    if error or _refused(covers_of, promise.covers):
        return
    covers = covers_of(promise.covers)
    if covers == WORKING_DAY and on_of(promise.on) == on_of(""):
        message = f"covers {promise.covers!r}, and no calendar says which days are worked on"
        yield message, 'Write on="GB-ENG", or on="Mon-Fri", or covers="previous day".'
    if promise.trading and covers not in {TRADING_DAY, *PERIODS}:
        message = "has trading=, which goes with covers= of a trading day, week, month or longer"
        yield message, 'Write covers="previous trading day", or take trading= away.'


def _covers_hint(text: str) -> str:
    """Return the period that may be meant; else all of them."""
    text = re.sub(r"\b(last|prior|the)\b", "previous", text.lower())
    close = get_close_matches(text, COVERS, n=1, cutoff=0.7)
    return f"Did you mean {close[0]!r}? {_COVERS_HINT}" if close else _COVERS_HINT


def _wrong_beside_within(promise: Freshness) -> Iterator[Problem]:
    for word in ("covers", "trading"):
        if getattr(promise, word):
            hint = f"Take {word}= away, or give by= or every= instead of within=."
            yield f"has {word}= beside within=, which is about the age of the data", hint
    if not _refused(on_of, promise.on) and on_of(promise.on).n is not None:
        hint = 'Name a calendar: days off do not count towards the age. on="GB-ENG".'
        yield f"on {promise.on!r} beside within= has no meaning", hint


def _unknown_calendars(promise: Freshness, calendars: Calendars) -> Iterator[Problem]:
    on = "" if _refused(on_of, promise.on) else on_of(promise.on).calendar
    for word, name in (("on", on), ("trading", promise.trading)):
        text = promise.on if word == "on" else name
        hint = calendars.problem_with(name, text) if name else ""
        if hint:
            yield f"{word} {getattr(promise, word)!r}: there is no calendar {name!r}", hint


def _never_due(promise: Freshness, calendars: Calendars) -> Iterator[Problem]:
    """Yield that no day of `on` has such a time, or that no month has so many working days."""
    with suppress(ValueError):  # of a calendar whose mistakes are reported
        if not promise.within and never_due(window_of(promise, calendars.by_name)):
            when = f"every {promise.every!r}" if promise.every else f"by {promise.by!r}"
            message = f"{when} on {promise.on!r} never falls due"
            yield message, "Name days of on= on which it does."


def _no_length(text: str) -> bool:
    return bool(_refused(while_of, text)) or not while_of(text)


def _refused(reads: object, text: str) -> str:
    """Return why a function that reads a text refuses it; '' when it does not."""
    try:
        reads(text)  # type: ignore[operator]
    except ValueError as error:
        return str(error) or "it has no meaning"
    return ""


# ------------------------------------------------------------------------------------ trading days


def with_trading(graph: Graph, names: Names) -> Graph:
    """Return the graph with the calendar of trading days, in each promise that does not name it.

    It is that of the promises of the sources which a product is made of; it is reported when these
    differ.
    """
    products: dict[str, Product] = {}
    for name, product in graph.products.items():
        promise = product.freshness
        if not promise or promise.covers != TRADING_DAY or promise.trading:
            continue
        of_sources = _calendars_of_sources(name, graph)
        if len(set(of_sources.values())) > 1:
            listed = ", ".join(f"{source}: {on}" for source, on in of_sources.items())
            message = f"{name}: its sources have different calendars of trading days ({listed})"
            names.report(message, product.where, "Give the promise trading=.")
        elif not of_sources and not on_of(promise.on).calendar:
            message = f"{name}: freshness covers the {TRADING_DAY!r}, and no calendar has these"
            hint = "Give trading=, or a source freshness=Freshness(..., on=...)."
            names.report(message, product.where, hint)
        elif of_sources:
            trading = next(iter(of_sources.values()))
            products[name] = replace(product, freshness=replace(promise, trading=trading))
    return replace(graph, products={**graph.products, **products}) if products else graph


def _calendars_of_sources(name: str, graph: Graph) -> Mapping[str, str]:
    """Return the calendar of each source of a product whose promise is for the days of one."""
    sources: list[Source] = [
        graph.sources[read] for read in sorted(graph.upstream(name)) if read in graph.sources
    ]
    calendars = {
        source.name: on_of(source.freshness.on).calendar for source in sources if source.freshness
    }
    return {source: calendar for source, calendar in calendars.items() if calendar}
