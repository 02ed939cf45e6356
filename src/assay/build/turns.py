"""What a run starts next: the most urgent product that has the memory and the turn that it needs."""

from collections.abc import Callable
from datetime import timedelta

from assay.build.admission import Admission, Need
from assay.build.schedule import Schedule
from assay.events import CannotBeKept, Event, WaitsForMemory
from assay.facts import BuildCost
from assay.plan.as_of import AsOf
from assay.plan.at_stake import at_stake
from assay.plan.ladder import Plan
from assay.plan.observed import Observed
from assay.plan.urgency import Lost, order_of_work

_PAUSE = 1.0  # seconds between two looks at which promises can be kept
_COST = 20  # at most a twentieth of the time goes into that


class Turns:
    """Decides what goes first, and what has to wait, as a run goes on.

    `costs` is what products took when they were last built, `limits` what may run at a time, with
    `jobs` threads. `timer` returns seconds. `dues` are the moments until which products of the run
    are promised.
    """

    def __init__(
        self,
        schedule: Schedule,
        plan: Plan,
        observed: Observed,
        *,
        limits: Admission,
        costs: dict[str, BuildCost],
        jobs: int,
        timer: Callable[[], float],
        report: Callable[[Event], None],
    ) -> None:
        self.schedule, self.admission, self.report = schedule, limits, report
        self.work, self.costs, self.jobs = plan.builds, costs, jobs
        as_of = AsOf(schedule.graph, observed)
        self.dues = at_stake(schedule.graph, plan.work, as_of, observed.now)
        self.began, self.timer, self.started = observed.now, timer, timer()
        self._next_look = self.started
        self._waiting: list[str] = []
        self._reported = set[str]()  # what waits for memory, or cannot be there in time

    @property
    def crowded(self) -> bool:
        """Whether so many products wait for others that looking at more is not worth it."""
        return len(self._waiting) >= 2 * self.jobs

    def renew(self) -> None:
        """Let all that waits be decided on again, in the order of what is urgent now."""
        self.schedule.ready.put_back(self._waiting)
        self._waiting.clear()
        self.admission.again()
        if self.dues and self.timer() >= self._next_look:
            self._order()

    def may_start(self, name: str, *, large: bool) -> bool:
        """Return whether a build or check may start now; if not, it waits until something ends."""
        cost = self.costs.get(name, BuildCost())
        need, now = Need(peak=cost.peak, seconds=cost.seconds, large=large), self.timer()
        if self.admission.admits(need, now):
            self.admission.begin(name, need, now)
            return True
        self._waiting.append(name)
        short = need.peak > self.admission.free and len(self.admission.running) < self.jobs
        if short and name not in self._reported:
            self._reported.add(name)
            free, beside = max(0, self.admission.free), tuple(self.admission.running)
            self.report(WaitsForMemory(product=name, needs=need.peak, free=free, beside=beside))
        return False

    def ended(self, name: str) -> None:
        """Note that a build or check has ended."""
        self.admission.end(name)

    def learned(self, name: str, cost: BuildCost) -> None:
        """Note what a build has needed: checking it, or building it again, needs as much."""
        self.costs[name] = cost

    def _order(self) -> None:
        """Put what is ready in the order of the promises that can be kept."""
        began = self.timer()
        now = self.began + timedelta(seconds=began - self.started)
        settled, running = self.schedule.decisions, self.admission.running
        left = {name: self._seconds_left(name, began) for name in self.work if name not in settled}
        order = order_of_work(
            self.schedule.graph,
            [*left, *(name for name in running if name not in left)],
            {name: due for name, due in self.dues.items() if name not in settled},
            left,
            now,
            sets=self.schedule.sets,
            jobs=self.jobs,
        )
        self.schedule.ready.reorder(order.urgencies)
        for lost in order.lost:
            self._report_lost(lost)
        took = self.timer() - began
        self._next_look = began + max(_PAUSE, _COST * took)

    def _seconds_left(self, name: str, now: float) -> float:
        if name in self.admission.running:
            need, end = self.admission.running[name]
            return max(0.0, end - now) if need.seconds else 0.0
        return self.costs.get(name, BuildCost()).seconds

    def _report_lost(self, lost: Lost) -> None:
        key = f"due {lost.product}"
        if lost.due > self.began and key not in self._reported:
            self._reported.add(key)
            self.report(
                CannotBeKept(
                    product=lost.product, due=lost.due, likely=lost.likely, waits=lost.waits
                )
            )
