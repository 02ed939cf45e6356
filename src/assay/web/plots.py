"""What a rule measured over versions, as a plot: points, a line, and the limit."""

import math
import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from assay.views.rules import RuleHistoryView
from assay.views.words.numbers import day, number

WIDTH, HEIGHT = 300.0, 72.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 6.0, 6.0, 8.0, 8.0
_LIMIT = re.compile(r"([\d.,]+) ?(%?)$")


class Point(Struct, frozen=True, kw_only=True):
    """A measured value, where it is drawn, and what is said about it."""

    x: float
    y: float
    failed: bool
    label: str


class Plot(Struct, frozen=True, kw_only=True):
    """A plot of this size in pixels; `said` tells what is in it to those who do not see it.

    `limit` is the height at which the limit is drawn; None if there is none, or none in numbers.
    """

    points: tuple[Point, ...]
    line: str
    limit: float | None
    low: str
    high: str
    said: str
    width: float = WIDTH
    height: float = HEIGHT


def plotted(results: Sequence[RuleHistoryView]) -> Plot | None:
    """Return the plot of a rule's results, oldest first; None with fewer than two numbers."""
    shown = [(r, value) for r in results if (value := _number(r.value)) is not None]
    if len(shown) < 2:
        return None
    percent = any(r.threshold.endswith("%") for r, _ in shown)
    limit = _limit(shown[-1][0].threshold)
    values = [value for _, value in shown]
    low, high = min([*values, *_given(limit)]), max([*values, *_given(limit)])
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
        limit=None if limit is None else scale.y(limit),
        low=number(low, percent=percent),
        high=number(high, percent=percent),
        said=f"{len(points)} versions, from {number(min(values), percent=percent)} to"
        f" {number(max(values), percent=percent)}, the last {last}; {failed} failed.{allowed}",
    )


class _Scale(Struct, frozen=True, kw_only=True):
    low: float
    high: float
    count: int

    def x(self, index: int) -> float:
        return _LEFT + index * (WIDTH - _LEFT - _RIGHT) / (self.count - 1)

    def y(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return _TOP + (self.high - value) / span * (HEIGHT - _TOP - _BOTTOM)


def _limit(threshold: str) -> float | None:
    """Return the number that a limit in words ends with: "fails above 10 %" is 0.1."""
    found = _LIMIT.search(threshold)
    if found is None:
        return None
    value = float(found[1].replace(",", "").rstrip("."))
    return value / 100 if found[2] else value


def _given(limit: float | None) -> Iterable[float]:
    return () if limit is None else (limit,)


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]
