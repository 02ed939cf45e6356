"""Which versions may go, and why every other one stays; which releases the past is still told by. Pure, given `now`."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct, field

from assay.model import QUARANTINE, short
from assay.times import GRACE


class KeepRule(Struct, frozen=True, kw_only=True):
    """What is kept of each product: its last `versions` (at least one), and what readers saw within so many `days`."""

    versions: int = 10
    days: int = 30


class Stored(Struct, frozen=True, kw_only=True):
    """A version as far as keeping it goes; of rows set aside, `of` is the content that they are apart from."""

    id: str
    product: str
    key: str
    digest: str
    built_at: datetime
    good: bool
    of: str = ""


class Moved(Struct, frozen=True, kw_only=True):
    """A move of one pointer by a release, at a moment; a `version` of '' took the product away from its readers."""

    environment: str
    product: str
    version: str
    release: int
    at: datetime


class Seen(Struct, frozen=True, kw_only=True):
    """What readers of an environment see of a product, and what that replaced ('' for nothing)."""

    environment: str
    product: str
    version: str
    previous: str = ""


class Stock(Struct, frozen=True, kw_only=True):
    """What is there: versions in the order in which they were recorded, pointers, moves in the order of releases.

    `running` are the moments at which the living runs began, `claimed` what they build: product and key, '' for any.
    """

    versions: Sequence[Stored]
    seen: Sequence[Seen]
    moves: Sequence[Moved]
    running: Sequence[datetime] = ()
    claimed: Collection[tuple[str, str]] = ()


class Sorted(Struct, frozen=True, kw_only=True):
    """The versions that stay, each with why, and those that go, each with the moment until when readers saw it."""

    stay: Mapping[str, str] = field(default_factory=dict)
    go: Mapping[str, datetime] = field(default_factory=dict)


def since(rule: KeepRule, now: datetime, running: Iterable[datetime] = ()) -> datetime:
    """Return the moment since which all that readers saw is kept, and the past can be asked for."""
    return min(_before(now, timedelta(days=rule.days)), _before(now, GRACE), *running)


def _before(now: datetime, time: timedelta) -> datetime:
    try:
        return now - time
    except OverflowError:
        return datetime.min.replace(tzinfo=now.tzinfo)


def sort_out(stock: Stock, rule: KeepRule, now: datetime) -> Sorted:
    """Return which versions may go, and why each other one stays."""
    first = since(rule, now, stock.running)
    until = seen_until(stock.moves)
    stay: dict[str, str] = {}
    for id, why in _reasons(stock, rule, first, until):
        stay.setdefault(id, why)
    stay |= _beside(stock.versions, stay)
    gone = {
        v.id: until.get(v.id, ("", v.built_at))[1] or now
        for v in stock.versions
        if v.id not in stay
    }
    return Sorted(stay={v.id: stay[v.id] for v in stock.versions if v.id in stay}, go=gone)


def seen_until(moves: Iterable[Moved]) -> dict[str, tuple[str, datetime | None]]:
    """Return for each version the environment whose readers saw it last, and until when; None: they still do."""
    found: dict[str, tuple[str, datetime | None]] = {}
    for move, then in _with_next(moves):
        if not move.version:
            continue
        known = found.get(move.version)
        if known is None or (known[1] is not None and (then is None or then.at > known[1])):
            found[move.version] = (move.environment, then.at if then else None)
    return found


def _with_next(moves: Iterable[Moved]) -> Iterator[tuple[Moved, Moved | None]]:
    """Yield each move with the one that took readers on, if any did."""
    last: dict[tuple[str, str], Moved] = {}
    for move in moves:
        if before := last.get((move.environment, move.product)):
            yield before, move
        last[move.environment, move.product] = move
    for move in last.values():
        yield move, None


def _reasons(
    stock: Stock, rule: KeepRule, first: datetime, until: Mapping[str, tuple[str, datetime | None]]
) -> Iterator[tuple[str, str]]:
    """Yield versions that stay, with why; the strongest reasons first."""
    for seen in stock.seen:
        yield seen.version, f"readers of {seen.environment} see it"
    for seen in stock.seen:
        if seen.previous:
            yield (
                seen.previous,
                f"rules compare {short(seen.version)} with it in {seen.environment}",
            )
    for version in stock.versions:
        if {(version.product, ""), (version.product, version.key)}.intersection(stock.claimed):
            yield version.id, "a run is building this product"
    for id, (environment, end) in until.items():
        if end is None or end >= first:
            # Without a pointer there it can only be that somebody has put back a copy of the catalog.
            yield (
                id,
                f"readers of {environment} saw it until {end:%Y-%m-%d %H:%M}"
                if end
                else "it was released",
            )
    for version in stock.versions:
        if version.built_at >= first:
            yield version.id, f"built {version.built_at:%Y-%m-%d %H:%M}"
    declared = [
        version for version in stock.versions if version.product not in _retired(stock.moves)
    ]
    yield from _last(declared, rule.versions, f"one of the last {rule.versions}")
    good = [version for version in declared if version.good]
    yield from _last(good, rule.versions, f"one of the last {rule.versions} that are good")


def _retired(moves: Iterable[Moved]) -> set[str]:
    """Return the products that were taken away from readers everywhere: nothing of them is kept beyond its days."""
    last = {(move.environment, move.product): move.version for move in moves}
    return {product for _, product in last} - {
        product for (_, product), version in last.items() if version
    }


def _last(versions: Iterable[Stored], count: int, why: str) -> Iterator[tuple[str, str]]:
    of: dict[str, list[str]] = defaultdict(list)
    for version in versions:
        of[version.product].append(version.id)
    for ids in of.values():
        yield from ((id, why) for id in ids[-max(count, 1) :])


def _beside(versions: Sequence[Stored], stay: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of rows set aside that stay with the version that they were set aside of."""
    kept = {(v.product, v.digest): v.id for v in versions if v.id in stay}
    beside = f"__{QUARANTINE}"
    found = {}
    for version in versions:
        of = kept.get((version.product.removesuffix(beside), version.of))
        if of and version.product.endswith(beside) and version.id not in stay:
            found[version.id] = f"set aside of {short(of)}"
    return found


class Past(Struct, frozen=True, kw_only=True):
    """The moves that are no longer told, and, of each environment that lost any, the first release that is whole."""

    moves: Sequence[Moved] = ()
    first: Mapping[str, int] = field(default_factory=dict)


def shorten(moves: Sequence[Moved], first: datetime) -> Past:
    """Return which moves may go so that what readers saw since a moment can still be told, exactly."""
    old = [(move, then) for move, then in _with_next(moves) if then is not None and then.at < first]
    lost = {move.environment for move, _ in old}
    last = {m.environment: m.release for m in moves if m.at < first and m.environment in lost}
    return Past(moves=[move for move, _ in old], first=last)
