"""What is known when deciding: one read of catalog, sources and clock."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct, field

from assay.facts import Part, Pointer, SourceFile, SourceState, Verdict, Version
from assay.plan.waivers import Waiver


class Facts(Protocol):
    """What is recorded, as one environment sees it; bytes that are missing make a version not found."""

    def pointer(self, product: str) -> Pointer | None:
        """Return what readers see of a product."""

    def version(self, id: str) -> Version:
        """Return a version by id."""

    def find(self, product: str, key: str) -> Version | None:
        """Return the newest version of this key whose bytes are all there."""

    def parts(self, product: str, built_from: Collection[str]) -> Mapping[str, Part]:
        """Return the newest part, of each of these keys, whose bytes are there, by what it was made of."""

    def lost(self, product: str, key: str) -> Version | None:
        """Return the newest version of this key whose bytes are not there."""

    def latest(self, product: str) -> Version | None:
        """Return the newest version, of any key."""

    def has_code(self, product: str, code: str) -> bool:
        """Say whether any version was made by this code."""

    def passed(self, version: str, contract: str, against: str) -> bool:
        """Say whether a version that readers see is known to have passed; False also where that takes more to tell."""

    def verdict(self, version: str, contract: str, against: str) -> Verdict | None:
        """Return how a version was judged."""

    def failed(self, version: str, contract: str) -> Verdict | None:
        """Return the newest verdict of a version under a contract that it did not pass."""

    def waivers(self, version: str) -> Sequence[Waiver]:
        """Return what may go out of a version, in this environment, although it fails a rule."""

    def files(self, source: str) -> Mapping[str, str] | None:
        """Return the files (path to digest) behind the content digest of a source, if they were recorded."""


class Observed(Struct, frozen=True, kw_only=True):
    """One read of catalog, sources and clock; versions that are `recorded` later are not in it.

    `seen` are the files of sources that were read before, as they were then.
    """

    now: datetime
    environment: str
    sources: Mapping[str, SourceState]
    facts: Facts
    recorded: int = 0
    seen: Mapping[str, SourceFile] = field(default_factory=dict)
