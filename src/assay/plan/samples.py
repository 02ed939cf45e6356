"""Samples of what is to come, from what has been: how long builds take, when drops come; pure."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import cycle, pairwise
from math import floor, inf, isinf, sqrt

NIGHTS = 48  # as many samples are enough; sample k of all products and sources is of the same night
NEVER = 1e12  # seconds: a drop that does not come
_LEAST = 12  # durations from which on a change of their level can be seen
_INSTANT = 1e-3  # seconds: what takes no time takes this long
_HALF_AN_HOUR = 1800.0
_PRIOR = 3  # past nights that the assumed spread counts for, beside the spread that was seen
_SHAPE = 0.25  # of the tail beyond what was seen (generalised Pareto): heavier than exponential
_GOLDEN = (sqrt(5) - 1) / 2  # its multiples spread evenly over 0 to 1
_VARIANTS = 16

# A knot, and how far a sample is from there to the next one: after the last value it may be farther
# than that.
_Place = tuple[int, float]


def middle(values: Sequence[float]) -> float:
    """Return the median; of an even number of values the lower of the two in the middle."""
    return sorted(values)[(len(values) - 1) // 2]


class Sampler:
    """Takes as many samples of each product and source as there are `nights` to replay.

    The next of n + 1 values whose order means nothing is the largest, or the smallest, in 1 of
    n + 1 cases. So samples reach beyond what was seen, the farther the fewer values there are.
    The newest value is that of the first night; of fewer values than nights it is taken again.
    """

    def __init__(self, nights: int = NIGHTS) -> None:
        self.nights = nights

    def durations(
        self, history: Sequence[float], *, over: float = 0.0, variant: int = 0
    ) -> list[float]:
        """Return samples, in seconds, of how long a build takes that takes longer than `over`.

        `history` are past builds, newest last. ValueError when there are none.
        """
        recent = at_level(history[-self.nights :])
        recent.reverse()
        if len(recent) == self.nights and over <= 0:
            return recent
        recent = [max(seconds, _INSTANT) for seconds in recent]
        spread = _spread(recent, 0.5 * max(recent, default=0.0), over)
        return self._samples(recent, spread, low=max(over, 0.0), variant=variant)

    def arrivals(
        self, history: Sequence[float], *, over: float = -inf, variant: int = 0
    ) -> list[float]:
        """Return samples, in seconds after a moment, of when a drop comes: later than `over`.

        `history` are past drops, newest last; inf is a drop that never came. ValueError when none
        came.
        """
        recent = history[-self.nights :][::-1]
        came = [offset for offset in recent if not isinf(offset)]
        spread = _spread(came, _HALF_AN_HOUR, over)
        return self._samples(recent, spread, low=over, variant=variant)

    def _samples(
        self, recent: Sequence[float], spread: float, *, low: float, variant: int
    ) -> list[float]:
        """Return samples of those values over `low`; the newest value is first."""
        left = [value for value in recent if value > low]
        if len(left) >= self.nights:
            return [min(value, NEVER) for value in left]
        by_rank = sorted(range(len(left)), key=left.__getitem__)
        came = [left[lag] for lag in by_rank if not isinf(left[lag])]
        ranks = [0] * (len(left) or 1)
        for rank, lag in enumerate(by_rank):
            ranks[lag] = rank
        knots = _knots(came, spread, low, cut=len(left) < len(recent))
        steps = [after - before for before, after in pairwise(knots)]
        rows = zip(cycle(ranks), _places(len(came), self.nights, variant % _VARIANTS), strict=False)
        if len(came) == len(left):
            return [knots[row[r][0]] + steps[row[r][0]] * row[r][1] for r, row in rows]
        return [
            knots[row[r][0]] + steps[row[r][0]] * row[r][1] if r < len(came) else NEVER
            for r, row in rows
        ]


def _spread(values: Sequence[float], assumed: float, over: float) -> float:
    """Return about how far beyond the largest value the next one is, if it is beyond it.

    What is later than ever before takes the longer the later it is.
    """
    if not values:
        raise ValueError("there is no history")
    usual = middle(values)
    seen = (max(values) - usual) / 2
    spread = (len(values) * seen + _PRIOR * assumed) / (len(values) + _PRIOR)
    return max(spread, (over - usual) / 2)


def _knots(values: Sequence[float], spread: float, low: float, *, cut: bool) -> list[float]:
    """Return the values with what is before and after them; `cut`: some were not over `low`."""
    if not values:
        return [low, low + spread]
    before = low if cut else max(values[0] - spread, (values[0] + low) / 2)
    return [before, *values, values[-1] + spread]


@lru_cache(maxsize=NIGHTS * _VARIANTS)
def _places(count: int, nights: int, variant: int) -> tuple[tuple[_Place, ...], ...]:
    """Return, by night and by the rank of a value among `count`, where a sample is."""
    return tuple(
        tuple(
            _place(count, rank, ((night + variant * 3 + 0.5) * _GOLDEN) % 1.0)
            for rank in range(max(count, 1))
        )
        for night in range(nights)
    )


def _place(count: int, rank: int, share: float) -> _Place:
    """Return the place for a value of this rank and for a share (0 to 1) of the cases it is for."""
    position = (rank + share) / max(count, 1) * (count + 1)
    knot = min(floor(position), count)
    if knot < count:
        return knot, position - knot
    return knot, ((count + 1 - position) ** -_SHAPE - 1) / _SHAPE


def at_level(history: Sequence[float]) -> list[float]:
    """Return durations, each third of them brought to the level of the newest third.

    Nothing changes when there are few, or when the levels differ no more than by chance.
    """
    size = len(history) // 3
    if len(history) < _LEAST or not _shifted(history[:size], history[-size:]):
        return list(history)
    thirds = history[: -2 * size], history[-2 * size : -size], history[-size:]
    levels = [middle(third) for third in thirds]
    if min(levels) <= 0:
        return list(history)
    last = levels[-1]
    return [v * last / level for third, level in zip(thirds, levels, strict=True) for v in third]


def _shifted(old: Sequence[float], new: Sequence[float]) -> bool:
    """Return whether the middle of each is beyond nearly all values of the other."""
    old, new = sorted(old), sorted(new)
    half, few = (len(old) - 1) // 2, len(old) // 8
    if old[half] < new[half]:
        return old[-1 - few] < new[half] and old[half] < new[few]
    return old[few] > new[half] and old[half] > new[-1 - few]
