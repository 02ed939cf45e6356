"""Which versions may go: a table of cases, and properties that hold of every history."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from assay.plan.retention import (
    GRACE,
    ForgottenMoves,
    KeepReason,
    KeepRule,
    KeptFor,
    PointerMove,
    PublishedVersion,
    RetentionInput,
    StoredVersion,
    kept_since,
    moves_to_forget,
    plan_retention,
)
from tests.conftest import effort

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def version(
    number: int, days: float, product: str = "d.p", *, good: bool = True, of: str = ""
) -> StoredVersion:
    id = f"{product}-{number}"
    return StoredVersion(
        id=id,
        product=product,
        key=f"k{number}",
        digest=f"c{number}",
        built_at=NOW - days * DAY,
        passed=good,
        of=of,
    )


def daily(count: int, product: str = "d.p") -> list[StoredVersion]:
    """A version a day, the last of them built an hour and a day ago."""
    return [version(n, count - n + 1 / 24, product) for n in range(count)]


def moves_of(versions: list[StoredVersion], environment: str = "prod") -> list[PointerMove]:
    return [
        PointerMove(
            environment=environment, product=v.product, version=v.id, release=n, at=v.built_at
        )
        for n, v in enumerate(versions, 1)
    ]


def stock(
    versions: list[StoredVersion], moves: list[PointerMove] | None = None, **more: object
) -> RetentionInput:
    moves = moves_of([v for v in versions if v.passed]) if moves is None else moves
    last = {(m.environment, m.product): m.version for m in moves}
    published = [
        PublishedVersion(environment=e, product=p, version=v) for (e, p), v in last.items()
    ]
    return RetentionInput(versions=versions, moves=moves, **{"published": published, **more})


def kept(stock: RetentionInput, versions: int = 1, days: int = 0) -> dict[int, KeepReason]:
    told = plan_retention(stock, KeepRule(versions=versions, days=days), NOW)
    assert told.stay.keys() | told.go.keys() == {v.id for v in stock.versions}
    assert not told.stay.keys() & told.go.keys()
    return {int(id.rpartition("-")[2]): why for id, why in told.stay.items()}


def test_the_last_ones_and_what_readers_saw_lately_stay() -> None:
    assert set(kept(stock(daily(20)))) == {19}
    assert set(kept(stock(daily(20)), versions=3)) == {17, 18, 19}
    # 15 was built an hour more than five days ago, and seen for a day.
    assert set(kept(stock(daily(20)), days=5)) == {15, 16, 17, 18, 19}
    reason = kept(stock(daily(20)), days=5)[15]
    assert (reason.kept_for, reason.environment) == (KeptFor.SEEN_LATELY, "prod")
    assert str(reason) == f"readers of prod saw it until {reason.moment:%Y-%m-%d %H:%M}"
    assert len(kept(stock(daily(20)), versions=1, days=36_500)) == 20


def test_what_another_environment_sees_stays_and_so_does_what_rules_compare_with() -> None:
    versions = daily(20)
    other = PublishedVersion(environment="dev", product="d.p", version="d.p-3", previous="d.p-2")
    prod = PublishedVersion(environment="prod", product="d.p", version="d.p-19")
    told = kept(stock(versions, published=[prod, other]))
    assert told == {
        2: KeepReason(kept_for=KeptFor.COMPARED, environment="dev", version="d.p-3"),
        3: KeepReason(kept_for=KeptFor.PUBLISHED, environment="dev"),
        19: KeepReason(kept_for=KeptFor.PUBLISHED, environment="prod"),
    }
    assert [str(told[number]) for number in (2, 3, 19)] == [
        "rules compare d.p-3 with it in dev",
        "readers of dev see it",
        "readers of prod see it",
    ]


def test_good_ones_are_not_pushed_out_by_failures() -> None:
    versions = [version(n, 100 - n, good=n < 5) for n in range(60)]
    told = kept(stock(versions, versions[:0], published=[]), versions=3)
    assert set(told) == {2, 3, 4, 57, 58, 59}
    assert told[4] == KeepReason(kept_for=KeptFor.ONE_OF_LAST_GOOD, count=3)
    assert str(told[4]) == "one of the last 3 that are good"


def test_a_living_run_keeps_what_it_may_have_seen() -> None:
    versions = daily(20)
    assert set(kept(stock(versions, running=[NOW - 4 * DAY]))) == {16, 17, 18, 19}
    assert len(kept(stock(versions, claimed={("d.p", "")}))) == 20
    assert set(kept(stock(versions, claimed={("d.p", "k4"), ("d.q", "k5")}))) == {4, 19}


def test_rows_set_aside_stay_with_what_they_were_set_aside_of() -> None:
    name = "d.p__quarantine"
    beside = [version(n, 50 - n, name, of=f"c{n}") for n in range(10)]
    told = plan_retention(
        stock([*daily(20), *beside], moves_of(daily(20))), KeepRule(versions=12, days=0), NOW
    )
    assert told.stay[f"{name}-8"].kept_for is KeptFor.ONE_OF_LAST
    narrow = plan_retention(
        stock(
            [*daily(20), *beside],
            [],
            published=[PublishedVersion(environment="x", product="d.p", version="d.p-4")],
        ),
        KeepRule(versions=1, days=0),
        NOW,
    )
    assert narrow.stay[f"{name}-4"] == KeepReason(kept_for=KeptFor.SET_ASIDE, version="d.p-4")
    assert str(narrow.stay[f"{name}-4"]) == "set aside of d.p-4"
    assert f"{name}-3" in narrow.go


def test_what_goes_says_until_when_it_was_seen() -> None:
    versions = daily(5)
    told = plan_retention(stock(versions), KeepRule(versions=1, days=1), NOW)
    assert told.go["d.p-2"] == versions[3].built_at


# ---------------------------------------------------------------------------------------------- any history


@st.composite
def histories(draw: st.DrawFn) -> tuple[RetentionInput, KeepRule, datetime]:
    """Versions of a few products, released together and apart, back and forth, in two environments."""
    versions: list[StoredVersion] = []
    moves: list[PointerMove] = []
    at, release = NOW - 60 * DAY, 0
    pointers: dict[tuple[str, str], PublishedVersion] = {}
    for _ in range(draw(st.integers(0, 40))):
        at = min(at + draw(st.integers(0, 72)) * timedelta(hours=1), NOW)
        product = draw(st.sampled_from(["a.x", "a.y", "a.z"]))
        if draw(st.booleans()) or not versions:
            made = version(len(versions), 0, product, good=draw(st.booleans()))
            versions.append(replace(made, built_at=at))
        else:
            chosen = draw(
                st.lists(
                    st.sampled_from(versions), min_size=1, max_size=3, unique_by=lambda v: v.product
                )
            )
            environment, release = draw(st.sampled_from(["prod", "dev"])), release + 1
            for one in chosen:
                if draw(st.integers(0, 9)) == 9:  # it is retired
                    pointers.pop((environment, one.product), None)
                    gone = PointerMove(
                        environment=environment,
                        product=one.product,
                        version="",
                        release=release,
                        at=at,
                    )
                    moves.append(gone)
                    continue
                before = pointers.get((environment, one.product))
                previous = before.version if before and draw(st.booleans()) else ""
                pointers[environment, one.product] = PublishedVersion(
                    environment=environment, product=one.product, version=one.id, previous=previous
                )
                moves.append(
                    PointerMove(
                        environment=environment,
                        product=one.product,
                        version=one.id,
                        release=release,
                        at=at,
                    )
                )
    running = draw(st.lists(st.integers(0, 50).map(lambda n: NOW - n * DAY), max_size=2))
    claimed = draw(
        st.sets(
            st.tuples(st.sampled_from(["a.x", "a.y"]), st.sampled_from(["", "k1", "k3"])),
            max_size=2,
        )
    )
    made = RetentionInput(
        versions=versions,
        moves=moves,
        published=list(pointers.values()),
        running=running,
        claimed=claimed,
    )
    return made, KeepRule(versions=draw(st.integers(1, 4)), days=draw(st.integers(0, 40))), NOW


def seen_at(moves: list[PointerMove], environment: str, last: int) -> dict[str, str]:
    """What readers of an environment saw as of a release, worked out the plain way."""
    return {
        m.product: m.version for m in moves if m.environment == environment and m.release <= last
    }


@settings(max_examples=effort(40, 100, 100), deadline=None)
@given(histories())
def test_nothing_that_a_rule_keeps_goes(case: tuple[RetentionInput, KeepRule, datetime]) -> None:
    keeps_what_it_must(*case)


def keeps_what_it_must(made: RetentionInput, rule: KeepRule, now: datetime) -> None:
    told, first = plan_retention(made, rule, now), kept_since(rule, now, made.running)
    assert told == plan_retention(made, rule, now), "the same again"
    assert first <= now - GRACE
    assert first <= now - rule.days * DAY
    gone = set(told.go)
    assert not gone & {s.version for s in made.published}
    assert not gone & {s.previous for s in made.published}
    last = {(m.environment, m.product): m.version for m in made.moves}
    for product in {v.product for v in made.versions}:
        if (ends := {v for (_, of), v in last.items() if of == product}) and not any(ends):
            continue  # it was retired everywhere
        of = [v for v in made.versions if v.product == product]
        assert not gone & {v.id for v in of[-rule.versions :]}
        assert not gone & {v.id for v in [v for v in of if v.passed][-rule.versions :]}
    # Whatever readers saw at any moment of the window, in either environment, is there.
    for environment in ("prod", "dev"):
        releases = {m.release: m.at for m in made.moves if m.environment == environment}
        before = [r for r, at in releases.items() if at < first]
        for release in [*before[-1:], *(r for r, at in releases.items() if at >= first)]:
            assert not gone & set(seen_at(list(made.moves), environment, release).values())
    assert not gone & {v.id for v in made.versions if v.built_at >= first}
    assert not gone & {
        v.id
        for v in made.versions
        if (v.product, v.key) in made.claimed or (v.product, "") in made.claimed
    }


@settings(max_examples=effort(60, 200, 200), deadline=None)
@given(histories())
def test_the_past_is_told_exactly_since_it_is_told(
    case: tuple[RetentionInput, KeepRule, datetime],
) -> None:
    made, rule, now = case
    past: ForgottenMoves = moves_to_forget(made.moves, kept_since(rule, now, made.running))
    left = [move for move in made.moves if move not in past.moves]
    assert {m.environment for m in past.moves} == set(past.first)
    for environment in ("prod", "dev"):
        for release in {m.release for m in made.moves if m.environment == environment}:
            if release >= past.first.get(environment, 0):
                then = seen_at(list(made.moves), environment, release)
                assert seen_at(left, environment, release) == then
    # And no more than that: of each product in each environment, one move at most is older than the window.
    old = [(m.environment, m.product) for m in left if m.at < kept_since(rule, now, made.running)]
    assert len(set(old)) == len(old)
    again = moves_to_forget(left, kept_since(rule, now, made.running))
    assert not again.moves


@pytest.mark.parametrize("broken", ["pointers", "previous", "window"])
@pytest.mark.long
def test_the_properties_catch_a_rule_that_is_left_out(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a rule that is taken out is missed by the property above."""
    import assay.plan.retention as module

    plain = module._reasons
    left_out = {
        # A pointer is a move without an end, too.
        "pointers": {KeptFor.PUBLISHED, KeptFor.RELEASED},
        "previous": {KeptFor.COMPARED},
        "window": {KeptFor.SEEN_LATELY},
    }[broken]
    monkeypatch.setattr(
        module,
        "_reasons",
        lambda *given: (
            (id, reason) for id, reason in plain(*given) if reason.kept_for not in left_out
        ),
    )
    any_history = settings(max_examples=400, deadline=None, database=None, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        any_history(given(histories())(lambda case: keeps_what_it_must(*case)))()
