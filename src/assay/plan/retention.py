"""Which versions and moves may be removed, and why other versions are kept; pure, given `now`."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct, field

from assay.facts import short
from assay.model import QUARANTINE
from assay.times import GRACE


class KeepRule(Struct, frozen=True, kw_only=True):
    """What is kept of each product.

    - `versions`: how many of its last versions, at least one.
    - `days`: for how many days a version is kept after it was published or built.
    """

    versions: int = 10
    days: int = 30


class StoredVersion(Struct, frozen=True, kw_only=True):
    """What retention needs to know of a version.

    - `key`: digest of the key.
    - `passed`: whether it may be published.
    - `of`: for rows set aside, the content digest of the version that they were set aside of; else
      ''.
    """

    id: str
    product: str
    key: str
    digest: str
    built_at: datetime
    passed: bool
    of: str = ""


class PointerMove(Struct, frozen=True, kw_only=True):
    """A move of one pointer by a release.

    A `version` of '' took the product away from its readers.
    """

    environment: str
    product: str
    version: str
    release: int
    at: datetime


class PublishedVersion(Struct, frozen=True, kw_only=True):
    """The published version of a product in an environment.

    `previous` is the version that it replaced; '' for none. `built_on` is the content digest of the
    version that it read as `previous`, if it reads one; else ''.
    """

    environment: str
    product: str
    version: str
    previous: str = ""
    built_on: str = ""


class RetentionInput(Struct, frozen=True, kw_only=True):
    """Everything that retention decides on.

    - `versions`: in the order in which they were recorded.
    - `published`: what the pointers of all environments are at.
    - `moves`: in the order of releases.
    - `running`: when each run in progress began.
    - `approved`: versions that somebody approved, and that no release has published since.
    - `claimed`: what these runs build: product and key digest, '' for any key.
    """

    versions: Sequence[StoredVersion]
    published: Sequence[PublishedVersion]
    moves: Sequence[PointerMove]
    running: Sequence[datetime] = ()
    claimed: Collection[tuple[str, str]] = ()
    approved: Collection[str] = ()


class KeptFor(StrEnum):
    """The kinds of reasons to keep a version."""

    PUBLISHED = "published"
    COMPARED = "compared"
    BUILT_ON = "built on"
    BEING_BUILT = "being built"
    APPROVED = "approved"
    SEEN_LATELY = "seen lately"
    RELEASED = "released"
    BUILT_LATELY = "built lately"
    ONE_OF_LAST = "one of the last"
    ONE_OF_LAST_GOOD = "one of the last good"
    SET_ASIDE = "set aside"


class KeepReason(Struct, frozen=True, kw_only=True):
    """Why a version is kept.

    - `environment`: where the version is, or was, published.
    - `version`: the version that rules compare with it, that was built on it, or that its rows were
      set aside of.
    - `moment`: until when it was published, or when it was built.
    - `count`: how many versions are kept.
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
            case KeptFor.BUILT_ON:
                return (
                    f"{short(self.version)} was built on it, and is published in {self.environment}"
                )
            case KeptFor.BEING_BUILT:
                return "a run is building this product"
            case KeptFor.APPROVED:
                return "it was approved, and waits to be published"
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
    """The versions to keep, each with the reason, and the versions to remove.

    Each version in `go` has the moment until which it was published; a version that never was has
    the moment it was built.
    """

    stay: Mapping[str, KeepReason] = field(default_factory=dict)
    go: Mapping[str, datetime] = field(default_factory=dict)


def kept_since(rule: KeepRule, now: datetime, running: Iterable[datetime] = ()) -> datetime:
    """Return the moment since which every published version is kept, to be read as of then."""
    return min(_before(now, timedelta(days=rule.days)), _before(now, GRACE), *running)


def _before(now: datetime, time: timedelta) -> datetime:
    try:
        return now - time
    except OverflowError:
        return datetime.min.replace(tzinfo=now.tzinfo)


def plan_retention(stock: RetentionInput, rule: KeepRule, now: datetime) -> Retention:
    """Return which versions may be removed, and why each other version is kept."""
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
    """Return which environment published each version last, and until when.

    None stands for a version that is still published.
    """
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
    """Yield each move with the next move of the same pointer; None when there is none."""
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
    """Yield versions to keep, with the reason; the strongest reasons come first."""
    for published in stock.published:
        environment = published.environment
        yield published.version, KeepReason(kept_for=KeptFor.PUBLISHED, environment=environment)
    for published in stock.published:
        if published.previous:
            environment, version = published.environment, published.version
            reason = KeepReason(kept_for=KeptFor.COMPARED, environment=environment, version=version)
            yield published.previous, reason
    newest = {(stored.product, stored.digest): stored.id for stored in stock.versions}
    for published in stock.published:
        if below := newest.get((published.product, published.built_on)):
            environment, version = published.environment, published.version
            reason = KeepReason(kept_for=KeptFor.BUILT_ON, environment=environment, version=version)
            yield below, reason
    for stored in stock.versions:
        if {(stored.product, ""), (stored.product, stored.key)}.intersection(stock.claimed):
            yield stored.id, KeepReason(kept_for=KeptFor.BEING_BUILT)
    for id in stock.approved:
        yield id, KeepReason(kept_for=KeptFor.APPROVED)
    for id, (environment, end) in until.items():
        if end is None:
            # A version can be the last one released and have no pointer when a copy of the
            # catalog was restored.
            yield id, KeepReason(kept_for=KeptFor.RELEASED)
        elif end >= first:
            reason = KeepReason(kept_for=KeptFor.SEEN_LATELY, environment=environment, moment=end)
            yield id, reason
    for stored in stock.versions:
        if stored.built_at >= first:
            yield stored.id, KeepReason(kept_for=KeptFor.BUILT_LATELY, moment=stored.built_at)
    retired = _retired(stock.moves)
    declared = [stored for stored in stock.versions if stored.product not in retired]
    last = KeepReason(kept_for=KeptFor.ONE_OF_LAST, count=rule.versions)
    yield from ((id, last) for id in _last_ids(declared, rule.versions))
    passed = [stored for stored in declared if stored.passed]
    last_passed = KeepReason(kept_for=KeptFor.ONE_OF_LAST_GOOD, count=rule.versions)
    yield from ((id, last_passed) for id in _last_ids(passed, rule.versions))


def _retired(moves: Iterable[PointerMove]) -> set[str]:
    """Return products published nowhere any more; only `days` protects their versions."""
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
    """Return the versions of rows that were set aside from a version which is kept."""
    staying = {(v.product, v.digest): v.id for v in versions if v.id in stay}
    suffix = f"__{QUARANTINE}"
    reasons = {}
    for version in versions:
        origin = staying.get((version.product.removesuffix(suffix), version.of))
        if origin and version.product.endswith(suffix) and version.id not in stay:
            reasons[version.id] = KeepReason(kept_for=KeptFor.SET_ASIDE, version=origin)
    return reasons


class ForgottenMoves(Struct, frozen=True, kw_only=True):
    """The moves to forget.

    - `first`: the first release whose pointers are still known, of each environment that loses
      moves and keeps others.
    - `environments`: those that were dropped, and that nobody asks about any more.
    """

    moves: Sequence[PointerMove] = ()
    first: Mapping[str, int] = field(default_factory=dict)
    environments: Collection[str] = ()


def moves_to_forget(
    moves: Sequence[PointerMove], first: datetime, dropped: Mapping[str, datetime] | None = None
) -> ForgottenMoves:
    """Return the moves that are not needed to know what was published at any time since `first`.

    All moves of an environment that was `dropped` (when) before that are not needed.
    """
    gone = {name for name, at in (dropped or {}).items() if at < first}
    old = [
        move
        for move, following in _with_next(moves)
        if move.environment in gone or (following is not None and following.at < first)
    ]
    environments = {move.environment for move in old} - gone
    last = {
        m.environment: m.release for m in moves if m.at < first and m.environment in environments
    }
    return ForgottenMoves(moves=old, first=last, environments=gone)
