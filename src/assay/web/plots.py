"""What a rule measured over versions, as a plot: points, a line, and the limits."""

import math
from collections.abc import Sequence

from msgspec import Struct

from assay.amounts import amount
from assay.model import Rule
from assay.views.rules import RuleHistoryView
from assay.views.words.numbers import day, number

WIDTH, HEIGHT = 300.0, 72.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 6.0, 6.0, 8.0, 8.0


class Point(Struct, frozen=True, kw_only=True):
    """A measured value, where it is drawn, and what is said about it."""

    x: float
    y: float
    failed: bool
    label: str


class Plot(Struct, frozen=True, kw_only=True):
    """A plot of this size in pixels; `said` tells what is in it to those who do not see it.

    `limits` are the heights at which limits are drawn.
    """

    points: tuple[Point, ...]
    line: str
    limits: tuple[float, ...]
    low: str
    high: str
    said: str
    width: float = WIDTH
    height: float = HEIGHT


def plotted(rule: Rule, results: Sequence[RuleHistoryView]) -> Plot | None:
    """Return the plot of a rule's results, oldest first; None with fewer than two numbers."""
    shown = [(r, value) for r in results if (value := _number(r.value)) is not None]
    if len(shown) < 2:
        return None
    limits = limits_of(rule, shown[-1][0].rows)
    percent = rule.compares and rule.threshold.endswith("%")
    values = [value for _, value in shown]
    low, high = min([*values, *limits]), max([*values, *limits])
    scale = _Scale(low=low, high=high, count=len(shown))
    points = tuple(
        Point(
            x=scale.x(index),
            y=scale.y(value),
            failed=result.status in {"failed", "error"},
            label=f"{number(value, percent=percent)}, as of {day(result.data_as_of)}"
            f" ({result.status})",
        )
        for index, (result, value) in enumerate(shown)
    )
    failed = sum(point.failed for point in points)
    last = number(values[-1], percent=percent)
    allowed = f" Allowed: {shown[-1][0].threshold}." if shown[-1][0].threshold else ""
    return Plot(
        points=points,
        line="M" + "L".join(f"{point.x:.1f} {point.y:.1f}" for point in points),
        limits=tuple(scale.y(limit) for limit in limits),
        low=number(low, percent=percent),
        high=number(high, percent=percent),
        said=f"{len(points)} versions, from {number(min(values), percent=percent)} to"
        f" {number(max(values), percent=percent)}, the last {last}; {failed} failed.{allowed}",
    )


def limits_of(rule: Rule, rows: int | None) -> list[float]:
    """Return the values beyond which a rule warns or fails, in the unit of what its results have.

    A share of the rows is one of `rows`, the number that was checked last.
    """
    if rule.compares:
        return sorted({limit for limit in (rule.least, rule.most) if limit is not None})
    limits = []
    for limit in filter(None, {rule.warn_above, rule.fail_above}):
        most = amount(limit)
        if not most.percent:
            limits.append(float(most.number))
        elif rows is not None:
            limits.append(float(most.number) * rows / 100)
    return sorted(limits)


class _Scale(Struct, frozen=True, kw_only=True):
    low: float
    high: float
    count: int

    def x(self, index: int) -> float:
        return _LEFT + index * (WIDTH - _LEFT - _RIGHT) / (self.count - 1)

    def y(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return _TOP + (self.high - value) / span * (HEIGHT - _TOP - _BOTTOM)


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]
