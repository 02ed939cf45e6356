"""Which builds and checks may run beside those that run: within the memory, and by turns; pure."""

from msgspec import Struct

_UNKNOWN = float("inf")  # for how long a build runs whose duration is not known


class Need(Struct, frozen=True, kw_only=True):
    """What a build or check needs.

    - `peak`: bytes of memory; 0 when not known.
    - `seconds`: how long it takes; 0 when not known.
    - `large`: whether it is a large query, which uses several cores.
    """

    peak: int = 0
    seconds: float = 0.0
    large: bool = False


class Admission:
    """What runs, and what may start beside it: `budget` bytes together, `turns` large queries.

    A product that needs more than all of the budget runs alone. What waits for memory is not
    overtaken by what would make it wait for longer.
    """

    def __init__(self, budget: int, turns: int) -> None:
        self.budget, self.turns = budget, turns
        self.running: dict[str, tuple[Need, float]] = {}  # with when each likely ends
        self._first: Need | None = None  # the most urgent of those that wait for memory

    @property
    def free(self) -> int:
        """The bytes that what runs leaves; negative if it needs more than expected."""
        return self.budget - sum(need.peak for need, _ in self.running.values())

    def admits(self, need: Need, now: float) -> bool:
        """Return whether something may start; `now` is in seconds."""
        if not self.running:
            return True
        if need.large and sum(other.large for other, _ in self.running.values()) >= self.turns:
            return False
        if not need.peak:
            return True
        if need.peak <= self.free and self._delays_nobody(need, now):
            return True
        self._first = self._first or need
        return False

    def _delays_nobody(self, need: Need, now: float) -> bool:
        """Return whether what waits for memory can start as early as without this."""
        if self._first is None:
            return True
        free, start = self.free, now
        for other, end in sorted(self.running.values(), key=lambda item: item[1]):
            if free >= self._first.peak:
                break
            free, start = free + other.peak, end
        ends_before = 0 < need.seconds <= start - now
        return ends_before or free >= self._first.peak + need.peak

    def begin(self, name: str, need: Need, now: float) -> None:
        """Note that something starts."""
        self.running[name] = need, now + (need.seconds or _UNKNOWN)

    def end(self, name: str) -> None:
        """Note that something has ended."""
        self.running.pop(name, None)

    def again(self) -> None:
        """Ask for all that waits again, the most urgent first."""
        self._first = None
