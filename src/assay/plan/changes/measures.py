"""How the limits, arguments and queries of a rule moved."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from assay.amounts import amount
from assay.model import Demand, Rule
from assay.plan.changes.values import Way, moved, ranked

SameQuery = Callable[[str, str], bool]
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
_AMOUNT = re.compile(r"\d[\d_,]*(?:\.\d+)?(?: ?%)?")
# Which way an argument of a check of pandera moved, when it is greater than before or has more.
_GREATER = {"min_value": Way.STRONGER, "max_value": Way.WEAKER}
_SETS = {"allowed_values": Way.WEAKER, "forbidden_values": Way.STRONGER}


def limit_way(words: str, before: str, now: str) -> Iterator[tuple[Way, str]]:
    """Yield how a limit on failing rows moved: a greater one is weaker, none is the weakest."""
    if before == now:
        return
    way: Way | None = Way.OTHER
    if not before or not now:
        way = Way.STRONGER if now else Way.WEAKER
    else:
        one, two = amount(before), amount(now)
        zero = not one.number or not two.number
        if one.percent == two.percent or zero:
            way = ranked(float(one.number), float(two.number), more=Way.WEAKER)
    if way:
        yield way, f"{words} {moved(before or 'never', now or 'never')}"


def measured_ways(old: Rule, new: Rule, same: SameQuery) -> Iterator[tuple[Way, str]]:
    """Yield how what a rule measures moved: its limit, its arguments, its query."""
    if old.within is not None and new.within is not None:
        if way := ranked(old.within, new.within, more=Way.WEAKER):
            yield way, moved(old.threshold, new.threshold)
        return
    if old.threshold != new.threshold:
        yield _threshold(old.threshold, new.threshold), moved(old.threshold, new.threshold)
        return
    if (old.demand is None) is not (new.demand is None):
        yield Way.OTHER, "is checked in another way"
        return
    if old.demand and new.demand:
        yield from _arguments(old.demand, new.demand, same)
    elif old.sql != new.sql and not same(old.sql, new.sql):
        yield _query(old.sql, new.sql)
    elif _read_by(old) != _read_by(new):
        yield Way.OTHER, f"reads {moved(_read_by(old), _read_by(new))}"


def _read_by(rule: Rule) -> str:
    return ", ".join(sorted(i.name for i in rule.inputs))


def _threshold(before: str, now: str) -> Way:
    """Return how limits in words moved ("at least 10 and at most 20", "within ±5 %")."""
    if _AMOUNT.sub("", before) != _AMOUNT.sub("", now):
        return Way.OTHER
    ways: set[Way | None] = set()
    for old, new in zip(before.split(" and "), now.split(" and "), strict=True):
        amounts = [_AMOUNT.search(text) for text in (old, new)]
        if not amounts[0] or not amounts[1]:
            continue
        try:
            one, two = (amount(found[0].replace(",", "")) for found in amounts if found)
        except (ValueError, ArithmeticError):
            return Way.OTHER
        if one.percent != two.percent:
            return Way.OTHER
        more = Way.STRONGER if old.startswith("at least") else Way.WEAKER
        ways.add(ranked(float(one.number), float(two.number), more=more))
    ways.discard(None)
    return ways.pop() or Way.OTHER if len(ways) == 1 else Way.OTHER


def _query(before: str, now: str) -> tuple[Way, str]:
    """Return how the query of failing rows moved.

    Where one number differs, behind `>` or `<`, that says whether fewer rows fail.
    """
    numbers = [list(_NUMBER.finditer(text)) for text in (before, now)]
    same_rest = _plain(_NUMBER.sub("0", before)) == _plain(_NUMBER.sub("0", now))
    if same_rest and len(numbers[0]) == len(numbers[1]):
        differing = [
            (one, two) for one, two in zip(*numbers, strict=True) if float(one[0]) != float(two[0])
        ]
        if len(differing) == 1:
            one, two = differing[0]
            return _bound(before, one, two), moved(one[0], two[0])
    return Way.OTHER, "its query changed: it may let more rows through"


def _bound(text: str, one: re.Match[str], two: re.Match[str]) -> Way:
    """Return the way of a number that is compared with: more rows pass beneath a greater one."""
    compared = re.search(r"([<>])=?\s*$", text[: one.start()])
    if compared is None or re.search(r"\b(not|case)\b", text, re.IGNORECASE):
        return Way.OTHER
    more = Way.WEAKER if compared[1] == ">" else Way.STRONGER
    return ranked(float(one[0]), float(two[0]), more=more) or Way.OTHER


def _plain(text: str) -> str:
    return " ".join(text.split())


def _arguments(old: Demand, new: Demand, same: SameQuery) -> Iterator[tuple[Way, str]]:
    if old.kind != new.kind:
        yield Way.OTHER, f"checks {moved(old.kind, new.kind)}"
        return
    if old.ignore_na is not new.ignore_na:
        yield (
            (Way.WEAKER if new.ignore_na else Way.STRONGER),
            ("missing values pass" if new.ignore_na else "missing values fail"),
        )
    if old.kind == "type":
        if old.arguments.get("required") is not new.arguments.get("required"):
            is_required = bool(new.arguments.get("required"))
            words = "always there" if is_required else "may be absent"
            yield (Way.STRONGER if is_required else Way.WEAKER), words
        return
    if old.kind == "condition":
        conditions = [str(demand.arguments.get("sql", "")) for demand in (old, new)]
        if conditions[0] != conditions[1]:
            selects = [f"select (\n{condition}\n)" for condition in conditions]
            if not same(*selects):
                yield _condition(*conditions)
        return
    for name in sorted({*old.arguments, *new.arguments} - {"apart", "why"}):
        before, now = old.arguments.get(name), new.arguments.get(name)
        if before != now:
            yield _argument(name, before, now)


def _condition(before: str, now: str) -> tuple[Way, str]:
    """Return how a condition moved that rows have to meet: the other way round than a query."""
    way, words = _query(before, now)
    opposite = {Way.WEAKER: Way.STRONGER, Way.STRONGER: Way.WEAKER}
    if words.startswith("its query"):
        words = f"{moved(_plain(before), _plain(now))}"
    return opposite.get(way, way), words


def _argument(name: str, before: Any, now: Any) -> tuple[Way, str]:
    old, new = _value(before), _value(now)
    words = moved(_shown(old), _shown(new))
    if name in _SETS and isinstance(old, list) and isinstance(new, list):
        return _set_way(_SETS[name], set(map(repr, old)), set(map(repr, new))), words
    numbers = [_number(value) for value in (old, new)]
    if name in _GREATER and numbers[0] is not None and numbers[1] is not None:
        return ranked(numbers[0], numbers[1], more=_GREATER[name]) or Way.OTHER, words
    return Way.OTHER, f"{name.replace('_', ' ')} {words}"


def _set_way(more: Way, before: set[str], now: set[str]) -> Way:
    less = Way.WEAKER if more is Way.STRONGER else Way.STRONGER
    return more if now > before else less if now < before else Way.OTHER


def _value(stored: Any) -> Any:
    """Return an argument as it is shown; those that JSON does not hold are stored by their kind."""
    if isinstance(stored, dict) and len(stored) == 1:
        [content] = stored.values()
        return [_value(each) for each in content] if isinstance(content, list) else content
    return stored


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def settled_ways(old: Rule, new: Rule) -> Iterator[tuple[Way, str]]:
    """Yield how a rule about settled rows or the age of events moved."""
    for name in ("closes", "grace", "dated", "tz"):
        before, now = getattr(old, name), getattr(new, name)
        if before != now:
            yield Way.OTHER, f"{name} {moved(before, now)}"
    if old.holds_new is not new.holds_new:
        words = "new rows in a settled period fail" if new.holds_new else "new rows may be settled"
        yield (Way.STRONGER if new.holds_new else Way.WEAKER), words
