"""The seam between deciding and remembering."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from assay.catalog.audit import Audit
from assay.model import Judged, Move, Part, Pointer, Release, SourceFile, SourceState, Verdict, Version
from assay.plan import Facts


class Catalog(Protocol):
    """Immutable facts, one transaction a write. Every method raises CatalogError when the catalog cannot be used."""

    def facts(self, environment: str, holds: "Holds") -> Facts:
        """Return what is recorded, as one environment sees it; `holds` says whether a version's files are there."""

    def pointers(self, environment: str, as_of: datetime | int | None = None) -> Mapping[str, Pointer]:
        """Return what readers see of every product, now or as of a time or a release, all from one moment."""

    def version(self, id: str) -> Version:
        """Return a version by id."""

    def versions(self, product: str, limit: int | None = None) -> Sequence[Version]:
        """Return the versions of a product, newest first."""

    def verdicts(self, version: str, environment: str = "") -> Sequence[Verdict]:
        """Return how a version was judged, newest first; before all others, in runs of this environment."""

    def releases(self, product: str, environment: str) -> Sequence[Release]:
        """Return the releases that moved a product, newest first; each with that product's move only."""

    def last_release(self, environment: str) -> Release | None:
        """Return the newest release of an environment, without its moves."""

    def seen(self) -> Mapping[str, SourceFile]:
        """Return the source files already read, by path."""

    def run(
        self, id: str, environment: str, at: datetime, paths: Iterable[str], remove: "Remove"
    ) -> AbstractContextManager[None]:
        """Hold a run open: paths it may write are recorded before it; what no version names then is removed after."""

    def record(
        self, versions: Sequence[Version], verdicts: Sequence[Verdict] = (), judged: Sequence[Judged] = ()
    ) -> Sequence[Version]:
        """Record facts, and drop the intents of their run that versions now name; return new versions as recorded."""

    def record_parts(self, product: str, parts: Sequence[Part]) -> Sequence[Part]:
        """Record parts before there is a version of them, and return them with their ids; what has one stays."""

    def relocate(self, parts: Sequence[Part], at: datetime) -> None:
        """Record where parts are by now, all or none; the files that they were in are replaced."""

    def replaced(self, before: datetime) -> Sequence[str]:
        """Return the paths of files that were replaced before a moment, and in which no part is any more."""

    def forget(self, paths: Sequence[str]) -> None:
        """Drop paths from those that were replaced: they are removed."""

    def judged(self, parts: Collection[int], rules: str) -> Mapping[int, Mapping[str, Any]]:
        """Return how these rules about single rows came out on these parts, where that is known."""

    def remember(self, files: Iterable[SourceFile], listings: Sequence[SourceState]) -> None:
        """Record source files that were read, and the files behind the content of sources: of each, the last few."""

    def release(
        self, environment: str, moves: Sequence[Move], expects: Mapping[str, int], *, run: str, at: datetime, why: str
    ) -> Release:
        """Move pointers, all or none, in one transaction.

        `expects` maps every product moved, and those that these were made of or judged by, to the release that its
        pointer should be of, 0 for nothing published; Conflict when one is of another by now.
        """

    def recover(self, remove: "Remove") -> Sequence[str]:
        """Settle the runs whose process is dead: remove what they intended and no version names. Returns their ids."""

    def damage(self) -> Sequence[str]:
        """Return what is wrong with the catalog's own file or tables, as the database says it; nothing when sound."""

    def mend(self) -> bool:
        """Make the indexes anew from the rows, where nothing is damaged after that; says whether that was so."""

    def parts(self, ids: Iterable[int]) -> Mapping[int, Part]:
        """Return parts by id, where they are recorded."""

    def twins(self, part: int) -> Sequence[Part]:
        """Return the other parts of the same product, by the same name, that hold the same rows; newest first."""

    def audit(self) -> Audit:
        """Return all that the catalog names, as of one moment."""

    def close(self) -> None:
        """Let go of the catalog."""


class Holds(Protocol):
    """Says whether every file of these parts is there."""

    def __call__(self, parts: Sequence[Part], /) -> bool: ...


class Remove(Protocol):
    """Removes a path from the store, but for the files below it that are to be kept."""

    def __call__(self, path: str, keep: Collection[str] = (), /) -> None: ...
