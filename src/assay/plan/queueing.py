"""A night as it usually goes: when products are there, what that depends on, who waits; pure."""

from collections.abc import Mapping
from heapq import heappop, heappush
from math import inf

from msgspec import Struct, field

from assay.plan.graph import Graph


class Night(Struct, frozen=True, kw_only=True):
    """How long builds take and when drops come, in one night; in seconds, from a given moment.

    - `order`: the products to build, each after those of them that it reads.
    - `takes`: how long building each of them takes.
    - `comes`: when the drop of each awaited source comes.
    - `dues`: when promises fall due: of products, and perhaps of sources.
    - `begin`: when work may begin.
    - `jobs`: how many products are built at once.
    """

    order: tuple[str, ...]
    takes: Mapping[str, float]
    comes: Mapping[str, float]
    dues: Mapping[str, float] = field(default_factory=dict)
    begin: float = 0.0
    jobs: int = 4


class Course(Struct, frozen=True):
    """How a product gets there when builds need not queue.

    - `at`: when it is there.
    - `waits_for`: the source whose drop decides that; '' when only work does.
    - `slowest`: the product that takes the most of the work behind it.
    """

    at: float
    waits_for: str = ""
    slowest: str = ""


def courses(graph: Graph, night: Night) -> dict[str, Course]:
    """Return how each awaited source and each product to build gets there, without a queue."""
    course_of = {name: Course(at, name) for name, at in night.comes.items()}
    for name in night.order:
        begun, takes = Course(night.begin), night.takes[name]
        for read in graph.products[name].reads:
            if (course := course_of.get(read)) and course.at > begun.at:
                begun = course
        longest = night.takes.get(begun.slowest, -1.0)
        slowest = name if takes >= longest else begun.slowest
        course_of[name] = Course(begun.at + takes, begun.waits_for, slowest)
    return course_of


def ends(graph: Graph, night: Night) -> dict[str, float]:
    """Return when each product is there if only so many builds run at once.

    Of the products that can be built, the one goes first whose readers, or itself, have the
    earliest promise that is not lost yet.
    """
    urgency = _urgency(graph, night)
    number_of = {name: number for number, name in enumerate(night.order)}
    missing = dict.fromkeys(night.order, 0)  # inputs that are not there, by product
    for name in (*night.comes, *night.order):
        for reader in graph.below.get(name, ()):
            if reader in missing:
                missing[reader] += 1
    # What happens next: a drop comes or a build ends (True: it ran), in the order of time.
    events = [(night.begin, -1, "")]
    for number, (source, at) in enumerate(night.comes.items()):
        heappush(events, (at, -2 - number, source))
    ready = [(urgency[name], number_of[name], name) for name in night.order if not missing[name]]
    ready.sort()
    end_of: dict[str, float] = {}
    free = night.jobs
    while events:
        at, number, ended = heappop(events)
        if number >= 0:
            free += 1
            end_of[ended] = at
        for reader in graph.below.get(ended, ()):
            if reader in missing:
                missing[reader] -= 1
                if not missing[reader]:
                    heappush(ready, (urgency[reader], number_of[reader], reader))
        while ready and free and at >= night.begin:
            name = heappop(ready)[2]
            free -= 1
            heappush(events, (at + night.takes[name], number_of[name], name))
    return end_of


def _urgency(graph: Graph, night: Night) -> dict[str, float]:
    """Return when the earliest promise of each product and of its readers falls due."""
    urgency: dict[str, float] = {}
    for name in reversed(night.order):
        due = night.dues.get(name, inf)
        readers = (urgency[r] for r in graph.below.get(name, ()) if r in urgency)
        urgency[name] = min(due if due > 0 else inf, *readers, inf)
    return urgency
