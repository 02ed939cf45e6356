"""Of promises that are called 80 % likely, 70 to 90 % are kept, on days the estimate has not seen."""

import csv
import gzip
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from math import exp
from pathlib import Path

import pytest

from assay.facts import Arrival
from assay.plan.forecast import Experience, Remaining, forecasts
from assay.plan.graph import Graph
from assay.plan.habits import habit
from assay.plan.queueing import Night, ends
from tests.plan.test_graph import of

DROPS = Path(__file__).parents[2] / "fixtures" / "retail"
START = datetime(2011, 12, 1, 20, tzinfo=UTC)

Times = Mapping[str, float]
Judged = tuple[float, bool]  # the probability that a promise was given, and whether it was kept
# What is called so likely, and the share of it that may be kept: the bar is the middle row.
BINS = {
    "50 %": (0.42, 0.58, 0.33, 0.67),
    "80 %": (0.75, 0.85, 0.70, 0.90),
    "95 %": (0.92, 0.98, 0.88, 1.0),
}


def table(judged: Sequence[Judged]) -> str:
    """Return how many of the promises that were called so likely were kept, as a table."""
    rows = ["called        promises  kept"]
    edges = (0.0, 0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1.0)
    for low, high in pairwise(edges):
        kept = [was for called, was in judged if low <= called < high]
        if kept:
            share = sum(kept) / len(kept)
            rows.append(f"{low:5.0%} to {high:4.0%}  {len(kept):8,}  {share:5.1%}")
    return "\n".join(rows)


def assert_calibrated(judged: Sequence[Judged], *, least: int = 60) -> None:
    for name, (low, high, fewest, most) in BINS.items():
        kept = [was for called, was in judged if low <= called <= high]
        assert len(kept) >= least, f"only {len(kept)} promises were called {name} likely"
        share = sum(kept) / len(kept)
        assert fewest <= share <= most, (
            f"of {len(kept)} promises called {name} likely {share:.1%} were kept\n{table(judged)}"
        )


# ------------------------------------------------------------------------- simulated nights


GRAPHS = {
    "a chain": of(m__a="s.raw", m__b="m.a", m__c="m.b", m__d="m.c", m__e="m.d"),
    "a fan": of(
        **{f"m__p{n}": "s.raw" for n in range(12)},
        m__top=" ".join(f"m.p{n}" for n in range(12)),
    ),
    "two sources": of(m__a="s.raw", m__b="s.other", m__c="m.a m.b", m__d="m.c", m__e="m.b"),
}
LAYERS = of(
    **{
        f"m__p{layer}{n}": f"m.p{layer - 1}{n} m.p{layer - 1}{(n + 1) % 6}" if layer else "s.raw"
        for layer in range(4)
        for n in range(6)
    }
)
GRAPHS["layers"] = LAYERS


class World:
    """Nights of a graph: durations with a common factor, a trend, weekdays, and heavy tails."""

    def __init__(self, graph: Graph, seed: int, *, trend: float, spread: float) -> None:
        self.graph, self.random = graph, random.Random(seed)
        self.trend, self.spread = trend, spread
        self.usual = {name: self.random.lognormvariate(4.5, 0.8) for name in graph.order}
        self.sources = sorted(
            {r for p in graph.products.values() for r in p.reads if r not in graph.products}
        )

    def night(self, number: int) -> tuple[dict[str, float], dict[str, float]]:
        """Return how long each product takes, and when each drop comes after it is expected."""
        common = self.random.gauss(0, self.spread / 2) + self.trend * number
        common += 0.15 if number % 7 == 0 else 0.0
        takes = {}
        for name, usual in self.usual.items():
            takes[name] = usual * exp(common + self.random.gauss(0, self.spread))
            if self.random.random() < 0.03:
                takes[name] *= 1 + self.random.paretovariate(1.5)
        comes = {}
        for source in self.sources:
            comes[source] = self.random.gauss(0, 300)
            if self.random.random() < 0.1:
                comes[source] += self.random.expovariate(1 / 1200)
        return takes, comes


def nights(world: World, first: int, last: int) -> Iterator[Judged]:
    """Yield what was said of each promise of the nights, and whether it was kept."""
    past = [world.night(number) for number in range(first)]
    dice = random.Random(7)
    graph = world.graph
    for number in range(first, last):
        takes, comes = world.night(number)
        there = ends(
            graph,
            Night(
                order=graph.order,
                takes=takes,
                comes={s: c + 3600 for s, c in comes.items()},
                jobs=3,
            ),
        )
        asked = dice.choice([0.0, 1800.0, 3600.0, 4200.0])
        yield from ask(world, past, there, takes, comes, asked, dice)
        past.append((takes, comes))


def ask(
    world: World,
    past: Sequence[tuple[Times, Times]],
    there: Times,
    takes: Times,
    comes: Times,
    asked: float,
    dice: random.Random,
) -> Iterator[Judged]:
    graph = world.graph
    now = START + timedelta(seconds=asked)
    came = {source for source, at in comes.items() if at + 3600 <= asked}
    to_build = [n for n in graph.order if there[n] > asked]
    running = {
        name: START + timedelta(seconds=there[name] - takes[name])
        for name in to_build
        if there[name] - takes[name] < asked
    }
    experience = Experience(
        durations={n: [t[n] for t, _ in past] for n in graph.order},
        arrivals={s: [c[s] for _, c in past] for s in world.sources},
    )
    dues = {}
    for name in to_build:
        work = sum(world.usual[u] for u in graph.upstream(name) | {name} if u in world.usual)
        due = 3600 + work * dice.uniform(0.2, 2.5) + dice.uniform(-300, 1500)
        if due > asked:
            dues[name] = START + timedelta(seconds=due)
    said = forecasts(
        graph,
        now,
        dues,
        remaining=Remaining(
            to_build=to_build,
            awaited={s: START + timedelta(hours=1) for s in world.sources if s not in came},
            jobs=3,
            running=running,
        ),
        experience=experience,
    )
    for name, forecast in said.items():
        assert forecast.probability is not None
        yield forecast.probability, START + timedelta(seconds=there[name]) <= dues[name]


# What nights are like: how much longer builds take each night, and the spread of the logarithm.
KINDS = {
    "steady": (0.0, 0.15),
    "growing": (0.01, 0.25),
    "erratic": (0.0, 0.5),
    "shrinking": (-0.005, 0.1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_simulated_nights(kind: str) -> None:
    trend, spread = KINDS[kind]
    judged: list[Judged] = []
    for seed, graph in enumerate(GRAPHS.values()):
        judged += nights(World(graph, seed, trend=trend, spread=spread), 6, 46)
    assert_calibrated(judged)


# ------------------------------------------------------------------------- the shop's drops


def last_invoices() -> dict[date, datetime]:
    """Return when the last invoice of each day was written: when its drop could be there."""
    last: dict[date, datetime] = {}
    for file in sorted(DROPS.glob("*.csv.gz")):
        with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
            moments = [datetime.fromisoformat(row["InvoiceDate"]) for row in csv.DictReader(lines)]
        last[date.fromisoformat(file.name[:10])] = max(moments).replace(tzinfo=UTC)
    return last


def midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC)


def test_the_drops_of_the_shop() -> None:
    """Each day is judged by the days before it, at several hours, for promises at many times."""
    came = last_invoices()
    times = {f"s.at{minutes}": timedelta(minutes=minutes) for minutes in range(9 * 60, 22 * 60, 15)}
    judged: list[Judged] = []
    for day in list(came)[6:]:
        arrivals = [
            Arrival(source="s.raw", part=str(earlier), at=at, seen=at)
            for earlier, at in came.items()
            if earlier < day
        ]
        for hour in (9.0, 15.0, 17.0, 17.5, 18.0):
            now = midnight(day) + timedelta(hours=hour)
            if came[day] > now:
                found = habit(arrivals, None, day, tz="UTC", now=now)
                dues = {n: midnight(day) + t for n, t in times.items() if midnight(day) + t > now}
                said = forecasts(
                    of(m__a="s.raw"),
                    now,
                    dues,
                    remaining=Remaining(awaited=dict.fromkeys(dues, found.since)),
                    experience=Experience(arrivals=dict.fromkeys(dues, found.offsets)),
                )
                judged += [(p.probability or 0.0, came[day] <= dues[n]) for n, p in said.items()]
    assert_calibrated(judged)
