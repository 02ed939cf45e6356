"""What is recorded: versions, verdicts, pointers, releases and the state of sources."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from assay.model import Code, Column, Severity


class Key(Struct, frozen=True, kw_only=True):
    """What would be built: the code and the content of every input, by digest.

    `held` are parts that are held back: each with the digest of the part that stands in for it, '' for none.
    """

    digest: str
    code: Code
    inputs: Mapping[str, str]
    held: Mapping[str, str] = field(default_factory=dict)


class Part(Struct, frozen=True, kw_only=True, gc=False):
    """Immutable rows of one or more versions: a file, or rows of one. An unpartitioned version has one part, ''.

    `path` is relative to the store; `bytes`, `checksum` and `modified` (when it was written, in ns; 0: not known) are
    the file's. Where the file holds other parts as well, it has rows `of` which this part's begin at `start`. The part
    of a product in parts is a fact of its own, with the `digest` of its content, the key it was `made_of` and the
    digest of what it used of each of the `inputs`.
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

    @property
    def file(self) -> tuple[str, int, int, str]:
        """What is the same for all parts that are rows of the same file, as it was written."""
        return self.path, self.bytes, self.modified, self.checksum


class Version(Struct, frozen=True, kw_only=True):
    """The immutable bytes of one build. `digest` is that of the content, whatever the order of rows or files.

    `rows_in` is how many rows there were before some were set aside, in a part called `quarantine`; None: none can be.
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

    @property
    def in_parts(self) -> bool:
        """Whether its parts are facts of their own."""
        return not self.parts or bool(self.parts[0].built_from)

    def part(self, key: str) -> Part | None:
        """Return the part of this key, if there is one."""
        return next((part for part in self.parts if part.key == key), None)


class Status(StrEnum):
    """How a rule, or a whole verdict, came out. `error`: could not be judged; blocks like `failed`."""

    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


class PartCount(Struct, frozen=True, kw_only=True):
    """How many rows of one part fail a rule, of so many."""

    part: str
    failing: int
    rows: int


class RuleResult(Struct, frozen=True, kw_only=True):
    """How one rule came out on one version.

    `failing` rows of `rows` are counted and up to five sampled, each with the key and the offending columns. A rule
    that compares has the largest value `measured` instead. `threshold` says what was allowed, `how` it was judged:
    schema, pruned, fused, sorted, polars, pandera or sql. A rule that is judged part by part has the worst of the
    `part_counts` in which rows fail.
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
    digests: Mapping[str, str] = field(
        default_factory=dict
    )  # of failing rows, by part, where they may be waived


class PartFindings(Struct, frozen=True, kw_only=True):
    """What rules (`rules` is a digest of them) found in a part (by id), as plain data: in its rows, or as totals."""

    part: int
    rules: str
    results: Mapping[str, Any]


class Verdict(Struct, frozen=True, kw_only=True):
    """A version judged under a contract, `against` the digests of what its rules read besides it.

    `restated` says why rows that were settled may have changed in it. `failed_parts` are the parts that failed a rule
    which says so.
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


class Pointer(Struct, frozen=True, kw_only=True):
    """What readers of one environment see of a product: `previous` is the version that this one replaced."""

    product: str
    version: str
    release: int
    released_at: datetime
    previous: str = ""
    pinned: bool = False


class Move(Struct, frozen=True, kw_only=True):
    """One pointer to be moved by a release; `previous` is what it replaces, '' when nothing was published.

    A `version` of '' takes the product away from its readers.
    """

    product: str
    version: str
    previous: str = ""
    pinned: bool = False


class Release(Struct, frozen=True, kw_only=True):
    """The one atomic act that moved pointers, of one or many products."""

    id: int
    environment: str
    at: datetime
    run: str
    why: str
    moves: tuple[tuple[str, str], ...] = ()


class SourceFile(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One file of a source as observed: path relative to the project root, size in bytes, ctime in ns, SHA-256.

    `part` is the part of the source that it belongs to; `inode` and `device` tell it from another under the same path.
    A ctime of 0 does not tell whether it is still the same.
    """

    path: str
    size: int
    ctime_ns: int
    digest: str
    part: str = ""
    inode: int = 0
    device: int = 0


class SourceState(Struct, frozen=True, kw_only=True):
    """A source as observed: the digest of what it holds and how it is read; or `missing`, why it can't be read."""

    name: str
    digest: str = ""
    files: tuple[SourceFile, ...] = ()
    missing: str = ""
    reading: str = ""


def short(version: str) -> str:
    """Return a version id as it is shown: enough of it to tell versions of one product apart."""
    return version[:7]
