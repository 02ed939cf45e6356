"""What is recorded: versions, verdicts, pointers, releases and the state of sources."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from assay.approvals import Approval
from assay.model import QUARANTINE, Code, Column, Severity


class Key(Struct, frozen=True, kw_only=True):
    """What a version is built for: its code and the content of each input, by digest.

    - `digest`: identifies the key; two versions with the same one are built from the same things.
    - `inputs`: content digest of each input, by full name.
    - `held`: parts that are held back of the version, each with the digest of the earlier part that
      is published in its place; '' for none.
    """

    digest: str
    code: Code
    inputs: Mapping[str, str]
    held: Mapping[str, str] = field(default_factory=dict)


class Part(Struct, frozen=True, kw_only=True, gc=False):
    """Immutable rows that one or more versions consist of: a file, or a range of rows in one.

    A version of a product without parts has one part, with the key ''. Parts of a product in parts
    are recorded on their own, so that versions can share them; only these have `built_from`,
    `inputs` and `digest`.

    - `key`: the name of the part, such as `2024-01-31` or `london`.
    - `path`: path of the file, relative to the store.
    - `rows`: number of rows of the part.
    - `bytes`, `checksum`: size and SHA-256 of the file.
    - `id`: number of the part in the catalog; 0 before it is recorded.
    - `start`, `of`: the first row of the part in the file (from 0), and the number of rows in the
      file. `of` is None when the file holds no other part.
    - `built_from`: digest of the code, the key and the inputs that the part was built from.
    - `inputs`: digest of what the part used of each input, by alias.
    - `digest`: content digest of the part.
    - `seconds`: how long building the part took.
    - `data_as_of`: business time of its latest event; None when not known.
    - `modified`: when the file was written, in ns since 1970; 0 when not known.
    - `aside`: the failing rows that were set aside while the part was built, as a part of the
      product that holds them; None when no rule of the product sets rows aside.
    - `rows_in`: number of rows before they were set aside; None without `aside`.
    """

    key: str = ""
    path: str
    rows: int
    bytes: int
    checksum: str
    id: int = 0
    start: int = 0
    of: int | None = None
    built_from: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    columns: tuple[Column, ...] = ()
    seconds: float = 0.0
    data_as_of: datetime | None = None
    modified: int = 0
    aside: "Part | None" = None
    rows_in: int | None = None

    @property
    def content(self) -> list[str]:
        """What identifies its content in the digest of a version: rows set aside count, too."""
        own = [self.key, self.digest]
        return [*own, self.aside.digest] if self.aside else own

    @property
    def file(self) -> tuple[str, int, int, str]:
        """What identifies the file as it was written; equal for all parts in one file."""
        return self.path, self.bytes, self.modified, self.checksum


class Version(Struct, frozen=True, kw_only=True):
    """The immutable result of one build.

    - `digest`: content digest; the order of rows and files does not count.
    - `rows`, `bytes`: totals of its parts.
    - `seconds`: how long the build took.
    - `run`: id of the run that built it.
    - `data_as_of`: business time that the data reaches; None when not known.
    - `rows_in`: number of rows before failing ones were set aside: in a part called `quarantine`,
      or, of a product in parts, in what each part has `aside`. None when no rule sets rows aside.
    - `peak`: the most memory in bytes that building it needed; 0 when not known.
    """

    id: str
    product: str
    key: Key
    digest: str
    columns: tuple[Column, ...]
    rows: int
    bytes: int
    built_at: datetime
    seconds: float
    run: str
    parts: tuple[Part, ...]
    data_as_of: datetime | None = None
    rows_in: int | None = None
    peak: int = 0

    @property
    def in_parts(self) -> bool:
        """Whether its parts are recorded on their own."""
        return not self.parts or bool(self.parts[0].built_from)

    @property
    def asides(self) -> tuple[Part, ...]:
        """The parts of the rows that were set aside while it was built."""
        if self.in_parts:
            return tuple(part.aside for part in self.parts if part.aside)
        return tuple(part for part in self.parts if part.key == QUARANTINE)

    def part(self, key: str) -> Part | None:
        """Return the part with this key; None when there is none."""
        return next((part for part in self.parts if part.key == key), None)


class BuildCost(Struct, frozen=True, kw_only=True):
    """What the last build of a product took: seconds, and bytes of memory; 0 when not known."""

    seconds: float = 0.0
    peak: int = 0


class Status(StrEnum):
    """The result of a rule, or of a whole verdict.

    `error` means that a rule could not be checked; it prevents a release, as `failed` does. A rule
    is `skipped` when it has nothing to compare with.
    """

    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


class PartCount(Struct, frozen=True, kw_only=True):
    """The number of rows of one part that fail a rule, and the number of its rows."""

    part: str
    failing: int
    rows: int


class WaiverOver(Struct, frozen=True, kw_only=True):
    """A waiver that would let a result through, if it were not over; `text` says how it ended.

    - `at`: when it ended; None where that is not known.
    """

    text: str
    at: datetime | None


class RuleResult(Struct, frozen=True, kw_only=True):
    """The result of one rule on one version.

    - `failing`, `rows`: number of failing rows, and of rows checked; None when rows are not
      counted.
    - `measured`: the largest value, of a rule that compares values.
    - `threshold`: the limit in words.
    - `how`: the strategy that checked it: schema, pruned, fused, sorted, polars, pandera, sql,
      totals or remembered.
    - `samples`: up to five failing rows, each with the key and the columns of the rule.
    - `message`: explains the result where numbers cannot.
    - `part_counts`: the parts with the most failing rows, of a rule that is checked part by part.
    - `digests`: digest of the failing rows of each part, where they may be restated.
    - `failing_rows`: digests of the failing rows, by part ('' for rows without one), where they
      are few enough to be waived one by one.
    - `new`: how many of these rows did not fail at the last verdict; None where that is not known.
    - `known`: digests of the others, by the moment of the verdict that first found them. A warning
      whose rows are not known and that is no worse than the last one has that moment alone.
    - `waived`: until when, by whom and why it may be published although it fails; '' if nothing is
      waived. `waived_by` has the ids of the waivers.
    - `over`: the last waiver that would let it through, if it were not over; never recorded.
    """

    text: str
    status: Status
    severity: Severity = Severity.ERROR
    dimension: str = ""
    because: str = ""
    owner: str = ""
    failing: int | None = None
    rows: int | None = None
    measured: float | int | str | None = None
    threshold: str = ""
    how: str = ""
    samples: tuple[Mapping[str, Any], ...] = ()
    message: str = ""
    part_counts: tuple[PartCount, ...] = field(default=(), name="parts")
    digests: Mapping[str, str] = field(default_factory=dict)
    failing_rows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    new: int | None = None
    known: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    waived: str = ""
    waived_by: tuple[str, ...] = ()
    over: WaiverOver | None = None


def worst_status(results: Iterable[RuleResult]) -> Status:
    """Return the status of a verdict: that of its worst rule, and `error` is worst."""
    statuses = {result.status for result in results}
    for status in (Status.ERROR, Status.FAILED, Status.WARNING):
        if status in statuses:
            return status
    return Status.PASSED


class PartFindings(Struct, frozen=True, kw_only=True):
    """What checking found in one part, kept so that the part is not read again.

    - `part`: id of the part.
    - `rules`: digest of the rules that were checked.
    - `results`: findings or totals by rule, as data that JSON can hold.
    """

    part: int
    rules: str
    results: Mapping[str, Any]


class Verdict(Struct, frozen=True, kw_only=True):
    """The result of checking a version under a contract.

    - `contract`: digest of the contract.
    - `against`: digest of what rules read besides the version, such as other products and the
      clock; '' when they read nothing else.
    - `restated`: why settled rows may have changed in the version; '' when they may not.
    - `failed_parts`: parts that fail a rule which can tell the part.
    """

    version: str
    contract: str
    against: str
    status: Status
    results: tuple[RuleResult, ...]
    judged_at: datetime
    run: str
    restated: str = ""
    failed_parts: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the version may be published."""
        return self.status in {Status.PASSED, Status.WARNING}


class TotalChange(Struct, frozen=True, kw_only=True):
    """The sum of a column in two versions; a decimal number as text, None where there is none."""

    column: str
    before: int | float | str | None
    after: int | float | str | None


class Figures(Struct, frozen=True, kw_only=True):
    """How two versions of a product differ, in figures; they never change.

    - `new`, `changed`, `gone`: numbers of rows; None where they were not counted, and `changed` also
      where no key matches rows.
    - `totals`: sums of the columns that rules promise, without sensitive ones.
    """

    rows_before: int
    rows_after: int
    new: int | None = None
    changed: int | None = None
    gone: int | None = None
    totals: tuple[TotalChange, ...] = ()


class Pointer(Struct, frozen=True, kw_only=True):
    """The published version of a product in one environment.

    - `release`: number of the release that published it.
    - `released_at`: when that was; of one that was copied from another environment, when it was
      published there.
    - `previous`: the version that it replaced; '' for none.
    - `pinned`: whether it stays published until somebody unpins it.
    """

    product: str
    version: str
    release: int
    released_at: datetime
    previous: str = ""
    pinned: bool = False


class Environment(Struct, frozen=True, kw_only=True):
    """A named set of pointers.

    `parent` is the environment whose pointers it was created with, '' for none.
    """

    name: str
    parent: str
    created_at: datetime


class Move(Struct, frozen=True, kw_only=True):
    """A change of one pointer, made by a release.

    - `version`: the version to publish; '' takes the product away from its readers.
    - `previous`: the version that is published until then; '' for none.
    - `waivers`: the ids of those that let the version through: none may be withdrawn by then.
    - `approvals`: those that let it out: the same holds, and each lets out one release.
    """

    product: str
    version: str
    previous: str = ""
    pinned: bool = False
    waivers: tuple[str, ...] = ()
    approvals: tuple[Approval, ...] = ()


class Release(Struct, frozen=True, kw_only=True):
    """One atomic change of the pointers of one or many products.

    - `id`: number of the release; later ones have higher numbers.
    - `why`: the reason, as shown to readers of the history.
    - `moves`: the products, each with the version that was published; '' for none.
    """

    id: int
    environment: str
    at: datetime
    run: str
    why: str
    moves: tuple[tuple[str, str], ...] = ()


class RunSummary(Struct, frozen=True, kw_only=True):
    """How a run ended; recorded with it.

    - `at`: when it ended; `seconds`: how long it took.
    - `built`: how many products were built.
    - `counts`: the number of products by result: published, unchanged, held back, held, failed,
      left, unfinished, busy; and `parts held back` of those that are published without them.
    - `names`: the first products of each result but `unchanged`.
    """

    at: datetime
    seconds: float
    built: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class RecordedRun(Struct, frozen=True, kw_only=True):
    """A run as it is recorded.

    - `state`: running, done, interrupted or crashed.
    - `asked`: the command, in words; `who`: the user of the system, '' if not known.
    - `summary`: None while it runs, and when it was killed.
    """

    id: str
    environment: str
    state: str
    started_at: datetime
    host: str
    pid: int
    asked: str
    who: str = ""
    summary: RunSummary | None = None


class SourceFile(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A file of a source as it was observed.

    - `path`: path relative to the project root.
    - `size`: size in bytes.
    - `ctime_ns`: when the file was last changed, in ns since 1970. 0 when it was changed too
      recently for the time to show a later change.
    - `digest`: SHA-256 of the content.
    - `part`: key of the part of the source that the file belongs to.
    - `inode`, `device`: identify the file on this machine, so that one that replaces it is noticed.
    - `modified_ns`: when the file was last written, in ns since 1970, as its sender or a program
      may have set it; 0 when not known.
    """

    path: str
    size: int
    ctime_ns: int
    digest: str
    part: str = ""
    inode: int = 0
    device: int = 0
    modified_ns: int = 0


class SourceState(Struct, frozen=True, kw_only=True):
    """A source as it was observed.

    - `digest`: digest of the content of all files and of how they are read; '' for a missing
      source.
    - `missing`: why the source cannot be read; '' when it can.
    - `reading`: digest of how the files are read.
    """

    name: str
    digest: str = ""
    files: tuple[SourceFile, ...] = ()
    missing: str = ""
    reading: str = ""


class Listing(Struct, frozen=True, kw_only=True):
    """The files of a source as a run read them; `digest` is that of its state, `seen` when it was."""

    digest: str
    seen: datetime | None
    files: tuple[SourceFile, ...]


class UndeclaredColumn(Struct, frozen=True, kw_only=True):
    """A column that files of a source have and that the source does not declare.

    `part` and `file` are the first that have it, `seen` is when that was first observed. Of the name
    '', they are the first file that was inspected at all.
    """

    source: str
    name: str
    part: str
    file: str
    seen: datetime


class Arrival(Struct, frozen=True, kw_only=True):
    """New content of a source, or of one of its parts.

    - `part`: key of the part; '' for a source without placeholders, as a whole.
    - `at`: when it was there, as far as the times of its files tell; otherwise `seen`.
    - `seen`: when it was observed.
    """

    source: str
    part: str = ""
    at: datetime
    seen: datetime


def short(version: str) -> str:
    """Return a version id as it is shown: its first 7 characters."""
    return version[:7]
