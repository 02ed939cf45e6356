"""The metrics of the loop, as Prometheus reads them: made of its vitals when they are asked for."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from assay.plan.promise_state import State
from assay.times import in_utc
from assay.watch.vitals import Vitals

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class Metrics:
    """A collector of prometheus_client."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    def collect(self) -> Iterator["Metric"]:
        """Yield the metrics as they are now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        vitals = self._vitals
        turns = CounterMetricFamily("assay_turns", "Turns of the loop.", labels=["result"])
        for result in ("ok", "problem"):
            turns.add_metric([result], vitals.turns[result])
        yield turns
        results = CounterMetricFamily("assay_results", "Results of products.", labels=["result"])
        for result, count in sorted(dict(vitals.results).items()):
            results.add_metric([result], count)
        yield results
        gauges = {
            "assay_leading": ("1 if this process does the work.", float(vitals.leads)),
            "assay_problems": ("What is wrong with the loop itself.", float(len(vitals.problems))),
            "assay_last_turn_seconds": ("How long the last turn took.", vitals.seconds),
            "assay_last_turn_timestamp_seconds": (
                "When the last turn ended without a problem.",
                _seconds(vitals.last_turn),
            ),
            "assay_next_moment_timestamp_seconds": (
                "When the next turn is, at the latest.",
                _seconds(vitals.next_moment),
            ),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value=value)
        yield from self._promises()

    def _promises(self) -> Iterator["Metric"]:
        """Yield how the promises of products and sources stand, by name."""
        from prometheus_client.core import GaugeMetricFamily

        standings = self._vitals.standings
        states = GaugeMetricFamily("assay_promises", "Promises by state.", labels=["state"])
        counts = Counter(standing.state for standing in standings.values())
        for state in State:
            states.add_metric([str(state)], counts[state])
        yield states
        reached = GaugeMetricFamily(
            "assay_as_of_timestamp_seconds", "How far data reaches.", labels=["name"]
        )
        due = GaugeMetricFamily(
            "assay_due_timestamp_seconds", "When the promise is due.", labels=["name"]
        )
        for name, standing in standings.items():
            if standing.as_of:
                reached.add_metric([name], _seconds(in_utc(standing.as_of)))
            if standing.promise:
                due.add_metric([name], _seconds(standing.promise.due))
        yield reached
        yield due


def _seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0.0
