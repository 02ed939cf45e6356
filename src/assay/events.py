"""Events of a run and results of products: values for reporters, exit codes and tests."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct, field

from assay.decisions import AwaitApproval, Blocked, Decision, Held, Keep, Publish, Reason
from assay.facts import Release, UndeclaredColumn, Version

PART_NOTE = "It was making part "  # begins the line of an error message that names the part


class Failed(Struct, frozen=True, kw_only=True):
    """Building or checking failed for a technical reason: an exception in user code, a full disk.

    Failures are not recorded, so the next run tries again.

    - `detail`: more text, such as a traceback.
    - `tries`: how often it was tried.
    """

    error: str
    detail: str = ""
    tries: int = 1


class Left(Struct, frozen=True, kw_only=True):
    """The run was stopped before the product came out."""


class Unfinished(Struct, frozen=True, kw_only=True):
    """Only some parts were to be built; `parts_built` of all `of` parts exist now."""

    parts_built: int
    of: int


class Holder(Struct, frozen=True, kw_only=True):
    """A run in progress, and the process that executes it."""

    run: str
    environment: str
    since: datetime
    host: str
    pid: int

    def __str__(self) -> str:
        since = f"{self.since:%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.run} on {self.host} (process {self.pid}), since {since}"


class Busy(Struct, frozen=True, kw_only=True):
    """Another run is building the product; this run did nothing for it."""

    holder: Holder


_HELD = Blocked | AwaitApproval | Held  # readers keep what they have
End = Decision | Failed | Left | Unfinished | Busy


class Result(Struct, frozen=True, kw_only=True):
    """What a run did for one product.

    - `end`: the last decision, or why there was none.
    - `reasons`: why it was built.
    - `built`, `judged`: whether a version was built, and whether one was checked.
    - `seconds`: how long building took.
    - `parts_built`: of a product in parts, the number of parts built and the number of all its
      parts.
    - `undeclared`: what its code read that is not an input: paths of files, and `$NAME` for
      environment variables.
    - `undeclared_columns`: columns that appeared in the files of sources that it reads, and that
      these do not declare; told with one product of a run.
    - `unbuilt`: the parts that could not be built and are held back, each with the failure.
    - `partial_version`: the version that was built without these parts; None when all could be
      built.
    """

    product: str
    end: End
    reasons: tuple[Reason, ...] = ()
    built: bool = False
    judged: bool = False
    seconds: float = 0.0
    parts_built: tuple[int, int] | None = None
    undeclared: tuple[str, ...] = ()
    undeclared_columns: tuple[UndeclaredColumn, ...] = ()
    unbuilt: Mapping[str, Failed] = field(default_factory=dict)
    partial_version: Version | None = None


class RunStarted(Struct, frozen=True, kw_only=True):
    """A run began; `products` is how many products may need work."""

    run: str
    products: int


class Working(Struct, frozen=True, kw_only=True):
    """A product is being built or checked."""

    product: str
    activity: str


class Progress(Struct, frozen=True, kw_only=True):
    """A part of a product was built.

    - `done`, `of`: number of parts built by now, and of parts to build.
    - `seconds`: how long building the parts took.
    """

    product: str
    done: int
    of: int
    seconds: float


class Retrying(Struct, frozen=True, kw_only=True):
    """A failed product is tried again after a wait.

    - `seconds`: length of the wait.
    - `number`, `of`: number of the next retry (from 1), and of all retries allowed.
    """

    product: str
    error: str
    seconds: float
    number: int
    of: int


class Settled(Struct, frozen=True, kw_only=True):
    """Connected products have come out, and what could be published is published."""

    results: tuple[Result, ...]
    release: Release | None = None


class Stopping(Struct, frozen=True, kw_only=True):
    """The run was asked to stop and waits for products that cannot be interrupted."""

    products: tuple[str, ...]


class Waiting(Struct, frozen=True, kw_only=True):
    """The run waits for other runs that build some of its products (`holders`, by product)."""

    holders: Mapping[str, Holder]


class CannotBeKept(Struct, frozen=True, kw_only=True):
    """A promise of a product will not be kept, because there is more work than time.

    - `due`: when it falls due.
    - `likely`: when the product is likely there.
    - `waits`: whether what can still be kept goes first; without it, there is time for both.
    """

    product: str
    due: datetime
    likely: datetime
    waits: bool


class WaitsForMemory(Struct, frozen=True, kw_only=True):
    """A product waits until there is memory for it beside what runs.

    - `needs`: bytes that it needed when it was last built.
    - `free`: bytes that the products `beside` leave of what the run may use.
    """

    product: str
    needs: int
    free: int
    beside: tuple[str, ...]


Event = (
    RunStarted
    | Working
    | Progress
    | Retrying
    | Settled
    | Stopping
    | Waiting
    | CannotBeKept
    | WaitsForMemory
)


class Reporter(Protocol):
    """Receives every event, in order, in one thread."""

    def __call__(self, event: Event, /) -> None: ...


def held_parts(end: object) -> Mapping[str, str]:
    """Return the parts held back of a version that is published, or stays so.

    Each comes with the digest of the earlier part that is published in its place; '' for none.
    """
    return end.version.key.held if isinstance(end, Publish | Keep) else {}


class Outcome(Struct, frozen=True, kw_only=True):
    """The results of a run, by product.

    - `interrupted`: whether the run was stopped.
    - `spilled`: the most bytes that were on disk at once because they did not fit in memory.
    """

    results: Mapping[str, Result] = field(default_factory=dict)
    interrupted: bool = False
    spilled: int = 0

    @property
    def exit_code(self) -> int:
        """The exit code of the command.

        0: done; 1: a product or part failed, an input is missing, or another run builds a product;
        3: rules hold something back, or it waits for an approval; 130: stopped.
        """
        if self.interrupted:
            return 130
        ends = [result.end for result in self.results.values()]
        if any(result.unbuilt for result in self.results.values()):
            return 1
        if any(isinstance(end, Failed | Busy) for end in ends):
            return 1
        if any(isinstance(end, Held) and end.absent for end in ends):
            return 1
        is_held = any(isinstance(end, _HELD) or held_parts(end) for end in ends)
        return 3 if is_held else 0

    @property
    def changed_nothing(self) -> bool:
        """Whether nothing was built, checked, published or held back: all stays as it was."""
        return not self.interrupted and all(
            isinstance(result.end, Keep) and not (result.built or result.judged or result.unbuilt)
            for result in self.results.values()
        )

    @property
    def unfinished(self) -> list[str]:
        """The products that failed or did not come out, and those that are held only for that."""
        unfinished = {
            name: None
            for name, result in self.results.items()
            if isinstance(result.end, Failed | Left | Busy) or result.unbuilt
        }
        held = {
            name: result.end
            for name, result in self.results.items()
            if isinstance(result.end, Held)
        }
        changed = True
        while changed:
            caused = [
                name
                for name, end in held.items()
                if end.absent or unfinished.keys() >= end.by.keys()
            ]
            unfinished |= dict.fromkeys(caused)
            held = {name: end for name, end in held.items() if name not in unfinished}
            changed = bool(caused)
        return list(unfinished)

    def of(self, kind: type) -> list[str]:
        """Return the products with an end of this class (`Publish`, `Blocked`, `Failed` …)."""
        return [name for name, r in self.results.items() if isinstance(r.end, kind)]
