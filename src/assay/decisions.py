"""States of inputs, decisions of the ladder, and the reasons for a build, as frozen values."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct, field

from assay.approvals import Approval
from assay.facts import Key, SourceState, Verdict, Version, short


class KnownInput(Struct, frozen=True, kw_only=True):
    """An input whose content is known.

    - `digest`: its content digest.
    - `data_as_of`: business time that the data reaches; None when not known.
    - `origin`: the version, or the state of the source, that has the content.
    """

    digest: str
    data_as_of: datetime | None = None
    origin: Version | SourceState | None = None


class UnknownInput(Struct, frozen=True, kw_only=True):
    """An input whose content is known only after something else has run; occurs in plans.

    `part_digests` has the content digest of each part of an input in parts, '' for a part that is
    not known yet; None when no part is known.
    """

    part_digests: Mapping[str, str] | None = None


class UnusableInput(Struct, frozen=True, kw_only=True):
    """An input that is held back, has failed or is missing.

    - `why`: the cause, for messages.
    - `absent`: whether the cause is a source that cannot be read.
    """

    why: str
    absent: bool = False


InputState = KnownInput | UnknownInput | UnusableInput


class FirstBuild(Struct, frozen=True, kw_only=True):
    """No version was ever built."""

    def __str__(self) -> str:
        return "never built"


class CodeChanged(Struct, frozen=True, kw_only=True):
    """The code differs from that of an earlier version; `changed` names what differs."""

    changed: tuple[str, ...]

    def __str__(self) -> str:
        return "code changed" + (f" ({', '.join(self.changed)})" if self.changed else "")


class TimePassed(Struct, frozen=True, kw_only=True):
    """The product changes with time, and `now` has begun, such as "day 2026-12-08"."""

    now: str

    def __str__(self) -> str:
        return f"a new {self.now}"


class InputChanged(Struct, frozen=True, kw_only=True):
    """The content of an input changed; of a source, also the paths of the files that changed."""

    name: str
    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def counts(self) -> str:
        """How many files changed, in words; '' when they are not known."""
        changes = {"added": self.added, "replaced": self.replaced, "removed": self.removed}
        return ", ".join(
            f"{len(files)} file{'s' if len(files) > 1 else ''} {change}"
            for change, files in changes.items()
            if files
        )

    def __str__(self) -> str:
        return f"input {self.name} changed" + (f" ({self.counts})" if self.counts else "")


class InputsDiffer(Struct, frozen=True, kw_only=True):
    """The product has other inputs than before: `gained` are new, `lost` were removed."""

    gained: tuple[str, ...]
    lost: tuple[str, ...]

    def __str__(self) -> str:
        gained = [f"new input {name}" for name in self.gained]
        lost = [f"input {name} gone" for name in self.lost]
        return ", ".join(gained + lost)


class BytesMissing(Struct, frozen=True, kw_only=True):
    """A version of this key was built, but its files are missing or damaged."""

    version: str

    def __str__(self) -> str:
        return f"the bytes of {short(self.version)} are missing"


class Forced(Struct, frozen=True, kw_only=True):
    """The user asked for the build."""

    def __str__(self) -> str:
        return "forced"


class FromStart(Struct, frozen=True, kw_only=True):
    """The user asked to build a product that reads `previous` without its earlier versions."""

    def __str__(self) -> str:
        return "from the start"


class PartsHeld(Struct, frozen=True, kw_only=True):
    """Some parts fail a rule; a version is built with the earlier parts in their place."""

    part_keys: tuple[str, ...]

    def __str__(self) -> str:
        return f"held back: {', '.join(self.part_keys)}"


class PartsMissing(Struct, frozen=True, kw_only=True):
    """The newest version lacks some parts, or has earlier ones, because they could not be built."""

    part_keys: tuple[str, ...]

    def __str__(self) -> str:
        return f"not every part could be made; held back: {', '.join(self.part_keys)}"


Reason = (
    FirstBuild
    | CodeChanged
    | TimePassed
    | InputChanged
    | InputsDiffer
    | BytesMissing
    | Forced
    | FromStart
    | PartsHeld
    | PartsMissing
)


class Held(Struct, frozen=True, kw_only=True):
    """Rung 0: an input cannot be used.

    `by` maps each such input to the cause; `absent` tells whether a cause is a source that cannot
    be read.
    """

    by: Mapping[str, str]
    absent: bool = False


class Maybe(Struct, frozen=True, kw_only=True):
    """Rung 1: whether a build is needed is known only after `inputs` were built.

    `part_digests` as in Build.
    """

    inputs: tuple[str, ...]
    part_digests: Mapping[str, str] = field(default_factory=dict)


class Build(Struct, frozen=True, kw_only=True):
    """Rung 2: no version exists for the wanted key.

    - `key`: the wanted key; None when it is known only after inputs were built.
    - `part_digests`: in a plan, the parts of a product that follows its inputs, each with its
      content digest; '' for a part that has to be built.
    """

    reasons: tuple[Reason, ...]
    key: Key | None = None
    part_digests: Mapping[str, str] = field(default_factory=dict)


class Check(Struct, frozen=True, kw_only=True):
    """Rung 3: the version has no verdict under the current contract."""

    version: Version


class WhyWhole(StrEnum):
    """Why a whole version is held back although its product holds back only the parts that fail."""

    UNNAMED = "no rule that failed says which part it failed for"
    SPLIT = "what readers have of the failed parts is split by something else"
    COLUMNS = "what readers have of the failed parts has other columns"
    NOTHING_LEFT = "every part failed, and readers have none of them"


class Restate(Struct, frozen=True, kw_only=True):
    """Rung 4, instead of Blocked: failing rows may be published because the user has examined them.

    `rules` has the digest of the examined rows, by rule and part.
    """

    version: Version
    rules: Mapping[str, Mapping[str, str]]


class Waive(Struct, frozen=True, kw_only=True):
    """Rung 4, instead of Blocked: waivers let through what fails.

    `verdict` is the one that failed, as it is with the waivers; it is recorded beside the other.
    """

    version: Version
    verdict: Verdict


class Blocked(Struct, frozen=True, kw_only=True):
    """Rung 4: the verdict failed, so the published version stays as it is.

    - `why_whole`: why not only the failed parts are held back, of a product that holds back parts.
    - `without`: the decision on the version without the parts that failed first, which failed as
      well; None when there is none.
    """

    version: Version
    verdict: Verdict
    why_whole: WhyWhole | None = None
    without: "Blocked | None" = None


class AwaitApproval(Struct, frozen=True, kw_only=True):
    """Rung 5: the version passed, and people who have to agree did not all do so yet.

    - `approvers`: who may still approve it.
    - `needed`: how many approvals it needs; `given` are those that count.
    - `void`: which approvals do not count any more, and why, in words.
    - `author`: the user whose run built it; '' if it is not known.
    """

    version: Version
    verdict: Verdict
    approvers: tuple[str, ...]
    needed: int = 1
    given: tuple[Approval, ...] = ()
    void: tuple[str, ...] = ()
    author: str = ""

    @property
    def missing(self) -> int:
        """How many approvals are missing."""
        return self.needed - len(self.given)

    @property
    def waits_for(self) -> str:
        """Whose approval is missing, in words, such as "the approval of a or b"."""
        who, missing = self.approvers, self.missing
        if len(who) < missing:
            because = f": {self.author} built it, and may not approve it" if self.author else ""
            count = "an approval" if missing == 1 else f"{missing} approvals"
            return f"{count} that nobody may give{because}"
        if missing == len(who):
            return f"the approval of {' and '.join(who)}"
        if missing == 1:
            return f"the approval of {' or '.join(who)}"
        return f"{missing} approvals of {', '.join(who)}"


class Publish(Struct, frozen=True, kw_only=True):
    """Rung 6: the version passed, is not published yet, and may be.

    `approvals` are those that let it out, of a product that asks for approval.
    """

    version: Version
    verdict: Verdict
    approvals: tuple[Approval, ...] = ()


class Keep(Struct, frozen=True, kw_only=True):
    """Rung 7: the published version is the wanted one, or is pinned.

    `waived` says of each rule that fails and is waived: until when, by whom and why.
    """

    version: Version
    pinned: bool = False
    waived: tuple[str, ...] = ()


Decision = Held | Maybe | Build | Check | Restate | Waive | Blocked | AwaitApproval | Publish | Keep
