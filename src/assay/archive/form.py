"""What `evidence.json` holds, as frozen values; `docs/evidence.md` says what each part means."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from msgspec import UNSET, MsgspecError, Raw, Struct, UnsetType
from msgspec.json import Decoder, Encoder, format

from assay.errors import UsageError

FORMAT = 1  # of evidence.json; another number for what this reader cannot read
MANIFEST, DOCUMENT, PAGE = "MANIFEST", "evidence.json", "evidence.html"


class RunRecord(Struct, frozen=True, kw_only=True):
    """A run: the command in words, whose it was, when it began; None where it is not recorded."""

    id: str
    asked: str = ""
    who: str = ""
    started_at: datetime | None = None


class ReleaseRecord(Struct, frozen=True, kw_only=True):
    """The release that published the version, and until when readers saw it; None: still."""

    id: int
    at: datetime
    why: str
    run: RunRecord
    until: datetime | None = None


class ColumnRecord(Struct, frozen=True, kw_only=True):
    """A column as stored; `sensitive`: no value of it is shown."""

    name: str
    type: str
    logical: str = ""
    description: str = ""
    sensitive: bool = False


class FileRecord(Struct, frozen=True, kw_only=True):
    """A stored file: its path in the store, and the entry of the archive that has it ('': none)."""

    path: str
    bytes: int
    sha256: str
    entry: str = ""


class PartRecord(Struct, frozen=True, kw_only=True):
    """Rows of a version: `rows` rows of a file from row `start`; `digest` is of their content.

    `aside` is the digest of the rows that were set aside of a part; '' where no rule sets any.
    """

    key: str
    file: str
    start: int
    rows: int
    digest: str
    of: int | None = None
    aside: str = ""

    @property
    def content(self) -> list[str]:
        """What identifies its content in the digest of a version."""
        return [self.key, self.digest, *([self.aside] if self.aside else [])]


class InputRecord(Struct, frozen=True, kw_only=True):
    """What a version was built from: content digest, and the version that has it.

    `version` is '' for a source, and where no version of this content is recorded any more.
    """

    name: str
    digest: str
    version: str = ""


class TotalRecord(Struct, frozen=True, kw_only=True):
    """A control total: the sum of a column (None: no value), and how many rows have none.

    `promised`: a rule is about this total.
    """

    column: str
    sum: str | None
    nulls: int
    promised: bool = False


class RuleRecord(Struct, frozen=True, kw_only=True):
    """The result of a rule, with what it demands: its query or condition, and what is tolerated."""

    name: str
    status: str
    severity: str
    because: str = ""
    owner: str = ""
    dimension: str = ""
    demands: str = ""
    tolerates: str = ""
    measured: Any = None
    failing: int | None = None
    rows: int | None = None
    samples: tuple[Mapping[str, Any], ...] = ()
    message: str = ""
    how: str = ""
    waived: str = ""
    waived_by: tuple[str, ...] = ()


class VerdictRecord(Struct, frozen=True, kw_only=True):
    """The results of all rules on a version. `contract` identifies the rules."""

    status: str
    judged_at: datetime
    contract: str
    run: RunRecord
    rules: tuple[RuleRecord, ...]
    restated: str = ""


class WaiverRecord(Struct, frozen=True, kw_only=True):
    """Permission to publish what fails a rule."""

    id: str
    rule: str
    tolerates: str
    because: str
    author: str
    approved_by: str
    until: date
    at: datetime | None = None
    withdrawn: datetime | None = None


class ApprovalRecord(Struct, frozen=True, kw_only=True):
    """That somebody agreed that the version is published; `release` is the one that it let out."""

    approver: str
    because: str
    author: str
    at: datetime | None
    release: int


class RestatementRecord(Struct, frozen=True, kw_only=True):
    """Settled rows that somebody examined and allowed to change."""

    rule: str
    parts: tuple[str, ...]
    because: str
    who: str
    at: datetime


class CodeRecord(Struct, frozen=True, kw_only=True):
    """The code that a version was built by.

    - `digest`: identifies it; `reached` has the digest of each thing that it consists of.
    - `recorded`: "when it was built"; or "now", if only today's code with this digest is known; or ''.
    - `sql`: the query, of a product that is one.
    - `files`: the texts that it is in, by path, each with its entry.
    - `declared`: the declaration as JSON, with its contract and rules.
    - `tools`: versions of Python, the engines and libraries.
    """

    digest: str
    reached: Mapping[str, str]
    recorded: str = ""
    sql: str = ""
    files: tuple[FileRecord, ...] = ()
    tools: Mapping[str, str] = {}
    declared: Raw | UnsetType = UNSET


class VersionRecord(Struct, frozen=True, kw_only=True):
    """A version of a product.

    - `digest`: of the content; `key`: of code and inputs.
    - `rows_in`: rows before some were set aside.
    - `held`: parts held back, each with the digest of the part in its place.
    """

    product: str
    id: str
    digest: str
    key: str
    owner: str
    purpose: str
    built_at: datetime
    data_as_of: datetime | None
    run: RunRecord
    rows: int
    bytes: int
    columns: tuple[ColumnRecord, ...]
    files: tuple[FileRecord, ...]
    parts: tuple[PartRecord, ...]
    in_parts: bool
    inputs: tuple[InputRecord, ...]
    code: CodeRecord
    totals: tuple[TotalRecord, ...] = ()
    verdicts: tuple[VerdictRecord, ...] = ()
    waivers: tuple[WaiverRecord, ...] = ()
    restatements: tuple[RestatementRecord, ...] = ()
    approvals: tuple[ApprovalRecord, ...] = ()
    rows_in: int | None = None
    held: Mapping[str, str] = {}


class SourceFileRecord(Struct, frozen=True, kw_only=True):
    """A file of a source as it was read."""

    path: str
    bytes: int
    sha256: str
    part: str = ""


class SourceRecord(Struct, frozen=True, kw_only=True):
    """A source as it was read. `digest` is of all files (None: not recorded) and of `reading`.

    `rows` and `totals` are of its files as they are, where they still are what was read.
    """

    name: str
    digest: str
    reading: str = ""
    owner: str = ""
    purpose: str = ""
    pattern: str = ""
    files: tuple[SourceFileRecord, ...] | None = None
    rows: int | None = None
    totals: tuple[TotalRecord, ...] = ()


class PromiseRecord(Struct, frozen=True, kw_only=True):
    """A promise of freshness that fell due, and how it came out: kept, late or missed."""

    name: str
    due: datetime
    state: str
    came: datetime | None = None
    cause: str = ""


class MessageRecord(Struct, frozen=True, kw_only=True):
    """What somebody was told, by which route of the settings, and when it was delivered."""

    at: datetime
    route: str
    to: str
    event: str
    subject: str
    sent: datetime | None = None
    error: str = ""


class IncidentRecord(Struct, frozen=True, kw_only=True):
    """Something that was wrong with the product, or with what it was built from."""

    about: str
    kind: str
    opened: datetime
    closed: datetime | None = None
    rules: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    error: str = ""
    reason: str = ""
    messages: tuple[MessageRecord, ...] = ()


class FlowRecord(Struct, frozen=True, kw_only=True):
    """A column that flows into another; `column` is '' for the rows, `*` for each column."""

    source: str
    source_column: str
    target: str
    target_column: str
    how: tuple[str, ...]


class Evidence(Struct, frozen=True, kw_only=True):
    """All of it; the first of `versions` is the one that it is about.

    `missing` says what is not in it, and why.
    """

    format: int = FORMAT
    project: str
    environment: str
    product: str
    version: str
    release: ReleaseRecord
    versions: tuple[VersionRecord, ...]
    sources: tuple[SourceRecord, ...]
    promises: tuple[PromiseRecord, ...] = ()
    incidents: tuple[IncidentRecord, ...] = ()
    lineage: tuple[FlowRecord, ...] = ()
    missing: tuple[str, ...] = ()


class _Format(Struct):
    format: int


_encode = Encoder(order="deterministic").encode


def encoded(evidence: Evidence) -> bytes:
    """Return the content of evidence.json: equal for equal evidence."""
    return format(_encode(evidence), indent=1) + b"\n"


def decoded(content: bytes) -> Evidence:
    """Return the evidence in an evidence.json; UsageError for anything else."""
    try:
        number = Decoder(_Format).decode(content).format
        if number != FORMAT:
            raise UsageError(
                f"{DOCUMENT} is of format {number}; this Assay reads {FORMAT}",
                hint="Check it with the Assay that wrote it, or a later one.",
            )
        return Decoder(Evidence).decode(content)
    except (MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise UsageError(f"{DOCUMENT} is not evidence as Assay writes it: {error}") from None
