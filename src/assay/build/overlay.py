"""The facts as they were observed, and those of a run on top of them."""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct, field

from assay.model import Part, Pointer, Verdict, Version
from assay.plan.ladder import Facts
from assay.plan.waivers import Waiver


class RunFacts(Struct):
    """The facts as observed, and those of this run on top."""

    below: Facts
    versions: dict[str, Version] = field(default_factory=dict)
    of_key: dict[tuple[str, str], Version] = field(default_factory=dict)
    parts_made: dict[str, dict[str, Part]] = field(default_factory=dict)
    verdicts: dict[tuple[str, str, str], Verdict] = field(default_factory=dict)
    waived: dict[str, list[Waiver]] = field(default_factory=dict)

    def pointer(self, product: str) -> Pointer | None:
        return self.below.pointer(product)

    def version(self, id: str) -> Version:
        return self.versions.get(id) or self.below.version(id)

    def find(self, product: str, key: str) -> Version | None:
        return self.of_key.get((product, key)) or self.below.find(product, key)

    def parts(self, product: str, made_of: Collection[str]) -> Mapping[str, Part]:
        made = self.made(product, made_of)
        return {
            **self.below.parts(product, [m for m in made_of if m not in made] if made else made_of),
            **made,
        }

    def made(self, product: str, made_of: Collection[str]) -> dict[str, Part]:
        """Return the parts, of these, that this run has built."""
        known = self.parts_made.get(product)
        return {m: known[m] for m in made_of if m in known} if known else {}

    def lost(self, product: str, key: str) -> Version | None:
        return self.below.lost(product, key)

    def latest(self, product: str) -> Version | None:
        return self.below.latest(product)

    def has_code(self, product: str, code: str) -> bool:
        return self.below.has_code(product, code)

    def passed(self, version: str, contract: str, against: str) -> bool:
        return version not in self.versions and self.below.passed(version, contract, against)

    def verdict(self, version: str, contract: str, against: str) -> Verdict | None:
        found = self.verdicts.get((version, contract, against))
        return found or (
            None if version in self.versions else self.below.verdict(version, contract, against)
        )

    def failed(self, version: str, contract: str) -> Verdict | None:
        here = [
            v
            for (id, under, _), v in self.verdicts.items()
            if (id, under) == (version, contract) and not v.passed
        ]
        return here[-1] if here else self.below.failed(version, contract)

    def waivers(self, version: str) -> Sequence[Waiver]:
        known = () if version in self.versions else self.below.waivers(version)
        return [*known, *self.waived.get(version, ())]

    def files(self, source: str) -> Mapping[str, str] | None:
        return self.below.files(source)

    def add_version(self, version: Version) -> None:
        """Let what was just built be found."""
        self.versions[version.id] = self.of_key[version.product, version.key.digest] = version

    def add_part(self, product: str, part: Part) -> None:
        """Let a part that was just built be found."""
        self.parts_made.setdefault(product, {})[part.made_of] = part

    def add_verdict(self, verdict: Verdict) -> None:
        """Let how it was judged be found."""
        self.verdicts[verdict.version, verdict.contract, verdict.against] = verdict

    def add_waivers(self, waivers: Sequence[Waiver]) -> None:
        """Let what may go out all the same be found."""
        for waiver in waivers:
            self.waived.setdefault(waiver.version, []).append(waiver)
