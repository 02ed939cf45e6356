"""How many promises are kept when there is more work than time: ours beside other orders of work.

    python -m benchmarks.promises --graphs 100

Replays nights in a simulated clock, with the queue of a run (`build.ready`) and what decides what goes first
(`plan.urgency`): the week of the example from 2011-12-05 on, and random graphs with more work than can be done until
all promises fall due. Each product is published as it is ready. With noise, products take other times than expected.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush

from assay.build.ready import Ready
from assay.declare.project import open_project
from assay.model import Code, Contract, Input, Kind, Product, Where
from assay.plan.graph import Graph
from assay.plan.urgency import Rank, Urgency, order_of_work
from benchmarks.measure import ROOT, head, options, row

BAR = 1.8  # times the promises that FIFO keeps
START = datetime(2011, 12, 5, 21, 30, tzinfo=UTC)
_NOISE = 0.3  # standard deviation of the logarithm of a duration
_DUES = (0.2, 0.9)  # when promises fall due, as shares of the time that all work takes
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Night:
    """Products to build, how many minutes each takes, and until when some are promised."""

    graph: Graph
    minutes: Mapping[str, float]
    dues: Mapping[str, datetime]
    start: datetime
    jobs: int


# A policy gets the night, the minutes that each unfinished product still takes, and the time.
Policy = Callable[[Night, Mapping[str, float], datetime], Mapping[str, Urgency]]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--graphs", type=int, default=100, help="number of random graphs")
    told = parser.parse_args()
    week, graphs = retail_week(), [random_night(seed) for seed in range(told.graphs)]
    numbers = [sum(len(night.dues) for night in nights) for nights in (week, graphs)]
    title = f"Promises kept, of {numbers[0]:,} in the retail week and {numbers[1]:,} of {told.graphs} random graphs"
    head(title, ["order", "retail week", "with noise", "random graphs", "with noise", "/ FIFO"])
    kept = {name: kept_shares(week, graphs, policy) for name, policy in POLICIES.items()}
    for name, shares in kept.items():
        ratio = shares[2] / kept["first in, first out"][2]
        row([name, *(f"{share:.1%}" for share in shares), f"{ratio:.2f}"])
    print(f"\nBar: ours at least {BAR} x FIFO on random graphs.")


def kept_shares(week: Sequence[Night], graphs: Sequence[Night], policy: Policy) -> list[float]:
    """Return the shares of promises that are kept: of the week and of the graphs, each without and with noise."""
    return [
        share_kept(nights, policy, noise) for nights in (week, graphs) for noise in (0.0, _NOISE)
    ]


def share_kept(nights: Sequence[Night], policy: Policy, noise: float = 0.0) -> float:
    """Return the share of the promises of nights that are kept."""
    kept = sum(simulate(night, policy, noise, seed) for seed, night in enumerate(nights))
    return kept / sum(len(night.dues) for night in nights)


def simulate(night: Night, policy: Policy, noise: float, seed: int) -> int:
    """Return how many promises of a night are kept."""
    rng, products, now = random.Random(seed), night.graph.products, night.start
    takes = {n: m * rng.lognormvariate(0, noise) for n, m in sorted(night.minutes.items())}
    inputs = {name: len(product.reads) for name, product in products.items()}
    ready = Ready(name for name in night.graph.order if not inputs[name])
    running: list[tuple[datetime, str]] = []
    begun: dict[str, datetime] = {}
    left, kept = dict(night.minutes), 0
    while ready or running:
        while ready and len(running) < night.jobs:
            passed = {name: (now - at) / _MINUTE for name, at in begun.items()}
            rest = {name: max(0.0, left[name] - passed.get(name, 0.0)) for name in left}
            ready.reorder(policy(night, rest, now))
            name = ready.pop()
            begun[name] = now
            heappush(running, (now + takes[name] * _MINUTE, name))
        now, name = heappop(running)
        del left[name], begun[name]
        kept += name in night.dues and now <= night.dues[name]
        for reader in night.graph.below.get(name, ()):
            inputs[reader] -= 1
            if not inputs[reader]:
                ready.add(reader)
    return kept


# --------------------------------------------------------------------------------------- policies


def first_in_first_out(
    night: Night, left: Mapping[str, float], now: datetime
) -> Mapping[str, Urgency]:
    return {}


def least_slack(night: Night, left: Mapping[str, float], now: datetime) -> Mapping[str, Urgency]:
    """What has to start earliest to keep a promise downstream goes first."""
    starts: dict[str, datetime] = {}
    for name in reversed(night.graph.order):
        if name in left:
            latest = [starts[reader] for reader in night.graph.below.get(name, ())]
            latest += [night.dues[name]] if name in night.dues else []
            end = min(latest, default=datetime.max.replace(tzinfo=UTC))
            starts[name] = end - left[name] * _MINUTE
    return {name: Urgency(Rank.KEPT, start) for name, start in starts.items()}


def earliest_promise(
    night: Night, left: Mapping[str, float], now: datetime
) -> Mapping[str, Urgency]:
    """What the earliest promise downstream needs goes first, also if it is lost."""
    return order_of_work(
        night.graph, left, night.dues, {}, datetime.min.replace(tzinfo=UTC)
    ).urgencies


def ours(night: Night, left: Mapping[str, float], now: datetime) -> Mapping[str, Urgency]:
    seconds = {name: minutes * 60 for name, minutes in left.items()}
    return order_of_work(night.graph, left, night.dues, seconds, now, jobs=night.jobs).urgencies


POLICIES: Mapping[str, Policy] = {
    "first in, first out": first_in_first_out,
    "least slack": least_slack,
    "earliest promise downstream": earliest_promise,
    "ours: lost promises demoted": ours,
}

# ----------------------------------------------------------------------------------------- nights


def random_night(seed: int) -> Night:
    """Return a random graph in layers, with promises on what nothing reads and some others."""
    rng = random.Random(seed)
    numbers, depth = range(rng.randint(30, 80)), rng.randint(3, 7)
    layers = sorted(rng.randrange(depth) for _ in numbers)
    reads: dict[str, list[str]] = {}
    for number in numbers:
        above = [f"p{i:02}" for i in numbers if layers[i] < layers[number]]
        reads[f"p{number:02}"] = rng.sample(above, min(len(above), rng.choice([1, 1, 2, 2, 3])))
    graph = Graph({name: _product(name, inputs) for name, inputs in reads.items()}, {})
    minutes = {name: min(60.0, rng.lognormvariate(1.2, 1.0)) for name in reads}
    ends = [name for name in reads if name not in graph.below]
    promised = {*rng.sample(ends, len(ends) // 2), *rng.sample(sorted(reads), len(reads) // 10)}
    return _night(graph, minutes, promised, START, rng, jobs=rng.randint(1, 4))


def retail_week() -> list[Night]:
    """Return the nights of the week: all products of the example, promised where somebody decides by them."""
    graph = open_project(ROOT).graph
    products = {name: _product(name, graph.products[name].reads, graph) for name in graph.order}
    promised = {name for name, product in graph.products.items() if product.consumers}
    nights = []
    for day in range(8):
        rng = random.Random(day)
        minutes = {name: min(60.0, rng.lognormvariate(1.2, 1.0)) for name in products}
        start = START + timedelta(days=day)
        nights.append(_night(Graph(products, {}), minutes, promised, start, rng, jobs=1))
    return nights


def _night(
    graph: Graph,
    minutes: Mapping[str, float],
    promised: set[str],
    start: datetime,
    rng: random.Random,
    *,
    jobs: int,
) -> Night:
    """Return a night in which promises fall due before all work can be done."""
    ends = dict[str, float]()
    for name in graph.order:
        reads = graph.products[name].reads
        ends[name] = minutes[name] + max((ends[read] for read in reads), default=0.0)
    needed = max(sum(minutes.values()) / jobs, *ends.values())
    due = {name: max(1.05 * ends[name], rng.uniform(*_DUES) * needed) for name in sorted(promised)}
    dues = {name: start + minute * _MINUTE for name, minute in due.items()}
    return Night(graph=graph, minutes=minutes, dues=dues, start=start, jobs=jobs)


def _product(name: str, reads: Sequence[str], known: Graph | None = None) -> Product:
    inputs = [read for read in reads if known is None or read in known.products]
    return Product(
        name=name,
        where=Where("products.py"),
        kind=Kind.SQL,
        code=Code(digest=name),
        contract=Contract(digest=""),
        owner="a@shop.example",
        inputs=tuple(Input(alias=read, name=read) for read in inputs),
    )


if __name__ == "__main__":
    main()
