"""Decisions about products and results of runs, as frozen values; `views.words` has their text."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from msgspec import field
from msgspec.structs import replace

from assay.facts import PartCount, Status
from assay.model import Severity
from assay.views.figures import FiguresView
from assay.views.view import View

NO_ROW = "above 0 rows"  # the limit of a rule that tolerates no failing row


class ResultKind(StrEnum):
    """The result of a product in a run, or what is planned for it."""

    PUBLISHED = "published"
    PUBLISH = "publish"
    UNCHANGED = "unchanged"
    HELD_BACK = "held back"
    AWAITING = "awaiting approval"
    HELD = "held"
    FAILED = "failed"
    LEFT = "left"
    BUILD = "build"
    CHECK = "check"
    MAYBE = "maybe"
    UNFINISHED = "unfinished"
    BUSY = "busy"
    RETRYING = "retrying"
    LATE = "late"
    WAITING = "waiting"
    UNDECLARED = "no longer declared"


class ReadersView(View, frozen=True, kw_only=True):
    """The published version of a product; `rows` is None for a file."""

    version: str
    rows: int | None
    held_parts: tuple[str, ...] = ()
    data_as_of: datetime | None = None


class RuleView(View, frozen=True, kw_only=True):
    """The result of one rule on one version.

    `new` is how many of the failing rows did not fail at the last verdict, and `known` how many of
    them did, the first of them since `known_since`. All are None if that is not known.

    `where` and `closes` are None if the rule is no longer declared.
    """

    text: str
    status: Status
    severity: Severity
    dimension: str
    because: str
    owner: str
    failing: int | None
    rows: int | None
    measured: float | int | str | None
    threshold: str
    method: str = field(name="how")
    samples: tuple[Mapping[str, Any], ...]
    message: str
    parts: tuple[PartCount, ...]
    where: str | None = None
    closes: str | None = None
    waived: str = ""
    new: int | None = None
    known: int | None = None
    known_since: datetime | None = None

    @property
    def holds_back(self) -> bool:
        """Whether it keeps a version from being published."""
        return self.status in {Status.FAILED, Status.ERROR}

    @property
    def is_repeated(self) -> bool:
        """Whether it is a warning that was reported before, about nothing new."""
        return self.status is Status.WARNING and bool(self.known_since) and not self.new


# ----------------------------------------------------------------------------------- decisions


class PublishedView(View, frozen=True, kw_only=True):
    """A version that passed its rules. `rules` are those that warn, of `rule_count`.

    `same` says that its rows are those of the version that was published before.
    `approved` says who approved it, of a product that asks for approval, and why.
    """

    version: str
    rows: int
    size: str
    verdict: Status
    rule_count: int
    rules: tuple[RuleView, ...]
    data_as_of: datetime | None = None
    approved: tuple[str, ...] = ()
    same: bool = False


class UnchangedView(View, frozen=True, kw_only=True):
    """A version that stays published; `waived` says which rules that fail are waived."""

    version: str
    rows: int
    pinned: bool
    data_as_of: datetime | None = None
    waived: tuple[str, ...] = ()


class HeldBackView(View, frozen=True, kw_only=True):
    """A version that its rules hold back.

    For a product whose parts can be held back one by one, `whole_because` says why the whole
    version is held back, and `whole_hint` what to do.
    """

    version: str
    rows: int
    verdict: Status
    rule_count: int
    rules: tuple[RuleView, ...]
    readers: ReadersView | None
    affects: tuple[str, ...]
    whole_because: str | None = None
    whole_hint: str | None = None


class AwaitingView(View, frozen=True, kw_only=True):
    """A version that passed, and that people have to approve before it is published.

    - `approvers`: who may still approve it; `missing` is how many have to, of `needed`.
    - `awaits`: the same in words; `approved` says who did and why.
    - `void`: which approvals do not count any more, and why.
    """

    version: str
    rows: int
    size: str
    verdict: Status
    rule_count: int
    rules: tuple[RuleView, ...]
    approvers: tuple[str, ...]
    needed: int
    missing: int
    awaits: str
    readers: ReadersView | None
    affects: tuple[str, ...]
    approved: tuple[str, ...] = ()
    void: tuple[str, ...] = ()


class HeldView(View, frozen=True, kw_only=True):
    """A product that is held because of its inputs; `waits_for` says for each what is wrong."""

    waits_for: Mapping[str, str]
    readers: ReadersView | None


class FailedView(View, frozen=True, kw_only=True):
    """A product whose build failed, with the traceback in `detail`."""

    error: str
    detail: str
    tries: int
    readers: ReadersView | None


class UnfinishedView(View, frozen=True, kw_only=True):
    """A product of which only `parts_there` of the parts are built."""

    parts_there: int
    of: int
    readers: ReadersView | None


class BusyView(View, frozen=True, kw_only=True):
    """A product that another run is building."""

    run: str
    host: str
    pid: int
    since: datetime
    because: str
    readers: ReadersView | None


class LeftView(View, frozen=True, kw_only=True):
    """A product that a stopped run did not finish."""


class PartsToBuild(View, frozen=True, kw_only=True):
    """The parts that would be built, of all parts, and about how long that takes."""

    to_build: tuple[str, ...]
    of: int
    about_seconds: float | None = None


class BuildView(View, frozen=True, kw_only=True):
    """A product that would be built."""

    reasons: tuple[str, ...]
    parts: PartsToBuild | None = None


class MaybeView(View, frozen=True, kw_only=True):
    """A product that would be built if its inputs change."""

    reasons: tuple[str, ...]
    parts: PartsToBuild | None = None


class CheckView(View, frozen=True, kw_only=True):
    """A version whose rules would be checked."""

    version: str
    reasons: tuple[str, ...]


DecisionView = (
    PublishedView
    | UnchangedView
    | HeldBackView
    | AwaitingView
    | HeldView
    | FailedView
    | UnfinishedView
    | BusyView
    | LeftView
    | BuildView
    | MaybeView
    | CheckView
)


# ------------------------------------------------------------------------------------ products


class HeldPart(View, frozen=True, kw_only=True):
    """A part that is held back; its earlier rows are published, or no rows of it."""

    part: str
    readers_keep_before: bool


class PlanView(View, frozen=True, kw_only=True):
    """What was decided for a product.

    `held_parts` are the parts of the published version that the rules `held_by` hold back;
    `affects` names the consumers affected. `changes`: what a version that is held back, also in
    parts, would change of what readers have, or a restated one changed; None if it is not known.
    """

    inline: ClassVar[tuple[str, ...]] = ("decision",)

    product: str
    result: ResultKind
    held_parts: tuple[HeldPart, ...] | None = None
    held_by: tuple[RuleView, ...] | None = None
    affects: tuple[str, ...] | None = None
    changes: FiguresView | None = None
    decision: DecisionView
    reasons: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """The version that the decision is about, or ''."""
        match self.decision:
            case PublishedView() | UnchangedView() | HeldBackView() | AwaitingView() | CheckView():
                return self.decision.version
        return ""

    @property
    def readers(self) -> ReadersView | None:
        """The published version, if the decision names it."""
        match self.decision:
            case (
                HeldBackView()
                | AwaitingView()
                | HeldView()
                | FailedView()
                | UnfinishedView()
                | BusyView()
            ):
                return self.decision.readers
        return None

    @property
    def why(self) -> tuple[str, ...]:
        """Why it is, or was, built or checked."""
        match self.decision:
            case BuildView() | MaybeView() | CheckView():
                return self.decision.reasons
        return self.reasons

    @property
    def pinned(self) -> bool:
        """Whether it is pinned to the version that is published."""
        return isinstance(self.decision, UnchangedView) and self.decision.pinned

    def to_publish(self, reason: str) -> "PlanView":
        """Return the same view with the result "publish", for this reason."""
        return replace(self, result=ResultKind.PUBLISH, reasons=(reason,))


class FailedPart(View, frozen=True, kw_only=True):
    """A part whose build failed; the fields are those of a FailedView."""

    part: str
    error: str
    detail: str
    tries: int


class PartsBuilt(View, frozen=True, kw_only=True):
    """How many parts were built, of all parts."""

    built: int
    of: int


class UndeclaredColumnView(View, frozen=True, kw_only=True):
    """A column that appeared in the files of a source that does not declare it, and where first."""

    source: str
    column: str
    part: str
    file: str


class ResultView(PlanView, frozen=True, kw_only=True):
    """The result of a product in a run: the last decision, and what was done, in `seconds`."""

    failed_parts: tuple[FailedPart, ...] = ()
    parts: PartsBuilt | None = None
    undeclared: tuple[str, ...] = ()
    undeclared_columns: tuple[UndeclaredColumnView, ...] = ()
    built: bool
    judged: bool
    seconds: float
    release: int | None


class RetryingView(View, frozen=True, kw_only=True):
    """A build that failed and is tried again: retry `number` of `of`."""

    product: str
    result: ResultKind
    error: str
    in_seconds: float
    number: int
    of: int


class LateView(View, frozen=True, kw_only=True):
    """A promise that will not be kept: there is more work than time until it is due.

    `due` and `likely` are in the time zone of the promise. `demoted`: what can still be kept goes
    first.
    """

    product: str
    result: ResultKind
    due: datetime
    likely: datetime
    demoted: bool


class WaitingView(View, frozen=True, kw_only=True):
    """A product that waits for memory: what it needs is more than the products beside it leave."""

    product: str
    result: ResultKind
    needs_bytes: int
    free_bytes: int
    beside: tuple[str, ...]


class EndView(View, frozen=True, kw_only=True):
    """How a run ended."""

    exit_code: int
    interrupted: bool
    spilled_bytes: int = 0
