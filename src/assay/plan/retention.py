"""Which versions may go, and why every other one stays; which moves of the past may go. Pure, given `now`."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct, field

from assay.facts import short
from assay.model import QUARANTINE
from assay.times import GRACE


class KeepRule(Struct, frozen=True, kw_only=True):
    """What is kept of each product: its last `versions` (at least one), and what readers saw within so many `days`."""

    versions: int = 10
    days: int = 30


class StoredVersion(Struct, frozen=True, kw_only=True):
    """A version as far as keeping it goes; of rows set aside, `of` is the content that they are apart from."""

    id: str
    product: str
    key: str
    digest: str
    built_at: datetime
    good: bool
    of: str = ""


class PointerMove(Struct, frozen=True, kw_only=True):
    """A move of one pointer by a release, at a moment; a `version` of '' took the product away from its readers."""

    environment: str
    product: str
    version: str
    release: int
    at: datetime


class PublishedVersion(Struct, frozen=True, kw_only=True):
    """What readers of an environment see of a product, and what that replaced ('' for nothing)."""

    environment: str
    product: str
    version: str
    previous: str = ""


class RetentionInput(Struct, frozen=True, kw_only=True):
    """What is there: versions in the order in which they were recorded, pointers, moves in the order of releases.

    `running` are the moments at which the living runs began, `claimed` what they build: product and key, '' for any.
    """

    versions: Sequence[StoredVersion]
    seen: Sequence[PublishedVersion]
    moves: Sequence[PointerMove]
    running: Sequence[datetime] = ()
    claimed: Collection[tuple[str, str]] = ()


class KeptFor(StrEnum):
    """What a version is kept for."""

    PUBLISHED = "published"
    COMPARED = "compared"
    BEING_BUILT = "being built"
    SEEN_LATELY = "seen lately"
    RELEASED = "released"
    BUILT_LATELY = "built lately"
    ONE_OF_LAST = "one of the last"
    ONE_OF_LAST_GOOD = "one of the last good"
    SET_ASIDE = "set aside"


class KeepReason(Struct, frozen=True, kw_only=True):
    """Why one version is kept.

    `environment` is where readers see (or saw) it, `version` the one that is compared with it, or that its rows were
    set aside of; `moment` is until when readers saw it, or when it was built; `count` is how many are kept.
    """

    kept_for: KeptFor
    environment: str = ""
    version: str = ""
    moment: datetime | None = None
    count: int = 0

    def __str__(self) -> str:
        match self.kept_for:
            case KeptFor.PUBLISHED:
                return f"readers of {self.environment} see it"
            case KeptFor.COMPARED:
                return f"rules compare {short(self.version)} with it in {self.environment}"
            case KeptFor.BEING_BUILT:
                return "a run is building this product"
            case KeptFor.SEEN_LATELY:
                return f"readers of {self.environment} saw it until {self.moment:%Y-%m-%d %H:%M}"
            case KeptFor.RELEASED:
                return "it was released"
            case KeptFor.BUILT_LATELY:
                return f"built {self.moment:%Y-%m-%d %H:%M}"
            case KeptFor.ONE_OF_LAST:
                return f"one of the last {self.count}"
            case KeptFor.ONE_OF_LAST_GOOD:
                return f"one of the last {self.count} that are good"
            case KeptFor.SET_ASIDE:
                return f"set aside of {short(self.version)}"


class Retention(Struct, frozen=True, kw_only=True):
    """The versions that stay, each with why, and those that go, each with the moment until when readers saw it."""

    stay: Mapping[str, KeepReason] = field(default_factory=dict)
    go: Mapping[str, datetime] = field(default_factory=dict)


def kept_since(rule: KeepRule, now: datetime, running: Iterable[datetime] = ()) -> datetime:
    """Return the moment since which all that readers saw is kept, and the past can be asked for."""
    return min(_before(now, timedelta(days=rule.days)), _before(now, GRACE), *running)


def _before(now: datetime, time: timedelta) -> datetime:
    try:
        return now - time
    except OverflowError:
        return datetime.min.replace(tzinfo=now.tzinfo)


def plan_retention(stock: RetentionInput, rule: KeepRule, now: datetime) -> Retention:
    """Return which versions may go, and why each other one stays."""
    first = kept_since(rule, now, stock.running)
    until = seen_until(stock.moves)
    stay: dict[str, KeepReason] = {}
    for id, reason in _reasons(stock, rule, first, until):
        stay.setdefault(id, reason)
    stay |= _set_aside(stock.versions, stay)
    go = {
        version.id: until.get(version.id, ("", version.built_at))[1] or now
        for version in stock.versions
        if version.id not in stay
    }
    return Retention(stay={v.id: stay[v.id] for v in stock.versions if v.id in stay}, go=go)


def seen_until(moves: Iterable[PointerMove]) -> dict[str, tuple[str, datetime | None]]:
    """Return for each version the environment whose readers saw it last, and until when; None: they still do."""
    last_seen: dict[str, tuple[str, datetime | None]] = {}
    for move, following in _with_next(moves):
        if not move.version:
            continue
        until = following.at if following else None
        if move.version in last_seen:
            latest = last_seen[move.version][1]
            if latest is None or (until is not None and until <= latest):
                continue
        last_seen[move.version] = (move.environment, until)
    return last_seen


def _with_next(moves: Iterable[PointerMove]) -> Iterator[tuple[PointerMove, PointerMove | None]]:
    """Yield each move with the one that took readers on, if any did."""
    last: dict[tuple[str, str], PointerMove] = {}
    for move in moves:
        if before := last.get((move.environment, move.product)):
            yield before, move
        last[move.environment, move.product] = move
    for move in last.values():
        yield move, None


def _reasons(
    stock: RetentionInput,
    rule: KeepRule,
    first: datetime,
    until: Mapping[str, tuple[str, datetime | None]],
) -> Iterator[tuple[str, KeepReason]]:
    """Yield versions that stay, with why; the strongest reasons first."""
    for seen in stock.seen:
        yield (
            seen.version,
            KeepReason(kept_for=KeptFor.PUBLISHED, environment=seen.environment),
        )
    for seen in stock.seen:
        if seen.previous:
            compared = KeepReason(
                kept_for=KeptFor.COMPARED, environment=seen.environment, version=seen.version
            )
            yield seen.previous, compared
    for version in stock.versions:
        if {(version.product, ""), (version.product, version.key)}.intersection(stock.claimed):
            yield version.id, KeepReason(kept_for=KeptFor.BEING_BUILT)
    for id, (environment, end) in until.items():
        if end is None:
            # Without a pointer this can only be: somebody has put back a copy of the catalog.
            yield id, KeepReason(kept_for=KeptFor.RELEASED)
        elif end >= first:
            yield (
                id,
                KeepReason(kept_for=KeptFor.SEEN_LATELY, environment=environment, moment=end),
            )
    for version in stock.versions:
        if version.built_at >= first:
            yield version.id, KeepReason(kept_for=KeptFor.BUILT_LATELY, moment=version.built_at)
    retired = _retired(stock.moves)
    declared = [version for version in stock.versions if version.product not in retired]
    last = KeepReason(kept_for=KeptFor.ONE_OF_LAST, count=rule.versions)
    yield from ((id, last) for id in _last_ids(declared, rule.versions))
    good = [version for version in declared if version.good]
    last_good = KeepReason(kept_for=KeptFor.ONE_OF_LAST_GOOD, count=rule.versions)
    yield from ((id, last_good) for id in _last_ids(good, rule.versions))


def _retired(moves: Iterable[PointerMove]) -> set[str]:
    """Return the products that were taken away from readers everywhere: nothing of them is kept beyond its days."""
    last = {(move.environment, move.product): move.version for move in moves}
    published = {product for (_, product), version in last.items() if version}
    return {product for _, product in last} - published


def _last_ids(versions: Iterable[StoredVersion], count: int) -> Iterator[str]:
    """Yield the ids of the last `count` versions of each product, at least one."""
    ids_of_product: dict[str, list[str]] = defaultdict(list)
    for version in versions:
        ids_of_product[version.product].append(version.id)
    for ids in ids_of_product.values():
        yield from ids[-max(count, 1) :]


def _set_aside(
    versions: Sequence[StoredVersion], stay: Mapping[str, KeepReason]
) -> dict[str, KeepReason]:
    """Return the versions of rows set aside that stay with the version that they were set aside of."""
    staying = {(v.product, v.digest): v.id for v in versions if v.id in stay}
    suffix = f"__{QUARANTINE}"
    reasons = {}
    for version in versions:
        origin = staying.get((version.product.removesuffix(suffix), version.of))
        if origin and version.product.endswith(suffix) and version.id not in stay:
            reasons[version.id] = KeepReason(kept_for=KeptFor.SET_ASIDE, version=origin)
    return reasons


class ForgottenMoves(Struct, frozen=True, kw_only=True):
    """The moves that may be forgotten, and the first whole release of each environment that lost any."""

    moves: Sequence[PointerMove] = ()
    first: Mapping[str, int] = field(default_factory=dict)


def moves_to_forget(moves: Sequence[PointerMove], first: datetime) -> ForgottenMoves:
    """Return the moves that may go; what readers saw since `first` still follows exactly from the others."""
    old = [
        move
        for move, following in _with_next(moves)
        if following is not None and following.at < first
    ]
    environments = {move.environment for move in old}
    last = {
        m.environment: m.release for m in moves if m.at < first and m.environment in environments
    }
    return ForgottenMoves(moves=old, first=last)
