"""What can be known of an input, decided for a product, and said for a reason: the words of the ladder, frozen."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct, field

from assay.facts import Key, SourceState, Verdict, Version, short


class KnownInput(Struct, frozen=True, kw_only=True):
    """An input whose content is known: by digest, with the business time it reaches, and `behind` it the parts."""

    digest: str
    data_as_of: datetime | None = None
    origin: Version | SourceState | None = None


class UnknownInput(Struct, frozen=True, kw_only=True):
    """An input that will be known only when something else has run (in a plan).

    Of an input in parts, the digests of `part_digests` are told, '' for those not known yet; None: no part is known.
    """

    part_digests: Mapping[str, str] | None = None


class UnusableInput(Struct, frozen=True, kw_only=True):
    """An input that is held back, failed, held or not there (`absent`: because of a source), and why."""

    why: str
    absent: bool = False


InputState = KnownInput | UnknownInput | UnusableInput


class FirstBuild(Struct, frozen=True, kw_only=True):
    """Nothing was ever built."""

    def __str__(self) -> str:
        return "never built"


class CodeChanged(Struct, frozen=True, kw_only=True):
    """The code, or something it reaches, differs from what made the version compared with."""

    changed: tuple[str, ...]

    def __str__(self) -> str:
        return "code changed" + (f" ({', '.join(self.changed)})" if self.changed else "")


class TimePassed(Struct, frozen=True, kw_only=True):
    """It changes with time, and another hour, day or month has begun: `now` says which, as in "day 2026-12-08"."""

    now: str

    def __str__(self) -> str:
        return f"a new {self.now}"


class InputChanged(Struct, frozen=True, kw_only=True):
    """An input's content differs; for a source, with the files that did."""

    name: str
    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = (("added", self.added), ("replaced", self.replaced), ("removed", self.removed))
        said = ", ".join(
            f"{len(f)} file{'s' if len(f) > 1 else ''} {what}" for what, f in counts if f
        )
        return f"input {self.name} changed" + (f" ({said})" if said else "")


class InputsDiffer(Struct, frozen=True, kw_only=True):
    """The set of inputs differs: some are new, some are gone."""

    gained: tuple[str, ...]
    lost: tuple[str, ...]

    def __str__(self) -> str:
        said = [f"new input {name}" for name in self.gained] + [
            f"input {name} gone" for name in self.lost
        ]
        return ", ".join(said)


class BytesMissing(Struct, frozen=True, kw_only=True):
    """A version of this key was built, but its files are gone or were not kept whole."""

    version: str

    def __str__(self) -> str:
        return f"the bytes of {short(self.version)} are missing"


class Forced(Struct, frozen=True, kw_only=True):
    """The user asked for it."""

    def __str__(self) -> str:
        return "forced"


class PartsHeld(Struct, frozen=True, kw_only=True):
    """Some parts break a rule: all others can go out, and the last good ones stand in for these."""

    part_keys: tuple[str, ...]

    def __str__(self) -> str:
        return f"held back: {', '.join(self.part_keys)}"


class PartsMissing(Struct, frozen=True, kw_only=True):
    """What readers see is without some parts, or has older ones, and some of these could not be made."""

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
    | PartsHeld
    | PartsMissing
)


class Held(Struct, frozen=True, kw_only=True):
    """Rung 0: something it is made of cannot be used; `by` maps each to why. `absent`: a source cannot be read."""

    by: Mapping[str, str]
    absent: bool = False


class Maybe(Struct, frozen=True, kw_only=True):
    """Rung 1: it cannot be known before these have run. `part_digests` as in Build: at most those without a digest."""

    inputs: tuple[str, ...]
    part_digests: Mapping[str, str] = field(default_factory=dict)


class Build(Struct, frozen=True, kw_only=True):
    """Rung 2: no version exists for the wanted key.

    In a plan, of a product that follows its inputs in `part_digests`, those that are there are told with their digests; the
    others, '', are to be built.
    """

    reasons: tuple[Reason, ...]
    key: Key | None = None
    part_digests: Mapping[str, str] = field(default_factory=dict)


class Check(Struct, frozen=True, kw_only=True):
    """Rung 3: the version has no verdict under today's contract."""

    version: Version


class WhyWhole(StrEnum):
    """Why a version of a product whose parts are held back alone is held back as a whole."""

    UNNAMED = "no rule that failed says which part it failed for"
    SPLIT = "what readers have of the failed parts is split by something else"
    COLUMNS = "what readers have of the failed parts has other columns"
    NOTHING_LEFT = "every part failed, and readers have none of them"


class Waive(Struct, frozen=True, kw_only=True):
    """Rung 4, before it blocks: failing rows (by rule and part, as digests) that the user has looked at may go out."""

    version: Version
    rules: Mapping[str, Mapping[str, str]]


class Blocked(Struct, frozen=True, kw_only=True):
    """Rung 4: the verdict failed; readers keep what they have.

    Where parts are held back alone, `why_whole` says why they are not; `without` is the version without the parts
    that failed at first, if there is one, which could not go out either.
    """

    version: Version
    verdict: Verdict
    why_whole: WhyWhole | None = None
    without: "Blocked | None" = None


class Publish(Struct, frozen=True, kw_only=True):
    """Rung 5: it passed and is not what is published."""

    version: Version
    verdict: Verdict


class Keep(Struct, frozen=True, kw_only=True):
    """Rung 6: what is published is what is wanted (or is pinned)."""

    version: Version
    pinned: bool = False


Decision = Held | Maybe | Build | Check | Waive | Blocked | Publish | Keep
