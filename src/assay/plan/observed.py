"""What decisions are based on: one read of catalog, sources and clock."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct, field

from assay.approvals import Given
from assay.facts import Figures, Part, Pointer, SourceFile, SourceState, Verdict, Version
from assay.model import Waiver
from assay.plan.restatements import RestatedRows


class Facts(Protocol):
    """What is recorded, for one environment."""

    def pointer(self, product: str) -> Pointer | None:
        """Return the pointer to the published version of a product; None for none."""

    def version(self, id: str) -> Version:
        """Return a version by id."""

    def find(self, product: str, key: str) -> Version | None:
        """Return the newest version with this key digest whose files are complete."""

    def parts(self, product: str, built_from: Collection[str]) -> Mapping[str, Part]:
        """Return the newest part built from each of these digests, if its file exists.

        Keys of the result are the digests (`Part.built_from`).
        """

    def parts_with_content(self, product: str, contents: Collection[str]) -> Sequence[Part]:
        """Return the recorded parts of a product with these content digests whose files exist."""

    def lost(self, product: str, key: str) -> Version | None:
        """Return the newest version with this key digest whose files are incomplete."""

    def latest(self, product: str) -> Version | None:
        """Return the newest version, with any key."""

    def with_content(self, product: str, digest: str) -> Version | None:
        """Return the newest version with this content digest whose files are complete."""

    def has_code(self, product: str, code: str) -> bool:
        """Return whether any version was built by the code with this digest."""

    def passed(self, version: str, contract: str, against: str) -> bool:
        """Return whether a published version is known to have passed.

        False does not mean that it failed: only `verdict` can tell that.
        """

    def verdict(self, version: str, contract: str, against: str) -> Verdict | None:
        """Return the verdict on a version under a contract; None when there is none.

        `against` is the digest of what rules read besides the version.
        """

    def failed(self, version: str, contract: str) -> Verdict | None:
        """Return the newest failed verdict on a version under a contract."""

    def restated(self, version: str) -> Sequence[RestatedRows]:
        """Return the failing rows of a version that may be published in this environment."""

    @property
    def lineage(self) -> Collection[str]:
        """The environment, and those that it was created from: what these waive counts in it."""

    def waivers(self, product: str) -> Sequence[Waiver]:
        """Return the recorded waivers of a product that count in this environment or did."""

    def difference(self, before: str, after: str) -> Figures | None:
        """Return how a version differs from another in figures; None where it is not recorded."""

    def approvals(self, version: Version) -> Given:
        """Return what is recorded about the approval of a version in this environment."""

    def latest_event(
        self, inspected_as: str, digests: Collection[str], until: datetime
    ) -> datetime | None:
        """Return the newest event, not after a moment, recorded of source files by content.

        `inspected_as` is that of the source. Files that no build has read are not counted.
        """

    def files(self, source: str) -> Mapping[str, str] | None:
        """Return the files (path to digest) of a source with this content digest, if recorded."""


class Observed(Struct, frozen=True, kw_only=True):
    """One read of catalog, sources and clock.

    - `sources`: the state of each source, by name.
    - `recorded`: number of versions recorded before; `facts` does not have later ones.
    - `seen`: the files of sources by path, as they were recorded at their last observation.
    """

    now: datetime
    environment: str
    sources: Mapping[str, SourceState]
    facts: Facts
    recorded: int = 0
    seen: Mapping[str, SourceFile] = field(default_factory=dict)
