"""The facts that a run decides on: those observed at its start, and those it has added."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from assay.approvals import Given
from assay.facts import Figures, Part, Pointer, Verdict, Version
from assay.model import Waiver
from assay.plan.observed import Facts
from assay.plan.restatements import RestatedRows


class RunFacts(Struct):
    """The facts as `observed` at the start of a run; facts of this run take precedence."""

    observed: Facts
    versions: dict[str, Version] = field(default_factory=dict)
    by_key: dict[tuple[str, str], Version] = field(default_factory=dict)
    new_parts: dict[str, dict[str, Part]] = field(default_factory=dict)
    verdicts: dict[tuple[str, str, str], Verdict] = field(default_factory=dict)
    new_restated: dict[str, list[RestatedRows]] = field(default_factory=dict)

    def pointer(self, product: str) -> Pointer | None:
        return self.observed.pointer(product)

    def version(self, id: str) -> Version:
        return self.versions.get(id) or self.observed.version(id)

    def find(self, product: str, key: str) -> Version | None:
        return self.by_key.get((product, key)) or self.observed.find(product, key)

    def parts(self, product: str, built_from: Collection[str]) -> Mapping[str, Part]:
        new = self.parts_of_run(product, built_from)
        recorded = self.observed.parts(product, [key for key in built_from if key not in new])
        return {**recorded, **new}

    def parts_of_run(self, product: str, built_from: Collection[str]) -> dict[str, Part]:
        """Return the parts, of these keys, that this run has built."""
        new = self.new_parts.get(product)
        return {key: new[key] for key in built_from if key in new} if new else {}

    def parts_with_content(self, product: str, contents: Collection[str]) -> Sequence[Part]:
        return self.observed.parts_with_content(product, contents)

    def lost(self, product: str, key: str) -> Version | None:
        return self.observed.lost(product, key)

    def latest(self, product: str) -> Version | None:
        return self.observed.latest(product)

    def with_content(self, product: str, digest: str) -> Version | None:
        return self.observed.with_content(product, digest)

    def has_code(self, product: str, code: str) -> bool:
        return self.observed.has_code(product, code)

    def passed(self, version: str, contract: str, against: str) -> bool:
        return version not in self.versions and self.observed.passed(version, contract, against)

    def verdict(self, version: str, contract: str, against: str) -> Verdict | None:
        if verdict := self.verdicts.get((version, contract, against)):
            return verdict
        if version in self.versions:
            return None
        return self.observed.verdict(version, contract, against)

    def failed(self, version: str, contract: str) -> Verdict | None:
        for verdict in reversed(self.verdicts.values()):
            if (verdict.version, verdict.contract) == (version, contract) and not verdict.passed:
                return verdict
        return self.observed.failed(version, contract)

    def restated(self, version: str) -> Sequence[RestatedRows]:
        recorded = () if version in self.versions else self.observed.restated(version)
        return [*recorded, *self.new_restated.get(version, ())]

    @property
    def lineage(self) -> Collection[str]:
        return self.observed.lineage

    def waivers(self, product: str) -> Sequence[Waiver]:
        return self.observed.waivers(product)

    def difference(self, before: str, after: str) -> Figures | None:
        return self.observed.difference(before, after)

    def approvals(self, version: Version) -> Given:
        given = self.observed.approvals(version)
        return replace(given, same=given.same | {version.id})  # it may not be recorded yet

    def latest_event(
        self, inspected_as: str, digests: Collection[str], until: datetime
    ) -> datetime | None:
        return self.observed.latest_event(inspected_as, digests, until)

    def files(self, source: str) -> Mapping[str, str] | None:
        return self.observed.files(source)

    def add_version(self, version: Version) -> None:
        """Add a version that was just built."""
        self.versions[version.id] = version
        self.by_key[version.product, version.key.digest] = version

    def add_part(self, product: str, part: Part) -> None:
        """Add a part that was just built."""
        self.new_parts.setdefault(product, {})[part.built_from] = part

    def add_verdict(self, verdict: Verdict) -> None:
        """Add a verdict of this run."""
        self.verdicts[verdict.version, verdict.contract, verdict.against] = verdict

    def add_restated(self, rows: Sequence[RestatedRows]) -> None:
        """Add failing rows that this run lets through."""
        for each in rows:
            self.new_restated.setdefault(each.version, []).append(each)
