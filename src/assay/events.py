"""What a run tells as it goes, and what it leaves: values for reporters, exit codes and tests."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct, field

from assay.decisions import Blocked, Decision, Held, Keep, Publish, Reason
from assay.facts import Release, Version

PART_NOTE = "It was making part "  # begins the line of an error that says of which part it is


class Failed(Struct, frozen=True, kw_only=True):
    """The machinery failed: an exception in user code, a full disk. Nothing was recorded; the next run tries again."""

    error: str
    detail: str = ""
    tries: int = 1


class Left(Struct, frozen=True, kw_only=True):
    """The run was stopped before this product's turn was over."""


class Unfinished(Struct, frozen=True, kw_only=True):
    """Only some parts were to be built: how many are there now, of all that it should have."""

    parts_built: int
    of: int


class Holder(Struct, frozen=True, kw_only=True):
    """A run that is under way, and where."""

    run: str
    environment: str
    since: datetime
    host: str
    pid: int

    def __str__(self) -> str:
        return f"{self.run} on {self.host} (process {self.pid}), since {self.since:%Y-%m-%d %H:%M:%S} UTC"


class Busy(Struct, frozen=True, kw_only=True):
    """Another run is building the product: nothing was done for it here."""

    holder: Holder


End = Decision | Failed | Left | Unfinished | Busy


class Result(Struct, frozen=True, kw_only=True):
    """How one product came out of a run: what was decided last, and what was done for it.

    `parts_built` are, of a product in parts, how many were built, and how many it has; `unmade` those that could not be made
    and are held back alone, and `whole` the version that was judged before parts that failed a rule were held back.
    `undeclared` is what its code read that is no input: files, and environment variables (`$NAME`).
    """

    product: str
    end: End
    reasons: tuple[Reason, ...] = ()
    built: bool = False
    judged: bool = False
    seconds: float = 0.0
    parts_built: tuple[int, int] | None = None
    undeclared: tuple[str, ...] = ()
    unbuilt: Mapping[str, Failed] = field(default_factory=dict)
    partial_version: Version | None = None


class RunStarted(Struct, frozen=True, kw_only=True):
    """A run began, with this much that may have to be done."""

    run: str
    products: int


class Working(Struct, frozen=True, kw_only=True):
    """A product is being built or judged."""

    product: str
    activity: str


class Progress(Struct, frozen=True, kw_only=True):
    """One more part of a product is built: so many of those that have to be, and how long that took (seconds)."""

    product: str
    done: int
    of: int
    seconds: float


class Retrying(Struct, frozen=True, kw_only=True):
    """What failed is tried again after so many `seconds`: the first, second … of so many tries more."""

    product: str
    error: str
    seconds: float
    number: int
    of: int


class Settled(Struct, frozen=True, kw_only=True):
    """Products that share lineage have come out; what could be published now is."""

    results: tuple[Result, ...]
    release: Release | None = None


class Stopping(Struct, frozen=True, kw_only=True):
    """The run was told to stop, and waits for what cannot be interrupted."""

    products: tuple[str, ...]


class Waiting(Struct, frozen=True, kw_only=True):
    """The run waits for others that build some of its products: who each of them is, by product."""

    holders: Mapping[str, Holder]


Event = RunStarted | Working | Progress | Retrying | Settled | Stopping | Waiting


class Reporter(Protocol):
    """Is told what happens, in order, from one thread."""

    def __call__(self, event: Event, /) -> None: ...


def held_parts(end: object) -> Mapping[str, str]:
    """Return the parts that are held back of what is published, each with the digest of what stands in for it."""
    return end.version.key.held if isinstance(end, Publish | Keep) else {}


class Outcome(Struct, frozen=True, kw_only=True):
    """What a run left: a result for each product asked for, whether it was stopped, and the most bytes it spilled."""

    results: Mapping[str, Result] = field(default_factory=dict)
    interrupted: bool = False
    spilled: int = 0

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed (or a part), no source or another run is at it, 3 held back by rules, 130 stopped."""
        ends = [r.end for r in self.results.values()]
        if self.interrupted:
            return 130
        if any(
            isinstance(end, Failed | Busy) or (isinstance(end, Held) and end.absent) for end in ends
        ):
            return 1
        if any(result.unbuilt for result in self.results.values()):
            return 1
        held = [isinstance(end, Blocked | Held) or held_parts(end) for end in ends]
        return 3 if any(held) else 0

    @property
    def unfinished(self) -> list[str]:
        """The products that failed or were left, and those that are held because of that alone."""
        found = {
            n: True
            for n, r in self.results.items()
            if isinstance(r.end, Failed | Left | Busy) or r.unbuilt
        }
        held = {n: r.end for n, r in self.results.items() if isinstance(r.end, Held)}
        while more := [n for n, end in held.items() if end.absent or found.keys() >= end.by.keys()]:
            found |= dict.fromkeys(more, True)
            held = {n: end for n, end in held.items() if n not in found}
        return list(found)

    def of(self, kind: type) -> list[str]:
        """Return the products that ended this way (`Publish`, `Keep`, `Blocked`, `Held`, `Failed`, `Left`, `Busy`)."""
        return [name for name, r in self.results.items() if isinstance(r.end, kind)]
